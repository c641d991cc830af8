//! What the types' own commands can carry of a value, and what they cannot.

use super::{Body, Snapshot};

/// The same without when consumers were last seen: no command sets that, so a copy by the types' commands has the time of the
/// copy.
pub(crate) fn without_last_seen(mut snapshot: Snapshot) -> Snapshot {
    for value in snapshot.values_mut() {
        if let Body::Stream(stream) = &mut value.body {
            let groups = stream.groups.iter_mut();
            for (_, seen, _) in groups.flat_map(|group| &mut group.consumers) {
                *seen = 0;
            }
        }
    }
    snapshot
}

/// Fields of hashes that have an expiry.
pub(crate) fn field_expiries(snapshot: &Snapshot) -> u64 {
    let hashes = snapshot.values().filter_map(|value| match &value.body {
        Body::Hash(fields) => Some(fields.values()),
        _ => None,
    });
    let expiring = hashes.flatten().filter(|(_, expiry)| expiry.0 > Some(0));
    expiring.count() as u64
}

/// When messages were delivered that are pending, in the order of keys, groups and ids.
pub(crate) fn delivery_times(snapshot: &Snapshot) -> Vec<i64> {
    let streams = snapshot.values().filter_map(|value| match &value.body {
        Body::Stream(stream) => Some(stream),
        _ => None,
    });
    let groups = streams.flat_map(|stream| &stream.groups);
    let pending = groups.flat_map(|group| &group.pending);
    pending.map(|(_, _, time, _)| *time).collect()
}

/// The same without when messages were delivered that are pending.
pub(crate) fn without_delivery_times(mut snapshot: Snapshot) -> Snapshot {
    for value in snapshot.values_mut() {
        if let Body::Stream(stream) = &mut value.body {
            let groups = stream.groups.iter_mut();
            for (_, _, time, _) in groups.flat_map(|group| &mut group.pending) {
                *time = 0;
            }
        }
    }
    snapshot
}
