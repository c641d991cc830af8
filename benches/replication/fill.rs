//! Puts the data into the source: pipelined, the same bytes each time.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum;

use crate::bare::STRING_PREFIX;
use crate::resp::{Outgoing, push_array, push_bulk};
use crate::road::Road;

/// What the source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// Strings of 100 bytes that do not compress.
    Strings100,
    /// The same, and each expires, another second than most.
    Expiring100,
    /// Strings of 1 KB, JSON, each another.
    Json1k,
    /// Strings of 100 KB that do not compress.
    Strings100k,
    /// All types: strings, half of them with an expiry, hashes, lists, sets, sorted sets, streams.
    Mixed,
    /// Strings of 50 MB that do not compress.
    Strings50m,
}

impl Data {
    /// What the tables call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Strings100 => "strings of 100 bytes",
            Self::Expiring100 => "strings of 100 bytes that expire",
            Self::Json1k => "strings of 1 KB, JSON",
            Self::Strings100k => "strings of 100 KB",
            Self::Mixed => "all types",
            Self::Strings50m => "strings of 50 MB",
        }
    }
}

/// Bytes that are written before their replies are read.
const CHUNK: usize = 256 << 10;
/// Random letters that values are cut out of.
const POOL: usize = 8 << 20;

/// Writes `keys` keys; the sum of their names' and values' bytes.
pub(crate) fn fill(address: &str, data: Data, keys: u64) -> Result<u64> {
    let mut filler = Filler {
        out: Outgoing::new(Road::to(address, None)?, 64),
        random: Random(0x9e37_79b9_7f4a_7c15),
        pool: Vec::new(),
        arguments: Vec::new(),
        count: 0,
        bytes: 0,
    };
    filler.pool = filler.random.letters(POOL);
    for index in 0..keys {
        match data {
            Data::Strings100 => filler.string(&format!("key:{index:012}"), 100)?,
            Data::Expiring100 => {
                filler.expiring(&format!("key:{index:012}"), 100, (86_400_000, 86_400_000))?;
            }
            Data::Strings100k => filler.string(&format!("blob:{index:08}"), 100 << 10)?,
            Data::Strings50m => filler.string(&format!("huge:{index:04}"), 50 << 20)?,
            Data::Json1k => filler.json(index)?,
            Data::Mixed => filler.mixed(index)?,
        }
    }
    filler.out.send(&[])?;
    filler.out.settle(0)?;
    Ok(filler.bytes)
}

/// xorshift64*: fast, and the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn place(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    fn letters(&mut self, count: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..count)
            .map(|_| LETTERS[(self.next() >> 58) as usize])
            .collect()
    }
}

struct Filler {
    out: Outgoing,
    random: Random,
    pool: Vec<u8>,
    arguments: Vec<u8>,
    count: usize,
    bytes: u64,
}

impl Filler {
    fn start(&mut self, command: &str) {
        self.arguments.clear();
        self.count = 0;
        self.add(command.as_bytes());
    }

    fn add(&mut self, argument: &[u8]) {
        push_bulk(&mut self.arguments, argument);
        self.count += 1;
    }

    /// An argument that is data.
    fn data(&mut self, argument: &[u8]) {
        self.bytes += argument.len() as u64;
        self.add(argument);
    }

    fn run(&mut self) -> Result<()> {
        push_array(self.out.commands(), self.count);
        self.out.commands().extend_from_slice(&self.arguments);
        self.out.expect(1);
        if self.out.waiting() >= CHUNK {
            self.out.send(&[])?;
        }
        Ok(())
    }

