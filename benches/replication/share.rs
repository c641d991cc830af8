//! A server that may use a part of a core, as if it had a machine of its own and were slower than what copies from it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The time in which a share is counted, in microseconds: short, so that it is a slower core and not a pause.
const PERIOD: u64 = 10_000;

/// A control group with a quota, which goes when dropped, once its process has ended.
pub(crate) struct Share(PathBuf);

impl Share {
    /// Gives a process so many percent of a core.
    pub(crate) fn of(process: u32, percent: u64) -> Result<Self> {
        let quota = PERIOD * percent / 100;
        let name = format!("riot-bench-{process}");
        let (folder, limits) = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            let folder = Path::new("/sys/fs/cgroup").join(name);
            (folder, vec![("cpu.max", format!("{quota} {PERIOD}"))])
        } else {
            let folder = Path::new("/sys/fs/cgroup/cpu").join(name);
            let limits = vec![
                ("cpu.cfs_period_us", PERIOD.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ];
            (folder, limits)
        };
        let share = Self(folder);
        share.set(process, &limits).with_context(|| {
            let folder = share.0.display();
            format!("--source-share needs root and the cpu controller of control groups ({folder})")
        })?;
        Ok(share)
    }

    fn set(&self, process: u32, limits: &[(&str, String)]) -> Result<()> {
        fs::create_dir_all(&self.0)?;
        for (file, limit) in limits {
            fs::write(self.0.join(file), limit)?;
        }
        let members = self.0.join("cgroup.procs");
        fs::write(&members, process.to_string())?;
        let joined = fs::read_to_string(&members)?;
        if !joined.lines().any(|line| line == process.to_string()) {
            bail!("the server did not join it");
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
