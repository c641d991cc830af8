//! One side's endpoint: command line over environment over URI over default.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::databases::Said;
use super::uri::{self, Uri};
use super::value::{self, Bare};
use super::words::{Given, Secret, Verify, Words};
use super::{Db, Surroundings, UsageError, cluster};
use crate::cli::Hidden;
use crate::config::{Address, Endpoint, Password, Resp, Side, Tls, TlsVerify};
use crate::wire::tls::{NamedFile, Settings};

/// What the environment may say.
pub(super) const VARIABLES: [&str; 6] = [
    "RIOT_SOURCE_URI",
    "RIOT_SOURCE_USER",
    "RIOT_SOURCE_PASS",
    "RIOT_TARGET_URI",
    "RIOT_TARGET_USER",
    "RIOT_TARGET_PASS",
];

const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOL: u64 = 8;

/// An endpoint whose password may still have to be asked for.
pub(super) struct Draft {
    pub(super) endpoint: Endpoint,
    /// The option that asks for a prompt.
    pub(super) prompt: Option<String>,
    /// Its database, or several.
    pub(super) database: Said,
}

/// Where a side's words come from, besides its options.
pub(super) struct Place<'a> {
    pub(super) side: Side,
    /// SOURCE or TARGET, where the spelling has them.
    pub(super) positional: Option<Hidden>,
    pub(super) surroundings: &'a Surroundings<'a>,
}

impl Place<'_> {
    fn variable(&self, what: &str) -> Option<Given<String>> {
        let option = format!("RIOT_{}_{what}", self.side.to_string().to_uppercase());
        let value = (self.surroundings.environment)(&option).filter(|value| !value.is_empty())?;
        Some(Given { option, value })
    }

    /// The URI of the command line or of the environment, with what its errors name.
    fn uri(&self, words: &Words) -> Result<Option<(String, Uri)>, UsageError> {
        let positional = self.positional.clone().map(|value| {
            let option = self.side.to_string().to_uppercase();
            Given { option, value }
        });
        let typed = positional.or_else(|| words.uri.clone());
        let place = words
            .host
            .as_ref()
            .map(|host| &host.option)
            .or(words.socket.as_ref().map(|socket| &socket.option));
        let said = match (typed, place) {
            (Some(uri), Some(option)) => {
                return Err(UsageError::new(
                    option,
                    format!("{} says the address already", uri.option),
                ));
            }
            (Some(uri), None) => Some((uri.option, uri.value.0)),
            (None, Some(_)) => None,
            (None, None) => self
                .variable("URI")
                .map(|variable| (variable.option, variable.value)),
        };
        said.map(|(option, text)| Uri::parse(&option, &text).map(|uri| (option, uri)))
            .transpose()
    }
}

/// Resolves one side. Files that are named are read, or opened to see that they can be.
pub(super) fn resolve(
    place: &Place<'_>,
    words: &Words,
    notices: &mut Vec<String>,
) -> Result<Draft, UsageError> {
    let side = place.side;
    let (uri_name, uri) = place.uri(words)?.unzip();
    let address = address(uri.as_ref(), words)?;
    let user = words
        .user
        .clone()
        .or_else(|| place.variable("USER"))
        .map(|given| given.value);
    let user = user
        .or_else(|| uri.as_ref().and_then(|uri| uri.user.clone()))
        .filter(|user| !user.is_empty());
    let from_uri = uri.as_ref().and_then(|uri| uri.password.clone());
    let (password, prompt) = password(place, words, from_uri, user.is_some(), notices)?;
    let command_timeout = match &words.timeout {
        Some(given) => {
            let (text, bare) = &given.value;
            let timeout = value::positive_duration(&given.option, text, *bare)?;
            notice_short(&given.option, timeout, *bare, notices);
            timeout
        }
        None => match uri.as_ref().and_then(|uri| uri.timeout) {
            Some(timeout) => {
                let option = format!("timeout in {}", uri_name.as_deref().unwrap_or("the URI"));
                notice_short(&option, timeout, Bare::Milliseconds, notices);
                timeout
            }
            None => COMMAND_TIMEOUT,
        },
    };
    let database = said_database(words, uri.as_ref(), uri_name.as_deref())?;
    let cluster = cluster::is_said(words, &address, &database, side)?;
    let client_name = words
        .client_name
        .as_ref()
        .map(|given| (given.option.clone(), given.value.clone()));
    let from_uri = uri.as_ref().and_then(|uri| uri.client_name.clone());
    let client_name =
        client_name.or_else(|| Some((uri_name.clone().unwrap_or_default(), from_uri?)));
    let client_name = client_name.map_or_else(
        || Ok("riot".to_owned()),
        |(option, name)| checked_name(&option, name),
    )?;
    let resp = words.resp.as_ref().map_or(Ok(Resp::Auto), |given| {
        let names = [
            ("2", Resp::Two),
            ("3", Resp::Three),
            ("resp2", Resp::Two),
            ("resp3", Resp::Three),
        ];
        value::named(
            &given.option,
            &given.value,
            &[&names[..], &[("auto", Resp::Auto)]].concat(),
        )
    })?;
    let pool = words.pool.as_ref().map_or(Ok(POOL), |given| {
        value::whole(&given.option, &given.value, 1, 10_000)
    })?;
    let tls = tls(side, words, uri.as_ref(), &address)?;
    let endpoint = Endpoint {
        side,
        address,
        tls,
        user,
        password,
        database: database.number(),
        client_name,
        resp,
        connect_timeout: CONNECT_TIMEOUT.min(command_timeout),
        command_timeout,
        pool: usize::try_from(pool).unwrap_or(usize::MAX),
        cluster,
        read_from: cluster::read_from(words)?,
    };
    Ok(Draft {
        endpoint,
        prompt,
        database,
    })
}

