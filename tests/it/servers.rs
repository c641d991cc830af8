//! Real servers, each in its own folder, on a unix socket and a free port, gone when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use redis::{
    Connection, ConnectionAddr, ConnectionLike as _, FromRedisValue, IntoConnectionInfo as _,
};
use tempfile::TempDir;

use crate::{clocks, wait};

/// The servers that riot is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Redis 6.0, Debian 11's.
    Redis60,
    /// Redis 7.0, Debian 12's: the system's own, or one in the cache where the system has another.
    Redis70,
    /// Redis 8.0, Debian 13's.
    Redis80,
    /// Valkey 8.1, Debian 13's.
    Valkey81,
}

impl Version {
    /// Where its program lies; a missing one fails the test with what to run.
    pub(crate) fn program(self) -> PathBuf {
        let (folder, name) = match self {
            Self::Redis60 => ("redis60", "redis-server"),
            Self::Redis70 => ("redis70", "redis-server"),
            Self::Redis80 => ("redis80", "redis-server"),
            Self::Valkey81 => ("valkey81", "valkey-server"),
        };
        let cache = std::env::var_os("RIOT_TEST_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
            PathBuf::from,
        );
        let mut program = cache.join(folder).join("run").join(name);
        if self == Self::Redis70 && !program.exists() {
            program = "/usr/bin/redis-server".into();
        }
        assert!(
            program.exists(),
            "{} is missing: run tests/run.sh, which puts it there",
            program.display()
        );
        program
    }

    /// Whether it is Redis 7.0 or newer, or Valkey: PEXPIRETIME, `entries-added`, DEBUG that must be allowed.
    pub(crate) fn since_70(self) -> bool {
        self != Self::Redis60
    }

    /// Whether a hash field can expire.
    pub(crate) fn has_field_expiry(self) -> bool {
        self == Self::Redis80
    }
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    version: Version,
    arguments: Vec<String>,
    files: Vec<(String, String)>,
    password: Option<String>,
    tls: Option<TlsFiles>,
    ipv6: bool,
    persistent: bool,
    clock_ahead: Option<i64>,
    role: Role,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Alone,
    Sentinel,
    ClusterNode,
}

/// Certificate, key and authority of a TLS server.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// PEM of the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM of its key.
    pub(crate) key: PathBuf,
    /// PEM of the authority that client certificates must come from.
    pub(crate) authority: PathBuf,
    /// Whether a client must show a certificate.
    pub(crate) client_certificates: bool,
}

impl Builder {
    /// Adds words to the command line.
    pub(crate) fn arguments<I>(mut self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.arguments.extend(words.into_iter().map(Into::into));
        self
    }

    /// Starts with this ACL file: one `user …` a line. The `default` user must keep its rights, the tests' own client is it.
    pub(crate) fn acl(mut self, users: &str) -> Self {
        self.files.push(("users.acl".into(), users.into()));
        self.arguments(["--aclfile", "users.acl"])
    }

