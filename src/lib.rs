//! riot moves a Redis or Valkey database to another server, and proves that both hold the same.
//!
//! ```text
//! source ──SCAN───► scan ──────────────┐ keys, by hash
//!                                      │ of the name
//!                                      ├► lanes of read ──entries──► lanes of write ──► target
//! source ──events─► watch ─► changed ──┘  MGET or DUMP,  bounded by │ MSET, SET or RESTORE,
//!                   (live)   keys         and expiry     keys, bytes │ DEL
//! source ───by the commands of each type, in chunks───────────────────► carry ──► target
//! both ──────────────────────────► lanes of verify ──differences──► report
//! ```
//!
//! What runs, from the words to the servers; imports point down this list:
//!
//! - [`run`]: the program from its words to its exit status
//! - [`cli`], [`resolve`]: what was typed, and what it means
//! - [`databases`]: several databases in one run, each by the commands below
//! - [`replicate`], [`live`], [`compare`]: the commands; [`copy`]: the lanes that all copy with; [`session`]: what all stand on
//! - [`check`]: whether a run could start; [`ping`]: round trips to one server; [`metrics`]: what Prometheus is told of a run
//! - [`stage`]: scan, [`watch`](stage::watch), read, write, [`carry`](stage::carry), verify: one stage a file, none imports another
//! - [`follow`], [`changed`]: what the lanes of a live run share, first of all the set of changed keys
//! - [`types`]: values by their types: read whole or in chunks, compared, copied
//! - [`reading`]: batches of reads, for copying and for comparing
//! - [`server`]: the control plane, on the redis crate; live, the ways of events and the watch over the source
//! - [`nodes`]: one side's servers, and in a cluster which of them has which slot
//! - [`wire`]: the data plane: one connection, commands in, replies out
//! - [`deal`]: which lane a key takes, always the same
//! - [`entry`], [`queue`], [`shape`], [`window`]: what flows between stages, and what bounds it; [`packing`]: in which form
//! - [`state`]: where a snapshot is, kept in a file
//! - [`filter`], [`slots`], [`transform`], [`temporary`]: which keys, under which names
//! - [`logging`], [`output`], [`stats`], [`text`]: what the operator sees
//! - [`signal`], [`clock`], [`retry`], [`error`], [`config`]: what all stand on

pub mod changed;
pub mod check;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod copy;
pub mod databases;
pub mod deal;
pub mod entry;
pub mod error;
pub mod filter;
pub mod follow;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod nodes;
pub mod output;
pub mod packing;
pub mod ping;
pub mod queue;
pub mod reading;
pub mod replicate;
pub mod resolve;
pub mod retry;
pub mod run;
pub mod server;
pub mod session;
pub mod shape;
pub mod signal;
pub mod slots;
pub mod stage;
pub mod state;
pub mod stats;
pub mod temporary;
pub mod text;
pub mod transform;
pub mod types;
pub mod window;
pub mod wire;
