#!/usr/bin/env bash
# Packs the crates as they would be published, in the order of publishing, and checks what was packed:
# cargo builds each from it (with the siblings packed before, as none need be on crates.io), it holds
# what it must and nothing else, and its own tests, examples and doc tests pass with all features.
# Publishes nothing. With --allow-dirty, changes that are not committed are packed, too.
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

crates=(redis-locked-runtime redis-locked-macros redis-locked redis-locked-cli)
declare -A folders=(
    [redis-locked-runtime]=lock-runtime
    [redis-locked-macros]=lock-macros
    [redis-locked]=.
    [redis-locked-cli]=lock-cli
)
version=$(cargo metadata --format-version 1 --no-deps |
    grep -o '"name":"redis-locked","version":"[^"]*"' | cut -d '"' -f 8)
target=$(cargo metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d '"' -f 4)
sizes=
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT

# Cargo warns of each test that it leaves out. They are left out on purpose: they start servers with
# redis-locked-test-support, which is not published. Any other warning fails.
left_out='^warning: ignoring (test|example|benchmark) .* is not included in the published package$'
cargo package "$@" "${crates[@]/#/--package=}" 2>&1 | tee "$place/log" | grep -Ev "$left_out" ||
    fail "cargo package failed"
if grep '^warning' "$place/log" | grep -Ev "$left_out" >&2; then
    fail "cargo package warned: look above"
fi

for crate in "${crates[@]}"; do
    folder=${folders[$crate]}
    packed=$target/package/$crate-$version.crate
    tar -xzf "$packed" -C "$place"
    (cd "$place/$crate-$version" && find src -type f | sort) >"$place/packed"
    git -C "$folder" ls-files src | sort >"$place/tracked"
    diff "$place/tracked" "$place/packed" >&2 || fail "$crate: what is in git (<) and in the package (>) differs"
    for file in LICENSE-APACHE LICENSE-MIT; do
        [ -f "$place/$crate-$version/$file" ] && [ ! -L "$place/$crate-$version/$file" ] ||
            fail "$crate: the package lacks $file"
    done
    grep -q '^readme = ".*"$' "$place/$crate-$version/Cargo.toml" || fail "$crate: the package has no readme"
    sizes+="$crate: $(stat -c %s "$packed") bytes"$'\n'
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
# The attribute's doc tests need the facade, which a published attribute can't depend on, since the
# facade depends on it. They run in test.sh.
run() {
    CARGO_TARGET_DIR=$target cargo test --manifest-path "$place/Cargo.toml" --workspace --all-features "$@"
}
run --lib --bins --examples
run --doc --exclude redis-locked-macros

printf '\npackage.sh: all packed and verified in %d s\n%s' "$SECONDS" "$sizes"
