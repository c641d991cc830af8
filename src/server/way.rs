//! The two ways to learn of changes, and which of them a source offers.

use std::fmt;
use std::sync::Arc;

use super::class::{covers, needed};
use crate::config::{Endpoint, Events, Resp};
use crate::error::RunError;
use crate::nodes::{Node, Nodes};
use crate::text::printable;
use crate::wire::{Connection, Reply, connect};

/// How changes are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Keyspace notifications.
    Keyspace,
    /// CLIENT TRACKING in broadcast mode.
    Tracking,
}

impl Way {
    /// The name that `--events` and the report give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyspace => "keyspace",
            Self::Tracking => "tracking",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyspace => "keyspace notifications",
            Self::Tracking => "client tracking",
        })
    }
}

/// How a run listens.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The ways, at least one.
    pub ways: Vec<Way>,
    /// Tracking is to be had, should the notifications fail.
    pub tracking: bool,
    /// `notify-keyspace-events` can be asked for.
    pub setting_is_known: bool,
    /// What is not to be had though it would have been used, with the rule that allows it.
    pub notices: Vec<String>,
}

/// Letters that the setting must have.
#[derive(Debug, Clone)]
pub struct Wanted {
    letters: String,
}

impl Wanted {
    /// What notifications of these types need; no types are all.
    #[must_use]
    pub fn of(types: &[String]) -> Self {
        Self {
            letters: needed(types),
        }
    }

    /// Whether a setting tells of everything that is wanted.
    #[must_use]
    pub fn covered_by(&self, setting: &str) -> bool {
        covers(setting, &self.letters)
    }
}

/// The words that subscribe to the keys of a database that match a pattern.
#[must_use]
pub fn subscription(database: u32, pattern: &[u8]) -> Vec<u8> {
    let mut channel = format!("__keyspace@{database}__:").into_bytes();
    channel.extend_from_slice(pattern);
    channel
}

/// The words that turn tracking on: only of names that begin as all those do that match the pattern.
#[must_use]
pub fn tracking(pattern: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = ["CLIENT", "TRACKING", "ON", "BCAST"]
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    let literal = pattern
        .iter()
        .take_while(|byte| !b"*?[\\".contains(byte))
        .count();
    if let Some(prefix) = pattern.get(..literal).filter(|prefix| !prefix.is_empty()) {
        words.extend([b"PREFIX".to_vec(), prefix.to_vec()]);
    }
    words
}

/// Tries what every node of the source offers that is read, and chooses; an error says what to do.
pub async fn choose(
    nodes: &Nodes,
    events: Events,
    wanted: &Wanted,
    pattern: &[u8],
) -> Result<Choice, RunError> {
    let readers = nodes.routes().readers();
    match choose_at_all(&readers, events, wanted, pattern).await {
        Ok(Some(choice)) => Ok(choice),
        // What one node offers another does not: tracking needs no setting.
        Ok(None) => match choose_at_all(&readers, Events::Tracking, wanted, pattern).await? {
            Some(choice) => Ok(choice),
            None => Err(nodes.unusable("its nodes offer no way of events in common")),
        },
        Err(error) => Err(error),
    }
}

/// What all nodes choose; `None`: they do not choose the same.
async fn choose_at_all(
    nodes: &[Arc<Node>],
    events: Events,
    wanted: &Wanted,
    pattern: &[u8],
) -> Result<Option<Choice>, RunError> {
    let mut all: Option<Choice> = None;
    for node in nodes {
        let choice = choose_at(node.link().endpoint(), events, wanted, pattern).await?;
        all = match all {
            None => Some(choice),
            Some(all) if all.ways == choice.ways => Some(Choice {
                tracking: all.tracking && choice.tracking,
                setting_is_known: all.setting_is_known && choice.setting_is_known,
                ..all
            }),
            Some(_) => return Ok(None),
        };
    }
    Ok(all)
}

