//! The printer on terminals and streams in memory.

use indicatif::InMemoryTerm;
use tracing::level_filters::LevelFilter;

use super::testing::Seen;
use super::*;
use crate::config::{Log, LogFormat, LogTarget};
use crate::stats::{Difference, DifferenceKind, Step};

struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn console(progress: Progress) -> Console {
    Console {
        progress,
        progress_rate: Duration::ZERO,
        log: Log {
            level: LevelFilter::WARN,
            target: LogTarget::Stderr,
            format: LogFormat::Text,
            time: None,
        },
        report: ReportFormat::Text,
        latency: false,
    }
}

/// Speeds and times depend on the machine.
fn steady(text: &str) -> String {
    let speeds =
        regex::Regex::new(r"[0-9.]+ ?[kMG]?B?/s|[0-9.]+ (s|ms|min)\b( left)?|[0-9,]+ keys/s")
            .unwrap();
    let spaces = regex::Regex::new(r" {2,}<").unwrap();
    spaces
        .replace_all(&speeds.replace_all(text, "<>"), "  <")
        .into_owned()
}

fn half_way() -> Arc<Stats> {
    let stats = Arc::new(Stats::new(false));
    stats.enter(Phase::Scanning);
    stats.set_total_keys(Some(1000));
    stats
}

