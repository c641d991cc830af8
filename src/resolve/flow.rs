//! Lanes, batches, memory, retries, and what is compared.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::UsageError;
use super::carriage::Carried;
use super::value::{self, Bare};
use crate::cli::{Changes, Checking, Global, Job, Pace, Trouble};
use crate::config::{Auto, Command, Depth, Flow, Live, RetryLimit, SkipLimit, Verification};

const MEMORY_BUDGET: u64 = 256 << 20;
const RETRY_LIMIT: u32 = 3;
const SKIP_LIMIT: u64 = 1000;

fn milliseconds(
    option: &str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, UsageError> {
    text.map_or(Ok(default), |text| {
        value::duration(option, text, Bare::Milliseconds)
    })
}

fn auto(option: &str, text: Option<&str>, most: u64) -> Result<Auto<usize>, UsageError> {
    value::auto(text, |text| {
        let number = value::whole(option, text, 1, most)?;
        usize::try_from(number).map_err(|_| UsageError::new(option, "is too large"))
    })
}

/// Resolves "How" and what of "What is replicated" is about writing.
pub(super) fn flow(
    job: &Job,
    carried: &Carried,
    global: &Global,
    notices: &mut Vec<String>,
) -> Result<Flow, UsageError> {
    let Pace {
        threads,
        batch,
        read_threads,
        read_batch,
        read_queue,
        pipeline,
        mem_budget,
        sleep,
        rate,
        source_cpu,
        repeat,
    } = &job.pace;
    let changes = &job.changes;
    let (write_retry, read_retry) = retries(&job.trouble)?;
    let (write_skip, read_skip) = skips(&job.trouble)?;
    let (wait_replicas, wait_timeout) = wait(changes, notices)?;
    let memory_budget = mem_budget.as_deref().map_or(Ok(MEMORY_BUDGET), |text| {
        value::size("--mem-budget", text, 1)
    })?;
    if memory_budget < 1 << 20 {
        return Err(UsageError::new("--mem-budget", "must be at least 1MB"));
    }
    let rate = rate
        .as_deref()
        .map(|text| value::whole("--rate", text, 1, u64::MAX))
        .transpose()?;
    Ok(Flow {
        carriage: carried.carriage,
        big_key: carried.big_key,
        merge: carried.merge,
        stream_ids: carried.stream_ids,
        prune_streams: carried.prune_streams,
        write_lanes: auto("--threads", threads.as_deref(), 1024)?,
        write_batch: auto("--batch", batch.as_deref(), 1_000_000)?,
        read_lanes: auto("--read-threads", read_threads.as_deref(), 1024)?,
        read_batch: auto("--read-batch", read_batch.as_deref(), 1_000_000)?,
        read_queue: auto("--read-queue", read_queue.as_deref(), 1_000_000_000)?,
        pipeline: auto("--pipeline", pipeline.as_deref(), 100_000)?,
        memory_budget,
        sleep: milliseconds("--sleep", sleep.as_deref(), Duration::ZERO)?,
        rate: rate.and_then(NonZeroU64::new),
        source_cpu: source_cpu
            .as_deref()
            .map(|text| value::percent("--source-cpu", text))
            .transpose()?,
        write_retry,
        read_retry,
        write_skip,
        read_skip,
        multi_exec: changes.multi_exec,
        wait_replicas,
        wait_timeout,
        reconnect: !global.no_auto_reconnect,
        reconnect_timeout: milliseconds(
            "--reconnect-timeout",
            job.trouble.reconnect_timeout.as_deref(),
            Duration::from_secs(60),
        )?,
        repeat: repeat
            .as_deref()
            .map(|text| value::duration("--repeat", text, Bare::Milliseconds))
            .transpose()?,
        dry_run: changes.dry_run,
        log_keys: changes.log_keys,
    })
}

/// A policy, or what a limit without a policy means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    Never,
    Limit,
}

const POLICIES: [(&str, Policy); 3] = [
    ("always", Policy::Always),
    ("never", Policy::Never),
    ("limit", Policy::Limit),
];

fn policy(
    option: &str,
    text: Option<&str>,
    limited: bool,
    default: Policy,
) -> Result<Policy, UsageError> {
    match text
        .map(|text| value::named(option, text, &POLICIES))
        .transpose()?
    {
        None if limited => Ok(Policy::Limit),
        None => Ok(default),
        Some(policy) if limited && policy != Policy::Limit => Err(UsageError::new(
            &format!("{option}-limit"),
            format!("goes with {option} limit alone"),
        )),
        Some(policy) => Ok(policy),
    }
}

fn retries(trouble: &Trouble) -> Result<(RetryLimit, RetryLimit), UsageError> {
    let limit = trouble
        .retry_limit
        .as_deref()
        .map(|text| value::whole_u32("--retry-limit", text, 0))
        .transpose()?;
    let write = match policy(
        "--retry",
        trouble.retry.as_deref(),
        limit.is_some(),
        Policy::Limit,
    )? {
        Policy::Always => RetryLimit::Always,
        Policy::Never => RetryLimit::Times(0),
        Policy::Limit => RetryLimit::Times(limit.unwrap_or(RETRY_LIMIT)),
    };
    let read = trouble
        .read_retry
        .as_deref()
        .map(|text| value::whole_u32("--read-retry", text, 0))
        .transpose()?;
    Ok((write, read.map_or(write, RetryLimit::Times)))
}

