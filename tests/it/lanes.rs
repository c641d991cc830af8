//! An older value never overwrites a newer one, whatever the batches, the failures and the lost connections.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use riot::config::{
    Address, Auto, Carriage, Endpoint, Flow, Password, Resp, RetryLimit, Side, SkipLimit,
};
use riot::deal::{Deal, Inlets};
use riot::entry::{Entry, Key, Parcel, Value};
use riot::nodes::Nodes;
use riot::queue::queue;
use riot::signal::Stop;
use riot::stage::Context;
use riot::stage::Home;
use riot::stage::read::{self, Inspection, ReadLane};
use riot::stage::write::{self, WriteLane};
use riot::stats::Stats;
use riot::transform::Rename;
use riot::wire::Link;
use tokio::task::JoinSet;

use crate::fake::{Behaviour, Dice, Does, Fake, Store, bulk};

fn flow(batch: usize, pipeline: usize) -> Flow {
    Flow {
        carriage: Carriage::Auto,
        big_key: None,
        merge: false,
        stream_ids: true,
        prune_streams: false,
        write_lanes: Auto::Measured,
        write_batch: Auto::Fixed(batch),
        read_lanes: Auto::Measured,
        read_batch: Auto::Fixed(batch),
        read_queue: Auto::Measured,
        pipeline: Auto::Fixed(pipeline),
        memory_budget: 1 << 20,
        sleep: Duration::ZERO,
        rate: None::<NonZeroU64>,
        source_cpu: None,
        write_retry: RetryLimit::Always,
        read_retry: RetryLimit::Always,
        write_skip: SkipLimit::Always,
        read_skip: SkipLimit::Always,
        multi_exec: false,
        wait_replicas: 0,
        wait_timeout: Duration::from_secs(1),
        reconnect: true,
        reconnect_timeout: Duration::from_secs(60),
        repeat: None,
        dry_run: false,
        log_keys: false,
    }
}

/// Where a lane's keys are: all at the one server, whatever their lane.
fn home<B: Behaviour>(side: Side, fake: &Fake<B>, stats: &Arc<Stats>) -> Home {
    let endpoint = Endpoint {
        side,
        address: Address::Tcp {
            host: fake.address.ip().to_string(),
            port: fake.address.port(),
        },
        tls: None,
        user: None,
        password: Password::None,
        database: 0,
        client_name: String::new(),
        resp: Resp::Two,
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(30),
        pool: 8,
        cluster: false,
        read_from: riot::config::ReadFrom::Upstream,
    };
    let link = Link::new(
        Arc::new(endpoint),
        true,
        Duration::from_secs(60),
        false,
        stats.clone(),
    );
    Home {
        nodes: Arc::new(Nodes::single(Arc::new(link), stats.clone())),
        deal: Deal::by_road(1),
        lane: 0,
    }
}

fn context(flow: Flow) -> Arc<Context> {
    Arc::new(Context::new(
        Arc::new(Stats::new(false)),
        flow,
        Stop::default(),
        None,
    ))
}

/// A target that keeps the number in each value, and notices when it falls.
struct Target {
    dice: Dice,
    store: Store,
    newest: HashMap<Vec<u8>, u64>,
    fallen: Vec<String>,
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

impl Target {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let newest = self.newest.entry(key.to_vec()).or_default();
        if number(value) < *newest {
            self.fallen.push(format!(
                "{}: {} after {newest}",
                key.escape_ascii(),
                number(value)
            ));
        }
        *newest = number(value);
        self.store.insert(key.to_vec(), value.to_vec());
    }
}

impl Behaviour for Target {
    fn command(&mut self, words: &[Vec<u8>]) -> Does {
        if self.dice.falls(12) {
            return Does::Says(
                b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec(),
            );
        }
        if self.dice.falls(40) {
            return Does::Hangs;
        }
        let answer = match words[0].as_slice() {
            b"MSET" => {
                words[1..]
                    .chunks(2)
                    .for_each(|pair| self.put(&pair[0], &pair[1]));
                "+OK\r\n".to_owned()
            }
            b"SET" => {
                self.put(&words[1], &words[2]);
                "+OK\r\n".to_owned()
            }
            b"RESTORE" => {
                self.put(&words[1], &words[3]);
                "+OK\r\n".to_owned()
            }
            b"DEL" => {
                let gone = words[1..]
                    .iter()
                    .filter(|key| self.store.remove(*key).is_some())
                    .count();
                format!(":{gone}\r\n")
            }
            other => panic!("{}", other.escape_ascii()),
        };
        Does::Says(answer.into_bytes())
    }

