//! One node's scan as several at once, each of a part of its hash table: over a long way more than one SCAN is under way.
//!
//! A server's cursor is a bucket's number whose bits are counted from the lowest one, as buckets that share their low bits stay
//! together when the table grows or shrinks. So a scan can enter the table anywhere: Redis and Valkey do so, and no
//! documentation promises it. Nothing rests on it: a part is over only where the cursors that the server itself gave
//! have led past the beginning of another part *and* to keys that this one has begun with. A cursor that is not what it
//! would be, or a refusal, ends all parts but the first, which then goes on to the end by itself, as any scan does.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use super::pages::needed;

/// The cursor of a scan that is over.
const END: &[u8] = b"0";
/// Most parts.
const MOST: u64 = 16;
/// Keys of a page of a part, about: a server is busy with them for a few milliseconds.
const PAGE: u64 = 3000;
/// Keys of its first page, at most.
const FIRST_PAGE: u64 = 1000;
/// Connections in a row that may be lost before there is one scan alone.
const LOST: u32 = 3;
/// Pages of a part, at least: at each seam some keys are named twice.
const PAGES: u64 = 5;

/// The parts, and what is asked of them.
#[derive(Debug)]
pub(super) struct Parts {
    all: Vec<Part>,
    /// Whose pages are under way, in the order of their answers.
    asked: VecDeque<usize>,
    /// The keys that a part's first page named, with the part.
    begun: HashMap<Bytes, usize>,
    /// Keys of the whole table, about.
    keys: u64,
    /// Connections that were lost in a row, with no page in between.
    lost: u32,
}

#[derive(Debug)]
struct Part {
    /// Where it begins, in the order in which buckets are scanned.
    start: u64,
    /// Where it is, in that order.
    place: u64,
    /// The same, as the server says it.
    cursor: Vec<u8>,
    begun: bool,
    over: bool,
}

impl Part {
    fn at(start: u64) -> Self {
        Self {
            start,
            place: start,
            cursor: start.reverse_bits().to_string().into_bytes(),
            begun: false,
            over: false,
        }
    }
}

/// Into how many parts a table of so many keys is divided, over a way of this length.
pub(super) fn fitting(round_trip: Option<Duration>, keys: u64) -> u64 {
    let wanted = (needed(round_trip) / PAGE).next_power_of_two().min(MOST);
    let roomy = (keys / (PAGE * PAGES)).max(1);
    // The power of two that is not over it.
    wanted.min(1 << roomy.ilog2())
}

impl Parts {
    /// One scan, from a cursor that the server gave.
    pub(super) fn one(cursor: Vec<u8>) -> Self {
        let part = Part {
            cursor,
            ..Part::at(0)
        };
        Self {
            all: vec![part],
            asked: VecDeque::new(),
            begun: HashMap::new(),
            keys: 0,
            lost: 0,
        }
    }

    /// So many parts, a power of two, of a table with about so many keys.
    pub(super) fn of(number: u64, keys: u64) -> Self {
        let starts = (0..number).map(|part| {
            part.checked_shl(u64::BITS - number.trailing_zeros())
                .unwrap_or(0)
        });
        Self {
            all: starts.map(Part::at).collect(),
            keys,
            ..Self::one(Vec::new())
        }
    }

    /// How many they are.
    pub(super) fn number(&self) -> u64 {
        self.all.len() as u64
    }

    /// From the start again, on another server.
    pub(super) fn restart(&mut self) {
        *self = Self::of(self.number(), self.keys);
    }

    /// The connection is gone. Where none lasts, it may be that something between does not let so much be asked for at once.
    pub(super) fn lost(&mut self) {
        self.lost += 1;
        if self.lost >= LOST && self.all.len() > 1 {
            self.distrust("no connection lasts");
        }
    }

