//! One lock out of what the servers of a quorum say.

use std::collections::BTreeMap;

use crate::lock::{Lock, Share};

/// For each key, the holder that most servers name, and how many do.
pub(crate) fn merge(found: Vec<Vec<Lock>>, of: usize) -> Vec<Lock> {
    let mut keys: BTreeMap<String, BTreeMap<String, Vec<Lock>>> = BTreeMap::new();
    for lock in found.into_iter().flatten() {
        let holders = keys.entry(lock.key.clone()).or_default();
        holders.entry(lock.token.clone()).or_default().push(lock);
    }
    let most = |holders: BTreeMap<String, Vec<Lock>>| {
        let copies = holders.into_values().max_by_key(Vec::len)?;
        Some(one(copies, of))
    };
    keys.into_values().filter_map(most).collect()
}

/// The lock lasts for as long as a majority has it.
fn one(mut copies: Vec<Lock>, of: usize) -> Lock {
    let holding = copies.len();
    // Longest first; no expiry is longest.
    copies.sort_by_key(|lock| std::cmp::Reverse((lock.left.is_none(), lock.left)));
    let decides = (of / 2).min(holding - 1);
    let mut lock = copies.swap_remove(decides);
    lock.servers = Some(Share { holding, of });
    lock
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::lock::Reading;

    fn lock(token: &str, left: u64) -> Vec<Lock> {
        let left = Some(Duration::from_millis(left));
        let reading = Reading::since(Instant::now());
        vec![Lock::read("k".into(), token.as_bytes(), left, reading)]
    }

    #[test]
    fn a_lock_lasts_for_as_long_as_a_majority_has_it() {
        let merged = merge(vec![lock("a", 10), lock("a", 30), lock("a", 20)], 3);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].left, Some(Duration::from_millis(20)));
        assert_eq!(merged[0].servers, Some(Share { holding: 3, of: 3 }));
    }

    #[test]
    fn the_holder_on_most_servers_is_named() {
        let merged = merge(vec![lock("a", 10), lock("b", 30), lock("b", 20)], 3);
        assert_eq!((merged[0].token.as_str(), merged.len()), ("b", 1));
        assert!(merged[0].servers.is_some_and(Share::is_majority));
        let merged = merge(vec![lock("a", 10), Vec::new(), Vec::new()], 3);
        assert!(!merged[0].servers.is_some_and(Share::is_majority));
    }
}
