//! What stands in for the metrics when nobody wants them: nothing.

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

pub(super) fn lost(_name: &'static str) {}

pub(crate) fn backend_error(_name: &'static str) {}

pub(crate) fn failed_release(_name: &'static str) {}
