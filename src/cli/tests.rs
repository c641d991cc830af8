//! The help, as operators see it, and clap's own checks.

mod compare;
mod ping;
mod replicate;

fn help(command: &str) -> String {
    let arguments = ["riot", command, "--help"]
        .into_iter()
        .filter(|word| !word.is_empty());
    super::command()
        .term_width(100)
        .try_get_matches_from(arguments)
        .unwrap_err()
        .render()
        .to_string()
}

#[test]
fn clap_finds_nothing_wrong_with_the_definitions() {
    super::command().debug_assert();
}

#[test]
fn the_program_has_a_help() {
    insta::assert_snapshot!(help(""), @r#"
    Copies a Redis or Valkey database to another server or cluster, and proves that both hold the same

    Usage: riot replicate [OPTIONS] SOURCE TARGET
           riot compare [OPTIONS] SOURCE TARGET
           riot check [OPTIONS] SOURCE TARGET
           riot [SOURCE CONNECTION] replicate [OPTIONS] [TARGET CONNECTION]
           riot ping [OPTIONS] [URI]

    Commands:
      replicate            Copy the source's keys to the target, once or live, then compare
      compare              Compare the source's keys with the target's
      check                Say whether a migration can start, and what stands in its way; writes nothing
      ping                 Measure round trips to one server, or to each master of a cluster
      generate-completion  Print the completion script of a shell

    Options:
      -V, --version  Print version

    Seeing it:
          --help                      Show this help
          --progress <STYLE>          How progress is shown: bar, block, ascii, log, none [default: bar
                                      on a terminal, else log]
          --progress-rate <DURATION>  Time between two updates of the progress [default: 1s]
      -q, --quiet                     Log errors only
      -w, --warn                      Log warnings and errors
      -i, --info                      Log what the run does
      -d, --debug                     Log details
          --log-level <LEVEL>         Lowest level logged: error, warn, info, debug, trace, off
                                      [default: warn]
          --log-file <FILE>           Log to a file, to System.err or to System.out [default: standard
                                      error]
          --log-format <FORMAT>       Form of log lines: text, json [default: text]
          --no-log-time               Leave the time out of log lines
          --log-time-fmt <PATTERN>    Form of the time [default: "yyyy-MM-dd HH:mm:ss.SSS"]
          --report <FORM>             Form of the closing report on standard output: text, json, short
                                      [default: text]
      -l, --latency                   Report p50, p99 and the longest time of each command on each side
          --no-auto-reconnect         End the run when a connection is lost, instead of connecting again
          --metrics <HOST:PORT>       Serve metrics for Prometheus at /metrics, and /healthz and /readyz
          --ready-lag <DURATION>      /readyz says yes while no change waits for so long [default: 1s]

    One side, as RIOT 3 has it (before the command the source, after it the target):
      -u, --uri <URI>               Server URI
      -h, --host <HOST>             Host name or address [default: 127.0.0.1]
      -p, --port <PORT>             Port [default: 6379]
      -s, --socket <PATH>           Unix socket
          --user <NAME>             ACL user name
      -a, --pass [<PASSWORD>]       Password; asked for on the terminal when no value follows
          --pass-file <FILE>        File whose first line is the password, read at each connection
          --pass-command <COMMAND>  Command that prints the password, run at each connection
      -n, --db <NUMBER>             Database number, of the source also several (0-15, 1,3) or all; a
                                    cluster has 0 alone [default: 0]
      -t, --tls                     Connect by TLS
          --tls-verify <WHAT>       What of the certificate is verified: full, ca (chain, not the name),
                                    none [default: full]
          --insecure                Verify nothing, as --tls-verify none
          --cacert <FILE>           File of certificate authorities, PEM [default: the system's]
          --cert <FILE>             Client certificate, PEM
          --key <FILE>              Its private key, PKCS#8 in PEM, may be encrypted
          --key-pass <PASSWORD>     Password of the private key
      -c, --cluster                 This side is a cluster; without the flag, riot finds that out by
                                    itself
      -o, --timeout <DURATION>      Longest wait for an answer; a bare number is seconds here [default:
                                    60s]
          --client <NAME>           Name of the connections, for CLIENT LIST [default: riot]
          --resp <VERSION>          RESP version: 2, 3 [default: 3 where the server has it]
      -m, --pool <NUMBER>           Most connections to the server, or to each node of a cluster
                                    [default: 8]
          --read-pool <NUMBER>      Most connections to the source, as --source-pool, wherever it stands
          --read-from <NODE>        Node that is read in each shard of a cluster, as --source-read-from,
                                    wherever it stands [default: upstream]

    Examples:
      riot replicate redis://10.0.0.5:6379 rediss://user:secret@cache.example.com:6380/2
      riot replicate --mode live 10.0.0.5:6379 10.1.0.9:6379
      riot compare 10.0.0.5:6379 10.1.0.9:6379
      riot -h 10.0.0.5 -n 1 replicate -h 10.1.0.9 -n 1

    -h is the host, as in redis-cli. Every option of a command: riot COMMAND --help

    Exit status: 0 done and equal; 1 differences, failed keys or an open gap; 2 the command line; 3 a
    server; 130 interrupted
    "#);
}

#[test]
fn check_has_the_options_of_replicate() {
    let options = |command: &str, notes: &str| {
        let help = help(command);
        let (_, options) = help.split_once("Which keys:").unwrap();
        options.split_once(notes).unwrap().0.to_owned()
    };
    assert_eq!(
        options("check", "Takes the options"),
        options("replicate", "SOURCE and TARGET:")
    );
}