fn address(uri: Option<&Uri>, words: &Words) -> Result<Address, UsageError> {
    let port = |given: &Given<String>| {
        uri::port_number(&given.value).ok_or_else(|| {
            UsageError::new(
                &given.option,
                format!("'{}' is no port from 1 to 65535", given.value),
            )
        })
    };
    if let Some(uri) = uri {
        return match (&uri.address, &words.port) {
            (Address::Tcp { host, .. }, Some(given)) if words.uri.is_none() => Ok(Address::Tcp {
                host: host.clone(),
                port: port(given)?,
            }),
            (_, Some(given)) => Err(UsageError::new(
                &given.option,
                "the URI says the port already",
            )),
            (address, None) => Ok(address.clone()),
        };
    }
    match (&words.socket, &words.host, &words.port) {
        (Some(_), Some(other), _) => Err(UsageError::new(
            &other.option,
            "--socket says the address already",
        )),
        (Some(_), None, Some(other)) => Err(UsageError::new(
            &other.option,
            "--socket says the address already",
        )),
        (Some(socket), None, None) if socket.value.as_os_str().is_empty() => {
            Err(UsageError::new(&socket.option, "names no file"))
        }
        (Some(socket), None, None) => Ok(Address::Unix(socket.value.clone())),
        (None, host, given) => {
            let port = given.as_ref().map_or(Ok(uri::PORT), port)?;
            let host = host
                .as_ref()
                .map_or(Ok("127.0.0.1".to_owned()), host_alone)?;
            Ok(Address::Tcp { host, port })
        }
    }
}

/// `--host`: a name or an address, IPv6 with or without brackets.
fn host_alone(given: &Given<Hidden>) -> Result<String, UsageError> {
    let text = given.value.0.trim_start_matches('[').trim_end_matches(']');
    if text.contains(':') && text.parse::<std::net::Ipv6Addr>().is_err() && !text.contains('%') {
        return Err(UsageError::new(
            &given.option,
            "is a host alone; the port is --port, a URI is --uri",
        ));
    }
    if text.is_empty()
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c))
    {
        return Err(UsageError::new(&given.option, "names no host"));
    }
    Ok(text.to_owned())
}

/// The database, with the option or the URI that names it.
fn said_database(
    words: &Words,
    uri: Option<&Uri>,
    uri_name: Option<&str>,
) -> Result<Said, UsageError> {
    if let Some(given) = &words.database {
        return Ok(Said {
            option: given.option.clone(),
            database: Db::parse(&given.option, &given.value)?,
            given: true,
        });
    }
    let of_uri = uri.and_then(|uri| uri.database.clone());
    Ok(Said {
        option: uri_name.unwrap_or_default().to_owned(),
        given: of_uri.is_some(),
        database: of_uri.unwrap_or(Db::One(0)),
    })
}

