//! Clusters form, change and lose nothing, on every version that riot is tested with.

use std::time::Instant;

use super::*;
use crate::data::{self, Snapshot};

each_version![a_cluster_keeps_its_data_through_every_change];

fn filled(version: Version) -> (Cluster, Snapshot) {
    let started = Instant::now();
    let cluster = Cluster::start(version, 3, 1);
    eprintln!("{version:?}: formed in {:.2?}", started.elapsed());
    data::fill_every_type(&cluster, 0);
    data::fill_slots(&cluster);
    data::fill_mixed(&cluster, "mixed:", 2000);
    cluster.replicated();
    let found = data::snapshot(&cluster, 0);
    assert_eq!(found.len() as u64, cluster.count());
    for master in cluster.masters() {
        assert!(master.keys(0) > 600, "{version:?}: {}", master.keys(0));
    }
    (cluster, found)
}

#[track_caller]
fn holds(cluster: &Cluster, expected: &Snapshot) {
    data::assert_snapshots(expected, &data::snapshot(cluster, 0), cluster.tolerance());
}

fn a_cluster_keeps_its_data_through_every_change(version: Version) {
    let (cluster, before) = filled(version);
    assert_eq!((cluster.masters().len(), cluster.replicas().len()), (3, 3));
    let timed = |what: &str, change: &dyn Fn()| {
        let started = Instant::now();
        change();
        eprintln!("{version:?}: {what} in {:.2?}", started.elapsed());
        holds(&cluster, &before);
    };
    timed("a failover by command", &|| {
        let master = cluster.node(0);
        let replica = cluster.replica_of(&master);
        cluster.failover_by_command(&replica);
        assert_eq!(cluster.owner(0).id(), replica.id());
        assert!(master.is_running());
    });
    timed("200 slots", &|| {
        let masters = cluster.masters();
        let keys = masters[1].keys(0);
        let slots = cluster.slots_of(&masters[0]).len();
        cluster.reshard(&masters[0], &masters[1], 200);
        assert_eq!(cluster.slots_of(&masters[0]).len(), slots - 200);
        assert!(masters[1].keys(0) > keys + 50);
    });
    timed("a node that is added", &|| {
        let node = cluster.add_node();
        cluster.reshard(&cluster.masters()[0], &node, 50);
        assert_eq!(cluster.masters().len(), 4);
        assert!(node.keys(0) > 20);
    });
}

#[test]
fn the_client_follows_slots_that_move_and_masters_that_change() {
    let cluster = Cluster::start(Version::Redis70, 3, 1);
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = cluster.cluster_client();
            let mut number = 0_u32;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let key = format!("key:{}", number % 3000);
                let () = redis::cmd("SET")
                    .arg(key)
                    .arg(number)
                    .query(&mut client)
                    .unwrap();
            }
            number
        });
        {
            let _stop = wait::Stop(&over);
            let masters = cluster.masters();
            wait::until("some keys are there", || {
                (cluster.count() == 3000).then_some(())
            });
            cluster.reshard(&masters[0], &masters[1], 300);
            cluster.failover_by_command(&cluster.replica_of(&masters[0]));
            let heir = cluster.failover_by_kill(&masters[1]);
            assert!(!masters[1].is_running());
            cluster.restart(&masters[1]);
            assert_eq!(cluster.replica_of(&heir).id(), masters[1].id());
        }
        writer.join().unwrap()
    });
    assert_eq!(cluster.count(), 3000);
    assert!(written > 5000, "{written}");
    let last: u32 = cluster.run(&format!("GET key:{}", written % 3000));
    assert_eq!(last, written);
}

#[test]
fn a_view_knows_slots_names_and_faults() {
    let view = View::parse(
        "aa 127.0.0.1:7000@17000,host myself,master - 0 0 1 connected 0-2 5 [3->-bb]\n\
         bb 127.0.0.1:7001@17001,host master - 0 0 2 connected 3-4\n\
         cc 127.0.0.1:7002@17002 slave,fail? aa 0 0 1 connected\n\
         dd :0@0 master,noaddr - 0 0 0 disconnected\n",
    );
    let owners: Vec<_> = (0..7).map(|slot| view.owner(slot)).collect();
    let (one, two) = (Some("aa"), Some("bb"));
    assert_eq!(owners, [one, one, one, two, two, one, None]);
    assert_eq!(view.master_of("cc").unwrap(), "aa");
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert!(view.knows(&ids(&["aa", "bb"]), true));
    assert!(!view.knows(&ids(&["aa", "cc"]), false));
    assert!(!view.knows(&ids(&["dd"]), false));
    assert!(view.owners_are_among(&ids(&["aa", "bb"])) && !view.owners_are_among(&ids(&["aa"])));
    assert!(!view.is_whole());
}
