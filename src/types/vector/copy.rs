//! The copying of a vector set: its elements are added again, and the graph is built anew.

use bytes::Bytes;

use super::{Element, Info, ask_elements, ask_names, page, take_element};
use crate::config::Side;
use crate::types::End;
use crate::types::ask::{Answers, Questions, words};
use crate::types::copy::{Commands, Means, Reader, Size, Step, number};

/// The copying of one key.
pub(in crate::types) struct VectorReader {
    key: Bytes,
    paged: bool,
    state: State,
}

enum State {
    Names,
    /// All of these, if they are still all there are.
    Whole(Vec<Bytes>),
    Pages {
        info: Info,
        names: Vec<Bytes>,
        at: usize,
        count: usize,
    },
}

impl VectorReader {
    pub(in crate::types) fn new(key: Bytes, size: Size) -> Self {
        Self {
            key,
            paged: matches!(size, Size::Paged(_)),
            state: State::Names,
        }
    }

    fn accept_names(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let info = source.present(Info::of)?;
        let names = names(source)?;
        self.state = if self.paged {
            note(&info, out);
            State::Pages {
                count: info.count(means.chunk),
                info,
                names,
                at: 0,
            }
        } else {
            State::Whole(names)
        };
        Ok(Step::More)
    }

    fn accept_whole(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let info = source.present(Info::of)?;
        let names = names(source)?;
        let State::Whole(asked) = &mut self.state else {
            return Err(End::Differs);
        };
        if *asked != names {
            *asked = names;
            return Ok(Step::More);
        }
        for name in names {
            let element = take_element(source)?.ok_or(End::Differs)?;
            write(name, element, &info, means, out)?;
        }
        note(&info, out);
        Ok(Step::Done)
    }
}

/// The names of all elements, sorted: each time they come from another one on.
fn names(source: &mut Answers) -> Result<Vec<Bytes>, End> {
    let mut names = source.parse(words)?;
    if names.is_empty() {
        return Err(End::Gone);
    }
    names.sort_unstable();
    Ok(names)
}

fn note(info: &Info, out: &mut Commands) {
    if info.projects {
        out.notes
            .push("vector sets made with REDUCE are copied with their reduced vectors: the target does not reduce what is added to them");
    }
}

fn write(
    name: Bytes,
    (raw, attributes): Element,
    info: &Info,
    means: &Means,
    out: &mut Commands,
) -> Result<(), End> {
    let unknown = || {
        let why = "VEMB's vector is not of the size that VINFO tells";
        End::Failed(Side::Source, why.to_owned())
    };
    let vector = raw.vector(info.dimensions).ok_or_else(unknown)?;
    let blob: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
    let mut words = vec![
        Bytes::from_static(b"FP32"),
        Bytes::from(blob),
        name.clone(),
        Bytes::from_static(info.quantization.word()),
    ];
    if let Some(links) = info.links {
        words.extend([Bytes::from_static(b"M"), number(links)]);
    }
    let bare = attributes.is_none();
    if let Some(attributes) = attributes {
        words.extend([Bytes::from_static(b"SETATTR"), attributes]);
    }
    out.push(&[b"VADD"], words);
    if bare && means.merge {
        // VADD leaves an element the attributes that it has.
        out.push(&[b"VSETATTR"], [name, Bytes::new()]);
    }
    Ok(())
}

impl Reader for VectorReader {
    fn ask(&mut self, _: &Means, source: &mut Questions<'_>) {
        match &self.state {
            State::Names => {
                source.ask(&[b"VINFO", &self.key]);
                ask_names(&self.key, source);
            }
            State::Whole(names) => {
                source.ask(&[b"VINFO", &self.key]);
                ask_names(&self.key, source);
                ask_elements(&self.key, names, source);
            }
            State::Pages {
                names, at, count, ..
            } => ask_elements(&self.key, page(names, *at, *count), source),
        }
    }

    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        match &mut self.state {
            State::Names => self.accept_names(means, source, out),
            State::Whole(_) => self.accept_whole(means, source, out),
            State::Pages {
                info,
                names,
                at,
                count,
            } => {
                let page = page(names, *at, *count);
                for name in page {
                    match take_element(source)? {
                        Some(element) => write(name.clone(), element, info, means, out)?,
                        // Removed since its name was told: its event says so.
                        None if means.follows => {}
                        None => return Err(End::Differs),
                    }
                }
                *at += page.len();
                Ok(if *at < names.len() {
                    Step::More
                } else {
                    Step::Done
                })
            }
        }
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(b"VCARD")
    }
}
