//! Types that riot does not know (other modules'): compared by what DUMP says, where both sides say it alike.

use super::ask::{Answers, Questions};
use super::{Comparison, End, Ground, Names, Progress};
use crate::config::Side;

/// A payload ends with its version and a checksum.
const VERSION: usize = 2;
const CHECKSUM: usize = 8;

/// The comparison of one key.
pub(super) struct OtherComparison {
    names: Names,
    bytes: usize,
    kind: String,
}

impl OtherComparison {
    pub(super) fn new(names: Names, bytes: usize, kind: &[u8]) -> Self {
        Self {
            names,
            bytes,
            kind: String::from_utf8_lossy(kind).into_owned(),
        }
    }
}

/// A payload's value and its version.
fn split(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = payload.len().checked_sub(VERSION + CHECKSUM)?;
    Some((payload.get(..body)?, payload.get(body..body + VERSION)?))
}

impl Comparison for OtherComparison {
    fn weight(&self) -> usize {
        self.bytes
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        source.ask(&[b"DUMP", &self.names.source]);
        target.ask(&[b"DUMP", &self.names.target]);
    }

    fn accept(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        self.judge(source, target)
    }
}

impl OtherComparison {
    fn judge(&self, source: &mut Answers, target: &mut Answers) -> Result<Progress, End> {
        let (ours, theirs) = (source.value()?, target.value()?);
        let ours = split(&ours).ok_or_else(|| no_payload(Side::Source))?;
        let theirs = split(&theirs).ok_or_else(|| no_payload(Side::Target))?;
        if ours.1 != theirs.1 {
            return Err(End::Failed(
                Side::Target,
                format!(
                    "a {} cannot be compared across these server versions",
                    self.kind
                ),
            ));
        }
        if ours.0 == theirs.0 {
            Ok(Progress::Equal)
        } else {
            Err(End::Differs)
        }
    }
}

fn no_payload(side: Side) -> End {
    End::Failed(side, "DUMP's answer is no payload".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::Reply;

    #[test]
    fn a_payload_is_a_value_a_version_and_a_checksum() {
        assert_eq!(
            split(b"value\x0c\x00checksum"),
            Some((b"value".as_slice(), b"\x0c\x00".as_slice()))
        );
        assert_eq!(split(b"short"), None);
    }

    #[test]
    fn values_are_compared_where_both_sides_write_them_alike() {
        let judge = |ours: &'static [u8], theirs: &'static [u8]| {
            let names = Names {
                source: "key".into(),
                target: "key".into(),
            };
            let answer =
                |side, payload| Answers::new(side, vec![Reply::Bytes(Bytes::from_static(payload))]);
            OtherComparison::new(names, 0, b"MBbloom--").judge(
                &mut answer(Side::Source, ours),
                &mut answer(Side::Target, theirs),
            )
        };
        assert_eq!(
            judge(b"value\x0c\x00checksum", b"value\x0c\x00CHECKSUM"),
            Ok(Progress::Equal)
        );
        assert_eq!(
            judge(b"value\x0c\x00checksum", b"other\x0c\x00checksum"),
            Err(End::Differs)
        );
        let error = "a MBbloom-- cannot be compared across these server versions";
        assert_eq!(
            judge(b"value\x0c\x00checksum", b"value\x0b\x00checksum"),
            Err(End::Failed(Side::Target, error.to_owned()))
        );
    }
}
