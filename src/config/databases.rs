//! Several databases in one run: which of the source's are taken, and where each goes.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;

/// Several databases in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases {
    /// Which of the source's.
    pub which: Which,
    /// Those that go to another number at the target, each with that number.
    pub map: BTreeMap<u32, u32>,
}

/// Which of the source's databases are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Every one that has keys.
    All,
    /// Those of these that have keys.
    Listed(BTreeSet<u32>),
}

impl Databases {
    /// Whether keys of this database are taken.
    #[must_use]
    pub fn takes(&self, source: u32) -> bool {
        match &self.which {
            Which::All => true,
            Which::Listed(listed) => listed.contains(&source),
        }
    }

    /// The number at the target of a database of the source.
    #[must_use]
    pub fn target_of(&self, source: u32) -> u32 {
        self.map.get(&source).copied().unwrap_or(source)
    }

    /// The databases of the source, of those up to `last`, whose keys go to this one of the target.
    pub fn sources_of(&self, target: u32, last: u32) -> impl Iterator<Item = u32> {
        let mapped = self.map.keys().copied().filter(move |key| *key > last);
        let all = (0..=last).chain(mapped);
        all.filter(move |source| self.takes(*source) && self.target_of(*source) == target)
    }

    /// The lowest number that may be taken.
    #[must_use]
    pub fn first(&self) -> u32 {
        match &self.which {
            Which::All => 0,
            Which::Listed(listed) => listed.first().copied().unwrap_or_default(),
        }
    }
}

impl Config {
    /// What the run is told of one of its databases, of which there are so many now: what each holds by itself is a part.
    #[must_use]
    pub fn of_database(&self, (source, target): (u32, u32), databases: usize) -> Self {
        let mut config = self.clone();
        config.databases = None;
        config.source.database = source;
        config.target.database = target;
        config.state = self.state.as_ref().map(|path| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".db{source}"));
            name.into()
        });
        if let Some(live) = &mut config.live {
            live.queue = (live.queue / databases.max(1)).max(1);
            // The run ends when nothing changes in any of them.
            live.idle_timeout = None;
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_to_its_own_number_or_where_it_is_sent() {
        let databases = Databases {
            which: Which::All,
            map: [(3, 0), (20, 0)].into(),
        };
        assert_eq!([0, 1, 3].map(|one| databases.target_of(one)), [0, 1, 0]);
        let sources: Vec<u32> = databases.sources_of(0, 5).collect();
        assert_eq!(sources, [0, 3, 20]);
        assert_eq!(databases.first(), 0);
        let databases = Databases {
            which: Which::Listed([1, 3].into()),
            ..databases
        };
        assert!(databases.takes(3) && !databases.takes(0));
        assert_eq!(databases.sources_of(0, 5).collect::<Vec<_>>(), [3]);
        assert_eq!(databases.first(), 1);
    }
}