    /// Every client needs this password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self.arguments(["--requirepass", password])
    }

    /// The port speaks TLS, and nothing else.
    pub(crate) fn tls(mut self, files: &TlsFiles) -> Self {
        self.tls = Some(files.clone());
        self
    }

    /// Listens on `::1` too.
    pub(crate) fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// Keeps its data over a kill and a restart, in an append-only file.
    pub(crate) fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Its clock is so many milliseconds ahead of the machine's, or behind it where that is negative.
    pub(crate) fn clock_ahead(mut self, millis: i64) -> Self {
        self.clock_ahead = Some(millis);
        self
    }

    /// A node of a cluster, alone so far, with a port of its own for the other nodes.
    pub(crate) fn cluster(mut self) -> Self {
        self.role = Role::ClusterNode;
        self
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(self) -> Server {
        for _ in 0..20 {
            let folder = TempDir::with_prefix("riot-it-").unwrap();
            for (name, text) in &self.files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let port = free_port();
            let server = Server {
                words: self.words(port),
                folder,
                version: self.version,
                port,
                tls: self.tls.is_some(),
                password: self.password.clone(),
                clock_ahead: self.clock_ahead,
                child: Mutex::new(None),
                is_paused: AtomicBool::new(false),
            };
            server.spawn();
            match server.wait_for_answer() {
                Ok(()) => return server,
                // Another process can take a port between our look at it and the server's.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{:?} did not start:\n{log}", self.version),
            }
        }
        panic!("twenty ports in a row were taken");
    }

    fn words(&self, port: u16) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        if self.role == Role::Sentinel {
            words.extend(["sentinel.conf".into(), "--sentinel".into()]);
        }
        let mut option =
            |name: &str, value: &str| words.extend([format!("--{name}"), value.to_owned()]);
        option(
            "bind",
            if self.ipv6 {
                "127.0.0.1 ::1"
            } else {
                "127.0.0.1"
            },
        );
        option("unixsocket", "socket");
        option("logfile", "log");
        if let Some(tls) = &self.tls {
            option("port", "0");
            option("tls-port", &port.to_string());
            option("tls-cert-file", tls.certificate.to_str().unwrap());
            option("tls-key-file", tls.key.to_str().unwrap());
            option("tls-ca-cert-file", tls.authority.to_str().unwrap());
            option(
                "tls-auth-clients",
                if tls.client_certificates { "yes" } else { "no" },
            );
        } else {
            option("port", &port.to_string());
        }
        if self.role == Role::ClusterNode {
            option("cluster-enabled", "yes");
            option("cluster-config-file", "nodes.conf");
            option("cluster-port", &free_port().to_string());
        }
        if self.role != Role::Sentinel {
            option("save", "");
            option("repl-diskless-sync-delay", "0");
            if self.persistent {
                option("appendonly", "yes");
                // The file is written before the answer goes out and survives the process; only a power cut would need fsync.
                option("appendfsync", "no");
            }
            if self.version.since_70() {
                option("enable-debug-command", "yes");
            }
        }
        words.extend(self.arguments.iter().cloned());
        words
    }
}

/// A running server. Its folder, socket and process go with it.
#[derive(Debug)]
pub(crate) struct Server {
    folder: TempDir,
    version: Version,
    port: u16,
    tls: bool,
    password: Option<String>,
    clock_ahead: Option<i64>,
    words: Vec<String>,
    child: Mutex<Option<Child>>,
    is_paused: AtomicBool,
}

impl Server {
    /// A server of this version with nothing special.
    pub(crate) fn start(version: Version) -> Self {
        Self::with(version).start()
    }

    /// A server of this version, to be told more before it starts.
    pub(crate) fn with(version: Version) -> Builder {
        Builder {
            version,
            arguments: Vec::new(),
            files: Vec::new(),
            password: None,
            tls: None,
            ipv6: false,
            persistent: false,
            clock_ahead: None,
            role: Role::Alone,
        }
    }

    /// A sentinel that watches `master` under `name`.
    pub(crate) fn sentinel(master: &Self, name: &str) -> Self {
        let text = format!(
            "sentinel monitor {name} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {name} 1000\n",
            master.port
        );
        let mut builder = Self::with(master.version);
        builder.files.push(("sentinel.conf".into(), text));
        builder.role = Role::Sentinel;
        builder.start()
    }

    /// Which server it is.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `redis://127.0.0.1:port`, or `rediss://localhost:port`.
    pub(crate) fn uri(&self) -> String {
        if self.tls {
            format!("rediss://localhost:{}", self.port)
        } else {
            format!("redis://127.0.0.1:{}", self.port)
        }
    }

    /// The path of its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its own folder, where a test may put files too.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A connection of the tests' own, by the unix socket, to database 0.
    pub(crate) fn connection(&self) -> Connection {
        self.connection_to(0)
    }

    /// A connection of the tests' own, by the unix socket.
    pub(crate) fn connection_to(&self, database: u16) -> Connection {
        self.try_connection(database).unwrap()
    }

    /// The same, where the server may be away.
    pub(crate) fn try_connection(&self, database: u16) -> redis::RedisResult<Connection> {
        let info = ConnectionAddr::Unix(self.socket()).into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_db(database.into());
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let connection =
            redis::Client::open(info.set_redis_settings(settings))?.get_connection()?;
        // A server that was stopped or that hangs fails the test instead of holding it up.
        connection.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(connection)
    }

    /// Runs one command, split at spaces, in database 0.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut built = redis::cmd(words.next().unwrap());
        for word in words {
            built.arg(word);
        }
        built
            .query(&mut self.connection())
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Runs one command whose answer does not matter.
    pub(crate) fn tell(&self, command: &str) {
        let _: redis::Value = self.run(command);
    }

    /// A field of INFO.
    pub(crate) fn info(&self, field: &str) -> String {
        let text: String = self.run("INFO everything");
        let prefix = format!("{field}:");
        text.lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap_or_else(|| panic!("INFO has no {field}"))
            .to_owned()
    }

