//! Tests that calculate all the time, beside those that wait.

/// Has the system prefer all others to this thread, and to those that it starts: a test that keeps
/// processors busy then runs beside tests that measure time, in the time that they wait.
///
/// # Panics
///
/// Panics if the system refuses.
pub fn step_back() {
    rustix::process::nice(19).expect("whoever asks for less gets it");
}
