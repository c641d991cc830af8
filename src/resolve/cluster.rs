//! One side as a cluster: whether the words say that it is one, and which node of a shard is read.

use super::databases::Said;
use super::words::Words;
use super::{Db, UsageError, value};
use crate::config::{Address, ReadFrom, Side};

/// Whether the words say that it is a cluster: it is reached by host and port then, and its database is 0, which at the source
/// is all that it has.
pub(super) fn is_said(
    words: &Words,
    address: &Address,
    database: &Said,
    side: Side,
) -> Result<bool, UsageError> {
    let Some(cluster) = &words.cluster else {
        return Ok(false);
    };
    let option = &cluster.option;
    match address {
        Address::Tcp { .. } => {}
        Address::Unix(_) => {
            return Err(UsageError::new(
                option,
                "a unix socket leads to one server; write host and port of any of the cluster's nodes",
            ));
        }
        Address::Sentinel { .. } => {
            return Err(UsageError::new(
                option,
                "a cluster has no sentinels; write host and port of any of its nodes",
            ));
        }
    }
    match (&database.database, side) {
        (Db::One(0), _) | (Db::All, Side::Source) => Ok(true),
        _ => Err(UsageError::new(
            &database.option,
            format!("a cluster has database 0 alone, and {option} says that it is one"),
        )),
    }
}

/// Which node of a shard is read.
pub(super) fn read_from(words: &Words) -> Result<ReadFrom, UsageError> {
    let names = [
        ("upstream", ReadFrom::Upstream),
        ("master", ReadFrom::Upstream),
        ("upstream-preferred", ReadFrom::UpstreamPreferred),
        ("master-preferred", ReadFrom::UpstreamPreferred),
        ("replica", ReadFrom::Replica),
        ("replica-preferred", ReadFrom::ReplicaPreferred),
        ("any", ReadFrom::Any),
        ("any-replica", ReadFrom::AnyReplica),
        ("lowest-latency", ReadFrom::LowestLatency),
    ];
    words
        .read_from
        .as_ref()
        .map_or(Ok(ReadFrom::Upstream), |given| {
            value::named(&given.option, &given.value, &names)
        })
}
