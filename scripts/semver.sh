#!/usr/bin/env bash
# Says whether the public API changed more than the version allows: `cargo semver-checks`, which it
# installs if it is missing (some minutes). It compares with the newest tag v*, else with the newest
# version on crates.io; without either it says so, and there is nothing to break.
# With a tag it also compares what the facade exports: rustdoc's JSON, of which cargo-semver-checks
# reads, leaves out what a crate exports of another one.
# The tool redis-locked-cli is not checked: it is a program, without an API.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'semver.sh: %s\n' "$*" >&2
    exit 1
}

if ! cargo semver-checks --version >/dev/null 2>&1; then
    echo "semver.sh: cargo-semver-checks is missing: installing it" >&2
    cargo install --locked cargo-semver-checks
fi

# The attribute is a procedural macro, which rustdoc shows no API of: tests/ui guards that.
crates=(redis-locked-runtime redis-locked)

tag=$(git tag --list 'v*' --sort -version:refname --merged HEAD | head -n 1)
if [ -n "$tag" ]; then
    echo "semver.sh: compared with the tag $tag"
    baseline=(--baseline-rev "$tag")
else
    # Asked outside of the workspace, where `cargo info` would answer with the crate beside it.
    answer=$(cd / && cargo info --registry crates-io redis-locked 2>&1) && found=yes || found=
    if [ -n "$found" ]; then
        echo "semver.sh: no tag v* here: compared with the newest version on crates.io"
        baseline=()
    elif [[ $answer == *"could not find"* ]]; then
        echo "semver.sh: nothing to compare with: no tag v* here, and redis-locked is not on crates.io." \
            "After the first release, this compares ${crates[*]} with it."
        exit 0
    else
        fail "no tag v* here, and crates.io did not answer:"$'\n'"$answer"
    fi
fi
failed=
if [ -n "$tag" ]; then
    # The names in src/lib.rs after `pub use`, one a line.
    exports() {
        awk '/^pub use / { on = 1 } on; /;/ { on = 0 }' | sed 's/^pub use [a-z_]*:://' |
            grep -oE '[A-Za-z_]+' | sort -u
    }
    # The part of the version in Cargo.toml within which nothing may go: 0.3 of 0.3.1, 1 of 1.3.1.
    series() {
        sed -nE 's/^version = "(0\.[0-9]+|[1-9][0-9]*)\..*/\1/p'
    }
    # Into variables: in `<(…)`, what cannot be read would count as empty.
    before=$(git show "$tag:src/lib.rs" | exports) || fail "no exports found in src/lib.rs of $tag"
    now=$(exports <src/lib.rs) || fail "no exports found in src/lib.rs"
    series_before=$(git show "$tag:Cargo.toml" | series)
    series_now=$(series <Cargo.toml)
    [ -n "$series_before" ] && [ -n "$series_now" ] || fail "no version found in Cargo.toml, of $tag or of now"
    gone=$(comm -23 <(echo "$before") <(echo "$now") | paste -sd ' ' -)
    if [ -n "$gone" ] && [ "$series_before" = "$series_now" ]; then
        echo "semver.sh: redis-locked exports no more: $gone" >&2
        failed=yes
    fi
fi
# The bash of macOS takes an empty array for an unset one.
cargo semver-checks "${crates[@]/#/--package=}" ${baseline[@]+"${baseline[@]}"} || failed=yes
[ -z "$failed" ] ||
    fail "the API broke, or could not be read: look above. Take it back, or raise the version: its minor part before 1.0, its major part after"
