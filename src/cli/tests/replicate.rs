//! The help of `replicate`.

#![expect(clippy::too_many_lines, reason = "a help is as long as it is")]

use super::help;

#[test]
fn replicate_has_a_help() {
    insta::assert_snapshot!(help("replicate"), @r#"
    Copy the source's keys to the target, once or live, then compare

    Usage: riot replicate [OPTIONS] SOURCE TARGET
           riot [SOURCE CONNECTION] replicate [OPTIONS] [TARGET CONNECTION]

    Arguments:
      [SOURCE]  Where keys are read: URI or host:port; of a cluster, any node's
      [TARGET]  Where keys are written: URI or host:port; of a cluster, any node's

    Which keys:
          --mode <MODE>               What to do: scan (the source's keys, once), live (these, then what
                                      changes, until stopped), liveonly (what changes alone), compare
                                      (as riot compare) [default: scan]
          --db-map <A=B>              With several databases (--source-db 0-15, 1,3 or all): database A
                                      of the source goes to database B of the target; several allowed
                                      [default: each to the same number]
          --key-pattern <GLOB>        Keys that match this glob, as SCAN MATCH has it [default: *]
          --key-type <TYPE>           Keys of this type; several with commas [default: all]
          --key-include <PATTERN>...  Keys that match this regular expression, whole; glob:PATTERN for a
                                      glob; several allowed
          --key-exclude <PATTERN>...  Leave out keys that match this; wins over --key-include
          --key-slots <RANGE>...      Keys in these slots: 0-8000 or 0:8000; several allowed [default:
                                      0-16383]
          --shard <I/N>               The I-th of N runs that share the keys by equal ranges of slots,
                                      on hosts of their own: 2/3. auto/3 takes I from the index of a
                                      Kubernetes Indexed Job or an AWS Batch array job, auto takes N
                                      from the array job, too
          --scan-count <KEYS>         Keys that one SCAN asks for; auto is 1000, and more over a long
                                      way [default: auto]
          --mem-limit <SIZE>          Leave out keys of more memory than this; a bare number is
                                      megabytes; 0 is off [default: 0]
          --mem-samples <NUMBER>      Members sampled by MEMORY USAGE [default: 5]

    What changes on the way:
          --type <HOW>               How values are carried: auto (strings by their commands, all else
                                     by DUMP and RESTORE), dump (all by DUMP and RESTORE), struct (all
                                     by each type's own commands) [default: auto]
          --struct                   All by each type's own commands, as --type struct
          --big-key <SIZE>           Keys of more memory than this move in chunks, by their type's
                                     commands, whatever --type; 0 is off [default: 16MB]
          --merge                    With --type struct: add to what the target has, instead of
                                     replacing it
          --merge-policy <POLICY>    What becomes of what the target has: overwrite, merge (as --merge)
                                     [default: overwrite]
          --no-stream-id             With --type struct: the target gives streams' messages new ids;
                                     streams are compared without ids
          --stream-id <WHAT>         Ids of streams' messages: propagate, drop (as --no-stream-id)
                                     [default: propagate]
          --stream-prune             With --type struct: leave out streams without messages
          --key-process <TEMPLATE>   Key names by a template: "copy:#{key}", with #{type},
                                     #{#source.database}, #{#target.database}
          --key-replace <RE=>TEXT>   Key names by a regular expression: "^old:=>new:"; $1 is the first
                                     group
          --no-ttl                   Leave expiries out: keys are written without, and expiry is not
                                     compared
          --dry-run                  Read, but write nothing; nothing is compared then, unless --compare
                                     says so
          --log-keys                 Log each key read and written
          --multi-exec               MULTI and EXEC around each batch of writes
          --wait-replicas <NUMBER>   WAIT for this many replicas of the target after each batch
          --wait-timeout <DURATION>  Longest WAIT [default: 1s]

    How fast (auto: found by measuring):
          --threads <NUMBER>       Lanes that write, or that write to each node of a cluster [default:
                                   auto]
      -b, --batch <KEYS>           Keys in a batch of writes [default: auto]
          --read-threads <NUMBER>  Lanes that read, or that read from each node of a cluster [default:
                                   auto]
          --read-batch <KEYS>      Keys in a batch of reads [default: auto]
          --read-queue <KEYS>      Keys that wait between reading and writing [default: auto]
          --pipeline <BATCHES>     Batches in flight on one connection: what keeps a long link full
                                   [default: auto]
          --mem-budget <SIZE>      Bytes of values held in memory at once [default: 256MB]
          --sleep <DURATION>       Pause after each batch
          --rate <KEYS>            Most keys a second
          --source-cpu <PERCENT>   Most of one core of each server of the source that this run may use,
                                   in percent: 30%
          --repeat <DURATION>      When done, run again after this long, until stopped

    Live (with --mode live or liveonly):
          --live                       Copy the source's keys, then what changes, until stopped: as
                                       --mode live
          --events <WAY>               How changes are learnt: keyspace (notifications), tracking
                                       (CLIENT TRACKING, needs no setting on the server), auto [default:
                                       auto]
          --event-queue <KEYS>         Changed keys that are held by name; of more the slots are scanned
                                       again [default: 1000000]
          --event-order <ORDER>        In which order changed keys are copied: fifo, priority (by type,
                                       strings first) [default: fifo]
          --flush-interval <DURATION>  Longest wait before a partial batch of changes is written
                                       [default: 50ms]
          --idle-timeout <DURATION>    End after this long without a change [default: go on until
                                       stopped]
          --accept-unproven            Exit 0 though a guarantee could not be proved, as where a right
                                       is missing; the report names it

    When something fails:
          --retry <POLICY>                Transient errors are tried again: limit, always, never
                                          [default: limit]
          --retry-limit <NUMBER>          How often, with --retry limit [default: 3]
          --read-retry <NUMBER>           How often reads are tried again [default: as --retry]
          --skip <POLICY>                 A key that failed for good is counted and named, and the run
                                          goes on: always, never, limit [default: always]
          --skip-limit <KEYS>             How many keys may fail, with --skip limit [default: 1000]
          --read-skip <KEYS>              How many keys may fail to be read [default: as --skip]
          --state <FILE>                  Keep in this file where the copy is: killed, it is picked up
                                          there by the same command line
          --reconnect-timeout <DURATION>  How long a server that is away is waited for [default: 1m]

    Checking:
          --compare <DEPTH>            What is compared when the copy is done: full (values too), quick
                                       (existence, type, expiry), none [default: quick]
          --no-verify                  Compare nothing, as --compare none
          --ttl-tolerance <DURATION>   Largest difference between expiries that counts as equal
                                       [default: 100ms]
          --show-diffs                 Print one line a difference
          --rounds <NUMBER>            How often a difference is looked at before it counts [default: 3]
          --round-interval <DURATION>  Pause before a difference is looked at again [default: 1s]
          --both                       Look for keys that only the target has, too
          --delete-extra               Live, where changes may have been missed: delete keys that only
                                       the target has
          --no-stream-msg-id           Compare streams without the ids of their messages

    Source:
          --source-user <NAME>             ACL user name
          --source-pass [<PASSWORD>]       Password; asked for on the terminal when no value follows
          --source-pass-file <FILE>        File whose first line is the password, read at each
                                           connection
          --source-pass-command <COMMAND>  Command that prints the password, run at each connection
          --source-db <NUMBER>             Database number, several (0-15, 1,3) or all, of which those
                                           with keys go each to the same number at the target
                                           (--db-map); a cluster has 0 alone [default: 0]
          --source-tls                     Connect by TLS
          --source-tls-verify <WHAT>       What of the certificate is verified: full, ca (chain, not the
                                           name), none [default: full]
          --source-insecure                Verify nothing
          --source-cacert <FILE>           File of certificate authorities, PEM [default: the system's]
          --source-cert <FILE>             Client certificate, PEM
          --source-key <FILE>              Its private key, PKCS#8 in PEM, may be encrypted
          --source-key-pass <PASSWORD>     Password of the private key
          --source-cluster                 This side is a cluster; without the flag, riot finds that out
                                           by itself
          --source-timeout <DURATION>      Longest wait for an answer [default: 60s]
          --source-client <NAME>           Name of the connections, for CLIENT LIST [default: riot]
          --source-resp <VERSION>          RESP version: 2, 3 [default: 3 where the server has it]
          --source-pool <NUMBER>           Most connections to the server, or to each node of a cluster
                                           [default: 8]
          --source-read-from <NODE>        Node that is read in each shard of a cluster: upstream (the
                                           master), upstream_preferred, replica, replica_preferred, any,
                                           any_replica, lowest_latency [default: upstream]

    Target:
          --target-user <NAME>             ACL user name
          --target-pass [<PASSWORD>]       Password; asked for on the terminal when no value follows
          --target-pass-file <FILE>        File whose first line is the password, read at each
                                           connection
          --target-pass-command <COMMAND>  Command that prints the password, run at each connection
          --target-db <NUMBER>             Database number; a cluster has 0 alone [default: 0]
          --target-tls                     Connect by TLS
          --target-tls-verify <WHAT>       What of the certificate is verified: full, ca (chain, not the
                                           name), none [default: full]
          --target-insecure                Verify nothing
          --target-cacert <FILE>           File of certificate authorities, PEM [default: the system's]
          --target-cert <FILE>             Client certificate, PEM
          --target-key <FILE>              Its private key, PKCS#8 in PEM, may be encrypted
          --target-key-pass <PASSWORD>     Password of the private key
          --target-cluster                 This side is a cluster; without the flag, riot finds that out
                                           by itself
          --target-timeout <DURATION>      Longest wait for an answer [default: 60s]
          --target-client <NAME>           Name of the connections, for CLIENT LIST [default: riot]
          --target-resp <VERSION>          RESP version: 2, 3 [default: 3 where the server has it]
          --target-pool <NUMBER>           Most connections to the server, or to each node of a cluster
                                           [default: 8]
          --target-read-from <NODE>        Node that is read in each shard of a cluster when both sides
                                           are compared: as in --source-read-from [default: upstream]

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

    SOURCE and TARGET: host, host:port, redis://[[user:]password@]host[:port][/db], rediss:// for TLS,
    unix:///path, redis-sentinel://host:26379,host:26379/0#mymaster (rediss-sentinel:// for TLS)

    Environment: RIOT_SOURCE_URI, RIOT_SOURCE_USER, RIOT_SOURCE_PASS, RIOT_TARGET_URI, RIOT_TARGET_USER,
    RIOT_TARGET_PASS; RIOT_SHARD for --shard. A password on the command line can be seen in ps.

    Durations: 100ms, 5s, 2m, 1h, 1d; a bare number is milliseconds. Sizes: 512KB, 5MB, 1GB.
    "#);
}
