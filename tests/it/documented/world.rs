//! The servers that the pages name, each a real one of the test's own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::clusters::Cluster;
use crate::data;
use crate::servers::{self, Server, Version};
use crate::store::Store;

/// Keys in each source.
const KEYS: u32 = 2000;

/// The passwords of all sources and all targets.
const SOURCE_PASSWORD: &str = "source-secret";
const TARGET_PASSWORD: &str = "target-secret";

/// What managed services do not have.
const MANAGED: &[&str] = &[
    "CONFIG",
    "DEBUG",
    "MIGRATE",
    "REPLICAOF",
    "SYNC",
    "BGSAVE",
    "SHUTDOWN",
];

/// A server as the pages call it.
struct Named {
    name: &'static str,
    is_source: bool,
    start: fn(&Authority) -> Box<dyn Store>,
}

const SERVERS: &[Named] = &[
    source("source.example.com:6379", |_| plain()),
    target("target.example.com:6379", |_| plain()),
    target("standby.example.com:6379", |_| plain()),
    source("cluster-a.example.com:6379", |_| cluster()),
    target("cluster-b.example.com:6379", |_| cluster()),
    source(
        "orders.abc123.ng.0001.use1.cache.amazonaws.com:6379",
        |_| {
            Box::new(
                managed()
                    .arguments(["--notify-keyspace-events", "AK"])
                    .start(),
            )
        },
    ),
    source(
        "master.sessions.abc123.use1.cache.amazonaws.com:6379",
        |authority| {
            Box::new(
                managed()
                    .tls(&certificate(authority))
                    .password(SOURCE_PASSWORD)
                    .start(),
            )
        },
    ),
    source(
        "master.carts.abc123.use1.cache.amazonaws.com:6379",
        |authority| {
            let users = format!(
                "user default on nopass ~* &* +@all\n\
             user riot-source on >{SOURCE_PASSWORD} ~* resetchannels +@read +@connection +scan +dump +multi +exec \
             +watch +unwatch +info +time +client|list +client|tracking\n"
            );
            Box::new(managed().tls(&certificate(authority)).acl(&users).start())
        },
    ),
    source(
        "clustercfg.catalog.abc123.use1.cache.amazonaws.com:6379",
        |authority| Box::new(tls_cluster(authority)),
    ),
    target("redis-12000.re.example.com:12000", |authority| {
        Box::new(
            managed()
                .tls(&certificate(authority))
                .password(TARGET_PASSWORD)
                .start(),
        )
    }),
    target(
        "clustercfg.catalog.def456.usw2.cache.amazonaws.com:6379",
        |authority| Box::new(tls_cluster(authority)),
    ),
];

const fn source(name: &'static str, start: fn(&Authority) -> Box<dyn Store>) -> Named {
    Named {
        name,
        is_source: true,
        start,
    }
}

const fn target(name: &'static str, start: fn(&Authority) -> Box<dyn Store>) -> Named {
    Named {
        name,
        is_source: false,
        start,
    }
}

fn plain() -> Box<dyn Store> {
    Box::new(Server::start(Version::Redis70))
}

fn cluster() -> Box<dyn Store> {
    Box::new(Cluster::start(Version::Redis70, 2, 0))
}

fn tls_cluster(authority: &Authority) -> Cluster {
    Cluster::with(Version::Redis70, 2, 0)
        .hostname("localhost")
        .tls(&certificate(authority), &authority.client())
        .start()
}

fn managed() -> servers::Builder {
    let renamed = MANAGED
        .iter()
        .flat_map(|command| ["--rename-command", command, ""]);
    Server::with(Version::Redis70).arguments(renamed)
}

fn certificate(authority: &Authority) -> servers::TlsFiles {
    authority.server(&["localhost"])
}

