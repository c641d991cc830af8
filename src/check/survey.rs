//! What one server tells of itself and of its user's rights. Nothing is written: what would write is queued in a transaction
//! that is never executed, or has no right form.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{FromRedisValue, RedisError, Value, cmd};
use tokio::task::JoinSet;

use super::rights::{Right, Trial};
use super::{modules, payload};
use crate::config::{Endpoint, Side};
use crate::error::RunError;
use crate::nodes::Nodes;
use crate::server::{Control, Info, KEY, Tried, key, named};
use crate::session::used;
use crate::temporary;

/// A payload of more memory than this is not asked for: its version is in the last bytes.
const SMALL: u64 = 64 << 10;
/// Keys of which the smallest is looked at.
const SAMPLE: &str = "10";

/// What one server tells.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) address: String,
    /// Empty where INFO is not allowed.
    pub(super) info: Info,
    /// `notify-keyspace-events`; else why it is not known.
    pub(super) setting: Result<String, Tried>,
    /// ACL users beside the default one, where ACL LIST is allowed.
    pub(super) users: Option<u64>,
    /// The names of its modules; else why they are not known.
    pub(super) modules: Result<Vec<String>, Tried>,
    /// Of the source, types of its modules of which keys were seen.
    pub(super) module_kinds: Vec<&'static str>,
    /// By the rights' names; those that could not be tried are not in it.
    pub(super) tried: HashMap<&'static str, Tried>,
    /// The user may access some keys alone.
    pub(super) limited: bool,
    /// And the names under which big values are built are not among them.
    pub(super) no_temporary: bool,
    /// Of the source, the RDB version of a payload, where a key is there to look at.
    pub(super) version: Option<u16>,
}

/// Asks each node of a side that the run would speak to.
pub(super) async fn survey(nodes: &Nodes, rights: &[Right]) -> Result<Vec<Survey>, RunError> {
    let routes = nodes.routes();
    let mut surveys = JoinSet::new();
    for (place, node) in used(nodes, &routes).into_iter().enumerate() {
        let slots = match nodes.side() {
            Side::Source => routes.read_at(&node),
            Side::Target => routes.written_at(&node),
        };
        let slot = slots.iter().next().filter(|_| nodes.is_cluster());
        let endpoint = node.link().endpoint().clone();
        let rights = rights.to_vec();
        surveys.spawn(async move {
            let surveyed = one(&endpoint, slot, &rights).await;
            (place, endpoint, surveyed)
        });
    }
    let mut found = Vec::new();
    while let Some(joined) = surveys.join_next().await {
        let (place, endpoint, surveyed) =
            joined.map_err(|error| RunError::Internal(format!("a survey panicked: {error}")))?;
        found.push((place, surveyed.map_err(|reason| lost(&endpoint, reason))?));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, survey)| survey).collect())
}

/// Whether every node takes payloads of this version; `None` where one does not tell.
pub(super) async fn reads_version(nodes: &Nodes, version: u16) -> Result<Option<bool>, RunError> {
    let routes = nodes.routes();
    let mut all = Some(true);
    for node in routes.masters() {
        let endpoint = node.link().endpoint();
        let slot = routes.written_at(&node).iter().next();
        let name = key(slot.filter(|_| nodes.is_cluster()));
        let mut control = Control::open(endpoint)
            .await
            .map_err(|error| lost(endpoint, error.to_string()))?;
        let mut restore = cmd("RESTORE");
        restore.arg(name).arg(0).arg(payload::hollow(version));
        let tried = Tried::of(control.query::<Value>(&restore).await)
            .map_err(|error| lost(endpoint, error.to_string()))?;
        let reads = match tried {
            Tried::Said(said) => payload::reads(&said),
            Tried::Allowed | Tried::Unknown | Tried::Denied => None,
        };
        all = match (all, reads) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
    }
    Ok(all)
}

