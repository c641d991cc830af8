//! The doorway: all else is in the library, so that tests can call it.

use std::process::ExitCode;

/// musl's own allocator is slow: docs/performance.md has the figures.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    riot::run::run(std::env::args_os())
}