fn password(
    place: &Place<'_>,
    words: &Words,
    from_uri: Option<String>,
    has_user: bool,
    notices: &mut Vec<String>,
) -> Result<(Password, Option<String>), UsageError> {
    // An empty password is one only for a user who needs none.
    let fixed = |text: String| {
        if text.is_empty() && !has_user {
            Password::None
        } else {
            Password::Fixed(text)
        }
    };
    let Some(given) = &words.secret else {
        let word = place
            .variable("PASS")
            .map(|variable| variable.value)
            .or(from_uri);
        return Ok((word.map_or(Password::None, Password::Fixed), None));
    };
    match &given.value {
        Secret::Prompt => Ok((Password::None, Some(given.option.clone()))),
        Secret::Typed(word) => {
            if uri::reads_as_address(&word.0) {
                notices.push(format!(
                    "{}: the password reads as an address; it was taken for a password",
                    given.option
                ));
            }
            Ok((fixed(word.0.clone()), None))
        }
        Secret::File(path) => {
            check_readable(&given.option, path)?;
            Ok((Password::File(path.clone()), None))
        }
        Secret::Command(command) if command.0.trim().is_empty() => {
            Err(UsageError::new(&given.option, "is empty"))
        }
        Secret::Command(command) => Ok((Password::Command(command.0.clone()), None)),
    }
}

fn check_readable(option: &str, path: &Path) -> Result<(), UsageError> {
    let failed =
        |reason: &str| UsageError::new(option, format!("cannot read {}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    match file.metadata() {
        Ok(data) if data.is_dir() => Err(failed("it is a directory")),
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn notice_short(option: &str, timeout: Duration, bare: Bare, notices: &mut Vec<String>) {
    if timeout < Duration::from_secs(1) {
        let hint = if bare == Bare::Milliseconds {
            "; a bare number is milliseconds"
        } else {
            ""
        };
        notices.push(format!(
            "{option}: the command timeout is {timeout:?}, under a second{hint}"
        ));
    }
}

/// `CLIENT SETNAME` takes printable ASCII without spaces.
fn checked_name(option: &str, name: String) -> Result<String, UsageError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(name);
    }
    Err(UsageError::new(
        option,
        "a client name is printable ASCII without spaces",
    ))
}

fn tls(
    side: Side,
    words: &Words,
    uri: Option<&Uri>,
    address: &Address,
) -> Result<Option<Tls>, UsageError> {
    let of_uri = uri.and_then(|uri| uri.verify);
    if words.tls.is_none() && !uri.is_some_and(|uri| uri.tls) {
        let options = [
            words.verify.as_ref().map(|given| &given.option),
            words.ca.as_ref().map(|given| &given.option),
            words.certificate.as_ref().map(|given| &given.option),
            words.key.as_ref().map(|given| &given.option),
            words.key_password.as_ref().map(|given| &given.option),
        ];
        return match options.into_iter().flatten().next() {
            Some(option) => {
                let on = if option.starts_with("--source-") || option.starts_with("--target-") {
                    format!("--{side}-tls")
                } else {
                    "--tls".to_owned()
                };
                Err(UsageError::new(
                    option,
                    format!("needs TLS: add {on}, or write rediss:// for redis://"),
                ))
            }
            None if of_uri.is_some() => Err(UsageError::new(
                "verifyPeer",
                "needs TLS: write rediss:// for redis://",
            )),
            None => Ok(None),
        };
    }
    if let Address::Unix(_) = address {
        let option = words
            .tls
            .as_ref()
            .map_or("TLS", |given| given.option.as_str());
        return Err(UsageError::new(option, "a unix socket has no TLS"));
    }
    let verify = match words.verify.as_ref().map(|given| (given, &given.value)) {
        None => of_uri.unwrap_or(TlsVerify::Full),
        Some((_, Verify::Insecure)) => TlsVerify::None,
        Some((given, Verify::Named(text))) => {
            let names = [
                ("full", TlsVerify::Full),
                ("ca", TlsVerify::Ca),
                ("none", TlsVerify::None),
            ];
            value::named(&given.option, text, &names)?
        }
    };
    let file = |given: &Option<Given<std::path::PathBuf>>| {
        given.as_ref().map(|given| NamedFile {
            option: given.option.clone(),
            path: given.value.clone(),
        })
    };
    let (certificate, key) = (file(&words.certificate), file(&words.key));
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(file), None) => {
            return Err(UsageError::new(
                &file.option,
                format!(
                    "needs its private key too: {}",
                    file.option.replace("cert", "key")
                ),
            ));
        }
        (None, Some(file)) => {
            return Err(UsageError::new(
                &file.option,
                format!(
                    "needs its certificate too: {}",
                    file.option.replace("key", "cert")
                ),
            ));
        }
    };
    if let (None, Some(password)) = (&client, &words.key_password) {
        return Err(UsageError::new(
            &password.option,
            "there is no key that it belongs to",
        ));
    }
    let settings = Settings {
        verify,
        ca: file(&words.ca),
        client,
        key_password: words
            .key_password
            .as_ref()
            .map(|given| given.value.0.clone()),
    };
    settings
        .build()
        .map(Some)
        .map_err(|error| UsageError::of(error.to_string()))
}
