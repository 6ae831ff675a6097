//! Replays every input in the corpus, without the engine.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of the whole corpus: it is part of every clone.
const CORPUS_MAX: u64 = 300 << 10;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = corpus(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Whoever runs this sees the name of the input that fails.
fn replay(target: &str) {
    let one_input = fuzz::target(target).unwrap().one_input;
    let inputs = inputs(target);
    assert!(!inputs.is_empty());
    for path in inputs {
        println!("{}", path.display());
        one_input(&fs::read(&path).unwrap());
    }
}

macro_rules! targets {
    ($($target:ident,)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let known: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(known, [$(stringify!($target)),*]);
        }
    };
}

targets! { console_history, device_tree, hypercalls, kernel, xenstore, xenstore_state, xl_cfg, }

#[test]
fn corpus_stays_small() {
    let files = fuzz::TARGETS.iter().flat_map(|target| inputs(target.name));
    let bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= CORPUS_MAX, "the corpus has {bytes} bytes");
}
