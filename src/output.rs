//! What the operator sees: talk and bars on standard error, the report on standard output.

mod lines;
mod meter;
mod progress;
mod report;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::lines::{difference_line, server_line};
use self::meter::{Meter, Rates};
use self::progress::{Following, keys_done, whole};
use crate::config::{Console, LogFormat, LogTarget, Progress, ReportFormat};
use crate::stats::{Counts, Found, Latencies, Latency, Phase, Stats, Summary};
pub use crate::text::printable;

/// The target of log events that carry progress: logging shows them whatever its level.
pub const PROGRESS: &str = "riot::progress";
/// The target of log events that `--log-keys` asks for: shown whatever the level.
pub const KEYS: &str = "riot::keys";

/// Redraws of a bar in a second: more than the eye needs.
const DRAWS: u8 = 10;

/// The two streams and the bars on one of them. Clones share them.
#[derive(Clone)]
pub struct Printer {
    shared: Arc<Shared>,
}

struct Shared {
    progress: Progress,
    rate: Duration,
    latency: bool,
    colours: bool,
    /// Talk is written as log events, because whoever reads standard error expects JSON there.
    talk_as_events: bool,
    bars: Option<MultiProgress>,
    columns: Columns,
    stage: Mutex<Option<Stage>>,
    out: Stream,
    err: Stream,
}

/// Where lines go.
type Stream = Mutex<Box<dyn Write + Send>>;

/// How wide the terminal is at the moment.
type Columns = Box<dyn Fn() -> u16 + Send + Sync>;

/// The phase that is shown.
struct Stage {
    stats: Arc<Stats>,
    phase: Phase,
    started: Instant,
    done_before: u64,
    bytes_before: u64,
    meter: Meter,
    bar: Option<ProgressBar>,
    logged: Instant,
    /// The lag that the bar shows, and since when.
    lag: Option<(Instant, Latency)>,
}

impl Stage {
    /// What the speed is measured by: keys, or events while it listens.
    fn done(&self, counts: &Counts) -> u64 {
        done(self.phase, counts, &self.stats)
    }

    /// Changes, where they are followed meanwhile.
    fn following(&self, lag: Option<Latency>) -> Option<Following> {
        let live = &self.stats.live;
        (live.is_live() && self.phase != Phase::Comparing).then(|| Following::new(live, lag))
    }

    /// The lag of the last `rate`, for a bar: one that changed with each drawing could not be read.
    fn steady_lag(&mut self, rate: Duration) -> Option<Latency> {
        if self.phase != Phase::Listening {
            return None;
        }
        match self.lag {
            Some((since, lag)) if since.elapsed() < rate => Some(lag),
            _ => {
                let lag = self.stats.live.recent_lag();
                self.lag = Some((Instant::now(), lag));
                Some(lag)
            }
        }
    }
}

fn done(phase: Phase, counts: &Counts, stats: &Stats) -> u64 {
    match phase {
        Phase::Listening => stats.live.events(),
        _ => keys_done(phase, counts),
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer")
            .field("progress", &self.shared.progress)
            .finish_non_exhaustive()
    }
}

impl Printer {
    /// A printer on this process's streams. Bars that standard error cannot show become log lines.
    #[must_use]
    pub fn new(console: &Console) -> Self {
        Self::on(
            console,
            ProgressDrawTarget::stderr_with_hz(DRAWS),
            Box::new(|| Term::stderr().size().1),
            colours_wanted(io::stderr().is_terminal()),
            Box::new(io::stdout()),
            Box::new(io::stderr()),
        )
    }

    fn on(
        console: &Console,
        target: ProgressDrawTarget,
        columns: Columns,
        colours: bool,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
    ) -> Self {
        let wants_bars = matches!(
            console.progress,
            Progress::Bar | Progress::Block | Progress::Ascii
        );
        let bars =
            (wants_bars && !target.is_hidden()).then(|| MultiProgress::with_draw_target(target));
        let progress = if wants_bars && bars.is_none() {
            Progress::Log
        } else {
            console.progress
        };
        Self {
            shared: Arc::new(Shared {
                progress,
                rate: console.progress_rate,
                latency: console.latency,
                colours,
                talk_as_events: console.log.format == LogFormat::Json
                    && console.log.target == LogTarget::Stderr,
                bars,
                columns,
                stage: Mutex::new(None),
                out: Mutex::new(out),
                err: Mutex::new(err),
            }),
        }
    }

    /// Lines on standard error may be coloured: it is a terminal, and `NO_COLOR` is not set.
    #[must_use]
    pub fn colours(&self) -> bool {
        self.shared.colours
    }

    /// A line of talk on standard error, above the bars.
    pub fn line(&self, text: &str) {
        if self.shared.talk_as_events {
            tracing::info!(target: PROGRESS, "{text}");
        } else {
            self.write_err(text);
        }
    }

    /// Text on standard error, above the bars, its line ended here: what a log writes through.
    pub fn write_err(&self, text: &str) {
        // Nobody is left to tell when standard error is closed.
        let _ = self.write(&self.shared.err, text);
    }

