//! Commands for both sides at once, pipelined, and the answers to each key's own.

use bytes::Bytes;

use super::{End, Names};
use crate::config::Side;
use crate::error::{Class, Lost, classify};
use crate::wire::{Connection, Outgoing, Reply};

/// Commands that one side is being asked.
pub(super) struct Questions<'a> {
    out: &'a mut Outgoing,
    count: usize,
    asking: bool,
}

impl<'a> Questions<'a> {
    /// Commands that go out on this connection.
    pub(super) fn to(connection: &'a mut Connection) -> Self {
        Self {
            out: connection.outgoing(),
            count: 0,
            asking: false,
        }
    }
}

impl Questions<'_> {
    /// One command.
    pub(super) fn ask(&mut self, words: &[&[u8]]) {
        self.prefix();
        self.out.words(words);
        self.count += 1;
    }

    /// WAIT for so many replicas, so many milliseconds.
    pub(super) fn wait(&mut self, wait: (u32, u64)) {
        self.out.wait(wait);
        self.count += 1;
    }

    /// One command that ends with `tail`, whose words may be long.
    pub(super) fn ask_of<'w>(
        &mut self,
        head: &[&[u8]],
        tail: impl ExactSizeIterator<Item = &'w Bytes>,
    ) {
        self.prefix();
        self.out.command(head.len() + tail.len());
        for word in head {
            self.out.word(word);
        }
        for word in tail {
            self.out.value(word);
        }
        self.count += 1;
    }

    fn prefix(&mut self) {
        if self.asking {
            self.out.words(&[b"ASKING"]);
        }
    }

    /// Commands so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// Both sides' connections.
pub(super) struct Sides<'a> {
    pub(super) source: &'a mut Connection,
    pub(super) target: &'a mut Connection,
    /// Keys are on their way to the source's node, and to the target's: it must be asked for each.
    pub(super) asking: (bool, bool),
}

impl Sides<'_> {
    /// Where the next commands for the source and for the target go.
    pub(super) fn questions(&mut self) -> (Questions<'_>, Questions<'_>) {
        let questions = |connection, asking| Questions {
            out: Connection::outgoing(connection),
            count: 0,
            asking,
        };
        let (source, target) = self.asking;
        (
            questions(self.source, source),
            questions(self.target, target),
        )
    }

    /// Sends what was asked, and waits for so many answers of the source and of the target.
    pub(super) async fn answers(
        &mut self,
        source: usize,
        target: usize,
    ) -> Result<(Answers, Answers), (Side, Lost)> {
        // Not try_join: the side that goes on is left with nothing in flight.
        let (of_source, of_target) = self.asking;
        let (source, target) = tokio::join!(
            collect(self.source, source, of_source),
            collect(self.target, target, of_target)
        );
        Ok((
            Answers::new(Side::Source, source.map_err(|lost| (Side::Source, lost))?),
            Answers::new(Side::Target, target.map_err(|lost| (Side::Target, lost))?),
        ))
    }
}

/// Waits for so many answers, be they errors.
pub(super) async fn collect_all(
    connection: &mut Connection,
    count: usize,
) -> Result<Vec<Reply>, Lost> {
    let mut replies = Vec::with_capacity(count);
    for _ in 0..count {
        replies.push(connection.reply().await?);
    }
    Ok(replies)
}

async fn collect(
    connection: &mut Connection,
    count: usize,
    asking: bool,
) -> Result<Vec<Reply>, Lost> {
    let mut replies = Vec::with_capacity(count);
    let mut transient = None;
    for _ in 0..count {
        if asking {
            connection.reply().await?;
        }
        let reply = connection.reply().await?;
        if let Reply::Error(error) = &reply
            && transient.is_none()
            && classify(error.as_bytes()) == Class::Transient
        {
            transient = Some(error.clone());
        }
        replies.push(reply);
    }
    match transient {
        Some(error) => Err(Lost::Io(std::io::Error::other(error))),
        None => Ok(replies),
    }
}

/// One side's answers, in the order of its questions.
pub(super) struct Answers {
    side: Side,
    replies: std::vec::IntoIter<Reply>,
}

