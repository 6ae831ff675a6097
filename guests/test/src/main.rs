//! A bare guest with a choice of programs, named on its command line:
//!
//! * `suites=NAME,…` runs suites of tests of one behaviour each ([`suites`]).
//! * `run=bench` is a Dom0 that is measured ([`bench`]).
//! * `hostile=SEED calls=COUNT` attacks the hypervisor ([`hostile`]).
//! * `run=peer` is the other domain of the tests that need two.
//! * `run=neighbour` says ten times a second that it is still there.
#![no_std]
#![no_main]

mod bench;
mod hostile;
mod report;
mod suites;

use guest_kit::{Boot, console, println, time, trap};

guest_kit::entry!(run);

fn run(boot: Boot) {
    if let Some(names) = boot.argument("suites") {
        suites::run(&boot, names);
    }
    if let Some(seed) = boot.argument("hostile") {
        let number = |text: &str| text.parse().unwrap_or(0);
        hostile::run(&boot, number(seed), boot.argument("calls").map_or(0, number));
    }
    match boot.argument("run") {
        Some("peer") => suites::peer::run(&boot),
        Some("bench") => bench::run(&boot),
        Some("neighbour") => neighbour(&boot),
        Some(other) => println!("guest: no program {other}"),
        None => {}
    }
    println!("guest: done");
    console::flush();
}

/// Prints numbered lines by its timer.
fn neighbour(boot: &Boot) {
    boot.gic.switch_on();
    boot.gic.enable(0, time::VIRTUAL_PPI);
    trap::serve(boot.gic);
    for number in 1u64.. {
        println!("neighbour {number}");
        time::sleep(100_000);
    }
}
