//! The dashboard asks what `docs/metrics.md` says that a dashboard asks; `check.sh` asks a real
//! Prometheus both.

use std::collections::BTreeSet;

use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../docs/dashboard.json");

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("json")
}

/// The page's queries, each for the lock of the dashboard's row, and with its ttl.
fn queries_of_the_page() -> Vec<String> {
    let blocks = PAGE.split("```promql\n").skip(1);
    let queries = blocks.map(|block| block.split("```").next().expect("an end").trim());
    queries
        .map(|query| of_the_row(query).replace("/ 0.2", "/ $ttl"))
        .collect()
}

fn of_the_row(query: &str) -> String {
    let mut parts = query.split("redis_locked_");
    let mut all = parts.next().expect("what stands before").to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once('}').expect("an end of the labels").1,
            None => rest,
        };
        all += &format!("redis_locked_{name}{{lock_name=\"$lock_name\"}}{rest}");
    }
    all
}

#[test]
fn it_asks_what_the_page_says_for_each_lock() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let asked: Vec<_> = panels
        .iter()
        .filter_map(|panel| panel["targets"][0]["expr"].as_str())
        .map(str::to_owned)
        .collect();
    assert_eq!(asked, queries_of_the_page());
    assert_eq!(asked.len(), 7);
    let rows: Vec<_> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["repeat"], "lock_name");
}

#[test]
fn what_it_names_is_there() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let names: BTreeSet<_> = variables
        .iter()
        .map(|variable| variable["name"].as_str().expect("a name"))
        .collect();
    for used in DASHBOARD.split('$').skip(1) {
        let name = used.trim_start_matches('{');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &name[..end.expect("an end")];
        // `$__all` is Grafana's own.
        assert!(name.starts_with("__") || names.contains(name), "{name}");
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "an id stands for two");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(side("x") + side("w") <= 24, "{panel}");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "two lie at {x}, {y}");
            }
        }
    }
}
