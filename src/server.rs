//! The control plane: what is asked of a server outside the bulk, on the redis crate over the data plane's dialling.

mod class;
mod control;
mod info;
mod monitor;
mod probe;
mod way;

pub use class::{CLASSES, Class};
pub use control::Control;
pub use info::Info;
pub use monitor::Monitor;
pub use probe::{Needs, Profile, probe};
pub use way::{Choice, Wanted, Way, choose, subscription, tracking};
