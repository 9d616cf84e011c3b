//! Random values from the operating system, for names and for pauses.

#[cfg(simulation)]
pub(crate) mod seeded;

use rand::Rng as _;
use rand::distr::{Distribution, StandardUniform};
#[cfg(not(simulation))]
use rand::rand_core::UnwrapErr;
#[cfg(not(simulation))]
use rand::rngs::SysRng;

#[cfg(simulation)]
use seeded::draw;

#[cfg(not(simulation))]
fn draw<T>(from: impl FnOnce(&mut UnwrapErr<SysRng>) -> T) -> T {
    from(&mut UnwrapErr(SysRng))
}

/// A random value of this type, evenly spread; a number between zero and one for `f64`.
///
/// # Panics
///
/// When the operating system has no random numbers, which it says only before it has started.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    draw(rand::RngExt::random)
}

/// Random bytes, by one call of the system. [`random`] makes a call for each byte: for a token, that
/// was a tenth of the time of an uncontended lock.
///
/// # Panics
///
/// As [`random`].
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    draw(|source| source.fill_bytes(&mut bytes));
    bytes
}