#[test]
fn a_bar_becomes_a_line_above_the_next_one() {
    let Seen {
        printer,
        terminal,
        out,
        err,
    } = testing::printer(&console(Progress::Bar));
    let stats = half_way();
    printer.line("source  here");
    printer.start(Arc::clone(&stats), Phase::Scanning);
    stats.scanned(500);
    stats.written(400);
    stats.deleted(10);
    printer.tick();
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    source  here
    Scanning   41% ━━━━━━━━━━                 410/1,000 keys  <>  <>  <>
    ");
    printer.line("a line of talk");
    stats.scanned(500);
    stats.written(590);
    stats.scan_ended();
    printer.tick();
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    source  here
    a line of talk
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>
    ");
    stats.enter(Phase::Comparing);
    printer.start(Arc::clone(&stats), Phase::Comparing);
    stats.compared(250);
    printer.tick();
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    source  here
    a line of talk
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>  <>
    Comparing  25% ━━━━━━                     250/1,000 keys  <>   0 differ  <>
    ");
    stats.compared(750);
    stats.scan_ended();
    printer.finish_phase();
    stats.enter(Phase::Done);
    let mut summary = stats.summary();
    summary.peak_memory_bytes = None;
    printer.report(&summary, ReportFormat::Text).unwrap();
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    source  here
    a line of talk
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>  <>
    Comparing 100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>   0 differ  <>
    ");
    insta::assert_snapshot!(steady(&out.text()), @"
    1,000 keys: 990 written, 10 deleted, 0 skipped, 0 failed
    <>, <>, <>, 0 retries
    0 missing, 0 type, 0 value, 0 ttl
    ");
    assert_eq!(err.text(), "");
}

#[test]
fn a_narrow_terminal_cuts_the_bar_to_one_row() {
    let terminal = InMemoryTerm::new(10, 40);
    let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let sink = || Box::new(io::sink());
    let printer = Printer::on(
        &console(Progress::Ascii),
        target,
        Box::new(|| 40),
        false,
        sink(),
        sink(),
    );
    printer.start(half_way(), Phase::Scanning);
    printer.tick();
    insta::assert_snapshot!(terminal.contents(), @"Scanning    0%  0/1,000 keys          0/");
}

#[test]
fn without_a_terminal_a_bar_is_log_lines() {
    let sink = || Box::new(io::sink());
    let printer = Printer::on(
        &console(Progress::Bar),
        ProgressDrawTarget::hidden(),
        Box::new(|| 120),
        false,
        sink(),
        sink(),
    );
    assert_eq!(printer.shared.progress, Progress::Log);
}

#[test]
fn without_bars_talk_goes_to_the_stream() {
    let Seen {
        printer, err, out, ..
    } = testing::printer(&console(Progress::None));
    printer.line("source  here");
    printer.start(half_way(), Phase::Scanning);
    printer.tick();
    printer.finish_phase();
    assert_eq!(err.text(), "source  here\n");
    assert_eq!(out.text(), "");
}

#[test]
fn differences_are_data() {
    let Seen {
        printer, err, out, ..
    } = testing::printer(&console(Progress::None));
    let difference = Found {
        database: None,
        difference: Difference {
            key: b"k\0".to_vec(),
            kind: DifferenceKind::Value {
                r#type: "zset".into(),
            },
        },
    };
    printer.differences(&[]).unwrap();
    printer
        .differences(&[difference.clone(), difference])
        .unwrap();
    assert_eq!(out.text(), "value zset k\\x00\nvalue zset k\\x00\n");
    assert_eq!(err.text(), "");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let on = |kind| {
        let (out, err) = (Box::new(Closed(kind)), Box::new(Closed(kind)));
        Printer::on(
            &console(Progress::None),
            ProgressDrawTarget::hidden(),
            Box::new(|| 120),
            false,
            out,
            err,
        )
    };
    let stats = Stats::new(false);
    stats.failed(Step::Read, b"k", "ERR");
    let summary = stats.summary();
    let gone = on(io::ErrorKind::BrokenPipe);
    gone.line("talk");
    gone.report(&summary, ReportFormat::Json).unwrap();
    let full = on(io::ErrorKind::StorageFull);
    full.line("talk");
    let error = full.report(&summary, ReportFormat::Text).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn the_interval_follows_the_rate() {
    let sink = || Box::new(io::sink());
    let log = Console {
        progress_rate: Duration::from_secs(5),
        ..console(Progress::Log)
    };
    let printer = Printer::on(
        &log,
        ProgressDrawTarget::hidden(),
        Box::new(|| 120),
        false,
        sink(),
        sink(),
    );
    assert_eq!(printer.interval(), Duration::from_secs(5));
    assert_eq!(
        testing::printer(&console(Progress::Bar)).printer.interval(),
        Duration::from_millis(100)
    );
}

/// A run that listens, with 1,000 events, and 10 keys that wait.
fn listening() -> Arc<Stats> {
    let stats = half_way();
    stats.live.listens(&["keyspace"]);
    stats.scanned(1000);
    stats.written(1000);
    stats.scan_ended();
    stats.live.heard(1000);
    stats.live.set_waiting(10);
    stats
}

#[test]
fn a_live_run_scans_then_listens_until_it_ends() {
    let Seen {
        printer, terminal, ..
    } = testing::printer(&console(Progress::Bar));
    let stats = listening();
    printer.start(Arc::clone(&stats), Phase::Scanning);
    insta::assert_snapshot!(steady(&terminal.contents()), @"Scanning  100% ━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>   1,000 events   10 waiting");
    stats.enter(Phase::Listening);
    printer.start(Arc::clone(&stats), Phase::Listening);
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>   1,000 events   10 waiting  <>
    Listening  1,000 events   10 waiting  <>
    ");
    stats.live.heard(500);
    stats
        .live
        .lag([Duration::from_millis(12), Duration::from_millis(41)].into_iter());
    printer.tick();
    let shown = terminal.contents();
    let line = "Listening  1,500 events   10 waiting   lag p50 12 ms p99 41 ms   ";
    assert!(shown.contains(line), "{shown}");
    stats.live.set_waiting(0);
    printer.finish_phase();
    insta::assert_snapshot!(steady(&terminal.contents()), @"
    Scanning  100% ━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>  <>   1,000 events   10 waiting  <>
    Listening  1,500 events   0 waiting   lag p50 <> p99 <>  <>  <>
    ");
    stats.enter(Phase::Comparing);
    printer.start(Arc::clone(&stats), Phase::Comparing);
    stats.compared(1000);
    stats.scan_ended();
    printer.finish_phase();
    let contents = terminal.contents();
    let line = contents.lines().last().unwrap();
    insta::assert_snapshot!(steady(line), @"Comparing 100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000 keys  <>   0 differ  <>");
}

#[test]
fn a_bar_keeps_its_lag_for_as_long_as_the_rate_says() {
    let slow = Console {
        progress_rate: Duration::from_secs(3600),
        ..console(Progress::Bar)
    };
    let Seen {
        printer, terminal, ..
    } = testing::printer(&slow);
    let stats = listening();
    stats.enter(Phase::Listening);
    stats.live.lag([Duration::from_millis(12)].into_iter());
    printer.start(Arc::clone(&stats), Phase::Listening);
    stats.live.lag([Duration::from_millis(90)].into_iter());
    printer.tick();
    assert!(
        terminal.contents().contains("lag p50 12 ms p99 12 ms"),
        "{}",
        terminal.contents()
    );
    assert_eq!(stats.live.recent_lag().count, 1);
}

#[test]
fn a_lag_that_is_not_shown_is_not_taken() {
    let slow = |progress| Console {
        progress_rate: Duration::from_secs(3600),
        ..console(progress)
    };
    for console in [slow(Progress::Log), slow(Progress::None)] {
        let stats = listening();
        stats.enter(Phase::Listening);
        stats.live.lag([Duration::from_millis(12)].into_iter());
        let Seen { printer, .. } = testing::printer(&console);
        printer.start(Arc::clone(&stats), Phase::Listening);
        printer.tick();
        assert_eq!(stats.live.recent_lag().count, 1, "{:?}", console.progress);
    }
    let stats = listening();
    stats.live.lag([Duration::from_millis(12)].into_iter());
    let Seen { printer, .. } = testing::printer(&console(Progress::Bar));
    printer.start(Arc::clone(&stats), Phase::Scanning);
    printer.tick();
    assert_eq!(stats.live.recent_lag().count, 1);
}
