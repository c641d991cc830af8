//! Compares keys by value: both sides are asked for the same batch at once. Equal bytes are equal values; whatever is not
//! is looked at again by its type's own commands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use super::aside::{Aside, Looks};
use super::half::Half;
use super::question::NO_EXPIRY;
use super::sheet::{Inspected, Look, Sheet};
use super::{Suspect, Suspects, Terms, fail, is_astray};
use crate::config::{Carriage, Side};
use crate::entry::Key;
use crate::error::{Lost, RunError};
use crate::queue::Receiver;
use crate::reading::{
    ASKED_BYTES, BATCH_BYTES, Batch, Dialect, LONG, Limits, Road, Waiting, batch_keys,
};
use crate::shape::Shapes;
use crate::stage::Context;
use crate::stats::Difference;
use crate::transform::Rename;
use crate::types::{Doubt, Verdict};
use crate::wire::{Connection, Link};

/// Keys that are looked at by their types together: fewer would be more round trips for each.
const DOUBTS: usize = 500;

/// One lane of the full comparison.
pub struct FullLane {
    context: Arc<Context>,
    looks: Arc<Looks>,
    rename: Arc<Rename>,
    input: Receiver<Vec<Key>>,
    suspects: Suspects,
    source: Half,
    target: Half,
    waiting: Waiting,
    shapes: Shapes,
    sheets: BTreeMap<u64, Sheet>,
    next: u64,
    doubts: Vec<Doubt>,
    /// Where doubts are looked at while the lane goes on, if there are connections for it.
    aside: Option<Aside>,
    open: bool,
}

enum Turn {
    Keys(Option<Vec<Key>>),
    Moved(Side, Result<(), Lost>),
    Looked(Result<Vec<Verdict>, RunError>),
}

