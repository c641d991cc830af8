//! Lists: read by LRANGE, written by RPUSH, compared in order.

use bytes::Bytes;

use super::ask::{Questions, words};
use super::copy::Commands;
use super::rank::Ranked;
use crate::wire::Reply;

/// The type.
pub(super) struct List;

impl Ranked for List {
    const LENGTH: &'static [u8] = b"LLEN";
    type Element = Bytes;

    fn ask(key: &[u8], first: usize, last: usize, out: &mut Questions<'_>) {
        let (first, last) = (first.to_string(), last.to_string());
        out.ask(&[b"LRANGE", key, first.as_bytes(), last.as_bytes()]);
    }

    fn elements(reply: Reply) -> Option<Vec<Bytes>> {
        words(reply)
    }

    fn bytes(element: &Bytes) -> usize {
        element.len()
    }

    fn write(elements: Vec<Bytes>, out: &mut Commands) {
        out.add(b"RPUSH", elements, 1);
    }
}
