//! `forget`: a period that has had its run may have another.

use std::io::Write as _;

use crate::exit::{Failure, NO, say};
use crate::lock::record_key;
use crate::options::Forget;

pub(crate) async fn forget(options: &Forget) -> Result<u8, Failure> {
    let key = &options.key;
    let full = format!("{}{key}", options.connection.prefix);
    let Some(record) = record_key(&full) else {
        return Err(Failure::usage(format_args!(
            "lock {key:?} has no record: its braces allow none"
        )));
    };
    let nodes = options.connection.servers()?.connect().await?;
    if nodes.quorum.is_some() {
        return Err(Failure::usage(
            "a quorum keeps no records, so there is nothing to forget",
        ));
    }
    let mut forgotten = 0;
    for node in &mut nodes.of_key(&full).await? {
        let mut forget = redis::cmd("HDEL");
        let count: u64 = node.ask(forget.arg(&record).arg("done")).await?;
        forgotten += count;
    }
    if forgotten == 0 {
        say(format_args!(
            "no period of lock {key:?} is recorded as done; nothing was forgotten"
        ));
        return Ok(NO);
    }
    writeln!(
        std::io::stdout().lock(),
        "lock {key:?} may run again in this period; a run that is under way counts when it ends"
    )?;
    Ok(0)
}