    /// How often it has run a command since its start or the last CONFIG RESETSTAT.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let text: String = self.run("INFO commandstats");
        let prefix = format!("cmdstat_{command}:calls=");
        let calls = text.lines().find_map(|line| line.strip_prefix(&prefix));
        calls.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// Keys in a database.
    pub(crate) fn keys(&self, database: u16) -> u64 {
        redis::cmd("DBSIZE")
            .query(&mut self.connection_to(database))
            .unwrap()
    }

    /// Whether its process is there and goes on: it was neither killed nor paused.
    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().unwrap().is_some() && !self.is_paused.load(Ordering::Relaxed)
    }

    /// Ends the process at once, as a crash does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.is_paused.store(false, Ordering::Relaxed);
        }
    }

    /// Starts it again with the same port, folder and words; `kill` comes first.
    pub(crate) fn restart(&self) {
        self.spawn();
        self.wait_for_answer()
            .unwrap_or_else(|log| panic!("{:?} did not come back:\n{log}", self.version));
    }

    /// Starts it again without waiting until it answers: it may be loading.
    pub(crate) fn restart_in_background(&self) {
        self.spawn();
    }

    /// Holds the process still, as a hung machine is; `resume` lets it go on.
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
        self.signal("STOP");
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
        self.is_paused.store(false, Ordering::Relaxed);
    }

    /// Lets its process run before all others, where the machine allows it: what then takes long, takes this server long.
    pub(crate) fn runs_first(&self) {
        let id = self.id().to_string();
        let ways = [
            ["chrt", "--rr", "--pid", "1", &id],
            ["renice", "-n", "-15", "-p", &id],
        ];
        let _ = ways.iter().any(|[program, words @ ..]| {
            let mut command = Command::new(program);
            command.args(words).stdout(Stdio::null());
            let status = command.stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        });
    }

    fn id(&self) -> u32 {
        let child = self.child.lock().unwrap();
        child.as_ref().expect("the server runs").id()
    }

    fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    fn spawn(&self) {
        let mut child = self.child.lock().unwrap();
        assert!(child.is_none(), "the server runs already");
        let _ = std::fs::remove_file(self.socket());
        let mut command = Command::new(self.version.program());
        if let Some(millis) = self.clock_ahead {
            clocks::set_ahead(&mut command, self.folder.path(), millis);
        }
        let started = command
            .args(&self.words)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        *child = Some(started.unwrap());
    }

    /// The log where the process has ended instead.
    fn wait_for_answer(&self) -> Result<(), String> {
        wait::until("the server answers PING", || {
            let ended = self
                .child
                .lock()
                .unwrap()
                .as_mut()
                .unwrap()
                .try_wait()
                .unwrap();
            if ended.is_some() {
                return Some(Err(self.log()));
            }
            let mut connection = self.try_connection(0).ok()?;
            connection.check_connection().then_some(Ok(()))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last = last_lines(&log);
            eprintln!(
                "---- log of {:?} on port {}\n{}",
                self.version,
                self.port,
                last.join("\n")
            );
        }
        if let Ok(mut child) = self.child.lock()
            && let Some(mut child) = child.take()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What of a log tells why a test failed: the report of a crash, or its end from the last start on, without what a server says of
/// the machine before it is ready.
fn last_lines(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let place = |text: &str| lines.iter().rposition(|line| line.contains(text));
    if let Some(crash) = place("BUG REPORT START") {
        return lines.into_iter().skip(crash).take(80).collect();
    }
    let first = place("Ready to accept connections").unwrap_or_default();
    let first = first.max(lines.len().saturating_sub(40));
    lines.into_iter().skip(first).collect()
}

/// Sends a signal by name (`TERM`, `STOP`) to a process that this test started.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -s {name} {process}");
}

/// Sends a signal by name to every process of a group that is still there.
pub(crate) fn signal_group(group: u32, name: &str) {
    let group = format!("-{group}");
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", name, &group])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// A port that nothing listens on and that this process has not given out before. They lie below the kernel's range for
/// outgoing connections, so a client cannot take one while its server is restarted.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no port is free");
        // A prime stride keeps two test processes with neighbouring numbers apart.
        let port = FIRST
            + u16::try_from((u32::from(spread) * 7 + u32::from(step) * 13) % u32::from(COUNT))
                .unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