    /// A part of the pool with the place of its own at its start.
    fn random_text(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length);
        let start = self.random.place(POOL / 2);
        let salt = format!("{:016x}", self.random.next());
        text.extend_from_slice(&salt.as_bytes()[..salt.len().min(length)]);
        let mut from = start;
        while text.len() < length {
            let piece = (length - text.len()).min(POOL - from);
            text.extend_from_slice(&self.pool[from..from + piece]);
            from = 0;
        }
        text
    }

    fn string(&mut self, key: &str, length: usize) -> Result<()> {
        let value = self.random_text(length);
        self.start("SET");
        self.data(key.as_bytes());
        self.data(&value);
        self.run()
    }

    /// A string with at least so many milliseconds left to live, and fewer than so many more.
    fn expiring(&mut self, key: &str, length: usize, (least, more): (u64, u64)) -> Result<()> {
        let value = self.random_text(length);
        let left = least + self.random.below(more);
        self.start("SET");
        self.data(key.as_bytes());
        self.data(&value);
        self.add(b"PX");
        self.add(left.to_string().as_bytes());
        self.run()
    }

    fn json(&mut self, index: u64) -> Result<()> {
        let value = self.document(index);
        self.start("SET");
        self.data(format!("customer:{index:09}:profile").as_bytes());
        self.data(value.as_bytes());
        self.run()
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.random.place(words.len())]
    }

    /// A customer of some shop, 1,024 bytes.
    fn document(&mut self, index: u64) -> String {
        const FIRST: &[&str] = &[
            "Amara", "Bjorn", "Chidi", "Dalia", "Emil", "Farah", "Goran", "Hana", "Ines", "Jonas",
            "Kaito", "Leila", "Mateo", "Nadia", "Oskar", "Priya",
        ];
        const LAST: &[&str] = &[
            "Almeida",
            "Bauer",
            "Castillo",
            "Dubois",
            "Eriksen",
            "Fischer",
            "Garcia",
            "Haddad",
            "Ivanov",
            "Jensen",
            "Kowalski",
            "Lindqvist",
            "Moreau",
            "Nakamura",
            "Okafor",
            "Petrov",
        ];
        const CITY: &[&str] = &[
            "Lisbon", "Berlin", "Madrid", "Lyon", "Oslo", "Vienna", "Lagos", "Osaka", "Porto",
            "Gdansk", "Malmo", "Quito",
        ];
        const STATE: &[&str] = &["paid", "shipped", "returned", "open", "cancelled"];
        const TAG: &[&str] = &[
            "newsletter",
            "vip",
            "trial",
            "wholesale",
            "referral",
            "churn-risk",
            "app",
            "web",
        ];
        let first = self.pick(FIRST);
        let last = self.pick(LAST);
        let mut text = String::with_capacity(1200);
        let _ = write!(
            text,
            r#"{{"id":{index},"uuid":"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}","name":"{first} {last}","email":"{}.{}{}@example.com","active":{},"balance":{}.{:02},"created":"20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}Z","address":{{"street":"{} {} Street","city":"{}","zip":"{:05}"}},"tags":["{}","{}"],"orders":["#,
            self.random.next() >> 32,
            self.random.next() >> 48,
            self.random.next() >> 52,
            self.random.next() >> 52,
            self.random.next() >> 16,
            first.to_lowercase(),
            last.to_lowercase(),
            self.random.below(1000),
            self.random.below(2) == 0,
            self.random.below(10_000),
            self.random.below(100),
            15 + self.random.below(10),
            1 + self.random.below(12),
            1 + self.random.below(28),
            self.random.below(24),
            self.random.below(60),
            self.random.below(60),
            1 + self.random.below(400),
            self.pick(LAST),
            self.pick(CITY),
            self.random.below(100_000),
            self.pick(TAG),
            self.pick(TAG),
        );
        while text.len() < 880 {
            let _ = write!(
                text,
                r#"{{"order":{},"sku":"{:06X}-{}","quantity":{},"price":{}.{:02},"state":"{}"}},"#,
                self.random.below(10_000_000),
                self.random.next() >> 40,
                self.random.below(99),
                1 + self.random.below(9),
                self.random.below(500),
                self.random.below(100),
                self.pick(STATE),
            );
        }
        text.pop();
        text.push_str(r#"],"session":""#);
        let rest = 1024_usize.saturating_sub(text.len() + 2);
        let session = self.random_text(rest);
        text.push_str(&String::from_utf8_lossy(&session));
        text.push_str(r#""}"#);
        text
    }

    /// Of 20 keys: 6 strings, 6 with an expiry, 3 hashes, 2 lists, a set, a sorted set, a stream.
    fn mixed(&mut self, index: u64) -> Result<()> {
        let strings = String::from_utf8_lossy(STRING_PREFIX);
        match index % 20 {
            0..6 => {
                let length = 20 + self.random.place(180);
                self.string(&format!("{strings}page:{index}"), length)
            }
            6..12 => {
                let key = format!("{strings}session:{index}");
                self.expiring(&key, 64, (3_600_000, 30 * 86_400_000))
            }
            12..15 => {
                const FIELDS: &[&str] = &[
                    "id", "name", "mail", "city", "plan", "seen", "score", "state", "lang", "zone",
                ];
                self.start("HSET");
                self.data(format!("hash:user:{index}").as_bytes());
                for field in FIELDS {
                    let value = self.random_text(8);
                    self.data(field.as_bytes());
                    self.data(&value);
                }
                self.run()
            }
            15..17 => self.members("RPUSH", &format!("list:{index}"), 20),
            17 => self.members("SADD", &format!("set:{index}"), 20),
            18 => {
                self.start("ZADD");
                self.data(format!("zset:board:{index}").as_bytes());
                for member in 0..100 {
                    let score = self.random.below(1_000_000);
                    self.data(score.to_string().as_bytes());
                    self.data(format!("player:{}", member * 37 + score % 37).as_bytes());
                }
                self.run()
            }
            _ => self.stream(&format!("stream:{index}")),
        }
    }

    fn members(&mut self, command: &str, key: &str, count: usize) -> Result<()> {
        self.start(command);
        self.data(key.as_bytes());
        for _ in 0..count {
            let member = self.random_text(12);
            self.data(&member);
        }
        self.run()
    }

    fn stream(&mut self, key: &str) -> Result<()> {
        for entry in 0..10 {
            let value = self.random_text(16);
            self.start("XADD");
            self.data(key.as_bytes());
            self.add(format!("{}-0", 1_700_000_000_000_u64 + entry).as_bytes());
            self.data(b"sensor");
            self.data(&value);
            self.run()?;
        }
        Ok(())
    }
}