fn skips(trouble: &Trouble) -> Result<(SkipLimit, SkipLimit), UsageError> {
    let keys = |option: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| value::whole(option, text, 0, u64::MAX))
            .transpose()
    };
    let limit = keys("--skip-limit", &trouble.skip_limit)?;
    let write = match policy(
        "--skip",
        trouble.skip.as_deref(),
        limit.is_some(),
        Policy::Always,
    )? {
        Policy::Always => SkipLimit::Always,
        Policy::Never => SkipLimit::Keys(0),
        Policy::Limit => SkipLimit::Keys(limit.unwrap_or(SKIP_LIMIT)),
    };
    Ok((
        write,
        keys("--read-skip", &trouble.read_skip)?.map_or(write, SkipLimit::Keys),
    ))
}

fn wait(changes: &Changes, notices: &mut Vec<String>) -> Result<(u32, Duration), UsageError> {
    let replicas = changes
        .wait_replicas
        .as_deref()
        .map_or(Ok(0), |text| value::whole_u32("--wait-replicas", text, 0))?;
    if replicas == 0 && changes.wait_timeout.is_some() {
        notices.push("--wait-timeout: has no effect without --wait-replicas".to_owned());
    }
    let timeout = changes
        .wait_timeout
        .as_deref()
        .map_or(Ok(Duration::from_secs(1)), |text| {
            // WAIT 0 would wait for ever.
            value::positive_duration("--wait-timeout", text, Bare::Milliseconds)
        })?;
    Ok((replicas, timeout))
}

/// The file that the copy's place is kept in.
pub(super) fn state(job: &Job) -> Result<Option<PathBuf>, UsageError> {
    match &job.trouble.state {
        Some(name) if name.is_empty() => {
            Err(UsageError::new("--state", "needs the name of a file"))
        }
        name => Ok(name.as_ref().map(PathBuf::from)),
    }
}

/// Resolves "Checking".
pub(super) fn verification(
    command: Command,
    job: &Job,
    carried: &Carried,
    live: Option<&Live>,
    notices: &mut Vec<String>,
) -> Result<Verification, UsageError> {
    let Checking {
        compare,
        no_verify,
        quick,
        ttl_tolerance,
        show_diffs,
        rounds,
        round_interval,
        both,
        repair,
        delete_extra,
        stream_msg_id: _,
        no_stream_msg_id: _,
    } = &job.checking;
    let asked = compare
        .as_deref()
        .map(|text| {
            let names = [
                ("quick", Depth::Quick),
                ("none", Depth::None),
                ("full", Depth::Full),
            ];
            value::named("--compare", text, &names)
        })
        .transpose()?;
    let depth = match asked {
        Some(Depth::Quick | Depth::Full) if *no_verify => {
            return Err(UsageError::new(
                "--no-verify",
                "is --compare none, and --compare says otherwise",
            ));
        }
        Some(depth) => depth,
        None if *no_verify => Depth::None,
        // What was not written is not there to be compared.
        None if command == Command::Replicate && job.changes.dry_run => Depth::None,
        // What did not change was not copied, and need not be there.
        None if live.is_some_and(|live| !live.scans) && !both => Depth::None,
        None if command == Command::Compare && !quick => Depth::Full,
        None => Depth::Quick,
    };
    if depth == Depth::None {
        let given = [
            (*show_diffs, "--show-diffs"),
            (ttl_tolerance.is_some(), "--ttl-tolerance"),
            (rounds.is_some(), "--rounds"),
            (round_interval.is_some(), "--round-interval"),
            (*both, "--both"),
        ];
        let idle = given.into_iter().filter(|(given, _)| *given);
        notices.extend(
            idle.map(|(_, option)| format!("{option}: has no effect, as nothing is compared")),
        );
    } else if job.changes.no_ttl && ttl_tolerance.is_some() {
        notices.push(
            "--ttl-tolerance: has no effect with --no-ttl, as expiry is not compared".to_owned(),
        );
    }
    Ok(Verification {
        depth,
        expiry_tolerance: milliseconds(
            "--ttl-tolerance",
            ttl_tolerance.as_deref(),
            Duration::from_millis(100),
        )?,
        show_differences: *show_diffs,
        rounds: rounds
            .as_deref()
            .map_or(Ok(3), |text| value::whole_u32("--rounds", text, 1))?,
        round_interval: milliseconds(
            "--round-interval",
            round_interval.as_deref(),
            Duration::from_secs(1),
        )?,
        // What a repair is to delete must be found first. A live run looks for it by itself, where it must.
        both: (*both || *delete_extra && command == Command::Compare) && depth != Depth::None,
        repair: *repair,
        delete_extra: *delete_extra,
        message_ids: carried.message_ids,
        prune_streams: job.changes.stream_prune,
    })
}