impl FullLane {
    /// A lane that compares what comes from `input`. The dialects are the sides' own.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        (source, target): (Arc<Link>, Arc<Link>),
        dialects: (Dialect, Dialect),
        terms: Terms,
        rename: Arc<Rename>,
        input: Receiver<Vec<Key>>,
        suspects: Suspects,
    ) -> Self {
        let (keys, singly) = batch_keys(&context.flow);
        let looks = Looks {
            context: context.clone(),
            terms,
            links: (source.clone(), target.clone()),
        };
        let half = |side, link, dialect| Half::new(side, link, dialect, context.clone(), keys);
        Self {
            source: half(Side::Source, source, dialects.0),
            target: half(Side::Target, target, dialects.1),
            context,
            looks: Arc::new(looks),
            rename,
            input,
            suspects,
            waiting: Waiting::new(Limits {
                keys,
                singly,
                bytes: BATCH_BYTES,
            }),
            shapes: Shapes::default(),
            sheets: BTreeMap::new(),
            next: 0,
            doubts: Vec::new(),
            aside: None,
            open: true,
        }
    }

    /// Whether it may have another connection to each side: what is looked at by its type is looked at beside all else then.
    #[must_use]
    pub fn looks_aside(mut self, aside: bool) -> Self {
        self.aside = aside.then(Aside::new);
        self
    }

    /// Runs until the input is closed and everything is compared.
    pub async fn run(mut self) -> anyhow::Result<()> {
        if let Err(error) = self.compare().await {
            if matches!(error, RunError::Left { .. }) {
                return self.leave().await;
            }
            self.context.give_up(error);
            // Whoever deals keys must not wait for a lane that has ended.
            while self.input.receive().await.is_some() {}
        }
        Ok(())
    }

    /// A node has lost its slots: the keys are looked for elsewhere.
    async fn leave(mut self) -> anyhow::Result<()> {
        let sheets = std::mem::take(&mut self.sheets);
        let sheets = sheets.into_values().flat_map(|sheet| sheet.keys);
        self.suspects.lead_astray(sheets);
        self.suspects.lead_astray(self.waiting.drain());
        let aside = self.aside.as_mut().map(Aside::take_doubts);
        let doubts = self.doubts.drain(..).chain(aside.into_iter().flatten());
        self.suspects.lead_astray(doubts.map(|doubt| doubt.key));
        while let Some(keys) = self.input.receive().await {
            self.suspects.lead_astray(keys);
        }
        Ok(())
    }

    async fn compare(&mut self) -> Result<(), RunError> {
        let retry = self.context.flow.read_retry;
        let mut source = self.source.link.open().await?;
        let mut target = self.target.link.open().await?;
        self.source.is_as_far_as(source.round_trip());
        self.target.is_as_far_as(target.round_trip());
        loop {
            self.fill(&mut source, &mut target);
            let other = self.target.holds();
            if let Err(lost) = self.source.take(&mut source, &mut self.sheets, other).await {
                self.source.recover(&mut source, lost, retry).await?;
                continue;
            }
            let other = self.source.holds();
            if let Err(lost) = self.target.take(&mut target, &mut self.sheets, other).await {
                self.target.recover(&mut target, lost, retry).await?;
                continue;
            }
            self.judge();
            if self.source.may_go_on(&self.target) || self.target.may_go_on(&self.source) {
                continue;
            }
            let idle = self.source.is_idle() && self.target.is_idle();
            let all_asked = idle && !self.open && self.waiting.len() == 0;
            let free = self.aside.as_ref().map_or(idle, |aside| !aside.is_busy());
            let enough = self.doubts.len() >= DOUBTS;
            if free && (enough || (all_asked && !self.doubts.is_empty())) {
                let some = self.doubts.len().min(DOUBTS);
                let doubts: Vec<Doubt> = self.doubts.drain(..some).collect();
                let looks = self.looks.clone();
                if let Some(aside) = &mut self.aside {
                    aside.start(doubts, looks);
                    continue;
                }
                match looks.look((source, target), &doubts).await {
                    Ok((verdicts, ends)) => {
                        (source, target) = ends;
                        self.settle_doubts(doubts, Ok(verdicts))?;
                    }
                    Err(error) => return self.settle_doubts(doubts, Err(error)),
                }
                continue;
            }
            let busy = self.aside.as_ref().is_some_and(Aside::is_busy);
            if all_asked && !busy {
                return Ok(());
            }
            if idle && self.waiting.len() > 0 && self.may_ask() {
                continue;
            }
            match self.wait(&mut source, &mut target).await {
                Turn::Keys(Some(keys)) => self.take_in(keys),
                Turn::Keys(None) => self.open = false,
                Turn::Looked(verdicts) => {
                    let doubts = self.aside.as_mut().map(Aside::take_doubts);
                    self.settle_doubts(doubts.unwrap_or_default(), verdicts)?;
                }
                Turn::Moved(_, Ok(())) => {}
                Turn::Moved(Side::Source, Err(lost)) => {
                    self.source.recover(&mut source, lost, retry).await?;
                }
                Turn::Moved(Side::Target, Err(lost)) => {
                    self.target.recover(&mut target, lost, retry).await?;
                }
            }
        }
    }

    async fn wait(&mut self, source: &mut Connection, target: &mut Connection) -> Turn {
        let hungry = self.open && self.may_ask() && self.waiting.len() < self.waiting.limit();
        let (asked, told) = (self.source.listens(), self.target.listens());
        let limits = (source.limit(), target.limit());
        let verdicts = async {
            match &mut self.aside {
                Some(aside) => aside.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            keys = self.input.receive(), if hungry => Turn::Keys(keys),
            moved = timeout(limits.0, source.drive()), if asked => {
                Turn::Moved(Side::Source, moved.unwrap_or(Err(Lost::Timeout(limits.0))))
            }
            moved = timeout(limits.1, target.drive()), if told => {
                Turn::Moved(Side::Target, moved.unwrap_or(Err(Lost::Timeout(limits.1))))
            }
            verdicts = verdicts => Turn::Looked(verdicts),
        }
    }

    fn take_in(&mut self, keys: Vec<Key>) {
        let inspect = self.inspects();
        for key in keys {
            if inspect {
                let bytes = key.name.len() + 64;
                self.waiting.add(key, Road::Inspect, bytes);
            } else {
                self.take_guessed(key);
            }
        }
    }

    /// A key waits to be read; or to be looked at by its type where payloads of keys like it have told nothing. One in so many is
    /// read nevertheless.
    fn take_guessed(&mut self, key: Key) {
        let guess = self.shapes.guess(&key);
        if guess.unlike && !Shapes::is_sampled(&key) {
            let bytes = usize::try_from(guess.bytes).unwrap_or(LONG);
            self.doubt(key, None, bytes);
        } else {
            self.waiting.add_guessed(key, guess, Carriage::Auto);
        }
    }

    /// Whether keys are looked at before they are read: filters or names need it.
    fn inspects(&self) -> bool {
        self.source.dialect.kinds || self.source.dialect.memory.is_some()
    }

    fn may_ask(&self) -> bool {
        self.doubts.len() < DOUBTS
            && self.source.may_ask(ASKED_BYTES)
            && self.target.may_ask(ASKED_BYTES)
    }

    fn fill(&mut self, source: &mut Connection, target: &mut Connection) {
        while self.may_ask() {
            while self.open
                && self.waiting.len() < self.waiting.limit()
                && self.doubts.len() < DOUBTS
            {
                let Some(keys) = self.input.try_receive() else {
                    break;
                };
                self.take_in(keys);
            }
            if !self.sheets.values().any(|sheet| sheet.strange)
                && let Some(batch) = self.waiting.next_strangers(&self.shapes, Carriage::Auto)
            {
                self.ask(batch, source, target);
                continue;
            }
            let Some(batch) = self.waiting.next(!self.open || self.sheets.len() < 2) else {
                return;
            };
            self.ask(batch, source, target);
        }
    }

    /// Asks both sides for one batch; the source alone where it is looked at before it is read.
    fn ask(&mut self, batch: Batch, source: &mut Connection, target: &mut Connection) {
        let number = self.next;
        self.next += 1;
        let mut sheet = Sheet {
            keys: batch.keys.clone(),
            road: batch.road,
            strange: batch.strange,
            source: super::sheet::Page::default(),
            target: super::sheet::Page::default(),
        };
        if batch.road == Road::Inspect {
            sheet.target.is_whole = true;
        } else {
            let names = batch.keys.iter().map(|key| Key {
                name: self.target_name(key, None),
                ..key.clone()
            });
            let twin = Batch::new(batch.road, names.collect(), batch.bytes);
            self.target.ask(number, twin, target);
        }
        self.sheets.insert(number, sheet);
        self.source.ask(number, batch, source);
    }

    fn target_name(&self, key: &Key, kind: Option<&[u8]>) -> Bytes {
        match self.rename.apply(&key.name, kind) {
            Cow::Borrowed(_) => key.name.clone(),
            Cow::Owned(name) => Bytes::from(name),
        }
    }

    /// Settles every sheet that both sides have answered.
    fn judge(&mut self) {
        let whole: Vec<u64> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| sheet.source.is_whole && sheet.target.is_whole)
            .map(|(number, _)| *number)
            .collect();
        for number in whole {
            if let Some(sheet) = self.sheets.remove(&number) {
                if sheet.strange {
                    self.shapes.meet(sheet.keys.len());
                }
                if sheet.road == Road::Inspect {
                    self.judge_inspected(sheet);
                } else {
                    self.judge_sheet(sheet);
                }
            }
        }
    }

    fn judge_sheet(&mut self, sheet: Sheet) {
        let shift = self.context.clocks.shift();
        let mut settled = 0;
        let seen = sheet.source.looks.into_iter().zip(sheet.target.looks);
        for (key, (source, target)) in sheet.keys.into_iter().zip(seen) {
            if let Look::Held(held) = source {
                self.shapes.learn(&key, held.text, held.len);
            }
            match (source, target) {
                (Look::Gone, _) => settled += 1,
                (Look::NoText, _) | (_, Look::NoText) => {
                    self.waiting.add(key, Road::Payloads, LONG);
                }
                (Look::Held(one), Look::Held(other))
                    if one.is_same_value(&other)
                        && !(shift != 0 && one.field_expiries)
                        && self.looks.terms.values.same_expiry(
                            one.expiry.unwrap_or(NO_EXPIRY),
                            other.expiry.unwrap_or(NO_EXPIRY),
                            shift,
                        ) =>
                {
                    settled += 1;
                    if one.elements {
                        self.shapes.learn_unlike(&key, false);
                    }
                }
                (one, other) => {
                    if let (Look::Held(one), Look::Held(_)) = (&one, &other)
                        && one.elements
                    {
                        self.shapes.learn_unlike(&key, true);
                    }
                    let len = |look| match look {
                        Look::Held(held) => held.len,
                        _ => 0,
                    };
                    self.doubt(key, None, len(one).max(len(other)));
                }
            }
        }
        self.context.stats.compared(settled);
    }

    fn doubt(&mut self, key: Key, kind: Option<&[u8]>, bytes: usize) {
        let target = self.target_name(&key, kind);
        self.doubts.push(Doubt { key, target, bytes });
    }

    /// What was looked at before it is read is read, or left out.
    fn judge_inspected(&mut self, sheet: Sheet) {
        let needs_type = self.rename.needs_type();
        let mut settled = 0;
        let mut inspected = sheet.source.inspected;
        inspected.resize(sheet.keys.len(), Inspected::Unseen);
        for (key, inspected) in sheet.keys.into_iter().zip(inspected) {
            let Inspected::Told(memory, kind) = inspected else {
                // It is looked at by itself.
                self.doubt(key, None, 0);
                continue;
            };
            if !self.looks.terms.wants(&kind, memory.unwrap_or_default()) {
                settled += 1;
            } else if needs_type {
                self.doubt(key, Some(&kind), 0);
            } else {
                self.take_guessed(key);
            }
        }
        self.context.stats.compared(settled);
    }

    /// Doubts have been looked at by their types' own commands.
    fn settle_doubts(
        &mut self,
        doubts: Vec<Doubt>,
        verdicts: Result<Vec<Verdict>, RunError>,
    ) -> Result<(), RunError> {
        let verdicts = match verdicts {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.doubts.extend(doubts);
                return Err(error);
            }
        };
        let mut suspects = Vec::new();
        let mut settled = 0;
        for (doubt, verdict) in doubts.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Equal | Verdict::Gone => settled += 1,
                Verdict::Differs(kind) => {
                    settled += 1;
                    let difference = Difference {
                        key: doubt.key.name.to_vec(),
                        kind,
                    };
                    suspects.push(Suspect {
                        key: doubt.key,
                        difference,
                    });
                }
                Verdict::Failed(_, error) if is_astray(&error) => {
                    self.suspects.lead_astray([doubt.key]);
                }
                Verdict::Failed(side, error) => fail(&self.context, side, &doubt.key, &error),
            }
        }
        self.context.stats.compared(settled);
        if !suspects.is_empty() {
            self.suspects.add(suspects);
        }
        Ok(())
    }
}
