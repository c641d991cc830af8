//! What comes out where, in each form.

use std::time::Duration;

use super::*;
use crate::config::{Console, Progress, ReportFormat};
use crate::output::testing::{Seen, printer};
use crate::stats::{Phase, Stats};

fn log(level: LevelFilter, format: LogFormat) -> Log {
    Log {
        level,
        target: LogTarget::Stderr,
        format,
        time: None,
    }
}

fn console(log: Log, progress: Progress) -> Console {
    Console {
        progress,
        progress_rate: Duration::ZERO,
        log,
        report: ReportFormat::Text,
        latency: false,
    }
}

/// Runs under the log settings and gives what was seen.
fn logged(log: &Log, progress: Progress, run: impl FnOnce(&Printer)) -> Seen {
    let seen = printer(&console(log.clone(), progress));
    tracing::subscriber::with_default(subscriber(log, &seen.printer).unwrap(), || {
        run(&seen.printer);
    });
    seen
}

fn events(_: &Printer) {
    tracing::error!(key = "k", "not copied");
    tracing::warn!("recovered");
    tracing::info!("told");
    tracing::debug!("told closely");
    tracing::warn!(target: "rustls::client", "a library's warning");
    tracing::info!(target: "rustls::client", "a library's talk");
}

#[test]
fn text_is_level_and_message() {
    let seen = logged(
        &log(LevelFilter::INFO, LogFormat::Text),
        Progress::Log,
        events,
    );
    insta::assert_snapshot!(seen.err.text(), @r#"
    ERROR not copied key="k"
    WARN  recovered
    INFO  told
    WARN  a library's warning
    "#);
}

#[test]
fn json_is_an_object_a_line() {
    let seen = logged(
        &log(LevelFilter::WARN, LogFormat::Json),
        Progress::Log,
        events,
    );
    insta::assert_snapshot!(seen.err.text(), @r#"
    {"level":"ERROR","message":"not copied","key":"k","target":"riot::logging::tests"}
    {"level":"WARN","message":"recovered","target":"riot::logging::tests"}
    {"level":"WARN","message":"a library's warning","target":"rustls::client"}
    "#);
}

#[test]
fn the_time_leads() {
    let log = Log {
        time: Some("'on' yyyy".into()),
        ..log(LevelFilter::WARN, LogFormat::Text)
    };
    let seen = logged(&log, Progress::Log, |_| tracing::warn!("recovered"));
    let text = seen.err.text();
    assert!(
        text.starts_with("on 20") && text.ends_with(" WARN  recovered\n"),
        "{text}"
    );
}

fn progress(printer: &Printer) {
    let stats = std::sync::Arc::new(Stats::new(false));
    stats.set_total_keys(Some(0));
    printer.line("source  here");
    printer.start(stats.clone(), Phase::Scanning);
    stats.scan_ended();
    printer.tick();
}

#[test]
fn progress_is_shown_at_any_level() {
    let seen = logged(
        &log(LevelFilter::OFF, LogFormat::Text),
        Progress::Log,
        progress,
    );
    insta::assert_snapshot!(seen.err.text(), @"
    source  here
    scanning 100 %: 0 keys, 0/s, 0 B/s
    ");
}

#[test]
fn without_progress_there_is_none() {
    let seen = logged(
        &log(LevelFilter::INFO, LogFormat::Text),
        Progress::None,
        progress,
    );
    insta::assert_snapshot!(seen.err.text(), @"source  here");
}

#[test]
fn in_json_all_of_standard_error_is_json() {
    let seen = logged(
        &log(LevelFilter::WARN, LogFormat::Json),
        Progress::Log,
        progress,
    );
    insta::assert_snapshot!(seen.err.text(), @r#"
    {"level":"INFO","message":"source  here","target":"riot::progress"}
    {"level":"INFO","message":"scanning 100 %: 0 keys, 0/s, 0 B/s","phase":"scanning","keys":0,"total_keys":0,"percent":100,"keys_per_second":0,"bytes_per_second":0,"target":"riot::progress"}
    "#);
}

#[test]
fn log_lines_stand_above_the_bar() {
    let seen = logged(
        &log(LevelFilter::WARN, LogFormat::Text),
        Progress::Ascii,
        |printer| {
            let stats = std::sync::Arc::new(Stats::new(false));
            stats.set_total_keys(Some(0));
            printer.start(stats, Phase::Scanning);
            tracing::warn!("recovered");
            printer.tick();
        },
    );
    insta::assert_snapshot!(seen.terminal.contents(), @"
    WARN  recovered
    Scanning    0% [>                      ]  0 keys        0/s       0 B/s
    ");
    assert_eq!(seen.err.text(), "");
}

#[test]
fn standard_output_and_files_can_be_asked_for() {
    let out = Log {
        target: LogTarget::Stdout,
        ..log(LevelFilter::WARN, LogFormat::Text)
    };
    let seen = logged(&out, Progress::None, |_| tracing::warn!("recovered"));
    assert_eq!(
        (seen.out.text(), seen.err.text()),
        ("WARN  recovered\n".to_owned(), String::new())
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("riot.log");
    std::fs::write(&path, "before\n").unwrap();
    let file = Log {
        target: LogTarget::File(path.clone()),
        ..log(LevelFilter::WARN, LogFormat::Text)
    };
    logged(&file, Progress::None, |_| tracing::warn!("recovered"));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\nWARN  recovered\n"
    );
}

#[test]
fn bad_settings_are_told() {
    let seen = printer(&console(
        log(LevelFilter::WARN, LogFormat::Text),
        Progress::None,
    ));
    let missing = Log {
        target: LogTarget::File("/nowhere/riot.log".into()),
        ..log(LevelFilter::WARN, LogFormat::Text)
    };
    let error = subscriber(&missing, &seen.printer).err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("log file /nowhere/riot.log: "),
        "{error}"
    );
    let pattern = Log {
        time: Some("b".into()),
        ..log(LevelFilter::WARN, LogFormat::Text)
    };
    assert!(matches!(
        subscriber(&pattern, &seen.printer),
        Err(LogError::Pattern(_))
    ));
}
