//! What a state file holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::options::{SOURCE, TARGET};
use crate::slots::{SLOTS, SlotSet};

/// The form of the file. It changes whenever the same words would mean something else.
const FORM: u64 = 1;

/// Where a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    riot_state: u64,
    /// The version of riot that wrote it.
    pub riot: String,
    /// What decides which keys are copied, from where to where and as what, by the options' names.
    pub options: BTreeMap<String, String>,
    /// The servers that were read.
    pub source: Servers,
    /// The servers that were written to.
    pub target: Servers,
    /// Every key has its fate.
    pub copied: bool,
    /// Keys done, those of the nodes' own places left out.
    pub keys: u64,
    /// Keys written, some of them perhaps twice.
    pub written: u64,
    /// The slots that are scanned; all others are done.
    pub slots: Vec<(u16, u16)>,
    /// Slots that have moved since their scan began, or that are scanned again for another reason.
    pub again: Vec<(u16, u16)>,
    /// How far each node's scan is.
    pub nodes: Vec<NodeRecord>,
    /// Keys that failed, their names in hexadecimal digits.
    pub failed: Vec<String>,
}

/// One side's servers, by their processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// Any of them leads to all.
    pub cluster: bool,
    /// Their own names for their processes.
    pub run_ids: Vec<String>,
}

impl Servers {
    /// Whether some process of theirs is still there.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.run_ids.iter().any(|id| other.run_ids.contains(id))
    }
}

/// How far the scan of one node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// The server process: a cursor is a place in its own hash table.
    pub run_id: String,
    /// The slots whose keys the scan finds there.
    pub slots: Vec<(u16, u16)>,
    /// The cursor to go on from.
    pub cursor: String,
    /// Nothing is left of the scan.
    pub done: bool,
    /// Keys done.
    pub keys: u64,
}

impl Record {
    /// Nothing is done.
    #[must_use]
    pub fn new(options: BTreeMap<String, String>) -> Self {
        Self {
            riot_state: FORM,
            riot: env!("CARGO_PKG_VERSION").to_owned(),
            options,
            source: Servers::default(),
            target: Servers::default(),
            copied: false,
            keys: 0,
            written: 0,
            slots: vec![(0, SLOTS - 1)],
            again: Vec::new(),
            nodes: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Reads a file's text. The words of an error say what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        const DO: &str = "remove it to copy all keys from the start";
        let damaged = |why: &dyn std::fmt::Display| format!("it is damaged ({why}): {DO}");
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| damaged(&error))?;
        let Some(form) = value.get("riot_state") else {
            return Err("it is no state file of riot: name another one".to_owned());
        };
        if form.as_u64() != Some(FORM) {
            return Err(format!(
                "it is of another version of riot (riot_state {form}, this one has {FORM}): go on with that version, or {DO}"
            ));
        }
        let record: Self = serde_json::from_value(value).map_err(|error| damaged(&error))?;
        record.check().map_err(|why| damaged(&why))?;
        Ok(record)
    }

    fn check(&self) -> Result<(), String> {
        let ranges = self.nodes.iter().flat_map(|node| &node.slots);
        for (first, last) in ranges.chain(&self.slots).chain(&self.again) {
            if first > last || *last >= SLOTS {
                return Err(format!("{first}-{last} are no slots"));
            }
        }
        for node in &self.nodes {
            if node.cursor.parse::<u64>().is_err() {
                return Err(format!("{} is no cursor", node.cursor));
            }
        }
        match self.failed.iter().find(|name| from_hex(name).is_none()) {
            Some(name) => Err(format!("{name} is no key in hexadecimal digits")),
            None => Ok(()),
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain fields with text as names: there is nothing that could fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Names what is another option now than when the copy began. The address of a cluster may be that of another node: once
    /// its nodes are known, [`Record::refuse_other_clusters`] tells.
    pub fn refuse_other_options(&self, now: &BTreeMap<String, String>) -> Result<(), String> {
        self.refuse_others(now, |name| match name {
            SOURCE => !self.source.cluster,
            TARGET => !self.target.cluster,
            _ => true,
        })
    }

    /// Names a side that has another address and none of the servers that it had when the copy began.
    pub fn refuse_other_clusters(
        &self,
        now: &BTreeMap<String, String>,
        (source, target): (&Servers, &Servers),
    ) -> Result<(), String> {
        self.refuse_others(now, |name| match name {
            SOURCE => !self.source.meets(source),
            TARGET => !self.target.meets(target),
            _ => false,
        })
    }

    fn refuse_others(
        &self,
        now: &BTreeMap<String, String>,
        counts: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let names = self.options.keys().chain(now.keys());
        for name in names.filter(|name| counts(name)) {
            let (then, now) = (self.options.get(name), now.get(name));
            if then != now {
                let told =
                    |value: Option<&String>| value.map_or("not given", String::as_str).to_owned();
                return Err(format!(
                    "it is of a copy with another {name}: {} then, {} now; give the same words as then, or another file",
                    told(then),
                    told(now)
                ));
            }
        }
        Ok(())
    }

    /// Whether anything was copied, or may have been.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.copied || self.keys > 0 || self.written > 0 || !self.nodes.is_empty()
    }

    /// Keys done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.keys + self.nodes.iter().map(|node| node.keys).sum::<u64>()
    }

    /// The keys that failed.
    #[must_use]
    pub fn failed_keys(&self) -> Vec<Bytes> {
        self.failed
            .iter()
            .filter_map(|name| from_hex(name))
            .map(Bytes::from)
            .collect()
    }
}

/// Slots as a file has them.
pub(super) fn set(ranges: &[(u16, u16)]) -> SlotSet {
    SlotSet::of(ranges)
}

/// A key's name in hexadecimal digits: names are bytes, and JSON is text.
pub(super) fn to_hex(name: &[u8]) -> String {
    use std::fmt::Write as _;
    name.iter()
        .fold(String::with_capacity(2 * name.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
            }
            _ => None,
        })
        .collect()
}