/// Tries what one server offers.
async fn choose_at(
    endpoint: &Endpoint,
    events: Events,
    wanted: &Wanted,
    pattern: &[u8],
) -> Result<Choice, RunError> {
    let unusable = |reason: String| RunError::Unusable {
        side: endpoint.side,
        address: endpoint.address.to_string(),
        reason,
    };
    let mut connection = connect(endpoint)
        .await
        .map_err(|error| unusable(error.to_string()))?;
    let lost = |error: crate::error::Lost| unusable(error.to_string());
    let setting = setting(&mut connection).await.map_err(lost)?;
    let subscribing = try_subscribing(&mut connection, endpoint.database, pattern)
        .await
        .map_err(lost)?;
    // On a connection of its own: no message of one may come between the answers of the other.
    let mut connection = connect(endpoint)
        .await
        .map_err(|error| unusable(error.to_string()))?;
    let tracking = try_tracking(&mut connection, endpoint)
        .await
        .map_err(lost)?;
    let on = setting.as_deref().map(|setting| wanted.covered_by(setting));
    let choice = |ways: &[Way], notices: Vec<String>| Choice {
        ways: ways.to_vec(),
        tracking: tracking.is_ok(),
        setting_is_known: setting.is_some(),
        notices,
    };
    let turned_off = || turned_off(setting.as_deref().unwrap_or_default(), &wanted.letters);
    match (events, &subscribing, &tracking, on) {
        (Events::Tracking, _, Ok(()), _) => Ok(choice(&[Way::Tracking], Vec::new())),
        (Events::Tracking, _, Err(why), _) => {
            Err(unusable(format!("{why}, and --events tracking needs it")))
        }
        (Events::Keyspace, Err(why), ..) => Err(unusable(format!(
            "{why}, and --events keyspace needs it; --events tracking may do without"
        ))),
        (Events::Keyspace, Ok(()), _, Some(false)) => Err(unusable(turned_off())),
        (Events::Keyspace | Events::Auto, Ok(()), _, Some(true)) | (Events::Keyspace, ..) => {
            Ok(choice(&[Way::Keyspace], Vec::new()))
        }
        (Events::Auto, Ok(()), Ok(()), None) => {
            Ok(choice(&[Way::Keyspace, Way::Tracking], Vec::new()))
        }
        (Events::Auto, Ok(()), Err(why), None) => Ok(choice(&[Way::Keyspace], vec![why.clone()])),
        (Events::Auto, _, Ok(()), _) => Ok(choice(
            &[Way::Tracking],
            subscribing.err().into_iter().collect(),
        )),
        (Events::Auto, Ok(()), Err(why), Some(false)) => {
            Err(unusable(format!("{}; {why}", turned_off())))
        }
        (Events::Auto, Err(subscribing), Err(tracking), _) => {
            Err(unusable(format!("{subscribing}; {tracking}")))
        }
    }
}

/// What to do about notifications that are off, or not on for every class.
fn turned_off(setting: &str, letters: &str) -> String {
    format!(
        "keyspace notifications are not on for all that changes (notify-keyspace-events is \"{setting}\", K{letters} is needed): \
         CONFIG SET notify-keyspace-events KA, on ElastiCache set notify-keyspace-events to KA in the parameter group, \
         or use --events tracking (Redis 6.0 and newer)"
    )
}

/// `notify-keyspace-events`, where CONFIG is allowed.
async fn setting(connection: &mut Connection) -> Result<Option<String>, crate::error::Lost> {
    let reply = connection
        .request(&[b"CONFIG", b"GET", b"notify-keyspace-events"])
        .await?;
    Ok(match reply {
        Reply::Array(pair) => pair.get(1).and_then(Reply::text),
        Reply::Nil | Reply::Integer(_) | Reply::Bytes(_) | Reply::Error(_) => None,
    })
}

async fn try_tracking(
    connection: &mut Connection,
    endpoint: &Endpoint,
) -> Result<Result<(), String>, crate::error::Lost> {
    if endpoint.resp == Resp::Two {
        return Ok(Err(
            "client tracking needs RESP3 (--source-resp 2 was given)".into(),
        ));
    }
    if !connection.is_resp3() {
        return Ok(Err(
            "client tracking needs RESP3, which the server does not have".into(),
        ));
    }
    let on = connection
        .request(&[b"CLIENT", b"TRACKING", b"ON", b"BCAST"])
        .await?;
    if let Reply::Error(error) = on {
        return Ok(Err(format!(
            "client tracking is not allowed: {error} (ACL rule +client|tracking)"
        )));
    }
    Ok(Ok(()))
}

async fn try_subscribing(
    connection: &mut Connection,
    database: u32,
    pattern: &[u8],
) -> Result<Result<(), String>, crate::error::Lost> {
    // A right to a pattern of channels is a right to these very words.
    let channel = subscription(database, pattern);
    let reply = connection.request(&[b"PSUBSCRIBE", &channel]).await?;
    Ok(match reply {
        Reply::Error(error) => Err(format!(
            "keyspace notifications are not allowed: {error} (ACL rules +psubscribe &{})",
            printable(&channel)
        )),
        Reply::Nil | Reply::Integer(_) | Reply::Bytes(_) | Reply::Array(_) => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_is_narrowed_to_what_a_pattern_begins_with() {
        let words = |pattern: &[u8]| {
            let words = tracking(pattern);
            String::from_utf8(words.join(&b' ')).unwrap()
        };
        assert_eq!(words(b"*"), "CLIENT TRACKING ON BCAST");
        assert_eq!(words(b"user:*"), "CLIENT TRACKING ON BCAST PREFIX user:");
        assert_eq!(words(b"a\\*"), "CLIENT TRACKING ON BCAST PREFIX a");
    }
}
