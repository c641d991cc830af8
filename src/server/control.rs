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
/// Over a way of this length, one look says as much as three.
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
    /// What moves the client's bytes; it ends with the connection.
    _driver: JoinSet<()>,
}

impl Control {
    /// Connects as the data plane does: same name, TLS, user, database.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let stream = connect(endpoint).await?.into_stream();
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
        let first = self.look().await?;
        self.looks_after(first).await
    }

    /// The same, where the first has been.
    pub async fn looks_after(&mut self, first: Look) -> Result<Look, RedisError> {
        let mut best = first;
        for _ in 1..LOOKS {
            if best.round_trip > LONG_WAY {
                break;
            }
            best.improve(self.look().await?);
        }
        Ok(best)
    }

    /// PING and TIME in one round trip.
    pub async fn look(&mut self) -> Result<Look, RedisError> {
        let (start, before) = (Instant::now(), clock::now());
        let answers = self.all(&[vec!["PING"], vec!["TIME"]]).await?;
        let (round_trip, after) = (start.elapsed(), clock::now());
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
        Ok(Look {
            not_ready,
            round_trip,
            offset,
        })
    }
}

impl Look {
    fn improve(&mut self, other: Self) {
        self.round_trip = self.round_trip.min(other.round_trip);
        self.offset = match (self.offset, other.offset) {
            (Some(own), Some(other)) if own.doubt <= other.doubt => Some(own),
            (own, other) => other.or(own),
        };
    }
}
