//! A server of the tests' own with the types of `RedisJSON` and `RedisTimeSeries`, as their documentation gives the
//! commands, in RESP2. No other server
//! takes its payloads, or has the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use super::series::Series;
use crate::fake::{Behaviour, Does, bulk};

/// A key's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A plain string.
    Text(Vec<u8>),
    /// A document, as it was set.
    Json(Vec<u8>),
    /// A time series.
    Series(Series),
    /// A type that riot has no commands for, by its name.
    Foreign(&'static str),
}

/// A key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) value: Value,
    /// Milliseconds since the epoch.
    pub(super) expiry: Option<i64>,
}

/// The server.
#[derive(Debug)]
pub(super) struct Modules {
    /// Tells servers apart.
    pub(super) run_id: String,
    /// `JSON` and `TS`: the commands that it knows begin so.
    pub(super) loaded: Vec<&'static str>,
    pub(super) keys: BTreeMap<Vec<u8>, Held>,
    /// Names of commands that were run.
    pub(super) called: BTreeSet<String>,
    /// Bytes of the longest answer.
    pub(super) longest: usize,
    /// Everything that was ever under a name that is no temporary one: how many samples or bytes it had.
    pub(super) sizes: BTreeMap<Vec<u8>, Vec<usize>>,
}

const OK: &str = "+OK\r\n";
const NIL: &str = "$-1\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const NUMBER: &str = "-ERR value is not an integer or out of range\r\n";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn text(words: &str) -> Vec<u8> {
    words.as_bytes().to_vec()
}

pub(super) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [text(&format!("*{}\r\n", items.len())), items.concat()].concat()
}

pub(super) fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Value {
    fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "string",
            Self::Json(_) => "ReJSON-RL",
            Self::Series(_) => "TSDB-TYPE",
            Self::Foreign(name) => name,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Json(bytes) => bytes.len(),
            Self::Series(series) => series.samples.len(),
            Self::Foreign(_) => 1,
        }
    }

    fn memory(&self) -> i64 {
        let each = if matches!(self, Self::Series(_)) {
            16
        } else {
            1
        };
        i64::try_from(100 + each * self.size()).unwrap()
    }
}

