//! Keys that only the target has: the target's keys, looked for at the source.

use std::sync::Arc;

use bytes::Bytes;

use super::{Suspect, Suspects, fail, is_astray};
use crate::changed::Overflow;
use crate::config::{Selection, Side};
use crate::entry::{Key, road};
use crate::error::{Class, Lost, RunError, classify};
use crate::filter::{Filter, glob_matches};
use crate::queue::Receiver;
use crate::stage::Context;
use crate::stats::{Difference, DifferenceKind};
use crate::transform::Rename;
use crate::wire::{Connection, Link, Reply};

/// Keys that are asked about at once.
const BATCH: usize = 1000;

/// Which of the target's keys the run is about.
#[derive(Debug, Clone)]
pub struct Extra {
    pattern: Vec<u8>,
    filter: Filter,
    kinds: Vec<String>,
    rename: Arc<Rename>,
    only: Option<Arc<Overflow>>,
}

impl Extra {
    /// The run's own filters, which are about names at the source.
    ///
    /// With `only`, those keys alone are looked for that are among them.
    #[must_use]
    pub fn new(selection: &Selection, rename: Arc<Rename>, only: Option<Arc<Overflow>>) -> Self {
        Self {
            pattern: selection.pattern.clone(),
            filter: Filter::new(selection),
            kinds: selection.types.clone(),
            rename,
            only,
        }
    }

    fn needs_kinds(&self) -> bool {
        !self.kinds.is_empty() || self.rename.needs_type()
    }

    /// The source's name of a key of the target, if the run would write it.
    #[must_use]
    pub fn source_name(&self, target: &Bytes, kind: Option<&[u8]>) -> Option<Bytes> {
        let kind_fits = self.kinds.is_empty()
            || kind.is_some_and(|kind| self.kinds.iter().any(|wanted| wanted.as_bytes() == kind));
        let name = self.rename.invert(target, kind)?;
        if let Some(only) = &self.only
            && !only.may_hold(&name, road(target))
        {
            return None;
        }
        (kind_fits && glob_matches(&self.pattern, &name) && self.filter.wants(&name))
            .then_some(name)
    }
}

/// One lane of the search.
pub struct ExtraLane {
    context: Arc<Context>,
    source: Arc<Link>,
    target: Arc<Link>,
    extra: Extra,
    input: Receiver<Vec<Key>>,
    suspects: Suspects,
}

/// A key of the target, and what it is called at the source.
struct Candidate {
    source: Bytes,
    target: Bytes,
}

impl ExtraLane {
    /// A lane that takes the target's keys from `input`.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        (source, target): (Arc<Link>, Arc<Link>),
        extra: Extra,
        input: Receiver<Vec<Key>>,
        suspects: Suspects,
    ) -> Self {
        Self {
            context,
            source,
            target,
            extra,
            input,
            suspects,
        }
    }

    /// Runs until the input is closed and every key was looked for.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let Err(error) = self.search().await else {
            return Ok(());
        };
        if !matches!(error, RunError::Left { .. }) {
            self.context.give_up(error);
        }
        // Whoever deals keys must not wait for a lane that has ended. A node that has lost its slots is not asked again.
        while let Some(keys) = self.input.receive().await {
            self.suspects.lead_astray(keys);
        }
        Ok(())
    }

    async fn search(&mut self) -> Result<(), RunError> {
        let mut source = self.source.open().await?;
        let mut target = self.target.open().await?;
        while let Some(mut keys) = self.input.receive().await {
            while keys.len() < BATCH {
                let Some(more) = self.input.try_receive() else {
                    break;
                };
                keys.extend(more);
            }
            let mut failed = 0;
            loop {
                match self.look(&keys, &mut source, &mut target).await {
                    Ok(suspects) => {
                        if !suspects.is_empty() {
                            self.suspects.add(suspects);
                        }
                        break;
                    }
                    Err((side, lost)) => {
                        failed += 1;
                        let (link, connection) = match side {
                            Side::Source => (&self.source, &mut source),
                            Side::Target => (&self.target, &mut target),
                        };
                        if !self.context.flow.read_retry.allows(failed) {
                            return Err(link.unusable(&format!("{lost} (tried {failed} times)")));
                        }
                        match link.reopen(&lost).await {
                            Ok(new) => *connection = new,
                            Err(error) => {
                                self.suspects.lead_astray(keys);
                                return Err(error);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Those of the target's keys that the source does not have.
    async fn look(
        &self,
        keys: &[Key],
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<Vec<Suspect>, (Side, Lost)> {
        let at_target = |lost| (Side::Target, lost);
        let kinds = if self.extra.needs_kinds() {
            let names = keys.iter().map(|key| &key.name);
            ask(target, b"TYPE", names).await.map_err(at_target)?
        } else {
            Vec::new()
        };
        let mut candidates = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let kind = match kinds.get(place) {
                Some(Reply::Bytes(kind)) => Some(kind.as_ref()),
                Some(Reply::Error(error)) if is_astray(error) => {
                    self.suspects.lead_astray([key.clone()]);
                    continue;
                }
                _ => None,
            };
            if let Some(name) = self.extra.source_name(&key.name, kind) {
                candidates.push(Candidate {
                    source: name,
                    target: key.name.clone(),
                });
            }
        }
        let names = candidates.iter().map(|candidate| &candidate.source);
        let there = ask(source, b"EXISTS", names)
            .await
            .map_err(|lost| (Side::Source, lost))?;
        let candidates = self.without(candidates, there, Side::Source, 1);
        // Asked last: what was deleted on both sides meanwhile is no difference.
        let names = candidates.iter().map(|candidate| &candidate.target);
        let here = ask(target, b"EXISTS", names).await.map_err(at_target)?;
        let extra = self.without(candidates, here, Side::Target, 0);
        let suspects = extra.into_iter().map(|candidate| Suspect {
            key: Key::new(candidate.source, &candidate.target),
            difference: Difference {
                key: candidate.target.to_vec(),
                kind: DifferenceKind::Extra,
            },
        });
        Ok(suspects.collect())
    }

    /// Leaves out what was answered with `number`, and what could not be looked at.
    fn without(
        &self,
        candidates: Vec<Candidate>,
        replies: Vec<Reply>,
        side: Side,
        number: i64,
    ) -> Vec<Candidate> {
        let answered = candidates.into_iter().zip(replies);
        answered
            .filter_map(|(candidate, reply)| match reply {
                Reply::Integer(found) => (found != number).then_some(candidate),
                Reply::Error(error) if is_astray(&error) => {
                    let road = candidate.target.clone();
                    self.suspects
                        .lead_astray([Key::new(candidate.target, &road)]);
                    None
                }
                Reply::Error(error) => {
                    let key = Key::new(candidate.source, &candidate.target);
                    fail(&self.context, side, &key, &error);
                    None
                }
                Reply::Nil | Reply::Bytes(_) | Reply::Array(_) => None,
            })
            .collect()
    }
}

/// One command for each name, all in flight together.
async fn ask(
    connection: &mut Connection,
    command: &[u8],
    names: impl Iterator<Item = &Bytes>,
) -> Result<Vec<Reply>, Lost> {
    let mut asked = 0;
    for name in names {
        connection.outgoing().words(&[command, name]);
        asked += 1;
    }
    let mut replies = Vec::with_capacity(asked);
    for _ in 0..asked {
        let reply = connection.reply().await?;
        if let Reply::Error(error) = &reply
            && classify(error.as_bytes()) == Class::Transient
        {
            return Err(Lost::Io(std::io::Error::other(error.clone())));
        }
        replies.push(reply);
    }
    Ok(replies)
}
