//! Options that are refused by name: what `compare` does not have, what RIOT had and has no meaning here.

use super::UsageError;
use super::value;
use crate::cli::{Foreign, Job, Live};
use crate::config::Command;

/// RIOT's commands besides replicate and compare.
const FOREIGN_COMMANDS: &[&str] = &[
    "import",
    "export",
    "file-import",
    "file-export",
    "db-import",
    "db-export",
    "dump-import",
    "faker",
    "faker-import",
    "generate",
    "gen",
    "stream-import",
    "stream-export",
    "memcached-replicate",
    "snowflake-import",
    "replicate-ds",
    "replicate-live",
    "rdi",
    "del",
    "expire",
    "geo",
    "hset",
    "json.set",
    "lpush",
    "noop",
    "rpush",
    "sadd",
    "set",
    "sugadd",
    "ts.add",
    "xadd",
    "zadd",
    "eval",
    "latency",
    "info",
];

/// What is said of a word where a command is expected. A word that is no known command is not repeated.
pub(super) fn command_word(word: &str) -> UsageError {
    let plain = value::plain_name(word);
    if plain == "help" {
        return UsageError::of("help is --help: riot --help, riot replicate --help".to_owned());
    }
    match FOREIGN_COMMANDS.iter().find(|name| **name == plain) {
        Some(name) => UsageError::new(name, "riot replicates and compares; it has no such command"),
        None => UsageError::of(
            "a word stands where a command is expected: write riot replicate SOURCE TARGET, or riot compare SOURCE TARGET"
                .to_owned(),
        ),
    }
}

/// Everything of a job that is refused. What the job is comes back: `replicate --mode compare` is compare.
pub(super) fn job(command: Command, job: &mut Job) -> Result<Mode, UsageError> {
    foreign(&job.foreign)?;
    let mode = match command {
        Command::Replicate => {
            let mode = mode(command, job)?;
            if mode == Mode::Compare {
                job.keys.mode = None;
                let depth = job.checking.compare.take();
                job.checking.quick |= depth.is_some_and(|text| value::plain_name(&text) == "quick");
                compare(job)?;
            } else {
                replicate(mode, job)?;
            }
            mode
        }
        Command::Compare => {
            compare(job)?;
            self::mode(command, job)?;
            Mode::Compare
        }
    };
    Ok(mode)
}

fn replicate(mode: Mode, job: &Job) -> Result<(), UsageError> {
    let checking = &job.checking;
    if checking.quick {
        return Err(UsageError::new(
            "--quick",
            "belongs to compare; replicate has --compare quick",
        ));
    }
    if checking.repair {
        return Err(UsageError::new(
            "--repair",
            "belongs to compare: riot compare --repair copies again what differs",
        ));
    }
    if job.trouble.state.is_some() {
        state(mode, job)?;
    }
    if mode.is_live() && job.pace.repeat.is_some() {
        return Err(UsageError::new(
            "--repeat",
            "repeats a snapshot; live goes on by itself until it is stopped",
        ));
    }
    if checking.delete_extra && !mode.is_live() {
        return Err(UsageError::new(
            "--delete-extra",
            "goes with riot compare --repair, and with --mode live",
        ));
    }
    Ok(())
}

/// What cannot be picked up.
fn state(mode: Mode, job: &Job) -> Result<(), UsageError> {
    let others = [
        (
            mode.is_live(),
            "a snapshot alone is picked up: what changes while riot is away would be lost; --mode live without --state looks at every key again",
        ),
        (
            job.pace.repeat.is_some(),
            "does not go with --repeat, which copies every key each time",
        ),
        (
            job.changes.dry_run,
            "does not go with --dry-run, which copies nothing",
        ),
    ];
    match others.into_iter().find(|(given, _)| *given) {
        Some((_, reason)) => Err(UsageError::new("--state", reason)),
        None => Ok(()),
    }
}

fn compare(job: &Job) -> Result<(), UsageError> {
    let changes = &job.changes;
    let Live {
        live,
        events,
        event_queue,
        event_order,
        flush_interval,
        idle_timeout,
        accept_unproven,
    } = &job.live;
    let writing = [
        (changes.carriage.is_some(), "--type"),
        (changes.structure, "--struct"),
        (changes.merge, "--merge"),
        (changes.merge_policy.is_some(), "--merge-policy"),
        (changes.multi_exec, "--multi-exec"),
        (changes.wait_replicas.is_some(), "--wait-replicas"),
        (changes.wait_timeout.is_some(), "--wait-timeout"),
    ];
    let live = [
        (*live, "--live"),
        (idle_timeout.is_some(), "--idle-timeout"),
        (flush_interval.is_some(), "--flush-interval"),
        (events.is_some(), "--events"),
        (event_queue.is_some(), "--event-queue"),
        (event_order.is_some(), "--event-order"),
        (*accept_unproven, "--accept-unproven"),
    ];
    let verifying = [
        (job.checking.no_verify, "--no-verify"),
        (job.checking.compare.is_some(), "--compare"),
    ];
    refuse(
        &[(job.trouble.state.is_some(), "--state")],
        "a copy can be picked up; compare begins anew each time",
    )?;
    refuse(&writing, "compare writes nothing, so it has no such option")?;
    refuse(&live, "compare is never live, so it has no such option")?;
    refuse(
        &verifying,
        "compare always compares: --quick makes it quick",
    )?;
    if job.checking.delete_extra && !job.checking.repair {
        return Err(UsageError::new("--delete-extra", "goes with --repair"));
    }
    if changes.dry_run && !job.checking.repair {
        return Err(UsageError::new(
            "--dry-run",
            "compare writes nothing but with --repair",
        ));
    }
    Ok(())
}

