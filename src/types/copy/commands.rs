//! The commands that write one key, and the transaction that makes them one.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::super::ask::Questions;
use crate::entry::Millis;
use crate::types::stream::Id;
use crate::wire::Reply;

/// Most elements that one command adds: more of them hold the target for too long.
const ELEMENTS: usize = 1000;
/// Bytes that one command should not go far beyond.
const BYTES: usize = 256 * 1024;
/// What a word costs beside its bytes.
const OVERHEAD: usize = 40;

/// Commands that write one key, in their order.
#[derive(Debug)]
pub(in crate::types) struct Commands {
    destination: Bytes,
    list: Vec<Vec<Bytes>>,
    bytes: usize,
    /// Bytes of values so far, those that were taken out too.
    pub(in crate::types) total: usize,
    /// Fields whose expiry the target cannot hold.
    pub(in crate::types) lost_field_expiries: u64,
    /// What could not be carried.
    pub(in crate::types) notes: Vec<&'static str>,
    /// Of a stream: what was written, to be known again.
    pub(in crate::types) digest: Option<u64>,
    /// It is a stream with groups.
    pub(in crate::types) groups: bool,
    /// The first message's id, where messages keep theirs.
    pub(in crate::types) first: Option<Id>,
}

impl Commands {
    /// For a key that is written under the name `destination`.
    pub(in crate::types) fn new(destination: Bytes) -> Self {
        Self {
            destination,
            list: Vec::new(),
            bytes: 0,
            total: 0,
            lost_field_expiries: 0,
            notes: Vec::new(),
            digest: None,
            groups: false,
            first: None,
        }
    }

    /// The name that is written.
    pub(in crate::types) fn destination(&self) -> &Bytes {
        &self.destination
    }

    /// `head`, the name, `tail`.
    pub(in crate::types) fn push(
        &mut self,
        head: &[&'static [u8]],
        tail: impl IntoIterator<Item = Bytes>,
    ) {
        let head = head.iter().map(|word| Bytes::from_static(word));
        self.push_around(head, tail);
    }

    /// `before`, the name, `after`.
    pub(in crate::types) fn push_around(
        &mut self,
        before: impl IntoIterator<Item = Bytes>,
        after: impl IntoIterator<Item = Bytes>,
    ) {
        let mut words: Vec<Bytes> = before.into_iter().collect();
        words.push(self.destination.clone());
        words.extend(after);
        let bytes: usize = words.iter().map(Bytes::len).sum();
        self.bytes += bytes + words.len() * OVERHEAD;
        self.total += bytes;
        self.list.push(words);
    }

    /// `command`, the name, and elements of `each` words, in as many commands as they need.
    pub(in crate::types) fn add(
        &mut self,
        command: &'static [u8],
        words: impl IntoIterator<Item = Bytes>,
        each: usize,
    ) {
        let mut piece: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for word in words {
            if piece.len().is_multiple_of(each)
                && !piece.is_empty()
                && (piece.len() >= ELEMENTS * each || bytes >= BYTES)
            {
                self.push(&[command], std::mem::take(&mut piece));
                bytes = 0;
            }
            bytes += word.len();
            piece.push(word);
        }
        if !piece.is_empty() {
            self.push(&[command], piece);
        }
    }

    /// Bytes of memory that the commands hold.
    pub(in crate::types) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many commands there are.
    pub(in crate::types) fn len(&self) -> usize {
        self.list.len()
    }

    /// The commands, a line each.
    #[cfg(test)]
    pub(in crate::types) fn lines(&self) -> Vec<String> {
        let line = |words: &Vec<Bytes>| {
            let words: Vec<String> = words
                .iter()
                .map(|word| word.escape_ascii().to_string())
                .collect();
            words.join(" ")
        };
        self.list.iter().map(line).collect()
    }

    /// Encodes the commands, again where that must be.
    pub(super) fn encode(&self, out: &mut Questions<'_>) {
        for words in &self.list {
            out.ask_of(&[], words.iter());
        }
    }

    /// What the commands write, together with the key's expiry.
    pub(super) fn digest_with(&self, expiry: Option<Millis>) -> u64 {
        let mut hasher = Xxh3::new();
        for word in self.list.iter().flatten() {
            hasher.update(&word.len().to_le_bytes());
            hasher.update(word);
        }
        hasher.update(&expiry.unwrap_or_default().to_le_bytes());
        hasher.digest()
    }

    /// The commands were answered.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.bytes = 0;
    }
}

