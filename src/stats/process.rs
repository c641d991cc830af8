//! What this process has cost the machine.

use std::time::Duration;

/// The most resident memory this process has held, in bytes; `None` where there is no Linux `/proc`.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    memory("VmHWM:")
}

/// The resident memory this process holds, in bytes; `None` where there is no Linux `/proc`.
#[must_use]
pub fn resident_memory() -> Option<u64> {
    memory("VmRSS:")
}

fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The processor time that this process has used on all its threads.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        assert!(peak_memory().unwrap() > 1 << 20);
        assert!(resident_memory().unwrap() > 1 << 20);
        assert!(cpu_time() > Duration::ZERO);
    }
}
