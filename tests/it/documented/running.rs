//! Runs a page's commands in their order.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::pages::{Block, Page, Piece};
use super::shell;
use super::world::World;
use crate::{servers, wait};

/// The longest that one block may take.
const DEADLINE: Duration = Duration::from_secs(100);

/// Programs whose blocks are run; blocks without any of them are not this test's.
const PROGRAMS: &[&str] = &["riot", "redis-cli", "redis-server", "redis-benchmark"];

/// Runs every command of a page that can be run here.
pub(super) fn page(name: &str) {
    let page = Page::read(name);
    let world = World::of(&page.text);
    let mut reader = Reader {
        page: &page,
        world: &world,
        comments: Vec::new(),
        staying: None,
        said: None,
    };
    world.reset();
    for piece in &page.pieces {
        reader.read(piece);
    }
    assert!(reader.staying.is_none(), "{name}: a run that nobody ended");
}

/// Whether a block of commands is run, by the comments before it.
fn is_run(block: &Block, comments: &[&str]) -> bool {
    let commands = shell::commands(&block.text);
    !comments.contains(&"needs AWS")
        && commands
            .iter()
            .any(|words| PROGRAMS.contains(&words[0].as_str()))
}

/// One who types what the page says.
struct Reader<'a> {
    page: &'a Page,
    world: &'a World,
    comments: Vec<&'a str>,
    staying: Option<Job>,
    said: Option<String>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, piece: &'a Piece) {
        match piece {
            Piece::Heading { level, text } => {
                if *level <= 2 {
                    assert!(self.staying.is_none(), "{text}: a run that nobody ended");
                    self.world.reset();
                }
                self.turn_away();
            }
            Piece::Prose(line) => {
                assert!(
                    !line.starts_with("    riot ") && !line.starts_with("    $ riot "),
                    "{}: a command outside of a block: {line}",
                    self.page.name
                );
                self.turn_away();
            }
            Piece::Comment(text) if text == "Ctrl-C" => {
                let job = self.staying.take().expect("a run to be ended");
                self.said = Some(job.interrupt(0));
            }
            Piece::Comment(text) => self.comments.push(text),
            Piece::Block(block) if block.language == "sh" => self.run(block),
            Piece::Block(block) => {
                assert!(
                    !block
                        .text
                        .lines()
                        .any(|line| line.trim_start().starts_with("riot ")),
                    "{}:{}: a command that is not fenced as sh",
                    self.page.name,
                    block.line
                );
                if let Some(said) = self.said.take().filter(|_| block.language == "text") {
                    self.shows(block, &said);
                }
                self.turn_away();
            }
        }
    }

    fn turn_away(&mut self) {
        self.comments.clear();
        self.said = None;
    }

    fn run(&mut self, block: &'a Block) {
        let comments = std::mem::take(&mut self.comments);
        self.said = None;
        if !is_run(block, &comments) {
            return;
        }
        let status = comments.iter().find_map(|text| text.strip_prefix("exits "));
        let status: i32 = status.map_or(0, |status| status.parse().unwrap());
        let job = Job::start(
            self.world,
            block,
            format!("{}:{}", self.page.name, block.line),
        );
        if comments.contains(&"stays running") {
            job.wait_until_it_listens();
            self.staying = Some(job);
        } else if runs_until_stopped(block) {
            job.wait_until_it_listens();
            self.said = Some(job.interrupt(status));
        } else {
            self.said = Some(job.finish(status));
        }
    }

    /// Each line of the block is one of what was said, whatever its numbers; of bars and of their log lines, the form alone.
    fn shows(&self, block: &Block, said: &str) {
        let said = self.world.told(said);
        let lines: Vec<String> = said.lines().map(form).collect();
        for line in block.text.lines().filter(|line| !line.is_empty()) {
            let wanted = form(line);
            let found = lines.contains(&wanted)
                || ["scanning ", "listening: #", "comparing "]
                    .iter()
                    .any(|begin| wanted.starts_with(begin));
            assert!(
                found,
                "{}:{}: nothing has the form of `{line}` ({wanted}):\n{said}\n{lines:#?}",
                self.page.name, block.line
            );
        }
    }
}

