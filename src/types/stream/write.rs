//! The commands that write a stream: its messages, what XSETID sets, its groups, consumers and pending messages.

use bytes::Bytes;

use super::copy::{Delivered, StreamReader, Whole};
use super::id::Id;
use super::{Entry, Info};
use crate::types::End;
use crate::types::copy::{Commands, Means, number};
use crate::wire::Reply;

/// Most ids in one command.
const IDS: usize = 1000;
/// Stands for a message that was deleted while it was pending, until it is deleted here too.
const DELETED: &[u8] = b"deleted";

impl StreamReader {
    /// Messages in their order, with stand-ins for those that were deleted while they were pending.
    pub(super) fn write(&mut self, messages: Vec<Entry>, means: &Means, out: &mut Commands) {
        for Entry { id, fields } in messages {
            if means.stream_ids {
                while let Some(expected) = self.expected.front().copied()
                    && expected <= id
                {
                    self.expected.pop_front();
                    if expected < id {
                        self.stand_in(expected, out);
                    }
                }
            } else {
                self.make_groups(Some(id), out);
            }
            let name = if means.stream_ids {
                number(id)
            } else {
                Bytes::from_static(b"*")
            };
            self.first.get_or_insert(id);
            if means.stream_ids {
                out.first.get_or_insert(id);
            }
            out.push(&[b"XADD"], std::iter::once(name).chain(fields));
            self.written += 1;
        }
    }

    fn stand_in(&mut self, id: Id, out: &mut Commands) {
        let words = [number(id), Bytes::from_static(DELETED), Bytes::new()];
        out.push(&[b"XADD"], words);
        self.deleted.push(id);
        self.written += 1;
    }

    /// Where the target gives the ids: makes the groups whose last message comes before `next`.
    fn make_groups(&mut self, next: Option<Id>, out: &mut Commands) {
        while let Some(whole) = self.groups.get(self.made)
            && next.is_none_or(|next| whole.group.last_delivered < next)
        {
            let words = [
                whole.group.name.clone(),
                Bytes::from_static(b"$"),
                Bytes::from_static(b"MKSTREAM"),
            ];
            out.push(&[b"XGROUP", b"CREATE"], words);
            self.made += 1;
        }
    }

    /// All that comes after the last message.
    pub(super) fn finish(&mut self, means: &Means, out: &mut Commands) -> Result<(), End> {
        out.groups = !self.groups.is_empty();
        let Some(info) = self.info.clone() else {
            return Err(End::Differs);
        };
        if !means.stream_ids {
            self.make_groups(None, out);
            if self.groups.iter().any(|whole| whole.group.pending > 0) {
                out.notes
                    .push("messages of streams that were pending are not pending at the target: without their ids nobody can tell which they are");
            }
            self.exist(out);
            self.write_consumers(means, out);
            return Ok(());
        }
        for id in std::mem::take(&mut self.expected) {
            self.stand_in(id, out);
        }
        let may_set = means.xsetid && !means.merge && info.last != Id::default();
        let stands = !self.deleted.is_empty();
        if self.groups.is_empty() {
            self.exist(out);
        }
        let enough = info
            .added
            .is_some_and(|added| usize::try_from(added).is_ok_and(|added| added >= self.written));
        if may_set && self.written > 0 && enough {
            set_id(&info, means, out);
        }
        for whole in &self.groups {
            create_group(whole, means, out);
        }
        self.write_consumers(means, out);
        for whole in &self.groups {
            claim(whole, means, out);
        }
        self.remove_stand_ins(means, out);
        if may_set && (stands || !enough || self.written == 0) {
            set_id(&info, means, out);
        }
        if !means.xsetid && !means.merge {
            out.notes.push("the last ids of streams are those of their last messages: XSETID is not allowed at the target (ACL rule +xsetid)");
        }
        Ok(())
    }

