//! The attribute causes no lint: the functions of `tests/lints/functions.rs` have the same lints with it and
//! without, of all groups of rustc and clippy, in each edition.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const FUNCTIONS: &str = include_str!("lints/functions.rs");

const EDITIONS: [&str; 3] = ["2018", "2021", "2024"];

const LIB: &str = "#![warn(unused, nonstandard_style, let_underscore, future_incompatible, keyword_idents)]
#![warn(rust_2018_compatibility, rust_2018_idioms, rust_2021_compatibility, rust_2024_compatibility)]
#![warn(clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
#![allow(clippy::blanket_clippy_restriction_lints)]

mod functions;
";

/// What is new, and right: a part of the line, and the lint.
const NEW: [(&str, &str); 2] = [
    // The result waits for the release.
    ("Held<Box<dyn Debug>>", "clippy::future_not_send"),
    // In the user's closure.
    ("or_else = |", "clippy::implicit_return"),
];

/// What looks at the body of an `async fn`, and does not see it in a block inside.
const LOST: [&str; 7] = [
    "clippy::implicit_return",
    "clippy::infinite_loop",
    "clippy::needless_lifetimes",
    "clippy::needless_return",
    "clippy::unused_async",
    // In a method with `mut self`, which has another name in the body.
    "clippy::arithmetic_side_effects",
    // Of what the attribute uses.
    "unused_variables",
];

type Lints = BTreeSet<(usize, String)>;

#[test]
fn the_attribute_causes_no_lint() {
    let lints = lints(&make_packages());
    let source = |line: usize| FUNCTIONS.lines().nth(line - 1).unwrap_or_default();
    let mut wrong = Vec::new();
    for edition in EDITIONS {
        let of = |kind| &lints[&package(kind, edition)];
        let (plain, locked) = (of("plain"), of("locked"));
        assert!(plain.len() > 100, "clippy has not run: {plain:?}");
        let mut tell = |what, (line, lint): &(usize, String)| {
            wrong.push(format!(
                "{edition}: {what} {lint}, line {line}: {}",
                source(*line)
            ));
        };
        for found in locked.difference(plain) {
            let is_right =
                |(part, lint): &(&str, &str)| source(found.0).contains(part) && found.1 == *lint;
            if !NEW.iter().any(is_right) {
                tell("new", found);
            }
        }
        for found in plain.difference(locked) {
            if !LOST.contains(&found.1.as_str()) {
                tell("lost", found);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn package(kind: &str, edition: &str) -> String {
    format!("{kind}-{edition}")
}

/// A workspace of a package for each edition, with the attribute and without.
fn make_packages() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints");
    let is_attribute = |line: &str| line.trim_start().starts_with("#[redis_locked(");
    let plain = FUNCTIONS
        .lines()
        .map(|line| if is_attribute(line) { "" } else { line });
    let plain = plain.collect::<Vec<_>>().join("\n");
    let mut members = Vec::new();
    for edition in EDITIONS {
        for (kind, functions) in [("plain", plain.as_str()), ("locked", FUNCTIONS)] {
            let name = package(kind, edition);
            let manifest = format!(
                "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = {edition:?}\n\n\
                 [dependencies]\nasync-trait = \"0.1\"\nredis-locked = {{ path = {:?} }}\n\
                 tokio = {{ version = \"1\", features = [\"rt\"] }}\n",
                root.to_str().expect("the path is text"),
            );
            write(&place.join(&name).join("Cargo.toml"), &manifest);
            write(&place.join(&name).join("src/lib.rs"), LIB);
            write(&place.join(&name).join("src/functions.rs"), functions);
            members.push(name);
        }
    }
    let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
    write(&place.join("Cargo.toml"), &manifest);
    // The versions that have been fetched already.
    let lock = fs::read_to_string(root.join("Cargo.lock"));
    write(
        &place.join("Cargo.lock"),
        &lock.expect("the workspace has one"),
    );
    place
}

/// What is unchanged keeps its time, so that it is not checked again.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    let folder = path.parent().expect("it is in a folder");
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

/// The lints of each package, with their lines.
fn lints(place: &Path) -> BTreeMap<String, Lints> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut clippy = Command::new(cargo);
    clippy.args(["clippy", "--offline", "--message-format", "json"]);
    // Where these tests were built, so that dependencies which are there are used.
    clippy
        .current_dir(place)
        .env("CARGO_TARGET_DIR", place.join("../.."));
    let output = clippy.output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut lints = BTreeMap::<_, Lints>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let told: Value = serde_json::from_str(line).expect("cargo tells in JSON");
        let (of, message) = (&told["target"]["name"], &told["message"]);
        let Some(lint) = message["code"]["code"].as_str() else {
            continue;
        };
        let of = lints
            .entry(of.as_str().unwrap().replace('_', "-"))
            .or_default();
        for span in message["spans"].as_array().into_iter().flatten() {
            let file = span["file_name"].as_str().unwrap();
            if span["is_primary"] == true && file.ends_with("functions.rs") {
                let at = span["line_start"].as_u64().unwrap();
                of.insert((at.try_into().unwrap(), lint.to_owned()));
            }
        }
    }
    lints
}
