//! Measures what `docs/benchmarks.md` lists.
//!
//! ```text
//! cargo bench --bench compare -- [--json] [--builds] [--quick] [--only <part of a row's name>]
//! ```

use std::time::Instant;

use redis_locked_benches::{Plan, rows, table};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut plan = Plan {
        quick: false,
        builds: false,
        only: None,
        heap: env!("CARGO_BIN_EXE_heap").into(),
        contender: env!("CARGO_BIN_EXE_contender").into(),
        traced: env!("CARGO_BIN_EXE_traced").into(),
        visitors: env!("CARGO_BIN_EXE_visitors").into(),
    };
    let (mut asked, mut json) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => asked = true,
            "--json" => json = true,
            "--quick" => plan.quick = true,
            "--builds" => plan.builds = true,
            "--only" => plan.only = arguments.next(),
            other => {
                eprintln!("{other}? There are --json, --builds, --quick and --only <name>.");
                std::process::exit(2);
            }
        }
    }
    // `cargo test --all-targets` runs this without it.
    if !asked {
        return;
    }
    let started = Instant::now();
    let lines = rows::measure(plan).await;
    if json {
        println!("{}", table::json(&lines));
    } else {
        print!("{}", table::table(&lines));
        eprintln!("in {:.0?}", started.elapsed());
    }
}
