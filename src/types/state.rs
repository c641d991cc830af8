//! What both sides hold under each key before any value is read: type and expiry.

use bytes::Bytes;

use super::ask::{Answers, Questions, Sides, array, bytes};
use super::{Doubt, End, Terms, Verdict, ttl_difference};
use crate::clock;
use crate::config::Side;
use crate::entry::Millis;
use crate::error::Lost;
use crate::stats::DifferenceKind;
use crate::wire::Reply;

/// What a side has instead of an expiry: no key, no expiry.
const NO_KEY: Millis = -2;
const NO_EXPIRY: Millis = -1;

/// What one side holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: Bytes,
    /// An instant on that side's clock, or why there is none.
    expiry: Millis,
}

/// What is known of a key by type and expiry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// All that there is to say.
    Settled(Verdict),
    /// A stream that the target does not have: no difference where it is empty.
    PerhapsEmpty,
    /// Both have it; if their values are equal, this differs.
    Open {
        kind: Bytes,
        expiry: Option<DifferenceKind>,
    },
}

/// How one side is asked for expiries.
#[derive(Debug, Clone, Copy)]
struct Manner {
    expiry: bool,
    pexpiretime: bool,
    time: bool,
}

impl Manner {
    fn ask<'n>(self, names: impl Iterator<Item = &'n Bytes>, out: &mut Questions<'_>) {
        if self.time {
            out.ask(&[b"TIME"]);
        }
        let command: &[u8] = if self.pexpiretime {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        for name in names {
            out.ask(&[b"TYPE", name]);
            if self.expiry {
                out.ask(&[command, name]);
            }
        }
    }

    /// The side's clock, and what it has of each key; `asked` is the clock where the side does not tell its own.
    fn take(
        self,
        count: usize,
        asked: Millis,
        answers: &mut Answers,
    ) -> (Millis, Vec<Result<Seen, End>>) {
        let now = if self.time {
            time(answers.raw()).unwrap_or(asked)
        } else {
            asked
        };
        let seen = (0..count).map(|_| {
            let kind = answers.parse(bytes);
            let expiry = if self.expiry {
                answers.integer()
            } else {
                Ok(NO_EXPIRY)
            };
            let (kind, expiry) = (kind?, expiry?);
            let expiry = if self.pexpiretime || expiry < 0 {
                expiry
            } else {
                now.saturating_add(expiry)
            };
            Ok(Seen { kind, expiry })
        });
        (now, seen.collect())
    }

    /// Nothing under the key.
    fn is_gone(seen: &Seen) -> bool {
        seen.kind.as_ref() == b"none" || seen.expiry == NO_KEY
    }
}

/// Asks both sides about every key.
pub(super) async fn look(
    sides: &mut Sides<'_>,
    doubts: &[Doubt],
    terms: &Terms,
    shift: Millis,
) -> Result<Vec<Known>, (Side, Lost)> {
    let source = Manner {
        expiry: terms.expiry,
        pexpiretime: terms.source_pexpiretime,
        time: terms.expiry && terms.source_time && !terms.source_pexpiretime,
    };
    let target = Manner {
        expiry: terms.expiry,
        pexpiretime: terms.target_pexpiretime,
        // What is left to live is told on the target's clock.
        time: terms.expiry && terms.target_time,
    };
    let asked = clock::now();
    let (mut to_source, mut to_target) = sides.questions();
    source.ask(doubts.iter().map(|doubt| &doubt.key.name), &mut to_source);
    target.ask(doubts.iter().map(|doubt| &doubt.target), &mut to_target);
    let counts = (to_source.count(), to_target.count());
    let (mut from_source, mut from_target) = sides.answers(counts.0, counts.1).await?;
    let (_, ours) = source.take(doubts.len(), asked, &mut from_source);
    let (now, theirs) = target.take(doubts.len(), asked, &mut from_target);
    Ok(ours
        .into_iter()
        .zip(theirs)
        .map(|(ours, theirs)| settle(ours, theirs, terms, shift, now))
        .collect())
}

