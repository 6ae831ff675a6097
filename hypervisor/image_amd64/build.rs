//! Links the image with its own script, at fixed addresses.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    // The target's default is a position-independent program, which would have to relocate itself.
    println!("cargo:rustc-link-arg-bins=--no-pie");
}
