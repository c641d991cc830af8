//! The data plane: one connection, commands in, replies out, no copy of a long value on the way.

pub mod tls;

mod brake;
mod chunks;
mod connection;
mod dial;
mod incoming;
mod link;
mod outgoing;
mod secret;
mod stream;

pub use brake::Brake;
pub use connection::{Connection, Identity, Reply, run_id};
pub use dial::connect;
pub use incoming::{Span, Token};
pub use link::Link;
pub(crate) use outgoing::LONG;
pub use outgoing::Outgoing;
pub use stream::Stream;