    fn cut(&mut self, answer: usize) -> Option<usize> {
        self.dice.falls(40).then(|| self.dice.below(answer))
    }
}

/// Writes entries through lanes and returns what the target holds and what fell.
async fn write_all(
    entries: Vec<Entry>,
    lanes: usize,
    batch: usize,
    pipeline: usize,
    seed: u64,
) -> (Store, Vec<String>) {
    let target = Target {
        dice: Dice::new(seed, 6),
        store: Store::new(),
        newest: HashMap::new(),
        fallen: Vec::new(),
    };
    let fake = Fake::start(target).await;
    let context = context(flow(batch, pipeline));
    let dialect = write::Dialect {
        pxat: true,
        multi_exec: seed.is_multiple_of(3),
        wait: (0, 0),
        drop_expiry: false,
        cluster: false,
    };
    let total = entries.len() as u64;
    let mut stages = JoinSet::new();
    let mut outputs = Vec::new();
    for _ in 0..lanes {
        let (sender, receiver) = queue::<Parcel>(batch * 2, usize::MAX);
        outputs.push(sender);
        let home = home(Side::Target, &fake, &context.stats);
        stages
            .spawn(WriteLane::new(context.clone(), home, dialect, receiver, Arc::default()).run());
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let deal = Deal::by_road(lanes);
    let mut left = entries.into_iter().peekable();
    while left.peek().is_some() {
        let piece: Vec<Entry> = left.by_ref().take(random.usize(1..=2 * batch)).collect();
        let mut parcels: Vec<Vec<Entry>> = vec![Vec::new(); lanes];
        for entry in piece {
            parcels[deal.lane_of(&entry.key)].push(entry);
        }
        for (output, entries) in outputs.iter().zip(parcels) {
            if !entries.is_empty() {
                let lease = context
                    .budget
                    .lease(entries.iter().map(Entry::cost).sum())
                    .await;
                let bytes = entries.iter().map(Entry::cost).sum();
                output
                    .send(Parcel {
                        entries,
                        bytes,
                        lease,
                    })
                    .await
                    .unwrap();
            }
        }
    }
    drop(outputs);
    while let Some(joined) = stages.join_next().await {
        joined.unwrap().unwrap();
    }
    let counts = context.stats.counts();
    assert_eq!(
        counts.written + counts.deleted,
        total,
        "every entry has its fate"
    );
    assert_eq!(context.budget.held(), 0, "the budget is given back");
    let state = fake.state.lock().unwrap();
    (state.store.clone(), state.fallen.clone())
}

/// A source whose every read of a key gives a larger number, and whose keys change their type and vanish as they like.
struct Source {
    dice: Dice,
    reads: u64,
}

impl Behaviour for Source {
    fn command(&mut self, words: &[Vec<u8>]) -> Does {
        if self.dice.falls(200) {
            return Does::Hangs;
        }
        self.reads += 1;
        let value = self.reads.to_string();
        Does::Says(match words[0].as_slice() {
            b"INFO" => {
                let expires = usize::from(self.dice.falls(10));
                bulk(format!("# Keyspace\r\ndb0:keys=9,expires={expires},avg_ttl=0\r\n").as_bytes())
            }
            b"PEXPIRETIME" => b":-1\r\n".to_vec(),
            b"MGET" => {
                let mut answer = format!("*{}\r\n", words.len() - 1).into_bytes();
                for _ in &words[1..] {
                    if self.dice.below(8) == 0 {
                        answer.extend_from_slice(b"$-1\r\n");
                    } else {
                        answer.extend_from_slice(&bulk(value.as_bytes()));
                    }
                }
                answer
            }
            b"GET" if self.dice.below(8) == 0 => b"-WRONGTYPE no string\r\n".to_vec(),
            b"DUMP" if self.dice.falls(100) => b"-LOADING once\r\n".to_vec(),
            b"GET" | b"DUMP" => bulk(value.as_bytes()),
            other => panic!("{}", other.escape_ascii()),
        })
    }

    fn cut(&mut self, answer: usize) -> Option<usize> {
        self.dice.falls(30).then(|| self.dice.below(answer))
    }
}

/// Reads keys through one lane and returns the numbers that left it, by key, in their order.
async fn read_all(
    keys: Vec<Key>,
    batch: usize,
    pipeline: usize,
    seed: u64,
) -> HashMap<Bytes, Vec<u64>> {
    let fake = Fake::start(Source {
        dice: Dice::new(seed, 6),
        reads: 0,
    })
    .await;
    let context = context(flow(batch, pipeline));
    let dialect = read::Dialect {
        pexpiretime: true,
        expiring: !seed.is_multiple_of(2),
        databases: false,
        database: 0,
        multi: !seed.is_multiple_of(3),
        time: false,
        kinds: false,
        memory: None,
        cluster: false,
        skew: 0,
        carriage: Carriage::Auto,
    };
    let rewrite = riot::config::Rewrite {
        template: None,
        replace: None,
        drop_expiry: false,
    };
    let (input, receiver) = queue::<Vec<Key>>(1000, usize::MAX);
    let (output, mut parcels) = queue::<Parcel>(1000, usize::MAX);
    let lane = ReadLane::new(
        context.clone(),
        home(Side::Source, &fake, &context.stats),
        dialect,
        Inspection::default(),
        Arc::new(Rename::new(&rewrite, 0, 0)),
        receiver,
        Inlets {
            lanes: vec![output],
            deal: Deal::by_road(1),
        },
    );
    let feed = async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut left = keys.into_iter().peekable();
        while left.peek().is_some() {
            let piece: Vec<Key> = left.by_ref().take(random.usize(1..=2 * batch)).collect();
            input.send(piece).await.unwrap();
        }
    };
    let collect = async move {
        let mut order: HashMap<Bytes, Vec<u64>> = HashMap::new();
        while let Some(parcel) = parcels.receive().await {
            for entry in parcel.entries {
                let (Value::Text(value) | Value::Payload(value)) = &entry.value else {
                    panic!("no key of this source is ever gone");
                };
                order
                    .entry(entry.key.name.clone())
                    .or_default()
                    .push(number(value));
            }
        }
        order
    };
    let (ran, (), order) = tokio::join!(lane.run(), feed, collect);
    ran.unwrap();
    assert_eq!(context.stats.counts().failed, 0);
    order
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await })
        .expect("it ends")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::size::size().lane_cases, ..ProptestConfig::default() })]

    #[test]
    fn a_write_lane_never_puts_an_older_value_over_a_newer_one(
        picks in proptest::collection::vec((0usize..12, 0u8..10), 1..400),
        lanes in 1usize..4,
        batch in 1usize..40,
        pipeline in 1usize..6,
        seed in any::<u64>(),
    ) {
        let mut last: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
        let mut entries = Vec::new();
        for (step, (key, way)) in picks.iter().enumerate() {
            let name = Bytes::from(format!("key:{key}"));
            let value = Bytes::from((step + 1).to_string());
            let far = riot::clock::now() + 3_600_000;
            let (value, expiry) = match way {
                0 => (Value::Gone, None),
                1..=2 => (Value::Payload(value), None),
                3..=4 => (Value::Text(value), Some(far)),
                _ => (Value::Text(value), None),
            };
            let held = match &value {
                Value::Gone | Value::Unwanted | Value::Doubtful | Value::ByType(_) => None,
                Value::Text(bytes) | Value::Payload(bytes) => Some(bytes.to_vec()),
            };
            last.insert(name.to_vec(), held);
            entries.push(Entry { key: Key::new(name.clone(), &name), origin: None, value, expiry });
        }
        let (store, fallen) = run(write_all(entries, lanes, batch, pipeline, seed));
        prop_assert!(fallen.is_empty(), "{fallen:?}");
        for (key, held) in last {
            prop_assert_eq!(store.get(&key).cloned(), held, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_read_lane_hands_on_what_it_read_in_the_order_in_which_the_source_was_read(
        picks in proptest::collection::vec(0usize..12, 1..400),
        batch in 1usize..40,
        pipeline in 1usize..6,
        seed in any::<u64>(),
    ) {
        let mut expected: HashMap<Bytes, usize> = HashMap::new();
        let mut keys = Vec::new();
        for key in picks {
            let name = Bytes::from(format!("key:{key}"));
            *expected.entry(name.clone()).or_default() += 1;
            keys.push(Key::new(name.clone(), &name));
        }
        let seen = run(read_all(keys, batch, pipeline, seed));
        for (key, count) in expected {
            let numbers = seen.get(&key).cloned().unwrap_or_default();
            prop_assert_eq!(numbers.len(), count, "{} reads", key.escape_ascii());
            prop_assert!(numbers.is_sorted(), "{}: {numbers:?}", key.escape_ascii());
        }
    }
}