    /// Those before the first message are trimmed, as they may have been at the source: XDEL would be remembered.
    fn remove_stand_ins(&self, means: &Means, out: &mut Commands) {
        let first = self.first.filter(|_| means.since_62);
        let trimmed = match first {
            Some(first) => self.deleted.partition_point(|id| *id < first),
            None if means.since_62 => self.deleted.len(),
            None => 0,
        };
        if trimmed > 0 {
            let words = match first {
                Some(first) => [Bytes::from_static(b"MINID"), number(first)],
                None => [Bytes::from_static(b"MAXLEN"), number(0)],
            };
            out.push(&[b"XTRIM"], words);
        }
        for ids in self.deleted.get(trimmed..).unwrap_or_default().chunks(IDS) {
            out.push(&[b"XDEL"], ids.iter().map(number));
        }
    }

    /// A stream that has no message and no group is made all the same.
    fn exist(&self, out: &mut Commands) {
        if self.written == 0 && self.made == 0 && self.groups.is_empty() {
            let name = Bytes::from_static(b"riot");
            let words = [
                name.clone(),
                Bytes::from_static(b"0"),
                Bytes::from_static(b"MKSTREAM"),
            ];
            out.push(&[b"XGROUP", b"CREATE"], words);
            out.push(&[b"XGROUP", b"DESTROY"], [name]);
        }
    }

    /// Consumers for whom nothing is pending: the others come with what is.
    fn write_consumers(&self, means: &Means, out: &mut Commands) {
        for whole in &self.groups {
            let idle = whole
                .consumers
                .iter()
                .filter(|(_, pending)| *pending == 0 || !means.stream_ids);
            for (consumer, _) in idle {
                create_consumer(&whole.group.name, consumer, means, out);
            }
        }
    }
}

fn set_id(info: &Info, means: &Means, out: &mut Commands) {
    let mut words = vec![number(info.last)];
    if means.since_70 {
        let added = info
            .added
            .unwrap_or_else(|| i64::try_from(info.len).unwrap_or_default());
        words.extend([Bytes::from_static(b"ENTRIESADDED"), number(added)]);
        let deleted = info.deleted.unwrap_or_default();
        words.extend([Bytes::from_static(b"MAXDELETEDID"), number(deleted)]);
    }
    out.push(&[b"XSETID"], words);
}

fn create_group(whole: &Whole, means: &Means, out: &mut Commands) {
    let group = &whole.group;
    let mut words = vec![
        group.name.clone(),
        number(group.last_delivered),
        Bytes::from_static(b"MKSTREAM"),
    ];
    if let Some(Reply::Integer(read)) = group.read
        && means.since_70
        && !means.merge
    {
        words.extend([Bytes::from_static(b"ENTRIESREAD"), number(read)]);
    }
    out.push(&[b"XGROUP", b"CREATE"], words);
}

fn create_consumer(group: &Bytes, consumer: &Bytes, means: &Means, out: &mut Commands) {
    if means.since_62 {
        out.push(
            &[b"XGROUP", b"CREATECONSUMER"],
            [group.clone(), consumer.clone()],
        );
        return;
    }
    // Reading what is pending for a consumer, which is nothing, makes it known.
    let words = [
        Bytes::from_static(b"XREADGROUP"),
        Bytes::from_static(b"GROUP"),
        group.clone(),
        consumer.clone(),
        Bytes::from_static(b"COUNT"),
        number(1),
        Bytes::from_static(b"STREAMS"),
    ];
    out.push_around(words, [number(0)]);
}

/// What is pending, in runs of one consumer, time and count.
fn claim(whole: &Whole, means: &Means, out: &mut Commands) {
    let same = |one: &Delivered, other: &Delivered| {
        one.consumer == other.consumer && one.at == other.at && one.count == other.count
    };
    for run in whole.pending.chunk_by(same) {
        for ids in run.chunks(IDS) {
            let Some(first) = ids.first() else { continue };
            let mut words = vec![whole.group.name.clone(), first.consumer.clone(), number(0)];
            words.extend(ids.iter().map(|delivered| number(delivered.id)));
            words.extend([
                Bytes::from_static(b"TIME"),
                number(first.at + means.shift),
                Bytes::from_static(b"RETRYCOUNT"),
                number(first.count),
                Bytes::from_static(b"FORCE"),
                Bytes::from_static(b"JUSTID"),
            ]);
            out.push(&[b"XCLAIM"], words);
        }
    }
}