fn refuse(options: &[(bool, &str)], reason: &str) -> Result<(), UsageError> {
    match options.iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(UsageError::new(option, reason)),
        None => Ok(()),
    }
}

/// What a job is, by its command and `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Scan,
    Live,
    LiveOnly,
    Compare,
}

impl Mode {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Scan | Self::Live | Self::LiveOnly => Command::Replicate,
            Self::Compare => Command::Compare,
        }
    }

    pub(super) fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::LiveOnly)
    }
}

fn mode(command: Command, job: &Job) -> Result<Mode, UsageError> {
    let names = [
        ("scan", Mode::Scan),
        ("snapshot", Mode::Scan),
        ("live", Mode::Live),
        ("liveonly", Mode::LiveOnly),
        ("live-only", Mode::LiveOnly),
        ("compare", Mode::Compare),
    ];
    let mode = job
        .keys
        .mode
        .as_deref()
        .map(|text| value::named("--mode", text, &names))
        .transpose()?;
    match (mode, command) {
        (Some(mode), _) if job.live.live && mode != Mode::Live => Err(UsageError::new(
            "--live",
            "--mode says otherwise; give one of them",
        )),
        (None, Command::Replicate) if job.live.live => Ok(Mode::Live),
        (None | Some(Mode::Scan), _) => Ok(Mode::Scan),
        (Some(Mode::Live | Mode::LiveOnly), Command::Compare) => Err(UsageError::new(
            "--mode",
            "compare is never live, so it has --mode scan alone",
        )),
        (Some(Mode::Compare), Command::Compare) => Err(UsageError::new(
            "--mode",
            "compare has --mode scan alone; --quick makes it quick",
        )),
        (Some(mode @ (Mode::Live | Mode::LiveOnly)), Command::Replicate) => Ok(mode),
        (Some(Mode::Compare), Command::Replicate) => {
            let none = job.checking.no_verify
                || job
                    .checking
                    .compare
                    .as_deref()
                    .is_some_and(|text| value::plain_name(text) == "none");
            if none {
                return Err(UsageError::new(
                    "--mode compare",
                    "compares, and nothing is to be compared",
                ));
            }
            Ok(Mode::Compare)
        }
    }
}

fn foreign(foreign: &Foreign) -> Result<(), UsageError> {
    const CA: &str =
        "there are no JVM keystores here: use --source-cacert or --target-cacert with a PEM file";
    const CERTIFICATE: &str = "there are no JVM keystores here: use the cert, key and key-pass options (--source-cert, --target-cert) with PEM files";
    const VERIFY: &str = "use --source-tls-verify or --target-tls-verify with full, ca or none";
    const TEMPLATE: &str =
        "there is no SpEL here: key names are changed by --key-process and --key-replace";
    const VALUES: &str = "values are copied as they are, so nothing is formatted here";
    let Foreign {
        ks,
        ks_password,
        ts,
        ts_password,
        verify_peer,
        no_verify_peer,
        var,
        ttl_proc,
        type_proc,
        date_format,
        number_format,
        scan_samples,
        notification_queue,
    } = foreign;
    let options = [
        (ks.is_some(), "--ks", CERTIFICATE),
        (ks_password.is_some(), "--ks-password", CERTIFICATE),
        (ts.is_some(), "--ts", CA),
        (ts_password.is_some(), "--ts-password", CA),
        (*verify_peer, "--verify-peer", VERIFY),
        (*no_verify_peer, "--no-verify-peer", VERIFY),
        (!var.is_empty(), "--var", TEMPLATE),
        (
            ttl_proc.is_some(),
            "--ttl-proc",
            "expiries are copied exactly; to leave them out use --no-ttl",
        ),
        (
            type_proc.is_some(),
            "--type-proc",
            "a key's type is not changed here; to choose types use --key-type",
        ),
        (date_format.is_some(), "--date-format", VALUES),
        (number_format.is_some(), "--number-format", VALUES),
        (
            scan_samples.is_some(),
            "--scan-samples",
            "sizes are not estimated by samples here; leave it out",
        ),
        (
            notification_queue.is_some(),
            "--notification-queue",
            "is --event-queue here",
        ),
    ];
    match options.iter().find(|(given, ..)| *given) {
        Some((_, option, reason)) => Err(UsageError::new(option, *reason)),
        None => Ok(()),
    }
}
