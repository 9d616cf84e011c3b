//! What is measured, a file each.

mod allocations;
mod builds;
mod extensions;
mod hand_over;
mod line;
mod one_lock;
mod own_locks;
mod places;
mod processes;
mod traces;
mod uncontended;
mod waiters;

use futures_util::future::LocalBoxFuture;
use redis_locked_test_support::Server;

use crate::table::Line;
use crate::{Plan, ours};

/// Measures all that the plan wants, on a server of its own.
pub async fn measure(plan: Plan) -> Vec<Line> {
    let server = Server::start().await;
    ours::install(&server.url()).await;
    let rows: Vec<(&str, LocalBoxFuture<'_, Vec<Line>>)> = vec![
        (
            "uncontended",
            Box::pin(uncontended::measure(&plan, &server)),
        ),
        ("own locks", Box::pin(own_locks::measure(&plan, &server))),
        (
            "cluster, own locks",
            Box::pin(own_locks::on_a_cluster(&plan, &server)),
        ),
        ("places", Box::pin(places::measure(&plan, &server))),
        ("one lock", Box::pin(one_lock::measure(&plan, &server))),
        ("two processes", Box::pin(processes::two(&plan, &server))),
        ("hand-over", Box::pin(hand_over::measure(&plan, &server))),
        ("waiters", Box::pin(waiters::measure(&plan, &server))),
        ("line: rates", Box::pin(line::rates(&plan, &server))),
        ("line: commands", Box::pin(line::commands(&plan, &server))),
        ("line: alone", Box::pin(line::alone(&plan, &server))),
        ("line: order", Box::pin(line::order(&plan))),
        ("line: foreign", Box::pin(line::foreign(&plan))),
        ("extensions", Box::pin(extensions::measure(&plan, &server))),
        ("allocations", Box::pin(allocations::measure(&plan))),
        ("traces", Box::pin(traces::measure(&plan, &server))),
        ("builds", Box::pin(async { builds::measure(&plan) })),
    ];
    let mut lines = Vec::new();
    for (name, row) in rows {
        let wanted = plan.only.as_ref();
        if wanted.is_none_or(|wanted| name.contains(wanted.as_str())) {
            eprintln!("measuring: {name}");
            lines.extend(row.await);
        }
    }
    lines
}
