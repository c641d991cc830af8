//! Keys that are there and hold nothing: the target need not have them.

use std::collections::HashMap;

use crate::error::RunError;
use crate::session::Session;
use crate::slots::slot;
use crate::stage::verify::Suspect;
use crate::stats::DifferenceKind;
use crate::wire::Reply;

/// Keys that are asked about at once.
const AT_ONCE: usize = 500;

/// Leaves out what the target lacks and the source has as nothing: streams without messages where these are left out, and
/// hashes whose fields have all expired, which are copied as gone.
pub(super) async fn leave_out(
    session: &Session<'_>,
    suspects: Vec<Suspect>,
) -> Result<Vec<Suspect>, RunError> {
    let prunes = session.config.verification.prune_streams;
    let question = |suspect: &Suspect| match &suspect.difference.kind {
        DifferenceKind::Missing { r#type } if r#type == "stream" && prunes => Some("XLEN"),
        // Fields with expiries came after this command.
        DifferenceKind::Missing { r#type } if r#type == "hash" => Some("HRANDFIELD"),
        _ => None,
    };
    let (open, mut left): (Vec<_>, Vec<_>) = suspects
        .into_iter()
        .partition(|suspect| question(suspect).is_some());
    if open.is_empty() {
        return Ok(left);
    }
    let routes = session.source.routes();
    let mut by_node: HashMap<usize, Vec<Suspect>> = HashMap::new();
    for suspect in open {
        match routes.reader(slot(&suspect.key.name)) {
            Some(node) => by_node.entry(node.number()).or_default().push(suspect),
            None => left.push(suspect),
        }
    }
    for node in routes.readers() {
        let Some(suspects) = by_node.remove(&node.number()) else {
            continue;
        };
        let mut connection = node.link().open().await?;
        for page in suspects.chunks(AT_ONCE) {
            for suspect in page {
                let command = question(suspect).unwrap_or_default();
                let out = connection.outgoing();
                out.words(&[command.as_bytes(), &suspect.key.name]);
            }
            for suspect in page {
                // Who cannot tell leaves the difference as it is.
                let nothing = match connection.reply().await {
                    Ok(reply) => matches!(reply, Reply::Nil | Reply::Integer(0)),
                    Err(_) => false,
                };
                if !nothing {
                    left.push(suspect.clone());
                }
            }
        }
    }
    left.extend(by_node.into_values().flatten());
    Ok(left)
}
