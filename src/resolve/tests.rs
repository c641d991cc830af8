//! Whole command lines: the three spellings, precedence.

mod by_type;
mod cluster;
mod live;
mod metrics;
mod refusals;
mod secrets;
mod shards;

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::*;
use crate::config::{
    Auto, Carriage, Depth, LogFormat, LogTarget, Progress, ReportFormat, Resp, RetryLimit,
    SkipLimit,
};

/// Parses as a shell would split it: words apart by spaces.
fn parse_in(line: &str, environment: &[(&str, &str)]) -> Parsed {
    let surroundings = Surroundings {
        environment: &|name| {
            environment
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        },
        terminal: true,
        ask: &|_| Ok("typed".to_owned()),
    };
    parse(line.split(' ').map(OsString::from), &surroundings)
}

fn run_in(line: &str, environment: &[(&str, &str)]) -> (Config, Vec<String>) {
    match parse_in(line, environment) {
        Parsed::Run { config, notices } => (*config, notices),
        Parsed::Exit { stderr, .. } => panic!("{line}: {stderr}"),
        Parsed::Check { .. } | Parsed::Ping { .. } => panic!("{line} is no run"),
    }
}

fn run(line: &str) -> Config {
    run_in(line, &[]).0
}

/// The error line of a command line that is refused.
fn error(line: &str) -> String {
    match parse_in(line, &[]) {
        Parsed::Run { .. } | Parsed::Check { .. } | Parsed::Ping { .. } => {
            panic!("{line} was taken")
        }
        Parsed::Exit {
            status,
            stdout,
            stderr,
        } => {
            assert_eq!((status, stdout.as_str()), (2, ""), "{line}");
            assert!(
                stderr.starts_with("error: ") && stderr.ends_with('\n'),
                "{line}: {stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{line}: {stderr}");
            stderr.trim_end().to_owned()
        }
    }
}

fn place(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.address, endpoint.database)
}

#[test]
fn three_spellings_name_the_same_servers() {
    for line in [
        "riot replicate redis://a:1/2 redis://b:3/4",
        "riot sync redis://a:1/2 b:3 --target-db 4",
        "riot -q replicate a:1 b:3 --source-db 2 --target-db=4",
        "riot replicate --source-db 2 a:1 --target-db 4 b:3 -q",
        "riot -h a -p 1 -n 2 replicate -h b -p 3 -n 4",
        "riot --hostname a --port 1 --db 2 replicate --host b -p3 -n4",
        "riot -u redis://a:1/2 replicate -u redis://b:3/4",
        "riot --uri=redis://a:1 -n 2 replicate --uri redis://b:3 --db 4",
        "riot -h a -p 1 replicate --source-db 2 -h b -p 3 --target-db 4",
        "riot-redis -h a -p 1 -n 2 replicate -h b -p 3 -n 4",
    ] {
        let config = run(line);
        assert_eq!(config.command, Command::Replicate, "{line}");
        assert_eq!(
            (
                place(&config.source).as_str(),
                place(&config.target).as_str()
            ),
            ("a:1/2", "b:3/4"),
            "{line}"
        );
    }
    let config = run("riot compare --quick a b");
    assert_eq!(
        (config.command, config.verification.depth),
        (Command::Compare, Depth::Quick)
    );
}

