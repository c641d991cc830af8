//! Keys of slots that are half moved: each is looked at where it is, be that on its way.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::Key;
use crate::error::{Class, Lost, RunError, classify};
use crate::nodes::{Node, Nodes, Redirect};
use crate::session::Session;
use crate::slots::slot;
use crate::stage::verify::{Extra, Suspect, Suspects, fail};
use crate::stats::{Difference, DifferenceKind};
use crate::types::{self, Doubt, Verdict};
use crate::wire::Reply;

/// Keys that are asked about together.
const PIECE: usize = 500;

/// Where a key is.
#[derive(Debug, Clone)]
struct Place {
    node: Arc<Node>,
    /// It is on its way there.
    asking: bool,
}

/// Keys that are at the same places on both sides.
type Group = ((Place, Place), Vec<Doubt>);

/// Compares these keys; those whose places cannot be told now come back.
pub(super) async fn look(
    session: &Session<'_>,
    suspects: &Suspects,
    keys: Vec<Key>,
) -> Result<Vec<Key>, RunError> {
    let mut left = Vec::new();
    let mut keys = keys.into_iter();
    loop {
        let piece: Vec<Key> = keys.by_ref().take(PIECE).collect();
        if piece.is_empty() {
            return Ok(left);
        }
        let doubts: Vec<Doubt> = piece.into_iter().map(|key| doubt(session, key)).collect();
        let names = |of: fn(&Doubt) -> &Bytes| doubts.iter().map(of).cloned().collect();
        let sources = locate(&session.source, names(|doubt| &doubt.key.name)).await?;
        let targets = locate(&session.target, names(|doubt| &doubt.target)).await?;
        let mut groups: HashMap<(usize, bool, usize, bool), Group> = HashMap::new();
        for (doubt, places) in doubts.into_iter().zip(sources.into_iter().zip(targets)) {
            let (Some(source), Some(target)) = places else {
                left.push(doubt.key);
                continue;
            };
            let place = (
                source.node.number(),
                source.asking,
                target.node.number(),
                target.asking,
            );
            let group = groups.entry(place);
            let group = group.or_insert_with(|| ((source, target), Vec::new()));
            group.1.push(doubt);
        }
        for group in groups.into_values() {
            left.extend(compare(session, suspects, group).await?);
        }
    }
}

/// Looks for keys of the target at the source; those whose places cannot be told now come back.
pub(super) async fn look_for_extras(
    session: &Session<'_>,
    suspects: &Suspects,
    extra: &Extra,
    keys: Vec<Key>,
) -> Result<Vec<Key>, RunError> {
    let mut left = Vec::new();
    let mut keys = keys.into_iter();
    loop {
        let piece: Vec<Key> = keys.by_ref().take(PIECE).collect();
        if piece.is_empty() {
            return Ok(left);
        }
        let wanted = piece.into_iter().filter_map(|key| {
            let source = extra.source_name(&key.name, None)?;
            Some((key, source))
        });
        let (keys, sources): (Vec<Key>, Vec<Bytes>) = wanted.unzip();
        let targets: Vec<Bytes> = keys.iter().map(|key| key.name.clone()).collect();
        let there = are_there(&session.source, &sources).await?;
        // Asked last: what was deleted on both sides meanwhile is no difference.
        let here = are_there(&session.target, &targets).await?;
        let seen = there.into_iter().zip(here);
        for ((key, source), seen) in keys.into_iter().zip(sources).zip(seen) {
            match seen {
                (Some(false), Some(true)) => suspects.add(vec![Suspect {
                    difference: Difference {
                        key: key.name.to_vec(),
                        kind: DifferenceKind::Extra,
                    },
                    key: Key::new(source, &key.name),
                }]),
                (Some(_), Some(_)) => {}
                (None, _) | (_, None) => left.push(key),
            }
        }
    }
}

/// Whether each of these keys is there, on its way or not; `None` where that is not told now.
async fn are_there(nodes: &Nodes, names: &[Bytes]) -> Result<Vec<Option<bool>>, RunError> {
    let places = locate(nodes, names.to_vec()).await?;
    let mut found = Vec::with_capacity(names.len());
    for (place, name) in places.into_iter().zip(names) {
        found.push(match place {
            Some(Place { node, asking }) => is_there(&node, asking, name).await?,
            None => None,
        });
    }
    Ok(found)
}

