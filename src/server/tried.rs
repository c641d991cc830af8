//! How a command fared that was tried to see whether it may be run.

use redis::{RedisError, Value};

use crate::error::denies_a_command;

/// What stands before the reason when EXEC is refused.
const ABORTED: &str = "EXECABORT Transaction discarded because of: ";

/// What a server said to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It ran, or was queued.
    Allowed,
    /// The server has no such command.
    Unknown,
    /// The user may not run it.
    Denied,
    /// It may be run; what it was tried with is refused, in these words.
    Said(String),
}

impl Tried {
    /// Reads the answer to a command; an error that the server did not say comes back: the connection is gone.
    pub fn of(answer: Result<Value, RedisError>) -> Result<Self, RedisError> {
        let Err(error) = answer else {
            return Ok(Self::Allowed);
        };
        let Some(code) = error.code() else {
            return Err(error);
        };
        let said = format!("{code} {}", error.detail().unwrap_or_default());
        // EXEC is refused in words of its own.
        let said = said.strip_prefix(ABORTED).unwrap_or(&said).to_owned();
        Ok(if denies_a_command(said.as_bytes()) {
            Self::Denied
        } else if said.contains("unknown command") || said.contains("nknown subcommand") {
            Self::Unknown
        } else {
            Self::Said(said)
        })
    }

    /// Whether the command is there and the user may run it.
    #[must_use]
    pub fn may(&self) -> bool {
        matches!(self, Self::Allowed | Self::Said(_))
    }
}
