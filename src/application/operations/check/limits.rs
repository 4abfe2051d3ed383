//! Quantities, and the limits that they are held against.

/// A quantity that a check measures, and the limits that it is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What is counted.
    pub unit: Unit,
    /// From here on it is worth a look.
    pub warn: Option<f64>,
    /// From here on it does not hold.
    pub fail: Option<f64>,
}

/// What a quantity is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Hundredths of what there is.
    Percent,
    /// Things.
    Count,
}

impl Unit {
    /// A stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Percent => "percent",
            Self::Count => "count",
        }
    }

    /// What stands behind a number in Nagios's performance data.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::Percent => "%",
            Self::Count => "",
        }
    }

    /// A quantity for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.001 => format!("{:.0} µs", value * 1_000_000.0),
            Self::Seconds if value < 1.0 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds if value < 600.0 => format!("{value:.1} s"),
            Self::Seconds if value < 172_800.0 => format!("{:.0} min", value / 60.0),
            Self::Seconds => format!("{:.0} d", value / 86_400.0),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{:.0} KiB", value / 1024.0),
            Self::Bytes if value < 10.0 * 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", value / 1024.0 / 1024.0),
            Self::Bytes => format!("{:.0} GiB", value / 1024.0 / 1024.0 / 1024.0),
            Self::Percent => format!("{value:.1} %"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Limits {
    pub(super) const fn new(unit: Unit, warn: f64, fail: f64) -> Self {
        Self {
            unit,
            warn: Some(warn),
            fail: Some(fail),
        }
    }

    /// However much it is, the rest holds.
    pub(super) const fn warning(unit: Unit, warn: f64) -> Self {
        Self {
            unit,
            warn: Some(warn),
            fail: None,
        }
    }

    /// Told, and never judged.
    pub(super) const fn none(unit: Unit) -> Self {
        Self {
            unit,
            warn: None,
            fail: None,
        }
    }

    /// Both limits for people; `None` when there is none.
    #[must_use]
    pub fn show(&self) -> Option<String> {
        let show = |value: f64| self.unit.show(value);
        match (self.warn, self.fail) {
            (Some(warn), Some(fail)) => Some(format!("{} / {}", show(warn), show(fail))),
            (Some(limit), None) | (None, Some(limit)) => Some(show(limit)),
            (None, None) => None,
        }
    }
}

/// What was measured: how much, of what, and what to do when it is too much.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// How much, in the unit of the limits.
    pub(super) value: f64,
    /// Of what; empty when the quantity says it all.
    pub(super) words: String,
    /// What to do when it is too much.
    pub(super) hint: Option<String>,
    /// Something else about it is worth a look, however much it is.
    pub(super) suspect: bool,
}
