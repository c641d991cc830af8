//! The commands that a run sends to each side, each with words that change nothing, and what is lost without it.

use crate::config::Side;
use crate::server::{KEY, MSET, Needs, RESTORE, SCAN, SET};

/// A command that a run may send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right {
    /// `MEMORY USAGE`.
    pub(super) name: &'static str,
    /// A call of it that changes nothing, whether it is queued in a transaction or run.
    pub(super) words: &'static [&'static str],
    /// The type whose keys it is for; empty is any.
    pub(super) kind: &'static str,
    /// How it is tried.
    pub(super) trial: Trial,
    /// Servers of some versions, or without a module, do not have it: then it is not used.
    pub(super) may_be_missing: bool,
    /// It is used where this one is not to be had.
    pub(super) instead_of: &'static str,
    when: fn(&Plan) -> Option<Loss>,
}

/// How a command is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    /// It is run.
    Run,
    /// It is queued in a transaction that is never executed; where there is none, it is run.
    Queued,
    /// It is queued: run, it would write.
    QueuedAlone,
}

/// What comes of it that a command may not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The run does without, and this is lost.
    Without(&'static str),
    /// The run does without, and this is not proved: live ends with 1.
    Unproven(&'static str),
    /// The run does not start, or keys fail.
    Fails,
}

impl Loss {
    fn weight(self) -> u8 {
        match self {
            Self::Without(_) => 0,
            Self::Unproven(_) => 1,
            Self::Fails => 2,
        }
    }
}

/// How many keys go a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// None.
    Nothing,
    /// Those that are big, or whose payloads do not do.
    Some,
    /// Every key.
    Everything,
}

/// What a run asks of a side.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) side: Side,
    /// What the start of a run tries, the kind of server with it.
    pub(super) needs: Needs,
    /// Changes are followed.
    pub(super) live: bool,
    /// Keys that are copied by the commands of their types.
    pub(super) by_type: Share,
    /// Keys whose values are compared by the commands of their types.
    pub(super) compared: Share,
    /// Values are added to what the target has.
    pub(super) merge: bool,
    /// Types that are taken; none are all.
    pub(super) kinds: Vec<String>,
}

const BY_TYPE: &str = "keys that go by the commands of their types (over --big-key, or with a payload that the target refuses) fail by name";
const COMPARED: &str =
    "values of which the payloads differ cannot be compared, and end with status 1";
const DELETED: &str = "after a gap, keys that were deleted in it cannot be found";
const ONE_BY_ONE: &str = "every key other than a string is copied by the commands of its type";
const INSTANT: &str = "a value and its expiry are not read at one instant";
const WATCHED: &str = "a key that changes while it is read in chunks is not noticed at once";
const LOST: &str = "after a lost connection it is not known what it still wrote";
const RARE: &str = "keys of its type, if there are any, fail by name";
/// Types that few have: that a right to one is missing stops no run that does not ask for the type.
const RARE_KINDS: [&str; 3] = ["vectorset", "rejson-rl", "tsdb-type"];
const HELD: &str = "what the source holds for riot's event connections cannot be seen";
const CLOCK: &str = "its clock cannot be read: expiries are not corrected for a difference";
const SOURCE_INFO: &str = "restarts, failovers, evictions, FLUSHALL and SWAPDB cannot be seen";
const TARGET_INFO: &str = "its restarts and evictions cannot be seen";

const fn right(
    name: &'static str,
    words: &'static [&'static str],
    when: fn(&Plan) -> Option<Loss>,
) -> Right {
    Right {
        name,
        words,
        kind: "",
        trial: Trial::Run,
        may_be_missing: false,
        instead_of: "",
        when,
    }
}

impl Right {
    const fn queued(self) -> Self {
        Self {
            trial: Trial::Queued,
            ..self
        }
    }

    const fn queued_alone(self) -> Self {
        Self {
            trial: Trial::QueuedAlone,
            ..self
        }
    }

    const fn may_be_missing(self) -> Self {
        Self {
            may_be_missing: true,
            ..self
        }
    }

    /// The rule that allows it: `+memory|usage`.
    pub(super) fn rule(&self) -> String {
        format!("+{}", self.name.to_lowercase().replace(' ', "|"))
    }
}

/// A command for keys of one type, by which these are read.
const fn reads(kind: &'static str, name: &'static str, words: &'static [&'static str]) -> Right {
    Right {
        kind,
        ..right(name, words, |plan| {
            let copied = by_type(plan.by_type).filter(|_| plan.side == Side::Source);
            stronger(copied, compared(plan))
        })
    }
}

