//! Our own classes of errors, and the one place where a server's words become one of them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Side;

/// What to do about an error that a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The slot lives elsewhere, or the cluster is changing.
    Moved,
    /// Gone by itself, or with the operator's help: try again.
    Transient,
    /// The target cannot take this payload.
    Payload,
    /// This key alone fails.
    Key,
    /// Nothing will work until somebody changes something.
    Fatal,
}

/// Reads an error reply, without its leading `-`.
#[must_use]
pub fn classify(reply: &[u8]) -> Class {
    let code = reply.split(|byte| *byte == b' ').next().unwrap_or_default();
    match code {
        b"MOVED" | b"ASK" | b"CLUSTERDOWN" | b"TRYAGAIN" | b"CROSSSLOT" => Class::Moved,
        b"LOADING" | b"BUSY" | b"MASTERDOWN" | b"READONLY" | b"OOM" | b"MISCONF"
        | b"NOREPLICAS" | b"UNBLOCKED" | b"UNKILLABLE" => Class::Transient,
        b"NOAUTH" | b"WRONGPASS" => Class::Fatal,
        b"NOPERM" if denies_a_command(reply) => Class::Fatal,
        _ if is_refused_payload(reply) => Class::Payload,
        _ => Class::Key,
    }
}

/// Whether the server cannot answer now, whatever it is asked: it loads its keys, lost its master, or runs a script.
#[must_use]
pub fn is_away(reply: &[u8]) -> bool {
    let code = reply.split(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(code, b"LOADING" | b"MASTERDOWN" | b"BUSY")
}

/// Whether a NOPERM speaks of a command and not of one key.
///
/// Redis 6 says "no permissions to run the 'restore' command or its subcommand", 7 and Valkey "has no permissions to
/// run the 'restore' command"; a key is "to access".
#[must_use]
pub fn denies_a_command(reply: &[u8]) -> bool {
    reply.starts_with(b"NOPERM") && contains(reply, b"permissions to run the")
}

fn is_refused_payload(reply: &[u8]) -> bool {
    [
        b"DUMP payload version or checksum are wrong".as_slice(),
        b"Bad data format",
        b"Unsupported Type",
        b"invalid bulk length",
        b"string exceeds maximum allowed size",
        b"Protocol error",
    ]
    .iter()
    .any(|words| contains(reply, words))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// A connection of the data plane that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The server closed it.
    #[error("the connection was closed")]
    Closed,
    /// The operating system said so.
    #[error("the connection was lost: {0}")]
    Io(#[from] io::Error),
    /// A command had no answer in time.
    #[error("no answer within {}", seconds(*.0))]
    Timeout(Duration),
    /// What came was not RESP.
    #[error("the answer is not RESP: {0}")]
    Protocol(String),
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address.
    #[error("cannot resolve {host}: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody listens, or nobody answers.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// No connection, or no handshake, in time.
    #[error("no answer within {}", seconds(*.0))]
    Timeout(Duration),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The other end is not a Redis server, or it speaks TLS.
    #[error("{0}")]
    NotRedis(String),
    /// The server refused the user, the password or the database.
    #[error("{0}")]
    Refused(String),
    /// The password's file or command gave none.
    #[error("{0}")]
    Secret(String),
    /// The server is there but not ready.
    #[error("the server is not ready: {0}")]
    NotReady(String),
    /// Sentinels know no master.
    #[error("{0}")]
    Sentinel(String),
}

impl From<Lost> for ConnectError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Closed => {
                Self::NotRedis("the server closed the connection during the handshake".into())
            }
            Lost::Io(error) => Self::Unreachable(error),
            Lost::Timeout(limit) => Self::Timeout(limit),
            Lost::Protocol(what) => Self::NotRedis(format!("the answer is not RESP: {what}")),
        }
    }
}

/// What ends a run, each with an exit status of its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Exit 3: it needed the network to be known.
    #[error("{side} {address}: {reason}")]
    Unusable {
        /// Which server.
        side: Side,
        /// Where it is, without credentials.
        address: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A node has no slots of its cluster any more: others are asked in its place. No run ends with it.
    #[error("{side} {address}: it has no slots of the cluster any more")]
    Left {
        /// Which cluster.
        side: Side,
        /// Where the node is.
        address: String,
    },
    /// Exit 3: both sides are one database.
    #[error("source and target are the same server and database: {0}")]
    SameDatabase(String),
    /// Exit 2: the state file does not fit, or cannot be kept.
    #[error("--state {}: {why}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Exit 130: the second signal.
    #[error("aborted")]
    Aborted,
    /// Exit 1: a bug of ours.
    #[error("{0}")]
    Internal(String),
}

/// `60 s`, `250 ms`.
fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_classes_that_the_design_gives_them() {
        let table: &[(&str, Class)] = &[
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Class::Transient,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                Class::Transient,
            ),
            (
                "READONLY You can't write against a read only replica.",
                Class::Transient,
            ),
            ("MOVED 3999 127.0.0.1:6381", Class::Moved),
            (
                "ERR DUMP payload version or checksum are wrong",
                Class::Payload,
            ),
            ("ERR Bad data format", Class::Payload),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                Class::Key,
            ),
            ("BUSYKEY Target key name already exists.", Class::Key),
            (
                "NOPERM User app has no permissions to run the 'restore' command",
                Class::Fatal,
            ),
            (
                "NOPERM this user has no permissions to run the 'restore' command or its subcommand",
                Class::Fatal,
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                Class::Key,
            ),
            ("NOPERM No permissions to access a key", Class::Key),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                Class::Fatal,
            ),
        ];
        for (reply, class) in table {
            assert_eq!(classify(reply.as_bytes()), *class, "{reply}");
        }
    }
}