async fn is_there(node: &Node, asking: bool, name: &Bytes) -> Result<Option<bool>, RunError> {
    let mut connection = match node.link().open().await {
        Ok(connection) => connection,
        Err(RunError::Left { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if asking && connection.request(&[b"ASKING"]).await.is_err() {
        return Ok(None);
    }
    Ok(match connection.request(&[b"EXISTS", name]).await {
        Ok(Reply::Integer(found)) => Some(found > 0),
        Ok(_) | Err(_) => None,
    })
}

fn doubt(session: &Session<'_>, key: Key) -> Doubt {
    let target = match session.rename.apply(&key.name, None) {
        Cow::Borrowed(_) => key.name.clone(),
        Cow::Owned(name) => Bytes::from(name),
    };
    Doubt {
        key,
        target,
        bytes: 0,
    }
}

/// Where each of these names is; `None` where that is not told now.
async fn locate(nodes: &Nodes, names: Vec<Bytes>) -> Result<Vec<Option<Place>>, RunError> {
    let routes = nodes.routes();
    let mut places = vec![None; names.len()];
    for node in routes.masters() {
        let own: Vec<usize> = names
            .iter()
            .enumerate()
            .filter(|(_, name)| {
                let master = routes.master(slot(name));
                !nodes.is_cluster() || master.is_some_and(|master| master.number() == node.number())
            })
            .map(|(row, _)| row)
            .collect();
        if own.is_empty() {
            continue;
        }
        let asked = own.iter().filter_map(|row| names.get(*row));
        let replies = match exists(&node, asked).await {
            Ok(replies) => replies,
            Err(Some(error)) => return Err(error),
            Err(None) => continue,
        };
        for (row, reply) in own.into_iter().zip(replies) {
            let place = match reply {
                Reply::Error(error) if classify(error.as_bytes()) == Class::Moved => {
                    match nodes.redirect(&error, &node) {
                        Redirect::Ask(node) => Some(Place { node, asking: true }),
                        Redirect::Moved | Redirect::Wait => None,
                    }
                }
                // Any other error is the key's own: the comparison will say it.
                _ => Some(Place {
                    node: node.clone(),
                    asking: false,
                }),
            };
            if let Some(entry) = places.get_mut(row) {
                *entry = place;
            }
        }
    }
    Ok(places)
}

/// EXISTS for each name, at one node. `None`: the node cannot be asked now.
async fn exists(
    node: &Node,
    names: impl Iterator<Item = &Bytes>,
) -> Result<Vec<Reply>, Option<RunError>> {
    let mut connection = match node.link().open().await {
        Ok(connection) => connection,
        Err(RunError::Left { .. }) => return Err(None),
        Err(error) => return Err(Some(error)),
    };
    let mut asked = 0;
    for name in names {
        connection.outgoing().words(&[b"EXISTS", name]);
        asked += 1;
    }
    let mut replies = Vec::with_capacity(asked);
    for _ in 0..asked {
        replies.push(connection.reply().await.map_err(|_: Lost| None)?);
    }
    Ok(replies)
}

/// Compares keys that are at the same places; those that are not there any more come back.
async fn compare(
    session: &Session<'_>,
    suspects: &Suspects,
    ((source, target), doubts): Group,
) -> Result<Vec<Key>, RunError> {
    let context = &session.context;
    let links = (source.node.link(), target.node.link());
    let mut connections = match (links.0.open().await, links.1.open().await) {
        (Ok(source), Ok(target)) => (source, target),
        (Err(RunError::Left { .. }), _) | (_, Err(RunError::Left { .. })) => {
            return Ok(doubts.into_iter().map(|doubt| doubt.key).collect());
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let shift = context.clocks.shift() + links.1.skew() - links.0.skew();
    let budget = usize::try_from(context.flow.memory_budget).unwrap_or(usize::MAX);
    let terms = session.terms().values;
    let verdicts = types::compare_asking(
        (&mut connections.0, &mut connections.1),
        (source.asking, target.asking),
        &doubts,
        &terms,
        shift,
        budget,
    );
    let Ok(verdicts) = verdicts.await else {
        return Ok(doubts.into_iter().map(|doubt| doubt.key).collect());
    };
    let mut left = Vec::new();
    let mut found = Vec::new();
    let mut settled = 0;
    for (doubt, verdict) in doubts.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Equal | Verdict::Gone => settled += 1,
            Verdict::Differs(kind) => {
                settled += 1;
                let difference = Difference {
                    key: doubt.key.name.to_vec(),
                    kind,
                };
                found.push(Suspect {
                    key: doubt.key,
                    difference,
                });
            }
            Verdict::Failed(_, error) if classify(error.as_bytes()) == Class::Moved => {
                left.push(doubt.key);
            }
            Verdict::Failed(side, error) => fail(context, side, &doubt.key, &error),
        }
    }
    context.stats.compared(settled);
    suspects.add(found);
    Ok(left)
}