    /// A line of data on standard output, with the bars out of the way.
    ///
    /// A reader that has gone away is no error; any other failure to write is.
    pub fn write_out(&self, text: &str) -> io::Result<()> {
        match self.write(&self.shared.out, text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    fn write(&self, stream: &Stream, text: &str) -> io::Result<()> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let write = || write_whole(stream, text);
        match &self.shared.bars {
            // Not the bars' own println: it ends lines by filling them up with spaces.
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// The lines of `--show-diffs`, on standard output.
    pub fn differences(&self, differences: &[Found]) -> io::Result<()> {
        if differences.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = differences.iter().map(difference_line).collect();
        self.write_out(&lines.join("\n"))
    }

    /// Shows a phase from here on; one that is still shown is finished first.
    pub fn start(&self, stats: Arc<Stats>, phase: Phase) {
        self.finish_phase();
        let counts = stats.counts();
        let done_before = done(phase, &counts, &stats);
        let now = Instant::now();
        let bar = self.shared.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length());
            // A line longer than the terminal is cut, so that a bar is one row.
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        *self.stage() = Some(Stage {
            phase,
            started: now,
            done_before,
            bytes_before: counts.bytes_read,
            meter: Meter::new(done_before, counts.bytes_read),
            bar,
            logged: now,
            lag: None,
            stats,
        });
        if self.shared.bars.is_some() {
            self.tick();
        }
    }

    /// Redraws the bar or, when it is time, writes a log line. Cheap; to be called at least each [`Printer::interval`].
    pub fn tick(&self) {
        let mut guard = self.stage();
        let Some(stage) = guard.as_mut() else { return };
        let counts = stage.stats.counts();
        let done = stage.done(&counts);
        let rates = stage
            .meter
            .observe(stage.started.elapsed(), done, counts.bytes_read);
        let phase = stage.phase;
        let now = |following| progress::Progress::new(phase, &counts, rates, None, following);
        if stage.bar.is_some() {
            let lag = stage.steady_lag(self.shared.rate);
            let line = self.bar_line(&now(stage.following(lag)));
            if let Some(bar) = &stage.bar {
                bar.set_message(line);
            }
            return;
        }
        // A timer that is a little early must not make this line wait for the next tick.
        if self.shared.progress != Progress::Log
            || stage.logged.elapsed() < self.shared.rate.mul_f64(0.9)
        {
            return;
        }
        stage.logged = Instant::now();
        let lag = (phase == Phase::Listening).then(|| stage.stats.live.recent_lag());
        let progress = now(stage.following(lag));
        let stats = Arc::clone(&stage.stats);
        // The log writes through this printer.
        drop(guard);
        self.log(&progress, &stats);
    }

    /// The phase is over: its bar becomes a line, with what it amounted to.
    pub fn finish_phase(&self) {
        let Some(stage) = self.stage().take() else {
            return;
        };
        let counts = stage.stats.counts();
        let took = stage.started.elapsed();
        let rates = Rates::over(
            stage.done(&counts).saturating_sub(stage.done_before),
            counts.bytes_read.saturating_sub(stage.bytes_before),
            took,
        );
        // As the speed is that of the whole phase, so is the lag that of the whole run.
        let lag = (stage.phase == Phase::Listening)
            .then(|| stage.stats.live.summary())
            .flatten()
            .map(|live| live.lag);
        let following = stage.following(lag);
        let progress = progress::Progress::new(stage.phase, &counts, rates, Some(took), following);
        if let (Some(bars), Some(bar)) = (&self.shared.bars, &stage.bar) {
            bar.finish_and_clear();
            bars.remove(bar);
            self.write_err(&self.bar_line(&progress));
        } else if self.shared.progress == Progress::Log {
            self.log(&progress, &stage.stats);
        }
    }

    fn bar_line(&self, progress: &progress::Progress) -> String {
        let shared = &self.shared;
        progress.bar_line(
            shared.progress,
            shared.colours,
            usize::from((shared.columns)()),
        )
    }

    fn log(&self, progress: &progress::Progress, stats: &Stats) {
        let latencies = if self.shared.latency {
            stats.latencies()
        } else {
            Latencies::new()
        };
        let rate = whole(progress.rates.keys);
        let (keys_per_second, events_per_second) = if progress.counts_events() {
            (None, Some(rate))
        } else {
            (Some(rate), None)
        };
        let following = progress.following;
        let lag = following.and_then(|following| following.lag);
        tracing::info!(
            target: PROGRESS,
            phase = progress.phase_name(),
            keys = progress.keys,
            total_keys = progress.total,
            percent = progress.percent(),
            events = following.map(|following| following.events),
            waiting = following.map(|following| following.waiting),
            lag_p50_us = lag.map(|lag| lag.p50_us),
            lag_p99_us = lag.map(|lag| lag.p99_us),
            keys_per_second,
            events_per_second,
            bytes_per_second = whole(progress.rates.bytes),
            "{}",
            progress.log_line(&latencies)
        );
    }

    /// How long to wait between two ticks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let least = Duration::from_millis(1000 / u64::from(DRAWS));
        if self.shared.bars.is_some() {
            least.max(self.shared.rate.min(2 * least))
        } else {
            self.shared.rate.max(least)
        }
    }

    /// Ticks for ever: a task to be aborted when the run is over.
    pub async fn run(&self) {
        let mut interval = tokio::time::interval(self.interval());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            self.tick();
        }
    }

    /// The closing report, on standard output; a phase still shown is finished first.
    ///
    /// Fails where standard output cannot be written to, but not where its reader has gone away.
    pub fn report(&self, summary: &Summary, format: ReportFormat) -> io::Result<()> {
        self.finish_phase();
        if self.shared.bars.is_some() && format == ReportFormat::Text {
            self.write_err("");
        }
        self.write_out(&report::report(summary, format))
    }

    fn stage(&self) -> MutexGuard<'_, Option<Stage>> {
        self.shared
            .stage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Colours are for terminals whose owner has not said no (<https://no-color.org>).
fn colours_wanted(terminal: bool) -> bool {
    terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn write_whole(stream: &Stream, text: &str) -> io::Result<()> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    // One write: what other processes write to the same file does not come between.
    stream.write_all(format!("{text}\n").as_bytes())?;
    stream.flush()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
