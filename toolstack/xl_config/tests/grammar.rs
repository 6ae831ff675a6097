//! The grammar: what is read, what is not and where it says so, for texts here and for the files of `corpus`.
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use xl_config::{Document, DomainConfig, MAX_CONFIG_BYTES, MAX_DEPTH, Value};

fn parse(text: &str) -> Result<Document, String> {
    Document::parse("demo.cfg", text.as_bytes()).map_err(|report| report.to_string())
}

/// The settings, printed.
fn printed(text: &str) -> String {
    parse(text).unwrap_or_else(|report| panic!("{report}")).to_string()
}

#[test]
fn statements_end_with_lines_semicolons_or_the_file() {
    let wanted = "name = \"h0\"\nvcpus = 2\n";
    for text in [
        "name='h0'\nvcpus=2\n",
        "name='h0';vcpus=2",
        "\n;; name = \"h0\" # the name\n\tvcpus\t= 2 ;\n# end",
        "#\nname='h0'#;x\nvcpus=2",
    ] {
        assert_eq!(printed(text), wanted, "{text}");
    }
    assert_eq!(printed(""), "");
}

#[test]
fn lists_go_over_lines_nest_and_may_end_with_a_comma() {
    for text in ["a=[1,[2,'x'],[],]", "a = [ # first\n\n1 , \n [2\n,'x'\n] # inner\n,[\n]\n,\n]\n"] {
        assert_eq!(printed(text), "a = [ 1, [ 2, \"x\", ], [ ], ]\n", "{text}");
    }
}

