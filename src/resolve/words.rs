//! One side's connection options, whichever spelling they came in: which of them were given, under what name, and that
//! none was given twice.

use std::path::PathBuf;

use super::UsageError;
use super::value::Bare as BareNumber;
use crate::cli::{Bare, Hidden, SourceSide, TargetSide};
use crate::config::Side;

/// A word and the option it came with, as the operator would type it.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    pub(super) option: String,
    pub(super) value: T,
}

/// A password option.
#[derive(Debug, Clone)]
pub(super) enum Secret {
    /// `--pass` without a value.
    Prompt,
    /// `--pass VALUE`.
    Typed(Hidden),
    /// `--pass-file`.
    File(PathBuf),
    /// `--pass-command`.
    Command(Hidden),
}

impl Secret {
    /// `--pass`, with its value where it has one.
    fn typed(value: Option<Hidden>) -> Self {
        value.map_or(Self::Prompt, Self::Typed)
    }
}

/// What is said of a certificate's verification.
#[derive(Debug, Clone)]
pub(super) enum Verify {
    /// `--tls-verify`.
    Named(String),
    /// `--insecure`.
    Insecure,
}

macro_rules! words {
    ($($(#[$docs:meta])* $field:ident: $type:ty,)*) => {
        /// One side's options; `None` was not given.
        #[derive(Debug, Clone, Default)]
        pub(super) struct Words {
            $($(#[$docs])* pub(super) $field: Option<Given<$type>>,)*
        }

        impl Words {
            /// Both, where neither says what the other says.
            pub(super) fn and(self, other: Self) -> Result<Self, UsageError> {
                Ok(Self { $($field: one(self.$field, other.$field)?,)* })
            }

            /// The options that were given.
            pub(super) fn options(&self) -> Vec<&str> {
                let mut options = Vec::new();
                $(options.extend(self.$field.as_ref().map(|given| given.option.as_str()));)*
                options
            }
        }
    };
}

words! {
    /// A whole URI.
    uri: Hidden,
    host: Hidden,
    port: String,
    socket: PathBuf,
    user: String,
    secret: Secret,
    database: String,
    tls: (),
    verify: Verify,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    key_password: Hidden,
    cluster: (),
    /// With what a bare number means.
    timeout: (String, BareNumber),
    client_name: String,
    resp: String,
    pool: String,
    read_from: String,
}

/// The one of two that was given.
fn one<T>(
    first: Option<Given<T>>,
    second: Option<Given<T>>,
) -> Result<Option<Given<T>>, UsageError> {
    match (first, second) {
        (Some(first), Some(second)) if first.option == second.option => Err(UsageError::new(
            &first.option,
            "was given twice for the same side",
        )),
        (Some(first), Some(second)) => Err(UsageError::new(
            &second.option,
            format!("says again what {} says; give one of them", first.option),
        )),
        (first, second) => Ok(first.or(second)),
    }
}

fn given<T>(prefix: &str, name: &str, value: Option<T>) -> Option<Given<T>> {
    value.map(|value| Given {
        option: format!("--{prefix}{name}"),
        value,
    })
}

fn flag(prefix: &str, name: &str, set: bool) -> Option<Given<()>> {
    given(prefix, name, set.then_some(()))
}

fn secret(
    prefix: &str,
    pass: Option<Secret>,
    file: Option<PathBuf>,
    command: Option<Hidden>,
) -> Result<Option<Given<Secret>>, UsageError> {
    let typed = given(prefix, "pass", pass);
    let file = given(prefix, "pass-file", file.map(Secret::File));
    one(
        one(typed, file)?,
        given(prefix, "pass-command", command.map(Secret::Command)),
    )
}

fn verify(
    prefix: &str,
    named: Option<String>,
    insecure: bool,
) -> Result<Option<Given<Verify>>, UsageError> {
    one(
        given(prefix, "tls-verify", named.map(Verify::Named)),
        given(prefix, "insecure", insecure.then_some(Verify::Insecure)),
    )
}

/// The same for both of RIOT 4's structs, which differ in their prefix alone.
macro_rules! prefixed {
    ($side:expr, $prefix:literal) => {
        Words {
            user: given($prefix, "user", $side.user),
            secret: secret(
                $prefix,
                $side.pass.map(Secret::typed),
                $side.pass_file,
                $side.pass_command,
            )?,
            database: given($prefix, "db", $side.db),
            tls: flag($prefix, "tls", $side.tls),
            verify: verify($prefix, $side.tls_verify, $side.insecure)?,
            ca: given($prefix, "cacert", $side.cacert),
            certificate: given($prefix, "cert", $side.cert),
            key: given($prefix, "key", $side.key),
            key_password: given($prefix, "key-pass", $side.key_pass),
            cluster: flag($prefix, "cluster", $side.cluster),
            timeout: given(
                $prefix,
                "timeout",
                $side.timeout.map(|text| (text, BareNumber::Milliseconds)),
            ),
            client_name: given($prefix, "client", $side.client),
            resp: given($prefix, "resp", $side.resp),
            pool: given($prefix, "pool", $side.pool),
            read_from: given($prefix, "read-from", $side.read_from),
            ..Words::default()
        }
    };
}

impl Words {
    /// `--source-X`.
    pub(super) fn source(side: SourceSide) -> Result<Self, UsageError> {
        Ok(prefixed!(side, "source-"))
    }

    /// `--target-X`.
    pub(super) fn target(side: TargetSide) -> Result<Self, UsageError> {
        Ok(prefixed!(side, "target-"))
    }

    /// Bare options, and apart from them `--read-pool` and `--read-from`, which are the source's wherever they stand.
    pub(super) fn bare(side: Bare) -> Result<(Self, Self), UsageError> {
        let words = Self {
            uri: given("", "uri", side.uri),
            host: given("", "host", side.host),
            port: given("", "port", side.port),
            socket: given("", "socket", side.socket),
            user: given("", "user", side.user),
            secret: secret(
                "",
                side.pass.map(Secret::typed),
                side.pass_file,
                side.pass_command,
            )?,
            database: given("", "db", side.db),
            tls: flag("", "tls", side.tls),
            verify: verify("", side.tls_verify, side.insecure)?,
            ca: given("", "cacert", side.cacert),
            certificate: given("", "cert", side.cert),
            key: given("", "key", side.key),
            key_password: given("", "key-pass", side.key_pass),
            cluster: flag("", "cluster", side.cluster),
            timeout: given(
                "",
                "timeout",
                side.timeout.map(|text| (text, BareNumber::Seconds)),
            ),
            client_name: given("", "client", side.client),
            resp: given("", "resp", side.resp),
            pool: given("", "pool", side.pool),
            read_from: None,
        };
        let reading = Self {
            pool: given("", "read-pool", side.read_pool),
            read_from: given("", "read-from", side.read_from),
            ..Self::default()
        };
        Ok((words, reading))
    }

    /// With SOURCE and TARGET as positionals, a bare option is told its RIOT 4 form.
    pub(super) fn refuse_beside_positionals(&self, side: Side) -> Result<(), UsageError> {
        let Some(option) = self
            .options()
            .first()
            .map(|option| option.trim_start_matches('-').to_owned())
        else {
            return Ok(());
        };
        let place = if side == Side::Source {
            "SOURCE"
        } else {
            "TARGET"
        };
        let reason = match option.as_str() {
            "uri" | "host" | "port" | "socket" => {
                format!(
                    "{place} says this already: write the whole address there, as redis://host:port"
                )
            }
            _ => format!("with SOURCE and TARGET as words, write --{side}-{option}"),
        };
        Err(UsageError::new(&format!("--{option}"), reason))
    }
}
