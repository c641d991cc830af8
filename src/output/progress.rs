//! How far a phase is: one line for a bar, one for a log.

use std::time::Duration;

use super::meter::Rates;
use crate::config;
use crate::stats::{Counts, Latencies, Latency, Phase};
use crate::text::{bytes, elapsed, milliseconds, short_count, thousands, whole_seconds};

/// Columns of the bar where there is room for it.
const WIDTH: usize = 25;

/// A bar of fewer columns says nothing that the percents do not: there is none then.
const LEAST_WIDTH: usize = 5;

/// What the drawn part of a bar is coloured with, and the rest.
const DRAWN: &str = "\x1b[36m";
const TRACK: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// How far a phase is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    phase: Phase,
    /// Keys done.
    pub(super) keys: u64,
    /// Keys to do, where that is known; never fewer than are done.
    pub(super) total: Option<u64>,
    complete: bool,
    pub(super) rates: Rates,
    differences: u64,
    /// How long the phase took, when it is over.
    took: Option<Duration>,
}

/// Keys done in a phase.
pub(super) fn keys_done(phase: Phase, counts: &Counts) -> u64 {
    if phase == Phase::Comparing {
        counts.compared
    } else {
        counts.finished()
    }
}

impl Progress {
    /// The phase as the counters have it; `took` says that it is over.
    pub(super) fn new(phase: Phase, counts: &Counts, rates: Rates, took: Option<Duration>) -> Self {
        let keys = keys_done(phase, counts);
        let complete = match phase {
            Phase::Comparing => counts.compare_complete && took.is_some(),
            _ => counts.scan_complete && keys >= counts.scanned,
        };
        let total = match phase {
            _ if complete => Some(keys),
            Phase::Scanning if counts.scan_complete => Some(counts.scanned),
            Phase::Scanning => counts.total_keys.map(|total| total.max(counts.scanned)),
            _ => counts.total_keys,
        };
        Self {
            phase,
            keys,
            total: total.map(|total| total.max(keys)),
            complete,
            rates,
            differences: counts.differences.total(),
            took,
        }
    }

    /// Whole percents, rounded down; 100 only when all is done.
    pub(super) fn percent(&self) -> Option<u64> {
        let total = self.total?;
        if self.complete {
            return Some(100);
        }
        let percent = u128::from(self.keys) * 100 / u128::from(total.max(1));
        Some(u64::try_from(percent).unwrap_or(99).min(99))
    }

    fn left(&self) -> Option<Duration> {
        let total = self.total.filter(|_| self.took.is_none())?;
        if self.keys >= total || self.rates.keys < 0.01 {
            return None;
        }
        // Rounded up: while anything is left, it is not "0 s".
        Duration::try_from_secs_f64(((total - self.keys) as f64 / self.rates.keys).ceil()).ok()
    }

    /// `Scanning   71% ━━━━━━━━━━━━━━━━━╸━━━━━━━  712,340/1,000,214 keys   312k/s   45 MB/s   1 s left`.
    ///
    /// Where that is wider than `columns`, the bar gives way.
    pub(super) fn bar_line(
        &self,
        style: config::Progress,
        colours: bool,
        columns: usize,
    ) -> String {
        let name = match self.phase {
            Phase::Comparing => "Comparing",
            _ => "Scanning",
        };
        let (numbers, usual) = self.numbers();
        let (Some(percent), Some(total)) = (self.percent(), self.total) else {
            return format!("{name:<9}  {numbers}");
        };
        let head = format!("{name:<9} {percent:>3}%");
        // Three for the spaces on the bar's sides.
        let others = head.len() + numbers.len().max(usual) + 3;
        let width = columns.saturating_sub(others).min(WIDTH);
        if width < LEAST_WIDTH {
            return format!("{head}  {numbers}");
        }
        let part = if self.complete {
            1.0
        } else {
            self.keys as f64 / total.max(1) as f64
        };
        format!("{head} {}  {numbers}", bar(style, width, part, colours))
    }

    /// All that stands after the bar, and how wide that is when there is some time left: the bar keeps off it.
    fn numbers(&self) -> (String, usize) {
        let (keys, width) = match self.total {
            // As wide as it will be when all keys are done, so that nothing moves.
            Some(total) => {
                let done = if total == self.keys {
                    String::new()
                } else {
                    thousands(self.keys) + "/"
                };
                (
                    format!("{done}{} keys", thousands(total)),
                    thousands(total).len() * 2 + 6,
                )
            }
            None => (format!("{} keys", thousands(self.keys)), 20),
        };
        let speed = format!("{}/s", short_count(self.rates.keys));
        let third = match self.phase {
            Phase::Comparing => format!("{} differ", thousands(self.differences)),
            _ => format!("{:>9}", self.bytes_per_second()),
        };
        let mut columns = vec![format!("{keys:<width$}"), format!("{speed:>6}"), third];
        columns.extend(self.time());
        (
            columns.join("   "),
            width + "   312k/s   1023 KB/s   10 s left".len(),
        )
    }

