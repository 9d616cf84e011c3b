#!/usr/bin/env bash
# Runs everything that has to pass: formatting, import circles, clippy, docs, all tests, the examples.
# A fresh machine needs bash, cargo, and apt-get or brew to install the rest with.
# No Redis has to run: the tests and examples start their own, on free ports, of the binary that
# REDIS_SERVER names, or else the one on the path. With --all-servers, what talks to a server runs
# again on each of those that scripts/servers.sh brings.
set -euo pipefail
cd "$(dirname "$0")/.."
unset REDIS_URL REDIS_URLS # the tests and examples below say themselves what they use
SECONDS=0

all_servers=
case "$*" in
'') ;;
--all-servers) all_servers=yes ;;
*)
    echo "usage: $0 [--all-servers]" >&2
    exit 2
    ;;
esac

fail() {
    printf '\ntest.sh: %s\n' "$*" >&2
    exit 1
}

step() {
    printf '\n--- %s (at %d s)\n' "$1" "$SECONDS"
    shift
    "$@"
}

root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need <command> <its package in apt> <its package in brew>
need() {
    command -v "$1" >/dev/null && return
    if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }; then
        root apt-get update || true # what fails may be an index that is not needed
        root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"
    elif command -v brew >/dev/null; then
        brew install "$3"
    else
        fail "$1 is missing, and so is apt-get (with root or sudo) or brew: install it and start this again"
    fi
    command -v "$1" >/dev/null || fail "$1 is still missing: look above for why it was not installed"
}

command -v cargo >/dev/null ||
    fail "cargo is missing: install Rust from https://rustup.rs and start this again"
need cc build-essential gcc
[ -n "${REDIS_SERVER:-}" ] || need redis-server redis-server redis
# It counts a call's instructions; on a Mac there is none.
[ "$(uname)" != Linux ] || need valgrind valgrind valgrind
redis_server=${REDIS_SERVER:-redis-server}

# name <binary>: such as "Redis 7.0.15"
name() {
    "$1" --version | sed 's/^\([A-Za-z]*\) server v=\([0-9.]*\).*/\1 \2/'
}

redis=$(name "$redis_server")
major=${redis#* }
if [ "${major%%.*}" -lt 7 ]; then
    fail "the tests need Redis 7 or newer, and this is $redis: see https://redis.io/docs/latest/operate/oss_and_stack/install/"
fi
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    rustup component add rustfmt clippy || fail "cargo fmt or cargo clippy is missing: install both"
fi

# All but the benchmarks, whose rivals take long to build. The same in each command but those that run the
# examples, so that nothing else is built twice.
packages=(--workspace --exclude redis-locked-benches --all-features)

skipped=$(scripts/clients.sh)
if ! reason=$(scripts/before.sh 2>&1 >/dev/null); then
    skipped+=${skipped:+$'\n'}"the version before the line ($reason)"
fi
unchecked=$(scripts/dashboard.sh)
skipped+=${unchecked:+${skipped:+$'\n'}$unchecked}
if [ "$(uname)" != Linux ]; then
    skipped+=${skipped:+$'\n'}"a server whose clock is moved (no library can be loaded into it here)"
fi
step "formatting" cargo fmt --all --check
step "import circles" scripts/circles.sh
step "clippy" cargo clippy "${packages[@]}" --all-targets -- -D warnings
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc "${packages[@]}" --no-deps

# tests <server> [which]: with that server
tests() {
    local server=$1
    shift
    if cargo nextest --version >/dev/null 2>&1; then
        REDIS_SERVER=$server cargo nextest run "${packages[@]}" --no-fail-fast "$@"
    else
        [ $# -gt 0 ] || set -- --tests
        REDIS_SERVER=$server cargo test "${packages[@]}" --no-fail-fast "$@"
    fi
}

step "tests on $redis" tests "$redis_server"
servers=$redis
if [ -n "$all_servers" ]; then
    # What starts servers; the rest would do the same again.
    which=(--lib)
    for package in lines macros model simulation templates; do
        which+=(--exclude "redis-locked-$package")
    done
    for file in $(grep -lE 'redis_locked_test_support|^mod common;' tests/*.rs {tests/clients,tests/visitors/tests,lock-cli/tests,examples/*/tests}/*.rs); do
        which+=(--test "$(basename "$file" .rs)")
    done
    others=$(scripts/servers.sh)
    for server in $others; do
        other=$(name "$server")
        step "tests on $other" tests "$server" "${which[@]}"
        servers+=", $other"
        if [[ $("$server" --port 0 --tls-port 1 2>&1) == *"Failed finding TLS support"* ]]; then
            skipped+=${skipped:+$'\n'}"what uses TLS, on $other (it is built without)"
        fi
    done
fi
# The simulation compiles the runtime once more, and cargo asks for its doc tests though it says it has none.
step "doc tests" cargo test "${packages[@]}" --exclude redis-locked-simulation --doc

step "instructions of a call" scripts/instructions.sh

# This Redis listens on no port at all.
place=$(mktemp -d)
"$redis_server" --port 0 --unixsocket "$place/socket" --save "" --logfile "$place/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -r "$place"' EXIT
for _ in $(seq 300); do
    [ -S "$place/socket" ] && break
    sleep 0.1
done
if [ ! -S "$place/socket" ]; then
    cat "$place/log" >&2 || true # it may not even have made one
    fail "$redis_server does not start: look above"
fi
# With no more features than each needs, and so built again: as its reader builds it.
step "quickstart, in memory" cargo run --quiet --example quickstart
step "quickstart, on Redis" env REDIS_URL="redis+unix://$place/socket" cargo run --quiet --example quickstart
step "scheduled_jobs" cargo run --quiet --example scheduled_jobs -- --workers 3
step "quorum" cargo run --quiet --example quorum
step "cluster" cargo run --quiet --example cluster --features cluster

[ -z "$skipped" ] || printf '\nskipped, since they cannot be had here:\n%s\n' "$skipped"
printf '\ntest.sh: all passed in %d s (%s, %s)\n' "$SECONDS" "$(rustc --version)" "$servers"
