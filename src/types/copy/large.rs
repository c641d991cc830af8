//! One large key, in chunks: built under a temporary name, and put in place when it is whole.

use bytes::Bytes;

use super::built::{BUILT_FOR, Built};
use super::commands::{Commands, Executed, executed, first_error};
use super::reader::{Means, Reader, Size, Step, reader};
use super::{
    Abilities, Copied, CopyTerms, Fate, Moment, NO_KEY, Order, fate, not_behind, refused,
    same_instant, text, unknown,
};
use crate::config::Side;
use crate::entry::Millis;
use crate::error::{Lost, denies_a_command};
use crate::types::End;
use crate::types::ask::{Answers, Questions, bytes, collect_all, size};
use crate::wire::{Connection, Reply};

/// What became of a large key, and of the target's connection.
#[derive(Debug)]
pub struct Ended {
    /// The key's fate.
    pub fate: Fate,
    /// Both connections must be closed: something is half done on them.
    pub spoilt: bool,
}

impl From<Fate> for Ended {
    fn from(fate: Fate) -> Self {
        Self {
            fate,
            spoilt: false,
        }
    }
}

/// Both sides of one key's copying.
pub(super) struct Pair<'a> {
    pub(super) source: &'a mut Connection,
    pub(super) target: &'a mut Connection,
}