#[test]
fn sockets_sentinels_and_the_default_address() {
    let config = run("riot -s /run/a.sock replicate -n 1");
    assert_eq!(
        (
            place(&config.source).as_str(),
            place(&config.target).as_str()
        ),
        ("/run/a.sock/0", "127.0.0.1:6379/1")
    );
    let config = run("riot replicate unix:///run/a.sock redis-sentinel://h1,h2:2/3#main");
    assert_eq!(place(&config.target), "sentinel master main/3");
    let config = run("riot -h ::1 replicate -h [::2] -p 7");
    assert_eq!(
        (
            place(&config.source).as_str(),
            place(&config.target).as_str()
        ),
        ("[::1]:6379/0", "[::2]:7/0")
    );
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = run("riot replicate a b");
    let source = &config.source;
    assert_eq!(
        (source.side, config.target.side),
        (Side::Source, Side::Target)
    );
    assert_eq!(
        (source.user.as_deref(), &source.password),
        (None, &Password::None)
    );
    assert_eq!(
        (source.client_name.as_str(), source.resp, source.pool),
        ("riot", Resp::Auto, 8)
    );
    assert_eq!(source.command_timeout, Duration::from_secs(60));
    assert_eq!(source.connect_timeout, Duration::from_secs(5));
    assert!(source.tls.is_none());
    let selection = &config.selection;
    assert_eq!(
        (selection.pattern.as_slice(), selection.types.len()),
        (&b"*"[..], 0)
    );
    assert_eq!(
        (selection.slots.as_slice(), selection.scan_count),
        (&[(0, 16383)][..], Auto::Measured)
    );
    assert_eq!(
        (selection.memory_limit, selection.memory_samples),
        (None, 5)
    );
    let flow = &config.flow;
    assert_eq!(
        (flow.carriage, flow.write_lanes, flow.memory_budget),
        (Carriage::Auto, Auto::Measured, 256 << 20)
    );
    assert_eq!(
        (flow.write_retry, flow.read_retry),
        (RetryLimit::Times(3), RetryLimit::Times(3))
    );
    assert_eq!(
        (flow.write_skip, flow.read_skip),
        (SkipLimit::Always, SkipLimit::Always)
    );
    assert!(
        flow.reconnect
            && !flow.dry_run
            && !flow.multi_exec
            && flow.repeat.is_none()
            && flow.rate.is_none()
    );
    assert_eq!(
        (flow.reconnect_timeout, flow.wait_timeout),
        (Duration::from_secs(60), Duration::from_secs(1))
    );
    let verification = &config.verification;
    assert_eq!((verification.depth, verification.rounds), (Depth::Quick, 3));
    assert_eq!(verification.expiry_tolerance, Duration::from_millis(100));
    assert_eq!(verification.round_interval, Duration::from_secs(1));
    let console = &config.console;
    assert_eq!(
        (console.progress, console.report, console.latency),
        (Progress::Bar, ReportFormat::Text, false)
    );
    assert_eq!(
        (console.log.level, console.log.format),
        (LevelFilter::WARN, LogFormat::Text)
    );
    assert_eq!(console.log.target, LogTarget::Stderr);
    assert_eq!(console.log.time.as_deref(), Some("yyyy-MM-dd HH:mm:ss.SSS"));
}

#[test]
fn every_option_of_the_flow_is_carried() {
    let flow = run("riot replicate a b --type dump --threads 2 --batch 50 --read-threads 3 --read-batch 60 \
         --read-queue 1000 --pipeline 7 --mem-budget 64MB --sleep 5 --rate 1000 --retry always --read-retry 9 \
         --skip limit --skip-limit 5 --read-skip 0 --multi-exec --wait-replicas 1 --wait-timeout 2s \
         --no-auto-reconnect --reconnect-timeout 10s --repeat 5m --dry-run --log-keys")
    .flow;
    assert_eq!(flow.carriage, Carriage::Dump);
    assert_eq!(
        (flow.write_lanes, flow.write_batch),
        (Auto::Fixed(2), Auto::Fixed(50))
    );
    assert_eq!(
        (flow.read_lanes, flow.read_batch),
        (Auto::Fixed(3), Auto::Fixed(60))
    );
    assert_eq!(
        (flow.read_queue, flow.pipeline),
        (Auto::Fixed(1000), Auto::Fixed(7))
    );
    assert_eq!(
        (flow.memory_budget, flow.sleep),
        (64 << 20, Duration::from_millis(5))
    );
    assert_eq!(flow.rate.map(std::num::NonZeroU64::get), Some(1000));
    assert_eq!(
        (flow.write_retry, flow.read_retry),
        (RetryLimit::Always, RetryLimit::Times(9))
    );
    assert_eq!(
        (flow.write_skip, flow.read_skip),
        (SkipLimit::Keys(5), SkipLimit::Keys(0))
    );
    assert!(flow.multi_exec && flow.dry_run && flow.log_keys && !flow.reconnect);
    assert_eq!(
        (flow.wait_replicas, flow.wait_timeout),
        (1, Duration::from_secs(2))
    );
    assert_eq!(
        (flow.reconnect_timeout, flow.repeat),
        (Duration::from_secs(10), Some(Duration::from_secs(300)))
    );
}