fn lost(endpoint: &Endpoint, reason: String) -> RunError {
    RunError::Unusable {
        side: endpoint.side,
        address: endpoint.address.to_string(),
        reason,
    }
}

async fn one(
    endpoint: &Arc<Endpoint>,
    slot: Option<u16>,
    rights: &[Right],
) -> Result<Survey, String> {
    let control = Control::open(endpoint)
        .await
        .map_err(|error| error.to_string())?;
    let key = key(slot);
    let mut surveyor = Surveyor {
        control,
        survey: Survey {
            address: endpoint.address.to_string(),
            info: Info::default(),
            setting: Err(Tried::Unknown),
            users: None,
            modules: Err(Tried::Unknown),
            module_kinds: Vec::new(),
            tried: HashMap::new(),
            limited: false,
            no_temporary: false,
            version: None,
        },
        temporary: String::from_utf8_lossy(&temporary::owner(key.as_bytes())).into_owned(),
        key,
        user: endpoint.user.as_deref().unwrap_or("default"),
    };
    let surveyed = surveyor.ask(rights, endpoint.side).await;
    surveyed.map_err(|error| error.to_string())?;
    Ok(surveyor.survey)
}

struct Surveyor<'a> {
    control: Control,
    survey: Survey,
    key: String,
    /// A name under which a big value would be built.
    temporary: String,
    user: &'a str,
}

