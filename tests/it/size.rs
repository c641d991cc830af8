//! How big the tests are: small enough for a few minutes by default, the issues' sizes with `RIOT_TEST_FULL=1`.

use std::time::Duration;

/// Sizes and repetitions of the tests that have any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Small keys of the large copy.
    pub(crate) small_keys: u32,
    /// Bytes of the large string.
    pub(crate) large_string: usize,
    /// Snapshots taken while a writer alternates values with and without expiry.
    pub(crate) snapshots_under_writer: u32,
    /// Keys that the alternating writer uses.
    pub(crate) contended_keys: u32,
    /// Keys copied while connections are cut or servers restarted.
    pub(crate) fault_keys: u32,
    /// Times a connection is cut in one copy.
    pub(crate) cuts: u32,
    /// Cases of each property of the lanes.
    pub(crate) lane_cases: u32,
    /// Values and bytes of each, in the test of the memory budget.
    pub(crate) memory_values: u32,
    /// Bytes of each of those values.
    pub(crate) memory_value: usize,
    /// Small keys compared within the budget.
    pub(crate) compared_keys: u32,
    /// Members of each of the two large zsets compared within the budget.
    pub(crate) compared_members: u32,
    /// The budget that they are compared within: more than half of it for one zset, less than two.
    pub(crate) compare_budget: u64,
    /// Seconds for which a database changes while it is compared.
    pub(crate) changing_seconds: u64,
    /// Keys that applications change while they are replicated live.
    pub(crate) live_keys: u32,
    /// How long they do.
    pub(crate) live_load: Duration,
    /// Times that connections are killed or cut in one live run.
    pub(crate) live_kills: u32,
    /// How long riot itself is held still.
    pub(crate) live_stopped: Duration,
    /// Members of the sorted set that changes all the time, some 200 bytes each.
    pub(crate) live_members: u32,
    /// Keys that applications change in a cluster, and as many again that rest.
    pub(crate) cluster_keys: u32,
    /// How long they do.
    pub(crate) cluster_load: Duration,
    /// Slots that move from one master to another meanwhile.
    pub(crate) cluster_slots: usize,
    /// Keys of a snapshot during which slots move.
    pub(crate) cluster_snapshot: u32,
    /// Members of the sorted set that is copied in chunks, some 60 bytes each.
    pub(crate) big_members: u32,
    /// Bytes of the string that is.
    pub(crate) big_string: usize,
    /// The budget that they are copied within: with what riot holds besides, less than the string.
    pub(crate) big_budget: u64,
    /// Keys that are read and not written.
    pub(crate) unwritten_keys: u32,
    /// Keys with expiries in a source that is held up again and again.
    pub(crate) held_keys: u32,
    /// Bytes of each of the three strings that are copied with default options.
    pub(crate) longest_string: usize,
    /// Small keys of a copy that is killed and picked up.
    pub(crate) state_keys: u32,
    /// How often it is killed.
    pub(crate) state_kills: u32,
    /// Keys of all types, and big ones, of the same.
    pub(crate) state_mixed: u32,
    /// Pending entries of the stream that is copied by its commands.
    pub(crate) pending: u32,
    /// Strings of a kilobyte that go over a slow link.
    pub(crate) packing: u32,
    /// Strings of a source that is far away.
    pub(crate) far_keys: u32,
}

/// The sizes of this run.
pub(crate) fn size() -> Size {
    if std::env::var_os("RIOT_TEST_FULL").is_some_and(|value| value == "1") {
        Size {
            small_keys: 1_000_000,
            large_string: 100 << 20,
            snapshots_under_writer: 20,
            contended_keys: 1_000,
            fault_keys: 300_000,
            cuts: 40,
            lane_cases: 256,
            memory_values: 40,
            memory_value: 50 << 20,
            compared_keys: 2_000_000,
            compared_members: 3_000_000,
            compare_budget: 64 << 20,
            changing_seconds: 30,
            live_keys: 50_000,
            live_load: Duration::from_secs(30),
            live_kills: 20,
            live_stopped: Duration::from_secs(20),
            live_members: 1_000_000,
            cluster_keys: 20_000,
            cluster_load: Duration::from_secs(30),
            cluster_slots: 1_000,
            cluster_snapshot: 100_000,
            big_members: 3_000_000,
            big_string: 600 << 20,
            big_budget: 64 << 20,
            unwritten_keys: 10_000_000,
            held_keys: 500_000,
            longest_string: 500 << 20,
            state_keys: 2_000_000,
            state_kills: 20,
            state_mixed: 200_000,
            pending: 10_000,
            packing: 100_000,
            far_keys: 400_000,
        }
    } else {
        Size {
            small_keys: 100_000,
            large_string: 32 << 20,
            snapshots_under_writer: 4,
            contended_keys: 1_000,
            fault_keys: 30_000,
            cuts: 6,
            lane_cases: 24,
            memory_values: 10,
            memory_value: 50 << 20,
            compared_keys: 100_000,
            compared_members: 200_000,
            compare_budget: 6 << 20,
            changing_seconds: 5,
            live_keys: 10_000,
            live_load: Duration::from_secs(2),
            live_kills: 5,
            live_stopped: Duration::from_secs(8),
            live_members: 100_000,
            cluster_keys: 4_000,
            cluster_load: Duration::from_secs(2),
            cluster_slots: 200,
            cluster_snapshot: 15_000,
            big_members: 150_000,
            big_string: 200 << 20,
            big_budget: 8 << 20,
            unwritten_keys: 400_000,
            held_keys: 100_000,
            longest_string: 150 << 20,
            state_keys: 100_000,
            state_kills: 4,
            state_mixed: 20_000,
            pending: 10_000,
            packing: 50_000,
            far_keys: 100_000,
        }
    }
}
