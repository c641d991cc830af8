//! Types whose elements have a place in an order: read in ranges, copied range by range, compared place by place.

use std::marker::PhantomData;

use bytes::Bytes;

use super::ask::{Answers, Questions, ask_length, take_length};
use super::copy::{Commands, Means, Reader, Size, Step};
use super::pace::Pace;
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// Most elements that one range of a copied key asks for: adding them must not hold the target for long.
const MOST: usize = 5000;

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

    /// The commands that add elements to a key.
    fn write(elements: Vec<Self::Element>, out: &mut Commands);
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

/// The copying of one key.
pub(super) struct RankReader<R> {
    key: Bytes,
    state: Copying,
    of: PhantomData<fn() -> R>,
}

enum Copying {
    Whole,
    Length(usize),
    Ranges(Ranges),
}

impl<R: Ranked> RankReader<R> {
    pub(super) fn new(key: Bytes, size: Size) -> Self {
        Self {
            key,
            state: match size {
                Size::Whole => Copying::Whole,
                Size::Paged(bytes) => Copying::Length(bytes),
            },
            of: PhantomData,
        }
    }
}

impl<R: Ranked> Reader for RankReader<R> {
    fn ask(&mut self, _: &Means, source: &mut Questions<'_>) {
        match &self.state {
            Copying::Whole => R::ask(&self.key, 0, usize::MAX >> 1, source),
            Copying::Length(_) => source.ask(&[R::LENGTH, &self.key]),
            Copying::Ranges(ranges) => ranges.ask::<R>(&self.key, source),
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
                let elements = source.parse(R::elements)?;
                if elements.is_empty() {
                    return Err(End::Gone);
                }
                R::write(elements, out);
                Ok(Step::Done)
            }
            Copying::Length(bytes) => {
                let len = source.size()?;
                if len == 0 {
                    return Err(End::Gone);
                }
                let pace = Pace::new(*bytes, len, means.chunk).at_most(MOST);
                self.state = Copying::Ranges(Ranges::new(len, pace));
                Ok(Step::More)
            }
            Copying::Ranges(ranges) => {
                let elements = source.parse(R::elements)?;
                ranges.advance::<R>(&elements);
                let done = ranges.is_done() || elements.is_empty();
                R::write(elements, out);
                Ok(if done { Step::Done } else { Step::More })
            }
        }
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(R::LENGTH)
    }
}
