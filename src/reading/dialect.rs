//! What a server can do that is read, and what is asked of it.

use super::batch::Batch;
use crate::config::Carriage;
use crate::entry::Millis;

/// What the source can do, and what is asked of it.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one ability that a server has or not"
)]
pub struct Dialect {
    /// PEXPIRETIME (7.0); before: PTTL, counted from the TIME of the same instant.
    pub pexpiretime: bool,
    /// Keys may have expiries. Where none has, one INFO in the same MULTI proves it for the whole batch.
    pub expiring: bool,
    /// The database that INFO is asked about.
    pub database: u32,
    /// INFO is asked in each batch whether other databases have keys.
    pub databases: bool,
    /// MULTI makes value and expiry one instant; without the right to it the expiry is asked before and after.
    pub multi: bool,
    /// TIME is allowed.
    pub time: bool,
    /// The type is asked for: names or filters need it.
    pub kinds: bool,
    /// SAMPLES for MEMORY USAGE where it is asked for.
    pub memory: Option<u32>,
    /// Keys lie in slots of their own: no command and no MULTI may name keys of two.
    pub cluster: bool,
    /// What this server's clock is ahead of that of its cluster's first node.
    pub skew: Millis,
    /// How strings are carried.
    pub carriage: Carriage,
}

impl Dialect {
    /// Whether a batch was refused only because it was a transaction: a server that is over its `maxmemory` and may not evict
    /// queues nothing, not even reads. From then on they go without.
    pub(crate) fn does_without_multi(&mut self, batch: &Batch, refusal: &str) -> bool {
        let does = batch.is_transaction() && refusal.starts_with("OOM");
        if does && self.multi {
            tracing::debug!("a transaction of reads was refused: {refusal}; without, from now on");
            self.multi = false;
        }
        does
    }
}
