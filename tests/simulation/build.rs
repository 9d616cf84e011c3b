//! Tells the runtime that it is built to be simulated.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(simulation)");
    println!("cargo::rustc-cfg=simulation");
    println!("cargo::rerun-if-changed=build.rs");
}
