//! Which databases a side has, and how many keys are in each.

use std::collections::{BTreeMap, BTreeSet};

use redis::{FromRedisValue, RedisError, Value};

use crate::config::{Config, Endpoint, Side};
use crate::error::RunError;
use crate::server::{Control, Info, Needs, Profile, probe};
use crate::text::thousands;

/// Without INFO, no more databases are gone through.
const MOST: u32 = 4096;

/// Keys by database: those that have some, or of which that cannot be known.
pub(crate) type Keys = BTreeMap<u32, Option<u64>>;

/// One side, and what is in its databases.
pub(crate) struct Census {
    /// What was learnt of the server.
    pub(crate) profile: Profile,
    pub(crate) keys: Keys,
    /// How many databases there are, where that is told.
    pub(crate) total: Option<u32>,
    /// What cannot be known, with the ACL rule that would mend it.
    pub(crate) unknown: Option<&'static str>,
    /// Databases that were asked for and are not there, each with why.
    absent: BTreeMap<u32, String>,
    pub(crate) counter: Counter,
}

impl Census {
    /// Looks at a side, which is waited for as any other run waits; `named`: databases that have to be there.
    pub(crate) async fn take(
        endpoint: &Endpoint,
        config: &Config,
        named: &BTreeSet<u32>,
    ) -> Result<Self, RunError> {
        let patience = config.flow.reconnect_timeout;
        let profile = probe(endpoint, Needs::default(), patience, None).await?;
        let mut counter = Counter::new(endpoint.clone(), profile.is_cluster);
        let unusable = |reason| unusable(endpoint, reason);
        let (keys, unknown) = counter.count().await.map_err(unusable)?;
        let total = counter.total().await;
        let mut census = Self {
            profile,
            keys,
            total,
            unknown,
            absent: BTreeMap::new(),
            counter,
        };
        census.look_for(named.iter().copied()).await?;
        Ok(census)
    }

    /// Learns whether these databases are there.
    pub(crate) async fn look_for(
        &mut self,
        numbers: impl Iterator<Item = u32>,
    ) -> Result<(), RunError> {
        if self.profile.is_cluster {
            return Ok(());
        }
        for number in numbers {
            match self.counter.select(number).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    self.absent.insert(number, why);
                }
                Err(why) => return Err(unusable(&self.counter.endpoint, why)),
            }
        }
        Ok(())
    }

    /// The first database that was looked for and is not there, with why.
    pub(crate) fn absent(&self) -> Option<(u32, &str)> {
        let (number, why) = self.absent.first_key_value()?;
        Some((*number, why))
    }

    /// Whether this database was looked for and is not there.
    pub(crate) fn is_absent(&self, number: u32) -> bool {
        self.absent.contains_key(&number)
    }

    /// Which side it is.
    pub(crate) fn side(&self) -> Side {
        self.counter.endpoint.side
    }

    /// An error that names the side.
    pub(crate) fn unusable(&self, reason: String) -> RunError {
        unusable(&self.counter.endpoint, reason)
    }
}

fn unusable(endpoint: &Endpoint, reason: String) -> RunError {
    RunError::Unusable {
        side: endpoint.side,
        address: endpoint.address.to_string(),
        reason,
    }
}

/// Asks one server for the keys of its databases, on a connection that comes back by itself.
pub(crate) struct Counter {
    endpoint: Endpoint,
    cluster: bool,
    control: Option<Control>,
}

impl Counter {
    fn new(endpoint: Endpoint, cluster: bool) -> Self {
        Self {
            endpoint,
            cluster,
            control: None,
        }
    }

    /// What was asked last may still be answered: the connection is no good any more.
    pub(super) fn forget(&mut self) {
        self.control = None;
    }

    async fn control(&mut self) -> Result<&mut Control, String> {
        match &mut self.control {
            Some(control) => Ok(control),
            slot => {
                let opened = Control::open(&self.endpoint).await;
                Ok(slot.insert(opened.map_err(|error| error.to_string())?))
            }
        }
    }

