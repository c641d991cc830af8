//! RIOT's own options that have no meaning here: they parse so that they can be refused by name. None is shown in the help.

use std::ffi::OsString;

use clap::Args;

/// RIOT's options that have no meaning here.
#[derive(Debug, Args)]
#[expect(missing_docs, reason = "named after the options, which are refused")]
pub struct Foreign {
    #[arg(long, alias = "keystore", hide = true)]
    pub ks: Option<OsString>,
    #[arg(long, alias = "ks-pwd", alias = "keystore-password", hide = true, num_args = 0..=1)]
    pub ks_password: Option<OsString>,
    #[arg(long, alias = "truststore", hide = true)]
    pub ts: Option<OsString>,
    #[arg(long, alias = "ts-pwd", alias = "truststore-password", hide = true, num_args = 0..=1)]
    pub ts_password: Option<OsString>,
    #[arg(long, hide = true)]
    pub verify_peer: bool,
    #[arg(long, hide = true)]
    pub no_verify_peer: bool,
    #[arg(long, hide = true)]
    pub var: Vec<OsString>,
    #[arg(long, hide = true)]
    pub ttl_proc: Option<OsString>,
    #[arg(long, hide = true)]
    pub type_proc: Option<OsString>,
    #[arg(long, hide = true)]
    pub date_format: Option<OsString>,
    #[arg(long, hide = true)]
    pub number_format: Option<OsString>,
    #[arg(long, hide = true)]
    pub scan_samples: Option<OsString>,
    #[arg(long, alias = "notif-queue", hide = true)]
    pub notification_queue: Option<OsString>,
}
