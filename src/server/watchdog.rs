//! Watches the source of a live run, once a second: what no event tells of, and how much the source holds for riot.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{FromRedisValue, RedisError, Value};
use tokio::time::Instant;

use super::class::Seen;
use super::control::Control;
use super::info::Info;
use super::suspicion::Suspicion;
use super::way::Wanted;
use crate::config::Endpoint;
use crate::error::denies_a_command;

/// Bytes that the source may hold for riot's event connections.
const MOST_HELD: u64 = 32 << 20;

const SECTIONS: [&str; 6] = [
    "server",
    "replication",
    "stats",
    "commandstats",
    "persistence",
    "keyspace",
];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// Changes may have been missed, for this reason.
    Gap(String),
    /// Notifications do not tell of everything any more.
    Deaf(String),
    /// The source holds too many bytes for the event connections.
    Backlog(u64),
    /// Streams were changed in a way that no event tells of.
    Streams,
    /// Other databases than the run's have keys.
    OtherDatabases,
    /// Something cannot be looked at, with the rule that allows it.
    Unproven(String),
}

/// What of the source is watched.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The source.
    pub endpoint: Arc<Endpoint>,
    /// What notifications must tell of.
    pub wanted: Wanted,
    /// Notifications by class.
    pub seen: Arc<Seen>,
    /// Notifications are the only way: they must tell of everything.
    pub notified: bool,
    /// `notify-keyspace-events` can be asked for.
    pub setting_is_known: bool,
    /// Tracking tells of FLUSHALL and FLUSHDB by itself.
    pub tracked: bool,
    /// CLIENT IDs of the event connections.
    pub clients: Arc<Mutex<Vec<i64>>>,
}

/// Looks at the source, and holds each look against the one before.
pub struct Watchdog {
    watched: Watched,
    control: Option<Control>,
    before: Option<Look>,
    suspicion: Suspicion,
    deaf: bool,
    told: HashSet<&'static str>,
    ready: bool,
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    run_id: Option<String>,
    role: Option<String>,
    replid: Option<String>,
    /// A replica that is not at one with its master.
    apart: bool,
    loading: bool,
    offset: Option<u64>,
    backlog: Option<Backlog>,
    flushes: u64,
    swaps: u64,
    silent_stream_commands: u64,
    commands: Option<u64>,
    infos: u64,
}

/// A replica's backlog of what its master sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backlog {
    first: u64,
    held: u64,
    size: u64,
}

impl Look {
    fn of(info: &Info) -> Self {
        let replica = info.text("role") == Some("slave");
        let calls = |names: &[&str]| names.iter().map(|name| info.calls(name)).sum();
        Self {
            run_id: info.text("run_id").map(str::to_owned),
            role: info.text("role").map(str::to_owned),
            replid: info.text("master_replid").map(str::to_owned),
            apart: replica
                && (info.text("master_link_status") != Some("up")
                    || info.is_set("master_sync_in_progress")),
            loading: info.is_set("loading") || info.is_set("async_loading"),
            offset: info.number("master_repl_offset"),
            backlog: info
                .number("repl_backlog_first_byte_offset")
                .zip(info.number("repl_backlog_histlen"))
                .zip(info.number("repl_backlog_size"))
                .map(|((first, held), size)| Backlog { first, held, size })
                .filter(|_| replica),
            flushes: calls(&["flushall", "flushdb"]),
            swaps: calls(&["swapdb"]),
            silent_stream_commands: calls(&[
                "xsetid",
                "xgroup",
                "xgroup|setid",
                "xgroup|delconsumer",
            ]),
            commands: info.number("total_commands_processed"),
            infos: info.calls("info"),
        }
    }

