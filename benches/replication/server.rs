//! Throw-away servers on loopback: started, asked, checked against each other, gone when dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use redis::{Connection, Value};
use tempfile::TempDir;

use crate::share::Share;

/// RESTORE takes a time to live, which the way to the target lengthens.
const LATE: i64 = 2_000;

/// A redis-server without persistence.
pub(crate) struct Server {
    _folder: TempDir,
    child: Child,
    port: u16,
    connection: Connection,
    /// Behind the child's end in `drop`.
    share: Option<Share>,
}

impl Server {
    /// Starts one on a free port and waits until it answers.
    pub(crate) fn start(program: &str) -> Result<Self> {
        Self::start_with(program, &[])
    }

    /// The same, with more words on its command line.
    pub(crate) fn start_with(program: &str, more: &[&str]) -> Result<Self> {
        for _ in 0..20 {
            let port = free_port()?;
            let folder = TempDir::with_prefix("riot-bench-")?;
            let mut child = Command::new(program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--logfile", "log"])
                .arg("--dir")
                .arg(folder.path())
                .args(more)
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn()
                .with_context(|| {
                    format!("start {program} (Debian: apt-get install redis-server)")
                })?;
            match answer(port, &mut child) {
                Ok(connection) => {
                    return Ok(Self {
                        _folder: folder,
                        child,
                        port,
                        connection,
                        share: None,
                    });
                }
                // Another process can take a port between our look at it and the server's.
                Err(_) if matches!(child.try_wait(), Ok(Some(_))) => {}
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(error);
                }
            }
        }
        bail!("{program} did not start twenty times")
    }

    /// From now on it may use so many percent of a core.
    pub(crate) fn is_given(&mut self, percent: u64) -> Result<()> {
        self.share = Some(Share::of(self.child.id(), percent)?);
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command whose answer is text.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<String> {
        let (name, arguments) = words.split_first().context("a command")?;
        Ok(redis::cmd(name)
            .arg(arguments)
            .query(&mut self.connection)?)
    }

    /// Runs a command whose answer does not matter.
    pub(crate) fn tell(&mut self, words: &[&str]) -> Result<()> {
        let (name, arguments) = words.split_first().context("a command")?;
        let _: Value = redis::cmd(name)
            .arg(arguments)
            .query(&mut self.connection)?;
        Ok(())
    }

    /// How many keys it holds.
    pub(crate) fn keys(&mut self) -> Result<u64> {
        Ok(redis::cmd("DBSIZE").query(&mut self.connection)?)
    }

    /// Deletes everything.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL")
            .arg("SYNC")
            .query(&mut self.connection)?)
    }

    /// What it calls itself.
    pub(crate) fn version(&mut self) -> Result<String> {
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query(&mut self.connection)?;
        field(&info, "redis_version").map(str::to_owned)
    }

    /// CPU it has used since its start, all threads, user and system.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        let info: String = redis::cmd("INFO").arg("cpu").query(&mut self.connection)?;
        let mut seconds = 0.0;
        for name in ["used_cpu_sys", "used_cpu_user"] {
            seconds += field(&info, name)?.parse::<f64>()?;
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Fails unless `copy` holds as many keys as this one, and the same in each of `sample` of them.
    pub(crate) fn same_as(&mut self, copy: &mut Self, sample: usize) -> Result<()> {
        let (keys, copied) = (self.keys()?, copy.keys()?);
        ensure!(keys == copied, "the target holds {copied} of {keys} keys");
        let mut pipe = redis::pipe();
        for _ in 0..sample {
            pipe.cmd("RANDOMKEY");
        }
        let sample: Vec<Vec<u8>> = pipe.query(&mut self.connection)?;
        for key in &sample {
            let (kind, expiry, value) = look(&mut self.connection, key)?;
            let (copied_kind, copied_expiry, copied_value) = look(&mut copy.connection, key)?;
            let name = String::from_utf8_lossy(key);
            ensure!(
                kind == copied_kind && value == copied_value,
                "{name}: the copy is another {kind}"
            );
            ensure!(
                expiry.abs_diff(copied_expiry) <= LATE.unsigned_abs()
                    && (expiry < 0) == (copied_expiry < 0),
                "{name}: expires at {expiry}, the copy at {copied_expiry}"
            );
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nothing listens on, low enough for a cluster's bus to have the one 10,000 above it.
pub(crate) fn free_port() -> Result<u16> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port() / 2;
        if port > 1024 && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

fn field<'a>(info: &'a str, name: &str) -> Result<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("INFO without {name}"))
}

fn answer(port: u16, child: &mut Child) -> Result<Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // A process of somebody else that has taken the port answers as well: ours must be alive a moment later.
        match client.get_connection() {
            Ok(mut connection) => {
                let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
                ensure!(
                    field(&info, "process_id")? == child.id().to_string(),
                    "another server answers at port {port}"
                );
                connection.set_read_timeout(Some(Duration::from_secs(120)))?;
                connection.set_write_timeout(Some(Duration::from_secs(120)))?;
                return Ok(connection);
            }
            Err(error) => {
                if child.try_wait()?.is_some() || Instant::now() > deadline {
                    return Err(error).context("the server does not answer");
                }
            }
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Type, expiry and value of a key, the members of what has no order in the order of their bytes.
fn look(connection: &mut Connection, key: &[u8]) -> Result<(String, i64, Vec<Value>)> {
    let (kind, expiry): (String, i64) = redis::pipe()
        .cmd("TYPE")
        .arg(key)
        .cmd("PEXPIRETIME")
        .arg(key)
        .query(connection)?;
    let mut command = match kind.as_str() {
        "string" => redis::cmd("GET"),
        "hash" => redis::cmd("HGETALL"),
        "list" => redis::cmd("LRANGE"),
        "set" => redis::cmd("SMEMBERS"),
        "zset" => redis::cmd("ZRANGE"),
        "stream" => redis::cmd("XRANGE"),
        _ => bail!("{} is missing", String::from_utf8_lossy(key)),
    };
    command.arg(key);
    match kind.as_str() {
        "list" => command.arg(0).arg(-1),
        "zset" => command.arg(0).arg(-1).arg("WITHSCORES"),
        "stream" => command.arg("-").arg("+"),
        _ => &mut command,
    };
    let mut value = match command.query(connection)? {
        Value::Array(items) => items,
        single => vec![single],
    };
    match kind.as_str() {
        "set" => value.sort_by_cached_key(|item| format!("{item:?}")),
        "hash" => {
            let mut pairs: Vec<Value> = value
                .chunks(2)
                .map(|pair| Value::Array(pair.to_vec()))
                .collect();
            pairs.sort_by_cached_key(|pair| format!("{pair:?}"));
            value = pairs;
        }
        _ => {}
    }
    Ok((kind, expiry, value))
}
