//! A scrape, read as the text that it is.

use std::collections::{BTreeMap, BTreeSet};

use super::http;

/// What riot told.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) text: String,
    /// Values by name and labels, as they stand in the text.
    samples: BTreeMap<String, String>,
}

impl Scrape {
    /// Asks for `/metrics`.
    #[track_caller]
    pub(super) fn of(address: &str) -> Self {
        let answer = http::get(address, "/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.to_owned())
        });
        Self {
            samples: samples.collect(),
            text: answer.body,
        }
    }

    /// The value of one series; `None` where it is not told.
    pub(super) fn find(&self, series: &str) -> Option<f64> {
        let value = self.samples.get(series)?;
        Some(value.parse().unwrap())
    }

    /// The value of one series.
    #[track_caller]
    pub(super) fn value(&self, series: &str) -> f64 {
        self.find(series)
            .unwrap_or_else(|| panic!("{series} is not in\n{}", self.text))
    }

    /// The value of one series, which is a whole number.
    #[track_caller]
    pub(super) fn count(&self, series: &str) -> u64 {
        self.value(series);
        whole(&self.samples[series])
    }

    /// Whether one series is told, with this value.
    pub(super) fn is(&self, series: &str, count: u64) -> bool {
        let value = self.samples.get(series);
        value.is_some_and(|value| digits(value) == count.to_string())
    }

    /// The sum of all series of one name, which are whole numbers; 0 where there is none.
    pub(super) fn sum(&self, name: &str) -> u64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        let samples = self.samples.iter();
        samples
            .filter(|(series, _)| of_name(series))
            .map(|(_, value)| whole(value))
            .sum()
    }

    /// Every metric with its type and the names of its labels.
    pub(super) fn metrics(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let form = regex::Regex::new(r#"([a-z_]+)="[^"]*""#).unwrap();
        let types = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "));
        let types = types.map(|line| line.split_once(' ').unwrap());
        types
            .map(|(name, kind)| {
                let mut labels = BTreeSet::new();
                for series in self.samples.keys() {
                    let of_it = series.split('{').next().unwrap();
                    let part = of_it.strip_prefix(name);
                    let parts: &[&str] = match kind {
                        "histogram" => &["_bucket", "_sum", "_count"],
                        _ => &[""],
                    };
                    if !part.is_some_and(|part| parts.contains(&part)) {
                        continue;
                    }
                    let found = form.captures_iter(series);
                    labels.extend(found.map(|label| label[1].to_owned()));
                }
                labels.remove("le");
                (name.to_owned(), (kind.to_owned(), labels))
            })
            .collect()
    }
}

/// A value, which is a whole number.
#[track_caller]
fn whole(value: &str) -> u64 {
    let number = digits(value).parse();
    number.unwrap_or_else(|_| panic!("{value} is no whole number"))
}

/// Gauges are told with a point, whole or not.
fn digits(value: &str) -> &str {
    value.strip_suffix(".0").unwrap_or(value)
}
