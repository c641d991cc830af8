//! Connection options in both spellings: `--source-X` and `--target-X`, and bare ones told apart by where they stand.

use std::path::PathBuf;

use clap::Args;

use super::Hidden;

/// RIOT 3's and riot-redis 2's: before the command the source's, after it the target's.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "One side, as RIOT 3 has it (before the command the source, after it the target)"
)]
pub struct Bare {
    /// Server URI
    #[arg(short, long, value_name = "URI")]
    pub uri: Option<Hidden>,
    /// Host name or address [default: 127.0.0.1]
    #[arg(short = 'h', long, alias = "hostname", value_name = "HOST")]
    pub host: Option<Hidden>,
    /// Port [default: 6379]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<String>,
    /// Unix socket
    #[arg(short, long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// ACL user name
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Password; asked for on the terminal when no value follows
    #[arg(short = 'a', long, value_name = "PASSWORD")]
    pub pass: Option<Option<Hidden>>,
    /// File whose first line is the password, read at each connection
    #[arg(long, value_name = "FILE")]
    pub pass_file: Option<PathBuf>,
    /// Command that prints the password, run at each connection
    #[arg(long, value_name = "COMMAND")]
    pub pass_command: Option<Hidden>,
    /// Database number, of the source also several (0-15, 1,3) or all; a cluster has 0 alone [default: 0]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub db: Option<String>,
    /// Connect by TLS
    #[arg(short, long)]
    pub tls: bool,
    /// What of the certificate is verified: full, ca (chain, not the name), none [default: full]
    #[arg(long, value_name = "WHAT")]
    pub tls_verify: Option<String>,
    /// Verify nothing, as --tls-verify none
    #[arg(long)]
    pub insecure: bool,
    /// File of certificate authorities, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key, PKCS#8 in PEM, may be encrypted
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Password of the private key
    #[arg(long, alias = "key-pwd", value_name = "PASSWORD")]
    pub key_pass: Option<Hidden>,
    /// This side is a cluster; without the flag, riot finds that out by itself
    #[arg(short, long)]
    pub cluster: bool,
    /// Longest wait for an answer; a bare number is seconds here [default: 60s]
    #[arg(short = 'o', long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Name of the connections, for CLIENT LIST [default: riot]
    #[arg(long, alias = "client-name", value_name = "NAME")]
    pub client: Option<String>,
    /// RESP version: 2, 3 [default: 3 where the server has it]
    #[arg(long, value_name = "VERSION")]
    pub resp: Option<String>,
    /// Most connections to the server, or to each node of a cluster [default: 8]
    #[arg(short = 'm', long, value_name = "NUMBER")]
    pub pool: Option<String>,
    /// Most connections to the source, as --source-pool, wherever it stands
    #[arg(long, value_name = "NUMBER")]
    pub read_pool: Option<String>,
    /// Node that is read in each shard of a cluster, as --source-read-from, wherever it stands [default: upstream]
    #[arg(long, value_name = "NODE")]
    pub read_from: Option<String>,
}

const SOURCE_READ_FROM: &str = "Node that is read in each shard of a cluster: upstream (the master), upstream_preferred, \
    replica, replica_preferred, any, any_replica, lowest_latency [default: upstream]";

const SOURCE_DB: &str = "Database number, several (0-15, 1,3) or all, of which those with keys go each to the same number at \
    the target (--db-map); a cluster has 0 alone [default: 0]";

const TARGET_DB: &str = "Database number; a cluster has 0 alone [default: 0]";

const TARGET_READ_FROM: &str = "Node that is read in each shard of a cluster when both sides are compared: \
    as in --source-read-from [default: upstream]";

