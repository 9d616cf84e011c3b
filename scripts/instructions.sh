#!/usr/bin/env bash
# Counts the processor's instructions of an uncontended call in memory, and fails when it takes over 5 % more than
# tests/instructions/count.txt says. Instructions are the same on a busy machine and an idle one, but not on another
# processor or with another compiler: there it says the number and compares nothing. It needs valgrind, which counts.
# With --set, the number that it finds is written there.
set -euo pipefail
cd "$(dirname "$0")/.."
stated=tests/instructions/count.txt
calls=2000

command -v valgrind >/dev/null || {
    echo "instructions.sh: there is no valgrind here, so nothing is counted"
    exit 0
}
cargo build --quiet --release -p redis-locked-instructions
program=${CARGO_TARGET_DIR:-target}/release/redis-locked-instructions

count() { # count <calls>: the instructions of the whole program
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" 2>&1 |
        sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p'
}
# What the program does beside the calls is in both.
few=$(count $calls)
many=$(count $((2 * calls)))
each=$(((many - few) / calls))
with="$(rustc --version), $(uname -sm), $(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another libc')"

if [ "${1-}" = --set ]; then
    printf '%s\n%s\n' "$each" "$with" >"$stated"
    echo "instructions.sh: $each a call, written to $stated"
    exit 0
fi
{
    read -r before
    read -r before_with
} <"$stated"
if [ "$with" != "$before_with" ]; then
    echo "instructions.sh: $each a call with $with; it was $before with $before_with, which is not to be compared"
elif [ $((each * 100)) -gt $((before * 105)) ]; then
    echo "instructions.sh: an uncontended call in memory takes $each instructions, over 5 % more than the $before in $stated" >&2
    exit 1
else
    echo "instructions.sh: $each a call; $stated says $before"
fi