/// A command for keys of one type, by which these are written.
const fn writes(kind: &'static str, name: &'static str, words: &'static [&'static str]) -> Right {
    Right {
        kind,
        ..right(name, words, |plan| by_type(plan.by_type)).queued()
    }
}

fn fails(needed: bool) -> Option<Loss> {
    needed.then_some(Loss::Fails)
}

fn without(used: bool, lost: &'static str) -> Option<Loss> {
    used.then_some(Loss::Without(lost))
}

fn by_type(share: Share) -> Option<Loss> {
    match share {
        Share::Nothing => None,
        Share::Some => Some(Loss::Without(BY_TYPE)),
        Share::Everything => Some(Loss::Fails),
    }
}

fn compared(plan: &Plan) -> Option<Loss> {
    match plan.compared {
        Share::Nothing => None,
        Share::Some => Some(Loss::Without(COMPARED)),
        Share::Everything => Some(Loss::Fails),
    }
}

fn stronger(one: Option<Loss>, other: Option<Loss>) -> Option<Loss> {
    one.into_iter()
        .chain(other)
        .max_by_key(|loss| loss.weight())
}

/// A value is read and its expiry with it, or a transaction is asked for.
fn transacts(plan: &Plan) -> Option<Loss> {
    stronger(fails(plan.needs.multi), without(plan.needs.reads, INSTANT))
}

fn watches(plan: &Plan) -> Option<Loss> {
    match plan.side {
        Side::Source => without(plan.by_type > Share::Nothing, WATCHED),
        Side::Target => by_type(plan.by_type),
    }
}

/// Of both sides.
const EITHER: &[Right] = &[
    right("SCAN", &SCAN, |plan| {
        stronger(
            fails(plan.needs.scans),
            without(plan.needs.searches, DELETED),
        )
    }),
    right("EXISTS", &["EXISTS", KEY], |plan| {
        without(plan.needs.searches, DELETED)
    }),
    right("MGET", &["MGET", KEY], |plan| {
        fails(plan.needs.reads && plan.needs.texts)
    }),
    right("GET", &["GET", KEY], |plan| {
        let cluster = plan.needs.cluster && plan.needs.reads && plan.needs.texts;
        let owners = (plan.side == Side::Target).then(|| by_type(plan.by_type));
        stronger(fails(cluster), owners.flatten())
    }),
    right("DUMP", &["DUMP", KEY], |plan| {
        let copied = plan.needs.reads && plan.needs.payloads;
        stronger(
            fails(plan.needs.reads && plan.needs.dumps),
            without(copied, ONE_BY_ONE),
        )
    }),
    right("PEXPIRETIME", &["PEXPIRETIME", KEY], |plan| {
        without(
            plan.needs.expiries,
            "expiries are read as the time that is left (PTTL)",
        )
    })
    .may_be_missing(),
    Right {
        instead_of: "PEXPIRETIME",
        ..right("PTTL", &["PTTL", KEY], |plan| fails(plan.needs.expiries))
    },
    right("TYPE", &["TYPE", KEY], |plan| {
        stronger(fails(plan.needs.kinds), by_type(plan.by_type))
    }),
    right("MULTI", &["MULTI"], transacts),
    right("EXEC", &["EXEC"], transacts),
    right("MEMORY USAGE", &["MEMORY", "USAGE", KEY], |plan| {
        let big = "big keys cannot be told from others: each moves in one piece";
        stronger(fails(plan.needs.memory), without(plan.needs.weighs, big))
    }),
    right("INFO", &["INFO"], |plan| {
        Some(Loss::Unproven(match plan.side {
            Side::Source => SOURCE_INFO,
            Side::Target => TARGET_INFO,
        }))
    }),
    right("TIME", &["TIME"], |_| Some(Loss::Unproven(CLOCK))),
    right("CLUSTER SLOTS", &["CLUSTER", "SLOTS"], |plan| {
        fails(plan.needs.cluster)
    }),
    right("CLUSTER INFO", &["CLUSTER", "INFO"], |plan| {
        without(
            plan.needs.cluster,
            "which of two nodes knows the newer slots cannot be told",
        )
    }),
    right("CLUSTER NODES", &["CLUSTER", "NODES"], |plan| {
        fails(plan.needs.cluster && (plan.needs.reads || plan.needs.writes))
    }),
    right("ASKING", &["ASKING"], |plan| {
        fails(plan.needs.cluster && (plan.needs.reads || plan.needs.writes))
    }),
    right("READONLY", &["READONLY"], |plan| fails(plan.needs.replica)),
    right("WATCH", &["WATCH", KEY], watches),
    right("UNWATCH", &["UNWATCH"], watches),
];