impl Modules {
    pub(super) fn new(run_id: &str, loaded: &[&'static str]) -> Self {
        Self {
            run_id: run_id.into(),
            loaded: loaded.to_vec(),
            keys: BTreeMap::new(),
            called: BTreeSet::new(),
            longest: 0,
            sizes: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, key: &str, value: Value, expiry: Option<i64>) {
        let held = Held { value, expiry };
        self.keys.insert(key.as_bytes().to_vec(), held);
    }

    fn answer(&mut self, name: &str, words: &[Vec<u8>]) -> Vec<u8> {
        let known = ["JSON", "TS"]
            .iter()
            .all(|module| !name.starts_with(&format!("{module}.")) || self.loaded.contains(module));
        let key = words.get(1).cloned().unwrap_or_default();
        let value = self.keys.get(&key).map(|held| held.value.clone());
        let missing = |least: usize| words.len() < least;
        let few = || {
            text(&format!(
                "-ERR wrong number of arguments for '{name}' command\r\n"
            ))
        };
        match name {
            _ if !known => unknown(name),
            "SELECT" | "WATCH" | "UNWATCH" | "READONLY" => text(OK),
            "DBSIZE" => integer(i64::try_from(self.keys.len()).unwrap()),
            "TIME" => {
                let now = now();
                let parts = [now / 1000, now % 1000 * 1000];
                array(&parts.map(|part| bulk(part.to_string().as_bytes())))
            }
            "SCAN" => self.scan(words),
            "TYPE" => text(&format!(
                "+{}\r\n",
                value.as_ref().map_or("none", Value::kind)
            )),
            "EXISTS" => {
                let there = words[1..].iter().filter(|key| self.keys.contains_key(*key));
                integer(i64::try_from(there.count()).unwrap())
            }
            "PTTL" | "PEXPIRETIME" => {
                let expiry = self.keys.get(&key).map(|held| held.expiry);
                let from = if name == "PTTL" { now() } else { 0 };
                integer(expiry.map_or(-2, |at| at.map_or(-1, |at| at - from)))
            }
            "MEMORY" => {
                let held = words.get(2).and_then(|key| self.keys.get(key));
                held.map_or_else(|| text(NIL), |held| integer(held.value.memory()))
            }
            "GET" => self.text_of(&key, bulk),
            "STRLEN" => self.text_of(&key, |bytes| integer(i64::try_from(bytes.len()).unwrap())),
            "MGET" => {
                let all = words[1..].iter().map(|key| match self.keys.get(key) {
                    Some(Held {
                        value: Value::Text(bytes),
                        ..
                    }) => bulk(bytes),
                    _ => text(NIL),
                });
                array(&all.collect::<Vec<_>>())
            }
            "SET" | "PEXPIREAT" | "PEXPIRE" | "RENAME" if missing(3) => few(),
            "RESTORE" | "JSON.SET" if missing(4) => few(),
            "SET" => self.set(words),
            "MSET" if words.len().is_multiple_of(2) => few(),
            "MSET" => {
                for pair in words[1..].chunks(2) {
                    self.hold(&pair[0], Value::Text(pair[1].clone()), None);
                }
                text(OK)
            }
            "DEL" | "UNLINK" => {
                let gone = words[1..].iter().filter_map(|key| self.keys.remove(key));
                integer(i64::try_from(gone.count()).unwrap())
            }
            "PEXPIREAT" | "PEXPIRE" => {
                let Some(at) = number::<i64>(&words[2]) else {
                    return text(NUMBER);
                };
                let at = if name == "PEXPIRE" { now() + at } else { at };
                self.expire(&key, Some(at))
            }
            "PERSIST" => self.expire(&key, None),
            "RENAME" => match self.keys.remove(&key) {
                Some(held) => {
                    self.hold(&words[2], held.value, held.expiry);
                    text(OK)
                }
                None => text("-ERR no such key\r\n"),
            },
            "DUMP" => value.map_or_else(|| text(NIL), |_| bulk(self.run_id.as_bytes())),
            "RESTORE" => text("-ERR Bad data format\r\n"),
            "JSON.GET" => match value {
                None => text(NIL),
                Some(Value::Json(document)) => {
                    let wrapped = words[2..].contains(&b"$".to_vec());
                    let document = if wrapped {
                        [b"[", &document[..], b"]"].concat()
                    } else {
                        document
                    };
                    bulk(&document)
                }
                Some(_) => text(WRONG_TYPE),
            },
            "JSON.SET" => self.set_document(&key, &words[2], &words[3]),
            _ if name.starts_with("TS.") => self.series(name, words),
            _ => unknown(name),
        }
    }

    /// Puts a value in place, and remembers its size.
    fn hold(&mut self, key: &[u8], value: Value, expiry: Option<i64>) {
        let sizes = self.sizes.entry(key.to_vec()).or_default();
        sizes.push(value.size());
        self.keys.insert(key.to_vec(), Held { value, expiry });
    }

    fn text_of(&self, key: &[u8], answer: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        match self.keys.get(key).map(|held| &held.value) {
            None => text(NIL),
            Some(Value::Text(bytes)) => answer(bytes),
            Some(_) => text(WRONG_TYPE),
        }
    }

    fn set(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut expiry = None;
        for pair in words[3..].chunks(2) {
            let [option, at] = pair else {
                return text(SYNTAX);
            };
            let Some(at) = number::<i64>(at) else {
                return text(NUMBER);
            };
            expiry = match option.as_slice() {
                b"PXAT" => Some(at),
                b"PX" => Some(now() + at),
                b"EX" => Some(now() + at * 1000),
                _ => return text(SYNTAX),
            };
        }
        self.hold(&words[1], Value::Text(words[2].clone()), expiry);
        text(OK)
    }

    fn expire(&mut self, key: &[u8], expiry: Option<i64>) -> Vec<u8> {
        let held = self.keys.get_mut(key);
        let there = held.map(|held| held.expiry = expiry).is_some();
        integer(there.into())
    }

    fn scan(&self, words: &[Vec<u8>]) -> Vec<u8> {
        let option = |name: &str| {
            let mut pairs = words[2..].chunks(2);
            pairs.find_map(|pair| {
                pair[0]
                    .eq_ignore_ascii_case(name.as_bytes())
                    .then(|| &pair[1])
            })
        };
        let keys = self.keys.iter().filter(|(key, held)| {
            option("MATCH").is_none_or(|pattern| matches(pattern, key))
                && option("TYPE").is_none_or(|kind| kind == held.value.kind().as_bytes())
        });
        let keys: Vec<Vec<u8>> = keys.map(|(key, _)| bulk(key)).collect();
        array(&[bulk(b"0"), array(&keys)])
    }

    fn set_document(&mut self, key: &[u8], path: &[u8], document: &[u8]) -> Vec<u8> {
        match self.keys.get(key).map(|held| &held.value) {
            None | Some(Value::Json(_)) => {}
            Some(_) => return text("-ERR Existing key has wrong Redis type\r\n"),
        }
        if ![b"$".as_slice(), b"."].contains(&path) {
            return text("-ERR new objects must be created at the root\r\n");
        }
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(document) {
            return text(&format!("-ERR {error}\r\n"));
        }
        // A document that is replaced keeps its expiry.
        let expiry = self.keys.get(key).and_then(|held| held.expiry);
        self.hold(key, Value::Json(document.to_vec()), expiry);
        text(OK)
    }

    fn series(&mut self, name: &str, words: &[Vec<u8>]) -> Vec<u8> {
        if name == "TS.MADD" {
            if words.len() < 4 || words.len() % 3 != 1 {
                return text("-ERR wrong number of arguments for 'TS.MADD' command\r\n");
            }
            let answers = words[1..].chunks(3).map(|sample| {
                let Some(Held {
                    value: Value::Series(series),
                    ..
                }) = self.keys.get_mut(&sample[0])
                else {
                    return text("-ERR TSDB: the key is not a TSDB key\r\n");
                };
                series.add(&sample[1], &sample[2])
            });
            return array(&answers.collect::<Vec<_>>());
        }
        let key = words.get(1).cloned().unwrap_or_default();
        let held = self.keys.get(&key).map(|held| held.value.clone());
        let series = match held {
            None => None,
            Some(Value::Series(series)) => Some(series),
            Some(_) => return text("-ERR TSDB: the key is not a TSDB key\r\n"),
        };
        match (name, series) {
            ("TS.CREATE", Some(_)) => text("-ERR TSDB: key already exists\r\n"),
            ("TS.CREATE", None) => match words.get(2..).and_then(Series::with) {
                Some(series) => {
                    self.hold(&key, Value::Series(series), None);
                    text(OK)
                }
                None => text("-ERR TSDB: Couldn't parse arguments\r\n"),
            },
            ("TS.ADD", series) if words.len() > 3 => {
                let made = series.or_else(|| Series::with(&words[4..]));
                let Some(mut series) = made else {
                    return text("-ERR TSDB: Couldn't parse arguments\r\n");
                };
                let answer = series.add(&words[2], &words[3]);
                let expiry = self.keys.get(&key).and_then(|held| held.expiry);
                self.hold(&key, Value::Series(series), expiry);
                answer
            }
            ("TS.INFO" | "TS.RANGE", None) => text("-ERR TSDB: the key does not exist\r\n"),
            ("TS.INFO", Some(series)) => series.info(),
            ("TS.RANGE", Some(series)) => series.range(&words[2..]),
            _ => unknown(name),
        }
    }
}

fn unknown(name: &str) -> Vec<u8> {
    text(&format!(
        "-ERR unknown command '{name}', with args beginning with: \r\n"
    ))
}

/// SCAN's glob, without classes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        [b'?', rest @ ..] => !name.is_empty() && matches(rest, &name[1..]),
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
            name.first() == Some(byte) && matches(rest, &name[1..])
        }
    }
}

impl Behaviour for Modules {
    fn command(&mut self, words: &[Vec<u8>]) -> Does {
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        let answer = self.answer(&name, words);
        self.called.insert(name);
        Does::Says(answer)
    }

    fn cut(&mut self, answer: usize) -> Option<usize> {
        self.longest = self.longest.max(answer);
        None
    }

    fn info(&self) -> String {
        format!(
            "# Server\r\nredis_version:7.4.2\r\nredis_mode:standalone\r\nrun_id:{}\r\n# Replication\r\nrole:master\r\n\
            # Keyspace\r\ndb0:keys={},expires=1,avg_ttl=0\r\n",
            self.run_id,
            self.keys.len()
        )
    }
}