    /// What happened since the look before that no event tells of.
    fn gaps(&self, before: &Self, tracked: bool) -> Vec<String> {
        let mut gaps = Vec::new();
        let mut gap = |happened: bool, cause: &str| {
            if happened {
                gaps.push(cause.to_owned());
            }
        };
        let restarted = self.run_id != before.run_id;
        gap(restarted, "the source was restarted, or is another server");
        gap(
            self.role != before.role,
            "the source's role changed: a failover",
        );
        gap(
            !restarted && self.replid != before.replid,
            "the source's replication history changed: it follows another master, or is one now",
        );
        gap(
            self.apart && !before.apart,
            "the source lost its master, or loads all of the master's keys",
        );
        let loads = self.loading && !before.loading;
        gap(loads && !restarted, "the source loads its keys again");
        gap(
            !self.apart && self.began_anew(before),
            "the source loaded all of its master's keys again",
        );
        let reset = self.commands < before.commands || self.infos < before.infos;
        gap(
            !restarted && reset,
            "the source's statistics were reset: FLUSHALL and SWAPDB cannot be told from them",
        );
        gap(
            !tracked && self.flushes > before.flushes,
            "FLUSHALL or FLUSHDB at the source",
        );
        gap(self.swaps > before.swaps, "SWAPDB at the source");
        gaps
    }

    /// A replica's backlog that begins behind what it had is new: a full synchronisation came between.
    fn began_anew(&self, before: &Self) -> bool {
        let (Some(now), Some(offset)) = (self.backlog, before.offset) else {
            return false;
        };
        // One that was merely cut at its end is as full as it can be.
        now.first > offset + 1 && now.held < now.size / 10 * 9
    }
}

impl Watchdog {
    /// A watch; its first look is what the next is held against.
    #[must_use]
    pub fn new(watched: Watched) -> Self {
        Self {
            watched,
            control: None,
            before: None,
            suspicion: Suspicion::default(),
            deaf: false,
            told: HashSet::new(),
            ready: true,
        }
    }

    /// Whether the source was at one with itself when it was looked at last: not loading, and with its master.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Notifications are not the only way any more: tracking tells of everything.
    pub fn is_tracked_now(&mut self) {
        self.watched.tracked = true;
        self.watched.notified = false;
    }

    /// One look. A source that is away has nothing to say: the next look is held against the one before.
    pub async fn look(&mut self) -> Vec<Alarm> {
        match self.ask().await {
            Ok(alarms) => alarms,
            Err(problem) => {
                tracing::debug!("the source cannot be looked at: {problem}");
                self.control = None;
                self.ready = false;
                Vec::new()
            }
        }
    }

    async fn ask(&mut self) -> Result<Vec<Alarm>, String> {
        let ids: Vec<String> = self
            .watched
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut commands: Vec<Vec<&str>> = SECTIONS
            .iter()
            .map(|section| vec!["INFO", section])
            .collect();
        let sections = commands.len();
        commands.push(vec!["CONFIG", "GET", "notify-keyspace-events"]);
        let mut list = vec!["CLIENT", "LIST"];
        // Redis 6.0 lists all clients or none.
        let by_id = !self.told.contains("CLIENT LIST ID") && !ids.is_empty();
        if by_id {
            list.push("ID");
            list.extend(ids.iter().map(String::as_str));
        }
        commands.push(list);
        let control = match &mut self.control {
            Some(control) => control,
            slot => {
                let opened = Control::open(&self.watched.endpoint).await;
                slot.insert(opened.map_err(|error| error.to_string())?)
            }
        };
        let mut answers = control
            .all(&commands)
            .await
            .map_err(|error| error.to_string())?
            .into_iter();
        let infos: Vec<_> = answers.by_ref().take(sections).collect();
        let mut alarms = Vec::new();
        let info = self.info(infos, &mut alarms)?;
        if let Some(setting) = answers.next() {
            self.setting(setting, &mut alarms);
        }
        if let Some(list) = answers.next() {
            self.held(list, by_id, &ids, &mut alarms);
        }
        match info {
            Some(info) => self.judge(&info, &mut alarms),
            None => self.ready = true,
        }
        if self.before.is_none() && self.told.contains("INFO") {
            self.databases(&mut alarms).await;
        }
        Ok(alarms)
    }