fn settle(
    ours: Result<Seen, End>,
    theirs: Result<Seen, End>,
    terms: &Terms,
    shift: Millis,
    now: Millis,
) -> Known {
    let text = |kind: &Bytes| String::from_utf8_lossy(kind).into_owned();
    let ours = match ours {
        Ok(seen) if Manner::is_gone(&seen) => return Known::Settled(Verdict::Gone),
        Ok(seen) => seen,
        Err(end) => return Known::Settled(end.verdict(b"")),
    };
    let theirs = match theirs {
        Ok(seen) if Manner::is_gone(&seen) => {
            if terms.prune_streams && ours.kind.as_ref() == b"stream" {
                return Known::PerhapsEmpty;
            }
            return Known::Settled(End::Missing.verdict(&ours.kind));
        }
        Ok(seen) => seen,
        Err(end) => return Known::Settled(end.verdict(&ours.kind)),
    };
    if ours.kind != theirs.kind {
        return Known::Settled(Verdict::Differs(DifferenceKind::Type {
            expected: text(&ours.kind),
            found: text(&theirs.kind),
        }));
    }
    let same = terms.same_expiry(ours.expiry, theirs.expiry, shift);
    Known::Open {
        kind: ours.kind,
        expiry: (!same).then(|| ttl_difference(ours.expiry, theirs.expiry, shift, now)),
    }
}

/// TIME's answer: seconds and microseconds.
pub(super) fn time(reply: Reply) -> Option<Millis> {
    let mut parts = array(reply)?.into_iter();
    let mut number = || -> Option<Millis> {
        std::str::from_utf8(&bytes(parts.next()?)?)
            .ok()?
            .parse()
            .ok()
    };
    Some(number()? * 1000 + number()? / 1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    fn terms() -> Terms {
        Terms {
            source_pexpiretime: true,
            target_pexpiretime: true,
            source_time: true,
            target_time: true,
            expiry: true,
            tolerance: Duration::from_millis(100),
            message_ids: true,
            prune_streams: false,
        }
    }

    fn seen(kind: &'static str, expiry: Millis) -> Seen {
        Seen {
            kind: kind.into(),
            expiry,
        }
    }

    #[test]
    fn missing_comes_before_type_and_type_before_expiry() {
        let gone = || seen("none", NO_KEY);
        let known = |ours, theirs| settle(Ok(ours), Ok(theirs), &terms(), 0, NOW);
        assert_eq!(
            known(gone(), seen("list", 5)),
            Known::Settled(Verdict::Gone)
        );
        assert_eq!(
            known(seen("list", -1), gone()),
            Known::Settled(Verdict::Differs(DifferenceKind::Missing {
                r#type: "list".into()
            }))
        );
        assert_eq!(
            known(seen("list", -1), seen("set", NOW)),
            Known::Settled(Verdict::Differs(DifferenceKind::Type {
                expected: "list".into(),
                found: "set".into()
            }))
        );
        assert_eq!(
            known(seen("list", -1), seen("list", NOW + 7)),
            Known::Open {
                kind: "list".into(),
                expiry: Some(DifferenceKind::Ttl {
                    expected: -1,
                    found: 7
                })
            }
        );
    }

    #[test]
    fn expiries_are_compared_on_the_targets_clock() {
        let known = |shift, theirs| match settle(
            Ok(seen("string", NOW)),
            Ok(seen("string", theirs)),
            &terms(),
            shift,
            NOW,
        ) {
            Known::Open { expiry, .. } => expiry,
            other => panic!("{other:?}"),
        };
        assert_eq!(known(0, NOW + 100), None);
        assert_eq!(
            known(0, NOW + 101),
            Some(DifferenceKind::Ttl {
                expected: 0,
                found: 101
            })
        );
        assert_eq!(known(3_600_000, NOW + 3_600_050), None);
        assert_eq!(
            known(3_600_000, NOW),
            Some(DifferenceKind::Ttl {
                expected: 3_600_000,
                found: 0
            })
        );
    }

    #[test]
    fn an_empty_stream_is_missing_only_where_streams_are_not_pruned() {
        let pruning = Terms {
            prune_streams: true,
            ..terms()
        };
        let missing = || seen("none", NO_KEY);
        assert_eq!(
            settle(Ok(seen("stream", -1)), Ok(missing()), &pruning, 0, NOW),
            Known::PerhapsEmpty
        );
        assert!(matches!(
            settle(Ok(seen("stream", -1)), Ok(missing()), &terms(), 0, NOW),
            Known::Settled(Verdict::Differs(_))
        ));
    }

    #[test]
    fn a_side_without_pexpiretime_counts_from_its_own_clock() {
        let manner = Manner {
            expiry: true,
            pexpiretime: false,
            time: true,
        };
        let word = |text: &'static str| Reply::Bytes(Bytes::from_static(text.as_bytes()));
        let mut answers = Answers::new(
            Side::Source,
            vec![
                Reply::Array(vec![word("1700000000"), word("123456")]),
                word("set"),
                Reply::Integer(1000),
                word("list"),
                Reply::Integer(-1),
            ],
        );
        let (now, found) = manner.take(2, 0, &mut answers);
        assert_eq!(now, NOW + 123);
        assert_eq!(found, [Ok(seen("set", NOW + 1123)), Ok(seen("list", -1))]);
    }
}
