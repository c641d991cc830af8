//! Runs the riot binary, with a deadline, and shows everything it said when a test does not like it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::servers;
use crate::store::Store;
use crate::wait;

/// The longest that a run may take, unless the test says otherwise.
const DEADLINE: Duration = Duration::from_secs(120);

/// The size of a terminal.
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

/// A run to be started.
#[derive(Debug)]
pub(crate) struct Riot {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    deadline: Duration,
}

/// `riot WORDS…`.
pub(crate) fn riot<I>(words: I) -> Riot
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let words = words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect();
    Riot {
        words,
        environment: Vec::new(),
        input: Vec::new(),
        deadline: DEADLINE,
    }
}

/// `riot replicate SOURCE TARGET`, both by their TCP ports.
pub(crate) fn replicate(source: &dyn Store, target: &dyn Store) -> Riot {
    riot(["replicate".into(), source.uri(), target.uri()])
}

/// `riot compare --quick SOURCE TARGET`, both by their TCP ports.
pub(crate) fn compare(source: &dyn Store, target: &dyn Store) -> Riot {
    riot([
        "compare".into(),
        "--quick".into(),
        source.uri(),
        target.uri(),
    ])
}

/// `riot compare SOURCE TARGET`, values too.
pub(crate) fn compare_full(source: &dyn Store, target: &dyn Store) -> Riot {
    riot(["compare".into(), source.uri(), target.uri()])
}

impl Riot {
    /// Adds a word.
    pub(crate) fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Adds words.
    pub(crate) fn words<I>(mut self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.words
            .extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment, which has none of riot's own otherwise.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Kills it, and fails the test, after this long.
    pub(crate) fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Output {
        self.spawn().finish()
    }

    /// Starts it.
    pub(crate) fn spawn(self) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riot"));
        command
            .args(&self.words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RIOT_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("NO_COLOR")
            .env("RUST_BACKTRACE", "0")
            .envs(self.environment.iter().cloned());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(&self.input);
        drop(stdin);
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        Running {
            command: shown(&self.words),
            child,
            stdout,
            stderr,
            started: Instant::now(),
            deadline: self.deadline,
            peak: 0,
        }
    }

    /// Runs it on a terminal of 40 lines and 120 columns: its standard streams are all that terminal.
    pub(crate) fn on_terminal(self) -> Terminal {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(pty_process::Size::new(ROWS, COLUMNS)).unwrap();
        let mut command =
            pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_riot")).args(&self.words);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RIOT_") {
                command = command.env_remove(name);
            }
        }
        command = command
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .envs(self.environment.iter().cloned());
        let child = command.spawn(pts).unwrap();
        let pty = File::from(OwnedFd::from(pty));
        let screen = Stream::read(pty.try_clone().unwrap());
        Terminal {
            command: shown(&self.words),
            child,
            pty,
            screen,
            started: Instant::now(),
            deadline: self.deadline,
        }
    }
}

fn shown(words: &[OsString]) -> String {
    let mut line = String::from("riot");
    for word in words {
        let word = word.to_string_lossy();
        let plain = !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:=@,".contains(c));
        line.push(' ');
        if plain {
            line.push_str(&word);
        } else {
            let _ = write!(line, "'{word}'");
        }
    }
    line
}

/// What a stream has said so far, collected by a thread.
#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            // A terminal whose other side is closed answers with an error: that is its end.
            while let Ok(read) = from.read(&mut buffer) {
                if read == 0 {
                    return;
                }
                shared.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn rest(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// A run under way. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    command: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
    deadline: Duration,
    peak: u64,
}

impl Running {
    /// Sends it a signal by name (`INT`, `TERM`).
    pub(crate) fn signal(&self, name: &str) {
        servers::signal(self.child.id(), name);
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// What it has said on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until standard error holds this text; the run's end without it fails the test.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let found = wait::until(&format!("`{}` says `{text}`", self.command), || {
            let over = !self.is_running();
            if self.stderr().contains(text) {
                return Some(true);
            }
            over.then_some(false)
        });
        assert!(
            found,
            "{} ended without saying `{text}`:\n{}",
            self.command,
            self.stderr()
        );
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.peak = self.peak.max(peak_memory(self.child.id()));
            if self.started.elapsed() > self.deadline {
                let _ = self.child.kill();
                let status = self.child.wait().unwrap();
                let output = self.output(status);
                panic!("did not end within {:?}\n{output}", self.deadline);
            }
            wait::pause(Duration::from_millis(1));
        };
        self.output(status)
    }

    fn output(&mut self, status: ExitStatus) -> Output {
        Output {
            command: self.command.clone(),
            status,
            screen: String::new(),
            stdout: self.stdout.rest(),
            stderr: self.stderr.rest(),
            elapsed: self.started.elapsed(),
            peak: self.peak,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "---- {}\n---- standard output\n{}---- standard error\n{}",
                self.command,
                self.stdout(),
                self.stderr()
            );
        }
    }
}

/// The most memory that a process has held, in bytes; 0 where it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB"))
        .map_or(0, |number| number.parse::<u64>().unwrap() * 1024)
}

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Output {
    command: String,
    status: ExitStatus,
    /// Standard output; of a run on a terminal, all that was written to it, without control sequences.
    pub(crate) stdout: String,
    /// What a terminal shows in the end.
    pub(crate) screen: String,
    /// Standard error; of a run on a terminal, all that was written to it.
    pub(crate) stderr: String,
    /// From start to end.
    pub(crate) elapsed: Duration,
    /// The most memory it held, in bytes, looked at once a millisecond.
    pub(crate) peak: u64,
}