/// One side's options in RIOT 4's spelling: the same struct twice, with a prefix of its own.
macro_rules! side {
    ($(#[$docs:meta])* $name:ident, $side:literal, $heading:literal, $db:expr, $read_from:expr) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Args)]
        #[command(next_help_heading = $heading)]
        pub struct $name {
            /// ACL user name
            #[arg(id = concat!($side, "-user"), long = concat!($side, "-user"), value_name = "NAME")]
            pub user: Option<String>,
            /// Password; asked for on the terminal when no value follows
            #[arg(id = concat!($side, "-pass"), long = concat!($side, "-pass"), value_name = "PASSWORD")]
            pub pass: Option<Option<Hidden>>,
            /// File whose first line is the password, read at each connection
            #[arg(id = concat!($side, "-pass-file"), long = concat!($side, "-pass-file"), value_name = "FILE")]
            pub pass_file: Option<PathBuf>,
            /// Command that prints the password, run at each connection
            #[arg(id = concat!($side, "-pass-command"), long = concat!($side, "-pass-command"), value_name = "COMMAND")]
            pub pass_command: Option<Hidden>,
            /// Database number.
            #[arg(id = concat!($side, "-db"), long = concat!($side, "-db"), value_name = "NUMBER", help = $db)]
            pub db: Option<String>,
            /// Connect by TLS
            #[arg(id = concat!($side, "-tls"), long = concat!($side, "-tls"))]
            pub tls: bool,
            /// What of the certificate is verified: full, ca (chain, not the name), none [default: full]
            #[arg(id = concat!($side, "-tls-verify"), long = concat!($side, "-tls-verify"), value_name = "WHAT")]
            pub tls_verify: Option<String>,
            /// Verify nothing
            #[arg(id = concat!($side, "-insecure"), long = concat!($side, "-insecure"))]
            pub insecure: bool,
            /// File of certificate authorities, PEM [default: the system's]
            #[arg(id = concat!($side, "-cacert"), long = concat!($side, "-cacert"), value_name = "FILE")]
            pub cacert: Option<PathBuf>,
            /// Client certificate, PEM
            #[arg(id = concat!($side, "-cert"), long = concat!($side, "-cert"), value_name = "FILE")]
            pub cert: Option<PathBuf>,
            /// Its private key, PKCS#8 in PEM, may be encrypted
            #[arg(id = concat!($side, "-key"), long = concat!($side, "-key"), value_name = "FILE")]
            pub key: Option<PathBuf>,
            /// Password of the private key
            #[arg(
                id = concat!($side, "-key-pass"),
                long = concat!($side, "-key-pass"),
                alias = concat!($side, "-key-pwd"),
                value_name = "PASSWORD"
            )]
            pub key_pass: Option<Hidden>,
            /// This side is a cluster; without the flag, riot finds that out by itself
            #[arg(id = concat!($side, "-cluster"), long = concat!($side, "-cluster"))]
            pub cluster: bool,
            /// Longest wait for an answer [default: 60s]
            #[arg(id = concat!($side, "-timeout"), long = concat!($side, "-timeout"), value_name = "DURATION")]
            pub timeout: Option<String>,
            /// Name of the connections, for CLIENT LIST [default: riot]
            #[arg(id = concat!($side, "-client"), long = concat!($side, "-client"), value_name = "NAME")]
            pub client: Option<String>,
            /// RESP version: 2, 3 [default: 3 where the server has it]
            #[arg(id = concat!($side, "-resp"), long = concat!($side, "-resp"), value_name = "VERSION")]
            pub resp: Option<String>,
            /// Most connections to the server, or to each node of a cluster [default: 8]
            #[arg(id = concat!($side, "-pool"), long = concat!($side, "-pool"), value_name = "NUMBER")]
            pub pool: Option<String>,
            /// Node that is read in each shard of a cluster.
            #[arg(
                id = concat!($side, "-read-from"),
                long = concat!($side, "-read-from"),
                value_name = "NODE",
                help = $read_from
            )]
            pub read_from: Option<String>,
        }
    };
}

side! {
    /// `--source-X`.
    SourceSide, "source", "Source", SOURCE_DB, SOURCE_READ_FROM
}

side! {
    /// `--target-X`.
    TargetSide, "target", "Target", TARGET_DB, TARGET_READ_FROM
}
