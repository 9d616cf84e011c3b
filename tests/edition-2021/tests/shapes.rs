//! The shapes of `tests/shapes.rs`, in edition 2021.

#![deny(warnings, missing_docs, clippy::pedantic)]
#![forbid(unsafe_code)]

#[path = "../../shapes.rs"]
mod shapes;
