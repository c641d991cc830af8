//! Addresses as they are typed: Redis URIs of every scheme, and `host:port`. An error never repeats what was typed, as a
//! password may be in it.

use std::path::PathBuf;
use std::time::Duration;

use super::Db;
use super::UsageError;
use super::value::{self, Bare};
use crate::config::{Address, TlsVerify};

/// Redis' port.
pub(super) const PORT: u16 = 6379;

/// A sentinel's port.
const SENTINEL_PORT: u16 = 26379;

/// What a URI says; `None` is what it does not say.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) address: Address,
    pub(super) tls: bool,
    pub(super) verify: Option<TlsVerify>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<Db>,
    pub(super) timeout: Option<Duration>,
    pub(super) client_name: Option<String>,
}

/// What stands before `://`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Redis,
    Unix,
    Sentinel,
}

const SCHEMES: &[(&str, Scheme, bool)] = &[
    ("redis", Scheme::Redis, false),
    ("rediss", Scheme::Redis, true),
    ("redis-socket", Scheme::Unix, false),
    ("redis+socket", Scheme::Unix, false),
    ("unix", Scheme::Unix, false),
    ("redis-sentinel", Scheme::Sentinel, false),
    ("rediss-sentinel", Scheme::Sentinel, true),
];

/// Whether a word can only be meant as an address.
pub(super) fn reads_as_address(word: &str) -> bool {
    word.split_once("://")
        .is_some_and(|(scheme, _)| SCHEMES.iter().any(|(name, ..)| *name == scheme))
}

/// Whether a word may be meant as an address, where one is missing.
pub(super) fn may_be_address(word: &str) -> bool {
    reads_as_address(word) || (word.contains(':') && Uri::parse("", word).is_ok())
}

impl Uri {
    /// Reads a URI, or `host`, or `host:port`. `option` is what an error names.
    pub(super) fn parse(option: &str, text: &str) -> Result<Self, UsageError> {
        let fail = |reason: &str| UsageError::new(option, reason);
        let (scheme, tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = scheme.to_ascii_lowercase();
                let (_, kind, tls) = SCHEMES.iter().find(|(name, ..)| *name == scheme).ok_or_else(|| {
                    fail("no scheme that is known; write redis://, rediss://, unix:///path or redis-sentinel://")
                })?;
                (*kind, *tls, rest)
            }
            None if text.starts_with('/') => {
                return Err(fail("a unix socket is written unix:///path"));
            }
            None => (Scheme::Redis, false, text),
        };
        let (rest, fragment) = split_last(rest, '#');
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let query = Query::parse(option, query.unwrap_or(""))?;
        let (user, password) =
            credentials.map_or(Ok((None, None)), |text| user_and_password(option, text))?;
        if fragment.is_some() && scheme != Scheme::Sentinel {
            return Err(fail(
                "a # is for a sentinel's master; in a password it is written %23",
            ));
        }
        let path_database = if scheme == Scheme::Unix {
            None
        } else {
            path_database(option, path)?
        };
        if path_database.is_some() && query.database.is_some() {
            return Err(fail("says the database twice, after the / and after the ?"));
        }
        let address = match scheme {
            Scheme::Redis => {
                let (host, port) = host_and_port(option, hosts, PORT)?;
                Address::Tcp { host, port }
            }
            Scheme::Unix => {
                if !hosts.is_empty() || path.len() < 2 {
                    return Err(fail(
                        "a unix socket is written unix:///path, with three slashes",
                    ));
                }
                Address::Unix(PathBuf::from(decode(option, path)?))
            }
            Scheme::Sentinel => sentinel(option, hosts, fragment, query.master.as_deref())?,
        };
        if query.master.is_some() && scheme != Scheme::Sentinel {
            return Err(fail("sentinelMasterId needs redis-sentinel://"));
        }
        Ok(Self {
            address,
            tls,
            verify: query.verify,
            user,
            password,
            database: path_database.or(query.database),
            timeout: query.timeout,
            client_name: query.client_name,
        })
    }
}

/// What stands after `?`.
#[derive(Default)]
struct Query {
    database: Option<Db>,
    timeout: Option<Duration>,
    client_name: Option<String>,
    master: Option<String>,
    verify: Option<TlsVerify>,
}

