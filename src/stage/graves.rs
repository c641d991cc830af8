//! Connections that were lost with something in flight: they are closed at the server before anything newer is written.

use std::collections::HashMap;

use super::Context;
use crate::wire::{Connection, Identity, Reply};

/// Connections that are not known to be closed at the server, by node.
#[derive(Debug, Default)]
pub(super) struct Graves {
    lost: HashMap<usize, Vec<Option<Identity>>>,
}

impl Graves {
    /// A connection to a node was lost with something in flight.
    pub(super) fn dig(&mut self, node: usize, connection: Option<Identity>) {
        self.lost.entry(node).or_default().push(connection);
    }

    /// What a lost connection still holds must not be executed after what is written on the new one.
    pub(super) async fn bury(&mut self, node: usize, new: &mut Connection, context: &Context) {
        let mut graves = self.lost.remove(&node).unwrap_or_default();
        while let Some(old) = graves.pop() {
            let killed = match &old {
                Some(old) => {
                    let words: [&[u8]; 6] = [
                        b"CLIENT",
                        b"KILL",
                        b"ID",
                        old.id.as_bytes(),
                        b"ADDR",
                        old.address.as_bytes(),
                    ];
                    match new.request(&words).await {
                        Ok(Reply::Error(error)) => Err(error),
                        Ok(_) => Ok(()),
                        Err(_) => {
                            // The next connection does it.
                            graves.push(Some(old.clone()));
                            self.lost.insert(node, graves);
                            return;
                        }
                    }
                }
                None => Err("CLIENT INFO tells nothing".into()),
            };
            if let Err(why) = killed {
                tracing::debug!("CLIENT KILL: {why}");
                let line = "what a lost connection to the target still held may have been written after newer values: \
                            it cannot be closed there (CLIENT INFO of Redis 6.2, ACL rules +client|info +client|kill)";
                if context.follow.is_some() {
                    context.stats.live.unproven(line);
                } else {
                    context.stats.note(line);
                }
            }
        }
    }
}
