#!/usr/bin/env bash
# Packs the crates as they would be published, and checks what was packed: it holds what it must and
# nothing else, the facade and the tool build from it (with the siblings packed here, as none need be on
# crates.io), and its own tests, examples and doc tests pass with all features.
# Publishes nothing. With --allow-dirty, changes that are not committed are packed, too. Needs cargo 1.90
# or newer.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$*" in
'' | --allow-dirty) ;;
*)
    echo "usage: $0 [--allow-dirty]" >&2
    exit 2
    ;;
esac

fail() {
    printf '\npackage.sh: %s\n' "$*" >&2
    exit 1
}

cargo=$(cargo --version)
[[ $cargo =~ ^cargo\ ([0-9]+)\.([0-9]+)\. ]] || fail "no version of cargo: $cargo"
if ((BASH_REMATCH[1] == 1 && BASH_REMATCH[2] < 90)); then
    fail "cargo packs crates that depend on each other from 1.90 on, and this is $cargo: rustup update"
fi

crates=(redis-locked-runtime redis-locked-macros redis-locked redis-locked-cli)

# expected <crate>: the files that its package has to hold, one a line
expected() {
    local folder=lock-${1#redis-locked-}
    local others=(README.md)
    case $1 in
    redis-locked)
        folder=.
        others+=(CHANGELOG.md examples/quickstart.rs examples/scheduled_jobs.rs)
        ;;
    redis-locked-cli) others=(tool.md) ;;
    esac
    git -C "$folder" ls-files src
    # The first four are of cargo's making.
    printf '%s\n' .cargo_vcs_info.json Cargo.lock Cargo.toml Cargo.toml.orig LICENSE-APACHE LICENSE-MIT "${others[@]}"
}

version=$(cargo metadata --format-version 1 --no-deps |
    grep -o '"name":"redis-locked","version":"[^"]*"' | cut -d '"' -f 8)
target=$(cargo metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4)
sizes=
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT

# Cargo warns of each test that it leaves out. They are left out on purpose: they start servers with
# redis-locked-test-support, which is not published. Any other warning fails.
left_out='^warning: ignoring (test|example|benchmark) .* is not included in the published package$'
# Cargo does not verify: it unpacks the siblings once, and would build with those of an earlier run.
cargo package --no-verify --color never "$@" "${crates[@]/#/--package=}" 2>&1 | tee "$place/log" | grep -Ev "$left_out" ||
    fail "cargo package failed"
if grep '^warning' "$place/log" | grep -Ev "$left_out" >&2; then
    fail "cargo package warned: look above"
fi

for crate in "${crates[@]}"; do
    packed=$target/package/$crate-$version.crate
    tar -tzf "$packed" | sed "s|^$crate-$version/||" | sort >"$place/packed"
    expected "$crate" | sort >"$place/expected"
    diff "$place/expected" "$place/packed" >&2 || fail "$crate: what is expected (<) and in the package (>) differs"
    tar -xzf "$packed" -C "$place"
    # The licences are links in git, and have to be files here.
    links=$(find "$place/$crate-$version" -type l)
    [ -z "$links" ] || fail "$crate: these are links: $links"
    grep -q '^readme = ".*"$' "$place/$crate-$version/Cargo.toml" || fail "$crate: the package has no readme"
    sizes+="$crate: $(($(wc -c <"$packed"))) bytes"$'\n'
done

# A workspace of what was unpacked, with the same versions of all else.
cp Cargo.lock "$place"
{
    echo '[workspace]'
    echo 'resolver = "3"'
    printf 'members = ['
    printf '"%s", ' "${crates[@]/%/-$version}"
    printf ']\n[patch.crates-io]\n'
    for crate in "${crates[@]}"; do
        printf '%s = { path = "%s" }\n' "$crate" "$crate-$version"
    done
} >"$place/Cargo.toml"
export CARGO_TARGET_DIR=$target
cd "$place"
cargo check --package redis-locked
cargo check --package redis-locked-cli
cargo test --workspace --all-features --lib --bins --examples
# The attribute's doc tests need the facade, which a published attribute can't depend on, since the
# facade depends on it. They run in test.sh.
cargo test --workspace --all-features --doc --exclude redis-locked-macros

printf '\npackage.sh: all packed and verified in %d s\n%s' "$SECONDS" "$sizes"
