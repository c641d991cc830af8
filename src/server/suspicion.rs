//! Notifications that may be off for a class: what the server did of it grows, and none of its events comes.

use std::time::Duration;

use tokio::time::Instant;

use super::class::{CLASSES, Class, Seen};
use super::info::Info;

/// How long a class may grow without an event.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Family {
    done: Option<u64>,
    seen: u64,
    silent_since: Option<Instant>,
}

/// What is known of all classes.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    families: [Family; CLASSES.len()],
}

impl Suspicion {
    /// Holds the server's statistics against the events; a class that has been silent for too long is named.
    pub(super) fn look(&mut self, info: &Info, seen: &Seen, now: Instant) -> Option<Class> {
        let mut silent = None;
        for (class, family) in CLASSES.into_iter().zip(&mut self.families) {
            let Some(done) = class.done(info) else {
                continue;
            };
            let events = seen.of(class);
            let before = family.done.replace(done);
            if events != family.seen || before.is_none_or(|before| done < before) {
                family.seen = events;
                family.silent_since = None;
            } else if before.is_some_and(|before| done > before) {
                let since = *family.silent_since.get_or_insert(now);
                if now - since >= PATIENCE {
                    silent = Some(class);
                }
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(calls: u64) -> Info {
        Info::parse(&format!("cmdstat_set:calls={calls},usec=1\r\n"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_class_that_grows_in_silence_is_found_after_a_while() {
        let (mut suspicion, seen) = (Suspicion::default(), Seen::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(suspicion.look(&sets(5), &seen, at(0)), None);
        assert_eq!(suspicion.look(&sets(6), &seen, at(1)), None);
        seen.saw(Class::String);
        assert_eq!(suspicion.look(&sets(7), &seen, at(9)), None);
        assert_eq!(suspicion.look(&sets(8), &seen, at(12)), None);
        assert_eq!(suspicion.look(&sets(8), &seen, at(30)), None, "idle");
        assert_eq!(suspicion.look(&sets(9), &seen, at(31)), Some(Class::String));
    }
}