impl Pair<'_> {
    /// Asks the source, and waits for its answers.
    pub(super) async fn ask(
        &mut self,
        ask: impl FnOnce(&mut Questions<'_>),
    ) -> Result<Answers, (Side, Lost)> {
        request(self.source, Side::Source, ask).await
    }

    /// Tells the target, and waits for its answers.
    pub(super) async fn tell(
        &mut self,
        tell: impl FnOnce(&mut Questions<'_>),
    ) -> Result<Answers, (Side, Lost)> {
        request(self.target, Side::Target, tell).await
    }
}

async fn request(
    connection: &mut Connection,
    side: Side,
    ask: impl FnOnce(&mut Questions<'_>),
) -> Result<Answers, (Side, Lost)> {
    let mut questions = Questions::to(connection);
    ask(&mut questions);
    let count = questions.count();
    let replies = collect_all(connection, count).await;
    Ok(Answers::new(side, replies.map_err(|lost| (side, lost))?))
}

/// Copies one key in chunks.
///
/// The connections have nothing in flight, and none but this one uses them. An error is a connection that cannot go on.
pub async fn large(
    (source, target): (&mut Connection, &mut Connection),
    order: &Order,
    terms: &CopyTerms,
    abilities: Abilities,
    moment: Moment,
) -> Result<Ended, (Side, Lost)> {
    let mut pair = Pair { source, target };
    let watches = abilities.watch && terms.source_multi && !terms.follows;
    let key = &order.source;
    let mut answers = pair
        .ask(|source| {
            if watches {
                source.ask(&[b"WATCH", key]);
            }
            source.ask(&[b"TYPE", key]);
            terms.ask_memory(key, source);
        })
        .await?;
    if watches {
        answers.raw();
    }
    let looked = look(&mut answers, order, terms);
    let ended = match looked {
        Err(end) => fate(end).into(),
        Ok(Err(fate)) => fate.into(),
        Ok(Ok((kind, memory))) => {
            let means = terms.means(abilities, moment);
            let mut copying = Copying {
                pair,
                order,
                terms,
                means,
                moment,
                watches,
                sent: false,
            };
            let ended = if kind.as_ref() == b"string" {
                text::copy(&mut copying).await?
            } else {
                copying.collection(&kind, memory).await?.into()
            };
            pair = copying.pair;
            ended
        }
    };
    if watches && !ended.spoilt {
        pair.ask(|source| source.ask(&[b"UNWATCH"])).await?;
    }
    Ok(ended)
}

/// Type and memory of a key, or why it is not copied.
fn look(
    answers: &mut Answers,
    order: &Order,
    terms: &CopyTerms,
) -> Result<Result<(Bytes, usize), Fate>, End> {
    let kind = answers.parse(bytes)?;
    let memory = size(&answers.raw());
    if kind.as_ref() == b"none" {
        return Err(End::Gone);
    }
    Ok(match terms.refusal(order, &kind, memory) {
        Some(fate) => Err(fate),
        None => Ok((kind, memory.unwrap_or_default())),
    })
}

/// One key's copying.
pub(super) struct Copying<'a> {
    pub(super) pair: Pair<'a>,
    pub(super) order: &'a Order,
    pub(super) terms: &'a CopyTerms,
    pub(super) means: Means,
    pub(super) moment: Moment,
    /// A change at the source makes EXEC there answer nil.
    pub(super) watches: bool,
    /// Part of the value is at the target.
    sent: bool,
}

/// What the source says of a key when it was read.
pub(super) struct Last {
    pub(super) expiry: Millis,
    pub(super) length: Option<usize>,
}

impl Copying<'_> {
    async fn collection(&mut self, kind: &[u8], memory: usize) -> Result<Fate, (Side, Lost)> {
        let key = self.order.source.clone();
        let Some(mut reader) = reader(kind, key.clone(), Size::Paged(memory)) else {
            return Ok(unknown(kind));
        };
        let first = match self.look(None, false).await? {
            Ok(first) => first.expiry,
            Err(end) => return Ok(fate(end)),
        };
        let built = if self.terms.merge {
            None
        } else {
            match Built::begin(&mut self.pair, &self.order.target).await? {
                Ok(built) => Some(built),
                Err(error) => return Ok(not_there(kind, &error)),
            }
        };
        let name = built.as_ref().map(|built| built.name.clone());
        let mut commands = Commands::new(name.unwrap_or_else(|| self.order.target.clone()));
        let fate = match self.build(kind, reader.as_mut(), &mut commands).await? {
            Some(fate) => fate,
            None => {
                self.put_in_place(kind, reader.as_ref(), &commands, first)
                    .await?
            }
        };
        if let Some(built) = built {
            built.end(&mut self.pair).await?;
        }
        Ok(if self.sent && !self.terms.may_repeat(kind) {
            not_again(fate)
        } else {
            fate
        })
    }

    fn take_expiry(&self, answers: &mut Answers) -> Result<Millis, End> {
        let now = self.moment.now();
        match self.terms.take_expiry(answers, now)? {
            NO_KEY => Err(End::Gone),
            expiry => Ok(expiry),
        }
    }

    /// Reads a page while the page before is written, until all is. `Some`: it ends early.
    async fn build(
        &mut self,
        kind: &[u8],
        reader: &mut dyn Reader,
        commands: &mut Commands,
    ) -> Result<Option<Fate>, (Side, Lost)> {
        let mut step = Step::More;
        let mut begun = false;
        self.sent = false;
        while step == Step::More || commands.len() > 0 {
            let begins = commands.first.is_some() && !std::mem::replace(&mut begun, true);
            if self.terms.merge && begins {
                let name = commands.destination();
                let mut told = self
                    .pair
                    .tell(|target| target.ask(&[b"XINFO", b"STREAM", name]))
                    .await?;
                if let Some(fate) = not_behind(commands, told.raw()) {
                    return Ok(Some(fate));
                }
            }
            let mut to_source = Questions::to(self.pair.source);
            if step == Step::More {
                reader.ask(&self.means, &mut to_source);
            }
            let asked = to_source.count();
            let mut to_target = Questions::to(self.pair.target);
            let inside = encode(commands, self.terms.merge, &mut to_target);
            let told = to_target.count();
            self.sent |= told > 0;
            // Both, so that the side that goes on is left with nothing in flight.
            let (ours, theirs) = tokio::join!(
                collect_all(self.pair.source, asked),
                collect_all(self.pair.target, told)
            );
            let ours = ours.map_err(|lost| (Side::Source, lost))?;
            let theirs = theirs.map_err(|lost| (Side::Target, lost))?;
            commands.clear();
            if let Some(error) = page_error(theirs, inside, self.terms) {
                return Ok(Some(refused(kind, &error)));
            }
            if step == Step::More {
                let mut ours = Answers::new(Side::Source, ours);
                match reader.accept(&self.means, &mut ours, commands) {
                    Ok(next) => step = next,
                    Err(end) => return Ok(Some(fate(end))),
                }
            }
        }
        Ok(None)
    }

    /// Looks at the source's key; `last`: whether it has changed since it is watched.
    pub(super) async fn look(
        &mut self,
        length: Option<&'static [u8]>,
        last: bool,
    ) -> Result<Result<Last, End>, (Side, Lost)> {
        let (terms, key, watches) = (self.terms, &self.order.source, self.watches && last);
        let mut inside = 0;
        let mut answers = self
            .pair
            .ask(|source| {
                if watches {
                    source.ask(&[b"MULTI"]);
                }
                let before = source.count();
                terms.ask_expiry(key, source);
                if let Some(length) = length {
                    source.ask(&[length, key]);
                }
                inside = source.count() - before;
                if watches {
                    source.ask(&[b"EXEC"]);
                }
            })
            .await?;
        if watches {
            answers = match executed(inside, || answers.raw()) {
                Executed::Answers(inner) => Answers::new(Side::Source, inner),
                Executed::Void => return Ok(Err(End::Differs)),
                Executed::Refused(error) => return Ok(Err(End::Failed(Side::Source, error))),
            };
        }
        Ok(self.take_last(&mut answers, length.is_some()))
    }

    fn take_last(&self, answers: &mut Answers, has_length: bool) -> Result<Last, End> {
        let expiry = self.take_expiry(answers)?;
        let length = has_length.then(|| answers.size()).transpose()?;
        Ok(Last { expiry, length })
    }

    /// A stream without messages is left out.
    async fn prune(&mut self) -> Result<Fate, (Side, Lost)> {
        let name = &self.order.target;
        let mut told = self
            .pair
            .tell(|target| target.ask(&[b"EXISTS", name]))
            .await?;
        let there = told.raw() != Reply::Integer(0);
        Ok(if there && !self.terms.merge {
            Fate::Gone
        } else {
            Fate::Pruned
        })
    }

    /// Watches what was built, and looks whether it is all there. `Some`: it is not put in place.
    async fn is_not_whole(
        &mut self,
        kind: &[u8],
        built: &Bytes,
        length: Option<&'static [u8]>,
        last: &Last,
        passed: bool,
    ) -> Result<Option<Fate>, (Side, Lost)> {
        let mut told = self
            .pair
            .tell(|target| {
                target.ask(&[b"WATCH", built]);
                target.ask(&[b"EXISTS", built]);
                if let Some(length) = length {
                    target.ask(&[length, built]);
                }
            })
            .await?;
        if let Reply::Error(error) = told.raw() {
            return Ok(Some(refused(kind, &error)));
        }
        // All that was built has expired, or was evicted.
        if told.raw() == Reply::Integer(0) && !passed {
            return Ok(Some(Fate::Changed));
        }
        if length.is_none() {
            return Ok(None);
        }
        let found = told.raw();
        if let Reply::Error(error) = &found {
            return Ok(Some(refused(kind, error)));
        }
        // What changed while it was read has an event that follows.
        let whole = self.terms.follows || size(&found) == last.length;
        Ok((!whole).then_some(Fate::Changed))
    }

    /// What was built takes the key's name, if it is whole and the source's key is still the same.
    async fn put_in_place(
        &mut self,
        kind: &[u8],
        reader: &dyn Reader,
        commands: &Commands,
        first: Millis,
    ) -> Result<Fate, (Side, Lost)> {
        if self.terms.prune_streams && reader.is_empty_stream() {
            return self.prune().await;
        }
        let length = reader.length().filter(|_| !self.terms.merge);
        let last = match self.look(length, true).await? {
            Ok(last) => last,
            Err(end) => return Ok(fate(end)),
        };
        if !self.terms.follows && !same_instant(self.terms, first, last.expiry) {
            return Ok(Fate::Changed);
        }
        let (expiry, passed) = self.terms.expiry(last.expiry, self.moment);
        let name = &self.order.target;
        let built = commands.destination();
        if self.terms.merge {
            if let Some(expiry) = expiry {
                let at = expiry.to_string();
                self.pair
                    .tell(|target| target.ask(&[b"PEXPIREAT", name, at.as_bytes()]))
                    .await?;
            }
            return Ok(Fate::Copied(Copied::of(kind, commands)));
        }
        if let Some(fate) = self
            .is_not_whole(kind, built, length, &last, passed)
            .await?
        {
            return Ok(fate);
        }
        let mut inside = 0;
        let mut told = self
            .pair
            .tell(|target| {
                target.ask(&[b"MULTI"]);
                let before = target.count();
                if passed {
                    target.ask(&[b"UNLINK", built]);
                    target.ask(&[b"UNLINK", name]);
                } else {
                    match expiry {
                        Some(expiry) => {
                            target.ask(&[b"PEXPIREAT", built, expiry.to_string().as_bytes()]);
                        }
                        None => target.ask(&[b"PERSIST", built]),
                    }
                    target.ask(&[b"UNLINK", name]);
                    target.ask(&[b"RENAME", built, name]);
                }
                inside = target.count() - before;
                target.ask(&[b"EXEC"]);
                if self.terms.wait.0 > 0 {
                    target.wait(self.terms.wait);
                }
            })
            .await?;
        let mut ended = super::written(commands, kind, self.terms, executed(inside, || told.raw()));
        if let Fate::Copied(copied) = &mut ended
            && kind == b"stream"
        {
            // Never the same as another: it is copied each time that its turn comes.
            copied.digest = Some(fastrand::u64(..));
        }
        let mut ended = [(0, ended)];
        if self.terms.wait.0 > 0 {
            self.terms.hold_to_replicas(&told.raw(), &mut ended);
        }
        let [(_, ended)] = ended;
        Ok(ended)
    }
}

