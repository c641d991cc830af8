//! Several databases in one run: `0-15`, `1,3`, `all` at the source, and `--db-map`.

use std::collections::{BTreeMap, BTreeSet};

use super::UsageError;
use crate::config::{Databases, Which};

/// No server has more databases.
const MOST: u32 = 65_535;

/// One database number, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Db {
    One(u32),
    /// `0-15`, `1,3`.
    Listed(BTreeSet<u32>),
    All,
}

impl Db {
    pub(super) fn parse(option: &str, text: &str) -> Result<Self, UsageError> {
        let text = text.trim();
        let number = |text: &str| text.trim().parse::<u32>().ok();
        if let Some(number) = number(text) {
            return Ok(Self::One(number));
        }
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let range = |range: &str| {
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(range)?, number(range)?),
            };
            (first <= last && last <= MOST).then_some(first..=last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        match ranges {
            Some(ranges) => Ok(Self::Listed(ranges.into_iter().flatten().collect())),
            None => Err(UsageError::new(
                option,
                "the database is a number; several of the source are 0-15, 1,3 or all",
            )),
        }
    }
}

/// The database of a side, and what said it.
#[derive(Debug)]
pub(super) struct Said {
    /// The option, or the URI; empty where nothing did.
    pub(super) option: String,
    pub(super) database: Db,
    /// It is not merely the default.
    pub(super) given: bool,
}

impl Said {
    /// The one number that it is, or the lowest.
    pub(super) fn number(&self) -> u32 {
        match &self.database {
            Db::One(number) => *number,
            Db::Listed(_) | Db::All => 0,
        }
    }

    /// It is one number.
    pub(super) fn refuse_several(&self, reason: &str) -> Result<(), UsageError> {
        match self.database {
            Db::One(_) => Ok(()),
            Db::Listed(_) | Db::All => Err(UsageError::new(&self.option, reason)),
        }
    }
}

/// Which databases go where; `None` where it is one to one number, as the sides say.
pub(super) fn resolve(
    source: &Said,
    target: &Said,
    map: &[String],
) -> Result<Option<Databases>, UsageError> {
    target.refuse_several(
        "the target has one database number; of several each goes to the same, or where --db-map A=B sends it",
    )?;
    let which = match &source.database {
        Db::One(_) if map.is_empty() => return Ok(None),
        Db::One(number) => Which::Listed([*number].into()),
        Db::Listed(listed) => Which::Listed(listed.clone()),
        Db::All => Which::All,
    };
    if target.given {
        return Err(UsageError::new(
            &target.option,
            "of several databases each goes to the same number; --db-map A=B sends one elsewhere",
        ));
    }
    let databases = Databases {
        which,
        map: read(map)?,
    };
    for from in databases.map.keys() {
        if !databases.takes(*from) {
            return Err(UsageError::new(
                "--db-map",
                format!("database {from} is not copied: --source-db says which are"),
            ));
        }
    }
    refuse_mixing(&databases)?;
    Ok(Some(databases))
}

/// `A=B`, several with commas or by several options.
fn read(words: &[String]) -> Result<BTreeMap<u32, u32>, UsageError> {
    let fail = |reason: String| UsageError::new("--db-map", reason);
    let mut map = BTreeMap::new();
    for word in words.iter().flat_map(|words| words.split(',')) {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let pair = word
            .split_once('=')
            .and_then(|(from, to)| number(from).zip(number(to)));
        let Some((from, to)) = pair else {
            return Err(fail(
                "is two numbers, the source's and the target's: 3=0".to_owned(),
            ));
        };
        if let Some(before) = map.insert(from, to) {
            return Err(fail(format!(
                "database {from} goes to {before} or to {to}, not to both"
            )));
        }
    }
    Ok(map)
}

/// Two databases in one would overwrite each other.
fn refuse_mixing(databases: &Databases) -> Result<(), UsageError> {
    let named: BTreeSet<u32> = match &databases.which {
        // Which others have keys only the source knows.
        Which::All => databases.map.keys().copied().collect(),
        Which::Listed(listed) => listed.clone(),
    };
    let mut targets = BTreeMap::new();
    for source in named {
        let target = databases.target_of(source);
        if let Some(other) = targets.insert(target, source) {
            return Err(UsageError::new(
                "--db-map",
                format!(
                    "databases {other} and {source} would both go to {target}, and overwrite each other there"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<u32> {
        match Db::parse("--source-db", text) {
            Ok(Db::Listed(listed)) => listed.into_iter().collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn databases_are_listed_by_numbers_and_ranges() {
        assert_eq!(listed("1,3"), [1, 3]);
        assert_eq!(listed("0-2, 7 ,2-3"), [0, 1, 2, 3, 7]);
        assert_eq!(listed("5-5"), [5]);
        assert_eq!(Db::parse("", "7"), Ok(Db::One(7)));
        assert_eq!(Db::parse("", "ALL"), Ok(Db::All));
        for wrong in ["", "x", "1,", "3-1", "-1", "1-", "0-99999", "all,1"] {
            assert!(Db::parse("", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_map_takes_several_words() {
        let map = read(&["3=0".into(), "4 = 1,5=2".into()]).unwrap();
        assert_eq!(map, [(3, 0), (4, 1), (5, 2)].into());
    }
}
