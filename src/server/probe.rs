//! What a server is and allows, learnt before anything is written. Rights are tried with commands that change nothing.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, RedisError, Value};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::control::{Control, Look};
use super::info::Info;
use super::profile::{Needs, Profile};
use super::tried::Tried;
use crate::config::{Endpoint, Side};
use crate::error::{ConnectError, RunError};
use crate::retry::Backoff;
use crate::slots;

/// How often a connection that is lost before anything was written is opened again.
const CONNECTS: u32 = 3;
/// A name that no application uses: what is tried on it finds no key.
const NOBODY: &str = "riot:probe:0b8f6b4e";
/// Stands for that name in the words below; in a cluster the name has a slot of the node's.
pub(crate) const KEY: &str = "\0key";
pub(crate) const SCAN: [&str; 6] = ["SCAN", "0", "MATCH", NOBODY, "COUNT", "1"];
const SCAN_TYPE: [&str; 8] = ["SCAN", "0", "MATCH", NOBODY, "COUNT", "1", "TYPE", "string"];
// Each is malformed: the server looks at the right first, and then refuses the words.
pub(crate) const RESTORE: [&str; 4] = ["RESTORE", KEY, "0", ""];
pub(crate) const SET: [&str; 5] = ["SET", KEY, "x", "EX", "none"];
const SET_UNTIL: [&str; 5] = ["SET", KEY, "x", "PXAT", "none"];
pub(crate) const MSET: [&str; 4] = ["MSET", KEY, "x", KEY];

struct Probe<'a> {
    control: Control,
    endpoint: &'a Endpoint,
    /// The name that stands for [`KEY`].
    key: String,
    /// The node of a cluster is tried; without, a cluster is merely found to be one.
    node: bool,
    denied: Vec<&'static str>,
    /// Answers of commands that were tried together, in one round trip.
    ahead: HashMap<Vec<String>, Result<Value, RedisError>>,
    /// The connection went while it was tried.
    broke: bool,
}

/// Connects, learns, and says what is fatal with what to do. A server that is loading is waited for, up to `patience`.
///
/// A node of a cluster is tried with a key of a `slot` of its own; without one, a cluster is merely found to be one.
pub async fn probe(
    endpoint: &Endpoint,
    needs: Needs,
    patience: Duration,
    slot: Option<u16>,
) -> Result<Profile, RunError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (key, node) = (key(slot), slot.is_some());
        let commands = together(needs, node);
        let words: Vec<Vec<&str>> = commands.iter().map(|words| named(words, &key)).collect();
        let (control, look, answers) = when_ready(endpoint, patience, &words).await?;
        let owned = |words: &Vec<&str>| words.iter().map(|word| (*word).to_owned()).collect();
        let mut probe = Probe {
            control,
            endpoint,
            key,
            node,
            denied: Vec::new(),
            ahead: commands.iter().map(owned).zip(answers).collect(),
            broke: false,
        };
        match probe.learn(needs, look).await {
            // A way that lost one connection may keep the next.
            Err(_) if probe.broke && tries < CONNECTS => {}
            ended => return ended,
        }
    }
}

/// A connection to a server that answers PING, what that showed, and in the same round trip its answers to these commands.
async fn when_ready(
    endpoint: &Endpoint,
    patience: Duration,
    commands: &[Vec<&str>],
) -> Result<(Control, Look, Vec<Result<Value, RedisError>>), RunError> {
    let start = Instant::now();
    let mut backoff = Backoff::default();
    let mut told = false;
    let mut closed = 0;
    loop {
        let why = match Control::open(endpoint).await {
            Ok(mut control) => match control.look_and(commands).await {
                Ok((look, answers)) => match look.not_ready {
                    Some(why) => why,
                    None => return Ok((control, look, answers)),
                },
                Err(error) if closed + 1 >= CONNECTS => {
                    return Err(unusable(endpoint, cut(&error)));
                }
                Err(_) => {
                    closed += 1;
                    sleep(backoff.pause()).await;
                    continue;
                }
            },
            Err(ConnectError::NotReady(why)) => why,
            Err(ConnectError::NotRedis(_)) if closed + 1 < CONNECTS => {
                closed += 1;
                sleep(backoff.pause()).await;
                continue;
            }
            Err(error) => return Err(unusable(endpoint, error.to_string())),
        };
        if start.elapsed() > patience {
            let patience = patience.as_secs();
            return Err(unusable(
                endpoint,
                format!("{why}; given up after {patience} s (--reconnect-timeout)"),
            ));
        }
        if !std::mem::replace(&mut told, true) {
            let patience = patience.as_secs();
            warn!(
                "{} {}: {why}; waiting for it, up to {patience} s",
                endpoint.side, endpoint.address
            );
        }
        sleep(backoff.pause()).await;
    }
}

