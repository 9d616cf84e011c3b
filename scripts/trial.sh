#!/usr/bin/env bash
# Tries the attribute on the async functions of somebody else's crate:
#
#     scripts/trial.sh <folder of a crate> [options of cargo clippy, such as --all-features]
#
# It checks a copy of the folder with clippy, puts `#[redis_locked(…)]` with varied arguments on each async function
# that has a body, and checks again. It prints how many functions there are, which of them no longer compile and why,
# and which lints are new. The folder itself is left alone. A crate that denies warnings gets them as warnings.
#
# Each function gets `or_else`, whatever it returns, since what an error of another crate is made of is no question
# to the attribute.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -lt 1 ] || [ ! -f "$1/Cargo.toml" ]; then
    echo "usage: $0 <folder of a crate> [options of cargo clippy]" >&2
    exit 2
fi
command -v python3 >/dev/null || {
    echo "trial.sh: python3 is missing: install it and start this again" >&2
    exit 1
}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -r "$1" "$place/crate"
chmod -R u+w "$place/crate"
shift
# Not kept from one trial to the next, but shared by the checks of this one.
export CARGO_TARGET_DIR=${TRIAL_TARGET_DIR:-$place/target}
python3 "$here/scripts/trial.py" "$here" "$place/crate" "$@"
