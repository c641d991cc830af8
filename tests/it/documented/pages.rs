//! Markdown, as far as the pages use it.

use std::path::{Path, PathBuf};

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    /// Its path in the repository.
    pub(super) name: String,
    /// All of it.
    pub(super) text: String,
    /// What it is made of, in order.
    pub(super) pieces: Vec<Piece>,
}

/// A part of a page.
#[derive(Debug)]
pub(super) enum Piece {
    /// `## text`
    Heading { level: usize, text: String },
    /// A fenced block.
    Block(Block),
    /// `<!-- text -->` on a line of its own.
    Comment(String),
    /// A line of anything else that is not empty.
    Prose(String),
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// The word after the fence.
    pub(super) language: String,
    /// Its lines.
    pub(super) text: String,
    /// The line of its fence, from 1.
    pub(super) line: usize,
}

/// The repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: README.md and those of docs.
pub(super) fn all() -> Vec<Page> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.push("README.md".into());
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    /// Reads a page by its path in the repository.
    pub(super) fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let pieces = pieces(&text, name);
        Self {
            name: name.into(),
            text,
            pieces,
        }
    }

    /// The folder that its links start from.
    pub(super) fn folder(&self) -> PathBuf {
        root().join(&self.name).parent().unwrap().to_owned()
    }

    /// Its blocks of shell commands, each with the comments right before it.
    pub(super) fn scripts(&self) -> Vec<(&Block, Vec<&str>)> {
        let mut comments = Vec::new();
        let mut found = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Comment(text) => comments.push(text.as_str()),
                Piece::Block(block) => {
                    let before = std::mem::take(&mut comments);
                    if block.language == "sh" {
                        found.push((block, before));
                    }
                }
                Piece::Heading { .. } | Piece::Prose(_) => comments.clear(),
            }
        }
        found
    }

    /// What stands between backticks outside of blocks.
    pub(super) fn code_spans(&self) -> Vec<String> {
        let span = regex::Regex::new("`([^`]+)`").unwrap();
        let mut prose = String::new();
        for piece in &self.pieces {
            if let Piece::Prose(text) | Piece::Heading { text, .. } = piece {
                prose.push_str(text.trim_start());
                prose.push(' ');
            }
        }
        span.captures_iter(&prose)
            .map(|found| found[1].replace("\\|", "|"))
            .collect()
    }

    /// The names by which links reach its headings.
    pub(super) fn anchors(&self) -> Vec<String> {
        let headings = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Heading { text, .. } => Some(anchor(text)),
            _ => None,
        });
        headings.collect()
    }
}

fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn pieces(text: &str, name: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            pieces.push(Piece::Block(Block {
                language: language.into(),
                text: body.join("\n"),
                line: index + 1,
            }));
        } else if let Some(text) = line.strip_prefix("<!--") {
            let text = text.strip_suffix("-->");
            let text =
                text.unwrap_or_else(|| panic!("{name}:{}: a comment is one line", index + 1));
            pieces.push(Piece::Comment(text.trim().into()));
        } else if line.starts_with('#') {
            let text = line.trim_start_matches('#');
            pieces.push(Piece::Heading {
                level: line.len() - text.len(),
                text: text.trim().into(),
            });
        } else if !line.is_empty() {
            pieces.push(Piece::Prose(line.into()));
        }
    }
    pieces
}
