//! Whole command lines that are refused, and the one line that says why.

#![expect(
    clippy::too_many_lines,
    reason = "a table of command lines is as long as it is"
)]

use std::fmt::Write as _;

use super::error;

/// A line for each command line, for snapshots.
pub(super) fn errors(lines: &[&str]) -> String {
    lines.iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{line}\n  {}", error(line)).unwrap();
        all
    })
}

#[test]
fn errors_of_spelling_and_addresses() {
    insta::assert_snapshot!(errors(&[
        "riot",
        "riot -h",
        "riot replicate -h",
        "riot help",
        "riot repliate a b",
        "riot file-import x.json",
        "riot replicate",
        "riot replicate a",
        "riot replicate a b c",
        "riot replicate a a",
        "riot -h a replicate -h A",
        "riot replicate localhost:1/2 redis://LOCALHOST:1/2",
        "riot -h a -p 1 replicate b c",
        "riot replicate b c --tls",
        "riot -n 1 replicate b c",
        "riot -h a -n 1 replicate --source-db 2 -h b",
        "riot -h a -s /x replicate",
        "riot -u a -h b replicate",
        "riot -u redis://a -p 1 replicate",
        "riot -p 0 replicate",
        "riot replicate a b --source-pass x --source-pass-file y",
        "riot replicate a b --source-pass-file /nonexistent",
        "riot replicate rediss://a b --source-insecure --source-tls-verify ca",
        "riot replicate a b --source-cacert ca.pem",
        "riot replicate rediss://a b --source-cacert /nonexistent",
        "riot replicate rediss://a b --source-insecure --source-cert c.pem",
        "riot replicate unix:///x b --source-tls",
        "riot replicate a b --source-pass redis://c --source-db x",
        "riot replicate --source-pass redis://a redis://b",
        "riot replicate a b --source-resp 4",
        "riot replicate a b --target-db 0-3",
        "riot replicate a b --target-pool 0",
        "riot replicate a b --target-timeout 0",
    ]), @r"
    riot
      error: no command: riot replicate SOURCE TARGET, or see riot --help
    riot -h
      error: -h is the host; help is --help
    riot replicate -h
      error: -h is the host; help is --help
    riot help
      error: help is --help: riot --help, riot replicate --help
    riot repliate a b
      error: no such command; did you mean replicate? See riot --help
    riot file-import x.json
      error: file-import: riot replicates and compares; it has no such command
    riot replicate
      error: SOURCE and TARGET are the same database: 127.0.0.1:6379, database 0; say where they are: riot replicate SOURCE TARGET
    riot replicate a
      error: one of SOURCE and TARGET is missing: riot replicate SOURCE TARGET
    riot replicate a b c
      error: one word too many: SOURCE and TARGET are two, and an option's value follows its option
    riot replicate a a
      error: SOURCE and TARGET are the same database: a:6379, database 0
    riot -h a replicate -h A
      error: SOURCE and TARGET are the same database: a:6379, database 0
    riot replicate localhost:1/2 redis://LOCALHOST:1/2
      error: SOURCE and TARGET are the same database: localhost:1, database 2
    riot -h a -p 1 replicate b c
      error: --host: SOURCE says this already: write the whole address there, as redis://host:port
    riot replicate b c --tls
      error: --tls: with SOURCE and TARGET as words, write --target-tls
    riot -n 1 replicate b c
      error: --db: with SOURCE and TARGET as words, write --source-db
    riot -h a -n 1 replicate --source-db 2 -h b
      error: --db: says again what --source-db says; give one of them
    riot -h a -s /x replicate
      error: --host: --socket says the address already
    riot -u a -h b replicate
      error: --host: --uri says the address already
    riot -u redis://a -p 1 replicate
      error: --port: the URI says the port already
    riot -p 0 replicate
      error: --port: '0' is no port from 1 to 65535
    riot replicate a b --source-pass x --source-pass-file y
      error: --source-pass-file: says again what --source-pass says; give one of them
    riot replicate a b --source-pass-file /nonexistent
      error: --source-pass-file: cannot read /nonexistent: No such file or directory (os error 2)
    riot replicate rediss://a b --source-insecure --source-tls-verify ca
      error: --source-insecure: says again what --source-tls-verify says; give one of them
    riot replicate a b --source-cacert ca.pem
      error: --source-cacert: needs TLS: add --source-tls, or write rediss:// for redis://
    riot replicate rediss://a b --source-cacert /nonexistent
      error: --source-cacert: /nonexistent: No such file or directory (os error 2)
    riot replicate rediss://a b --source-insecure --source-cert c.pem
      error: --source-cert: needs its private key too: --source-key
    riot replicate unix:///x b --source-tls
      error: --source-tls: a unix socket has no TLS
    riot replicate a b --source-pass redis://c --source-db x
      error: --source-db: the database is a number; several of the source are 0-15, 1,3 or all
    riot replicate --source-pass redis://a redis://b
      error: --source-pass: took the address after it for a password; to be asked for the password put another option between them
    riot replicate a b --source-resp 4
      error: --source-resp: '4' is none of 2, 3, resp2, resp3, auto
    riot replicate a b --target-db 0-3
      error: --target-db: the target has one database number; of several each goes to the same, or where --db-map A=B sends it
    riot replicate a b --target-pool 0
      error: --target-pool: must be from 1 to 10000
    riot replicate a b --target-timeout 0
      error: --target-timeout: must be longer than 0
    ");
}

#[test]
fn errors_of_clusters() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --source-cluster --source-db 2",
        "riot replicate a/2 b --source-cluster",
        "riot replicate a redis://b?db=1 --target-cluster",
        "riot replicate a b --target-cluster --target-db 0-3",
        "riot -c -n 1 -h a replicate -h b",
        "riot -h a replicate -u redis://b/3 --cluster",
        "riot replicate unix:///x b --source-cluster",
        "riot -s /x -c replicate -h b",
        "riot replicate a redis-sentinel://b#m --target-cluster",
        "riot replicate a b --source-cluster=yes",
        "riot replicate a b --cluster",
        "riot -c -h a replicate --source-cluster -h b",
        "riot replicate a b --read-from nearest",
        "riot replicate a b --source-read-from any --read-from replica",
        "riot replicate a b --target-read-from slave",
    ]), @"
    riot replicate a b --source-cluster --source-db 2
      error: --source-db: a cluster has database 0 alone, and --source-cluster says that it is one
    riot replicate a/2 b --source-cluster
      error: SOURCE: a cluster has database 0 alone, and --source-cluster says that it is one
    riot replicate a redis://b?db=1 --target-cluster
      error: TARGET: a cluster has database 0 alone, and --target-cluster says that it is one
    riot replicate a b --target-cluster --target-db 0-3
      error: --target-db: a cluster has database 0 alone, and --target-cluster says that it is one
    riot -c -n 1 -h a replicate -h b
      error: --db: a cluster has database 0 alone, and --cluster says that it is one
    riot -h a replicate -u redis://b/3 --cluster
      error: --uri: a cluster has database 0 alone, and --cluster says that it is one
    riot replicate unix:///x b --source-cluster
      error: --source-cluster: a unix socket leads to one server; write host and port of any of the cluster's nodes
    riot -s /x -c replicate -h b
      error: --cluster: a unix socket leads to one server; write host and port of any of the cluster's nodes
    riot replicate a redis-sentinel://b#m --target-cluster
      error: --target-cluster: a cluster has no sentinels; write host and port of any of its nodes
    riot replicate a b --source-cluster=yes
      error: --source-cluster: takes no value
    riot replicate a b --cluster
      error: --cluster: with SOURCE and TARGET as words, write --target-cluster
    riot -c -h a replicate --source-cluster -h b
      error: --cluster: says again what --source-cluster says; give one of them
    riot replicate a b --read-from nearest
      error: --read-from: 'nearest' is none of upstream, master, upstream-preferred, master-preferred, replica, replica-preferred, any, any-replica, lowest-latency
    riot replicate a b --source-read-from any --read-from replica
      error: --read-from: says again what --source-read-from says; give one of them
    riot replicate a b --target-read-from slave
      error: --target-read-from: 'slave' is none of upstream, master, upstream-preferred, master-preferred, replica, replica-preferred, any, any-replica, lowest-latency
    ");
}

