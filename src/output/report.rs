//! The closing report: text, JSON, or riot-redis 2's one line.

mod live;

use std::fmt::Write as _;
use std::time::Duration;

use super::meter::Rates;
use super::progress::whole;
use crate::config::ReportFormat;
use crate::stats::{Counts, OfDatabase, Summary};
use crate::text::{bytes, elapsed, milliseconds, printable, thousands};

/// Failed keys that the text names; JSON names all that were kept.
const NAMED: usize = 20;

/// The report, its last line ended.
pub(super) fn report(summary: &Summary, format: ReportFormat) -> String {
    match format {
        ReportFormat::Text => text(summary),
        ReportFormat::Json => {
            serde_json::to_string(summary)
                .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
                + "\n"
        }
        ReportFormat::Short => short(&summary.counts),
    }
}

fn text(summary: &Summary) -> String {
    let mut lines = Vec::new();
    lines.push(keys_line(summary));
    let databases = summary.databases.iter();
    lines.extend(databases.map(|of| database_line(of, compares_alone(summary))));
    lines.push(speed_line(summary));
    let scanned = summary.scan_seconds <= 0.0 || summary.counts.scan_complete;
    let runs = summary.live.iter();
    lines.extend(runs.flat_map(|live| live::lines(live, scanned)));
    lines.extend(exceptions(&summary.counts));
    for (side, commands) in &summary.latency {
        for (command, latency) in commands {
            let shown = |micros| milliseconds(Duration::from_micros(micros));
            lines.push(format!(
                "{side} {command}: p50 {}, p99 {}, max {}",
                shown(latency.p50_us),
                shown(latency.p99_us),
                shown(latency.max_us)
            ));
        }
    }
    for failure in summary.failures.iter().take(NAMED) {
        lines.push(format!(
            "failed {} {}{}: {}",
            failure.step,
            database(failure.database),
            printable(&failure.key),
            printable(failure.message.as_bytes())
        ));
    }
    let failed = summary.counts.failed + summary.counts.compare_failed;
    let named = summary.failures.len().min(NAMED) as u64;
    if failed > named && named > 0 {
        lines.push(format!("failed: {} more", thousands(failed - named)));
    }
    lines.extend(summary.notes.iter().cloned());
    if summary.verified {
        let differences = summary.counts.differences;
        let mut line = format!(
            "{} missing, {} type, {} value, {} ttl",
            differences.missing, differences.r#type, differences.value, differences.ttl
        );
        if summary.both {
            // Writing to a String cannot fail.
            let _ = write!(line, ", {} extra", differences.extra);
        }
        lines.push(line);
    }
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
        text
    })
}

fn keys_line(summary: &Summary) -> String {
    counts_line(&summary.counts, compares_alone(summary))
}

fn compares_alone(summary: &Summary) -> bool {
    summary.verified && !summary.copied
}

/// One of several databases: `db3 to db0: 12 keys: …`.
fn database_line(of: &OfDatabase, compared: bool) -> String {
    let to = if of.target == of.source {
        String::new()
    } else {
        format!(" to db{}", of.target)
    };
    let line = counts_line(&of.counts, compared);
    let differ = of.counts.differences.total();
    let differ = if differ > 0 {
        format!(", {} differ", thousands(differ))
    } else {
        String::new()
    };
    format!("db{}{to}: {line}{differ}", of.source)
}

/// What names are preceded by where the run has several databases.
fn database(database: Option<u32>) -> String {
    database
        .map(|database| format!("db{database} "))
        .unwrap_or_default()
}

fn counts_line(counts: &Counts, compared: bool) -> String {
    if compared {
        return format!(
            "{} keys: {} compared, {} failed",
            thousands(counts.compared + counts.compare_failed),
            thousands(counts.compared),
            thousands(counts.compare_failed)
        );
    }
    format!(
        "{} keys: {} written, {} deleted, {} skipped, {} failed",
        thousands(counts.taken()),
        thousands(counts.written),
        thousands(counts.deleted),
        thousands(counts.skipped.total()),
        thousands(counts.failed)
    )
}

