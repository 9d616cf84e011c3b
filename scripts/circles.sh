#!/usr/bin/env bash
# Says whether files of lock-runtime, lock-macros and lock-cli import each other in a circle, and which
# arrow must go. The rule is at the head of circles.rs. With --lines: prints how many lines each room has.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p target
place=$(mktemp -d target/circles.XXXXXX) # of its own, so that two runs do not meet
trap 'rm -r "$place"' EXIT
rustc --edition 2024 -D warnings --test -o "$place/tests" scripts/circles.rs
"$place/tests" --quiet >"$place/log" || {
    cat "$place/log" >&2
    exit 2
}
rustc --edition 2024 -D warnings -o "$place/circles" scripts/circles.rs
"$place/circles" "$@"
