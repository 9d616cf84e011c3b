//! Random values from the operating system, for names and for pauses.

#[cfg(simulation)]
pub(crate) mod seeded;
#[cfg(not(simulation))]
mod stock;

#[cfg(simulation)]
use rand::Rng as _;
use rand::distr::{Distribution, StandardUniform};
#[cfg(not(simulation))]
use rand::rand_core::UnwrapErr;
#[cfg(not(simulation))]
use rand::rngs::SysRng;
use tokio::runtime::Handle;
use tokio::time::Instant;

#[cfg(simulation)]
use seeded::draw;

/// How many random bytes a name has.
pub(crate) const NAME_LEN: usize = 16;

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

/// Random bytes that nobody else has, for a name that is given now, in this runtime.
///
/// # Panics
///
/// As [`random`].
pub(crate) fn random_name(now: Instant, runtime: &Handle) -> [u8; NAME_LEN] {
    #[cfg(not(simulation))]
    return stock::take(now, runtime.id());
    #[cfg(simulation)]
    {
        let _ = (now, runtime);
        let mut bytes = [0; NAME_LEN];
        draw(|source| source.fill_bytes(&mut bytes));
        bytes
    }
}