/// What will be looked at, to be asked for at once: over a long way each round trip is felt.
fn together(needs: Needs, node: bool) -> Vec<Vec<&'static str>> {
    // A replica says MOVED of every key until it is told that it is only read.
    let mut commands: Vec<Vec<&str>> = Vec::new();
    if needs.replica && node {
        commands.push(vec!["READONLY"]);
    }
    commands.extend([vec!["INFO"], vec!["DBSIZE"], vec!["PEXPIRETIME", KEY]]);
    let mut add = |needed: bool, more: &[&[&'static str]]| {
        if needed {
            commands.extend(more.iter().map(|words| words.to_vec()));
        }
    };
    add(needs.scans || needs.searches, &[&SCAN]);
    add(needs.searches, &[&["EXISTS", KEY]]);
    add(needs.scan_type, &[&SCAN_TYPE]);
    add(needs.kinds, &[&["TYPE", KEY]]);
    add(needs.memory || needs.weighs, &[&["MEMORY", "USAGE", KEY]]);
    add(
        needs.reads && (needs.dumps || needs.payloads),
        &[&["DUMP", KEY]],
    );
    add(needs.reads && needs.texts, &[&["MGET", KEY]]);
    add(needs.writes && needs.payloads, &[&RESTORE]);
    add(needs.writes, &[&SET, &["DEL", KEY], &SET_UNTIL]);
    add(needs.writes && needs.texts, &[&MSET]);
    // After all that names a key, and to no node of a cluster: servers up to Redis 8.0 and Valkey 8.1 crash where a
    // connection that has it on names a key of a slot that is on its way.
    add(!node, &[&["CLIENT", "NO-TOUCH", "ON"]]);
    // Last: who may not discard stays in it.
    add(
        needs.reads || needs.multi,
        &[&["MULTI"], &["PING"], &["DISCARD"], &["EXEC"]],
    );
    commands
}

/// A name that no application uses, of this slot.
pub(crate) fn key(slot: Option<u16>) -> String {
    let Some(slot) = slot else {
        return NOBODY.to_owned();
    };
    let names = (0_u32..).map(|number| format!("{NOBODY}:{number}"));
    let mut of_slot = names.filter(|name| slots::slot(name.as_bytes()) == slot);
    of_slot.next().unwrap_or_default()
}

/// The words with the name that they stand for.
pub(crate) fn named<'w>(words: &[&'w str], key: &'w str) -> Vec<&'w str> {
    let word = |word: &&'w str| if *word == KEY { key } else { word };
    words.iter().map(word).collect()
}

fn unusable(endpoint: &Endpoint, reason: String) -> RunError {
    RunError::Unusable {
        side: endpoint.side,
        address: endpoint.address.to_string(),
        reason,
    }
}

