//! The copying of a hash, with the expiries of its fields.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Field, ask_expiries, ask_page, expiries};
use crate::entry::Millis;
use crate::types::End;
use crate::types::ask::{Answers, Questions, page, pairs, words};
use crate::types::copy::{Commands, Means, Reader, Size, Step, number};
use crate::types::pace::Pace;

/// Most fields that one page asks for.
const MOST: usize = 5000;
/// HPEXPIRETIME of a field that is not there.
const NO_FIELD: Millis = -2;
/// An encoding in which no field can have an expiry.
const WITHOUT_EXPIRIES: &[u8] = b"listpack";

/// The copying of one key.
pub(in crate::types) struct HashReader {
    key: Bytes,
    state: State,
    /// A field with an expiry of its own may go at any time: the length proves nothing.
    expiring: bool,
}

enum State {
    Whole,
    /// All again, with the expiries of these fields: of one instant.
    Again(Vec<Bytes>),
    Length(usize),
    Pages(Pages),
}

/// A hash that is read page by page.
struct Pages {
    cursor: Option<Bytes>,
    pace: Pace,
    /// Fields whose expiries are still to be asked.
    page: Vec<Field>,
}

impl HashReader {
    pub(in crate::types) fn new(key: Bytes, size: Size) -> Self {
        let state = match size {
            Size::Whole => State::Whole,
            Size::Paged(bytes) => State::Length(bytes),
        };
        Self {
            key,
            state,
            expiring: false,
        }
    }
}

fn wants_expiries(means: &Means) -> bool {
    means.field_expiry.0 && means.keep_expiry
}

/// Encodes fields and what expiries they have.
fn write(fields: Vec<Field>, expiries: &[Millis], means: &Means, out: &mut Commands) -> bool {
    // A field that went between the two questions.
    let there = |place: usize| expiries.get(place).is_none_or(|expiry| *expiry != NO_FIELD);
    let fields: Vec<Field> = fields
        .into_iter()
        .enumerate()
        .filter_map(|(place, field)| there(place).then_some(field))
        .collect();
    let expiries = expiries.iter().filter(|expiry| **expiry != NO_FIELD);
    let mut times: BTreeMap<Millis, Vec<Bytes>> = BTreeMap::new();
    for ((field, _), expiry) in fields.iter().zip(expiries) {
        if *expiry >= 0 {
            times.entry(*expiry).or_default().push(field.clone());
        }
    }
    let words = fields.into_iter().flat_map(|(field, value)| [field, value]);
    out.add(b"HSET", words, 2);
    let expiring = !times.is_empty();
    for (expiry, fields) in times {
        if !means.field_expiry.1 {
            out.lost_field_expiries += fields.len() as u64;
            continue;
        }
        for fields in fields.chunks(1000) {
            let head = [
                number(expiry + means.shift),
                Bytes::from_static(b"FIELDS"),
                number(fields.len()),
            ];
            out.push(
                &[b"HPEXPIREAT"],
                head.into_iter().chain(fields.iter().cloned()),
            );
        }
    }
    expiring
}

impl Reader for HashReader {
    fn ask(&mut self, means: &Means, source: &mut Questions<'_>) {
        match &self.state {
            State::Whole => {
                source.ask(&[b"HGETALL", &self.key]);
                if wants_expiries(means) && means.encoding {
                    source.ask(&[b"OBJECT", b"ENCODING", &self.key]);
                }
            }
            State::Again(fields) => {
                source.ask(&[b"HGETALL", &self.key]);
                ask_expiries(&self.key, fields.iter(), source);
            }
            State::Length(_) => source.ask(&[b"HLEN", &self.key]),
            State::Pages(pages) => {
                if !pages.page.is_empty() {
                    let fields = pages.page.iter().map(|(field, _)| field);
                    ask_expiries(&self.key, fields, source);
                }
                if let Some(cursor) = &pages.cursor {
                    ask_page(&self.key, cursor, pages.pace.count(), source);
                }
            }
        }
    }

    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        match &mut self.state {
            State::Whole => {
                let fields = source.parse(|reply| pairs(words(reply)?))?;
                // Every field has expired: that is no key, whatever EXISTS says.
                if fields.is_empty() {
                    return Err(End::Gone);
                }
                let is_plain = wants_expiries(means)
                    && means.encoding
                    && source
                        .raw()
                        .text()
                        .is_some_and(|text| text.as_bytes() == WITHOUT_EXPIRIES);
                if wants_expiries(means) && !is_plain {
                    let names = fields.into_iter().map(|(field, _)| field).collect();
                    self.state = State::Again(names);
                    return Ok(Step::More);
                }
                write(fields, &[], means, out);
                Ok(Step::Done)
            }
            State::Again(asked) => {
                let fields = source.parse(|reply| pairs(words(reply)?))?;
                let known = source.parse(expiries)?;
                if fields.is_empty() {
                    return Err(End::Gone);
                }
                let known: BTreeMap<&Bytes, Millis> = asked.iter().zip(known).collect();
                let times: Option<Vec<Millis>> = fields
                    .iter()
                    .map(|(field, _)| known.get(field).copied())
                    .collect();
                let Some(times) = times else {
                    // There are others than were asked about.
                    let names = fields.into_iter().map(|(field, _)| field).collect();
                    self.state = State::Again(names);
                    return Ok(Step::More);
                };
                self.expiring = write(fields, &times, means, out);
                Ok(Step::Done)
            }
            State::Length(bytes) => {
                let len = source.size()?;
                if len == 0 {
                    return Err(End::Gone);
                }
                self.state = State::Pages(Pages {
                    cursor: Some(Bytes::from_static(b"0")),
                    pace: Pace::new(*bytes, len, means.chunk).at_most(MOST),
                    page: Vec::new(),
                });
                Ok(Step::More)
            }
            State::Pages(pages) => {
                if !pages.page.is_empty() {
                    let times = source.parse(expiries)?;
                    let page = std::mem::take(&mut pages.page);
                    self.expiring |= write(page, &times, means, out);
                }
                if pages.cursor.is_some() {
                    let (next, page) = source.parse(|reply| {
                        page(reply).and_then(|(next, words)| Some((next, pairs(words)?)))
                    })?;
                    let bytes = page.iter();
                    let bytes = bytes.map(|(field, value)| field.len() + value.len()).sum();
                    pages.pace.learn(page.len(), bytes);
                    pages.cursor = next;
                    if wants_expiries(means) {
                        pages.page = page;
                    } else {
                        write(page, &[], means, out);
                    }
                }
                let more = pages.cursor.is_some() || !pages.page.is_empty();
                Ok(if more { Step::More } else { Step::Done })
            }
        }
    }

    fn length(&self) -> Option<&'static [u8]> {
        (!self.expiring).then_some(b"HLEN")
    }
}