/// A page's commands: under a temporary name they are one transaction with its expiry, so that no page is left for ever.
fn encode(commands: &Commands, merge: bool, target: &mut Questions<'_>) -> Option<usize> {
    if commands.len() == 0 {
        return None;
    }
    if merge {
        commands.encode(target);
        return None;
    }
    target.ask(&[b"MULTI"]);
    commands.encode(target);
    target.ask(&[b"PEXPIRE", commands.destination(), BUILT_FOR]);
    target.ask(&[b"EXEC"]);
    Some(commands.len() + 1)
}

/// What went wrong with a page, if anything did.
fn page_error(replies: Vec<Reply>, inside: Option<usize>, terms: &CopyTerms) -> Option<String> {
    let answers = match inside {
        None => replies,
        Some(inside) => {
            let mut replies = replies.into_iter();
            match executed(inside, || replies.next().unwrap_or(Reply::Nil)) {
                Executed::Answers(answers) => answers,
                Executed::Void => return Some("EXEC was not executed".into()),
                Executed::Refused(error) => return Some(error),
            }
        }
    };
    first_error(&answers, |error| terms.is_harmless(error)).cloned()
}

/// What was added in part is not added once more.
fn not_again(fate: Fate) -> Fate {
    match fate {
        Fate::Changed => Fate::Failed(
            Side::Source,
            "it changed while it was added: part of it may have been added, and is not added twice"
                .into(),
        ),
        Fate::Failed(side, why) => Fate::Failed(
            side,
            format!("part of it may have been added, and is not added twice: {why}"),
        ),
        fate => fate,
    }
}

/// An error of the target for a temporary name.
fn not_there(kind: &[u8], error: &str) -> Fate {
    if error.starts_with("NOPERM") && !denies_a_command(error.as_bytes()) {
        let why = format!(
            "{error}: it is built under a temporary name, which the target's user must be allowed (ACL rule ~{{*}}:riot-tmp:*)"
        );
        return Fate::Failed(Side::Target, why);
    }
    refused(kind, error)
}