impl Query {
    fn parse(option: &str, text: &str) -> Result<Self, UsageError> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, typed) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(option, typed)?;
            match value::plain_name(name).as_str() {
                "timeout" => {
                    let place = format!("{option}, timeout");
                    query.timeout = Some(value::positive_duration(
                        &place,
                        &value,
                        Bare::Milliseconds,
                    )?);
                }
                "clientname" | "client-name" => query.client_name = Some(value),
                "database" | "db" => query.database = Some(Db::parse(option, &value)?),
                "sentinelmasterid" => query.master = Some(value),
                "verifypeer" => {
                    query.verify = Some(match value.to_ascii_lowercase().as_str() {
                        "full" | "true" => TlsVerify::Full,
                        "ca" => TlsVerify::Ca,
                        "none" | "false" => TlsVerify::None,
                        _ => return Err(UsageError::new(option, "verifyPeer is FULL, CA or NONE")),
                    });
                }
                _ => {
                    let reason = "has a parameter after the ? that is none of timeout, clientName, database, \
                                  sentinelMasterId, verifyPeer; a ? in a password is written %3F";
                    return Err(UsageError::new(option, reason));
                }
            }
        }
        Ok(query)
    }
}

/// `user:password`, `:password`, or `password` alone.
fn user_and_password(
    option: &str,
    text: &str,
) -> Result<(Option<String>, Option<String>), UsageError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (decode(option, user)?, decode(option, password)?),
        None => (String::new(), decode(option, text)?),
    };
    Ok((
        Some(user).filter(|user| !user.is_empty()),
        Some(password).filter(|password| !password.is_empty()),
    ))
}

/// `/`, `/2`, or nothing.
fn path_database(option: &str, path: &str) -> Result<Option<Db>, UsageError> {
    let text = path.strip_prefix('/').unwrap_or(path);
    if text.is_empty() {
        return Ok(None);
    }
    Db::parse(option, text).map(Some).map_err(|_| {
        UsageError::new(
            option,
            "what follows the / is no database number; a / in a password is written %2F",
        )
    })
}

fn sentinel(
    option: &str,
    hosts: &str,
    fragment: Option<&str>,
    id: Option<&str>,
) -> Result<Address, UsageError> {
    let nodes = hosts
        .split(',')
        .map(|node| host_and_port(option, node, SENTINEL_PORT))
        .collect::<Result<Vec<_>, _>>()?;
    let master = match (fragment, id) {
        (Some(_), Some(_)) => {
            return Err(UsageError::new(
                option,
                "names the master twice, after # and after the ?",
            ));
        }
        (Some(name), None) => decode(option, name)?,
        (None, Some(name)) => name.to_owned(),
        (None, None) => String::new(),
    };
    if master.is_empty() {
        return Err(UsageError::new(
            option,
            "names no master: redis-sentinel://host:26379/0#mymaster",
        ));
    }
    Ok(Address::Sentinel { nodes, master })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn host_and_port(option: &str, text: &str, default: u16) -> Result<(String, u16), UsageError> {
    let fail = |reason: &str| UsageError::new(option, reason);
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner
            .split_once(']')
            .ok_or_else(|| fail("has a [ without its ]"))?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(fail("has something other than :port after the ]")),
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(fail(
                    "has several colons: an IPv6 address is written [::1]:6379",
                ));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let host = decode(option, host)?;
    if host.is_empty() {
        return Err(fail("names no host"));
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c)) {
        return Err(fail("has a host with a character that no host has"));
    }
    let port = match port {
        Some(text) => {
            port_number(text).ok_or_else(|| fail("has a port that is not from 1 to 65535"))?
        }
        None => default,
    };
    Ok((host, port))
}

/// A port from 1 to 65535.
pub(super) fn port_number(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn split_last(text: &str, mark: char) -> (&str, Option<&str>) {
    text.rsplit_once(mark)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Percent-decoding; what comes out is UTF-8.
fn decode(option: &str, text: &str) -> Result<String, UsageError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.extend(u8::try_from(high * 16 + low)),
            _ => {
                return Err(UsageError::new(
                    option,
                    "has a % without two hexadecimal digits; a % itself is written %25",
                ));
            }
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| UsageError::new(option, "decodes to something that is not UTF-8"))
}

#[cfg(test)]
mod tests;
