#!/usr/bin/env bash
# Builds tests/visitors of the commit before the line on the server, into target/before, and writes the
# program's path to standard output: old processes and new ones have to get along on one key.
# --release optimises it, for the benchmarks. Where git or the history is missing, it says so and ends with 3.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=5379e7a11f93ca03f59a74e105e249d4436d328c

profile=debug
case "$*" in
'') ;;
--release) profile=release ;;
*)
    echo "usage: $0 [--release]" >&2
    exit 2
    ;;
esac

place=$PWD/target/before
program=$place/$profile/visitors
source=tests/visitors/src/main.rs
if [ "$program" -nt "$source" ] && [ "$program" -nt scripts/before.sh ]; then
    echo "$program"
    exit
fi
if ! git rev-parse --quiet --verify "$commit^{commit}" >/dev/null 2>&1; then
    echo "before.sh: the commit $commit is not here: take a whole clone, not a shallow one" >&2
    exit 3
fi

# Two that come at once would write over each other.
mkdir -p "$place"
exec 9>"$place/lock"
if command -v flock >/dev/null; then flock 9; fi

if [ ! -d "$place/source" ]; then
    rm -rf "$place/source.new"
    mkdir "$place/source.new"
    git archive "$commit" | tar -x -C "$place/source.new"
    mv "$place/source.new" "$place/source"
fi
package=$place/package
mkdir -p "$package/src"
cp "$source" "$package/src/main.rs"
cp "$place/source/Cargo.lock" "$package/Cargo.lock"
cat >"$package/Cargo.toml" <<'TOML'
[package]
name = "visitors"
edition = "2024"

[workspace]

[features]
servers = []

[dependencies]
redis-locked = { path = "../source" }
rustix = { version = "1", default-features = false, features = ["std", "time"] }
tokio = { version = "1", default-features = false, features = ["macros", "rt"] }

[profile.dev]
debug = false
TOML
release=()
[ "$profile" = debug ] || release=(--release)
cargo build --quiet --manifest-path "$package/Cargo.toml" --target-dir "$place" "${release[@]}" >&2 9>&-
touch "$program" # cargo leaves what it need not build
echo "$program"
