//! `--state`: a copy that was killed is picked up where it was, and a state that does not fit is not trusted.

mod clustered;
mod failed;
mod killed;
mod refused;
mod servers;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::riot::{Output, Riot, Running, replicate};
use crate::servers::{Server, Version};
use crate::store::Store;
use crate::wait;

/// The longest that it may take until a copy is as far as it is to be.
const LONG: Duration = Duration::from_secs(240);

/// A copy whose place is kept.
struct Kept<'a> {
    source: &'a dyn Store,
    target: &'a dyn Store,
    words: Vec<OsString>,
    folder: TempDir,
}

/// A folder that no other test's disk writes make slow, where the machine has one.
pub(crate) fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl<'a> Kept<'a> {
    fn of(source: &'a dyn Store, target: &'a dyn Store) -> Self {
        Self {
            source,
            target,
            words: Vec::new(),
            folder: folder_in_memory(),
        }
    }

    fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(OsString::from));
        self
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `riot replicate SOURCE TARGET --state FILE`.
    fn riot(&self) -> Riot {
        replicate(self.source, self.target)
            .word("--state")
            .word(self.file())
            .words(&self.words)
            .deadline(LONG)
    }

    /// What the file says; nothing before there is one. It is whole whenever it is looked at.
    fn record(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.file()).ok()?;
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    /// Keys done, as the file says.
    fn done(&self) -> u64 {
        let Some(record) = self.record() else {
            return 0;
        };
        let nodes = record["nodes"].as_array().unwrap().iter();
        let keys = nodes.map(|node| node["keys"].as_u64().unwrap());
        record["keys"].as_u64().unwrap() + keys.sum::<u64>()
    }

    /// Starts a run, and comes back when so many keys are done.
    fn until(&self, keys: u64) -> Running {
        let mut running = self.riot().spawn();
        wait::within(LONG, &format!("{keys} keys are done"), || {
            let done = self.done();
            assert!(
                done >= keys || running.is_running(),
                "it ended at {done} keys"
            );
            (done >= keys).then_some(())
        });
        running
    }

    /// Kills a run when so many keys are done.
    fn killed_at(&self, keys: u64) -> Output {
        let running = self.until(keys);
        running.signal("KILL");
        let output = running.finish();
        assert_eq!(output.code(), None, "{output}");
        output
    }
}

/// Keys that were looked up at a store, by its own count.
fn reads(store: &dyn Store) -> u64 {
    let hits = store.holders(0).into_iter().map(|mut holder| {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut holder).unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("keyspace_hits:"));
        line.unwrap().parse::<u64>().unwrap()
    });
    hits.sum()
}

/// Two servers.
fn pair() -> (Server, Server) {
    (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    )
}