    /// Nothing is under way any more. The parts that are to be asked for.
    pub(super) fn ask_again(&mut self) -> Vec<usize> {
        self.asked.clear();
        let open = self.all.iter().enumerate();
        open.filter(|(_, part)| !part.over)
            .map(|(number, _)| number)
            .collect()
    }

    /// A page of this part is asked for: its cursor, and COUNT where `count` keys are wanted.
    pub(super) fn ask(&mut self, number: usize, count: u64) -> (&[u8], u64) {
        self.asked.push_back(number);
        let end = self.all.get(number + 1).map_or(0, |next| next.start);
        let several = self.all.len() > 1;
        let Some(part) = self.all.get(number) else {
            return (END, count);
        };
        // The last page goes a little over the next part's beginning, not far, and not in two steps.
        let ahead = end.wrapping_sub(part.place);
        let keys = (u128::from(self.keys) * u128::from(ahead)) >> u64::BITS;
        let last = u64::try_from(keys + keys / 16).unwrap_or(u64::MAX) + 100;
        let is_last = several && (part.place < end || end == 0) && last < count + count / 2;
        let count = match part.begun || !several {
            true if is_last => last,
            true => count,
            // All parts begin at the same time, and the server goes through them in one piece.
            false => count.min(FIRST_PAGE),
        };
        (&part.cursor, count)
    }

    /// Every key was named.
    pub(super) fn are_over(&self) -> bool {
        self.all.iter().all(|part| part.over)
    }

    /// The oldest page that was asked for was answered: the cursor after it, and its keys, of which those go that were taken
    /// in already. The part that is to be asked for next, if one is.
    pub(super) fn took(&mut self, cursor: Vec<u8>, keys: &mut Vec<Bytes>) -> Option<usize> {
        let number = self.asked.pop_front()?;
        self.lost = 0;
        if self.all.get(number).is_none_or(|part| part.over) {
            keys.clear();
            return None;
        }
        let mut met = false;
        if self.all.len() > 1 {
            match self.enter(number, &cursor, keys) {
                Ok(()) => met = self.meets(number, keys),
                Err(why) if number == 0 => {
                    self.distrust(why);
                }
                Err(why) => {
                    keys.clear();
                    return self.distrust(why);
                }
            }
        }
        let part = self.all.get_mut(number)?;
        part.begun = true;
        part.over = met || cursor == END;
        part.cursor = cursor;
        (!part.over).then_some(number)
    }

    /// Whether the oldest page that was asked for is of a part that can be left out: the first cannot.
    pub(super) fn can_do_without(&self) -> bool {
        self.asked.front().is_some_and(|number| *number != 0)
    }

    /// That page was refused. The part that is to be asked for next, if one is.
    pub(super) fn refused(&mut self) -> Option<usize> {
        let number = self.asked.pop_front()?;
        if self.all.get(number).is_none_or(|part| part.over) {
            return None;
        }
        self.distrust("a cursor is refused")
    }

    /// A part goes on to this cursor, and keeps the keys that it begins with. Why that cannot be.
    fn enter(&mut self, number: usize, cursor: &[u8], keys: &[Bytes]) -> Result<(), &'static str> {
        let part = self.all.get_mut(number).ok_or("a part is gone")?;
        part.place = match place(cursor) {
            _ if cursor == END => u64::MAX,
            Some(place) if place > part.place => place,
            _ => return Err("a cursor went back"),
        };
        if !part.begun {
            for key in keys {
                let other = self.begun.insert(key.clone(), number);
                if other.is_some_and(|other| other != number) {
                    return Err("two parts begin with the same key");
                }
            }
        }
        Ok(())
    }

    /// Whether a part has come to where a later one began. What that has taken in already is left out.
    fn meets(&self, number: usize, keys: &mut Vec<Bytes>) -> bool {
        let Some(place) = self.all.get(number).map(|part| part.place) else {
            return false;
        };
        let begins_before = |other: &Part| other.start <= place;
        if !self.all.get(number + 1).is_some_and(begins_before) {
            return false;
        }
        let mut met = false;
        keys.retain(|key| match self.begun.get(key) {
            Some(&other) if other != number => {
                met |= other > number && self.all.get(other).is_some_and(begins_before);
                false
            }
            _ => true,
        });
        met
    }

    /// The first part alone goes on, to the end. It comes back where it is not under way.
    fn distrust(&mut self, why: &str) -> Option<usize> {
        debug!("SCAN: {why}: one scan goes on alone");
        self.all.truncate(1);
        self.begun.clear();
        let first = self.all.first_mut()?;
        let met = first.over && first.cursor != END;
        first.over &= !met;
        met.then_some(0)
    }
}

