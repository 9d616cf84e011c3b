//! Medians and percentiles.

use std::time::{Duration, Instant};

/// The value below which this share of the sample lies.
///
/// # Panics
///
/// When the sample is empty.
#[must_use]
pub fn percentile(mut sample: Vec<f64>, share: f64) -> f64 {
    assert!(!sample.is_empty(), "nothing was measured");
    sample.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a sample of this size is exact"
    )]
    let at = ((sample.len() - 1) as f64 * share).round() as usize;
    sample[at]
}

/// The middle of the sample.
#[must_use]
pub fn median(sample: Vec<f64>) -> f64 {
    percentile(sample, 0.5)
}

/// Microseconds.
#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The microseconds since then.
#[must_use]
pub fn micros_since(then: Instant) -> f64 {
    micros(then.elapsed())
}

/// Two that were measured in the same rounds.
#[derive(Debug, Default)]
pub struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Adds a round.
    pub fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// The median of ours.
    #[must_use]
    pub fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    /// The median of theirs.
    #[must_use]
    pub fn theirs(&self) -> f64 {
        median(self.theirs.clone())
    }

    /// The median of the rounds' ratios, ours to theirs.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let pairs = self.ours.iter().zip(&self.theirs);
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}
