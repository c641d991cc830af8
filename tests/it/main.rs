//! Integration tests: the riot binary between real servers, a file a capability.
//!
//! Every test owns its servers, each in its own folder, on a unix socket and a port of its own. Tests assert on what the
//! servers hold, read with the types' own commands, and on what an operator sees. `tests/run.sh` prepares what they need.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic with the value that was not there is how a test fails"
)]
#![expect(
    clippy::print_stderr,
    reason = "libtest shows standard error only where a test fails: server logs go there"
)]

mod certificates;
mod clocks;
mod clusters;
mod data;
mod fake;
mod proxy;
mod riot;
mod servers;
mod size;
mod store;
mod wait;

mod bad_input;
mod by_type;
mod check;
mod cluster;
mod compare;
mod completion;
mod connections;
mod databases;
mod documented;
mod expiry;
mod far;
mod faults;
mod flow;
mod handshake;
mod lanes;
mod live;
mod manual;
mod memory;
mod metrics;
mod output;
mod packing;
mod ping;
mod repair;
mod selection;
mod snapshot;
mod sparing;
mod state;
mod support;
mod troubled;
mod types;
mod unordered;
mod verify;
mod versions;