#[test]
fn errors_of_options() {
    insta::assert_snapshot!(errors(&[
        "riot replicate --threds 3 a b",
        "riot replicate a b --bogus-thing",
        "riot replicate a b -Z",
        "riot replicate a b --threads",
        "riot replicate a b --threads many",
        "riot replicate a b --threads 0",
        "riot replicate a b --threads 1 --threads 2",
        "riot replicate a b --no-ttl=true",
        "riot replicate a b -q --log-level debug",
        "riot replicate a b --report pdf",
        "riot replicate a b --log-time-fmt hh",
        "riot replicate a b --retry never --retry-limit 3",
        "riot replicate a b --skip always --skip-limit 3",
        "riot replicate a b --no-verify --compare quick",
        "riot replicate a b --key-include (a",
        "riot replicate a b --key-slots 0-16384",
        "riot replicate a b --shard 3/2",
        "riot replicate a b --mem-limit much",
        "riot replicate a b --key-process x",
        "riot replicate a b --key-replace x",
        "riot replicate a b --rate 0",
        "riot replicate a b --mem-budget 1KB",
        "riot replicate a b --quick",
        "riot replicate a b --live --mode scan",
        "riot replicate a b --mode compare --compare none",
        "riot compare a b --quick --type dump",
        "riot compare a b --quick --multi-exec",
        "riot compare a b --quick --compare quick",
        "riot compare a b --quick --idle-timeout 5",
        "riot compare a b --quick --mode live",
        "riot compare a b --quick --dry-run",
        "riot compare a b --delete-extra",
        "riot compare a b --both --key-replace x=>y",
        "riot compare a b --both --key-process #{key}#{key}",
        "riot replicate a b --mode compare --multi-exec",
        "riot replicate a b --repair",
        "riot replicate a b --ks x",
        "riot replicate a b --var x=y",
        "riot replicate a b --log x",
    ]), @"
    riot replicate --threds 3 a b
      error: --threds: no such option; did you mean --threads?
    riot replicate a b --bogus-thing
      error: --bogus-thing: no such option; did you mean --both?
    riot replicate a b -Z
      error: -Z: no such option; see riot replicate --help
    riot replicate a b --threads
      error: --threads: needs a value
    riot replicate a b --threads many
      error: --threads: 'many' is no whole number
    riot replicate a b --threads 0
      error: --threads: must be from 1 to 1024
    riot replicate a b --threads 1 --threads 2
      error: --threads: was given twice
    riot replicate a b --no-ttl=true
      error: --no-ttl: takes no value
    riot replicate a b -q --log-level debug
      error: --quiet: --log-level says the level of the log already
    riot replicate a b --report pdf
      error: --report: 'pdf' is none of text, json, short
    riot replicate a b --log-time-fmt hh
      error: --log-time-fmt: 'h' is not known here; it has yyyy MM dd HH mm ss SSS, and other letters in single quotes
    riot replicate a b --retry never --retry-limit 3
      error: --retry-limit: goes with --retry limit alone
    riot replicate a b --skip always --skip-limit 3
      error: --skip-limit: goes with --skip limit alone
    riot replicate a b --no-verify --compare quick
      error: --no-verify: is --compare none, and --compare says otherwise
    riot replicate a b --key-include (a
      error: --key-include: '(a': unclosed group
    riot replicate a b --key-slots 0-16384
      error: --key-slots: '0-16384' is no range of slots from 0 to 16383, as 0-8000
    riot replicate a b --shard 3/2
      error: --shard: N is a number from 1 to 16384, and I one from 1 to N
    riot replicate a b --mem-limit much
      error: --mem-limit: 'much' is no size; write 512KB, 5MB or 1GB
    riot replicate a b --key-process x
      error: --key-process: without #{key} all keys would get the same name
    riot replicate a b --key-replace x
      error: --key-replace: 'x' has no =>; write 'RE=>TEXT', as '^old:=>new:'
    riot replicate a b --rate 0
      error: --rate: must be at least 1
    riot replicate a b --mem-budget 1KB
      error: --mem-budget: must be at least 1MB
    riot replicate a b --quick
      error: --quick: belongs to compare; replicate has --compare quick
    riot replicate a b --live --mode scan
      error: --live: --mode says otherwise; give one of them
    riot replicate a b --mode compare --compare none
      error: --mode compare: compares, and nothing is to be compared
    riot compare a b --quick --type dump
      error: --type: compare writes nothing, so it has no such option
    riot compare a b --quick --multi-exec
      error: --multi-exec: compare writes nothing, so it has no such option
    riot compare a b --quick --compare quick
      error: --compare: compare always compares: --quick makes it quick
    riot compare a b --quick --idle-timeout 5
      error: --idle-timeout: compare is never live, so it has no such option
    riot compare a b --quick --mode live
      error: --mode: compare is never live, so it has --mode scan alone
    riot compare a b --quick --dry-run
      error: --dry-run: compare writes nothing but with --repair
    riot compare a b --delete-extra
      error: --delete-extra: goes with --repair
    riot compare a b --both --key-replace x=>y
      error: --both: needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process
    riot compare a b --both --key-process #{key}#{key}
      error: --both: needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process
    riot replicate a b --mode compare --multi-exec
      error: --multi-exec: compare writes nothing, so it has no such option
    riot replicate a b --repair
      error: --repair: belongs to compare: riot compare --repair copies again what differs
    riot replicate a b --ks x
      error: --ks: there are no JVM keystores here: use the cert, key and key-pass options (--source-cert, --target-cert) with PEM files
    riot replicate a b --var x=y
      error: --var: there is no SpEL here: key names are changed by --key-process and --key-replace
    riot replicate a b --log x
      error: --log: names Java loggers, of which there are none here: use --log-level
    ");
}

#[test]
fn errors_of_live() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --live --mode scan",
        "riot replicate a b --live --mode liveonly",
        "riot replicate a b --live --mode compare",
        "riot replicate a b --live --live",
        "riot replicate a b --mode alive",
        "riot replicate a b --live --events all",
        "riot replicate a b --live --event-queue 0",
        "riot replicate a b --live --event-queue 1MB",
        "riot replicate a b --live --event-order lifo",
        "riot replicate a b --live --flush-interval 0",
        "riot replicate a b --live --flush-interval soon",
        "riot replicate a b --live --idle-timeout 0s",
        "riot replicate a b --live --idle-timeout 5 --idle-timeout 6",
        "riot replicate a b --idle-timeout never",
        "riot replicate a b --mode scan --events all",
        "riot replicate a b --live --accept-unproven=yes",
        "riot replicate a b --live --key-process #{type}:#{key}",
        "riot replicate a b --mode liveonly --key-process #{key}:#{type}",
        "riot replicate a b --live --repeat 5m",
        "riot replicate a b --live --repair",
        "riot replicate a b --live --quick",
        "riot replicate a b --delete-extra",
        "riot replicate a b --live --delete-extra --key-replace x=>y",
        "riot replicate a b --live --delete-extra --key-process #{key}#{key}",
        "riot replicate a b --live --both --key-replace x=>y",
        "riot replicate a b --live --events tracking --source-resp 2",
        "riot --resp resp2 -h a replicate -h b --live --events tracking",
        "riot replicate a b --mode compare --live",
        "riot replicate a b --mode compare --events auto",
        "riot compare a b --live",
        "riot compare a b --mode liveonly",
        "riot compare a b --events auto",
        "riot compare a b --event-queue 5",
        "riot compare a b --event-order fifo",
        "riot compare a b --flush-interval 5",
        "riot compare a b --accept-unproven",
    ]), @"
    riot replicate a b --live --mode scan
      error: --live: --mode says otherwise; give one of them
    riot replicate a b --live --mode liveonly
      error: --live: --mode says otherwise; give one of them
    riot replicate a b --live --mode compare
      error: --live: --mode says otherwise; give one of them
    riot replicate a b --live --live
      error: --live: was given twice
    riot replicate a b --mode alive
      error: --mode: 'alive' is none of scan, snapshot, live, liveonly, live-only, compare
    riot replicate a b --live --events all
      error: --events: 'all' is none of auto, keyspace, tracking
    riot replicate a b --live --event-queue 0
      error: --event-queue: must be at least 1
    riot replicate a b --live --event-queue 1MB
      error: --event-queue: '1MB' is no whole number
    riot replicate a b --live --event-order lifo
      error: --event-order: 'lifo' is none of fifo, priority
    riot replicate a b --live --flush-interval 0
      error: --flush-interval: must be longer than 0
    riot replicate a b --live --flush-interval soon
      error: --flush-interval: 'soon' is no duration; write 500ms, 5s, 2m, 1h or 1d
    riot replicate a b --live --idle-timeout 0s
      error: --idle-timeout: must be longer than 0
    riot replicate a b --live --idle-timeout 5 --idle-timeout 6
      error: --idle-timeout: was given twice
    riot replicate a b --idle-timeout never
      error: --idle-timeout: 'never' is no duration; write 500ms, 5s, 2m, 1h or 1d
    riot replicate a b --mode scan --events all
      error: --events: 'all' is none of auto, keyspace, tracking
    riot replicate a b --live --accept-unproven=yes
      error: --accept-unproven: takes no value
    riot replicate a b --live --key-process #{type}:#{key}
      error: --key-process: #{type} does not go with live: a key that was deleted has no type, so its name at the target is not known
    riot replicate a b --mode liveonly --key-process #{key}:#{type}
      error: --key-process: #{type} does not go with live: a key that was deleted has no type, so its name at the target is not known
    riot replicate a b --live --repeat 5m
      error: --repeat: repeats a snapshot; live goes on by itself until it is stopped
    riot replicate a b --live --repair
      error: --repair: belongs to compare: riot compare --repair copies again what differs
    riot replicate a b --live --quick
      error: --quick: belongs to compare; replicate has --compare quick
    riot replicate a b --delete-extra
      error: --delete-extra: goes with riot compare --repair, and with --mode live
    riot replicate a b --live --delete-extra --key-replace x=>y
      error: --delete-extra: needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process
    riot replicate a b --live --delete-extra --key-process #{key}#{key}
      error: --delete-extra: needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process
    riot replicate a b --live --both --key-replace x=>y
      error: --both: needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process
    riot replicate a b --live --events tracking --source-resp 2
      error: --events tracking: needs RESP3, and --source-resp says 2
    riot --resp resp2 -h a replicate -h b --live --events tracking
      error: --events tracking: needs RESP3, and --resp says 2
    riot replicate a b --mode compare --live
      error: --live: --mode says otherwise; give one of them
    riot replicate a b --mode compare --events auto
      error: --events: compare is never live, so it has no such option
    riot compare a b --live
      error: --live: compare is never live, so it has no such option
    riot compare a b --mode liveonly
      error: --mode: compare is never live, so it has --mode scan alone
    riot compare a b --events auto
      error: --events: compare is never live, so it has no such option
    riot compare a b --event-queue 5
      error: --event-queue: compare is never live, so it has no such option
    riot compare a b --event-order fifo
      error: --event-order: compare is never live, so it has no such option
    riot compare a b --flush-interval 5
      error: --flush-interval: compare is never live, so it has no such option
    riot compare a b --accept-unproven
      error: --accept-unproven: compare is never live, so it has no such option
    ");
}