/// What a page's commands run in.
pub(super) struct World {
    folder: TempDir,
    authority: Authority,
    servers: Vec<(&'static Named, Box<dyn Store>)>,
    ports: Vec<(String, String)>,
}

impl World {
    /// The servers that a text names.
    pub(super) fn of(text: &str) -> Self {
        let authority = Authority::new();
        let named = SERVERS.iter().filter(|server| text.contains(server.name));
        let servers = named
            .map(|server| (server, (server.start)(&authority)))
            .collect();
        let port = regex::Regex::new(r"\b(?:70\d\d|9121)\b").unwrap();
        let mut told: Vec<&str> = port.find_iter(text).map(|found| found.as_str()).collect();
        told.sort_unstable();
        told.dedup();
        let ports = told
            .into_iter()
            .map(|port| (port.to_owned(), port_of_a_node().to_string()))
            .collect();
        let world = Self {
            folder: TempDir::with_prefix("riot-documented-").unwrap(),
            authority,
            servers,
            ports,
        };
        world.lay_out();
        world
    }

    /// Files that the pages take for granted.
    fn lay_out(&self) {
        let secrets = self.folder().join("etc/riot");
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join("source.pass"), format!("{SOURCE_PASSWORD}\n")).unwrap();
        std::fs::write(secrets.join("target.pass"), format!("{TARGET_PASSWORD}\n")).unwrap();
        std::fs::copy(self.authority.file(), secrets.join("ca.pem")).unwrap();
        let programs = self.folder().join("bin");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_riot"), programs.join("riot")).unwrap();
    }

    /// Where commands run.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority that all certificates come from.
    pub(super) fn authority(&self) -> &Path {
        self.authority.file()
    }

    /// The folders where programs are looked for before those of the system.
    pub(super) fn programs(&self) -> [PathBuf; 2] {
        let server = Version::Redis70.program();
        [
            self.folder().join("bin"),
            server.parent().unwrap().to_owned(),
        ]
    }

    /// As at the beginning: every source full, every target empty.
    pub(super) fn reset(&self) {
        for (named, store) in &self.servers {
            store.flush();
            if named.is_source {
                data::fill_mixed(store.as_ref(), "item:", KEYS);
            }
        }
        let _ = std::fs::remove_file(self.folder().join("environment"));
    }

    /// A script for this world.
    pub(super) fn script(&self, text: &str) -> String {
        let mut script = text.replace("/tmp/riot-", &self.path("riot-"));
        script = script.replace("/etc/riot/", &self.path("etc/riot/"));
        for (named, store) in &self.servers {
            script = script.replace(named.name, address(store.as_ref()).as_str());
        }
        for (told, real) in &self.ports {
            script = renamed(&script, told, real);
        }
        script
    }

    /// What was said, in the pages' names.
    pub(super) fn told(&self, text: &str) -> String {
        let mut told = text.to_owned();
        for (named, store) in &self.servers {
            told = told.replace(&address(store.as_ref()), named.name);
        }
        for (name, real) in &self.ports {
            told = renamed(&told, real, name);
        }
        told.replace(&self.path("etc/riot/"), "/etc/riot/")
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder().display())
    }
}

/// Puts one number in the place of another, and leaves longer ones alone.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let form = regex::Regex::new(&format!(r"\b{}\b", regex::escape(from))).unwrap();
    form.replace_all(text, regex::NoExpand(to)).into_owned()
}

impl Drop for World {
    /// Servers that a page started and did not come to end.
    fn drop(&mut self) {
        for (_, port) in &self.ports {
            let mut client = std::process::Command::new("redis-cli");
            let _ = client.args(["-p", port, "SHUTDOWN", "NOSAVE"]).output();
        }
    }
}

/// A free port whose cluster bus, 10,000 further, is out of the way of all other ports of the tests, and of those that the
/// system gives to connections.
fn port_of_a_node() -> u16 {
    const BUS: u16 = 10_000;
    loop {
        let port = servers::free_port();
        if (22_000..22_768).contains(&port) && TcpListener::bind(("127.0.0.1", port + BUS)).is_ok()
        {
            return port;
        }
    }
}

/// `127.0.0.1:port`, or `localhost:port` where it speaks TLS.
fn address(store: &dyn Store) -> String {
    store.uri().split_once("://").unwrap().1.to_owned()
}
