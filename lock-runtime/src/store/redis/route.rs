//! Which node of a cluster takes a command.

use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

use super::message::Message;
use super::script::argument;

/// The node that has the slot of the first command's key.
pub(super) fn home(message: &Message) -> SingleNodeRoutingInfo {
    let key = message.commands().next().and_then(key_of);
    key.map_or(SingleNodeRoutingInfo::Random, |key| {
        SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master))
    })
}

/// The first key of one of our commands: `SET key …` or `EVAL… script count key …`.
fn key_of(command: &Cmd) -> Option<&[u8]> {
    match argument(command, 0)? {
        b"SET" => argument(command, 1),
        b"EVAL" | b"EVALSHA" => argument(command, 3),
        _ => None,
    }
}

/// The node to which a slot is on its way, and that has its new keys already. It has to be told
/// (`ASKING`) that we know.
///
/// Where a slot has moved for good, redis-rs has looked up all slots when the command is sent again.
pub(super) fn redirected(error: &RedisError) -> Option<SingleNodeRoutingInfo> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Ask) {
        return None;
    }
    let (host, port) = node_of(error)?;
    Some(SingleNodeRoutingInfo::ByAddress { host, port })
}

/// The host and the port of the node that takes what another has refused.
fn node_of(error: &RedisError) -> Option<(String, u16)> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = (!host.is_empty()).then(|| host.to_owned())?;
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::script::ACQUIRE;

    #[test]
    fn the_key_of_each_command_is_found() {
        let mut set = redis::cmd("SET");
        set.arg("a{b}").arg("value").arg("NX");
        assert_eq!(key_of(&set), Some(&b"a{b}"[..]));
        for mut script in [ACQUIRE.by_hash(), ACQUIRE.by_source()] {
            script.arg(2).arg("key").arg("{key}:fence").arg("value");
            assert_eq!(key_of(&script), Some(&b"key"[..]));
        }
        assert_eq!(key_of(&redis::cmd("WAIT").arg(1).arg(0).to_owned()), None);
    }
}