    /// `scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left`.
    pub(super) fn log_line(&self, latencies: &Latencies) -> String {
        let percent = self
            .percent()
            .map(|percent| format!(" {percent} %"))
            .unwrap_or_default();
        let of = match self.total.filter(|total| *total != self.keys) {
            Some(total) => format!(" of {}", thousands(total)),
            None => String::new(),
        };
        let mut parts = vec![
            format!(
                "{}{percent}: {}{of} keys",
                self.phase_name(),
                thousands(self.keys)
            ),
            format!("{}/s", short_count(self.rates.keys)),
            match self.phase {
                Phase::Comparing => format!("{} differ", thousands(self.differences)),
                _ => self.bytes_per_second(),
            },
        ];
        parts.extend(self.time());
        for (side, commands) in latencies {
            parts.extend(commands.iter().map(|(command, latency)| {
                let shown = |micros| milliseconds(Duration::from_micros(micros));
                let Latency {
                    p50_us,
                    p99_us,
                    max_us,
                    ..
                } = *latency;
                format!(
                    "{side} {command} p50 {} p99 {} max {}",
                    shown(p50_us),
                    shown(p99_us),
                    shown(max_us)
                )
            }));
        }
        parts.join(", ")
    }

    /// The time it took, or the time left.
    fn time(&self) -> Option<String> {
        let left = || {
            self.left()
                .map(|left| format!("{} left", whole_seconds(left)))
        };
        self.took.map(elapsed).or_else(left)
    }

    /// The phase's name in a log.
    pub(super) fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Comparing => "comparing",
            _ => "scanning",
        }
    }

    fn bytes_per_second(&self) -> String {
        format!("{}/s", bytes(whole(self.rates.bytes)))
    }
}

