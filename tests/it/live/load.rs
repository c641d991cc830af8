//! Applications at work: commands of every family on keys of all types, the same for the same seed, at full speed until told
//! to stop.

mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use redis::Cmd;

use crate::data;
use crate::servers::Version;
use crate::store::{Client, Store};
use crate::wait;

/// The longest life that a key is given which is to end during the test.
const SHORT_LIFE: i64 = 1000;
/// An hour and more: no such key ends during the test.
const LONG_LIFE: i64 = 3_600_000;
/// Keys of one prefix come in this many types.
const CLASSES: u32 = 7;
/// Keys that share a slot where they are to: four of each type.
const GROUP: u32 = 4 * CLASSES;

/// What the commands are for: each is one line of INFO commandstats, and all of them must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Set,
    Increment,
    Hash,
    Push,
    Pop,
    Members,
    SortedSet,
    StreamAdd,
    StreamTrim,
    Expire,
    Persist,
    Delete,
    Rename,
    Copy,
    GetDelete,
    SortStore,
    Restore,
}

/// Every family, with the command that INFO commandstats counts.
const FAMILIES: [(Family, &str); 17] = [
    (Family::Set, "set"),
    (Family::Increment, "incrby"),
    (Family::Hash, "hset"),
    (Family::Push, "rpush"),
    (Family::Pop, "lpop"),
    (Family::Members, "sadd"),
    (Family::SortedSet, "zadd"),
    (Family::StreamAdd, "xadd"),
    (Family::StreamTrim, "xtrim"),
    (Family::Expire, "pexpire"),
    (Family::Persist, "persist"),
    (Family::Delete, "del"),
    (Family::Rename, "rename"),
    (Family::Copy, "copy"),
    (Family::GetDelete, "getdel"),
    (Family::SortStore, "sort"),
    (Family::Restore, "restore"),
];

impl Family {
    /// Whether a key can be gone after it.
    fn deletes(self) -> bool {
        matches!(
            self,
            Self::Pop | Self::Delete | Self::Rename | Self::GetDelete
        )
    }

    /// Whether it came with a later version than 6.0.
    fn is_new(self) -> bool {
        matches!(self, Self::Copy | Self::GetDelete)
    }

    /// The type of key that it is for; `None` takes any.
    fn class(self) -> Option<u32> {
        match self {
            Self::Set | Self::GetDelete => Some(0),
            Self::Increment => Some(1),
            Self::Hash => Some(2),
            Self::Push | Self::Pop | Self::SortStore => Some(3),
            Self::Members => Some(4),
            Self::SortedSet => Some(5),
            Self::StreamAdd | Self::StreamTrim => Some(6),
            _ => None,
        }
    }
}

/// A load: which keys, how many writers, whether keys end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    prefix: &'static str,
    keys: u32,
    writers: u64,
    seed: u64,
    deletes: bool,
    grouped: bool,
    pause: Duration,
}

impl Load {
    /// Eight writers on so many keys, with commands of every family.
    pub(crate) fn on(keys: u32) -> Self {
        Self {
            prefix: "key:",
            keys: keys.max(CLASSES),
            writers: 8,
            seed: 1,
            deletes: true,
            grouped: false,
            pause: Duration::ZERO,
        }
    }

    /// No key is ever gone: nothing deletes, renames, empties or expires one.
    pub(crate) fn that_deletes_nothing(mut self) -> Self {
        self.deletes = false;
        self
    }

    /// The names begin with this.
    pub(crate) fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// So many writers.
    pub(crate) fn writers(mut self, writers: u64) -> Self {
        self.writers = writers;
        self
    }

    /// Keys come in groups that share a slot, and a command of two keys has both from one group: what a cluster takes.
    pub(crate) fn grouped(mut self) -> Self {
        self.keys = self.keys.next_multiple_of(GROUP);
        self.grouped = true;
        self
    }

    /// Every writer waits this long after each command.
    pub(crate) fn pause(mut self, time: Duration) -> Self {
        self.pause = time;
        self
    }

    /// Gives every key its first value: of all types by turns, some with an expiry that nobody reaches, some streams with a
    /// group.
    pub(crate) fn fill(self, store: &dyn Store) {
        let mut c = store.client();
        let expires = data::server_time(&mut c) + 2 * LONG_LIFE;
        let numbers: Vec<u32> = (0..self.keys).collect();
        for part in numbers.chunks(2000) {
            let mut pipe = redis::pipe();
            for &number in part {
                let key = self.name(number);
                pipe.add_command(first_value(&key, number)).ignore();
                if number % CLASSES == 6 && number % 4 == 0 {
                    pipe.cmd("XGROUP").arg("CREATE").arg(&key).arg("group");
                    pipe.arg("$").ignore();
                }
                if number % 5 == 0 {
                    pipe.cmd("PEXPIREAT").arg(&key);
                    pipe.arg(expires + i64::from(number)).ignore();
                }
            }
            pipe.exec(&mut c).unwrap();
        }
    }

