//! Series of the module `TimeSeries`: read by TS.INFO and by TS.RANGE in pages, written by TS.CREATE and TS.MADD, compared by
//! labels, retention and samples.

mod copy;

use bytes::Bytes;

pub(super) use self::copy::SeriesReader;
use super::ask::{Answers, Questions, array, bytes, pairs, words};
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// Bytes of a sample in an answer: a pair of a time and a value's text.
const EACH: usize = 64;
/// Most samples of one answer.
const MOST: usize = 10_000;
/// Bytes of TS.INFO's answer.
const INFO: usize = 1024;

/// A label and its value.
type Label = (Bytes, Bytes);

/// What TS.INFO tells, as far as it is known here. Numbers are kept as their texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Info {
    labels: Vec<Label>,
    /// Milliseconds; 0 is for ever.
    retention: Option<Bytes>,
    chunk_size: Option<Bytes>,
    encoding: Option<Bytes>,
    policy: Option<Bytes>,
    /// Differences of time and of value below which a sample is ignored (1.12).
    ignore: Option<(Bytes, Bytes)>,
    has_rules: bool,
    /// Samples, about: those that are past their retention may be among them.
    samples: usize,
}

impl Info {
    /// TS.INFO's answer: names and values in turn.
    fn of(reply: Reply) -> Option<Self> {
        let mut info = Self::default();
        let (mut time, mut value) = (None, None);
        let mut parts = array(reply)?.into_iter();
        while let Some(name) = parts.next() {
            let content = parts.next()?;
            match bytes(name)?.as_ref() {
                b"totalSamples" => info.samples = usize::try_from(integer(content)?).ok()?,
                b"retentionTime" => info.retention = text(content),
                b"chunkSize" => info.chunk_size = text(content),
                b"chunkType" => info.encoding = text(content),
                b"duplicatePolicy" => info.policy = text(content),
                b"ignoreMaxTimeDiff" => time = text(content),
                b"ignoreMaxValDiff" => value = text(content),
                b"labels" => info.labels = labels(content)?,
                b"rules" => info.has_rules = !array(content)?.is_empty(),
                _ => {}
            }
        }
        info.ignore = time.zip(value);
        Some(info)
    }
}

/// Pairs in RESP2; a map in RESP3, which is names and values in turn.
fn labels(reply: Reply) -> Option<Vec<Label>> {
    let parts = array(reply)?;
    if matches!(parts.first(), Some(Reply::Array(_))) {
        let nested: Option<Vec<Vec<Bytes>>> = parts.into_iter().map(words).collect();
        return pairs(nested?.concat());
    }
    pairs(words(Reply::Array(parts))?)
}

/// A number or a word as its text; a nil is nothing.
fn text(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::Integer(number) => Some(Bytes::from(number.to_string())),
        Reply::Bytes(bytes) => Some(bytes),
        Reply::Nil | Reply::Error(_) | Reply::Array(_) => None,
    }
}

fn integer(reply: Reply) -> Option<i64> {
    std::str::from_utf8(&text(reply)?).ok()?.parse().ok()
}

/// A time in milliseconds, and a value as the server wrote it: with as many digits as tell a double from its neighbours.
type Sample = (i64, Bytes);

/// TS.RANGE's answer.
fn samples(reply: Reply) -> Option<Vec<Sample>> {
    let sample = |reply| {
        let mut parts = array(reply)?.into_iter();
        Some((integer(parts.next()?)?, text(parts.next()?)?))
    };
    array(reply)?.into_iter().map(sample).collect()
}

/// Reads from the first sample to the last, a page a command.
#[derive(Debug, Clone, Copy)]
struct Pages {
    /// Behind the last sample that came.
    from: i64,
    count: usize,
}

impl Pages {
    /// For answers of about `chunk` bytes.
    fn new(chunk: usize) -> Self {
        Self {
            from: 0,
            count: (chunk / EACH).clamp(1, MOST),
        }
    }

    fn ask(&self, key: &[u8], out: &mut Questions<'_>) {
        let (from, count) = (self.from.to_string(), self.count.to_string());
        out.ask(&[
            b"TS.RANGE",
            key,
            from.as_bytes(),
            b"+",
            b"COUNT",
            count.as_bytes(),
        ]);
    }

    /// Goes on behind the page. `false`: it was the last.
    fn advance(&mut self, page: &[Sample]) -> bool {
        let next = page.last().and_then(|(time, _)| time.checked_add(1));
        match next {
            Some(next) if page.len() >= self.count => self.from = next,
            _ => return false,
        }
        true
    }
}

/// The comparison of one key.
pub(super) struct SeriesComparison {
    names: Names,
    state: State,
}

enum State {
    Info,
    Pages { pages: Pages, weight: usize },
}

impl SeriesComparison {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            state: State::Info,
        }
    }
}