/// A rate without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` gives the nearest number there is, and 0 for what is none"
)]
pub(super) fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// A bar of `width` columns of which this part, 0 to 1, is drawn.
fn bar(style: config::Progress, width: usize, part: f64, colours: bool) -> String {
    let (steps, end) = match style {
        config::Progress::Block => (vec!["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"], ""),
        config::Progress::Ascii => (vec!["="], ">"),
        _ => (vec!["╸", "━"], ""),
    };
    let (width, frame) = match style {
        config::Progress::Ascii => (width.saturating_sub(2), Some(("[", "]"))),
        _ => (width, None),
    };
    let per_column = steps.len();
    let all = width * per_column;
    let drawn = usize::try_from(whole((part * all as f64).floor()))
        .unwrap_or(all)
        .min(all);
    let full = drawn / per_column;
    let mut text = steps.last().unwrap_or(&"").repeat(full);
    let mut columns = full;
    if columns < width {
        let partial = match drawn % per_column {
            0 => end,
            rest => steps.get(rest - 1).copied().unwrap_or_default(),
        };
        columns += partial.chars().count();
        text += partial;
    }
    let track = match style {
        config::Progress::Bar if colours => "━",
        _ => " ",
    }
    .repeat(width - columns);
    let (open, close) = frame.unwrap_or_default();
    if colours {
        format!("{open}{DRAWN}{text}{PLAIN}{TRACK}{track}{PLAIN}{close}")
    } else {
        format!("{open}{text}{track}{close}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::{Differences, Skipped};

    const RATES: Rates = Rates {
        keys: 312_400.0,
        bytes: 47_185_920.0,
    };

    fn scanning() -> Counts {
        Counts {
            total_keys: Some(1_000_214),
            scanned: 713_000,
            written: 712_340,
            ..Counts::default()
        }
    }

    fn lines(progress: &Progress) -> String {
        format!(
            "{}\n{}",
            progress.bar_line(config::Progress::Bar, false, 120),
            progress.log_line(&Latencies::new())
        )
    }

    #[test]
    fn a_scan_on_its_way() {
        let progress = Progress::new(Phase::Scanning, &scanning(), RATES, None);
        insta::assert_snapshot!(lines(&progress), @"
        Scanning   71% ━━━━━━━━━━━━━━━━━╸         712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
        scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left
        ");
        insta::assert_snapshot!(
            progress.bar_line(config::Progress::Bar, true, 120).replace('\x1b', "^"), @"Scanning   71% ^[36m━━━━━━━━━━━━━━━━━╸^[0m^[2m━━━━━━━^[0m  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
        insta::assert_snapshot!(progress.bar_line(config::Progress::Block, false, 120), @"Scanning   71% █████████████████▊         712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
        insta::assert_snapshot!(progress.bar_line(config::Progress::Ascii, false, 120), @"Scanning   71% [================>      ]  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left");
    }

    #[test]
    fn on_a_narrow_terminal_the_bar_gives_way() {
        let progress = Progress::new(Phase::Scanning, &scanning(), RATES, None);
        let lines =
            [95, 80, 70].map(|columns| progress.bar_line(config::Progress::Bar, false, columns));
        insta::assert_snapshot!(lines.join("\n"), @"
        Scanning   71% ━━━━━━━━━━━━━━╸        712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
        Scanning   71% ━━━━    712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
        Scanning   71%  712,340/1,000,214 keys     312k/s     45 MB/s   1 s left
        ");
    }

    #[test]
    fn a_scan_that_is_over() {
        let counts = Counts {
            scan_complete: true,
            scanned: 1_000_200,
            written: 1_000_100,
            skipped: Skipped {
                memory_limit: 100,
                other_type: 0,
                nameless: 0,
                dry_run: 0,
                unchanged: 0,
                other_database: 0,
            },
            ..scanning()
        };
        let progress = Progress::new(
            Phase::Scanning,
            &counts,
            RATES,
            Some(Duration::from_millis(3210)),
        );
        insta::assert_snapshot!(lines(&progress), @"
        Scanning  100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000,200 keys             312k/s     45 MB/s   3.2 s
        scanning 100 %: 1,000,200 keys, 312k/s, 45 MB/s, 3.2 s
        ");
    }

    #[test]
    fn a_scan_with_filters_has_no_percents_until_it_has_ended() {
        let counts = Counts {
            total_keys: None,
            ..scanning()
        };
        insta::assert_snapshot!(lines(&Progress::new(Phase::Scanning, &counts, RATES, None)), @"
        Scanning   712,340 keys           312k/s     45 MB/s
        scanning: 712,340 keys, 312k/s, 45 MB/s
        ");
        let counts = Counts {
            scan_complete: true,
            ..counts
        };
        insta::assert_snapshot!(lines(&Progress::new(Phase::Scanning, &counts, RATES, None)), @"
        Scanning   99% ━━━━━━━━━━━━━━━━━━━━━━━━╸  712,340/713,000 keys   312k/s     45 MB/s   1 s left
        scanning 99 %: 712,340 of 713,000 keys, 312k/s, 45 MB/s, 1 s left
        ");
    }

    #[test]
    fn a_comparison() {
        let counts = Counts {
            total_keys: Some(1_000_214),
            compared: 400_000,
            differences: Differences {
                missing: 1,
                ..Differences::default()
            },
            ..Counts::default()
        };
        let rates = Rates {
            keys: 410_000.0,
            bytes: 0.0,
        };
        insta::assert_snapshot!(lines(&Progress::new(Phase::Comparing, &counts, rates, None)), @"
        Comparing  39% ━━━━━━━━━╸                 400,000/1,000,214 keys     410k/s   1 differ   2 s left
        comparing 39 %: 400,000 of 1,000,214 keys, 410k/s, 1 differ, 2 s left
        ");
        let counts = Counts {
            compared: 1_000_214,
            compare_complete: true,
            ..counts
        };
        let over = Progress::new(
            Phase::Comparing,
            &counts,
            rates,
            Some(Duration::from_millis(2440)),
        );
        insta::assert_snapshot!(lines(&over), @"
        Comparing 100% ━━━━━━━━━━━━━━━━━━━━━━━━━  1,000,214 keys             410k/s   1 differ   2.4 s
        comparing 100 %: 1,000,214 keys, 410k/s, 1 differ, 2.4 s
        ");
    }

    #[test]
    fn latency_is_in_the_log_line() {
        let latency = Latency {
            count: 5,
            p50_us: 300,
            p99_us: 1200,
            max_us: 78_000,
        };
        let latencies = Latencies::from([("source", [("MGET", latency)].into())]);
        let progress = Progress::new(Phase::Scanning, &scanning(), RATES, None);
        insta::assert_snapshot!(progress.log_line(&latencies), @"scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left, source MGET p50 0.3 ms p99 1.2 ms max 78 ms");
    }

    #[test]
    fn an_empty_source_is_done_at_once() {
        let counts = Counts {
            total_keys: Some(0),
            scan_complete: true,
            ..Counts::default()
        };
        let progress = Progress::new(
            Phase::Scanning,
            &counts,
            Rates::default(),
            Some(Duration::ZERO),
        );
        assert_eq!(progress.percent(), Some(100));
    }

    proptest! {
        #[test]
        fn a_bar_is_never_over_and_keeps_its_width(
            total: Option<u64>, scanned: u64, written: u64, complete: bool, rate in 0.0..1e12, colours: bool,
            columns in 0..200_usize, width in LEAST_WIDTH..30,
        ) {
            let counts =
                Counts { total_keys: total, scanned, written, scan_complete: complete, ..Counts::default() };
            let progress = Progress::new(Phase::Scanning, &counts, Rates { keys: rate, bytes: rate }, None);
            prop_assert!(progress.percent().is_none_or(|percent| percent <= 100));
            let _ = progress.log_line(&Latencies::new());
            for style in [config::Progress::Bar, config::Progress::Block, config::Progress::Ascii] {
                let _ = progress.bar_line(style, colours, columns);
                for part in [0.0, 0.001, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
                    prop_assert_eq!(bar(style, width, part, false).chars().count(), width);
                }
            }
        }
    }
}
