//! libFuzzer around one target, which the environment names.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("XENOXIDE_FUZZ_TARGET").expect("XENOXIDE_FUZZ_TARGET names the target");
        let target = fuzz::target(&name).expect("XENOXIDE_FUZZ_TARGET names a target");
        TARGET.set(target).expect("the engine starts once");
    },
    |bytes: &[u8]| (TARGET.get().expect("the engine has started").one_input)(bytes)
);
