//! Which master of a cluster has which slot, as far as it is known.

use redis::cluster_routing::Slot;

use crate::store::redis::cluster::{Address, Ranges};

#[derive(Default)]
pub(super) struct Homes(Ranges);

impl Homes {
    pub(super) fn new(ranges: Ranges) -> Self {
        Self(ranges)
    }

    pub(super) fn of(&self, slot: u16) -> Option<Address> {
        let has = |slots: &[(u16, u16)]| {
            let mut slots = slots.iter();
            slots.any(|(from, to)| (*from..=*to).contains(&slot))
        };
        let mut ranges = self.0.iter();
        Some(ranges.find(|(_, slots)| has(slots))?.0.clone())
    }

    pub(super) fn is_master(&self, at: &Address) -> bool {
        self.0.contains_key(at)
    }
}

pub(super) fn slot_of(channel: &str) -> u16 {
    let slot = Some(Slot::for_key(channel));
    let mut numbers = 0..=u16::MAX;
    let number = numbers.find(|number| Slot::new(*number) == slot);
    number.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_slot_is_that_of_the_cluster() {
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("a{123456789}"), 0x31c3);
    }

    #[test]
    fn a_slot_is_at_the_master_that_has_it() {
        let [one, other] = [7001, 7002].map(|port| ("host".to_owned(), port));
        let ranges = Ranges::from([(one.clone(), vec![(0, 9), (20, 29)])]);
        let homes = Homes::new(ranges);
        assert_eq!(homes.of(9), Some(one.clone()));
        assert_eq!(homes.of(10), None);
        assert_eq!(homes.of(20), Some(one.clone()));
        assert!(homes.is_master(&one) && !homes.is_master(&other));
    }
}
