//! The page of errors has what the program says, and nothing else.

use std::path::Path;
use std::sync::LazyLock;

use super::pages::{self, Page, Piece};

/// Sources whose texts are no messages: the help, the report and the bars, which other pages show.
const NO_MESSAGES: &[&str] = &[
    // Its lines hold their own cures, and docs/check.md says what they are.
    "src/check",
    "src/cli",
    "src/config.rs",
    // docs/metrics.md has them, and tests hold it against a scrape.
    "src/metrics/collect.rs",
    "src/metrics/ready.rs",
    "src/output",
    "src/stats",
    "src/temporary.rs",
    "src/text.rs",
];

/// Texts that nobody is told: what a panic would say, what a server's answer is held against, parts of other texts.
const NOT_TOLD: &[&str] = &[
    "a live run that listens in no way",
    "a live run without its set",
    "a brake is kept for ever",
    "a key had two fates",
    "a key was left without a fate",
    "its CPU time stands still",
    "version=0.0.4",
    "version=1.0.0",
    "EXECABORT Transaction discarded because of:",
    "--key-slots or --shard",
    "round trips: min",
    "CLIENT LIST ID",
    "database {database}",
    "ERR no such key",
    "ERR unknown command",
    "is not a TSDB key",
    "on the way when the run ended",
    "the form is decided for ever",
    "the monitor never ends",
    "the printer never ends",
    "the queue's receiver is gone",
    "TSDB: key already exists",
    "TSDB: the key does not exist",
    "what is known is kept for ever",
    "without any password configured",
    "wrong number of arguments",
    "Wrong Redis type",
    "wrong Redis type",
    "BEGIN ENCRYPTED PRIVATE KEY",
    "END ENCRYPTED PRIVATE KEY",
    "DUMP payload version or checksum are wrong",
    "invalid bulk length",
    "string exceeds maximum allowed size",
    "permissions to run the",
    "Bad data format",
    "an answer to no question",
    "Password of the",
    "{} database {}",
    "{side} {address}: {reason}",
    ", cluster of {number}",
    ", replicas are read",
    "{colour}",
    "it knows y M d D E a H h m s S z X Z",
];

/// What stands in a format for a value.
static HOLE: LazyLock<regex::Regex> = LazyLock::new(|| regex::Regex::new(r"\{[^}]*\}").unwrap());

/// A text in the sources.
#[derive(Debug)]
struct Text {
    file: String,
    text: String,
}

impl Text {
    /// What of it is always the same, in order.
    fn parts(&self) -> Vec<String> {
        let text = self.text.replace("{{", "\u{1}").replace("}}", "\u{2}");
        HOLE.split(&text)
            .map(|part| part.replace('\u{1}', "{").replace('\u{2}', "}"))
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    }

    fn is_message(&self) -> bool {
        !NO_MESSAGES.iter().any(|file| self.file.starts_with(file))
            && !NOT_TOLD.iter().any(|text| self.text.contains(text))
            && self.parts().join(" ").split_whitespace().count() >= 3
    }

    /// Whether a message on the page can be this one.
    fn is_in(&self, message: &str) -> bool {
        let mut rest = message;
        self.parts().iter().all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

/// The texts of the sources, tests left out.
fn texts() -> Vec<Text> {
    let mut files = Vec::new();
    collect(&pages::root().join("src"), &mut files);
    files.sort();
    let attribute = regex::Regex::new(r"(?s)#\[expect\(.*?\)\]").unwrap();
    let mut texts = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let name = file
            .strip_prefix(pages::root())
            .unwrap()
            .display()
            .to_string();
        if name.contains("/tests") || name.contains("/testing") {
            continue;
        }
        let end = source
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(source.len());
        let source = attribute.replace_all(&source[..end], "");
        let found = literals(&source).into_iter();
        texts.extend(found.map(|text| Text {
            file: name.clone(),
            text,
        }));
    }
    texts
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The string literals of Rust code.
fn literals(source: &str) -> Vec<String> {
    // A comment, a character, a raw string, a string: whichever comes first is what it is.
    let form = regex::Regex::new(
        r##"(?s)//[^\n]*|'(?:\\[^']*|[^\\'])'|\br#*"(.*?)"#*|"((?:[^"\\]|\\.)*)""##,
    )
    .unwrap();
    let folded = regex::Regex::new(r"\\\n\s*").unwrap();
    form.captures_iter(source)
        .filter_map(|found| found.get(1).or_else(|| found.get(2)))
        .map(|text| folded.replace_all(text.as_str(), "").replace("\\\"", "\""))
        .collect()
}

/// The messages of the page: what stands between the backticks that begin an item of a list.
fn messages() -> Vec<String> {
    let page = Page::read("docs/errors.md");
    let items = page.pieces.iter().filter_map(|piece| match piece {
        Piece::Prose(line) => line.strip_prefix("- `"),
        _ => None,
    });
    items
        .map(|item| item.split('`').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_message_of_the_program_is_on_the_page_of_errors() {
    let messages = messages();
    let missing: Vec<String> = texts()
        .iter()
        .filter(|text| text.is_message())
        .filter(|text| !messages.iter().any(|message| text.is_in(message)))
        .map(|text| format!("{}: {}", text.file, text.text))
        .collect();
    assert!(
        missing.is_empty(),
        "{} messages: {missing:#?}",
        missing.len()
    );
}

#[test]
fn every_error_on_the_page_is_one_of_the_programs() {
    let texts = texts();
    let messages = messages();
    assert!(messages.len() > 200, "{}", messages.len());
    for message in messages {
        // A good part of it is a text of the program's.
        let is_one = texts.iter().any(|text| {
            let length: usize = text.parts().iter().map(String::len).sum();
            length * 10 >= message.len() * 3 && text.is_in(&message)
        });
        assert!(is_one, "the program never says: {message}");
    }
}
