//! Whether a run succeeded, by what its body returned.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::store::Outcome;

/// A result that tells whether a run succeeded, for [`LockRequest::run`](crate::LockRequest::run) of a
/// request with `once_per` or `record`.
///
/// An `Err` is a run that failed. All other results that the library knows are successes: `()`, an
/// `Option`, numbers, texts, collections, tuples. `bool` is not among them, since a `false` can mean
/// either. A body that never returns has to say a type, as in `async { panic!(); () }`. Implement the trait for
/// a type of your own:
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// struct Summary { sent: u32, failed: u32 }
///
/// impl redis_locked::RunResult for Summary {
///     fn succeeded(&self) -> bool {
///         self.failed == 0
///     }
/// }
/// ```
///
/// An annotated function does not need it: there, an `Err` of any `Result` is a run that failed, and
/// everything else is a success, also a return type that is a type parameter.
#[diagnostic::on_unimplemented(
    message = "whether a run that returns `{Self}` succeeded is not known",
    label = "the body of this request, whose run is recorded, returns `{Self}`",
    note = "return a `Result` (`Err` is a run that failed) or `()` from the body",
    note = "or write `impl redis_locked::RunResult for` your type; its method `succeeded` says yes where it is not written"
)]
pub trait RunResult {
    /// Whether this is the result of a run that succeeded; by default it is.
    fn succeeded(&self) -> bool {
        true
    }
}

impl<T, E> RunResult for Result<T, E> {
    fn succeeded(&self) -> bool {
        self.is_ok()
    }
}

impl<T> RunResult for Option<T> {}
impl<T> RunResult for Vec<T> {}
impl<T> RunResult for VecDeque<T> {}
impl<T> RunResult for BTreeSet<T> {}
impl<T, S> RunResult for HashSet<T, S> {}
impl<K, V> RunResult for BTreeMap<K, V> {}
impl<K, V, S> RunResult for HashMap<K, V, S> {}
impl<T> RunResult for [T] {}
impl<T, const N: usize> RunResult for [T; N] {}
impl<T: ?Sized + ToOwned> RunResult for Cow<'_, T> {}
impl<A, B> RunResult for (A, B) {}
impl<A, B, C> RunResult for (A, B, C) {}

macro_rules! succeed {
    ($($type:ty)*) => { $(impl RunResult for $type {})* };
}

succeed! {
    () Infallible Duration String str char
    u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64
}

macro_rules! as_inside {
    ($($type:ty)*) => {
        $(impl<T: RunResult + ?Sized> RunResult for $type {
            fn succeeded(&self) -> bool {
                (**self).succeeded()
            }
        })*
    };
}

as_inside!(&T Box<T> Rc<T> Arc<T>);

/// What a result says of its run.
pub(crate) fn outcome_of<T: RunResult + ?Sized>(result: &T) -> Outcome {
    outcome(result.succeeded())
}

pub(crate) fn outcome(succeeded: bool) -> Outcome {
    if succeeded {
        Outcome::Ok
    } else {
        Outcome::Error
    }
}
