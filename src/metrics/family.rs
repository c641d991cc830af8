//! Metrics as plain values: families of samples that have labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::stats::Times;

/// Names with values, known when riot is built.
pub(super) type Labels = Vec<(&'static str, &'static str)>;

/// What a sample is worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A count that only grows.
    Count(u64),
    /// The same of a quantity that has fractions.
    Sum(f64),
    /// What it is now.
    Gauge(f64),
    /// Times by these bounds, in seconds.
    Times(&'static [f64], Times),
}

impl Value {
    /// What an earlier run came to is added; what was is nothing now.
    fn add(&mut self, earlier: &Self) {
        match (self, earlier) {
            (Self::Count(now), Self::Count(before)) => *now += before,
            (Self::Sum(now), Self::Sum(before)) => *now += before,
            (Self::Times(_, now), Self::Times(_, before)) => {
                now.count += before.count;
                now.seconds += before.seconds;
                for (now, before) in now.within.iter_mut().zip(&before.within) {
                    *now += before;
                }
            }
            _ => {}
        }
    }
}

/// Samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    /// Without its unit, and without what tells a counter.
    name: &'static str,
    unit: Option<Of>,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Labels, Value)>,
}

/// What is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Bytes,
    Seconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Family {
    fn new(kind: Kind, name: &'static str, unit: Option<Of>, help: &'static str) -> Self {
        Self {
            name,
            unit,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// A count that only grows: `name_total`, or with its unit between.
    pub(super) fn counter(name: &'static str, unit: Option<Of>, help: &'static str) -> Self {
        Self::new(Kind::Counter, name, unit, help)
    }

    /// What it is now.
    pub(super) fn gauge(name: &'static str, unit: Option<Of>, help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, unit, help)
    }

    /// Times in seconds.
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, Some(Of::Seconds), help)
    }

    /// One more sample.
    pub(super) fn sample(mut self, labels: Labels, value: Value) -> Self {
        self.samples.push((labels, value));
        self
    }

    /// The one sample, which has no labels.
    pub(super) fn of(self, value: Value) -> Self {
        self.sample(Vec::new(), value)
    }

    /// A count for each value of a label.
    pub(super) fn by(
        self,
        label: &'static str,
        counts: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        counts.into_iter().fold(self, |family, (name, count)| {
            family.sample(vec![(label, name)], Value::Count(count))
        })
    }

    /// What it is now for each value of a label.
    pub(super) fn levels(
        self,
        label: &'static str,
        levels: impl IntoIterator<Item = (&'static str, f64)>,
    ) -> Self {
        levels.into_iter().fold(self, |family, (name, level)| {
            family.sample(vec![(label, name)], Value::Gauge(level))
        })
    }

    /// Writes it.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = self.unit.map(|unit| match unit {
            Of::Bytes => Unit::Bytes,
            Of::Seconds => Unit::Seconds,
        });
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut encoder = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                write(&mut encoder, value)?;
            } else {
                write(&mut encoder.encode_family(labels)?, value)?;
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    const NONE: Option<&Exemplar<Labels, f64>> = None;
    match value {
        Value::Count(count) => encoder.encode_counter(count, NONE),
        Value::Sum(sum) => encoder.encode_counter(sum, NONE),
        Value::Gauge(value) => encoder.encode_gauge(value),
        Value::Times(bounds, times) => {
            let within: u64 = times.within.iter().sum();
            let buckets: Vec<(f64, u64)> = bounds
                .iter()
                .copied()
                .zip(times.within.iter().copied())
                .chain([(f64::INFINITY, times.count.saturating_sub(within))])
                .collect();
            encoder.encode_histogram::<Labels>(times.seconds, times.count, &buckets, None)
        }
    }
}

/// Counts of earlier runs are added to those of the run that goes on, so that no counter falls.
pub(super) fn add(now: &mut Vec<Family>, earlier: Vec<Family>) {
    for before in earlier {
        if before.kind == Kind::Gauge {
            continue;
        }
        let Some(family) = now.iter_mut().find(|family| family.name == before.name) else {
            now.push(before);
            continue;
        };
        for (labels, value) in before.samples {
            let mut known = family.samples.iter_mut();
            match known.find(|(known, _)| *known == labels) {
                Some((_, sample)) => sample.add(&value),
                None => family.samples.push((labels, value)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: u64) -> Value {
        Value::Times(
            &[0.1, 1.0],
            Times {
                count,
                seconds: 2.0,
                within: vec![count, 0],
            },
        )
    }

    #[test]
    fn counters_of_runs_add_up_and_gauges_do_not() {
        let run = |keys, side| {
            vec![
                Family::counter("keys", None, "").by("side", [(side, keys)]),
                Family::gauge("depth", None, "").of(Value::Gauge(1.0)),
                Family::histogram("lag", "").of(times(keys)),
            ]
        };
        let mut now = run(3, "source");
        let other = run(1, "target");
        add(&mut now, run(2, "source"));
        add(&mut now, other);
        let keys = Family::counter("keys", None, "").by("side", [("source", 5), ("target", 1)]);
        assert_eq!(now[0], keys);
        assert_eq!(now[1].samples, [(vec![], Value::Gauge(1.0))]);
        let Value::Times(_, lag) = &now[2].samples[0].1 else {
            panic!("a histogram stays one")
        };
        assert_eq!((lag.count, lag.within[0]), (6, 6));
    }
}
