//! A TCP port that stays ours while nobody listens on it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::directory::random;

/// Below the range that systems give to outgoing connections (Linux from 32768, macOS from 49152):
/// a port of that range could be taken while our server restarts.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// The claim is a UDP socket on the same number. It keeps out whoever else claims ports in this
/// way, in any process, and the system frees it when this process dies.
pub(crate) struct Port {
    number: u16,
    _claim: UdpSocket,
}

impl Port {
    pub(crate) fn claim() -> Self {
        let size = usize::from(RANGE.end - RANGE.start);
        let start = usize::try_from(random() % u64::from(RANGE.end - RANGE.start)).unwrap_or(0);
        RANGE
            .cycle()
            .skip(start)
            .take(size)
            .find_map(|number| {
                let address = (Ipv4Addr::LOCALHOST, number);
                let claim = UdpSocket::bind(address).ok()?;
                TcpListener::bind(address).ok()?;
                Some(Self {
                    number,
                    _claim: claim,
                })
            })
            .expect("a free port of 127.0.0.1")
    }

    /// A port that someone else has, as after a lost race.
    #[cfg(test)]
    pub(crate) fn of_someone_else(number: u16) -> Self {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("any port");
        Self {
            number,
            _claim: claim,
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Port;

    #[test]
    fn a_port_is_claimed_once() {
        let threads: Vec<_> = (0..16)
            .map(|_| std::thread::spawn(|| (0..100).map(|_| Port::claim()).collect::<Vec<_>>()))
            .collect();
        let ports: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("claimed"))
            .collect();
        let numbers: BTreeSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}
