//! Random values from the operating system, for names and for pauses.

use rand::RngExt as _;
use rand::distr::{Distribution, StandardUniform};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// A random value of this type, evenly spread; a number between zero and one for `f64`.
///
/// # Panics
///
/// When the operating system has no random numbers, which it says only before it has started.
pub(crate) fn random<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    UnwrapErr(SysRng).random()
}
