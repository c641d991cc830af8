//! Why a key's reading or comparison ends early, and what a server's error says of the key.

use super::Verdict;
use crate::config::Side;
use crate::stats::DifferenceKind;

/// Why a key's comparison ends before its last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The values differ.
    Differs,
    /// The target does not have the key.
    Missing,
    /// The source does not have it any more.
    Gone,
    /// That side's own error.
    Failed(Side, String),
}

impl End {
    /// A key that is not there.
    pub(super) fn vanished(side: Side) -> Self {
        match side {
            Side::Source => Self::Gone,
            Side::Target => Self::Missing,
        }
    }

    /// What an error of the server says of the key.
    pub(super) fn of_error(side: Side, error: String) -> Self {
        let begins = |ways: &[&str]| ways.iter().any(|way| error.starts_with(way));
        // Modules have words of their own, behind ERR or not.
        let says = |ways: &[&str]| ways.iter().any(|way| error.contains(way));
        if begins(&["ERR no such key"]) || says(&["TSDB: the key does not exist"]) {
            Self::vanished(side)
        } else if begins(&["WRONGTYPE", "NOGROUP"])
            || says(&["is not a TSDB key", "wrong Redis type"])
        {
            // Replaced since TYPE was asked, or since its groups were.
            Self::Differs
        } else {
            Self::Failed(side, error)
        }
    }

    pub(super) fn verdict(self, kind: &[u8]) -> Verdict {
        let r#type = String::from_utf8_lossy(kind).into_owned();
        match self {
            Self::Differs => Verdict::Differs(DifferenceKind::Value { r#type }),
            Self::Missing => Verdict::Differs(DifferenceKind::Missing { r#type }),
            Self::Gone => Verdict::Gone,
            Self::Failed(side, error) => Verdict::Failed(side, explained(kind, side, &error)),
        }
    }
}

/// An error of a server for a key of this type: one that does not know the type's commands lacks what has them.
pub(super) fn explained(kind: &[u8], side: Side, error: &str) -> String {
    let lacking = match kind {
        b"ReJSON-RL" => "the module ReJSON, whose type ReJSON-RL is",
        b"TSDB-TYPE" => "the module TimeSeries, whose type TSDB-TYPE is",
        b"vectorset" => "vector sets (type vectorset, Redis 8)",
        _ => return error.to_owned(),
    };
    if error.contains("unknown command") {
        format!("the {side} does not have {lacking} ({error})")
    } else {
        error.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_changed_its_type_meanwhile_differs_and_one_that_went_is_gone() {
        let end = |side, error: &str| End::of_error(side, error.to_owned());
        assert_eq!(
            end(Side::Source, "WRONGTYPE Operation against a key"),
            End::Differs
        );
        assert_eq!(end(Side::Source, "ERR no such key"), End::Gone);
        assert_eq!(end(Side::Target, "ERR no such key"), End::Missing);
        assert_eq!(
            end(Side::Target, "ERR TSDB: the key does not exist"),
            End::Missing
        );
        assert_eq!(
            end(Side::Source, "ERR TSDB: the key is not a TSDB key"),
            End::Differs
        );
        assert_eq!(
            end(Side::Target, "NOPERM No permissions to access a key"),
            End::Failed(
                Side::Target,
                "NOPERM No permissions to access a key".to_owned()
            )
        );
    }

    #[test]
    fn a_server_without_a_module_is_told_by_the_modules_name() {
        let verdict = |kind: &[u8], error: &str| match End::of_error(Side::Target, error.to_owned())
            .verdict(kind)
        {
            Verdict::Failed(Side::Target, why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            verdict(b"ReJSON-RL", "ERR unknown command 'JSON.GET'"),
            "the target does not have the module ReJSON, whose type ReJSON-RL is (ERR unknown command 'JSON.GET')"
        );
        assert_eq!(
            verdict(b"hash", "ERR unknown command 'HLEN'"),
            "ERR unknown command 'HLEN'"
        );
        assert_eq!(verdict(b"TSDB-TYPE", "OOM"), "OOM");
    }
}
