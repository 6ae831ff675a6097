//! xl.cfg: bytes to settings, to a configuration, to JSON and back; and the stored JSON, which begins with a brace.

use xl_config::{Diagnostic, Document, DomainConfig};

/// What messages call the input.
const FILE: &str = "fuzz.cfg";

pub(crate) fn one_input(bytes: &[u8]) {
    if bytes.starts_with(b"{") {
        return stored(&String::from_utf8_lossy(bytes));
    }
    let document = match Document::parse(FILE, bytes) {
        Ok(document) => document,
        Err(report) => return check_all(bytes, &report.0),
    };
    let again = Document::parse(FILE, document.to_string().as_bytes()).expect("what is printed can be read");
    assert_eq!(document.settings(), again.settings(), "a document survives being printed");
    match DomainConfig::from_document(&document) {
        Ok(parsed) => {
            check_diagnostics(bytes, &parsed.warnings);
            check_round_trip(&parsed.config);
        }
        Err(report) => check_all(bytes, &report.0),
    }
}

/// A stored configuration is sound or refused.
fn stored(json: &str) {
    if let Ok(config) = DomainConfig::from_json(json) {
        assert!(config.faults().is_empty());
        check_round_trip(&config);
    }
}

fn check_round_trip(config: &DomainConfig) {
    let json = config.to_json().expect("a configuration can be stored");
    assert_eq!(DomainConfig::from_json(&json).expect("and read"), *config);
}

fn check_all(bytes: &[u8], diagnostics: &[Diagnostic]) {
    assert!(!diagnostics.is_empty(), "a report says something");
    check_diagnostics(bytes, diagnostics);
}

/// Each points into the file, or is about something that is not there.
fn check_diagnostics(bytes: &[u8], diagnostics: &[Diagnostic]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    for diagnostic in diagnostics {
        assert_eq!(diagnostic.source, FILE);
        assert!(!diagnostic.message.is_empty() && !diagnostic.message.contains('\n'), "{diagnostic}");
        assert_eq!(diagnostic.position.is_some(), diagnostic.excerpt.is_some(), "{diagnostic}");
        if let Some(position) = diagnostic.position {
            let line = lines.get(position.line - 1).expect("the line is in the file");
            // The column behind the last character is the line's end.
            assert!(position.column <= line.chars().count() + 1, "{diagnostic}");
        }
        let shown = diagnostic.to_string();
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "control characters: {shown:?}");
        assert!(shown.len() < 4096, "{} bytes are no clear message", shown.len());
    }
}
