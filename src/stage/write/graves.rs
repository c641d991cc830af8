//! Connections that were lost with something in flight: they are closed at the server before anything newer is written.

use super::WriteLane;
use super::pipe::WritePipe;
use crate::wire::Reply;

impl WriteLane {
    /// What a lost connection still holds must not be executed after what is written on the new one.
    pub(super) async fn bury(&mut self, pipe: &mut WritePipe) {
        let mut graves = self.graves.remove(&pipe.node.number()).unwrap_or_default();
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
                    match pipe.connection.request(&words).await {
                        Ok(Reply::Error(error)) => Err(error),
                        Ok(_) => Ok(()),
                        Err(_) => {
                            // The next connection does it.
                            graves.push(Some(old.clone()));
                            self.graves.insert(pipe.node.number(), graves);
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
