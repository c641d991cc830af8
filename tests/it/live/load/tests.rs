//! The load is what it says: every family of commands, the same for the same seed, to its end.

use super::*;
use crate::clusters::Cluster;
use crate::data::Body;
use crate::servers::Server;
use crate::store::Store as _;

const FEW: Duration = Duration::from_secs(1);

#[test]
fn every_family_of_commands_happens_on_every_version() {
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        let server = Server::start(version);
        let load = Load::on(700);
        load.fill(&server);
        server.tell("CONFIG RESETSTAT");
        load.during(&server, FEW, |progress| progress.more(10_000));
        for (family, name) in FAMILIES {
            if family.is_new() && !version.since_70() {
                continue;
            }
            let worked = succeeded(&server, name);
            assert!(worked > 20, "{version:?}: {worked} {name}");
        }
        let expired: u64 = server.info("expired_keys").parse().unwrap();
        assert!(expired > 50, "{version:?}: {expired} keys expired");
    }
}

/// Calls of a command that ended without an error; before 7.0, which does not tell those, all.
fn succeeded(server: &Server, command: &str) -> u64 {
    let text: String = server.run("INFO commandstats");
    let prefix = format!("cmdstat_{command}:calls=");
    let Some(rest) = text.lines().find_map(|line| line.strip_prefix(&prefix)) else {
        return 0;
    };
    let failed = rest.split_once("failed_calls=").map_or("0", |(_, end)| end);
    let number = |text: &str| text.split(',').next().unwrap().parse::<u64>().unwrap();
    number(rest) - number(failed)
}

#[test]
fn a_writer_says_the_same_for_the_same_seed() {
    let commands = |writer| {
        let payloads = vec![b"one".to_vec(), b"two".to_vec()];
        let mut commands = Commands::new(Load::on(700), writer, Version::Redis70, payloads);
        let packed = (0..20_000).map(move |_| commands.next().get_packed_command());
        packed.collect::<Vec<_>>()
    };
    assert_eq!(commands(1), commands(1));
    assert_ne!(commands(1), commands(2));
}

#[test]
fn a_load_without_deletions_keeps_every_key_and_all_types() {
    let server = Server::start(Version::Redis70);
    let load = Load::on(700).that_deletes_nothing();
    load.fill(&server);
    let before = data::snapshot(&server, 0);
    load.last(&server, FEW).settle(&server);
    let after = data::snapshot(&server, 0);
    let gone: Vec<_> = before
        .keys()
        .filter(|key| !after.contains_key(key))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
    for class in 0..CLASSES {
        let is = |body: &Body| match body {
            Body::Text(_) => class < 2,
            Body::Hash(_) => class == 2,
            Body::List(_) => class == 3,
            Body::Set(_) => class == 4,
            Body::SortedSet(_) => class == 5,
            Body::Stream(_) => class == 6,
            _ => false,
        };
        let found = after.values().filter(|value| is(&value.body)).count();
        assert!(found > 30, "class {class}: {found}");
    }
    let same = before
        .iter()
        .filter(|(key, value)| after.get(*key) == Some(*value));
    assert!(same.count() < 100, "the load changed little");
}

#[test]
fn a_load_outlives_a_restart_of_its_server_and_ends() {
    let server = Server::with(Version::Redis70).persistent().start();
    let load = Load::on(700);
    load.fill(&server);
    let (commands, done) = load.during(&server, Duration::ZERO, |progress| {
        progress.more(1000);
        server.kill();
        server.restart();
        progress.more(1000);
        progress.commands()
    });
    assert!(done.commands >= commands);
    done.settle(&server);
    data::assert_same(&server, &server);
}

#[test]
fn a_grouped_load_runs_on_a_cluster_and_keeps_its_groups() {
    let cluster = Cluster::start(Version::Redis70, 3, 0);
    let load = Load::on(700).grouped();
    load.fill(&cluster);
    cluster.tell_all("CONFIG RESETSTAT");
    let ((), done) = load.during(&cluster, FEW, |progress| progress.more(5000));
    for (_, name) in FAMILIES {
        let masters = cluster.masters().into_iter();
        let worked: u64 = masters.map(|master| succeeded(&master, name)).sum();
        assert!(worked > 20, "{worked} {name}");
    }
    done.settle(&cluster);
    cluster.flush();
    let load = Load::on(700).grouped().that_deletes_nothing();
    load.fill(&cluster);
    let before = cluster.count();
    load.last(&cluster, FEW);
    assert_eq!(cluster.count(), before);
    assert!(before >= 700);
}
