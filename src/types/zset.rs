//! Sorted sets: read by rank with their scores, written by ZADD, compared by member and score.

use bytes::Bytes;

use super::ask::{Questions, array, bytes};
use super::copy::{Commands, number};
use super::rank::Ranked;
use crate::wire::Reply;

/// The type.
pub(super) struct SortedSet;

/// A member and its score. Equal members have scores that compare equal: the sign of zero is lost in a listpack.
pub(super) type Scored = (Bytes, f64);

impl Ranked for SortedSet {
    const LENGTH: &'static [u8] = b"ZCARD";
    type Element = Scored;

    fn ask(key: &[u8], first: usize, last: usize, out: &mut Questions<'_>) {
        let (first, last) = (first.to_string(), last.to_string());
        out.ask(&[
            b"ZRANGE",
            key,
            first.as_bytes(),
            last.as_bytes(),
            b"WITHSCORES",
        ]);
    }

    /// RESP3 nests pairs, RESP2 has members and scores in turn.
    fn elements(reply: Reply) -> Option<Vec<Scored>> {
        let mut parts = array(reply)?.into_iter();
        let mut elements = Vec::with_capacity(parts.len());
        while let Some(first) = parts.next() {
            elements.push(match first {
                Reply::Array(pair) => {
                    let mut pair = pair.into_iter();
                    (bytes(pair.next()?)?, score(pair.next()?)?)
                }
                member => (bytes(member)?, score(parts.next()?)?),
            });
        }
        Some(elements)
    }

    fn bytes(element: &Scored) -> usize {
        element.0.len() + size_of::<f64>()
    }

    /// The shortest text that reads as the same double: `inf` and `-inf` as the server has them.
    fn write(elements: Vec<Scored>, out: &mut Commands) {
        let words = elements
            .into_iter()
            .flat_map(|(member, score)| [number(score), member]);
        out.add(b"ZADD", words, 2);
    }
}

/// The server's text is exact: it prints as many digits as tell a double from its neighbours.
fn score(reply: Reply) -> Option<f64> {
    let text = bytes(reply)?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn both_versions_of_resp_give_the_same_members() {
        let flat = Reply::Array(vec![word("a"), word("-inf"), word("b"), word("1.5")]);
        let nested = Reply::Array(vec![
            Reply::Array(vec![word("a"), word("-inf")]),
            Reply::Array(vec![word("b"), word("1.5")]),
        ]);
        let expected: Vec<Scored> = vec![("a".into(), f64::NEG_INFINITY), ("b".into(), 1.5)];
        assert_eq!(SortedSet::elements(flat), Some(expected.clone()));
        assert_eq!(SortedSet::elements(nested), Some(expected));
    }

    #[test]
    fn scores_are_exact() {
        let cases = [
            ("3", "3.0000000000000004", false),
            ("0.33333333333333331", "0.3333333333333333", true),
            ("1.7976931348623157e+308", "1.7976931348623157e308", true),
            ("inf", "1.7976931348623157e308", false),
            ("-0", "0", true),
        ];
        for (one, other, equal) in cases {
            let (first, second) = (score(word(one)).unwrap(), score(word(other)).unwrap());
            assert_eq!(
                first.partial_cmp(&second) == Some(std::cmp::Ordering::Equal),
                equal,
                "{one} and {other}"
            );
        }
        assert_eq!(score(word("x")), None);
    }
}
