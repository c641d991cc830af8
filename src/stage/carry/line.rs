//! A carrier's connections: one to each end of a way, opened when they are needed.

use super::{CarryLane, Ends, Gone};
use crate::config::Side;
use crate::error::{Lost, RunError};
use crate::nodes::Node;
use crate::types::copy::Abilities;
use crate::wire::Connection;

/// Connections to both ends, and what these can do.
pub(super) struct Line {
    pub(super) source: Connection,
    pub(super) target: Connection,
    pub(super) abilities: Abilities,
    /// Something went wrong on one of them: it is not used any more.
    pub(super) broken: Option<(Side, Lost)>,
}

impl CarryLane {
    /// Connections between two nodes; `None`: one of them has left its cluster.
    pub(super) async fn line(&mut self, ends: &Ends) -> Result<Option<Line>, Gone> {
        if let Some(line) = self.lines.remove(&place(ends)) {
            return Ok(Some(line));
        }
        let source = self.open(&ends.0, Side::Source, None).await?;
        let target = self.open(&ends.1, Side::Target, None).await?;
        self.try_line(ends, source.zip(target)).await
    }

    /// New connections after one was lost: what was under way on either does not count.
    pub(super) async fn line_again(
        &mut self,
        ends: &Ends,
        line: Line,
        side: Side,
        lost: &Lost,
    ) -> Result<Option<Line>, Gone> {
        self.graves
            .dig(ends.1.number(), line.target.identity().cloned());
        drop(line);
        let of = |wanted| (side == wanted).then_some(lost);
        let source = self.open(&ends.0, Side::Source, of(Side::Source)).await?;
        let target = self.open(&ends.1, Side::Target, of(Side::Target)).await?;
        self.try_line(ends, source.zip(target)).await
    }

    /// Tries what both ends can do. A connection that does not last that long is opened again.
    async fn try_line(
        &mut self,
        ends: &Ends,
        mut opened: Option<(Connection, Connection)>,
    ) -> Result<Option<Line>, Gone> {
        loop {
            let Some((mut source, mut target)) = opened else {
                return Ok(None);
            };
            match Abilities::of(&mut source, &mut target).await {
                Ok(abilities) => {
                    let notices = abilities.notice_changes() && self.terms.source_multi;
                    if !notices && !self.terms.follows {
                        self.context.stats.note(
                            "a change of a big key while it is read is noticed by its length and expiry alone: WATCH is not allowed at the source (ACL rules +watch +unwatch +multi +exec)",
                        );
                    }
                    return Ok(Some(Line {
                        source,
                        target,
                        abilities,
                        broken: None,
                    }));
                }
                Err((side, lost)) => {
                    drop((source, target));
                    let of = |wanted| (side == wanted).then_some(&lost);
                    let source = self.open(&ends.0, Side::Source, of(Side::Source)).await?;
                    let target = self.open(&ends.1, Side::Target, of(Side::Target)).await?;
                    opened = source.zip(target);
                }
            }
        }
    }

    /// A connection to a node; `None`: it has left its cluster.
    async fn open(
        &mut self,
        node: &Node,
        side: Side,
        lost: Option<&Lost>,
    ) -> Result<Option<Connection>, Gone> {
        if self.context.is_lost(side) {
            return Err(Gone(side));
        }
        let opened = match lost {
            Some(lost) => node.link().reopen(lost).await,
            None => node.link().open().await,
        };
        match opened {
            Ok(mut connection) => {
                if side == Side::Target {
                    self.graves
                        .bury(node.number(), &mut connection, &self.context)
                        .await;
                }
                Ok(Some(connection))
            }
            Err(RunError::Left { .. }) => Ok(None),
            Err(error) => {
                self.context.give_up(error);
                Err(Gone(side))
            }
        }
    }

    /// Keeps connections for the next keys, where they are whole.
    pub(super) fn keep(&mut self, ends: &Ends, line: Line) {
        if line.broken.is_some() {
            self.graves
                .dig(ends.1.number(), line.target.identity().cloned());
            return;
        }
        self.lines.insert(place(ends), line);
    }
}

fn place(ends: &Ends) -> (usize, usize) {
    (ends.0.number(), ends.1.number())
}
