//! Locks of other libraries beside those of redis-locked: see `other_clients.rs`. A package of its
//! own, so that nobody who builds redis-locked needs the others.
