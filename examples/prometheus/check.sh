#!/usr/bin/env bash
# Has Prometheus watch the example: each query of docs/metrics.md must give a number, both alerts must
# be what their tests say, and one must be pending or firing, since the example loses locks.
# Needs redis-server, prometheus and promtool on the path (apt-get install redis-server prometheus), curl,
# jq and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

promtool check rules docs/alerts.yml
promtool test rules docs/alerts.test.yml

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

place=$(mktemp -d)
started=()
end() {
    # The bash of macOS takes an empty array for an unset one.
    kill ${started[@]+"${started[@]}"} 2>/dev/null || true
    wait
    rm -r "$place"
}
trap end EXIT

worker=$(cargo build --package redis-locked-recipe-prometheus --message-format json |
    jq --raw-output 'select(.target.name == "redis-locked-recipe-prometheus") | .executable // empty')
redis-server --port 0 --unixsocket "$place/redis" --save "" --logfile "$place/redis.log" &
started+=($!)
metrics=127.0.0.1:$(free_port)
prometheus=127.0.0.1:$(free_port)
for _ in $(seq 300); do
    [ -S "$place/redis" ] && break
    sleep 0.1
done
if [ ! -S "$place/redis" ]; then
    echo "redis-server does not start:" >&2
    cat "$place/redis.log" >&2 || true # it may not even have made one
    exit 1
fi
REDIS_URL="redis+unix://$place/redis" "$worker" "$metrics" >"$place/worker.log" 2>&1 &
started+=($!)
cat >"$place/prometheus.yml" <<END
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ "$PWD/docs/alerts.yml" ]
scrape_configs:
  - job_name: example
    static_configs: [ { targets: [ "$metrics" ] } ]
END
prometheus --config.file="$place/prometheus.yml" --storage.tsdb.path="$place/data" \
    --web.listen-address="$prometheus" >"$place/prometheus.log" 2>&1 &
started+=($!)

ask() {
    curl --silent --fail --data-urlencode "query=$1" "http://$prometheus/api/v1/query"
}

# value <query>: its first number, once it has one
value() {
    for _ in $(seq 60); do
        number=$(ask "$1" | jq --raw-output '[.data.result[].value[1]] | map(select(. != "NaN")) | first // empty') || true
        [ -n "$number" ] && return
        sleep 0.5
    done
    echo "no number: $1" >&2
    tail "$place"/*.log >&2
    return 1
}

queries=0
while IFS= read -r -d '' query; do
    value "$query"
    ask "$query" | jq --compact-output '.data.result[] | [.metric.lock_name, .value[1]]' | tr '\n' ' '
    printf '\n    %s\n' "$query"
    queries=$((queries + 1))
done < <(awk '/^```promql$/ { in_query = 1; next } /^```$/ && in_query { in_query = 0; printf "%c", 0; next } in_query' docs/metrics.md)
[ "$queries" -gt 0 ]

panels=0
while IFS= read -r line; do
    query=$(jq --raw-output . <<<"$line")
    query=${query//'$lock_name'/import}
    value "${query//'$ttl'/0.2}"
    panels=$((panels + 1))
done < <(jq --compact-output '.panels[].targets[]?.expr' docs/dashboard.json)
[ "$panels" -eq "$queries" ]

value 'ALERTS{alertname="LocksInTrouble", lock_name="import"}'
echo "$queries queries give numbers, on the dashboard too, and LocksInTrouble tells of the example's lost locks"