    fn name(self, number: u32) -> String {
        let prefix = self.prefix;
        if self.grouped {
            format!("{prefix}{{{}}}{number}", number / GROUP)
        } else {
            format!("{prefix}{number}")
        }
    }

    /// Keeps the writers at work while `body` runs, and for this long at least, then ends them: what `body` gave, and what they
    /// did. A failed test ends them at once.
    pub(crate) fn during<T>(
        self,
        store: &dyn Store,
        at_least: Duration,
        body: impl FnOnce(&Progress) -> T,
    ) -> (T, Done) {
        let progress = Progress::default();
        let payloads = payloads(store);
        let started = Instant::now();
        let given = std::thread::scope(|scope| {
            let _stop = wait::Stop(&progress.over);
            for writer in 0..self.writers {
                let commands = Commands::new(self, writer, store.version(), payloads.clone());
                let progress = &progress;
                scope.spawn(move || write(store, commands, self.pause, progress));
            }
            let given = body(&progress);
            wait::within(
                at_least + wait::SOON,
                "the load has lasted long enough",
                || (started.elapsed() >= at_least).then_some(()),
            );
            given
        });
        let done = Done {
            commands: progress.commands(),
            seconds: started.elapsed().as_secs_f64(),
            settled: data::server_time(&mut store.client()) + SHORT_LIFE,
        };
        eprintln!(
            "{} commands in {:.1} s, {:.0}/s",
            done.commands,
            done.seconds,
            done.commands as f64 / done.seconds
        );
        (given, done)
    }

    /// The same with nothing beside it.
    pub(crate) fn last(self, store: &dyn Store, time: Duration) -> Done {
        self.during(store, time, |_| ()).1
    }
}

fn first_value(key: &str, number: u32) -> Cmd {
    let mut command = Cmd::new();
    match number % CLASSES {
        0 => command.arg("SET").arg(key).arg(data::text(number, 100)),
        1 => command.arg("SET").arg(key).arg(number),
        2 => command
            .arg("HSET")
            .arg(key)
            .arg("number")
            .arg(number)
            .arg("text")
            .arg(data::text(number, 40)),
        3 => command.arg("RPUSH").arg(key).arg(number).arg("b").arg("c"),
        4 => command.arg("SADD").arg(key).arg(number).arg(number + 1),
        5 => command
            .arg("ZADD")
            .arg(key)
            .arg(f64::from(number) / 3.0)
            .arg("a"),
        _ => command
            .arg("XADD")
            .arg(key)
            .arg("1-1")
            .arg("number")
            .arg(number),
    };
    command
}

/// How far the writers are.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    commands: AtomicU64,
    over: AtomicBool,
}

impl Progress {
    /// Commands that the server has answered.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Waits until so many more commands were answered.
    pub(crate) fn more(&self, commands: u64) {
        let wanted = self.commands() + commands;
        wait::within(2 * wait::SOON, "the writers go on", || {
            (self.commands() >= wanted).then_some(())
        });
    }
}

/// What the writers did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// Commands that the server has answered.
    pub(crate) commands: u64,
    seconds: f64,
    /// When no key has a short life any more: milliseconds since the epoch, on the server's clock.
    settled: i64,
}

impl Done {
    /// Waits until every key whose end was near has ended.
    pub(crate) fn settle(self, store: &dyn Store) {
        let mut c = store.client();
        wait::until("the short lives are over", || {
            (data::server_time(&mut c) > self.settled).then_some(())
        });
    }
}

/// Payloads that RESTORE takes: of a string and of a hash. Nobody else ever sees the key that they are made of.
fn payloads(store: &dyn Store) -> Vec<Vec<u8>> {
    let payload = |fill: &str| {
        let script = format!(
            "redis.call({fill}) local payload = redis.call('DUMP', KEYS[1]) redis.call('DEL', KEYS[1]) return payload"
        );
        redis::cmd("EVAL")
            .arg(script)
            .arg(1)
            .arg("payload")
            .arg(data::text(77, 60))
            .query(&mut store.client())
            .unwrap()
    };
    vec![
        payload("'SET', KEYS[1], ARGV[1]"),
        payload("'HSET', KEYS[1], 'restored', ARGV[1]"),
    ]
}

/// One writer's commands: the same ones for the same seed and number.
#[derive(Debug)]
struct Commands {
    rng: Rng,
    load: Load,
    families: Vec<Family>,
    payloads: Vec<Vec<u8>>,
    /// The numbers of the keys that the next command may name.
    reach: Range<u32>,
}

