//! The simulated server answers what a real one does, byte for byte.

mod expiry;
mod moods;
mod pair;
mod random;
mod scripts;
mod words;
