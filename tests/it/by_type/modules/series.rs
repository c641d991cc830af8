//! A time series, as TS.CREATE, TS.ADD, TS.INFO and TS.RANGE are documented.

use std::collections::BTreeMap;

use super::server::{array, number};
use crate::fake::bulk;

/// A time series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// Milliseconds that samples are kept; 0 is for ever.
    pub(super) retention: u64,
    pub(super) chunk_size: u64,
    pub(super) encoding: String,
    pub(super) policy: Option<String>,
    pub(super) labels: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) samples: BTreeMap<u64, f64>,
}

impl Series {
    /// Made with these options; `None` where they are wrong.
    pub(super) fn with(options: &[Vec<u8>]) -> Option<Self> {
        let mut series = Self {
            retention: 0,
            chunk_size: 4096,
            encoding: "compressed".into(),
            policy: None,
            labels: Vec::new(),
            samples: BTreeMap::new(),
        };
        let mut words = options.iter();
        while let Some(option) = words.next() {
            let word = |word: &Vec<u8>| String::from_utf8_lossy(word).to_lowercase();
            match word(option).as_str() {
                "retention" => series.retention = number(words.next()?)?,
                "chunk_size" => series.chunk_size = number(words.next()?)?,
                "encoding" => series.encoding = word(words.next()?),
                "uncompressed" => series.encoding = "uncompressed".into(),
                "duplicate_policy" => series.policy = Some(word(words.next()?)),
                "on_duplicate" => {
                    words.next()?;
                }
                "ignore" => {
                    number::<f64>(words.next()?)?;
                    number::<f64>(words.next()?)?;
                }
                "labels" => {
                    while let Some(label) = words.next() {
                        series.labels.push((label.clone(), words.next()?.clone()));
                    }
                }
                _ => return None,
            }
        }
        Some(series)
    }

    pub(super) fn add(&mut self, time: &[u8], value: &[u8]) -> Vec<u8> {
        let Some(time) = number::<u64>(time) else {
            return b"-ERR TSDB: invalid timestamp\r\n".to_vec();
        };
        // JSON's numbers: no infinity, nothing that is no number. serde_json's own doubles are not always the nearest ones.
        let is_json = serde_json::from_slice::<f64>(value).is_ok();
        let Some(value) = number::<f64>(value).filter(|_| is_json) else {
            return b"-ERR TSDB: invalid value\r\n".to_vec();
        };
        let last = self.samples.keys().next_back().copied().unwrap_or(0);
        if self.retention > 0 && time + self.retention < last {
            return b"-ERR TSDB: Timestamp is older than retention\r\n".to_vec();
        }
        let blocks = self.policy.as_deref().is_none_or(|name| name == "block");
        if blocks && self.samples.contains_key(&time) {
            return b"-ERR TSDB: Error at upsert, update is not supported when DUPLICATE_POLICY is set to BLOCK mode\r\n"
                .to_vec();
        }
        self.samples.insert(time, value);
        format!(":{time}\r\n").into_bytes()
    }

    pub(super) fn info(&self) -> Vec<u8> {
        let integer = |number: u64| format!(":{number}\r\n").into_bytes();
        let simple = |text: &str| format!("+{text}\r\n").into_bytes();
        let nil = || b"$-1\r\n".to_vec();
        let labels: Vec<Vec<u8>> = self
            .labels
            .iter()
            .map(|(name, value)| array(&[bulk(name), bulk(value)]))
            .collect();
        let first = self.samples.keys().next().copied().unwrap_or(0);
        let last = self.samples.keys().next_back().copied().unwrap_or(0);
        let fields: Vec<(&str, Vec<u8>)> = vec![
            ("totalSamples", integer(self.samples.len() as u64)),
            ("memoryUsage", integer(4246)),
            ("firstTimestamp", integer(first)),
            ("lastTimestamp", integer(last)),
            ("retentionTime", integer(self.retention)),
            ("chunkCount", integer(1)),
            ("chunkSize", integer(self.chunk_size)),
            ("chunkType", simple(&self.encoding)),
            (
                "duplicatePolicy",
                self.policy.as_deref().map_or_else(nil, simple),
            ),
            ("labels", array(&labels)),
            ("sourceKey", nil()),
            ("rules", array(&[])),
            ("ignoreMaxTimeDiff", integer(0)),
            ("ignoreMaxValDiff", bulk(b"0")),
        ];
        let items = fields
            .into_iter()
            .flat_map(|(name, value)| [simple(name), value]);
        array(&items.collect::<Vec<_>>())
    }

    /// FROM TO [COUNT n], both ends included.
    pub(super) fn range(&self, words: &[Vec<u8>]) -> Vec<u8> {
        let wrong = || b"-ERR TSDB: wrong fromTimestamp or toTimestamp\r\n".to_vec();
        let [from, to, options @ ..] = words else {
            return wrong();
        };
        let (Some(from), Some(to)) = (bound(from, b"-", 0), bound(to, b"+", u64::MAX)) else {
            return wrong();
        };
        let most = match options {
            [] => usize::MAX,
            [count, most] if count.eq_ignore_ascii_case(b"COUNT") => number(most).unwrap(),
            _ => return b"-ERR TSDB: unknown argument\r\n".to_vec(),
        };
        if from > to {
            return array(&[]);
        }
        let samples = self.samples.range(from..=to).take(most);
        let samples = samples.map(|(time, value)| {
            // Values are simple strings, here with as many digits as it takes to read them again.
            let value = format!("{value:?}");
            let value = format!("+{}\r\n", value.trim_end_matches(".0")).into_bytes();
            array(&[format!(":{time}\r\n").into_bytes(), value])
        });
        array(&samples.collect::<Vec<_>>())
    }
}

fn bound(word: &[u8], open: &[u8], end: u64) -> Option<u64> {
    if word == open {
        Some(end)
    } else {
        number(word)
    }
}