#[test]
fn policies_of_retry_and_skip() {
    for (words, write, read) in [
        ("--retry never", RetryLimit::Times(0), RetryLimit::Times(0)),
        ("--retry LIMIT", RetryLimit::Times(3), RetryLimit::Times(3)),
        (
            "--retry-limit 7",
            RetryLimit::Times(7),
            RetryLimit::Times(7),
        ),
        ("--read-retry 1", RetryLimit::Times(3), RetryLimit::Times(1)),
    ] {
        let flow = run(&format!("riot replicate a b {words}")).flow;
        assert_eq!(
            (flow.write_retry, flow.read_retry),
            (write, read),
            "{words}"
        );
    }
    for (words, write, read) in [
        ("--skip never", SkipLimit::Keys(0), SkipLimit::Keys(0)),
        ("--skip limit", SkipLimit::Keys(1000), SkipLimit::Keys(1000)),
        ("--skip-limit 2", SkipLimit::Keys(2), SkipLimit::Keys(2)),
        ("--read-skip 4", SkipLimit::Always, SkipLimit::Keys(4)),
    ] {
        let flow = run(&format!("riot replicate a b {words}")).flow;
        assert_eq!((flow.write_skip, flow.read_skip), (write, read), "{words}");
    }
}

#[test]
fn selection_rewriting_checking_and_console_are_carried() {
    let config = run(
        "riot replicate a b --key-pattern user:* --key-type hash --scan-count 10 --mem-limit 3 --mem-samples 0 \
         --key-slots 0:100 --shard 1/2 --key-process x:#{key} --key-replace a=>b --no-ttl --show-diffs --rounds 1 \
         --round-interval 0 --progress LOG --progress-rate 5s --log-level debug --log-file System.out --log-format json \
         --no-log-time --report short -l",
    );
    assert_eq!(config.selection.pattern, b"user:*");
    assert_eq!(config.selection.types, ["hash"]);
    assert_eq!(
        config.selection.memory_limit.map(std::num::NonZeroU64::get),
        Some(3 << 20)
    );
    assert_eq!(
        (config.selection.scan_count, config.selection.memory_samples),
        (Auto::Fixed(10), 0)
    );
    assert_eq!(config.selection.slots, [(0, 100)]);
    assert!(
        config.rewrite.template.is_some()
            && config.rewrite.replace.is_some()
            && config.rewrite.drop_expiry
    );
    assert!(config.verification.show_differences);
    assert_eq!(
        (
            config.verification.rounds,
            config.verification.round_interval
        ),
        (1, Duration::ZERO)
    );
    assert_eq!(
        (config.console.progress, config.console.progress_rate),
        (Progress::Log, Duration::from_secs(5))
    );
    assert_eq!(
        (config.console.log.level, &config.console.log.target),
        (LevelFilter::DEBUG, &LogTarget::Stdout)
    );
    assert_eq!(
        (config.console.log.format, &config.console.log.time),
        (LogFormat::Json, &None)
    );
    assert_eq!(
        (config.console.report, config.console.latency),
        (ReportFormat::Short, true)
    );
}

#[test]
fn old_names_of_options_are_taken() {
    let config = run(
        "riot -h a -m 3 --client-name x replicate -h b --scan-match k* --scan-type list --key-slot 0-5 \
         --key-proc #{key}! --pool 4 -o 30 --resp RESP2 --mode SNAPSHOT --type AUTO --big-key 0 --stream-id propagate",
    );
    assert_eq!(
        (
            config.selection.pattern.as_slice(),
            config.selection.slots.as_slice()
        ),
        (&b"k*"[..], &[(0, 5)][..])
    );
    assert_eq!((config.source.pool, config.target.pool), (3, 4));
    assert_eq!(
        (
            config.source.client_name.as_str(),
            config.target.client_name.as_str()
        ),
        ("x", "riot")
    );
    assert_eq!(
        (config.source.command_timeout, config.target.command_timeout),
        (Duration::from_secs(60), Duration::from_secs(30))
    );
    assert_eq!(
        (config.source.resp, config.target.resp),
        (Resp::Auto, Resp::Two)
    );
}

