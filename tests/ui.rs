//! What the attribute refuses, and in which words; and what it must not make the compiler say.

use std::env;
use std::process::Command;

/// `tests/ui/fail/compiler` holds what rustc says around our code, which other versions word otherwise.
const WORDED_BY: &str = "rustc 1.95.";

/// There is no case that compiles: for one of those, trybuild has all dependencies built instead of checked,
/// which takes longer than everything else. They stand in `tests/strict.rs`.
#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
    if version().starts_with(WORDED_BY) {
        cases.compile_fail("tests/ui/fail/compiler/*.rs");
    } else {
        println!("tests/ui/fail/compiler is for {WORDED_BY}, so it was left out");
    }
}

fn version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let output = output.expect("rustc tells its version");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
