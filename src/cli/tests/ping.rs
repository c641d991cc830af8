//! The help of `ping`.

use super::help;

#[test]
fn ping_has_a_help() {
    let help = help("ping");
    let (own, _) = help.split_once("Seeing it:").unwrap();
    insta::assert_snapshot!(own, @r"
    Measure round trips to one server, or to each master of a cluster

    Usage: riot ping [OPTIONS] [URI]
           riot [CONNECTION] ping [OPTIONS]

    Arguments:
      [URI]  The server: URI or host:port; of a cluster, any node's

    Options:
          --count <NUMBER>  Round trips to each server [default: 10]

    Connection:
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
    ");
}