#[test]
fn errors_of_several_databases() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --source-db 3-1",
        "riot replicate a b --source-db 1,x",
        "riot replicate a b --source-db all --target-db 1",
        "riot -n 1,3 replicate -h b -n 0",
        "riot replicate a/0-15 b/0",
        "riot replicate a b --db-map 1=2",
        "riot replicate a b --source-db 1,3 --db-map 2=3",
        "riot replicate a b --source-db 1,3 --db-map 3=1",
        "riot replicate a b --source-db all --db-map 3=1 --db-map 4=1",
        "riot replicate a b --source-db all --db-map 3=1,3=2",
        "riot replicate a b --source-db all --db-map 3",
        "riot replicate a b --source-db all --db-map 3=x",
        "riot replicate a a --source-db all",
        "riot replicate a a --source-db 3,4 --db-map 3=5",
        "riot replicate a b --source-cluster --source-db 0,1",
        "riot ping a -n all",
    ]), @"
    riot replicate a b --source-db 3-1
      error: --source-db: the database is a number; several of the source are 0-15, 1,3 or all
    riot replicate a b --source-db 1,x
      error: --source-db: the database is a number; several of the source are 0-15, 1,3 or all
    riot replicate a b --source-db all --target-db 1
      error: --target-db: of several databases each goes to the same number; --db-map A=B sends one elsewhere
    riot -n 1,3 replicate -h b -n 0
      error: --db: of several databases each goes to the same number; --db-map A=B sends one elsewhere
    riot replicate a/0-15 b/0
      error: TARGET: of several databases each goes to the same number; --db-map A=B sends one elsewhere
    riot replicate a b --db-map 1=2
      error: --db-map: database 1 is not copied: --source-db says which are
    riot replicate a b --source-db 1,3 --db-map 2=3
      error: --db-map: database 2 is not copied: --source-db says which are
    riot replicate a b --source-db 1,3 --db-map 3=1
      error: --db-map: databases 1 and 3 would both go to 1, and overwrite each other there
    riot replicate a b --source-db all --db-map 3=1 --db-map 4=1
      error: --db-map: databases 3 and 4 would both go to 1, and overwrite each other there
    riot replicate a b --source-db all --db-map 3=1,3=2
      error: --db-map: database 3 goes to 1 or to 2, not to both
    riot replicate a b --source-db all --db-map 3
      error: --db-map: is two numbers, the source's and the target's: 3=0
    riot replicate a b --source-db all --db-map 3=x
      error: --db-map: is two numbers, the source's and the target's: 3=0
    riot replicate a a --source-db all
      error: SOURCE and TARGET are the same database: a:6379, database 0
    riot replicate a a --source-db 3,4 --db-map 3=5
      error: SOURCE and TARGET are the same database: a:6379, database 4
    riot replicate a b --source-cluster --source-db 0,1
      error: --source-db: a cluster has database 0 alone, and --source-cluster says that it is one
    riot ping a -n all
      error: --db: riot ping has one database number
    ");
}

