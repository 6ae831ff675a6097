//! What verbs print as JSON is what `docs/xl-json.md` says.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory;
use domain::fake::FakeHost;
use serde_json::Value;

use super::xl;
use crate::Options;

const PAGE: &str = include_str!("../../../../docs/xl-json.md");

/// Keys and types of each command line that the page describes.
fn described() -> BTreeMap<&'static str, BTreeMap<&'static str, Vec<&'static str>>> {
    let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut current = None;
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## `xl ") {
            current = title.strip_suffix('`');
            assert!(current.is_some(), "{line}");
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" | ").collect();
            let (key, types) = (cells[0].strip_suffix('`').unwrap(), cells[1].split(" or ").collect());
            let twice = tables.entry(current.unwrap()).or_default().insert(key, types);
            assert!(twice.is_none(), "{line}");
        }
    }
    tables
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn every_key_is_described_with_its_type_and_every_described_key_is_there() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    xl(&host, "block-attach web /disk,raw,xvdb,r").unwrap();
    xl(&host, "network-attach web bridge=xenbr0").unwrap();
    for (line, keys) in described() {
        // What goes on for ever, but once.
        let count = if line.starts_with("top") { " -n 1" } else { "" };
        let printed: Value = serde_json::from_str(&xl(&host, &format!("{line}{count}")).unwrap()).unwrap();
        let objects = match printed {
            Value::Array(objects) => objects,
            object => vec![object],
        };
        assert!(!objects.is_empty(), "{line}");
        for object in objects {
            let object = object.as_object().unwrap();
            let there: BTreeSet<&str> = object.keys().map(String::as_str).collect();
            assert_eq!(there, keys.keys().copied().collect(), "{line}");
            for (key, value) in object {
                assert!(keys[key.as_str()].contains(&type_of(value)), "{line}: {key} is {value}");
            }
        }
    }
}

#[test]
fn every_verb_with_json_is_described() {
    let command = Options::command();
    let has_json = |verb: &&clap::Command| verb.get_arguments().any(|it| it.get_long() == Some("json"));
    let verbs: BTreeSet<String> =
        command.get_subcommands().filter(has_json).map(|verb| verb.get_name().to_owned()).collect();
    let described: BTreeSet<String> =
        described().keys().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(described, verbs);
}