impl Answers {
    pub(super) fn new(side: Side, replies: Vec<Reply>) -> Self {
        Self {
            side,
            replies: replies.into_iter(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.replies.len()
    }

    /// The first `count` of them.
    pub(super) fn split(&mut self, count: usize) -> Self {
        Self::new(self.side, self.replies.by_ref().take(count).collect())
    }

    /// The next answer, be it an error.
    pub(super) fn raw(&mut self) -> Reply {
        self.replies.next().unwrap_or(Reply::Nil)
    }

    /// The next answer; an error of the server is the end of this key's comparison.
    pub(super) fn take(&mut self) -> Result<Reply, End> {
        match self.raw() {
            Reply::Error(error) => Err(End::of_error(self.side, error)),
            reply => Ok(reply),
        }
    }

    /// The next answer as what `parse` makes of it; `None` of it is an answer that makes no sense.
    pub(super) fn parse<T>(&mut self, parse: impl FnOnce(Reply) -> Option<T>) -> Result<T, End> {
        let reply = self.take()?;
        parse(reply).ok_or_else(|| {
            End::Failed(
                self.side,
                "the server's answer has an unknown form".to_owned(),
            )
        })
    }

    /// The next answer, an array; a nil is an empty one.
    pub(super) fn array(&mut self) -> Result<Vec<Reply>, End> {
        self.parse(array)
    }

    /// The next answer, a number that is not negative.
    pub(super) fn size(&mut self) -> Result<usize, End> {
        self.parse(|reply| size(&reply))
    }

    /// The next answer, a number.
    pub(super) fn integer(&mut self) -> Result<i64, End> {
        self.parse(|reply| integer(&reply))
    }

    /// The next answer as what `parse` makes of it; a nil is nothing.
    pub(super) fn optional<T>(
        &mut self,
        parse: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<Option<T>, End> {
        self.parse(|reply| match reply {
            Reply::Nil => Some(Found(None)),
            reply => parse(reply).map(|found| Found(Some(found))),
        })
        .map(|Found(found)| found)
    }

    /// The next answer as what `parse` makes of it; a nil says that the key is not there any more.
    pub(super) fn present<T>(&mut self, parse: impl FnOnce(Reply) -> Option<T>) -> Result<T, End> {
        let side = self.side;
        self.optional(parse)?.ok_or_else(|| End::vanished(side))
    }

    /// The next answer, a value; a nil says that the key is not there any more.
    pub(super) fn value(&mut self) -> Result<Bytes, End> {
        self.present(bytes)
    }
}

/// What an answer holds that may be a nil.
struct Found<T>(Option<T>);

/// Whether a server has a command, by its answer to the command's bare name. Proxies have words of their own for one that
/// they do not have; one that is forbidden is there, and what it would have told is not passed over in silence.
pub(super) fn has_command(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(error)
        if error.contains("wrong number of arguments") || error.starts_with("NOPERM"))
}

/// A value or status.
pub(super) fn bytes(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::Bytes(bytes) => Some(bytes),
        Reply::Nil | Reply::Integer(_) | Reply::Error(_) | Reply::Array(_) => None,
    }
}

/// An array; a nil is an empty one.
pub(super) fn array(reply: Reply) -> Option<Vec<Reply>> {
    match reply {
        Reply::Array(elements) => Some(elements),
        Reply::Nil => Some(Vec::new()),
        Reply::Integer(_) | Reply::Bytes(_) | Reply::Error(_) => None,
    }
}

/// An array of values.
pub(super) fn words(reply: Reply) -> Option<Vec<Bytes>> {
    array(reply)?.into_iter().map(bytes).collect()
}

/// A number that is not negative.
pub(super) fn size(reply: &Reply) -> Option<usize> {
    usize::try_from(integer(reply)?).ok()
}

/// A number.
pub(super) fn integer(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Integer(number) => Some(*number),
        Reply::Nil | Reply::Bytes(_) | Reply::Error(_) | Reply::Array(_) => None,
    }
}

/// A SCAN family's answer: where to go on (`None` at the end), and the page.
pub(super) fn page(reply: Reply) -> Option<(Option<Bytes>, Vec<Bytes>)> {
    let mut parts = array(reply)?.into_iter();
    let cursor = bytes(parts.next()?)?;
    let page = words(parts.next()?)?;
    let next = (cursor.as_ref() != b"0".as_slice()).then_some(cursor);
    Some((next, page))
}

/// Words that come in pairs: fields and values.
pub(super) fn pairs(words: Vec<Bytes>) -> Option<Vec<(Bytes, Bytes)>> {
    let mut pairs = Vec::with_capacity(words.len() / 2);
    let mut words = words.into_iter();
    while let Some(first) = words.next() {
        pairs.push((first, words.next()?));
    }
    Some(pairs)
}

/// Asks for a length on both sides, and how large the source's value is: a payload's size may be that of compressed text.
pub(super) fn ask_length(
    command: &[u8],
    names: &Names,
    source: &mut Questions<'_>,
    target: &mut Questions<'_>,
) {
    source.ask(&[command, &names.source]);
    target.ask(&[command, &names.target]);
    source.ask(&[b"MEMORY", b"USAGE", &names.source]);
}

/// The answers to [`ask_length`]: both lengths, and the size in bytes (at least `bytes`), 0 where nobody knows it.
pub(super) fn take_length(
    bytes: usize,
    source: &mut Answers,
    target: &mut Answers,
) -> Result<(usize, usize, usize), End> {
    let ours = source.size();
    // MEMORY USAGE is a courtesy: a user without the right to it compares all the same.
    let known = size(&source.raw()).unwrap_or_default().max(bytes);
    let (ours, theirs) = (ours?, target.size()?);
    if ours == 0 {
        return Err(End::Gone);
    }
    if theirs == 0 {
        return Err(End::Missing);
    }
    Ok((ours, theirs, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn pages_tell_where_to_go_on() {
        let answer = |cursor| Reply::Array(vec![word(cursor), Reply::Array(vec![word("a")])]);
        assert_eq!(
            page(answer("17")),
            Some((Some("17".into()), vec!["a".into()]))
        );
        assert_eq!(page(answer("0")), Some((None, vec!["a".into()])));
        assert_eq!(page(Reply::Integer(1)), None);
    }

    #[test]
    fn a_field_without_a_value_is_no_pair() {
        assert_eq!(
            pairs(vec!["a".into(), "1".into()]),
            Some(vec![("a".into(), "1".into())])
        );
        assert_eq!(pairs(vec!["a".into()]), None);
    }

    #[test]
    fn a_bare_name_tells_whether_a_command_is_there() {
        let has = |error: &str| has_command(&Reply::Error(error.to_owned()));
        assert!(has(
            "ERR wrong number of arguments for 'smismember' command"
        ));
        assert!(has(
            "NOPERM User app has no permissions to run the 'hpexpiretime' command"
        ));
        assert!(!has(
            "ERR unknown command `SMISMEMBER`, with args beginning with: "
        ));
        assert!(!has("ERR command is not allowed"));
    }

    #[test]
    fn a_nil_value_is_a_key_that_went() {
        for (side, expected) in [(Side::Source, End::Gone), (Side::Target, End::Missing)] {
            let mut answers = Answers::new(side, vec![Reply::Nil]);
            assert_eq!(answers.value(), Err(expected));
        }
    }
}