#[test]
fn strings_have_two_quotes_and_escapes() {
    let document = parse(r#"a = "it's"; b = 'say "x"'; c = '\'\\\"\n\t\x41\101\7'; d = 'ü#;['"#).unwrap();
    let texts = document.settings().iter().map(|setting| match setting.value() {
        Value::Atom(atom) => atom.text().to_owned(),
        Value::List(_) => panic!("no list"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["it's", "say \"x\"", "'\\\"\n\tAA\x07", "ü#;["]);
}

#[test]
fn adding_joins_strings_and_lists() {
    assert_eq!(
        printed("a = 'x'; a += 'y'; b = [1]; b += [2,3]; c += 'new'"),
        "a = \"xy\"\nb = [ 1, 2, 3, ]\nc = \"new\"\n"
    );
    assert!(
        parse("a = 'x'\na += [1]").unwrap_err().starts_with("demo.cfg:2:6: error: a is a list and a string")
    );
}

#[test]
fn last_setting_counts_and_the_file_warns() {
    let document = parse("name = 'a'\nkernel = 'k'\nname = 'b'").unwrap();
    let parsed = DomainConfig::from_document(&document).unwrap();
    assert_eq!(parsed.config.name.as_str(), "b");
    assert_eq!(
        parsed.warnings[0].to_string(),
        "demo.cfg:3:1: warning: name is set again; this value counts, the earlier one does not\n    name = 'b'\n    ^^^^"
    );
}

#[test]
fn errors_show_the_place() {
    for (text, error) in [
        (
            "a = 'x",
            "demo.cfg:1:5: error: the string has no closing '; a string ends on the line that it begins on\n    a = 'x\n        ^^",
        ),
        ("a = 'x\nb = 1'", "demo.cfg:1:5: error: the string has no closing '"),
        ("a = b", "demo.cfg:1:5: error: the value is neither a string, a number nor a list"),
        ("a = [1\n, 2", "demo.cfg:1:5: error: the list has no closing `]`"),
        ("a = [1 2]", "demo.cfg:1:8: error: expected `,` or `]`, found number 2"),
        ("a = [,]", "demo.cfg:1:6: error: expected a value, found `,`"),
        ("a =\n1", "demo.cfg:1:4: error: expected a value, found end of line"),
        ("a 1", "demo.cfg:1:3: error: expected `=`, found number 1"),
        ("a", "demo.cfg:1:2: error: expected `=`, found end of file"),
        ("a = 1 b = 2", "demo.cfg:1:7: error: expected the end of the line, found `b`"),
        ("= 1", "demo.cfg:1:1: error: expected a key, found `=`"),
        ("a = 1]", "demo.cfg:1:6: error: expected the end of the line, found `]`"),
        (
            "A = 1",
            "demo.cfg:1:1: error: `A` does not belong here; keys and hexadecimal digits are in lower case",
        ),
        ("a = -1", "demo.cfg:1:5: error: `-` does not belong here; settings are no longer Python"),
        (
            "a = 1\r\n",
            "demo.cfg:1:6: error: character 0x0d does not belong here; the file has Windows line ends",
        ),
        ("a = “x”", "demo.cfg:1:5: error: `“` does not belong here; quotes are ' or \""),
        ("\tü = 1", "demo.cfg:1:2: error: `ü` does not belong here\n     ü = 1\n     ^"),
        ("a = 'é\\q'", "demo.cfg:1:7: error: no such escape in a string"),
        ("a = '\\x4'", "demo.cfg:1:6: error: the escape names no ASCII character"),
        ("a = '\\xff'", "demo.cfg:1:6: error: the escape names no ASCII character"),
        ("a = '\\0'", "demo.cfg:1:6: error: the escape names no ASCII character"),
        ("a = 'x\0'", "demo.cfg:1:7: error: character 0x00 does not belong here"),
    ] {
        let found = parse(text).unwrap_err();
        assert!(found.starts_with(error), "{text:?}: {found}");
    }
}

#[test]
fn bytes_that_are_no_text_are_shown() {
    let error = Document::parse("demo.cfg", b"a = 1\nb = 'gr\xfc\xdfe'\n").unwrap_err().to_string();
    assert!(
        error.starts_with("demo.cfg:2:8: error: byte 0xfc is not UTF-8 text; save the file as UTF-8"),
        "{error}"
    );
}

#[test]
fn each_bad_statement_is_reported_once() {
    let report = Document::parse("demo.cfg", b"a = b\nc = 1\nd = [1 2]\ne = 'x\nf = 2").unwrap_err();
    let lines: Vec<_> = report.0.iter().filter_map(|error| error.position.map(|at| at.line)).collect();
    assert_eq!(lines, [1, 3, 4]);
    assert_eq!(Document::parse("demo.cfg", "!\n".repeat(1000).as_bytes()).unwrap_err().0.len(), 20);
}

#[test]
fn size_and_depth_are_bounded() {
    let deepest = format!("a = {}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(parse(&deepest).is_ok());
    assert!(parse(&format!("a = {}", "[".repeat(100_000))).unwrap_err().contains("nested too deeply"));
    let long = format!("#{}", "x".repeat(MAX_CONFIG_BYTES));
    assert!(parse(&long).unwrap_err().contains("bytes; a configuration has at most"));
}

#[test]
fn long_line_is_shown_around_the_place() {
    let error = parse(&format!("a = ['{}', b]", "x".repeat(500))).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert_eq!(lines[1].as_bytes()[caret], b'b');
    assert!(lines.iter().skip(1).all(|line| line.len() < 120));
}

fn corpus(kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn report(path: &Path, bytes: &[u8]) -> Result<String, String> {
    let name = path.file_name().unwrap().to_string_lossy();
    let parsed = Document::parse(&name, bytes).and_then(|document| DomainConfig::from_document(&document));
    parsed.map(|parsed| parsed.config.to_json().unwrap() + "\n").map_err(|report| report.to_string() + "\n")
}

#[test]
fn good_files_mean_what_is_stored_beside_them() {
    let files = corpus("good");
    assert!(files.len() >= 3);
    for (path, bytes) in files {
        let json = report(&path, &bytes).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(json, fs::read_to_string(path.with_extension("json")).unwrap(), "{}", path.display());
        let stored =
            DomainConfig::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(stored.to_json().unwrap() + "\n", json);
    }
}

#[test]
fn bad_files_get_the_errors_that_stand_beside_them() {
    let files = corpus("bad");
    assert!(files.len() >= 5);
    for (path, bytes) in files {
        let text = report(&path, &bytes).expect_err(&path.display().to_string());
        assert_eq!(text, fs::read_to_string(path.with_extension("txt")).unwrap(), "{}", path.display());
    }
}

fn any_value() -> impl Strategy<Value = String> {
    let atom =
        prop_oneof!["[0-9][0-9a-fx]{0,6}", "'([^'\\\\\\n\\x00]|\\\\[nrt'\"\\\\])*'", "\"[a-z ü#;,\\[\\]]*\""];
    atom.prop_recursive(4, 24, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(",\n")))
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::parse("demo.cfg", &bytes) {
            let _ = DomainConfig::from_document(&document);
        }
    }

    #[test]
    fn no_mixture_of_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "name", "disk", "vif", "cpus", "=", "+=", "[", "]", ",", ";", "\n", "'", "\"", "\\", "'x'", "12", "0x", "#", " ", "é", "'/a,,xvda'", "'mac='",
        ]), 0..40)
    ) {
        if let Ok(document) = Document::parse("demo.cfg", words.concat().as_bytes()) {
            let again = Document::parse("again.cfg", document.to_string().as_bytes()).unwrap();
            prop_assert_eq!(again.settings(), document.settings());
            let _ = DomainConfig::from_document(&document);
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same(
        settings in prop::collection::vec(("[a-z][a-z0-9_.]{0,8}", any_value()), 0..6)
    ) {
        let text: String = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let document = Document::parse("demo.cfg", text.as_bytes()).map_err(|report| TestCaseError::fail(report.to_string()))?;
        let again = Document::parse("again.cfg", document.to_string().as_bytes()).map_err(|report| TestCaseError::fail(report.to_string()))?;
        prop_assert_eq!(again.settings(), document.settings());
    }
}
