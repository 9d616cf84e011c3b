#!/usr/bin/env bash
# Checks docs/dashboard.json against Grafana's own types of a dashboard, which the package @grafana/schema has.
# Writes a line and ends well where they cannot be had: without node or npm.
set -euo pipefail
cd "$(dirname "$0")/.."
place=target/grafana

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "docs/dashboard.json beside Grafana's schema (node or npm is missing)"
    exit
fi
if [ ! -d "$place/node_modules" ]; then
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place.new" \
        @grafana/schema@13.2.3 typescript@5.9.3 >&2
    mkdir -p "$place"
    mv "$place.new/node_modules" "$place/"
    rm -r "$place.new"
fi
# As a literal, it may have no property that the types don't know.
{
    echo "import type { Dashboard } from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';"
    echo "export const dashboard: Dashboard ="
    cat docs/dashboard.json
} >"$place/dashboard.ts"
node "$place/node_modules/typescript/bin/tsc" --noEmit --strict --skipLibCheck --target es2022 \
    --module esnext --moduleResolution bundler "$place/dashboard.ts" >&2
