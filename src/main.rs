//! The doorway: all else is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    riot::run::run(std::env::args_os())
}