/// Of the source alone. The ways to learn of changes are tried by themselves.
const SOURCE: &[Right] = &[
    right("CLIENT ID", &["CLIENT", "ID"], |plan| {
        without(plan.live, HELD)
    }),
    right("CLIENT LIST", &["CLIENT", "LIST"], |plan| {
        plan.live.then_some(Loss::Unproven(HELD))
    }),
];

/// Of the target alone.
const TARGET: &[Right] = &[
    right("SET", &SET, |plan| fails(plan.needs.writes)).queued(),
    right("MSET", &MSET, |plan| {
        fails(plan.needs.writes && plan.needs.texts)
    })
    .queued(),
    right("DEL", &["DEL", KEY], |plan| fails(plan.needs.writes)).queued(),
    right("RESTORE", &RESTORE, |plan| {
        without(plan.needs.writes && plan.needs.payloads, ONE_BY_ONE)
    })
    .queued(),
    right("WAIT", &["WAIT", "0", "1"], |plan| fails(plan.needs.waits)),
    right("CLIENT INFO", &["CLIENT", "INFO"], |plan| {
        without(plan.live, LOST)
    })
    .may_be_missing(),
    right("CLIENT KILL", &["CLIENT", "KILL", "ID", "0"], |plan| {
        without(plan.live, LOST)
    }),
];

/// By type, of the source and, where values are compared, of the target.
const READS: &[Right] = &[
    reads("string", "GETRANGE", &["GETRANGE", KEY, "0", "0"]),
    reads("string", "STRLEN", &["STRLEN", KEY]),
    reads("hash", "HGETALL", &["HGETALL", KEY]),
    reads("hash", "HSCAN", &["HSCAN", KEY, "0"]),
    reads("hash", "HLEN", &["HLEN", KEY]),
    reads(
        "hash",
        "HPEXPIRETIME",
        &["HPEXPIRETIME", KEY, "FIELDS", "1", "f"],
    )
    .may_be_missing(),
    reads("list", "LRANGE", &["LRANGE", KEY, "0", "0"]),
    reads("list", "LLEN", &["LLEN", KEY]),
    reads("set", "SMEMBERS", &["SMEMBERS", KEY]),
    reads("set", "SSCAN", &["SSCAN", KEY, "0"]),
    reads("set", "SCARD", &["SCARD", KEY]),
    reads("zset", "ZRANGE", &["ZRANGE", KEY, "0", "0"]),
    reads("zset", "ZCARD", &["ZCARD", KEY]),
    reads("stream", "XRANGE", &["XRANGE", KEY, "-", "+", "COUNT", "1"]),
    reads("stream", "XLEN", &["XLEN", KEY]),
    reads("stream", "XINFO", &["XINFO", "STREAM", KEY]),
    reads("stream", "XPENDING", &["XPENDING", KEY, "g"]),
    reads("vectorset", "VINFO", &["VINFO", KEY]).may_be_missing(),
    reads("vectorset", "VRANDMEMBER", &["VRANDMEMBER", KEY]).may_be_missing(),
    reads("vectorset", "VEMB", &["VEMB", KEY, "e"]).may_be_missing(),
    reads("vectorset", "VGETATTR", &["VGETATTR", KEY, "e"]).may_be_missing(),
    reads("vectorset", "VCARD", &["VCARD", KEY]).may_be_missing(),
    reads("rejson-rl", "JSON.GET", &["JSON.GET", KEY]).may_be_missing(),
    reads("tsdb-type", "TS.INFO", &["TS.INFO", KEY]).may_be_missing(),
    reads("tsdb-type", "TS.RANGE", &["TS.RANGE", KEY, "-", "+"]).may_be_missing(),
    Right {
        kind: "hash",
        ..right("HMGET", &["HMGET", KEY, "f"], compared)
    },
    Right {
        kind: "set",
        ..right("SISMEMBER", &["SISMEMBER", KEY, "m"], compared)
    },
];

