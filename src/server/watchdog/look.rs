//! What one look at the source saw, and what happened since the look before that no event tells of.

use super::super::info::Info;

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    run_id: Option<String>,
    role: Option<String>,
    replid: Option<String>,
    /// A replica that is not at one with its master.
    pub(super) apart: bool,
    pub(super) loading: bool,
    offset: Option<u64>,
    backlog: Option<Backlog>,
    flushes: u64,
    swaps: u64,
    config_sets: u64,
    pub(super) silent_stream_commands: u64,
    commands: Option<u64>,
    infos: u64,
}

/// A replica's backlog of what its master sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backlog {
    first: u64,
    held: u64,
    size: u64,
}

impl Look {
    pub(super) fn of(info: &Info) -> Self {
        let replica = info.text("role") == Some("slave");
        let calls = |names: &[&str]| names.iter().map(|name| info.calls(name)).sum();
        Self {
            run_id: info.text("run_id").map(str::to_owned),
            role: info.text("role").map(str::to_owned),
            replid: info.text("master_replid").map(str::to_owned),
            apart: replica
                && (info.text("master_link_status") != Some("up")
                    || info.is_set("master_sync_in_progress")),
            loading: info.is_set("loading") || info.is_set("async_loading"),
            offset: info.number("master_repl_offset"),
            backlog: info
                .number("repl_backlog_first_byte_offset")
                .zip(info.number("repl_backlog_histlen"))
                .zip(info.number("repl_backlog_size"))
                .map(|((first, held), size)| Backlog { first, held, size })
                .filter(|_| replica),
            flushes: calls(&["flushall", "flushdb"]),
            swaps: calls(&["swapdb"]),
            // Redis 6.0 counts CONFIG GET with it, and that proves nothing.
            config_sets: calls(&["config|set"]),
            silent_stream_commands: calls(&[
                "xsetid",
                "xgroup",
                "xgroup|setid",
                "xgroup|delconsumer",
            ]),
            commands: info.number("total_commands_processed"),
            infos: info.calls("info"),
        }
    }

    /// What happened since the look before that no event tells of.
    pub(super) fn gaps(&self, before: &Self, watched: (bool, bool)) -> Vec<String> {
        let (tracked, notified) = watched;
        let mut gaps = Vec::new();
        let mut gap = |happened: bool, cause: &str| {
            if happened {
                gaps.push(cause.to_owned());
            }
        };
        let restarted = self.run_id != before.run_id;
        gap(restarted, "the source was restarted, or is another server");
        gap(
            self.role != before.role,
            "the source's role changed: a failover",
        );
        gap(
            !restarted && self.replid != before.replid,
            "the source's replication history changed: it follows another master, or is one now",
        );
        gap(
            self.apart && !before.apart,
            "the source lost its master, or loads all of the master's keys",
        );
        let loads = self.loading && !before.loading;
        gap(loads && !restarted, "the source loads its keys again");
        gap(
            !self.apart && self.began_anew(before),
            "the source loaded all of its master's keys again",
        );
        let reset = self.commands < before.commands || self.infos < before.infos;
        gap(
            !restarted && reset,
            "the source's statistics were reset: FLUSHALL and SWAPDB cannot be told from them",
        );
        gap(
            !tracked && self.flushes > before.flushes,
            "FLUSHALL or FLUSHDB at the source",
        );
        gap(self.swaps > before.swaps, "SWAPDB at the source");
        gap(
            notified && self.config_sets > before.config_sets,
            "CONFIG SET at the source: notifications may have been off for a moment",
        );
        gaps
    }

    /// A replica's backlog that begins behind what it had is new: a full synchronisation came between.
    fn began_anew(&self, before: &Self) -> bool {
        let (Some(now), Some(offset)) = (self.backlog, before.offset) else {
            return false;
        };
        // One that was merely cut at its end is as full as it can be.
        now.first > offset + 1 && now.held < now.size / 10 * 9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Look {
        Look::of(&Info::parse(text))
    }

    const MASTER: &str = "run_id:a\r\nrole:master\r\nmaster_replid:r\r\ntotal_commands_processed:100\r\n\
        cmdstat_info:calls=9\r\ncmdstat_flushall:calls=1\r\n";

    #[test]
    fn a_quiet_second_is_no_gap() {
        assert!(look(MASTER).gaps(&look(MASTER), (false, true)).is_empty());
    }

    #[test]
    fn what_no_event_tells_of_is_a_gap() {
        let before = look(MASTER);
        for (from, to, words) in [
            ("run_id:a", "run_id:b", "restarted"),
            ("role:master", "role:slave\r\nmaster_link_status:up", "role"),
            ("replid:r", "replid:s", "history"),
            ("calls=1", "calls=2", "FLUSHALL"),
            ("processed:100", "processed:7", "reset"),
            ("calls=9", "calls=9\r\ncmdstat_swapdb:calls=1", "SWAPDB"),
            ("run_id:a", "run_id:a\r\nloading:1", "loads"),
            ("calls=9", "calls=9\r\ncmdstat_config|set:calls=1", "CONFIG"),
        ] {
            let gaps = look(&MASTER.replace(from, to)).gaps(&before, (false, true));
            assert!(gaps.len() == 1 && gaps[0].contains(words), "{to}: {gaps:?}");
        }
        let flushed = look(&MASTER.replace("calls=1", "calls=2"));
        assert!(
            flushed.gaps(&before, (true, false)).is_empty(),
            "tracking tells"
        );
    }

    #[test]
    fn a_replica_that_synchronised_in_full_has_a_new_backlog() {
        let replica = |offset: u64, first: u64, held: u64| {
            look(&format!(
                "role:slave\r\nmaster_link_status:up\r\nmaster_repl_offset:{offset}\r\n\
                 repl_backlog_first_byte_offset:{first}\r\nrepl_backlog_histlen:{held}\r\nrepl_backlog_size:1048576\r\n"
            ))
        };
        let before = replica(5000, 1, 5000);
        assert!(
            replica(6000, 1, 6000)
                .gaps(&before, (true, false))
                .is_empty()
        );
        assert_eq!(
            replica(9100, 9001, 100).gaps(&before, (true, false)).len(),
            1
        );
        let trimmed = replica(3_000_000, 1_951_425, 1_048_576);
        assert!(trimmed.gaps(&before, (true, false)).is_empty());
    }
}
