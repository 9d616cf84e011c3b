//! Addresses by which servers announce each other, and those that lead there from here.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;

use redis::RedisError;

/// A host and a port.
type Address = (String, u16);

/// Announced addresses, each with the one that leads there from here. Others are as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressMap {
    known: HashMap<Address, Address>,
    /// What was given and is no address.
    pub(crate) malformed: Option<String>,
}

impl AddressMap {
    pub(crate) fn add(&mut self, announced: String, reachable: String) {
        match (parse(&announced), parse(&reachable)) {
            (Some(from), Some(to)) => drop(self.known.insert(from, to)),
            (None, _) => self.malformed = Some(announced),
            (_, None) => self.malformed = Some(reachable),
        }
    }

    /// The host and the port that lead to what is announced as these.
    pub(super) fn reach(&self, host: String, port: u16) -> Address {
        let announced = (host, port);
        match self.known.get(&announced) {
            Some(reachable) => reachable.clone(),
            None => announced,
        }
    }

    #[cfg(feature = "cluster")]
    pub(super) fn of_nodes(
        &self,
    ) -> HashMap<redis::cluster::NodeAddress, redis::cluster::NodeAddress> {
        use redis::cluster::NodeAddress;
        let node = |(host, port): &Address| NodeAddress::new(host.as_str(), *port);
        let known = self.known.iter();
        known.map(|(from, to)| (node(from), node(to))).collect()
    }
}

/// `host:port`, where the host may be an address in brackets.
fn parse(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .map_or(Some(host), |host| host.strip_suffix(']'))?;
    if host.is_empty() || host.contains('/') {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

/// What to do about an announced address that leads nowhere.
pub(super) const ADVICE: &str = "check that server; if this address does not lead to it from \
     here, give the locker's builder an `address_map`, or the tool --address-map";

/// Nobody was reached at an announced address.
#[derive(Debug)]
pub(super) struct NobodyThere {
    /// Who announces which, in words.
    pub(super) announced: String,
    pub(super) source: RedisError,
}

impl NobodyThere {
    /// Names the address in an error of the network. What a server said stays as it is.
    pub(super) fn at(announced: String, source: RedisError) -> RedisError {
        if !source.is_io_error() {
            return source;
        }
        let kind = if source.is_connection_refusal() {
            io::ErrorKind::ConnectionRefused
        } else if source.is_timeout() {
            io::ErrorKind::TimedOut
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(kind, Self { announced, source }).into()
    }
}

impl fmt::Display for NobodyThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.announced)
    }
}

impl Error for NobodyThere {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        (host.to_owned(), port)
    }

    #[test]
    fn an_announced_address_leads_elsewhere_and_others_stay() {
        let mut map = AddressMap::default();
        map.add("10.0.0.1:6379".into(), "redis.example.com:7001".into());
        map.add("[fd00::1]:6379".into(), "[::1]:7002".into());
        assert_eq!(map.malformed, None);
        for (from, to) in [
            (
                address("10.0.0.1", 6379),
                address("redis.example.com", 7001),
            ),
            (address("fd00::1", 6379), address("::1", 7002)),
            (address("10.0.0.1", 6380), address("10.0.0.1", 6380)),
        ] {
            assert_eq!(map.reach(from.0, from.1), to);
        }
    }

    #[test]
    fn what_is_no_address_is_kept_to_be_told() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:x",
            "host:65536",
            "[::1:1",
            "redis://a:1",
        ] {
            for (from, to) in [(text, "here:1"), ("there:1", text)] {
                let mut map = AddressMap::default();
                map.add(from.into(), to.into());
                assert_eq!(map.malformed.as_deref(), Some(text));
            }
        }
    }
}
