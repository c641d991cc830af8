//! Hashes: read by HGETALL or HSCAN, written by HSET, compared without order, large ones by looking fields up; the fields' own expiries.

mod copy;

use bytes::Bytes;

pub(super) use self::copy::HashReader;

use super::ask::{
    Answers, Questions, array, ask_length, has_command, integer, page, pairs, take_length, words,
};
use super::pace::Pace;
use super::{Ability, Comparison, End, Ground, Names, Progress};
use crate::config::Side;
use crate::entry::Millis;
use crate::wire::Reply;

/// A field and its value.
pub(super) type Field = (Bytes, Bytes);

/// The comparison of one key.
pub(super) struct HashComparison {
    names: Names,
    bytes: usize,
    probing: bool,
    state: State,
}

enum State {
    Length,
    Whole { weight: usize },
    Expiries { fields: Vec<Bytes> },
    Pages(Pages),
}

/// A hash that is scanned at one side, page by page, while the page before is looked up at the other.
struct Pages {
    from: Side,
    cursor: Option<Bytes>,
    pace: Pace,
    page: Vec<Field>,
    lens: (usize, usize),
    seen: usize,
}

impl HashComparison {
    pub(super) fn new(names: Names, bytes: usize) -> Self {
        Self {
            names,
            bytes,
            probing: false,
            state: State::Length,
        }
    }

    fn accept_length(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        if self.probing {
            let (ours, theirs) = (source.raw(), target.raw());
            ground.field_expiry = Ability::Known(has_command(&ours), has_command(&theirs));
        }
        let (len, other, bytes) = take_length(self.bytes, source, target)?;
        // A field that has expired counts until the server has deleted it.
        if len != other && !ground.field_expiry.anywhere() {
            return Err(End::Differs);
        }
        let pace = Pace::new(bytes, len.max(other), ground.chunk);
        self.state = if pace.is_whole() {
            State::Whole {
                weight: pace.weight(),
            }
        } else {
            State::Pages(Pages {
                from: Side::Source,
                cursor: Some(Bytes::from_static(b"0")),
                pace,
                page: Vec::new(),
                lens: (len, other),
                seen: 0,
            })
        };
        Ok(Progress::More)
    }

    fn accept_whole(
        &mut self,
        ground: &Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        let (ours, theirs) = (source.parse(fields)?, target.parse(fields)?);
        // Every field has expired: that is no key, whatever EXISTS says.
        if ours.is_empty() {
            return Err(End::Gone);
        }
        if theirs.is_empty() {
            return Err(End::Missing);
        }
        if ours != theirs {
            return Err(End::Differs);
        }
        if !ground.compares_field_expiries() {
            return Ok(Progress::Equal);
        }
        self.state = State::Expiries {
            fields: ours.into_iter().map(|(field, _)| field).collect(),
        };
        Ok(Progress::More)
    }
}

/// Asks for a page of a hash.
pub(super) fn ask_page(key: &[u8], cursor: &[u8], count: usize, out: &mut Questions<'_>) {
    let count = count.to_string();
    out.ask(&[b"HSCAN", key, cursor, b"COUNT", count.as_bytes()]);
}

/// Asks for the expiries of fields.
pub(super) fn ask_expiries<'f>(
    key: &[u8],
    fields: impl ExactSizeIterator<Item = &'f Bytes>,
    out: &mut Questions<'_>,
) {
    let count = fields.len().to_string();
    out.ask_of(&[b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()], fields);
}

/// HGETALL's answer, sorted by field.
pub(super) fn fields(reply: Reply) -> Option<Vec<Field>> {
    let mut fields = pairs(words(reply)?)?;
    fields.sort_unstable();
    Some(fields)
}

/// HPEXPIRETIME's answer: an instant, -1 for ever, -2 no such field. A nil is a key that is not there.
pub(super) fn expiries(reply: Reply) -> Option<Vec<Millis>> {
    array(reply)?.iter().map(integer).collect()
}

fn compare_expiries(
    ground: &Ground<'_>,
    source: &mut Answers,
    target: &mut Answers,
) -> Result<(), End> {
    let (ours, theirs) = (source.parse(expiries)?, target.parse(expiries)?);
    let same = ours.len() == theirs.len()
        && ours
            .iter()
            .zip(&theirs)
            .all(|(ours, theirs)| ground.same_expiry(*ours, *theirs));
    if same { Ok(()) } else { Err(End::Differs) }
}

impl Comparison for HashComparison {
    fn weight(&self) -> usize {
        match &self.state {
            State::Length => 0,
            State::Whole { weight } => *weight,
            State::Expiries { fields } => fields.len() * 16,
            State::Pages(pages) => pages.pace.weight(),
        }
    }

