//! How values are read in batches, for copying and for comparing: what waits, what is asked, whose answer is whose.

mod answer;
mod batch;
mod clock;
mod commands;
mod dialect;
mod held;
pub(crate) mod payload;
mod waiting;

use crate::config::{Auto, Flow};

pub(crate) use self::answer::{Answer, have_expiries, have_other_databases};
pub(crate) use self::batch::{Batch, Road};
pub use self::dialect::Dialect;
pub(crate) use self::waiting::{Limits, Waiting};

/// Keys in a batch where none was told: more of them make neither server cheaper.
pub const BATCH_KEYS: usize = 500;
/// Keys in such a batch that are asked for one by one: of those that are weighed, what the source looked up is in its processor's
/// cache still when they are read.
const BATCH_SINGLY: usize = 250;
/// Keys in any batch where the source is protected (`--source-cpu`): whoever else asks it waits for one batch at most.
const BATCH_SPARING: usize = 100;
/// Predicted bytes in a batch: the source answers it into its own memory, and the target writes it from the cache.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;
/// Predicted bytes in flight on one connection: a longer way needs more, and a source's memory is not ours.
pub(crate) const ASKED_BYTES: usize = 4 * 1024 * 1024;
/// From this length on, a value waits for its share of the budget before its bytes are read.
pub(crate) const LONG: usize = 64 * 1024;
/// What a long value's share of the budget has for its key and its place.
pub(crate) const LONG_EXTRA: usize = 4096;

/// Keys in a batch of reads, and in one of reads that name one key each.
pub(crate) fn batch_keys(flow: &Flow) -> (usize, usize) {
    match flow.read_batch {
        Auto::Fixed(keys) => (keys.max(1), keys.max(1)),
        Auto::Measured if flow.source_cpu.is_some() => (BATCH_SPARING, BATCH_SPARING),
        Auto::Measured => (BATCH_KEYS, BATCH_SINGLY),
    }
}
