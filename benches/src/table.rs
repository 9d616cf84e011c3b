//! What was measured, as a table for people and as JSON for machines.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Locks per second.
    PerSecond,
    /// A share of all.
    Percent,
    /// Bytes.
    Bytes,
    /// Things, named by the row.
    Count,
}

/// A number and its unit.
#[derive(Debug, Clone, Copy)]
pub struct Figure(pub f64, pub Unit);

/// What the issue asks for.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The ratio is to be no higher.
    RatioAtMost(f64),
    /// The ratio is to be no lower.
    RatioAtLeast(f64),
    /// Our figure is to be no higher.
    AtMost(f64),
    /// Our figure is to be no lower.
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Line {
    measured: String,
    ours: Figure,
    beside: Option<(String, Result<Figure, String>)>,
    ratio: Option<f64>,
    target: Option<Target>,
}

impl Line {
    /// A figure of ours, beside nothing.
    #[must_use]
    pub fn ours(measured: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            measured: measured.into(),
            ours: Figure(value, unit),
            beside: None,
            ratio: None,
            target: None,
        }
    }

    /// Beside another's, with the ratio of ours to it.
    #[must_use]
    pub fn beside(mut self, whose: impl Into<String>, value: f64, ratio: f64) -> Self {
        self.beside = Some((whose.into(), Ok(Figure(value, self.ours.1))));
        self.ratio = Some(ratio);
        self
    }

    /// Beside one who can't do that.
    #[must_use]
    pub fn beside_none(mut self, whose: impl Into<String>, why: impl Into<String>) -> Self {
        self.beside = Some((whose.into(), Err(why.into())));
        self
    }

    /// What is asked for.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn is_met(&self) -> Option<bool> {
        let Figure(ours, _) = self.ours;
        Some(match self.target? {
            Target::RatioAtMost(limit) => self.ratio? <= limit,
            Target::RatioAtLeast(limit) => self.ratio? >= limit,
            Target::AtMost(limit) => ours <= limit,
            Target::AtLeast(limit) => ours >= limit,
        })
    }

    fn cells(&self) -> [String; 6] {
        let beside = match &self.beside {
            None => String::new(),
            Some((whose, Ok(figure))) => format!("{whose}: {figure}"),
            Some((whose, Err(why))) => format!("{whose}: {why}"),
        };
        let ratio = self.ratio.map_or_else(String::new, times);
        let unit = self.ours.1;
        let target = match self.target {
            None => String::new(),
            Some(Target::RatioAtMost(limit)) => format!("≤ {}", times(limit)),
            Some(Target::RatioAtLeast(limit)) => format!("≥ {}", times(limit)),
            Some(Target::AtMost(limit)) => format!("≤ {}", Figure(limit, unit)),
            Some(Target::AtLeast(limit)) => format!("≥ {}", Figure(limit, unit)),
        };
        let verdict = match self.is_met() {
            None => "",
            Some(true) => "met",
            Some(false) => "missed",
        };
        [
            self.measured.clone(),
            self.ours.to_string(),
            beside,
            ratio,
            target,
            verdict.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let (beside, theirs, cannot) = match &self.beside {
            None => (None, None, None),
            Some((whose, Ok(Figure(value, _)))) => (Some(whose), Some(*value), None),
            Some((whose, Err(why))) => (Some(whose), None, Some(why)),
        };
        let (kind, limit) = match self.target {
            None => (None, None),
            Some(Target::RatioAtMost(limit)) => (Some("ratio at most"), Some(limit)),
            Some(Target::RatioAtLeast(limit)) => (Some("ratio at least"), Some(limit)),
            Some(Target::AtMost(limit)) => (Some("at most"), Some(limit)),
            Some(Target::AtLeast(limit)) => (Some("at least"), Some(limit)),
        };
        json!({
            "measured": self.measured,
            "unit": self.ours.1.to_string().trim(),
            "ours": self.ours.0,
            "beside": beside,
            "theirs": theirs,
            "cannot": cannot,
            "ratio": self.ratio,
            "target": kind.map(|kind| json!({ "kind": kind, "limit": limit })),
            "met": self.is_met(),
        })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Micros => " µs",
            Self::Millis => " ms",
            Self::Seconds => " s",
            Self::PerSecond => "/s",
            Self::Percent => " %",
            Self::Bytes => " bytes",
            Self::Count => "",
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        let digits = match value.abs() {
            _ if unit == Unit::Bytes => 0,
            0.0..10.0 if value.fract() != 0.0 => 2,
            0.0..100.0 if value.fract() != 0.0 => 1,
            _ => 0,
        };
        write!(f, "{}{unit}", grouped(&format!("{value:.digits$}")))
    }
}

fn times(ratio: f64) -> String {
    let digits = if ratio < 10.0 { 2 } else { 0 };
    format!("{} ×", grouped(&format!("{ratio:.digits$}")))
}

/// With a comma between thousands.
fn grouped(number: &str) -> String {
    let (whole, fraction) = number
        .find('.')
        .map_or((number, ""), |dot| number.split_at(dot));
    let mut text = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// A Markdown table whose columns line up.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let head = ["measured", "ours", "beside it", "ratio", "target", ""].map(String::from);
    let mut rows = vec![head];
    rows.extend(lines.iter().map(Line::cells));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "| {cell:<width$} ").expect("text");
        }
        text += "|\n";
        if number == 0 {
            for width in &widths {
                write!(text, "| {:-<width$} ", "").expect("text");
            }
            text += "|\n";
        }
    }
    text
}

/// The same for machines.
#[must_use]
pub fn json(lines: &[Line]) -> String {
    let lines: Vec<Value> = lines.iter().map(Line::json).collect();
    format!("{:#}", Value::from(lines))
}