/// What differs from one run to the next, and what stands for it: numbers, units, moments and widths.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", ""),
        (r"\b\d[\d,.]*k?", "#"),
        (r"# (ms|s|min|h|B|KB|MB|GB)\b", "#"),
        (r"\s+", " "),
        (r"\b(key|event|gap)s\b", "$1"),
        (r"\bretries\b", "retry"),
    ];
    let rules = rules.into_iter();
    rules
        .map(|(pattern, text)| (Regex::new(pattern).unwrap(), text))
        .collect()
});

/// A line as it is in every run.
fn form(line: &str) -> String {
    let form = RULES.iter().fold(line.to_owned(), |line, (pattern, text)| {
        pattern.replace_all(&line, *text).into_owned()
    });
    form.trim().to_owned()
}

/// Whether a block is one run that goes on until somebody ends it.
fn runs_until_stopped(block: &Block) -> bool {
    let is_live = |words: &Vec<String>| {
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let alone = has(&["live", "liveonly", "--live"]) && !has(&["--idle-timeout", "check"]);
        alone || has(&["--repeat"])
    };
    let runs = shell::riots(&block.text);
    let found = runs.iter().any(is_live);
    assert!(
        !found || runs.len() == 1,
        "a live run has its block alone: {}",
        block.text
    );
    found
}

/// A script under way. Killed when dropped.
struct Job {
    name: String,
    child: Option<Child>,
    said: PathBuf,
}

impl Job {
    fn start(world: &World, block: &Block, name: String) -> Self {
        let said = world.folder().join(format!("said-{}", block.line));
        let file = std::fs::File::create(&said).unwrap();
        let mut path = world
            .programs()
            .map(|folder| folder.display().to_string())
            .join(":");
        path.push(':');
        path.push_str(&std::env::var("PATH").unwrap());
        // What is exported in one block is there in the next.
        let script = format!(
            "if [ -e environment ]; then . ./environment; fi\ntrap 'export -p >environment' EXIT\nset -eo pipefail\n{}\n",
            world.script(&block.text)
        );
        let mut command = Command::new("bash");
        command
            .args(["-c", &script])
            .current_dir(world.folder())
            .env("PATH", path)
            .env("SSL_CERT_FILE", world.authority())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RIOT_") {
                command.env_remove(name);
            }
        }
        Self {
            name,
            child: Some(command.spawn().unwrap()),
            said,
        }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap()).into_owned()
    }

    fn is_over(&mut self) -> bool {
        let child = self.child.as_mut().unwrap();
        child.try_wait().unwrap().is_some()
    }

    /// Until its first scan is done and it tells of changes, or of its first report.
    fn wait_until_it_listens(&self) {
        let listens = Regex::new(r"listening: [\d,]+ events|(?m)^[\d,]+ keys: ").unwrap();
        wait::until(&format!("{} listens", self.name), || {
            listens.is_match(&self.said()).then_some(())
        });
    }

    /// Ctrl-C: what it said, once it has ended with this status.
    fn interrupt(self, status: i32) -> String {
        let group = self.child.as_ref().unwrap().id();
        servers::signal_group(group, "INT");
        self.finish(status)
    }

    /// What it said, once it has ended with this status.
    fn finish(mut self, status: i32) -> String {
        wait::within(DEADLINE, &format!("{} ends", self.name), || {
            self.is_over().then_some(())
        });
        let mut child = self.child.take().unwrap();
        let ended = child.wait().unwrap();
        let said = self.said();
        assert_eq!(ended.code(), Some(status), "{}\n{said}", self.name);
        said
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                eprintln!("---- {}\n{}", self.name, self.said());
            }
            servers::signal_group(child.id(), "KILL");
            let _ = child.wait();
        }
    }
}
