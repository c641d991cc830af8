//! Watches the source of a live run, once a second: what no event tells of, and how much the source holds for riot.

mod look;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{FromRedisValue, RedisError, Value};
use tokio::time::{Instant, timeout};

use self::look::Look;
use super::class::Seen;
use super::control::Control;
use super::info::Info;
use super::suspicion::Suspicion;
use super::way::Wanted;
use crate::config::Endpoint;
use crate::error::denies_a_command;
use crate::slots::SlotSet;

/// One look may take this long.
const LIMIT: Duration = Duration::from_secs(5);
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
    /// A node of the target may have lost what it had of these slots.
    Lost(String, SlotSet),
    /// Notifications do not tell of everything any more.
    Deaf(String),
    /// Some notifications do not come, by all that is known.
    Silent(String),
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is known of the events"
)]
pub struct Watched {
    /// What notifications must tell of.
    pub wanted: Wanted,
    /// All names are wanted: what the server does must show in the events.
    pub whole: bool,
    /// Notifications are the only way: they must tell of everything.
    pub notified: bool,
    /// `notify-keyspace-events` can be asked for.
    pub setting_is_known: bool,
    /// Tracking tells of FLUSHALL and FLUSHDB by itself.
    pub tracked: bool,
}

impl Watched {
    /// Notifications are not the only way any more: tracking tells of everything.
    pub fn is_tracked_now(&mut self) {
        self.tracked = true;
        self.notified = false;
    }
}

/// Looks at the source, and holds each look against the one before.
pub struct Watchdog {
    watched: Watched,
    endpoint: Arc<Endpoint>,
    /// Notifications by class.
    seen: Arc<Seen>,
    /// CLIENT IDs of the event connections.
    clients: Arc<Mutex<Vec<i64>>>,
    control: Option<Control>,
    before: Option<Look>,
    suspicion: Suspicion,
    deaf: bool,
    told: HashSet<&'static str>,
    ready: bool,
    saw: bool,
}

impl Watchdog {
    /// A watch over one server; its first look is what the next is held against.
    #[must_use]
    pub fn new(
        watched: Watched,
        endpoint: Arc<Endpoint>,
        seen: Arc<Seen>,
        clients: Arc<Mutex<Vec<i64>>>,
    ) -> Self {
        Self {
            watched,
            endpoint,
            seen,
            clients,
            control: None,
            before: None,
            suspicion: Suspicion::default(),
            deaf: false,
            told: HashSet::new(),
            ready: true,
            saw: false,
        }
    }

    /// Whether the source was at one with itself when it was looked at last: not loading, and with its master.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the last look saw anything.
    #[must_use]
    pub fn saw(&self) -> bool {
        self.saw
    }

    /// Notifications are not the only way any more: tracking tells of everything.
    pub fn is_tracked_now(&mut self) {
        self.watched.is_tracked_now();
    }

    /// One look. A source that is away has nothing to say: the next look is held against the one before.
    pub async fn look(&mut self) -> Vec<Alarm> {
        let asked = timeout(LIMIT, self.ask()).await;
        let looked =
            asked.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        self.saw = looked.is_ok();
        match looked {
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
                let opened = Control::open(&self.endpoint).await;
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
                Err(error) if denied(&error) || is_unknown(&error) => {
                    self.unproven(
                        "INFO",
                        "the source's restarts, failovers, evictions, FLUSHALL and SWAPDB cannot be seen: INFO is not allowed (ACL rule +info)",
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
        let others = info.has_other_databases(self.endpoint.database);
        if others && self.told.insert("databases") {
            alarms.push(Alarm::OtherDatabases);
        }
        if let Some(before) = &self.before {
            let gaps = look.gaps(before, (self.watched.tracked, self.watched.notified));
            alarms.extend(gaps.into_iter().map(Alarm::Gap));
            if look.silent_stream_commands != before.silent_stream_commands {
                alarms.push(Alarm::Streams);
            }
        }
        let telling = self.watched.whole && !others;
        if self.watched.notified && !self.watched.setting_is_known && telling && !self.deaf {
            let silent = self.suspicion.look(info, &self.seen, Instant::now());
            if let Some(class) = silent {
                self.deaf = true;
                alarms.push(Alarm::Silent(format!(
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
        if answer.as_ref().is_err_and(denied) {
            // From now on the statistics must tell.
            self.watched.setting_is_known = false;
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
        let own = self.endpoint.database;
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
                if self.told.insert("databases") {
                    alarms.push(Alarm::OtherDatabases);
                }
                break;
            }
        }
        let back = own.to_string();
        if control.words::<Value>(&["SELECT", &back]).await.is_err() {
            self.control = None;
        }
    }
}

/// Whether the server says that it has no such command.
fn is_unknown(error: &RedisError) -> bool {
    error.code() == Some("ERR")
        && error
            .detail()
            .is_some_and(|detail| detail.contains("unknown command"))
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

    #[test]
    fn own_output_memory_is_summed() {
        let list = "id=3 addr=x omem=100 tot-mem=7\nid=33 addr=x omem=5000\nid=4 addr=x omem=20\n";
        assert_eq!(output_memory(list, &["3".into(), "4".into()]), 120);
    }
}
