//! All chance of a run, from its seed.

use std::ops::RangeInclusive;

use rand::RngExt as _;
use rand::distr::uniform::{SampleRange as _, SampleUniform};

pub(super) use crate::random::seeded::begin;
use crate::random::seeded::draw;

pub(super) fn between<T: SampleUniform + PartialOrd>(range: RangeInclusive<T>) -> T {
    draw(|source| range.sample_single(source)).expect("no empty range")
}

pub(super) fn one_in(chances: u32) -> bool {
    draw(|source| source.random_range(0..chances)) == 0
}

pub(super) fn one_of<T>(things: &[T]) -> &T {
    &things[between(0..=things.len() - 1)]
}

/// One of these, each as likely as its weight says.
pub(super) fn weighed<T>(things: &[T], weight: impl Fn(&T) -> u32) -> &T {
    let sum: u32 = things.iter().map(&weight).sum();
    let mut left = between(0..=sum.max(1) - 1);
    for thing in things {
        match left.checked_sub(weight(thing)) {
            None => return thing,
            Some(rest) => left = rest,
        }
    }
    things.last().expect("something to draw from")
}

pub(super) fn shuffle<T>(things: &mut [T]) {
    for last in (1..things.len()).rev() {
        things.swap(last, between(0..=last));
    }
}
