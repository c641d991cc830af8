//! Vector sets (Redis 8): elements with their vectors and attributes; the graph that searches them is each server's own.
//!
//! No command goes through the elements page by page: VRANDMEMBER, asked for more than there are, tells all their names.

mod copy;
mod raw;

use bytes::Bytes;

pub(super) use self::copy::VectorReader;
use self::raw::{Quantization, Raw};
use super::ask::{Answers, Questions, array, bytes, size, words};
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// More than any set has.
const ALL: &[u8] = b"1000000000000";
/// Bytes of VINFO's answer.
const INFO: usize = 512;
/// What an element costs beside its vector: its name, its attributes, what stands around them.
const OVERHEAD: usize = 200;
/// Most elements of one step.
const MOST: usize = 300;

/// What VINFO tells, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Info {
    quantization: Quantization,
    /// Components of the vectors as they are kept.
    dimensions: usize,
    len: usize,
    /// M, the links of a node.
    links: Option<usize>,
    /// Vectors that are added have more components, and are projected.
    projects: bool,
}

impl Info {
    /// VINFO's answer: names and values in turn.
    fn of(reply: Reply) -> Option<Self> {
        let (mut quantization, mut dimensions, mut len) = (None, None, None);
        let (mut links, mut projects) = (None, false);
        let mut parts = array(reply)?.into_iter();
        while let Some(name) = parts.next() {
            let content = parts.next()?;
            match bytes(name)?.as_ref() {
                b"quant-type" => quantization = Some(Quantization::of(&bytes(content)?)?),
                b"vector-dim" => dimensions = Some(size(&content)?),
                b"size" => len = Some(size(&content)?),
                b"hnsw-m" => links = Some(size(&content)?),
                b"projection-input-dim" => projects = size(&content)? > 0,
                _ => {}
            }
        }
        Some(Self {
            quantization: quantization?,
            dimensions: dimensions?,
            len: len?,
            links,
            projects,
        })
    }

    /// Elements of one step, whose vectors have `chunk` bytes together.
    fn count(&self, chunk: usize) -> usize {
        (chunk / self.weight()).clamp(1, MOST)
    }

    /// Bytes of an element, its vector as it is written.
    fn weight(&self) -> usize {
        self.dimensions
            .saturating_mul(size_of::<f32>())
            .saturating_add(OVERHEAD)
    }
}

/// The names of one step.
fn page(names: &[Bytes], at: usize, count: usize) -> &[Bytes] {
    let rest = names.get(at..).unwrap_or_default();
    rest.get(..count).unwrap_or(rest)
}

fn ask_names(key: &[u8], out: &mut Questions<'_>) {
    out.ask(&[b"VRANDMEMBER", key, ALL]);
}

/// Asks for what each element has.
fn ask_elements(key: &[u8], names: &[Bytes], out: &mut Questions<'_>) {
    for name in names {
        out.ask(&[b"VEMB", key, name, b"RAW"]);
        out.ask(&[b"VGETATTR", key, name]);
    }
}

/// An element's vector and its attributes.
type Element = (Raw, Option<Bytes>);

/// The answers to [`ask_elements`] for one element; `None` is one that is not there.
fn take_element(answers: &mut Answers) -> Result<Option<Element>, End> {
    let raw = answers.optional(Raw::of);
    let attributes = answers.optional(bytes)?;
    Ok(raw?.map(|raw| (raw, attributes)))
}

/// The comparison of one key.
pub(super) struct VectorComparison {
    names: Names,
    state: State,
}

enum State {
    Info,
    Names { info: Info },
    Elements(Elements),
}

/// A set whose elements are read on both sides, by the source's names.
struct Elements {
    info: Info,
    names: Vec<Bytes>,
    at: usize,
    count: usize,
}

impl Elements {
    fn next(&self) -> &[Bytes] {
        page(&self.names, self.at, self.count)
    }
}

impl VectorComparison {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            state: State::Info,
        }
    }
}

impl Comparison for VectorComparison {
    fn weight(&self) -> usize {
        match &self.state {
            State::Info => INFO,
            State::Names { info } => info.len.saturating_mul(OVERHEAD),
            State::Elements(elements) => elements.next().len() * elements.info.weight(),
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
                source.ask(&[b"VINFO", &self.names.source]);
                target.ask(&[b"VINFO", &self.names.target]);
            }
            State::Names { .. } => ask_names(&self.names.source, source),
            State::Elements(elements) => {
                ask_elements(&self.names.source, elements.next(), source);
                ask_elements(&self.names.target, elements.next(), target);
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
                let ours = source.present(Info::of)?;
                let theirs = target.present(Info::of)?;
                // How a set is searched, and what was done to vectors before they came, is not what it holds.
                let held = |info: &Info| (info.len, info.dimensions, info.quantization);
                if held(&ours) != held(&theirs) {
                    return Err(End::Differs);
                }
                self.state = State::Names { info: ours };
                Ok(Progress::More)
            }
            State::Names { info } => {
                let names = source.parse(words)?;
                if names.len() != info.len {
                    return Err(End::Differs);
                }
                self.state = State::Elements(Elements {
                    count: info.count(ground.chunk),
                    info: info.clone(),
                    names,
                    at: 0,
                });
                Ok(Progress::More)
            }
            State::Elements(elements) => {
                let count = elements.next().len();
                for _ in 0..count {
                    let (ours, theirs) = (take_element(source)?, take_element(target)?);
                    // There are as many: with each of the source's, the target has no other.
                    let (Some(ours), Some(theirs)) = (ours, theirs) else {
                        return Err(End::Differs);
                    };
                    if ours.1 != theirs.1 || !ours.0.is_near(&theirs.0) {
                        return Err(End::Differs);
                    }
                }
                elements.at += count;
                Ok(if elements.at < elements.names.len() {
                    Progress::More
                } else {
                    Progress::Equal
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn vinfo_tells_how_vectors_are_kept() {
        let answer = Reply::Array(vec![
            word("quant-type"),
            word("int8"),
            word("hnsw-m"),
            Reply::Integer(16),
            word("vector-dim"),
            Reply::Integer(3),
            word("projection-input-dim"),
            Reply::Integer(0),
            word("size"),
            Reply::Integer(2),
            word("max-level"),
            Reply::Integer(1),
        ]);
        let expected = Info {
            quantization: Quantization::Eight,
            dimensions: 3,
            len: 2,
            links: Some(16),
            projects: false,
        };
        assert_eq!(Info::of(answer), Some(expected));
        assert_eq!(Info::of(Reply::Array(Vec::new())), None);
        let unknown = Reply::Array(vec![word("quant-type"), word("int4")]);
        assert_eq!(Info::of(unknown), None);
    }

    #[test]
    fn long_vectors_are_few_a_step() {
        let info = |dimensions| Info {
            quantization: Quantization::None,
            dimensions,
            len: 1,
            links: None,
            projects: false,
        };
        assert_eq!(info(3).count(1 << 20), MOST);
        assert_eq!(info(32_768).count(1 << 20), 7);
        assert_eq!(info(32_768).count(1000), 1);
    }
}