impl Commands {
    fn new(load: Load, writer: u64, version: Version, payloads: Vec<Vec<u8>>) -> Self {
        let families = FAMILIES
            .iter()
            .map(|(family, _)| *family)
            .filter(|family| load.deletes || !family.deletes())
            .filter(|family| version.since_70() || !family.is_new())
            .collect();
        Self {
            rng: Rng::with_seed(load.seed * 1000 + writer),
            load,
            families,
            payloads,
            reach: 0..load.keys,
        }
    }

    fn key(&mut self, class: Option<u32>) -> String {
        let number = self
            .rng
            .u32(self.reach.start / CLASSES..self.reach.end / CLASSES)
            * CLASSES;
        let class = class.unwrap_or_else(|| self.rng.u32(0..CLASSES));
        self.load.name(number + class)
    }

    /// Where a key of this class goes: to one of its own class, or now and then to any where keys end and make room for their
    /// class again.
    fn destination(&mut self, class: u32) -> String {
        let any = self.load.deletes && self.rng.u32(0..8) == 0;
        self.key((!any).then_some(class))
    }

    fn life(&mut self) -> i64 {
        if self.load.deletes && self.rng.bool() {
            let longest = [10, 100, SHORT_LIFE][self.rng.usize(0..3)];
            self.rng.i64(1..longest)
        } else {
            LONG_LIFE + self.rng.i64(0..LONG_LIFE)
        }
    }

    fn next(&mut self) -> Cmd {
        if self.load.grouped {
            let first = self.rng.u32(0..self.load.keys / GROUP) * GROUP;
            self.reach = first..first + GROUP;
        }
        let family = self.families[self.rng.usize(0..self.families.len())];
        let class = match family {
            // The payloads' types.
            Family::Restore => [0, 2][self.rng.usize(0..2)],
            family => family.class().unwrap_or_else(|| self.rng.u32(0..CLASSES)),
        };
        let key = match family {
            Family::Restore => self.destination(class),
            _ => self.key(Some(class)),
        };
        let name = FAMILIES
            .iter()
            .find_map(|(other, name)| (*other == family).then_some(*name))
            .unwrap();
        let mut command = redis::cmd(name);
        command.arg(&key);
        match family {
            Family::Set => {
                let bytes = self.rng.usize(1..300);
                command.arg(data::text(self.rng.u32(..), bytes));
                match self.rng.u32(0..4) {
                    0 => command.arg("PX").arg(self.life()),
                    1 => command.arg("KEEPTTL"),
                    _ => &mut command,
                };
            }
            Family::Increment => {
                command.arg(self.rng.i32(-1000..1000));
            }
            Family::Hash => {
                for _ in 0..self.rng.u32(1..4) {
                    let field = format!("field {}", self.rng.u32(0..30));
                    let value = self.rng.u64(..);
                    command.arg(field).arg(value);
                }
            }
            Family::Push => {
                command.arg(self.rng.u64(..));
            }
            Family::Members => {
                command.arg(self.rng.u32(0..50));
            }
            Family::SortedSet => {
                let score = self.rng.f64();
                let member = format!("member {}", self.rng.u32(0..50));
                command.arg(score).arg(member);
            }
            Family::StreamAdd => {
                command.arg("*").arg("field").arg(self.rng.u64(..));
            }
            Family::StreamTrim => {
                command.arg("MAXLEN").arg(self.rng.u32(5..20));
            }
            Family::Expire => {
                command.arg(self.life());
            }
            Family::Pop | Family::Persist | Family::Delete | Family::GetDelete => {}
            Family::Rename => {
                command.arg(self.destination(class));
            }
            Family::Copy => {
                command.arg(self.destination(class)).arg("REPLACE");
            }
            Family::SortStore => {
                command.arg("ALPHA").arg("LIMIT").arg(0).arg(30);
                command.arg("STORE").arg(self.key(Some(3)));
            }
            Family::Restore => {
                let ttl = if self.rng.bool() { 0 } else { self.life() };
                let payload = &self.payloads[usize::from(class == 2)];
                command.arg(ttl).arg(payload).arg("REPLACE");
            }
        }
        command
    }
}

/// One writer. An error of a command (another type, no such key) is what applications get too; a server that is away is waited
/// for.
fn write(store: &dyn Store, mut commands: Commands, pause: Duration, progress: &Progress) {
    let over = || progress.over.load(Ordering::Relaxed);
    let mut connection: Option<Client> = None;
    while !over() {
        let Some(c) = connection.as_mut() else {
            connection = store.try_client(0).ok();
            if connection.is_none() {
                wait::pause(Duration::from_millis(5));
            }
            continue;
        };
        match commands.next().exec(c) {
            Err(error) if error.is_io_error() || error.is_connection_dropped() => connection = None,
            _ => {
                progress.commands.fetch_add(1, Ordering::Relaxed);
            }
        }
        if !pause.is_zero() {
            wait::pause(pause);
        }
    }
}
