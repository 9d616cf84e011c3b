#!/usr/bin/env bash
# Brings the locks of other languages that tests/clients runs beside ours, into target/clients.
# Writes a line for each that cannot be had here, whose test is then skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
place=target/clients
mkdir -p "$place"

if [ ! -d "$place/python" ]; then
    if command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip install --quiet --target "$place/python.new" redis==8.1.0 >&2
        mv "$place/python.new" "$place/python"
    else
        echo "redis-py's Lock (python3 with pip is missing)"
    fi
elif ! command -v python3 >/dev/null; then
    echo "redis-py's Lock (python3 is missing)"
    rm -r "$place/python"
fi

if [ ! -d "$place/node" ]; then
    if command -v node >/dev/null && command -v npm >/dev/null; then
        npm install --silent --no-audit --no-fund --prefix "$place/node.new" redlock@4.2.0 ioredis@6.0.0 >&2
        mv "$place/node.new" "$place/node"
    else
        echo "node-redlock (node with npm is missing)"
    fi
elif ! command -v node >/dev/null; then
    echo "node-redlock (node is missing)"
    rm -r "$place/node"
fi