    fn ask<'q>(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        match &mut self.state {
            State::Length => {
                self.probing = ground.field_expiry == Ability::Unknown;
                if self.probing {
                    ground.field_expiry = Ability::Asked;
                    source.ask(&[b"HPEXPIRETIME"]);
                    target.ask(&[b"HPEXPIRETIME"]);
                }
                ask_length(b"HLEN", &self.names, source, target);
            }
            State::Whole { .. } => {
                source.ask(&[b"HGETALL", &self.names.source]);
                target.ask(&[b"HGETALL", &self.names.target]);
            }
            State::Expiries { fields } => {
                ask_expiries(&self.names.source, fields.iter(), source);
                ask_expiries(&self.names.target, fields.iter(), target);
            }
            State::Pages(pages) => pages.ask(&self.names, ground, source, target),
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        match &mut self.state {
            State::Length => self.accept_length(ground, source, target),
            State::Whole { .. } => self.accept_whole(ground, source, target),
            State::Expiries { .. } => {
                compare_expiries(ground, source, target).map(|()| Progress::Equal)
            }
            State::Pages(pages) => pages.accept(ground, source, target),
        }
    }
}

impl Pages {
    fn ask<'q>(
        &self,
        names: &Names,
        ground: &Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        if !self.page.is_empty() && self.compares_expiries(ground) {
            let fields = || self.page.iter().map(|(field, _)| field);
            ask_expiries(&names.source, fields(), source);
            ask_expiries(&names.target, fields(), target);
        }
        let (scanned, scanned_name, other, other_name) = match self.from {
            Side::Source => (source, &names.source, target, &names.target),
            Side::Target => (target, &names.target, source, &names.source),
        };
        if !self.page.is_empty() {
            let fields = self.page.iter().map(|(field, _)| field);
            other.ask_of(&[b"HMGET", other_name], fields);
        }
        if let Some(cursor) = &self.cursor {
            ask_page(scanned_name, cursor, self.pace.count(), scanned);
        }
    }

    fn compares_expiries(&self, ground: &Ground<'_>) -> bool {
        self.from == Side::Source && ground.compares_field_expiries()
    }

    fn accept(
        &mut self,
        ground: &Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        if !self.page.is_empty() && self.compares_expiries(ground) {
            compare_expiries(ground, source, target)?;
        }
        let (scanned, other) = match self.from {
            Side::Source => (source, target),
            Side::Target => (target, source),
        };
        let looked_up = std::mem::take(&mut self.page);
        if !looked_up.is_empty() {
            let found = other.array()?;
            let same = found.len() == looked_up.len()
                && looked_up.iter().zip(&found).all(
                    |((_, value), found)| matches!(found, Reply::Bytes(found) if found == value),
                );
            if !same {
                return Err(End::Differs);
            }
        }
        if self.cursor.is_some() {
            let next;
            (next, self.page) = scanned
                .parse(|reply| page(reply).and_then(|(next, words)| Some((next, pairs(words)?))))?;
            self.cursor = next;
            self.seen += self.page.len();
            let bytes = self.page.iter();
            let bytes = bytes.map(|(field, value)| field.len() + value.len()).sum();
            self.pace.learn(self.page.len(), bytes);
        }
        if self.cursor.is_some() || !self.page.is_empty() {
            return Ok(Progress::More);
        }
        self.end_of_pass(ground)
    }

    /// Every field of `from` was found at the other side. HSCAN may give a field twice, but leaves none out unless the
    /// hash was changed.
    fn end_of_pass(&mut self, ground: &Ground<'_>) -> Result<Progress, End> {
        if self.from == Side::Target {
            return Ok(Progress::Equal);
        }
        if self.seen == 0 {
            return Err(End::Gone);
        }
        let (ours, theirs) = self.lens;
        if !ground.field_expiry.anywhere() {
            return if self.seen < ours {
                Err(End::Differs)
            } else {
                Ok(Progress::Equal)
            };
        }
        if self.seen == ours && ours == theirs {
            return Ok(Progress::Equal);
        }
        // The lengths prove nothing here: what only the target has is found by scanning the target.
        self.from = Side::Target;
        self.cursor = Some(Bytes::from_static(b"0"));
        Ok(Progress::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_order_of_fields_is_no_difference() {
        let one = Reply::Array(vec![word("b"), word("2"), word("a"), word("1")]);
        let other = Reply::Array(vec![word("a"), word("1"), word("b"), word("2")]);
        assert_eq!(fields(one), fields(other));
        assert_eq!(fields(Reply::Array(vec![word("a")])), None);
        assert_eq!(fields(Reply::Array(Vec::new())), Some(Vec::new()));
    }

    #[test]
    fn expiries_of_a_key_that_went_are_none() {
        let some = Reply::Array(vec![Reply::Integer(-1), Reply::Integer(4_102_444_800_123)]);
        assert_eq!(expiries(some), Some(vec![-1, 4_102_444_800_123]));
        assert_eq!(expiries(Reply::Nil), Some(Vec::new()));
    }
}
