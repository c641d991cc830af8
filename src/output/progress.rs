//! How far a phase is: one line for a bar, one for a log.

mod live;

use std::time::Duration;

pub(super) use self::live::{Following, time as lag_time};
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
    /// Changes, where the run follows them.
    pub(super) following: Option<Following>,
    /// How long the phase took, when it is over.
    took: Option<Duration>,
}

/// Keys done in a phase.
pub(super) fn keys_done(phase: Phase, counts: &Counts) -> u64 {
    if phase == Phase::Comparing {
        counts.compared
    } else {
        counts.finished() + counts.done_before
    }
}

impl Progress {
    /// The phase as the counters have it; `took` says that it is over. While it listens, `rates` are of events.
    pub(super) fn new(
        phase: Phase,
        counts: &Counts,
        rates: Rates,
        took: Option<Duration>,
        following: Option<Following>,
    ) -> Self {
        let keys = keys_done(phase, counts);
        let complete = match phase {
            Phase::Comparing => counts.compare_complete && took.is_some(),
            // Listening has no end that could be neared.
            Phase::Listening => false,
            // Something that has just changed is always on its way: the scan can be over all the same.
            _ if following.is_some() && took.is_some() => counts.scan_complete,
            _ => counts.scan_complete && counts.finished() >= counts.taken(),
        };
        let total = match phase {
            Phase::Listening => None,
            _ if complete => Some(keys),
            Phase::Scanning if counts.scan_complete => Some(counts.taken() + counts.done_before),
            Phase::Scanning => counts
                .total_keys
                .map(|total| total.max(counts.scanned + counts.done_before))
                .map(|total| total.saturating_add(counts.changes)),
            _ => counts.total_keys,
        };
        Self {
            phase,
            keys,
            total: total.map(|total| total.max(keys)),
            complete,
            rates,
            differences: counts.differences.total(),
            following,
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
    /// Where that is wider than `columns`, the bar gives way. Listening has none, as it has no end.
    pub(super) fn bar_line(
        &self,
        style: config::Progress,
        colours: bool,
        columns: usize,
    ) -> String {
        let name = match self.phase {
            Phase::Comparing => "Comparing",
            Phase::Listening => "Listening",
            _ => "Scanning",
        };
        if self.phase == Phase::Listening {
            let following = self.following.unwrap_or_default();
            let mut columns = Vec::from(following.counts());
            columns.extend(following.lag());
            columns.push(format!("{:>6}", self.speed()));
            columns.extend(self.time());
            return format!("{name}  {}", columns.join("   "));
        }
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
        let third = match self.phase {
            Phase::Comparing => format!("{} differ", thousands(self.differences)),
            _ => format!("{:>9}", self.bytes_per_second()),
        };
        let mut columns = vec![
            format!("{keys:<width$}"),
            format!("{:>6}", self.speed()),
            third,
        ];
        let mut usual = width + "   312k/s   1023 KB/s   10 s left".len();
        if let Some(following) = self.following {
            columns.extend(following.counts());
            usual += "   123,456 events   12,345 waiting".len();
        }
        columns.extend(self.time());
        (columns.join("   "), usual)
    }

    /// `scanning 71 %: 712,340 of 1,000,214 keys, 312k/s, 45 MB/s, 1 s left`.
    pub(super) fn log_line(&self, latencies: &Latencies) -> String {
        let mut parts = self.log_parts();
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

    /// All that a log line says before the time.
    fn log_parts(&self) -> Vec<String> {
        if self.phase == Phase::Listening {
            let following = self.following.unwrap_or_default();
            let [events, waiting] = following.counts();
            let mut parts = vec![
                format!("{}: {events}", self.phase_name()),
                waiting,
                self.speed(),
            ];
            parts.extend(following.lag());
            return parts;
        }
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
            self.speed(),
            match self.phase {
                Phase::Comparing => format!("{} differ", thousands(self.differences)),
                _ => self.bytes_per_second(),
            },
        ];
        if let Some(following) = self.following {
            parts.extend(following.counts());
        }
        parts
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
            Phase::Listening => "listening",
            _ => "scanning",
        }
    }

    /// Whether the rates are of events.
    pub(super) fn counts_events(&self) -> bool {
        self.phase == Phase::Listening
    }

    fn speed(&self) -> String {
        format!("{}/s", short_count(self.rates.keys))
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
mod tests;
