#!/usr/bin/env bash
# Makes the mistakes of tests/simulation/breaks.txt, one at a time, in a copy of the tree, and says within how
# many seeds the simulation finds each. With words: only those whose names have one of them. BREAKS_SEEDS=1000
# looks at so many seeds instead of those that the list allows. The exit code is 1 if one is not found.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/target/breaks
mkdir -p "$place/tree"
rustc --edition 2024 -D warnings --test -o "$place/tests" scripts/breaks.rs
"$place/tests" --quiet >"$place/log" || {
    cat "$place/log" >&2
    exit 2
}
rustc --edition 2024 -D warnings -o "$place/breaks" scripts/breaks.rs
# What has not changed keeps its time, so that it is not built anew.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    cmp --quiet "$file" "$place/tree/$file" || cp --parents "$file" "$place/tree"
done
# What is gone goes there, too.
LC_ALL=C comm -13 <(git ls-files --cached --others --exclude-standard | LC_ALL=C sort) \
    <(cd "$place/tree" && find . -type f -printf '%P\n' | LC_ALL=C sort) |
    (cd "$place/tree" && xargs -r -d '\n' rm)
cd "$place/tree"
export CARGO_TARGET_DIR="$place/target"
"$place/breaks" tests/simulation/breaks.txt "$@"
