//! What stands in for the metrics when nobody wants them: nothing.

use std::time::Duration;

use crate::store::Outcome;

pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn new(_name: &'static str) -> Self {
        Self
    }
}

pub(crate) struct Holding;

impl Holding {
    pub(crate) fn new(_name: &'static str) -> Self {
        Self
    }
}

pub(crate) fn describe() {}

pub(crate) fn show(_name: &'static str) {}

pub(super) fn busy(_name: &'static str) {}

pub(super) fn already_done(_name: &'static str, _ago: Duration) {}

pub(crate) fn show_runs(_name: &'static str) {}

pub(crate) fn run_ended(_name: &'static str, _outcome: Outcome) {}

pub(super) fn lost(_name: &'static str) {}

pub(crate) fn backend_error(_name: &'static str) {}

pub(crate) fn failed_release(_name: &'static str) {}
