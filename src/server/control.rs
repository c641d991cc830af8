//! One control connection: the redis crate's client on a stream that our own dialling opened.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, Value, cmd,
};
use tokio::task::JoinSet;

use crate::clock::{self, Offset};
use crate::config::Endpoint;
use crate::entry::Millis;
use crate::error::ConnectError;
use crate::wire::connect;

/// Over a way of this length, one look says as much as three.
const LONG_WAY: Duration = Duration::from_millis(20);

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

    /// Why the server does not serve commands yet, where it does not: it is loading, or its master is away.
    pub async fn not_ready(&mut self) -> Result<Option<String>, RedisError> {
        match self.query::<redis::Value>(&cmd("PING")).await {
            Ok(_) => Ok(None),
            Err(error) => match error.code() {
                Some(code @ ("LOADING" | "MASTERDOWN" | "BUSY")) => Ok(Some(format!(
                    "{code} {}",
                    error.detail().unwrap_or_default()
                ))),
                Some(_) => Ok(None),
                None => Err(error),
            },
        }
    }

    /// The shortest of a few round trips.
    pub async fn round_trip(&mut self) -> Result<Duration, RedisError> {
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            let start = tokio::time::Instant::now();
            match self.query::<redis::Value>(&cmd("PING")).await {
                Ok(_) => {}
                // A server that says no has answered as well.
                Err(error) if error.code().is_some() => {}
                Err(error) => return Err(error),
            }
            shortest = shortest.min(start.elapsed());
            if shortest > LONG_WAY {
                break;
            }
        }
        Ok(shortest)
    }

    /// The server's clock against this machine's: the closest of a few looks.
    pub async fn clock_offset(&mut self) -> Result<Offset, RedisError> {
        let mut closest: Option<Offset> = None;
        for _ in 0..3 {
            let before = clock::now();
            let (seconds, micros): (Millis, Millis) = self.query(&cmd("TIME")).await?;
            let after = clock::now();
            let offset = Offset {
                millis: seconds * 1000 + micros / 1000 - Millis::midpoint(before, after),
                doubt: (after - before + 1) / 2,
            };
            if closest.is_none_or(|closest| offset.doubt < closest.doubt) {
                closest = Some(offset);
            }
            if Duration::from_millis(offset.doubt.unsigned_abs()) > LONG_WAY {
                break;
            }
        }
        Ok(closest.unwrap_or(Offset {
            millis: 0,
            doubt: 0,
        }))
    }
}