/// Where a cursor is in the order in which buckets are scanned.
fn place(cursor: &[u8]) -> Option<u64> {
    let cursor: u64 = std::str::from_utf8(cursor).ok()?.parse().ok()?;
    Some(cursor.reverse_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's hash table: SCAN as Redis does it.
    struct Table {
        buckets: Vec<Vec<Bytes>>,
    }

    impl Table {
        fn of(keys: u32, bits: u32) -> Self {
            let mut buckets = vec![Vec::new(); 1 << bits];
            let mut random = fastrand::Rng::with_seed(u64::from(keys));
            for key in 0..keys {
                buckets[random.usize(0..1 << bits)].push(Bytes::from(format!("key:{key}")));
            }
            Self { buckets }
        }

        fn scan(&self, cursor: &[u8], count: u64) -> (Vec<u8>, Vec<Bytes>) {
            let mask = self.buckets.len() as u64 - 1;
            let mut cursor: u64 = std::str::from_utf8(cursor).unwrap().parse().unwrap();
            let mut keys = Vec::new();
            loop {
                keys.extend(
                    self.buckets[usize::try_from(cursor & mask).unwrap()]
                        .iter()
                        .cloned(),
                );
                cursor |= !mask;
                cursor = cursor.reverse_bits().wrapping_add(1).reverse_bits();
                if cursor == 0 || keys.len() as u64 >= count {
                    return (cursor.to_string().into_bytes(), keys);
                }
            }
        }

        fn half_as_many_buckets(&mut self) {
            let upper = self.buckets.split_off(self.buckets.len() / 2);
            for (bucket, more) in self.buckets.iter_mut().zip(upper) {
                bucket.extend(more);
            }
        }
    }

    /// Scans to the end: all keys as they were taken in, and how many pages it took.
    fn scan(
        parts: &mut Parts,
        count: u64,
        mut page: impl FnMut(u32, &[u8], u64) -> (Vec<u8>, Vec<Bytes>),
    ) -> (Vec<Bytes>, u32) {
        let mut requests = VecDeque::new();
        let ask = |parts: &mut Parts, part| {
            let (cursor, count) = parts.ask(part, count);
            (cursor.to_owned(), count)
        };
        for part in parts.ask_again() {
            requests.push_back(ask(parts, part));
        }
        let (mut found, mut pages) = (Vec::new(), 0);
        while let Some((cursor, count)) = requests.pop_front() {
            pages += 1;
            let (next, mut keys) = page(pages, &cursor, count);
            if let Some(part) = parts.took(next, &mut keys) {
                requests.push_back(ask(parts, part));
            }
            found.extend(keys);
        }
        assert!(parts.are_over());
        (found, pages)
    }

    fn distinct(found: &[Bytes]) -> usize {
        found.iter().collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn every_key_is_named_once_by_parts_of_a_table() {
        for (keys, bits) in [(40_000, 16), (40_000, 14), (300, 3), (40_000, 2)] {
            for number in [1, 2, 16] {
                let table = Table::of(keys, bits);
                let mut parts = Parts::of(number, u64::from(keys));
                let (found, pages) = scan(&mut parts, 500, |_, cursor, count| {
                    table.scan(cursor, count)
                });
                assert_eq!(distinct(&found), keys as usize, "{number} of 2^{bits}");
                if bits > 10 {
                    assert_eq!(found.len(), keys as usize, "{number} of 2^{bits}");
                    assert!(pages < 80 + 80, "{pages}");
                }
            }
        }
    }

    #[test]
    fn no_key_is_missed_of_a_table_that_shrinks_meanwhile() {
        for when in [3, 16, 20, 60, 90, 110] {
            let mut table = Table::of(40_000, 16);
            let mut parts = Parts::of(16, 40_000);
            let (found, _) = scan(&mut parts, 500, |page, cursor, count| {
                if page == when {
                    table.half_as_many_buckets();
                }
                table.scan(cursor, count)
            });
            assert_eq!(distinct(&found), 40_000, "{when}");
        }
    }

    #[test]
    fn cursors_that_are_not_buckets_end_in_one_scan() {
        // Places in a list, the first of which any other cursor stands for; and such that grow at once beyond all buckets.
        for (factor, added) in [(1, 0), (2, 1), (1 << 40, 1)] {
            let all: Vec<Bytes> = (0..40_000_u64)
                .map(|key| Bytes::from(key.to_string()))
                .collect();
            let mut parts = Parts::of(16, 40_000);
            let (found, _) = scan(&mut parts, 500, |_, cursor, count| {
                let cursor: u64 = std::str::from_utf8(cursor).unwrap().parse().unwrap();
                let known = cursor >= added && (cursor - added).is_multiple_of(factor);
                let from = if known { (cursor - added) / factor } else { 0 };
                let from = usize::try_from(from).unwrap().min(all.len());
                let end = (from + usize::try_from(count).unwrap()).min(all.len());
                let next = if end == all.len() {
                    0
                } else {
                    end as u64 * factor + added
                };
                (next.to_string().into_bytes(), all[from..end].to_vec())
            });
            assert_eq!(distinct(&found), 40_000, "{factor}");
        }
    }

    #[test]
    fn parts_that_are_refused_leave_one_scan_that_ends() {
        for whole in [false, true] {
            let table = Table::of(40_000, 16);
            let mut parts = Parts::of(4, 40_000);
            let count = |wanted| if whole { 100_000 } else { wanted };
            let (mut found, mut asked) = (Vec::new(), VecDeque::from(parts.ask_again()));
            let mut requests = VecDeque::new();
            loop {
                while let Some(part) = asked.pop_front() {
                    let (cursor, wanted) = parts.ask(part, 500);
                    requests.push_back((part, cursor.to_owned(), wanted));
                }
                let Some((part, cursor, wanted)) = requests.pop_front() else {
                    break;
                };
                if part == 0 {
                    let (next, mut keys) = table.scan(&cursor, count(wanted));
                    asked.extend(parts.took(next, &mut keys));
                    found.extend(keys);
                } else {
                    assert!(parts.can_do_without());
                    asked.extend(parts.refused());
                }
            }
            assert!(parts.are_over(), "{whole}");
            assert_eq!(distinct(&found), 40_000, "{whole}");
        }
    }

    #[test]
    fn connections_that_do_not_last_leave_one_scan() {
        let mut parts = Parts::of(16, 40_000);
        for _ in 0..LOST {
            assert_eq!(parts.ask_again().len(), 16);
            parts.lost();
        }
        assert_eq!(parts.ask_again(), [0]);
    }

    #[test]
    fn a_near_table_or_a_small_one_is_scanned_as_one() {
        let far = Some(Duration::from_millis(100));
        assert_eq!(fitting(Some(Duration::from_micros(200)), 10_000_000), 1);
        assert_eq!(fitting(None, 10_000_000), 1);
        assert_eq!(fitting(far, 10_000), 1);
        assert_eq!(fitting(far, 100_000), 4);
        assert_eq!(fitting(far, 10_000_000), 16);
    }
}
