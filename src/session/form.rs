//! In which form values travel, where there is a choice and the usual one is not the cheapest.

use std::future::pending;
use std::time::Duration;

use super::Session;
use crate::config::{Carriage, Command};
use crate::server::{keep_packing, may_copy_plainly};
use crate::stats::Phase;
use crate::window::FAR_AWAY;

/// A round trip from which on a link may be slower than the servers: none within one host is so long.
const FAR: Duration = Duration::from_micros(150);

impl Session<'_> {
    /// Decides about strings and about few long values while the run goes on. Never ends.
    pub async fn keep_form(&self) {
        let flow = &self.config.flow;
        let (source, target) = (&self.source_profile, &self.target_profile);
        let may = self.config.command == Command::Replicate
            && flow.carriage == Carriage::Auto
            && source.dumps
            && target.restores
            && !self.context.copies_by_type()
            && self.lanes.leave_one(self.config)
            && !flow.dry_run;
        if !may {
            return pending().await;
        }
        tokio::join!(self.keep_plain(), self.keep_packing());
    }

    /// Whether a round trip to the source is a long time.
    pub(crate) fn source_is_far(&self) -> bool {
        self.source_profile.round_trip >= FAR_AWAY
    }

    fn round_trip(&self) -> Duration {
        let (source, target) = (&self.source_profile, &self.target_profile);
        source.round_trip.max(target.round_trip)
    }

    /// Few long values that DUMP does not compress go by the commands of their types: not over a long way, of which these
    /// wait for each answer, nor where a slot may be half moved, as they wait for that, too.
    async fn keep_plain(&self) {
        let suits = !self.config.flow.merge
            && !self.rename.needs_type()
            && self.source_profile.multi
            && !self.source.is_cluster()
            && !self.target.is_cluster()
            && self.round_trip() < FAR_AWAY;
        if suits && may_copy_plainly(&self.config.source, &self.config.target).await {
            self.context.take_plainly();
        }
        pending::<()>().await;
    }

    /// Strings that DUMP compresses go so over a link that is slower than the servers.
    async fn keep_packing(&self) {
        let flow = &self.config.flow;
        let (source, target) = (&self.source_profile, &self.target_profile);
        let bounded = flow.rate.is_some() || flow.source_cpu.is_some() || !flow.sleep.is_zero();
        if self.round_trip() < FAR || bounded || !target.reads_payloads_of(source) {
            return pending().await;
        }
        let packing = self.context.packing().clone();
        let scans = || self.context.stats.phase() == Phase::Scanning;
        keep_packing(packing, (self.source.clone(), self.target.clone()), scans).await;
    }
}