    /// The answers to these commands, or why there are none.
    async fn ask(
        &mut self,
        commands: &[Vec<&str>],
    ) -> Result<Vec<Result<Value, RedisError>>, String> {
        let asked = self.control().await?.all(commands).await;
        asked.map_err(|error| {
            self.control = None;
            error.to_string()
        })
    }

    /// Keys by database now, and what cannot be known of them.
    pub(crate) async fn count(&mut self) -> Result<(Keys, Option<&'static str>), String> {
        let told = self.ask(&[vec!["INFO", "keyspace"]]).await?.pop();
        if let Some(Ok(text)) = told
            && let Ok(text) = String::from_redis_value(text)
        {
            return Ok((listed(&Info::parse(&text)), None));
        }
        if self.cluster {
            return Ok(([(0, None)].into(), None));
        }
        // Without INFO: one after the other.
        let total = self.total().await.unwrap_or(u32::MAX);
        let mut keys = Keys::new();
        let mut unknown = None;
        for number in 0..total {
            if number == MOST {
                return Err(format!(
                    "it has more than {} databases, and without INFO (ACL rule +info) which of them have keys is not known",
                    thousands(MOST.into())
                ));
            }
            match self.select(number).await? {
                None => {}
                Some(why) if why.starts_with("NOPERM") => return Err(
                    "neither INFO nor SELECT is allowed (ACL rules +info +select): which databases have keys is not known"
                        .to_owned(),
                ),
                Some(_) => break,
            }
            let size = self.ask(&[vec!["DBSIZE"]]).await?.pop();
            match size.map(|size| size.and_then(|size| Ok(u64::from_redis_value(size)?))) {
                Some(Ok(0)) => {}
                Some(Ok(size)) => {
                    keys.insert(number, Some(size));
                }
                Some(Err(_)) | None => {
                    unknown = Some(
                        "which databases have keys cannot be known, as neither INFO nor DBSIZE is allowed (ACL rules +info +dbsize): each is looked at",
                    );
                    keys.insert(number, None);
                }
            }
        }
        self.select(0).await?;
        Ok((keys, unknown))
    }

    /// How many databases there are, where CONFIG tells.
    async fn total(&mut self) -> Option<u32> {
        let words = vec!["CONFIG", "GET", "databases"];
        let answer = self.ask(&[words]).await.ok()?.pop()?.ok()?;
        let pairs = Vec::<(String, String)>::from_redis_value(answer).ok()?;
        pairs.into_iter().next()?.1.parse().ok()
    }

    /// Goes to a database. `Some`: it is not there, for this reason.
    async fn select(&mut self, number: u32) -> Result<Option<String>, String> {
        let word = number.to_string();
        let commands = [vec!["SELECT", &word], vec!["CLIENT", "INFO"]];
        let mut answers = self.ask(&commands).await?.into_iter();
        if let Some(Err(error)) = answers.next() {
            let code = error.code().unwrap_or_default();
            return Ok(if number == 0 {
                // Where every connection begins.
                None
            } else {
                Some(format!("{code} {}", error.detail().unwrap_or_default()))
            });
        }
        // A proxy may take the word and stay where it is.
        let told = answers.next().and_then(Result::ok);
        let told = told.and_then(|value| String::from_redis_value(value).ok());
        let stays = told.is_some_and(|told| {
            let mut fields = told.split_ascii_whitespace();
            let database = fields.find_map(|field| field.strip_prefix("db="));
            database.is_some_and(|database| database != word)
        });
        Ok(stays.then(|| "it ignores SELECT".to_owned()))
    }
}

/// What INFO keyspace tells.
fn listed(info: &Info) -> Keys {
    info.databases()
        .into_iter()
        .map(|number| (number, info.keys(number)))
        .collect()
}
