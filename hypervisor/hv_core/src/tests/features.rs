//! The page of features in the repository is the one that the table makes.

use crate::hypercall::write_features;
use alloc::string::String;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/features.md");

#[test]
fn features_page_is_what_the_table_says() {
    let mut page = String::new();
    write_features(&mut page).unwrap();
    let file = Path::new(FILE);
    if std::env::var_os("XENOXIDE_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &page).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == page,
        "docs/features.md is not what the table of hypercalls says; write it anew with\n    \
         XENOXIDE_BLESS=1 cargo test -p hv_core features"
    );
}

#[test]
fn rows_are_in_order_and_each_stands_once() {
    use crate::hypercall::HYPERCALLS;
    assert!(HYPERCALLS.windows(2).all(|w| w[0].number < w[1].number));
    for call in HYPERCALLS {
        assert!(call.ops.windows(2).all(|w| w[0].number < w[1].number), "{}", call.name);
        assert_eq!(call.whole.is_some(), call.ops.is_empty(), "{}", call.name);
    }
}
