//! One control connection: the redis crate's client on a stream that our own dialling opened.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::{self, Offset};
use crate::config::Endpoint;
use crate::entry::Millis;
use crate::error::ConnectError;
use crate::wire::connect;

/// Looks at a near server.
const LOOKS: u32 = 3;
/// Over a way of this length, by the handshake, one look says as much as three.
const LONG_WAY: Duration = Duration::from_millis(20);

/// What one round trip shows.
#[derive(Debug, Clone)]
pub struct Look {
    /// Why the server does not serve commands yet, where it does not: it is loading, or its master is away.
    pub not_ready: Option<String>,
    /// How long it took.
    pub round_trip: Duration,
    /// The server's clock against this machine's, where TIME is allowed.
    pub offset: Option<Offset>,
}

/// An open control connection.
pub struct Control {
    client: MultiplexedConnection,
    /// One look says as much as more: the way is long.
    far: bool,
    /// What moves the client's bytes; it ends with the connection.
    _driver: JoinSet<()>,
}

impl Control {
    /// Connects as the data plane does: same name, TLS, user, database.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let connection = connect(endpoint).await?;
        let far = connection.round_trip().is_some_and(|trip| trip > LONG_WAY);
        let stream = connection.into_stream();
        // The handshake is done: the crate is told of nothing that it would do again.
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config =
            AsyncConnectionConfig::new().set_response_timeout(Some(endpoint.command_timeout));
        let (client, driver) = MultiplexedConnection::new_with_config(&settings, stream, config)
            .await
            .map_err(|error| ConnectError::NotRedis(error.to_string()))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        Ok(Self {
            client,
            far,
            _driver: tasks,
        })
    }

    /// Runs one command.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        command.query_async(&mut self.client).await
    }

    /// Runs a command of plain words.
    pub async fn words<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, RedisError> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        self.query(&command).await
    }

    /// Runs commands of plain words in one round trip. Each has its own answer, or its own error.
    pub async fn all(
        &mut self,
        commands: &[Vec<&str>],
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for words in commands {
            let mut command = Cmd::new();
            for word in words {
                command.arg(*word);
            }
            pipeline.add_command(command);
        }
        let answers: Vec<Value> = pipeline.query_async(&mut self.client).await?;
        Ok(answers.into_iter().map(Value::extract_error).collect())
    }

    /// The best of a few looks: the shortest round trip, and the clock by it.
    pub async fn looks(&mut self) -> Result<Look, RedisError> {
        let (first, _) = self.look_and(&[]).await?;
        self.looks_after(first).await
    }

    /// The same, where the first has been.
    pub async fn looks_after(&mut self, first: Look) -> Result<Look, RedisError> {
        let mut best = first;
        // Who checks passwords slowly is not far away.
        if self.far && best.round_trip > LONG_WAY {
            return Ok(best);
        }
        for _ in 1..LOOKS {
            best.improve(&self.look_and(&[]).await?.0);
        }
        Ok(best)
    }

    /// One look: PING and TIME, and in the same round trip these commands, whose answers come back.
    pub async fn look_and(
        &mut self,
        more: &[Vec<&str>],
    ) -> Result<(Look, Vec<Result<Value, RedisError>>), RedisError> {
        let mut commands = vec![vec!["PING"], vec!["TIME"]];
        commands.extend_from_slice(more);
        let (start, before) = (Instant::now(), clock::now());
        let mut answers = self.all(&commands).await?;
        let (round_trip, after) = (start.elapsed(), clock::now());
        let rest = answers.split_off(answers.len().min(2));
        let [pong, time] = <[_; 2]>::try_from(answers).map_err(|_| {
            RedisError::from((redis::ErrorKind::UnexpectedReturnType, "PING, TIME"))
        })?;
        // A server that says no has answered as well.
        let not_ready = match pong {
            Err(error) if error.code().is_none() => return Err(error),
            Err(error) => match error.code() {
                Some(code @ ("LOADING" | "MASTERDOWN" | "BUSY")) => {
                    Some(format!("{code} {}", error.detail().unwrap_or_default()))
                }
                _ => None,
            },
            Ok(_) => None,
        };
        let time = time.and_then(|time| Ok(<(Millis, Millis)>::from_redis_value(time)?));
        let offset = time.ok().map(|(seconds, micros)| Offset {
            millis: seconds * 1000 + micros / 1000 - Millis::midpoint(before, after),
            doubt: (after - before + 1) / 2,
        });
        let look = Look {
            not_ready,
            round_trip,
            offset,
        };
        Ok((look, rest))
    }
}

impl Look {
    fn improve(&mut self, other: &Self) {
        self.round_trip = self.round_trip.min(other.round_trip);
        self.offset = match (self.offset, other.offset) {
            (Some(own), Some(other)) if own.doubt <= other.doubt => Some(own),
            (own, other) => other.or(own),
        };
    }
}
