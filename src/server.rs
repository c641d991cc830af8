//! The control plane: what is asked of a server outside the bulk, on the redis crate over the data plane's dialling.

mod class;
mod control;
mod cpu;
mod info;
mod monitor;
mod offset;
mod pack;
mod plain;
mod probe;
mod profile;
mod share;
mod suspicion;
mod tried;
mod watchdog;
mod way;

pub use class::{CLASSES, Class, Seen};
pub use control::Control;
pub use info::Info;
pub use monitor::Monitor;
pub use offset::follow_master;
pub use pack::keep_packing;
pub use plain::may_copy_plainly;
pub use probe::probe;
pub(crate) use probe::{KEY, MSET, RESTORE, SCAN, SET, key, named};
pub(crate) use profile::make;
pub use profile::{Needs, Profile};
pub use share::keep_share;
pub use tried::Tried;
pub use watchdog::{Alarm, Watchdog, Watched};
pub use way::{Choice, Wanted, Way, choose, subscription, tracking};
