//! The copying of a series: what TS.CREATE takes, and its samples.

use bytes::Bytes;

use super::{Info, Pages, Sample, samples};
use crate::types::End;
use crate::types::ask::{Answers, Questions};
use crate::types::copy::{Commands, Means, Reader, Size, Step, number};

/// Samples in one TS.MADD.
const TOGETHER: usize = 500;

/// The copying of one key.
pub(in crate::types) struct SeriesReader {
    key: Bytes,
    paged: bool,
    state: State,
    /// What makes the target ignore samples: set when all are written.
    ignore: Option<(Bytes, Bytes)>,
}

enum State {
    /// What the series is, and its samples: all, or the first page.
    Info,
    Pages(Pages),
}

impl SeriesReader {
    pub(in crate::types) fn new(key: Bytes, size: Size) -> Self {
        Self {
            key,
            paged: matches!(size, Size::Paged(_)),
            state: State::Info,
            ignore: None,
        }
    }

    fn finish(&mut self, out: &mut Commands) {
        if let Some((time, value)) = self.ignore.take() {
            out.push(&[b"TS.ALTER"], [Bytes::from_static(b"IGNORE"), time, value]);
        }
    }
}

/// Makes the series. One that is merged may be there already: its error is not one (see `harmless`).
fn create(info: &Info, out: &mut Commands) {
    let mut words = Vec::new();
    let mut option = |name: &'static [u8], value: &Option<Bytes>| {
        if let Some(value) = value {
            words.extend([Bytes::from_static(name), value.clone()]);
        }
    };
    option(b"RETENTION", &info.retention);
    option(b"ENCODING", &info.encoding);
    option(b"CHUNK_SIZE", &info.chunk_size);
    option(b"DUPLICATE_POLICY", &info.policy);
    if info.ignore.is_some() {
        // Whatever the target's default: nothing of what comes now is ignored.
        words.extend([Bytes::from_static(b"IGNORE"), number(0), number(0)]);
    }
    // The last: all that follows is labels.
    if !info.labels.is_empty() {
        words.push(Bytes::from_static(b"LABELS"));
        let labels = info.labels.iter().cloned();
        words.extend(labels.flat_map(|(name, value)| [name, value]));
    }
    out.push(&[b"TS.CREATE"], words);
}

fn write(samples: Vec<Sample>, means: &Means, out: &mut Commands) {
    if means.merge {
        for (time, value) in samples {
            let words = [
                number(time),
                value,
                Bytes::from_static(b"ON_DUPLICATE"),
                Bytes::from_static(b"LAST"),
            ];
            out.push(&[b"TS.ADD"], words);
        }
        return;
    }
    let name = out.destination().clone();
    for samples in samples.chunks(TOGETHER) {
        let words = samples
            .iter()
            .flat_map(|(time, value)| [name.clone(), number(time), value.clone()]);
        // The first name stands behind the command's.
        out.push(&[b"TS.MADD"], words.skip(1));
    }
}

impl Reader for SeriesReader {
    fn ask(&mut self, means: &Means, source: &mut Questions<'_>) {
        match &self.state {
            State::Info => {
                source.ask(&[b"TS.INFO", &self.key]);
                if self.paged {
                    Pages::new(means.chunk).ask(&self.key, source);
                } else {
                    source.ask(&[b"TS.RANGE", &self.key, b"-", b"+"]);
                }
            }
            State::Pages(pages) => pages.ask(&self.key, source),
        }
    }

    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let mut pages = match self.state {
            State::Pages(pages) => pages,
            State::Info => {
                let info = source.parse(Info::of)?;
                create(&info, out);
                if info.has_rules {
                    out.notes.push(
                        "compaction rules of time series are not copied: TS.CREATERULE makes them",
                    );
                }
                let is_some = |text: &Bytes| {
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    text.parse() != Ok(0.0)
                };
                self.ignore = info
                    .ignore
                    .filter(|(time, value)| !means.merge && (is_some(time) || is_some(value)));
                Pages::new(means.chunk)
            }
        };
        let samples = source.parse(samples)?;
        if samples.is_empty() && means.merge {
            // Fails where the name is another type's, as adding a sample would.
            out.push(&[b"TS.INFO"], []);
        }
        let more = self.paged && pages.advance(&samples);
        write(samples, means, out);
        if more {
            self.state = State::Pages(pages);
            return Ok(Step::More);
        }
        self.finish(out);
        Ok(Step::Done)
    }

    /// No command tells the number of samples alone, and those past their retention may count or not.
    fn length(&self) -> Option<&'static [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Side;
    use crate::wire::Reply;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn means(merge: bool) -> Means {
        Means {
            chunk: 1 << 20,
            shift: 0,
            field_expiry: (false, false),
            encoding: true,
            keep_expiry: true,
            source_time: true,
            now: 0,
            xsetid: true,
            since_62: true,
            since_70: true,
            stream_ids: true,
            merge,
            follows: false,
        }
    }

    /// The commands that write a series, a line each, and what is noted.
    fn written(samples: i64, merge: bool) -> (Vec<String>, Commands) {
        let info = vec![
            word("retentionTime"),
            Reply::Integer(60),
            word("labels"),
            Reply::Array(vec![word("RETENTION"), word("1")]),
            word("rules"),
            Reply::Array(vec![word("other")]),
            word("ignoreMaxTimeDiff"),
            Reply::Integer(5),
            word("ignoreMaxValDiff"),
            word("0.5"),
        ];
        let sample = |time| Reply::Array(vec![Reply::Integer(time), word("0.1")]);
        let samples = Reply::Array((1..=samples).map(sample).collect());
        let mut source = Answers::new(Side::Source, vec![Reply::Array(info), samples]);
        let mut reader = SeriesReader::new("there".into(), Size::Whole);
        let mut out = Commands::new("here".into());
        let step = reader.accept(&means(merge), &mut source, &mut out);
        assert_eq!(step, Ok(Step::Done));
        (out.lines(), out)
    }

    #[test]
    fn a_series_is_made_as_it_was_told_and_ignores_nothing_until_it_is_whole() {
        let (lines, out) = written(2, false);
        assert_eq!(
            lines,
            [
                "TS.CREATE here RETENTION 60 IGNORE 0 0 LABELS RETENTION 1",
                "TS.MADD here 1 0.1 here 2 0.1",
                "TS.ALTER here IGNORE 5 0.5",
            ]
        );
        assert_eq!(out.notes.len(), 1);
        assert_eq!(written(501, false).0.len(), 4);
    }

    #[test]
    fn what_is_merged_leaves_the_series_as_it_is_made() {
        assert_eq!(
            written(1, true).0.get(1..),
            Some(&["TS.ADD here 1 0.1 ON_DUPLICATE LAST".to_owned()][..])
        );
        assert_eq!(written(0, true).0.last().unwrap(), "TS.INFO here");
    }
}
