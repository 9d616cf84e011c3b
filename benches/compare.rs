//! `cargo bench --bench compare`: runs the benchmarks, which are in a package of their own.
//!
//! They depend on other lock crates. Were they this package's, whoever runs its tests would build
//! those too.

use std::env;
use std::process::{Command, exit};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo test --all-targets` runs this without it.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["bench", "--package", "redis-locked-benches"])
        .args(["--bench", "compare", "--"])
        .args(arguments.iter().filter(|argument| *argument != "--bench"))
        .status()
        .expect("cargo starts");
    exit(status.code().unwrap_or(1));
}