#[test]
fn what_cannot_be_picked_up_has_no_state() {
    insta::assert_snapshot!(errors(&[
        "riot replicate a b --state f --live",
        "riot replicate a b --state f --mode liveonly",
        "riot replicate a b --state f --repeat 1m",
        "riot replicate a b --state f --dry-run",
        "riot replicate a b --state f --type struct --merge",
        "riot replicate a b --state=",
        "riot replicate a b --state f --mode compare",
        "riot compare a b --state f",
    ]), @"
    riot replicate a b --state f --live
      error: --state: a snapshot alone is picked up: what changes while riot is away would be lost; --mode live without --state looks at every key again
    riot replicate a b --state f --mode liveonly
      error: --state: a snapshot alone is picked up: what changes while riot is away would be lost; --mode live without --state looks at every key again
    riot replicate a b --state f --repeat 1m
      error: --state: does not go with --repeat, which copies every key each time
    riot replicate a b --state f --dry-run
      error: --state: does not go with --dry-run, which copies nothing
    riot replicate a b --state f --type struct --merge
      error: --merge: does not go with --state: what was on its way when riot was killed is added again, and what is added twice is there twice
    riot replicate a b --state=
      error: --state: needs the name of a file
    riot replicate a b --state f --mode compare
      error: --state: a copy can be picked up; compare begins anew each time
    riot compare a b --state f
      error: --state: a copy can be picked up; compare begins anew each time
    ");
}