impl Comparison for SeriesComparison {
    fn weight(&self) -> usize {
        match &self.state {
            State::Info => INFO,
            State::Pages { weight, .. } => *weight,
        }
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        match &self.state {
            State::Info => {
                source.ask(&[b"TS.INFO", &self.names.source]);
                target.ask(&[b"TS.INFO", &self.names.target]);
            }
            State::Pages { pages, .. } => {
                pages.ask(&self.names.source, source);
                pages.ask(&self.names.target, target);
            }
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        match &mut self.state {
            State::Info => {
                let (ours, theirs) = (source.parse(Info::of)?, target.parse(Info::of)?);
                // How samples are packed is each server's own affair, and so is how many it keeps beyond their retention.
                if ours.retention != theirs.retention
                    || sorted(ours.labels) != sorted(theirs.labels)
                {
                    return Err(End::Differs);
                }
                let pages = Pages::new(ground.chunk);
                self.state = State::Pages {
                    pages,
                    weight: pages.count.min(ours.samples).saturating_mul(EACH),
                };
                Ok(Progress::More)
            }
            State::Pages { pages, .. } => {
                let (ours, theirs) = (source.parse(samples)?, target.parse(samples)?);
                if !same(&ours, &theirs) {
                    return Err(End::Differs);
                }
                Ok(if pages.advance(&ours) {
                    Progress::More
                } else {
                    Progress::Equal
                })
            }
        }
    }
}

fn sorted(mut labels: Vec<Label>) -> Vec<Label> {
    labels.sort_unstable();
    labels
}

fn same(ours: &[Sample], theirs: &[Sample]) -> bool {
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|(one, other)| one.0 == other.0 && same_value(&one.1, &other.1))
}

/// Servers write one double in several ways.
#[expect(clippy::float_cmp, reason = "it is the same double that is looked for")]
fn same_value(one: &[u8], other: &[u8]) -> bool {
    let double = |text| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    one == other
        || matches!((double(one), double(other)), (Some(one), Some(other))
            if one == other || (one.is_nan() && other.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn info(labels: Vec<Reply>, rules: Vec<Reply>, number: fn(i64) -> Reply) -> Reply {
        Reply::Array(vec![
            word("totalSamples"),
            number(3),
            word("retentionTime"),
            number(1000),
            word("chunkSize"),
            number(4096),
            word("chunkType"),
            word("compressed"),
            word("duplicatePolicy"),
            Reply::Nil,
            word("labels"),
            Reply::Array(labels),
            word("rules"),
            Reply::Array(rules),
            word("ignoreMaxTimeDiff"),
            number(0),
            word("ignoreMaxValDiff"),
            word("0.5"),
        ])
    }

    #[test]
    fn both_versions_of_resp_tell_the_same() {
        let pair = |name, value| Reply::Array(vec![word(name), word(value)]);
        let nested = info(
            vec![pair("a", "2"), pair("b", "1")],
            Vec::new(),
            Reply::Integer,
        );
        let flat = vec![word("a"), word("2"), word("b"), word("1")];
        let flat = info(flat, Vec::new(), |number| {
            Reply::Bytes(Bytes::from(number.to_string()))
        });
        let expected = Info {
            labels: vec![("a".into(), "2".into()), ("b".into(), "1".into())],
            retention: Some("1000".into()),
            chunk_size: Some("4096".into()),
            encoding: Some("compressed".into()),
            policy: None,
            ignore: Some(("0".into(), "0.5".into())),
            has_rules: false,
            samples: 3,
        };
        assert_eq!(Info::of(nested), Some(expected.clone()));
        assert_eq!(Info::of(flat), Some(expected));
        let ruled = info(Vec::new(), vec![word("rule")], Reply::Integer);
        assert!(Info::of(ruled).is_some_and(|info| info.has_rules));
        assert_eq!(Info::of(Reply::Integer(1)), None);
    }

    #[test]
    fn samples_keep_their_text() {
        let sample = |value| Reply::Array(vec![Reply::Integer(5), value]);
        assert_eq!(
            samples(Reply::Array(vec![
                sample(word("0.30000000000000004")),
                sample(Reply::Integer(-7)),
            ])),
            Some(vec![
                (5, "0.30000000000000004".into()),
                (5, Bytes::from_static(b"-7"))
            ])
        );
        assert_eq!(samples(Reply::Array(vec![word("5")])), None);
    }

    #[test]
    fn a_value_may_be_written_in_several_ways() {
        for (one, other, equal) in [
            ("1", "1.0", true),
            ("1E300", "1e+300", true),
            ("5e-324", "4.9406564584124654e-324", true),
            ("nan", "NaN", true),
            ("0.1", "0.10000000000000002", false),
            ("x", "y", false),
        ] {
            let sample = |text: &'static str| vec![(1, Bytes::from_static(text.as_bytes()))];
            assert_eq!(same(&sample(one), &sample(other)), equal, "{one}, {other}");
        }
        assert!(!same(&[(1, "1".into())], &[(2, "1".into())]));
        assert!(!same(&[], &[(2, "1".into())]));
    }

    #[test]
    fn the_last_page_is_a_short_one() {
        let mut pages = Pages::new(2 * EACH);
        let page: Vec<Sample> = vec![(3, "1".into()), (9, "1".into())];
        assert!(pages.advance(&page));
        assert_eq!(pages.from, 10);
        assert!(!pages.advance(&[(10, "1".into())]));
        assert!(!pages.advance(&[(10, "1".into()), (i64::MAX, "1".into())]));
        assert!(!pages.advance(&[]));
    }
}