#[test]
fn reading_options_are_the_sources_wherever_they_stand() {
    for line in [
        "riot --read-pool 3 --read-from MASTER -h a replicate -h b",
        "riot -h a replicate -h b --read-pool 3 --read-from upstream",
        "riot replicate a b --read-pool 3",
        "riot replicate a b --source-pool 3",
    ] {
        let config = run(line);
        assert_eq!((config.source.pool, config.target.pool), (3, 8), "{line}");
    }
    assert_eq!(
        run("riot -h a replicate -h b --target-pool 5").target.pool,
        5
    );
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_uri() {
    let environment = [
        ("RIOT_SOURCE_URI", "redis://env-user:env-pass@env:1/5"),
        ("RIOT_TARGET_USER", "env-user"),
        ("RIOT_TARGET_PASS", "env-pass"),
    ];
    let (config, _) = run_in("riot replicate", &environment);
    assert_eq!(place(&config.source), "env:1/5");
    assert_eq!(config.source.user.as_deref(), Some("env-user"));
    assert_eq!(
        config.source.password,
        Password::Fixed("env-pass".to_owned())
    );
    assert_eq!(
        config.target.password,
        Password::Fixed("env-pass".to_owned())
    );

    let (config, _) = run_in("riot replicate a redis://uri:uri@b", &environment);
    assert_eq!(
        (place(&config.source).as_str(), &config.source.password),
        ("a:6379/0", &Password::None)
    );
    assert_eq!(config.target.user.as_deref(), Some("env-user"));
    assert_eq!(
        config.target.password,
        Password::Fixed("env-pass".to_owned())
    );

    let line =
        "riot replicate a redis://uri:uri@b/1 --target-user line --target-pass=line --target-db 2";
    let (config, _) = run_in(line, &environment);
    assert_eq!(config.target.user.as_deref(), Some("line"));
    assert_eq!(
        (config.target.database, &config.target.password),
        (2, &Password::Fixed("line".to_owned()))
    );

    // An address on the command line does not get the password of another server.
    let (config, _) = run_in("riot -h other replicate -h b", &environment);
    assert_eq!(
        (place(&config.source).as_str(), &config.source.password),
        ("other:6379/0", &Password::None)
    );
    let (config, _) = run_in("riot -p 9 -n 3 replicate -h b", &environment);
    assert_eq!(place(&config.source), "env:9/3");
    // A variable that is empty is not set.
    let (config, _) = run_in(
        "riot replicate a redis://uri:uri@b",
        &[("RIOT_TARGET_PASS", "")],
    );
    assert_eq!(config.target.password, Password::Fixed("uri".to_owned()));
}

#[test]
fn the_last_words_of_an_option_with_several_are_source_and_target() {
    for (line, include, exclude) in [
        ("riot replicate --key-include x y a b", 2, 0),
        ("riot replicate --key-include x a b", 1, 0),
        (
            "riot replicate --key-exclude z --key-include x a b --threads 3",
            1,
            1,
        ),
        ("riot replicate --key-include x a b --key-exclude z", 1, 1),
        ("riot replicate --key-include x y --key-exclude z a b", 2, 1),
        ("riot replicate a b --key-include x y z", 3, 0),
        ("riot replicate --key-include x y z -- a b", 3, 0),
        ("riot -h a replicate -h b --key-include x y z", 3, 0),
        ("riot compare --quick --key-slots 0-5 6-7 a b", 0, 0),
    ] {
        let config = run(line);
        assert_eq!(
            (
                place(&config.source).as_str(),
                place(&config.target).as_str()
            ),
            ("a:6379/0", "b:6379/0"),
            "{line}"
        );
        assert_eq!(
            (
                config.selection.include.len(),
                config.selection.exclude.len()
            ),
            (include, exclude),
            "{line}"
        );
    }
}

#[test]
fn notices_tell_what_was_understood() {
    let line = "riot replicate a?timeout=60 b --key-include u:* --source-pass redis://x --target-timeout 500 --mem-samples 3 \
         --no-verify --show-diffs --wait-timeout 2s";
    let (config, notices) = run_in(line, &[]);
    assert_eq!(config.source.connect_timeout, Duration::from_millis(60));
    insta::assert_snapshot!(notices.join("\n"), @r"
    --mem-samples: has no effect without --mem-limit
    --key-include: 'u:*' was taken as a glob; re: before it makes it a regular expression
    --wait-timeout: has no effect without --wait-replicas
    --show-diffs: has no effect, as nothing is compared
    --source-pass: the password reads as an address; it was taken for a password
    timeout in SOURCE: the command timeout is 60ms, under a second; a bare number is milliseconds
    --target-timeout: the command timeout is 500ms, under a second; a bare number is milliseconds
    ");
}
