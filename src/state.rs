//! Where a snapshot is, kept in a file (`--state`), so that a run that was killed is picked up where it was.
//!
//! [`Track`] knows how far each node's scan is: a page of keys is done when each of its keys has its fate, and a cursor is
//! kept only when its page and all before it are done. [`StateFile`] holds the [`Record`] of it, locked, replaced in one step.

mod file;
mod options;
mod record;
mod track;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::file::StateFile;
pub use self::options::options;
pub use self::record::{NodeRecord, Record, Servers};
pub use self::track::{Start, Track};
use crate::config::Config;
use crate::error::RunError;

/// The state of a run: the file, and what it said when it was opened.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    file: Arc<Mutex<StateFile>>,
    /// The command line's.
    options: BTreeMap<String, String>,
    found: Record,
}

/// What a file says of the servers that are there now.
#[derive(Debug)]
pub struct Admission {
    /// Where the copy goes on from.
    pub track: Track,
    /// What the operator is told.
    pub lines: Vec<String>,
}

impl State {
    /// Opens and locks the file that the run was told, if it was. What does not fit the command line is refused, before any
    /// server is spoken to: exit 2.
    pub fn open(config: &Config) -> Result<Option<Self>, RunError> {
        let Some(path) = &config.state else {
            return Ok(None);
        };
        let refused = |why: String| RunError::State {
            path: path.clone(),
            why,
        };
        let now = options(config);
        let (mut file, text) = StateFile::open(path).map_err(refused)?;
        let mut found = match text {
            Some(text) => Record::parse(&text).map_err(refused)?,
            None => Record::new(now.clone()),
        };
        if found.has_begun() {
            found.refuse_other_options(&now).map_err(refused)?;
        } else {
            found = Record::new(now.clone());
        }
        // It can be written, or nothing is copied.
        file.write(&found.to_json())
            .map_err(|error| refused(format!("it cannot be written: {error}")))?;
        Ok(Some(Self {
            path: path.clone(),
            file: Arc::new(Mutex::new(file)),
            options: now,
            found,
        }))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Holds what was found against the servers' processes as they are now; `target_is_empty`: it has no keys at all. Another
    /// cluster than that of the copy is refused: exit 2.
    pub fn admit(
        &self,
        source: Servers,
        target: Servers,
        target_is_empty: bool,
    ) -> Result<Admission, RunError> {
        let mut record = self.found.clone();
        let mut lines = Vec::new();
        if record.has_begun() {
            record
                .refuse_other_clusters(&self.options, (&source, &target))
                .map_err(|why| RunError::State {
                    path: self.path.clone(),
                    why,
                })?;
        }
        record.options.clone_from(&self.options);
        let is_there = |id: &String| target.run_ids.contains(id);
        let lost = if !record.target.run_ids.iter().all(is_there) {
            Some("the target was restarted or replaced since: what was copied may be gone")
        } else if target_is_empty && record.written > 0 {
            Some("the target has no keys any more")
        } else {
            None
        };
        if let Some(why) = lost.filter(|_| record.has_begun()) {
            lines.push(format!("{why}, so all keys are copied again"));
            record = Record::new(record.options);
        }
        let known = record.nodes.len();
        record
            .nodes
            .retain(|node| source.run_ids.contains(&node.run_id));
        if known > 0 && record.nodes.is_empty() {
            lines.push(
                "the source was restarted or replaced since: its keys are scanned again from the start"
                    .to_owned(),
            );
        } else if known > record.nodes.len() {
            lines.push(format!(
                "{} of the {known} source nodes that were scanned were restarted or replaced since, or are not read any more: their slots are scanned again from the start",
                known - record.nodes.len()
            ));
        }
        record.source = source;
        record.target = target;
        env!("CARGO_PKG_VERSION").clone_into(&mut record.riot);
        Ok(Admission {
            track: Track::new(record),
            lines,
        })
    }

    /// Writes a record. Blocks: the disk has it when this returns.
    pub fn writer(&self) -> impl Fn(&Record) -> std::io::Result<()> + Send + use<> {
        let file = self.file.clone();
        move |record| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write(&record.to_json())
        }
    }

    /// There is nothing to go on with any more.
    pub fn remove(&self) -> std::io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.remove()
    }
}
