//! What a live run makes of the target's answers: keys that are not wanted any more, and costly keys that rest.

use super::WriteLane;
use super::batch::Batch;
use super::redo::Again;
use crate::entry::{Entry, Value};
use crate::queue::Lease;
use crate::reading::LONG;
use crate::stats::SkipReason;

impl WriteLane {
    /// What the target has under a key that the source does not have, or not as the run wants it.
    pub(super) fn looked(&mut self, mut entry: Entry, kind: &[u8]) {
        if matches!(entry.value, Value::ByType(_)) {
            // Handed over before it gets here, but for a bug of ours: then too it is copied.
            self.handover.reserve(entry);
            return;
        }
        let gone = kind == b"none";
        let Some(follow) = &self.context.follow else {
            return;
        };
        if entry.value == Value::Doubtful {
            if !gone {
                follow.doubt(&entry.key.name);
            }
            self.redo.written(&entry);
            self.context.skip(SkipReason::OtherDatabase, &entry.key);
        } else if gone || !follow.wants(kind) {
            self.redo.written(&entry);
            self.context.skip(SkipReason::OtherType, &entry.key);
        } else {
            entry.value = Value::Gone;
            let again = Again::new(entry, Lease::default(), 0, String::new());
            self.redo.push(again);
        }
    }

    /// Costly keys rest before they are copied again.
    pub(super) fn rest(&self, batch: &Batch) {
        let Some(follow) = &self.context.follow else {
            return;
        };
        for entry in &batch.entries {
            if entry.value_len() >= LONG {
                follow.changed.was_written(&entry.key, batch.sent.elapsed());
            } else if entry.key.mark.is_event() {
                follow.changed.was_light(&entry.key);
            }
        }
    }
}