impl Probe<'_> {
    async fn learn(&mut self, needs: Needs, look: Look) -> Result<Profile, RunError> {
        let look = self.control.looks_after(look).await;
        let look = look.map_err(|error| self.broken(&error))?;
        let mut unproven = Vec::new();
        let info = self.info(&mut unproven).await?;
        let is_cluster = info.is_set("cluster_enabled")
            || (info.is_empty() && self.tried(&["CLUSTER", "SLOTS"]).await? == Tried::Allowed);
        if look.offset.is_none() {
            unproven.push(format!(
                "the {}'s clock cannot be read: TIME is not allowed (ACL rule +time)",
                self.side()
            ));
        }
        let mut profile = Profile {
            is_cluster,
            description: self.describe(&info),
            keys: self.said(&["DBSIZE"]).await.ok(),
            databases: info.databases(),
            expires: info.expires(self.endpoint.database),
            memory: info.number("used_memory"),
            round_trip: look.round_trip,
            run_id: info.text("run_id").map(str::to_owned),
            clock_offset: look.offset,
            evicted_keys: info.number("evicted_keys"),
            pexpiretime: false,
            pxat: false,
            multi: false,
            time: look.offset.is_some(),
            dumps: false,
            restores: false,
            weighs: false,
            no_touch: false,
            scan_type: false,
            searches: false,
            unproven,
            warnings: Vec::new(),
        };
        // On a connection that is not kept: the answer alone counts.
        profile.no_touch = !self.node
            && self.tried(&["CLIENT", "NO-TOUCH", "ON"]).await? == Tried::Allowed
            && !is_cluster;
        if is_cluster && !self.node {
            return Ok(profile);
        }
        self.try_reads(needs, &mut profile).await?;
        if needs.writes {
            self.try_writes(needs, &info, &mut profile).await?;
        }
        if !self.denied.is_empty() {
            return Err(self.lacks_rights());
        }
        Ok(profile)
    }

    async fn info(&mut self, unproven: &mut Vec<String>) -> Result<Info, RunError> {
        match self.said::<String>(&["INFO"]).await {
            Ok(text) => Ok(Info::parse(&text)),
            Err(error) if error.code().is_none() => Err(self.broken(&error)),
            Err(_) => {
                let side = self.side();
                let flushes = if side == Side::Source {
                    ", failovers, evictions, FLUSHALL and SWAPDB"
                } else {
                    " and evictions"
                };
                unproven.push(format!(
                    "the {side}'s restarts{flushes} cannot be seen: INFO is not allowed (ACL rule +info)"
                ));
                Ok(Info::default())
            }
        }
    }

    fn describe(&self, info: &Info) -> String {
        let product = info.product().unwrap_or_else(|| "version unknown".into());
        let mode = info.mode().unwrap_or("standalone");
        let role = if info.text("role") == Some("slave") {
            ", replica"
        } else {
            ""
        };
        let tls = if self.endpoint.tls.is_some() {
            ", TLS"
        } else {
            ""
        };
        format!("{product}, {mode}{role}{tls}")
    }

    async fn try_reads(&mut self, needs: Needs, profile: &mut Profile) -> Result<(), RunError> {
        if needs.scans {
            self.need("SCAN", &SCAN).await?;
            profile.scan_type = needs.scan_type && self.tried(&SCAN_TYPE).await? == Tried::Allowed;
        }
        if needs.searches {
            profile.searches = self.tried(&SCAN).await? == Tried::Allowed
                && self.tried(&["EXISTS", KEY]).await? == Tried::Allowed;
        }
        profile.pexpiretime = self.tried(&["PEXPIRETIME", KEY]).await?.may();
        if needs.expiries && !profile.pexpiretime {
            self.need("PTTL", &["PTTL", KEY]).await?;
        }
        if needs.kinds {
            self.need("TYPE", &["TYPE", KEY]).await?;
        }
        if needs.memory {
            self.need("MEMORY USAGE", &["MEMORY", "USAGE", KEY]).await?;
        }
        if needs.weighs {
            let tried = self.tried(&["MEMORY", "USAGE", KEY]).await?;
            profile.weighs = !matches!(tried, Tried::Denied | Tried::Unknown);
        }
        if needs.reads {
            if needs.dumps {
                self.need("DUMP", &["DUMP", KEY]).await?;
                profile.dumps = true;
            } else if needs.payloads {
                let tried = self.tried(&["DUMP", KEY]).await?;
                profile.dumps = !matches!(tried, Tried::Denied | Tried::Unknown);
            }
            if needs.texts {
                self.need("MGET", &["MGET", KEY]).await?;
                if needs.cluster {
                    self.need("GET", &["GET", KEY]).await?;
                }
            }
        }
        if needs.cluster && (needs.reads || needs.writes) {
            self.need("ASKING", &["ASKING"]).await?;
            self.need("CLUSTER NODES", &["CLUSTER", "NODES"]).await?;
        }
        if needs.replica {
            self.need("READONLY", &["READONLY"]).await?;
        }
        if needs.reads || needs.multi {
            profile.multi = self.tried(&["MULTI"]).await? == Tried::Allowed;
            if profile.multi {
                let queued = self.tried(&["PING"]).await?;
                self.tried(&["DISCARD"]).await?;
                profile.multi = self.tried(&["EXEC"]).await? != Tried::Denied;
                if !needs.multi
                    && !needs.cluster
                    && matches!(queued, Tried::Said(said) if said.starts_with("OOM"))
                {
                    warn!(
                        "{} {}: it is full (maxmemory) and takes no transactions: value and expiry of a key are read one after the other",
                        self.side(),
                        self.endpoint.address
                    );
                    profile.multi = false;
                }
            }
            if needs.multi && !profile.multi {
                self.denied.push("MULTI");
            }
            if needs.reads && needs.texts && !profile.multi {
                self.need("GET", &["GET", KEY]).await?;
            }
        }
        Ok(())
    }

    async fn try_writes(
        &mut self,
        needs: Needs,
        info: &Info,
        profile: &mut Profile,
    ) -> Result<(), RunError> {
        if needs.payloads {
            let tried = self.tried(&RESTORE).await?;
            profile.restores = !matches!(tried, Tried::Denied | Tried::Unknown);
        }
        if let Some(said) = self.need_said("SET", &SET).await? {
            if said.starts_with("READONLY")
                || info.text("role") == Some("slave") && info.text("slave_read_only") == Some("1")
            {
                let master = info.text("master_host").zip(info.text("master_port"));
                let master =
                    master.map_or(String::new(), |(host, port)| format!(" ({host}:{port})"));
                return Err(self.fatal(&format!(
                    "it is a read-only replica: give its master's address{master}"
                )));
            }
            if said.starts_with("OOM") {
                profile
                    .warnings
                    .push(format!("the {} is out of memory now: {said}", self.side()));
            }
        }
        if needs.texts {
            self.need("MSET", &MSET).await?;
        }
        self.need("DEL", &["DEL", KEY]).await?;
        profile.pxat = match self.tried(&SET_UNTIL).await? {
            Tried::Said(said) => !said.contains("syntax"),
            Tried::Allowed | Tried::Unknown | Tried::Denied => false,
        };
        if !profile.pxat {
            self.need("PEXPIREAT", &["PEXPIREAT", KEY, "1"]).await?;
        }
        if needs.waits {
            self.need("WAIT", &["WAIT", "0", "1"]).await?;
        }
        if let Some(policy) = info
            .text("maxmemory_policy")
            .filter(|policy| *policy != "noeviction")
            && info.number("maxmemory").is_some_and(|limit| limit > 0)
        {
            profile.warnings.push(format!(
                "the target evicts keys when it is full (maxmemory-policy {policy}): noeviction is safer for a migration"
            ));
        }
        Ok(())
    }

    /// Tries a command that the run cannot do without.
    async fn need(&mut self, name: &'static str, words: &[&str]) -> Result<(), RunError> {
        self.need_said(name, words).await.map(|_| ())
    }

    async fn need_said(
        &mut self,
        name: &'static str,
        words: &[&str],
    ) -> Result<Option<String>, RunError> {
        match self.tried(words).await? {
            Tried::Allowed => Ok(None),
            Tried::Said(said) => Ok(Some(said)),
            Tried::Denied | Tried::Unknown => {
                self.denied.push(name);
                Ok(None)
            }
        }
    }

    /// What the server says to a command: asked before, or now.
    async fn said<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, RedisError> {
        let key: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match self.ahead.remove(&key) {
            Some(answer) => Ok(T::from_redis_value(answer?)?),
            None => self.control.words(&named(words, &self.key)).await,
        }
    }

    async fn tried(&mut self, words: &[&str]) -> Result<Tried, RunError> {
        let answer = self.said::<Value>(words).await;
        Tried::of(answer).map_err(|error| self.broken(&error))
    }

    fn lacks_rights(&self) -> RunError {
        let user = self.endpoint.user.as_deref().unwrap_or("default");
        let commands = self.denied.join(", ");
        let rules: Vec<String> = self
            .denied
            .iter()
            .map(|name| format!("+{}", name.to_lowercase().replace(' ', "|")))
            .collect();
        self.fatal(&format!(
            "user {user} may not run {commands}: ACL SETUSER {user} {}, or another user (--{}-user)",
            rules.join(" "),
            self.side()
        ))
    }

    fn side(&self) -> Side {
        self.endpoint.side
    }

    fn fatal(&self, reason: &str) -> RunError {
        unusable(self.endpoint, reason.to_owned())
    }

    fn broken(&mut self, error: &RedisError) -> RunError {
        self.broke = true;
        unusable(self.endpoint, cut(error))
    }
}

fn cut(error: &RedisError) -> String {
    // The crate's words may be several lines.
    let words = error.to_string();
    let words: Vec<&str> = words.split_whitespace().collect();
    format!(
        "the connection broke while it was tried: {}; is something between that cuts it?",
        words.join(" ")
    )
}
