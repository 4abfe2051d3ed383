//! Prometheus' text format (0.0.4): families, samples, histograms. Not here: which figures there are (`metrics`).

use std::fmt::{Display, Write};

/// A page in the making. Writing to a string does not fail, so the results of `write!` are dropped.
pub(super) struct Exposition(String);

impl Exposition {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(8192))
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            self.0.push('{');
            for (index, (label, of)) in labels.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(self.0, "{comma}{label}=\"{}\"", escaped(of));
            }
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family with one sample.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A histogram's samples: bounds in seconds, counts per bucket and of what is above the last bound, not cumulated.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = f64>,
        buckets: &[u64],
        sum_seconds: f64,
    ) {
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in bounds
            .map(|bound| bound.to_string())
            .chain(["+Inf".to_owned()])
            .zip(buckets)
        {
            below += count;
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&bucket, &labels, below);
        }
        self.sample(&format!("{name}_sum"), labels, sum_seconds);
        self.sample(&format!("{name}_count"), labels, below);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_histograms_cumulated() {
        let mut page = Exposition::new();
        page.family("f", "histogram", "Help.");
        page.histogram("f", &[("l", "a\"b\\c\nd")], [0.5, 1.0].into_iter(), &[1, 0, 2], 3.5);
        page.single("g", "gauge", "Help.", 1.5);
        let expected = "# HELP f Help.\n# TYPE f histogram\n\
            f_bucket{l=\"a\\\"b\\\\c\\nd\",le=\"0.5\"} 1\nf_bucket{l=\"a\\\"b\\\\c\\nd\",le=\"1\"} 1\n\
            f_bucket{l=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 3\nf_sum{l=\"a\\\"b\\\\c\\nd\"} 3.5\nf_count{l=\"a\\\"b\\\\c\\nd\"} 3\n\
            # HELP g Help.\n# TYPE g gauge\ng 1.5\n";
        assert_eq!(page.into_text(), expected);
    }
}
