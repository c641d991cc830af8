//! Classes of keyspace notifications: which events and which commands belong to each, and how `notify-keyspace-events`
//! names them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::info::Info;

/// A class of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `$`
    String,
    /// `h`
    Hash,
    /// `d`: JSON, as modules do it.
    Json,
    /// `l`
    List,
    /// `s`
    Set,
    /// `z`
    Zset,
    /// `t`
    Stream,
    /// `d`: time series, as modules do it.
    TimeSeries,
    /// `g`: DEL, EXPIRE, RENAME and the like.
    Generic,
    /// `x`
    Expired,
    /// `e`
    Evicted,
}

/// All classes.
pub const CLASSES: [Class; 11] = [
    Class::String,
    Class::Hash,
    Class::Json,
    Class::List,
    Class::Set,
    Class::Zset,
    Class::Stream,
    Class::TimeSeries,
    Class::Generic,
    Class::Expired,
    Class::Evicted,
];

/// Events by class.
#[derive(Debug, Default)]
pub struct Seen {
    counts: [AtomicU64; CLASSES.len()],
}

impl Seen {
    /// Events of a class so far.
    #[must_use]
    pub fn of(&self, class: Class) -> u64 {
        self.counts
            .get(class.index())
            .map_or(0, |count| count.load(Relaxed))
    }

    /// An event of this class came.
    pub fn saw(&self, class: Class) {
        if let Some(count) = self.counts.get(class.index()) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Classes of which events are counted against what the server did: commands that never leave things as they were.
const PROVABLE: [(Class, &[&str]); 6] = [
    (
        Class::String,
        &[
            "set",
            "setex",
            "psetex",
            "mset",
            "incr",
            "incrby",
            "incrbyfloat",
            "decr",
            "decrby",
            "append",
            "getset",
            "setrange",
            "setbit",
        ],
    ),
    (Class::Hash, &["hset", "hmset", "hincrby", "hincrbyfloat"]),
    (Class::List, &["lpush", "rpush", "lset"]),
    (Class::Zset, &["zincrby"]),
    (Class::Stream, &["xadd"]),
    (Class::Generic, &["rename", "restore"]),
];

impl Class {
    /// The class of an event by its name.
    #[must_use]
    pub fn of(event: &[u8]) -> Self {
        match event {
            b"expired" => Self::Expired,
            b"evicted" => Self::Evicted,
            b"del" | b"expire" | b"persist" | b"restore" | b"rename_from" | b"rename_to"
            | b"move_from" | b"move_to" | b"copy_to" | b"new" => Self::Generic,
            b"sortstore" => Self::List,
            b"set" | b"setrange" | b"setbit" | b"pfadd" => Self::String,
            _ if event.starts_with(b"json.") => Self::Json,
            _ if event.starts_with(b"ts.") => Self::TimeSeries,
            _ => match event.first() {
                Some(b'h') => Self::Hash,
                Some(b'l' | b'r') => Self::List,
                Some(b's') => Self::Set,
                Some(b'z' | b'g') => Self::Zset,
                Some(b'x') => Self::Stream,
                Some(b'i' | b'a' | b'd') => Self::String,
                _ => Self::Generic,
            },
        }
    }

    /// Its place in [`CLASSES`].
    #[must_use]
    pub fn index(self) -> usize {
        CLASSES
            .iter()
            .position(|class| *class == self)
            .unwrap_or_default()
    }

    /// Its rank under `--event-order priority`: what tells no type comes last.
    #[must_use]
    pub fn rank(self) -> u8 {
        u8::try_from(self.index()).unwrap_or(u8::MAX).min(8)
    }

    /// What the server's statistics say that it did of this class: commands that were run and not refused, keys that
    /// expired or were evicted. `None` where that proves nothing.
    #[must_use]
    pub fn done(self, info: &Info) -> Option<u64> {
        match self {
            Self::Expired => info.number("expired_keys"),
            Self::Evicted => info.number("evicted_keys"),
            _ => PROVABLE
                .iter()
                .find(|(class, _)| *class == self)
                .map(|(_, commands)| commands.iter().map(|command| info.calls(command)).sum()),
        }
    }
}

/// The letters that notifications of these types need, beside `K`; no types are all.
#[must_use]
pub(super) fn needed(types: &[String]) -> String {
    let letter = |kind: &str| match kind {
        "string" => '$',
        "hash" => 'h',
        "list" => 'l',
        "set" => 's',
        "zset" => 'z',
        "stream" => 't',
        _ => 'd',
    };
    // Whatever the type of a key, SUNIONSTORE, SORT … STORE and the like may make another of it.
    let mut letters = "$hlsztgxe".to_owned();
    if types.iter().any(|kind| letter(kind) == 'd') {
        letters.push('d');
    }
    letters
}

/// Whether `notify-keyspace-events` tells of everything that is needed.
#[must_use]
pub(super) fn covers(setting: &str, needed: &str) -> bool {
    setting.contains('K')
        && (setting.contains('A') || needed.chars().all(|letter| setting.contains(letter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_cover_what_is_needed_or_not() {
        let all = needed(&[]);
        for (setting, covered) in [
            ("AK", true),
            ("KEA", true),
            ("g$lshzxetK", true),
            ("", false),
            ("AE", false),
            ("Kx", false),
            ("g$lshzxK", false),
        ] {
            assert_eq!(covers(setting, &all), covered, "{setting}");
        }
        assert!(covers("K$hlsztgxe", &needed(&["string".to_owned()])));
        assert!(!covers("K$gxe", &needed(&["string".to_owned()])));
    }

    #[test]
    fn events_have_the_class_of_their_type() {
        for (event, class) in [
            ("set", Class::String),
            ("incrby", Class::String),
            ("append", Class::String),
            ("hset", Class::Hash),
            ("hexpired", Class::Hash),
            ("rpush", Class::List),
            ("lpop", Class::List),
            ("sadd", Class::Set),
            ("sinterstore", Class::Set),
            ("zincr", Class::Zset),
            ("geosearchstore", Class::Zset),
            ("xgroup-create", Class::Stream),
            ("del", Class::Generic),
            ("rename_to", Class::Generic),
            ("expired", Class::Expired),
            ("evicted", Class::Evicted),
            ("json.set", Class::Json),
            ("ts.add", Class::TimeSeries),
            ("sortstore", Class::List),
        ] {
            assert_eq!(Class::of(event.as_bytes()), class, "{event}");
        }
    }

    #[test]
    fn what_a_server_did_is_counted_without_what_it_refused() {
        let info = Info::parse(
            "cmdstat_set:calls=10,usec=5,usec_per_call=0.50,rejected_calls=2,failed_calls=1\r\nexpired_keys:4\r\n",
        );
        assert_eq!(Class::String.done(&info), Some(9));
        assert_eq!(Class::Expired.done(&info), Some(4));
        assert_eq!(Class::Json.done(&info), None);
    }
}
