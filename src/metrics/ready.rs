//! Whether applications may be switched over to the target: what `/readyz` answers.

use std::time::Duration;

use super::{Task, View};
use crate::stats::{Counts, Phase};

/// `Ok`: the target has all that the source had `limit` ago, or at the end of the copy. `Err` says why not.
pub(super) fn readiness(view: Option<&View>, limit: Duration) -> Result<&'static str, String> {
    let Some(view) = view else {
        return Err("connecting".to_owned());
    };
    let stats = &view.stats;
    let (phase, counts) = (stats.phase(), stats.counts());
    if view.contexts.iter().any(|context| context.has_failed()) {
        return Err("the run has failed".to_owned());
    }
    let dry = view.contexts.iter().any(|context| context.flow.dry_run);
    if dry && view.task != Task::Compare {
        return Err("dry run: nothing is written".to_owned());
    }
    match view.task {
        Task::Compare => compared(phase, &counts, view.repeats),
        Task::Snapshot => copied(phase, &counts, view.repeats),
        Task::Live => {
            // Of several databases one may be behind, and come later.
            let phases = view.contexts.iter().map(|context| context.stats.phase());
            followed(view, phases.min().unwrap_or(phase), &counts, limit)
        }
    }
}

fn compared(phase: Phase, counts: &Counts, repeats: bool) -> Result<&'static str, String> {
    match phase {
        Phase::Done if !counts.compare_complete => {
            Err("the comparison was not finished".to_owned())
        }
        Phase::Done if repeats => Ok("ready: both sides were compared, and will be again"),
        Phase::Done => Ok("ready: both sides were compared, and the process ends"),
        Phase::Comparing => Err(share("comparing", counts.compared, counts.total_keys)),
        Phase::Connecting | Phase::Scanning | Phase::Listening => Err("connecting".to_owned()),
    }
}

fn copied(phase: Phase, counts: &Counts, repeats: bool) -> Result<&'static str, String> {
    match phase {
        Phase::Connecting => Err("connecting".to_owned()),
        Phase::Scanning | Phase::Listening => Err(scanned(counts)),
        _ if !counts.scan_complete => Err("the scan was not finished".to_owned()),
        Phase::Comparing => Ok("ready: the copy is done, and both sides are compared"),
        Phase::Done if repeats => Ok("ready: the copy is done, and will be done again"),
        Phase::Done => Ok("ready: the copy is done, and the process ends"),
    }
}

fn followed(
    view: &View,
    phase: Phase,
    counts: &Counts,
    limit: Duration,
) -> Result<&'static str, String> {
    let live = &view.stats.live;
    let mut why = Vec::new();
    match phase {
        Phase::Connecting => why.push("connecting".to_owned()),
        Phase::Scanning => why.push(scanned(counts)),
        Phase::Listening | Phase::Comparing | Phase::Done => {}
    }
    let lag = view.lag();
    if lag >= limit {
        why.push(format!("lag {:.1} s", lag.as_secs_f64()));
    }
    match live.open_gaps() {
        0 => {}
        1 => why.push("gap open".to_owned()),
        gaps => why.push(format!("{gaps} gaps open")),
    }
    why.extend(live.obstacle().map(str::to_owned));
    if why.is_empty() {
        Ok("ready")
    } else {
        Err(why.join(", "))
    }
}

fn scanned(counts: &Counts) -> String {
    share("scan", counts.finished(), counts.total_keys)
}

/// `scan 71 %`: never 100 before it is over.
fn share(what: &str, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => {
            let percent = done.saturating_mul(100) / total;
            format!("{what} {} %", percent.min(99))
        }
        _ => format!("{what} under way"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_where_the_whole_is_known() {
        assert_eq!(share("scan", 71, Some(100)), "scan 71 %");
        assert_eq!(share("scan", 120, Some(100)), "scan 99 %");
        assert_eq!(share("scan", 0, Some(0)), "scan under way");
        assert_eq!(share("scan", 5, None), "scan under way");
    }

    #[test]
    fn a_comparison_is_ready_when_it_is_over() {
        let mut counts = Counts {
            compared: 10,
            total_keys: Some(40),
            ..Counts::default()
        };
        let why = compared(Phase::Comparing, &counts, false).unwrap_err();
        assert_eq!(why, "comparing 25 %");
        assert!(compared(Phase::Done, &counts, false).is_err());
        counts.compare_complete = true;
        assert!(compared(Phase::Done, &counts, false).is_ok());
    }

    #[test]
    fn a_copy_is_ready_when_the_scan_was_finished() {
        let mut counts = Counts {
            written: 10,
            total_keys: Some(40),
            ..Counts::default()
        };
        let why = copied(Phase::Scanning, &counts, false).unwrap_err();
        assert_eq!(why, "scan 25 %");
        assert!(copied(Phase::Done, &counts, false).is_err());
        counts.scan_complete = true;
        assert!(copied(Phase::Comparing, &counts, false).is_ok());
        assert!(copied(Phase::Done, &counts, false).is_ok());
    }
}
