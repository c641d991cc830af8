//! Connections that were lost with something in flight: they are closed at the server before anything newer is written.

use super::WriteLane;
use crate::wire::{Connection, Reply};

impl WriteLane {
    /// What a lost connection still holds must not be executed after what is written on the new one.
    pub(super) async fn bury(&mut self, connection: &mut Connection) {
        while let Some(old) = self.graves.pop() {
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
                    match connection.request(&words).await {
                        Ok(Reply::Error(error)) => Err(error),
                        Ok(_) => Ok(()),
                        Err(_) => {
                            // The next connection does it.
                            self.graves.push(Some(old.clone()));
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
                if self.context.follow.is_some() {
                    self.context.stats.live.unproven(line);
                } else {
                    self.context.stats.note(line);
                }
            }
        }
    }
}
