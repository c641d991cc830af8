//! Sets: read by SMEMBERS or SSCAN, written by SADD, compared without order, large ones by looking members up.

use bytes::Bytes;

use super::ask::{Answers, Questions, ask_length, has_command, page, take_length, words};
use super::copy::{Commands, Means, Reader, Size, Step};
use super::pace::Pace;
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// The comparison of one key.
pub(super) struct SetComparison {
    names: Names,
    bytes: usize,
    state: State,
}

enum State {
    Length,
    Whole { weight: usize },
    Pages(Pages),
}

/// A set that is scanned at the source, page by page, while the page before is looked up at the target.
struct Pages {
    cursor: Option<Bytes>,
    pace: Pace,
    page: Vec<Bytes>,
    len: usize,
    seen: usize,
    probing: bool,
}

impl SetComparison {
    pub(super) fn new(names: Names, bytes: usize) -> Self {
        Self {
            names,
            bytes,
            state: State::Length,
        }
    }
}

/// Asks for a page of a set.
pub(super) fn ask_page(key: &[u8], cursor: &[u8], count: usize, out: &mut Questions<'_>) {
    let count = count.to_string();
    out.ask(&[b"SSCAN", key, cursor, b"COUNT", count.as_bytes()]);
}

/// SMEMBERS' answer, sorted.
pub(super) fn members(reply: Reply) -> Option<Vec<Bytes>> {
    let mut members = words(reply)?;
    members.sort_unstable();
    Some(members)
}

impl Comparison for SetComparison {
    fn weight(&self) -> usize {
        match &self.state {
            State::Length => 0,
            State::Whole { weight } => *weight,
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
            State::Length => ask_length(b"SCARD", &self.names, source, target),
            State::Whole { .. } => {
                source.ask(&[b"SMEMBERS", &self.names.source]);
                target.ask(&[b"SMEMBERS", &self.names.target]);
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
            State::Length => {
                let (len, other, bytes) = take_length(self.bytes, source, target)?;
                if len != other {
                    return Err(End::Differs);
                }
                let pace = Pace::new(bytes, len, ground.chunk);
                self.state = if pace.is_whole() {
                    State::Whole {
                        weight: pace.weight(),
                    }
                } else {
                    State::Pages(Pages {
                        cursor: Some(Bytes::from_static(b"0")),
                        pace,
                        page: Vec::new(),
                        len,
                        seen: 0,
                        probing: false,
                    })
                };
                Ok(Progress::More)
            }
            State::Whole { .. } => {
                if source.parse(members)? == target.parse(members)? {
                    Ok(Progress::Equal)
                } else {
                    Err(End::Differs)
                }
            }
            State::Pages(pages) => pages.accept(ground, source, target),
        }
    }
}

impl Pages {
    fn ask<'q>(
        &mut self,
        names: &Names,
        ground: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        // Without arguments: the first page is on its way, and there is nothing to look up yet.
        self.probing = ground.smismember.is_none() && self.page.is_empty();
        if self.probing {
            target.ask(&[b"SMISMEMBER"]);
        }
        if ground.smismember == Some(true) && !self.page.is_empty() {
            target.ask_of(&[b"SMISMEMBER", &names.target], self.page.iter());
        } else {
            for member in &self.page {
                target.ask_of(&[b"SISMEMBER", &names.target], [member].into_iter());
            }
        }
        if let Some(cursor) = &self.cursor {
            ask_page(&names.source, cursor, self.pace.count(), source);
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        // In the order of `ask`, with what was known then.
        let together = ground.smismember == Some(true);
        if self.probing {
            ground.smismember = Some(has_command(&target.raw()));
        }
        let looked_up = std::mem::take(&mut self.page);
        if together && !looked_up.is_empty() {
            let found = target.array()?;
            if found.len() != looked_up.len() || !found.iter().all(|one| *one == Reply::Integer(1))
            {
                return Err(End::Differs);
            }
        } else {
            for _ in &looked_up {
                if target.integer()? != 1 {
                    return Err(End::Differs);
                }
            }
        }
        if self.cursor.is_some() {
            (self.cursor, self.page) = source.parse(page)?;
            self.seen += self.page.len();
            self.pace
                .learn(self.page.len(), self.page.iter().map(Bytes::len).sum());
        }
        if self.cursor.is_some() || !self.page.is_empty() {
            return Ok(Progress::More);
        }
        // SSCAN may give a member twice, but leaves none out unless the set was changed.
        if self.seen < self.len {
            return Err(End::Differs);
        }
        Ok(Progress::Equal)
    }
}

/// Most members that one page of a copied set asks for.
const MOST: usize = 5000;

/// The copying of one key.
pub(super) struct SetReader {
    key: Bytes,
    state: Copying,
}

enum Copying {
    Whole,
    Length(usize),
    Pages { cursor: Bytes, pace: Pace },
}

impl SetReader {
    pub(super) fn new(key: Bytes, size: Size) -> Self {
        let state = match size {
            Size::Whole => Copying::Whole,
            Size::Paged(bytes) => Copying::Length(bytes),
        };
        Self { key, state }
    }
}

impl Reader for SetReader {
    fn ask(&mut self, _: &Means, source: &mut Questions<'_>) {
        match &self.state {
            Copying::Whole => source.ask(&[b"SMEMBERS", &self.key]),
            Copying::Length(_) => source.ask(&[b"SCARD", &self.key]),
            Copying::Pages { cursor, pace } => ask_page(&self.key, cursor, pace.count(), source),
        }
    }

    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        match &mut self.state {
            Copying::Whole => {
                let members = source.parse(words)?;
                if members.is_empty() {
                    return Err(End::Gone);
                }
                out.add(b"SADD", members, 1);
                Ok(Step::Done)
            }
            Copying::Length(bytes) => {
                let len = source.size()?;
                if len == 0 {
                    return Err(End::Gone);
                }
                self.state = Copying::Pages {
                    cursor: Bytes::from_static(b"0"),
                    pace: Pace::new(*bytes, len, means.chunk).at_most(MOST),
                };
                Ok(Step::More)
            }
            Copying::Pages { cursor, pace } => {
                let (next, members) = source.parse(page)?;
                pace.learn(members.len(), members.iter().map(Bytes::len).sum());
                out.add(b"SADD", members, 1);
                match next {
                    Some(next) => *cursor = next,
                    None => return Ok(Step::Done),
                }
                Ok(Step::More)
            }
        }
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(b"SCARD")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_is_no_difference() {
        let set = |names: &[&'static str]| {
            let words = names
                .iter()
                .map(|name| Reply::Bytes(Bytes::from_static(name.as_bytes())));
            members(Reply::Array(words.collect()))
        };
        assert_eq!(set(&["b", "a", ""]), set(&["", "a", "b"]));
        assert_ne!(set(&["a"]), set(&["b"]));
        assert_eq!(members(Reply::Integer(3)), None);
    }
}