/// By type, of the target.
const WRITES: &[Right] = &[
    writes("hash", "HSET", &["HSET", KEY, "f", "v", "f"]),
    writes(
        "hash",
        "HPEXPIREAT",
        &["HPEXPIREAT", KEY, "0", "FIELDS", "1", "f"],
    )
    .may_be_missing(),
    writes("hash", "HLEN", &["HLEN", KEY]),
    writes("list", "RPUSH", &["RPUSH", KEY, "x"]).queued_alone(),
    writes("list", "LLEN", &["LLEN", KEY]),
    writes("set", "SADD", &["SADD", KEY, "x"]).queued_alone(),
    writes("set", "SCARD", &["SCARD", KEY]),
    writes("zset", "ZADD", &["ZADD", KEY, "none", "m"]),
    writes("zset", "ZCARD", &["ZCARD", KEY]),
    writes("stream", "XADD", &["XADD", KEY, "0-0", "f", "v"]),
    writes("stream", "XGROUP", &["XGROUP", "CREATE", KEY, "g", "$"]),
    writes("stream", "XCLAIM", &["XCLAIM", KEY, "g", "c", "0", "0-1"]),
    writes("stream", "XSETID", &["XSETID", KEY, "0-1"]),
    writes("stream", "XDEL", &["XDEL", KEY, "0-1"]),
    writes("stream", "XTRIM", &["XTRIM", KEY, "MAXLEN", "0"]),
    writes("stream", "XINFO", &["XINFO", "STREAM", KEY]),
    writes("stream", "XLEN", &["XLEN", KEY]),
    writes(
        "vectorset",
        "VADD",
        &["VADD", KEY, "VALUES", "1", "none", "e"],
    )
    .may_be_missing(),
    writes("vectorset", "VCARD", &["VCARD", KEY]).may_be_missing(),
    Right {
        kind: "vectorset",
        ..right("VSETATTR", &["VSETATTR", KEY, "e", "{}"], merged).queued()
    }
    .may_be_missing(),
    writes("rejson-rl", "JSON.SET", &["JSON.SET", KEY, ".a", "1"]).may_be_missing(),
    writes(
        "tsdb-type",
        "TS.CREATE",
        &["TS.CREATE", KEY, "RETENTION", "none"],
    )
    .may_be_missing(),
    writes("tsdb-type", "TS.MADD", &["TS.MADD", KEY, "none", "1"]).may_be_missing(),
    writes("tsdb-type", "TS.ALTER", &["TS.ALTER", KEY]).may_be_missing(),
    Right {
        kind: "tsdb-type",
        ..right("TS.ADD", &["TS.ADD", KEY, "none", "1"], merged).queued()
    }
    .may_be_missing(),
    // Never queued: it would execute what is.
    right("EXEC", &["EXEC"], |plan| by_type(plan.by_type)),
    right("MULTI", &["MULTI"], |plan| by_type(plan.by_type)),
    writes("", "UNLINK", &["UNLINK", KEY]),
    writes("", "RENAME", &["RENAME", KEY, KEY]),
    writes("", "PERSIST", &["PERSIST", KEY]),
    writes("", "PEXPIREAT", &["PEXPIREAT", KEY, "1"]),
    writes("", "PEXPIRE", &["PEXPIRE", KEY, "1"]),
    writes("", "PTTL", &["PTTL", KEY]),
];

fn merged(plan: &Plan) -> Option<Loss> {
    by_type(plan.by_type).filter(|_| plan.merge)
}

/// The commands that a plan asks for, in the order in which they are told, and what is lost without each.
pub(super) fn asked_for(plan: &Plan) -> Vec<(Right, Loss)> {
    let lists: &[&[Right]] = match plan.side {
        Side::Source => &[EITHER, SOURCE, READS],
        Side::Target => &[TARGET, EITHER, WRITES, READS],
    };
    let mut found: Vec<(Right, Loss)> = Vec::new();
    for right in lists.iter().flat_map(|list| list.iter()) {
        let taken = right.kind.is_empty()
            || plan.kinds.is_empty()
            || plan.kinds.iter().any(|kind| kind == right.kind);
        let Some(loss) = (right.when)(plan).filter(|_| taken) else {
            continue;
        };
        let loss = if plan.kinds.is_empty() && RARE_KINDS.contains(&right.kind) {
            Loss::Without(RARE)
        } else {
            loss
        };
        let same = |(known, _): &&mut (Right, Loss)| {
            (known.name, known.instead_of) == (right.name, right.instead_of)
        };
        match found.iter_mut().find(same) {
            None => found.push((*right, loss)),
            // What two lists ask for is needed as the one says that cannot do without.
            Some((_, before)) if loss.weight() > before.weight() => *before = loss,
            Some(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
