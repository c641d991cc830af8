//! A scrape, read as the text that it is.

use std::collections::{BTreeMap, BTreeSet};

use super::http;

/// What riot told.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) text: String,
    /// Values by name and labels, as they stand in the text.
    samples: BTreeMap<String, f64>,
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
            (series.to_owned(), value.parse().unwrap())
        });
        Self {
            samples: samples.collect(),
            text: answer.body,
        }
    }

    /// The value of one series; `None` where it is not told.
    pub(super) fn find(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The value of one series.
    #[track_caller]
    pub(super) fn value(&self, series: &str) -> f64 {
        self.find(series)
            .unwrap_or_else(|| panic!("{series} is not in\n{}", self.text))
    }

    /// The sum of all series of one name; 0 where there is none.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        let samples = self.samples.iter();
        samples
            .filter(|(series, _)| of_name(series))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every metric with its type and the names of its labels.
    pub(super) fn metrics(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
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
                    let form = regex::Regex::new(r#"([a-z_]+)="[^"]*""#).unwrap();
                    let found = form.captures_iter(series);
                    labels.extend(found.map(|label| label[1].to_owned()));
                }
                labels.remove("le");
                (name.to_owned(), (kind.to_owned(), labels))
            })
            .collect()
    }
}
