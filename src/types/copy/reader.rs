//! What reads one key by the commands of its type, step by step, and says what writes it.

use bytes::Bytes;

use super::super::ask::{Answers, Questions};
use super::super::{End, hash, list, rank, set, stream, string, zset};
use super::commands::Commands;
use crate::entry::Millis;

/// What can be had of the servers, and what is wanted.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one ability or wish")]
pub(in crate::types) struct Means {
    /// Bytes that an answer should have at most.
    pub(in crate::types) chunk: usize,
    /// What is added to the source's instants.
    pub(in crate::types) shift: Millis,
    /// HPEXPIRETIME at the source, HPEXPIREAT at the target.
    pub(in crate::types) field_expiry: (bool, bool),
    /// OBJECT ENCODING is allowed at the source.
    pub(in crate::types) encoding: bool,
    /// Expiries are carried.
    pub(in crate::types) keep_expiry: bool,
    /// TIME is allowed at the source.
    pub(in crate::types) source_time: bool,
    /// About now, on the source's clock.
    pub(in crate::types) now: Millis,
    /// The target's XSETID is allowed.
    pub(in crate::types) xsetid: bool,
    /// The target is Redis 6.2 or newer: XGROUP CREATECONSUMER.
    pub(in crate::types) since_62: bool,
    /// The target is Redis 7.0 or newer: ENTRIESADDED, MAXDELETEDID, ENTRIESREAD.
    pub(in crate::types) since_70: bool,
    /// Messages keep their ids.
    pub(in crate::types) stream_ids: bool,
    /// The target's value is added to.
    pub(in crate::types) merge: bool,
    /// What changes while it is read is read again because of its event.
    pub(in crate::types) follows: bool,
}

/// How far a key is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::types) enum Step {
    /// There is another step.
    More,
    /// That was all.
    Done,
}

/// How large a key is thought to be, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::types) enum Size {
    /// One answer holds it all.
    Whole,
    /// So many bytes of memory: in answers of a chunk each.
    Paged(usize),
}

/// One key's reading: questions to the source, and the commands that write what it answers.
pub(in crate::types) trait Reader: Send + Sync {
    /// Encodes the next step's questions.
    fn ask(&mut self, means: &Means, source: &mut Questions<'_>);

    /// Takes the answers to what was asked last.
    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End>;

    /// Whether it was a stream without messages.
    fn is_empty_stream(&self) -> bool {
        false
    }

    /// The command that tells both sides how many elements there are, where that is a proof.
    fn length(&self) -> Option<&'static [u8]>;
}

/// The reader of a key; `None` where the commands of its type are not known.
pub(in crate::types) fn reader(kind: &[u8], key: Bytes, size: Size) -> Option<Box<dyn Reader>> {
    Some(match kind {
        b"string" => Box::new(string::StringReader::new(key)),
        b"hash" => Box::new(hash::HashReader::new(key, size)),
        b"list" => Box::new(rank::RankReader::<list::List>::new(key, size)),
        b"set" => Box::new(set::SetReader::new(key, size)),
        b"zset" => Box::new(rank::RankReader::<zset::SortedSet>::new(key, size)),
        b"stream" => Box::new(stream::StreamReader::new(key, size)),
        _ => return None,
    })
}