/// A number as a word.
pub(in crate::types) fn number<N: std::fmt::Display>(number: N) -> Bytes {
    Bytes::from(number.to_string())
}

/// How a key's old value is left, and when the new one ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The old value stays, and is added to.
    pub(super) merge: bool,
    /// An instant on the target's clock.
    pub(super) expiry: Option<Millis>,
}

/// Encodes a key's commands as one transaction. The commands inside it are counted.
pub(super) fn transaction(commands: &Commands, manner: Manner, out: &mut Questions<'_>) -> usize {
    let name = commands.destination();
    let mut inside = commands.len();
    out.ask(&[b"MULTI"]);
    if !manner.merge {
        out.ask(&[b"UNLINK", name]);
        inside += 1;
    }
    commands.encode(out);
    if let Some(expiry) = manner.expiry {
        out.ask(&[b"PEXPIREAT", name, expiry.to_string().as_bytes()]);
        inside += 1;
    }
    out.ask(&[b"EXEC"]);
    inside
}

/// What a transaction answered: all its commands' answers, or why it was not done as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Executed {
    /// What the commands answered, those that failed too.
    Answers(Vec<Reply>),
    /// A key that is watched has changed: nothing was done.
    Void,
    /// An error: nothing was done.
    Refused(String),
}

/// Reads MULTI's answer, those of queueing `inside` commands, and EXEC's.
pub(super) fn executed(inside: usize, mut next: impl FnMut() -> Reply) -> Executed {
    let mut first: Option<String> = None;
    for _ in 0..=inside {
        if let Reply::Error(error) = next() {
            first.get_or_insert(error);
        }
    }
    match (next(), first) {
        (Reply::Array(answers), None) => Executed::Answers(answers),
        (Reply::Nil, None) => Executed::Void,
        (_, Some(error)) | (Reply::Error(error), None) => Executed::Refused(error),
        (other, None) => Executed::Refused(format!("EXEC answered {other:?}")),
    }
}

/// The first error among answers, and among those that one command gives for each of its parts, but for harmless ones.
pub(super) fn first_error(
    answers: &[Reply],
    is_harmless: impl Fn(&str) -> bool + Copy,
) -> Option<&String> {
    answers.iter().find_map(|answer| match answer {
        Reply::Error(error) => Some(error).filter(|error| !is_harmless(error)),
        Reply::Array(answers) => first_error(answers, is_harmless),
        Reply::Nil | Reply::Integer(_) | Reply::Bytes(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_elements_become_several_commands() {
        let mut commands = Commands::new("k".into());
        let words = (0..2 * (ELEMENTS + 1)).map(number);
        commands.add(b"HSET", words, 2);
        let lens: Vec<usize> = commands.list.iter().map(Vec::len).collect();
        assert_eq!(lens, [2 + 2 * ELEMENTS, 4]);
        commands.clear();
        commands.add(b"RPUSH", vec![Bytes::from(vec![0; BYTES]); 3], 1);
        assert_eq!(commands.len(), 3);
        commands.clear();
        commands.add(b"SADD", Vec::new(), 1);
        assert_eq!(commands.len(), 0);
    }

    #[test]
    fn a_transaction_is_done_or_not_as_a_whole() {
        let ok = || Reply::Bytes("OK".into());
        let run = |replies: Vec<Reply>, inside| {
            let mut replies = replies.into_iter();
            executed(inside, || replies.next().unwrap())
        };
        assert_eq!(
            run(vec![ok(), ok(), Reply::Array(vec![ok()])], 1),
            Executed::Answers(vec![ok()])
        );
        assert_eq!(run(vec![ok(), ok(), Reply::Nil], 1), Executed::Void);
        let oom = || Reply::Error("OOM command not allowed".into());
        let abort = Reply::Error("EXECABORT Transaction discarded".into());
        assert_eq!(
            run(vec![ok(), oom(), abort], 1),
            Executed::Refused("OOM command not allowed".into())
        );
    }

    #[test]
    fn an_error_is_found_behind_a_harmless_one_and_inside_of_an_answer() {
        let error = |text: &str| Reply::Error(text.to_owned());
        let nested = Reply::Array(vec![Reply::Integer(1), error("ERR TSDB")]);
        let answers = [error("BUSYGROUP"), Reply::Nil, nested];
        let found = first_error(&answers, |error| error == "BUSYGROUP");
        assert_eq!(found.map(String::as_str), Some("ERR TSDB"));
        assert_eq!(first_error(&answers, |_| true), None);
    }
}