/// The first line of the text report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Keys taken from the source.
    pub(crate) scanned: u64,
    /// Written to the target.
    pub(crate) written: u64,
    /// Deleted at the target: gone from the source.
    pub(crate) deleted: u64,
    /// Left out by name.
    pub(crate) skipped: u64,
    /// Failed by name.
    pub(crate) failed: u64,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "---- {}\n---- {} after {:.1?}",
            self.command, self.status, self.elapsed
        )?;
        writeln!(
            f,
            "---- standard output\n{}---- standard error\n{}----",
            self.stdout, self.stderr
        )
    }
}

impl Output {
    /// The exit status; `None` where a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Fails the test where the exit status is another one, or where riot panicked.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert!(
            self.status.code() == Some(status),
            "exit status {status} was expected\n{self}"
        );
        assert!(
            !self.stderr.contains("panicked at") && !self.stderr.contains("stack backtrace"),
            "a panic\n{self}"
        );
        self
    }

    /// Fails the test where standard output does not hold this.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "`{text}` is not on standard output\n{self}"
        );
        self
    }

    /// Fails the test where standard error does not hold this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "`{text}` is not on standard error\n{self}"
        );
        self
    }

    /// Fails the test where it did not end with this status and one line on standard error that holds all these words, with
    /// nothing on standard output. Lines on the two sides, which come before anything is done, do not count.
    #[track_caller]
    pub(crate) fn refuses(self, status: i32, words: &[&str]) -> Self {
        let output = self.exits(status);
        let complaints: Vec<&str> = output
            .stderr
            .lines()
            .filter(|line| {
                !line.starts_with("source ") && !line.starts_with("target ") && !line.is_empty()
            })
            .collect();
        assert!(complaints.len() == 1, "one line was expected\n{output}");
        for word in words {
            assert!(
                complaints[0].contains(word),
                "the line does not hold `{word}`\n{output}"
            );
        }
        assert!(
            output.stdout.is_empty(),
            "nothing was expected on standard output\n{output}"
        );
        output
    }

    /// Fails the test where it did not end with this status and with all these words on standard error, in however many lines a
    /// usage error takes.
    #[track_caller]
    pub(crate) fn names(self, status: i32, words: &[&str]) -> Self {
        let output = self.exits(status);
        for word in words {
            assert!(
                output.stderr.contains(word),
                "`{word}` is not on standard error\n{output}"
            );
        }
        assert!(
            output.stdout.is_empty(),
            "nothing was expected on standard output\n{output}"
        );
        output
    }

    /// The counts of the text report: scanned, written, deleted, skipped, failed. Fails the test where they do not add up.
    #[track_caller]
    pub(crate) fn counts(&self) -> Counts {
        let form = regex::Regex::new(
            r"(?m)^([\d,]+) keys?: ([\d,]+) written, ([\d,]+) deleted, ([\d,]+) skipped, ([\d,]+) failed$",
        )
        .unwrap();
        let found = form
            .captures(&self.stdout)
            .unwrap_or_else(|| panic!("no report\n{self}"));
        let number = |index: usize| found[index].replace(',', "").parse::<u64>().unwrap();
        let counts = Counts {
            scanned: number(1),
            written: number(2),
            deleted: number(3),
            skipped: number(4),
            failed: number(5),
        };
        let sum = counts.written + counts.deleted + counts.skipped + counts.failed;
        assert!(counts.scanned == sum, "the counts do not add up\n{self}");
        counts
    }

    /// Fails the test where either stream holds this.
    #[track_caller]
    pub(crate) fn never_shows(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text) && !self.stdout.contains(text),
            "`{text}` is shown\n{self}"
        );
        self
    }

    /// Fails the test where this is not true.
    #[track_caller]
    pub(crate) fn holds(self, what: &str, test: impl FnOnce(&Self) -> bool) -> Self {
        let holds = test(&self);
        assert!(holds, "{what}\n{self}");
        self
    }

    /// The closing report of `--report json`.
    #[track_caller]
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON report: {error}\n{self}"))
    }
}

/// A run on a terminal. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    command: String,
    child: Child,
    pty: File,
    screen: Stream,
    started: Instant,
    deadline: Duration,
}

impl Terminal {
    /// Everything it has written to the terminal so far, without the control sequences.
    pub(crate) fn screen(&self) -> String {
        without_controls(&self.screen.so_far())
    }

    /// Waits until it has written this.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let found = wait::until(&format!("`{}` shows `{text}`", self.command), || {
            let over = self.child.try_wait().unwrap().is_some();
            if self.screen().contains(text) {
                return Some(true);
            }
            over.then_some(false)
        });
        assert!(
            found,
            "{} ended without showing `{text}`:\n{}",
            self.command,
            self.screen()
        );
    }

    /// Types a line.
    pub(crate) fn types(&self, line: &str) {
        (&self.pty)
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Waits for its end: the exit status, and all that it wrote, raw and without control sequences.
    pub(crate) fn finish(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                self.started.elapsed() < self.deadline,
                "{} did not end within {:?}:\n{}",
                self.command,
                self.deadline,
                self.screen()
            );
            wait::pause(Duration::from_millis(1));
        };
        let raw = self.screen.rest();
        Output {
            command: self.command.clone(),
            status,
            screen: screen(&raw),
            stdout: without_controls(&raw),
            stderr: raw,
            elapsed: self.started.elapsed(),
            peak: 0,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the terminal shows after all this was written to it.
fn screen(text: &str) -> String {
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    parser.process(text.as_bytes());
    parser.screen().contents()
}

/// Text without terminal control sequences; a carriage return starts a new line.
fn without_controls(text: &str) -> String {
    let sequence = regex::Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]|\u{1b}[()][A-Z0-9]").unwrap();
    sequence
        .replace_all(text, "")
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}
