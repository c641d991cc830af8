//! Copying by the commands of each type: where it is needed, and how it is done.

use std::num::NonZeroU64;

use tracing::warn;

use super::Session;
use crate::config::{self, Config, Side};
use crate::server::Profile;
use crate::stage::Context;
use crate::types::copy::CopyTerms;

/// Most bytes of memory that keys of one lane hold while they are copied by the commands of their types.
const HELD: u64 = 4 << 20;

impl Session<'_> {
    /// The memory over which keys are copied in chunks, where it is told.
    #[must_use]
    pub fn big_key(&self) -> Option<NonZeroU64> {
        self.config
            .flow
            .big_key
            .filter(|_| self.source_profile.weighs)
    }

    /// How keys are copied by the commands of their types.
    #[must_use]
    pub fn copy_terms(&self) -> CopyTerms {
        let Config {
            selection,
            rewrite,
            flow,
            ..
        } = self.config;
        let (source, target) = (&self.source_profile, &self.target_profile);
        let budget = flow.memory_budget.min(HELD);
        CopyTerms {
            source_pexpiretime: source.pexpiretime,
            source_time: source.time,
            source_multi: source.multi,
            target_since_70: target.pexpiretime,
            target_since_62: target.pxat,
            keep_expiry: !rewrite.drop_expiry,
            merge: flow.merge,
            stream_ids: flow.stream_ids,
            prune_streams: flow.prune_streams,
            follows: self.context.follow.is_some(),
            kinds: selection.types.clone(),
            memory_limit: selection.memory_limit.map(NonZeroU64::get),
            memory_samples: selection.memory_samples,
            rename: self.rename.clone(),
            wait: self.write_dialect().wait,
            budget: usize::try_from(budget).unwrap_or(usize::MAX),
        }
    }
}

/// What cannot be had is told. Where DUMP or RESTORE is not allowed, what is no string is copied by the commands of its type.
pub(super) fn payloads_go(
    config: &Config,
    context: &Context,
    (source, target): (&Profile, &Profile),
    tells: impl Fn(&str) -> bool,
) {
    let copies = config.command == config::Command::Replicate || config.verification.repair;
    if !copies || config.flow.dry_run {
        return;
    }
    if config.flow.big_key.is_some() && !source.weighs {
        let line = "big keys cannot be told from others: MEMORY USAGE is not allowed at the source (ACL rule +memory|usage)";
        if tells(line) {
            warn!("{line}");
        }
        context.stats.note(line);
    }
    if context.copies_by_type() {
        return;
    }
    let (side, command) = match (source.dumps, target.restores) {
        (false, _) => (Side::Source, "DUMP"),
        (_, false) => (Side::Target, "RESTORE"),
        (true, true) => return,
    };
    context.copy_by_type();
    let line = format!(
        "the {side} does not allow {command} (ACL rule +{}): every key is copied by the commands of its type",
        command.to_lowercase()
    );
    if tells(&line) {
        warn!("{line}");
    }
    context.stats.note(line);
}