fn speed_line(summary: &Summary) -> String {
    let counts = &summary.counts;
    let copied = summary.copied || !summary.verified;
    let scanned_live = summary.live.is_some() && summary.scan_seconds > 0.0;
    let (keys, seconds) = if !copied {
        (counts.compared, summary.compare_seconds)
    } else if scanned_live {
        // What changed while it scanned, and scans after gaps, have no time of their own.
        let both = summary.scan_seconds + summary.listen_seconds;
        (counts.finished(), both)
    } else if summary.live.is_some() {
        (counts.finished(), summary.listen_seconds)
    } else {
        (counts.finished(), summary.scan_seconds)
    };
    let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let time = duration(seconds);
    let rates = Rates::over(keys, counts.bytes_read, time);
    let listened = if scanned_live && summary.listen_seconds > 0.0 {
        format!(
            ", then {} listening",
            elapsed(duration(summary.listen_seconds))
        )
    } else {
        String::new()
    };
    let mut parts = vec![
        elapsed(if scanned_live {
            duration(summary.scan_seconds)
        } else {
            time
        }) + &listened,
        format!("{} keys/s", thousands(whole(rates.keys))),
    ];
    if copied && scanned_live {
        // Values were read for as long as it listened, too.
        parts.push(format!("{} read", bytes(counts.bytes_read)));
    } else if copied {
        parts.push(format!("{}/s", bytes(whole(rates.bytes))));
    }
    parts.push(count(counts.retries, "retry", "retries"));
    if counts.redirections > 0 {
        parts.push(count(counts.redirections, "redirection", "redirections"));
    }
    parts.extend(
        summary
            .peak_memory_bytes
            .map(|memory| format!("peak memory {}", bytes(memory))),
    );
    parts.join(", ")
}

/// What did not go as it should, each only where there is any of it.
fn exceptions(counts: &Counts) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |number: u64, line: String| {
        if number > 0 {
            lines.push(line);
        }
    };
    let keys = |number| count(number, "key", "keys");
    let Counts {
        skipped,
        reconnects,
        ..
    } = counts;
    tell(
        skipped.memory_limit,
        format!(
            "{} over the memory limit, skipped",
            keys(skipped.memory_limit)
        ),
    );
    tell(
        skipped.dry_run,
        format!("{} read and not written: dry run", keys(skipped.dry_run)),
    );
    tell(
        skipped.unchanged,
        format!(
            "{} looked at and unchanged",
            count(skipped.unchanged, "stream", "streams")
        ),
    );
    tell(
        skipped.other_database,
        format!(
            "{} may have been another database's: not deleted",
            count(
                skipped.other_database,
                "key gone, whose event",
                "keys gone, whose events"
            )
        ),
    );
    tell(
        reconnects.total(),
        format!(
            "{}: {} to the source, {} to the target",
            count(reconnects.total(), "reconnection", "reconnections"),
            thousands(reconnects.source),
            thousands(reconnects.target)
        ),
    );
    tell(
        counts.redone_alone,
        format!("{} written again one by one", keys(counts.redone_alone)),
    );
    lines.extend(by_type(counts));
    let mut tell = |number: u64, line: String| {
        if number > 0 {
            lines.push(line);
        }
    };
    tell(
        counts.evicted_keys,
        format!("{} evicted by the target", keys(counts.evicted_keys)),
    );
    tell(
        counts.repaired,
        format!("{} repaired", keys(counts.repaired)),
    );
    tell(
        counts.compare_failed,
        format!("{} could not be compared", keys(counts.compare_failed)),
    );
    let unfinished = counts.taken().saturating_sub(counts.finished());
    tell(
        unfinished,
        format!("{} on the way when the run ended", keys(unfinished)),
    );
    lines
}

/// What was copied by the commands of its type, and what of it could not be carried.
fn by_type(counts: &Counts) -> Vec<String> {
    let keys = |number| count(number, "key", "keys");
    let skipped = counts.skipped;
    let lines = [
        (
            skipped.empty_stream,
            format!(
                "{} without messages, left out",
                count(skipped.empty_stream, "stream", "streams")
            ),
        ),
        (
            counts.by_type,
            format!(
                "{} copied by the commands of their types",
                keys(counts.by_type)
            ),
        ),
        (
            counts.payload_refused,
            format!(
                "{} with a payload that the target refused",
                keys(counts.payload_refused)
            ),
        ),
        (
            counts.in_chunks,
            format!("{} copied in chunks", keys(counts.in_chunks)),
        ),
        (
            counts.read_again,
            format!(
                "{} read again after a change in the middle",
                keys(counts.read_again)
            ),
        ),
        (
            counts.lost_field_expiries,
            format!(
                "{} without their expiry, which the target cannot hold (HPEXPIREAT: Redis 7.4, Valkey 9)",
                count(
                    counts.lost_field_expiries,
                    "field of a hash",
                    "fields of hashes"
                )
            ),
        ),
    ];
    let told = lines.into_iter().filter(|(number, _)| *number > 0);
    told.map(|(_, line)| line).collect()
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        thousands(number),
        if number == 1 { one } else { many }
    )
}

/// Same, other value or type, only in the source, only in the target, other TTL.
fn short(counts: &Counts) -> String {
    let differences = counts.differences;
    format!(
        "OK:{} V:{} >:{} <:{} T:{}\n",
        counts
            .compared
            .saturating_sub(differences.total() - differences.extra),
        differences.r#type + differences.value,
        differences.missing,
        differences.extra,
        differences.ttl
    )
}

#[cfg(test)]
mod tests;
