#!/usr/bin/env bash
# Builds the published crates, and runs their unit tests, with the oldest versions of their direct
# dependencies that the manifests allow. It works in a copy of the files in git, as they are now:
# Cargo.lock stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -r "$copy"' EXIT
git ls-files -z | while IFS= read -r -d '' file; do
    # Git lists those, too, that were deleted.
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar -cf - --null -T - | tar -xf - -C "$copy"
# Absolute, whatever CARGO_TARGET_DIR is.
target=$(cargo metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4)
export CARGO_TARGET_DIR=$target/minimal-versions
cd "$copy"

# Without the packages that only test and measure: they depend on other lock crates, whose needs would
# count, too. Those that the published ones depend on are members by their path.
awk '/^members = / { print "members = [\"lock-cli\"]"; skip = 1 }
    !skip && !/^default-members = /
    /\]$/ { skip = 0 }' Cargo.toml >Cargo.toml.new
mv Cargo.toml.new Cargo.toml

# Only the nightly cargo chooses old versions; with this, the stable one does.
RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
cargo check --package redis-locked
cargo check --package redis-locked --package redis-locked-runtime --all-features
cargo test --package redis-locked-runtime --package redis-locked-macros --package redis-locked-cli \
    --all-features --lib --bins
printf '\nminimal-versions.sh: all passed in %d s\n' "$SECONDS"
