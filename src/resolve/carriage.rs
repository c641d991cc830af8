//! How values are carried: by payloads or by each type's own commands, and what only the latter can do.

use std::num::NonZeroU64;

use super::UsageError;
use super::refuse::Mode;
use super::value;
use crate::cli::{Changes, Job};
use crate::config::Carriage;

const BIG_KEY: u64 = 16 << 20;

/// How values are carried, and whether streams are compared with their ids.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option that is given or not"
)]
pub(super) struct Carried {
    pub(super) carriage: Carriage,
    pub(super) big_key: Option<NonZeroU64>,
    pub(super) merge: bool,
    pub(super) stream_ids: bool,
    /// Streams without messages are not written. Whether they are compared is another matter.
    pub(super) prune_streams: bool,
    pub(super) message_ids: bool,
}

/// Resolves `--type`, `--big-key`, `--merge`, and what is said of streams.
pub(super) fn resolve(mode: Mode, job: &Job) -> Result<Carried, UsageError> {
    let changes = &job.changes;
    let carriage = carriage(changes)?;
    let big_key = changes
        .big_key
        .as_deref()
        .map_or(Ok(BIG_KEY), |text| value::size("--big-key", text, 1))?;
    let merge = merge(changes)?;
    let drops = drops_ids(changes)?;
    let message_ids = drops.is_none() && !job.checking.no_stream_msg_id;
    if job.checking.stream_msg_id && !message_ids {
        let other = drops.unwrap_or("--no-stream-msg-id");
        return Err(otherwise("--stream-msg-id", other));
    }
    let copies = mode != Mode::Compare;
    if copies {
        refuse(mode, job, merge, drops)?;
        let prunes = changes.stream_prune.then_some("--stream-prune");
        if carriage != Carriage::Struct
            && let Some(option) = merge.or(drops).or(prunes)
        {
            return Err(UsageError::new(option, "goes with --type struct"));
        }
    }
    Ok(Carried {
        carriage,
        big_key: NonZeroU64::new(big_key),
        merge: merge.is_some(),
        stream_ids: !copies || drops.is_none(),
        prune_streams: copies && changes.stream_prune,
        message_ids,
    })
}

fn otherwise(option: &str, other: &str) -> UsageError {
    UsageError::new(option, format!("{other} says otherwise; give one of them"))
}

fn carriage(changes: &Changes) -> Result<Carriage, UsageError> {
    let names = [
        ("auto", Carriage::Auto),
        ("dump", Carriage::Dump),
        ("struct", Carriage::Struct),
        ("ds", Carriage::Struct),
    ];
    let typed = changes
        .carriage
        .as_deref()
        .map(|text| value::named("--type", text, &names))
        .transpose()?;
    match typed {
        Some(Carriage::Auto | Carriage::Dump) if changes.structure => {
            Err(otherwise("--struct", "--type"))
        }
        None if changes.structure => Ok(Carriage::Struct),
        None => Ok(Carriage::Auto),
        Some(carriage) => Ok(carriage),
    }
}

/// The option that says that values are added to what the target has.
fn merge(changes: &Changes) -> Result<Option<&'static str>, UsageError> {
    either(
        (changes.merge, "--merge"),
        (changes.merge_policy.as_deref(), "--merge-policy"),
        &[("overwrite", None), ("merge", Some("--merge-policy merge"))],
    )
}

/// The option that says that messages do not keep their ids.
fn drops_ids(changes: &Changes) -> Result<Option<&'static str>, UsageError> {
    either(
        (changes.no_stream_id, "--no-stream-id"),
        (changes.stream_id.as_deref(), "--stream-id"),
        &[("propagate", None), ("drop", Some("--stream-id drop"))],
    )
}

/// The one of a flag and a policy of the same meaning that is given, if it is.
fn either(
    (set, flag): (bool, &'static str),
    (policy, option): (Option<&str>, &str),
    names: &[(&str, Option<&'static str>)],
) -> Result<Option<&'static str>, UsageError> {
    let asked = policy
        .map(|text| value::named(option, text, names))
        .transpose()?;
    match asked {
        Some(None) if set => Err(otherwise(flag, option)),
        _ if set => Ok(Some(flag)),
        asked => Ok(asked.flatten()),
    }
}

/// What is written again and again must come to the same.
fn refuse(
    mode: Mode,
    job: &Job,
    merge: Option<&str>,
    drops: Option<&str>,
) -> Result<(), UsageError> {
    if let Some(option) = merge.filter(|_| mode.is_live()) {
        return Err(UsageError::new(
            option,
            "does not go with live: a key is copied each time it changes, and what is added twice is there twice; run a snapshot, without live",
        ));
    }
    if let Some(option) = drops.filter(|_| mode.is_live()) {
        return Err(UsageError::new(
            option,
            "does not go with live: a stream is copied each time it changes, and its messages would get other ids each time; run a snapshot, without live",
        ));
    }
    if let Some(option) = merge.filter(|_| job.trouble.state.is_some()) {
        return Err(UsageError::new(
            option,
            "does not go with --state: what was on its way when riot was killed is added again, and what is added twice is there twice",
        ));
    }
    if let Some(option) = merge.filter(|_| job.pace.repeat.is_some()) {
        return Err(UsageError::new(
            option,
            "does not go with --repeat: what is added twice is there twice; run one snapshot, without --repeat",
        ));
    }
    Ok(())
}