    fn info(
        &mut self,
        answers: Vec<Result<Value, RedisError>>,
        alarms: &mut Vec<Alarm>,
    ) -> Result<Option<Info>, String> {
        let mut all = Info::default();
        for answer in answers {
            match answer.and_then(|value| Ok(String::from_redis_value(value)?)) {
                Ok(text) => all.extend(Info::parse(&text)),
                Err(error) if denied(&error) => {
                    self.unproven(
                        "INFO",
                        "restarts, failovers, FLUSHALL and SWAPDB at the source cannot be seen: INFO is not allowed (ACL rule +info)",
                        alarms,
                    );
                    return Ok(None);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(Some(all))
    }

    fn unproven(&mut self, what: &'static str, line: &str, alarms: &mut Vec<Alarm>) {
        if self.told.insert(what) {
            alarms.push(Alarm::Unproven(line.to_owned()));
        }
    }

    fn judge(&mut self, info: &Info, alarms: &mut Vec<Alarm>) {
        let look = Look::of(info);
        self.ready = !look.apart && !look.loading;
        if info.has_other_databases(self.watched.endpoint.database) {
            alarms.push(Alarm::OtherDatabases);
        }
        if let Some(before) = &self.before {
            let gaps = look.gaps(before, self.watched.tracked);
            alarms.extend(gaps.into_iter().map(Alarm::Gap));
            if look.silent_stream_commands != before.silent_stream_commands {
                alarms.push(Alarm::Streams);
            }
        }
        if self.watched.notified && !self.watched.setting_is_known && !self.deaf {
            let silent = self
                .suspicion
                .look(info, &self.watched.seen, Instant::now());
            if let Some(class) = silent {
                self.deaf = true;
                alarms.push(Alarm::Deaf(format!(
                    "commands of class {class:?} ran for 10 s, and none of their notifications came"
                )));
            }
        }
        self.before = Some(look);
    }

    fn setting(&mut self, answer: Result<Value, RedisError>, alarms: &mut Vec<Alarm>) {
        if !self.watched.notified || !self.watched.setting_is_known || self.deaf {
            return;
        }
        let pair = answer.and_then(|value| Ok(Vec::<(String, String)>::from_redis_value(value)?));
        let Some((_, setting)) = pair.ok().and_then(|pairs| pairs.into_iter().next()) else {
            return;
        };
        if !self.watched.wanted.covered_by(&setting) {
            self.deaf = true;
            alarms.push(Alarm::Deaf(format!(
                "notify-keyspace-events was set to \"{setting}\""
            )));
        }
    }

    /// Bytes that the source holds for the event connections.
    fn held(
        &mut self,
        answer: Result<Value, RedisError>,
        by_id: bool,
        ids: &[String],
        alarms: &mut Vec<Alarm>,
    ) {
        match answer.and_then(|value| Ok(String::from_redis_value(value)?)) {
            Ok(list) => {
                let held = output_memory(&list, ids);
                if held > MOST_HELD {
                    alarms.push(Alarm::Backlog(held));
                }
            }
            Err(error) if denied(&error) => self.unproven(
                "CLIENT LIST",
                "what the source holds for riot's event connections cannot be seen: CLIENT LIST is not allowed (ACL rule +client|list)",
                alarms,
            ),
            Err(error) if by_id => {
                tracing::debug!("CLIENT LIST ID: {error}");
                self.told.insert("CLIENT LIST ID");
            }
            Err(error) => tracing::debug!("CLIENT LIST: {error}"),
        }
    }

    /// Without INFO: whether other databases have keys, database by database.
    async fn databases(&mut self, alarms: &mut Vec<Alarm>) {
        let own = self.watched.endpoint.database;
        let numbers: Vec<String> = (0..64).map(|number: u32| number.to_string()).collect();
        let mut commands = Vec::new();
        for number in &numbers {
            commands.push(vec!["SELECT", number.as_str()]);
            commands.push(vec!["DBSIZE"]);
        }
        let Some(control) = &mut self.control else {
            return;
        };
        let Ok(answers) = control.all(&commands).await else {
            self.control = None;
            return;
        };
        let mut answers = answers.into_iter();
        for number in 0..64 {
            let (Some(selected), Some(size)) = (answers.next(), answers.next()) else {
                break;
            };
            if selected.is_err() {
                break;
            }
            // Without the right to count, any database may have keys.
            let keys = size.and_then(|value| Ok(u64::from_redis_value(value)?));
            if number != own && keys.unwrap_or(1) > 0 {
                alarms.push(Alarm::OtherDatabases);
                break;
            }
        }
        let back = own.to_string();
        if control.words::<Value>(&["SELECT", &back]).await.is_err() {
            self.control = None;
        }
    }
}

fn denied(error: &RedisError) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    let said = format!("{code} {}", error.detail().unwrap_or_default());
    denies_a_command(said.as_bytes())
}

/// `omem` of the clients with these ids, together.
fn output_memory(list: &str, ids: &[String]) -> u64 {
    list.lines()
        .filter_map(|line| {
            let field = |name: &str| {
                line.split(' ')
                    .find_map(|field| field.strip_prefix(name))
                    .map(str::to_owned)
            };
            let id = field("id=")?;
            ids.contains(&id)
                .then(|| field("omem=")?.parse::<u64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Look {
        Look::of(&Info::parse(text))
    }

    const MASTER: &str = "run_id:a\r\nrole:master\r\nmaster_replid:r\r\ntotal_commands_processed:100\r\n\
        cmdstat_info:calls=9\r\ncmdstat_flushall:calls=1\r\n";

    #[test]
    fn a_quiet_second_is_no_gap() {
        assert!(look(MASTER).gaps(&look(MASTER), false).is_empty());
    }

    #[test]
    fn what_no_event_tells_of_is_a_gap() {
        let before = look(MASTER);
        for (from, to, words) in [
            ("run_id:a", "run_id:b", "restarted"),
            ("role:master", "role:slave\r\nmaster_link_status:up", "role"),
            ("replid:r", "replid:s", "history"),
            ("calls=1", "calls=2", "FLUSHALL"),
            ("processed:100", "processed:7", "reset"),
            ("calls=9", "calls=9\r\ncmdstat_swapdb:calls=1", "SWAPDB"),
            ("run_id:a", "run_id:a\r\nloading:1", "loads"),
        ] {
            let gaps = look(&MASTER.replace(from, to)).gaps(&before, false);
            assert!(gaps.len() == 1 && gaps[0].contains(words), "{to}: {gaps:?}");
        }
        let flushed = look(&MASTER.replace("calls=1", "calls=2"));
        assert!(flushed.gaps(&before, true).is_empty(), "tracking tells");
    }

    #[test]
    fn a_replica_that_synchronised_in_full_has_a_new_backlog() {
        let replica = |offset: u64, first: u64, held: u64| {
            look(&format!(
                "role:slave\r\nmaster_link_status:up\r\nmaster_repl_offset:{offset}\r\n\
                 repl_backlog_first_byte_offset:{first}\r\nrepl_backlog_histlen:{held}\r\nrepl_backlog_size:1048576\r\n"
            ))
        };
        let before = replica(5000, 1, 5000);
        assert!(replica(6000, 1, 6000).gaps(&before, true).is_empty());
        assert_eq!(replica(9100, 9001, 100).gaps(&before, true).len(), 1);
        let trimmed = replica(3_000_000, 1_951_425, 1_048_576);
        assert!(trimmed.gaps(&before, true).is_empty());
    }

    #[test]
    fn own_output_memory_is_summed() {
        let list = "id=3 addr=x omem=100 tot-mem=7\nid=33 addr=x omem=5000\nid=4 addr=x omem=20\n";
        assert_eq!(output_memory(list, &["3".into(), "4".into()]), 120);
    }
}
