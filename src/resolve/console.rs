//! Bars, logs and the report.

use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::UsageError;
use super::value::{self, Bare};
use crate::cli::Global;
use crate::config::{Console, Log, LogFormat, LogTarget, Progress, ReportFormat};

const TIME_PATTERN: &str = "yyyy-MM-dd HH:mm:ss.SSS";

/// What a time pattern may hold, longest first.
const TIME_FIELDS: [&str; 7] = ["yyyy", "SSS", "MM", "dd", "HH", "mm", "ss"];

/// Resolves "Seeing it".
pub(super) fn resolve(
    global: &Global,
    terminal: bool,
    notices: &mut Vec<String>,
) -> Result<Console, UsageError> {
    refuse(global)?;
    let progress = match global.progress.as_deref() {
        None if terminal => Progress::Bar,
        None => Progress::Log,
        Some(text) => {
            let names = [
                ("bar", Progress::Bar),
                ("block", Progress::Block),
                ("ascii", Progress::Ascii),
                ("log", Progress::Log),
                ("none", Progress::None),
            ];
            value::named("--progress", text, &names)?
        }
    };
    if progress == Progress::None && global.progress_rate.is_some() {
        notices.push("--progress-rate: has no effect with --progress none".to_owned());
    }
    let progress_rate = global
        .progress_rate
        .as_deref()
        .map_or(Ok(Duration::from_secs(1)), |text| {
            value::positive_duration("--progress-rate", text, Bare::Milliseconds)
        })?;
    let report = global
        .report
        .as_deref()
        .map_or(Ok(ReportFormat::Text), |text| {
            let names = [
                ("text", ReportFormat::Text),
                ("json", ReportFormat::Json),
                ("short", ReportFormat::Short),
            ];
            value::named("--report", text, &names)
        })?;
    Ok(Console {
        progress,
        progress_rate,
        log: log(global, notices)?,
        report,
        latency: global.latency,
    })
}

fn refuse(global: &Global) -> Result<(), UsageError> {
    if global.log.is_some() {
        return Err(UsageError::new(
            "--log",
            "names Java loggers, of which there are none here: use --log-level",
        ));
    }
    Ok(())
}

fn log(global: &Global, notices: &mut Vec<String>) -> Result<Log, UsageError> {
    let flags = [
        (global.quiet, "--quiet", LevelFilter::ERROR),
        (global.warn, "--warn", LevelFilter::WARN),
        (global.info, "--info", LevelFilter::INFO),
        (global.debug, "--debug", LevelFilter::DEBUG),
    ];
    let named = global.log_level.as_deref().map(|text| {
        let names = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
            ("off", LevelFilter::OFF),
        ];
        value::named("--log-level", text, &names).map(|level| ("--log-level", level))
    });
    let mut given: Vec<_> = named.transpose()?.into_iter().collect();
    given.extend(
        flags
            .into_iter()
            .filter(|(set, ..)| *set)
            .map(|(_, option, level)| (option, level)),
    );
    let level = match given.as_slice() {
        [] => LevelFilter::WARN,
        [(_, level)] => *level,
        [(first, _), (second, _), ..] => {
            return Err(UsageError::new(
                second,
                format!("{first} says the level of the log already"),
            ));
        }
    };
    let target = match global.log_file.as_deref() {
        None => LogTarget::Stderr,
        Some("") => return Err(UsageError::new("--log-file", "names no file")),
        Some(name) if name.eq_ignore_ascii_case("system.err") => LogTarget::Stderr,
        Some(name) if name.eq_ignore_ascii_case("system.out") => LogTarget::Stdout,
        Some(name) => LogTarget::File(PathBuf::from(name)),
    };
    let format = global
        .log_format
        .as_deref()
        .map_or(Ok(LogFormat::Text), |text| {
            value::named(
                "--log-format",
                text,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )
        })?;
    if global.no_log_time && global.log_time {
        return Err(UsageError::new(
            "--no-log-time",
            "--log-time says otherwise",
        ));
    }
    let pattern = global
        .log_time_fmt
        .as_deref()
        .map_or(Ok(TIME_PATTERN), |text| time_pattern(text).map(|()| text))?;
    if global.no_log_time && global.log_time_fmt.is_some() {
        notices.push("--log-time-fmt: has no effect with --no-log-time".to_owned());
    }
    Ok(Log {
        level,
        target,
        format,
        time: (!global.no_log_time).then(|| pattern.to_owned()),
    })
}

/// Java's letters that are known here, and text without letters, or in single quotes.
fn time_pattern(text: &str) -> Result<(), UsageError> {
    let wrong = |what: &str| {
        let reason =
            format!("{what}; it has yyyy MM dd HH mm ss SSS, and other letters in single quotes");
        UsageError::new("--log-time-fmt", reason)
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            rest = quoted
                .split_once('\'')
                .ok_or_else(|| wrong("has a quote without its end"))?
                .1;
        } else if let Some(after) = TIME_FIELDS
            .iter()
            .find_map(|field| rest.strip_prefix(field))
        {
            rest = after;
        } else if first.is_ascii_alphabetic() {
            return Err(wrong(&format!("'{first}' is not known here")));
        } else {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_patterns_have_the_letters_that_are_known() {
        for text in [
            "",
            TIME_PATTERN,
            "yyyy-MM-dd'T'HH:mm:ss.SSS",
            "HHmmss",
            "'o''clock'",
        ] {
            assert!(time_pattern(text).is_ok(), "{text}");
        }
        for text in ["yyyy-MM-ddTHH:mm", "hh:mm", "y", "'T", "EEE"] {
            assert!(time_pattern(text).is_err(), "{text}");
        }
    }
}
