//! Log lines: where they go, in what form, and what is let through.

mod pattern;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use jiff::Zoned;
use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

pub use self::pattern::{PatternError, TimePattern};
use crate::config::{Log, LogFormat, LogTarget};
use crate::output::{KEYS, PROGRESS, Printer};

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be opened for appending.
    #[error("log file {}: {source}", path.display())]
    File {
        /// As it was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The time's pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Something else in this process logs already.
    #[error("logging is set up already")]
    Twice,
}

/// Sends this process's log events where the settings say; those to a terminal go through the printer, above its bars.
///
/// Fails when the log file cannot be opened, when the time's pattern cannot be read, and when called twice.
pub fn init(log: &Log, printer: &Printer) -> Result<(), LogError> {
    subscriber(log, printer)?
        .try_init()
        .map_err(|_| LogError::Twice)
}

/// What `init` installs.
fn subscriber(
    log: &Log,
    printer: &Printer,
) -> Result<impl Subscriber + Send + Sync + 'static, LogError> {
    let clock = log
        .time
        .as_deref()
        .map(TimePattern::parse)
        .transpose()?
        .map(Clock);
    let (writer, colours) = match &log.target {
        LogTarget::Stderr => {
            let printer = printer.clone();
            let colours = printer.colours();
            (
                BoxMakeWriter::new(move || Lines {
                    printer: printer.clone(),
                    data: false,
                }),
                colours,
            )
        }
        LogTarget::Stdout => {
            let printer = printer.clone();
            (
                BoxMakeWriter::new(move || Lines {
                    printer: printer.clone(),
                    data: true,
                }),
                false,
            )
        }
        LogTarget::File(path) => (BoxMakeWriter::new(Mutex::new(open(path)?)), false),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match (log.format, clock) {
        (LogFormat::Text, clock) => Box::new(layer.event_format(Text { clock })),
        (LogFormat::Json, Some(clock)) => Box::new(
            layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_timer(clock),
        ),
        (LogFormat::Json, None) => Box::new(
            layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .without_time(),
        ),
    };
    Ok(Registry::default().with(layer.with_filter(filter(log.level))))
}

/// riot at the level that was asked for; the libraries below it no finer than warnings, unless all is asked for; and
/// progress always, because that is asked for by another name.
fn filter(level: LevelFilter) -> Targets {
    let below = if level == LevelFilter::TRACE {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    Targets::new()
        .with_default(below)
        .with_target("riot", level)
        .with_target(PROGRESS, LevelFilter::INFO)
        .with_target(KEYS, LevelFilter::INFO)
}

fn open(path: &PathBuf) -> Result<File, LogError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| LogError::File {
            path: path.clone(),
            source,
        })
}

/// Local time, or UTC where the system does not know its zone.
struct Clock(TimePattern);

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&self.0.format(&Zoned::now()))
    }
}

/// Log lines through the printer: each event is written whole, in one call.
struct Lines {
    printer: Printer,
    data: bool,
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.data {
            self.printer.write_out(&text)?;
        } else {
            self.printer.write_err(&text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `TIME LEVEL message field=value`; of progress, `TIME message`.
struct Text {
    clock: Option<Clock>,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if let Some(clock) = &self.clock {
            clock.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        if event.metadata().target() == PROGRESS {
            let mut message = Message(&mut writer, Ok(()));
            event.record(&mut message);
            message.1?;
        } else {
            write_level(&mut writer, *event.metadata().level())?;
            context
                .field_format()
                .format_fields(writer.by_ref(), event)?;
        }
        writeln!(writer)
    }
}

fn write_level(writer: &mut Writer<'_>, level: Level) -> fmt::Result {
    if !writer.has_ansi_escapes() {
        return write!(writer, "{level:<5} ");
    }
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    write!(writer, "\x1b[{colour}m{level:<5}\x1b[0m ")
}

/// Writes an event's message and none of its fields.
struct Message<'w, 'b>(&'w mut Writer<'b>, fmt::Result);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.1 = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests;
