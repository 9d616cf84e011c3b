//! The two kinds of requests.

/// A [`LockRequest`](crate::LockRequest) whose run is not recorded.
#[derive(Debug)]
pub enum Plain {}

/// A [`LockRequest`](crate::LockRequest) with [`once_per`](crate::LockRequest::once_per) or
/// [`record`](crate::LockRequest::record). Its bodies return a [`RunResult`](crate::RunResult), which
/// tells whether they succeeded.
#[derive(Debug)]
pub enum Recorded {}
