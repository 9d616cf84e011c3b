#!/usr/bin/env bash
# Checks that this commit can be released as a version, and stops at the first thing that is not true:
# first what is seen at once, then all that has to pass (an hour and more). With --publish, it then tags
# the commit and publishes it; without, it says how.
# usage: scripts/release.sh 0.2.0 [--publish]
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:-}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || [[ ${2:-} != '' && ${2:-} != --publish ]] || [ $# -gt 2 ]; then
    echo "usage: $0 VERSION [--publish], such as $0 0.2.0" >&2
    exit 2
fi

fail() {
    printf '\nrelease.sh: %s\n' "$*" >&2
    exit 1
}

step() {
    printf '\n--- %s\n' "$1"
    shift
    "$@" || fail "$* has failed: look above"
}

tag=v$version
crates=(redis-locked-runtime redis-locked-macros redis-locked redis-locked-cli)

# What is seen at once.
branch=$(git branch --show-current)
[ "$branch" = main ] || fail "a release is made of main, and this is ${branch:-no branch}: git switch main"
[ -z "$(git status --porcelain)" ] || fail "there are changes that are not committed: git status"
! git rev-parse --quiet --verify "refs/tags/$tag" >/dev/null || fail "the tag $tag is there already: take the next version"
git fetch --quiet origin main || fail "origin can't be asked for its main: git remote -v"
[ "$(git rev-parse HEAD)" = "$(git rev-parse FETCH_HEAD)" ] ||
    fail "this is not the main of origin: git pull, or git push"

# version_of <crate>
version_of() {
    cargo metadata --format-version 1 --no-deps |
        grep -o "\"name\":\"$1\",\"version\":\"[^\"]*\"" | cut -d '"' -f 8 | head -n 1
}
for crate in "${crates[@]}"; do
    found=$(version_of "$crate")
    [ "$found" = "$version" ] ||
        fail "$crate has the version $found: set $version in [workspace.package] of Cargo.toml"
done
for crate in redis-locked redis-locked-macros redis-locked-runtime; do
    grep -qE "^$crate = \{ version = \"=?$version\"," Cargo.toml ||
        fail "$crate has another version in [workspace.dependencies] of Cargo.toml: set $version"
done
git diff --quiet HEAD -- Cargo.lock || fail "Cargo.lock has changed: commit it"

grep -qE "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
    fail "CHANGELOG.md has no heading '## [$version] - DATE': turn Unreleased into it"
grep -qF "[$version]: " CHANGELOG.md || fail "CHANGELOG.md has no link for [$version] at its end"
grep -qF "[Unreleased]: " CHANGELOG.md && grep -F "[Unreleased]: " CHANGELOG.md | grep -qF "$tag...HEAD" ||
    fail "the link of [Unreleased] in CHANGELOG.md does not begin at $tag"
if awk '/^## \[Unreleased\]/ { on = 1; next } /^## / { on = 0 } on && NF' CHANGELOG.md | grep -q .; then
    fail "CHANGELOG.md has lines under Unreleased: they belong to $version"
fi

cargo=$(cargo --version)
[[ $cargo =~ ^cargo\ ([0-9]+)\.([0-9]+)\. ]] || fail "no version of cargo: $cargo"
((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 90)) || fail "publishing needs cargo 1.90, and this is $cargo: rustup update"

# What takes its time.
step "the API, against the last release" scripts/semver.sh
step "the oldest dependencies" scripts/minimal-versions.sh
step "all tests, on all servers" scripts/test.sh --all-servers
step "the packages" scripts/package.sh
[ -z "$(git status --porcelain)" ] || fail "the checks have changed files: git status"

publish=(cargo publish)
for crate in "${crates[@]}"; do publish+=(-p "$crate"); done
if [ "${2:-}" != --publish ]; then
    printf '\nrelease.sh: %s can be released: scripts/release.sh %s --publish, or\n' "$version" "$version"
    printf '  git tag %s && git push origin %s\n  %s\n' "$tag" "$tag" "${publish[*]}"
    exit
fi
step "the tag" git tag "$tag"
step "the tag, for all" git push origin "$tag"
# Cargo waits until each crate can be found before it sends the next.
step "publishing" "${publish[@]}"
printf '\nrelease.sh: %s is released\n' "$version"
