//! Types whose elements have a place in an order: read in ranges, compared place by place.

use std::marker::PhantomData;

use super::ask::{Answers, Questions, ask_length, take_length};
use super::pace::Pace;
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// A type with an order.
pub(super) trait Ranked {
    /// The command that tells how many elements there are.
    const LENGTH: &'static [u8];
    /// An element, with all that is compared.
    type Element: PartialEq + Send;

    /// Asks for the elements `first` to `last`, both included.
    fn ask(key: &[u8], first: usize, last: usize, out: &mut Questions<'_>);

    /// The elements of the answer.
    fn elements(reply: Reply) -> Option<Vec<Self::Element>>;

    /// Bytes of an element.
    fn bytes(element: &Self::Element) -> usize;
}

/// Reads from the first element to the last, a range a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    at: usize,
    len: usize,
    pace: Pace,
}

impl Ranges {
    /// For `len` elements.
    pub(super) fn new(len: usize, pace: Pace) -> Self {
        Self { at: 0, len, pace }
    }

    /// Elements of the next range.
    pub(super) fn next_len(&self) -> usize {
        self.pace.count().min(self.len - self.at)
    }

    /// Asks for the next range.
    pub(super) fn ask<R: Ranked>(&self, key: &[u8], out: &mut Questions<'_>) {
        R::ask(key, self.at, self.at + self.next_len() - 1, out);
    }

    /// Goes on behind the range that was asked for.
    pub(super) fn advance<R: Ranked>(&mut self, elements: &[R::Element]) {
        self.at += self.next_len();
        self.pace
            .learn(elements.len(), elements.iter().map(R::bytes).sum());
    }

    /// Whether every range was asked for.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.len
    }
}

/// The comparison of one key.
pub(super) struct ByRank<R> {
    names: Names,
    bytes: usize,
    ranges: Option<Ranges>,
    of: PhantomData<fn() -> R>,
}

impl<R: Ranked> ByRank<R> {
    pub(super) fn new(names: Names, bytes: usize) -> Self {
        Self {
            names,
            bytes,
            ranges: None,
            of: PhantomData,
        }
    }
}

impl<R: Ranked> Comparison for ByRank<R> {
    fn weight(&self) -> usize {
        self.ranges.map_or(0, |ranges| ranges.pace.weight())
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        if let Some(ranges) = &self.ranges {
            ranges.ask::<R>(&self.names.source, source);
            ranges.ask::<R>(&self.names.target, target);
        } else {
            ask_length(R::LENGTH, &self.names, source, target);
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        let Some(ranges) = &mut self.ranges else {
            let (len, other, bytes) = take_length(self.bytes, source, target)?;
            if len != other {
                return Err(End::Differs);
            }
            self.ranges = Some(Ranges::new(len, Pace::new(bytes, len, ground.chunk)));
            return Ok(Progress::More);
        };
        let ours = source.parse(R::elements)?;
        if ours != target.parse(R::elements)? || ours.len() < ranges.next_len() {
            return Err(End::Differs);
        }
        ranges.advance::<R>(&ours);
        Ok(if ranges.is_done() {
            Progress::Equal
        } else {
            Progress::More
        })
    }
}