impl Surveyor<'_> {
    async fn ask(&mut self, rights: &[Right], side: Side) -> Result<(), RedisError> {
        self.facts().await?;
        if side == Side::Source {
            self.survey.version = self.sample().await?;
            self.module_keys().await?;
        }
        let run: Vec<&Right> = rights
            .iter()
            .filter(|right| right.trial == Trial::Run && right.name != "MULTI")
            .collect();
        self.try_all(&run).await?;
        // Last: nothing is executed on this connection any more. It is closed with what is queued.
        let multi = Tried::of(self.control.words(&["MULTI"]).await)?;
        let transaction = multi == Tried::Allowed;
        self.survey.tried.insert("MULTI", multi);
        let mut queued: Vec<&Right> = rights
            .iter()
            .filter(|right| match right.trial {
                Trial::Run => false,
                Trial::Queued => true,
                Trial::QueuedAlone => transaction,
            })
            .collect();
        // Without a transaction these would write; what the access list says of them may be asked.
        if !transaction {
            self.dry_run(rights).await?;
        }
        // A malformed SET tells by itself whether the name may be written.
        queued.sort_by_key(|right| right.name != "SET");
        self.try_all(&queued).await?;
        if side == Side::Target && self.survey.tried.get("SET").is_some_and(Tried::may) {
            let set = named(&["SET", KEY, "x", "EX", "none"], &self.temporary);
            let tried = Tried::of(self.control.words(&set).await)?;
            self.survey.no_temporary = denies_the_key(&tried);
        }
        Ok(())
    }

    async fn facts(&mut self) -> Result<(), RedisError> {
        let commands = [
            vec!["INFO"],
            vec!["CONFIG", "GET", "notify-keyspace-events"],
            vec!["ACL", "LIST"],
            vec!["MODULE", "LIST"],
        ];
        let mut answers = self.control.all(&commands).await?.into_iter();
        if let Some(Ok(answer)) = answers.next()
            && let Ok(text) = String::from_redis_value(answer)
        {
            self.survey.info = Info::parse(&text);
        }
        if let Some(answer) = answers.next() {
            let pairs = answer.clone().ok().and_then(pairs);
            self.survey.setting = match pairs.and_then(|pairs| pairs.into_iter().next()) {
                Some((_, setting)) => Ok(setting),
                None => Err(Tried::of(answer)?),
            };
        }
        if let Some(Ok(answer)) = answers.next() {
            let users = Vec::<String>::from_redis_value(answer).ok();
            let others = users.map(|users| {
                let users = users.iter();
                users
                    .filter(|user| !user.starts_with("user default "))
                    .count()
            });
            self.survey.users = others.and_then(|others| u64::try_from(others).ok());
        }
        if let Some(answer) = answers.next() {
            self.survey.modules = match answer.as_ref().ok().and_then(modules::names) {
                Some(names) => Ok(names),
                None => Err(Tried::of(answer)?),
            };
        }
        Ok(())
    }

    /// Looks for keys of the modules' types among the first ones.
    async fn module_keys(&mut self) -> Result<(), RedisError> {
        let names = self.survey.modules.as_deref().unwrap_or_default();
        let kinds = names.iter().flat_map(|name| modules::kinds(name));
        for kind in kinds.copied().collect::<Vec<_>>() {
            let words = ["SCAN", "0", "COUNT", modules::LOOKED_AT, "TYPE", kind];
            match self.control.words::<(Value, Vec<Vec<u8>>)>(&words).await {
                Ok((_, keys)) if keys.is_empty() => {}
                Ok(_) => self.survey.module_kinds.push(kind),
                Err(error) if error.code().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The RDB version of the smallest of a few keys' payloads; `None` where there is none to look at.
    async fn sample(&mut self) -> Result<Option<u16>, RedisError> {
        let page = self
            .control
            .words::<(Value, Vec<Vec<u8>>)>(&["SCAN", "0", "COUNT", SAMPLE]);
        let names = match page.await {
            Ok((_, names)) => names,
            Err(error) if error.code().is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut smallest: Option<(u64, &Vec<u8>)> = None;
        for name in names.iter().take(10) {
            let mut ask = cmd("MEMORY");
            ask.arg("USAGE").arg(name);
            let Ok(size) = self.control.query::<u64>(&ask).await else {
                continue;
            };
            if size < SMALL && smallest.is_none_or(|(least, _)| size < least) {
                smallest = Some((size, name));
            }
        }
        let Some((_, name)) = smallest else {
            return Ok(None);
        };
        let mut dump = cmd("DUMP");
        dump.arg(name);
        match self.control.query::<Option<Vec<u8>>>(&dump).await {
            Ok(payload) => Ok(payload.and_then(|payload| payload::version(&payload))),
            Err(error) if error.code().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tries commands in one round trip.
    async fn try_all(&mut self, rights: &[&Right]) -> Result<(), RedisError> {
        if rights.is_empty() {
            return Ok(());
        }
        let commands: Vec<Vec<&str>> = rights
            .iter()
            .map(|right| named(right.words, &self.key))
            .collect();
        let answers = self.control.all(&commands).await?;
        for (right, answer) in rights.iter().zip(answers) {
            let tried = Tried::of(answer)?;
            self.survey.limited |= denies_the_key(&tried);
            self.survey.tried.insert(right.name, tried);
        }
        Ok(())
    }

    /// What the access list says of commands that cannot be tried, where that may be asked (from Redis 7.0 on).
    async fn dry_run(&mut self, rights: &[Right]) -> Result<(), RedisError> {
        for right in rights
            .iter()
            .filter(|right| right.trial == Trial::QueuedAlone)
        {
            let mut words = vec!["ACL", "DRYRUN", self.user];
            words.extend(named(right.words, &self.key));
            let said = match self.control.words::<String>(&words).await {
                Ok(said) => said,
                Err(error) if error.code().is_some() => return Ok(()),
                Err(error) => return Err(error),
            };
            let tried = if said == "OK" || !said.contains("permissions to run the") {
                Tried::Allowed
            } else {
                Tried::Denied
            };
            self.survey.tried.insert(right.name, tried);
        }
        Ok(())
    }
}

/// The command may be run, on other keys.
fn denies_the_key(tried: &Tried) -> bool {
    matches!(tried, Tried::Said(said) if said.starts_with("NOPERM"))
}

/// The answer to CONFIG GET.
fn pairs(value: Value) -> Option<Vec<(String, String)>> {
    Vec::<(String, String)>::from_redis_value(value).ok()
}
