//! Opens a connection: resolves, connects, wraps in TLS, and shakes hands (HELLO, AUTH, CLIENT SETNAME, SELECT).

use std::future::Future;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Reply};
use super::secret;
use super::stream::Stream;
use crate::config::{Address, Endpoint, Resp, Side};
use crate::error::{ConnectError, Lost};

/// Opens a connection to an endpoint, its handshake done.
///
/// Names are resolved, sentinels and the password's source are asked each time: an endpoint moves, a token expires.
pub async fn connect(endpoint: &Endpoint) -> Result<Connection, ConnectError> {
    Ok(connect_and_say(endpoint, &[]).await?.0)
}

/// The same, and says more in the last round trip of the handshake: the answers come back.
pub(super) async fn connect_and_say(
    endpoint: &Endpoint,
    more: &[&[&[u8]]],
) -> Result<(Connection, Vec<Reply>), ConnectError> {
    let secret = secret::read(&endpoint.password).await?;
    match &endpoint.address {
        Address::Tcp { host, port } => open(endpoint, host, *port, secret.as_deref(), more).await,
        Address::Sentinel { nodes, master } => {
            let (host, port) = resolve_sentinel(endpoint, nodes, master).await?;
            open(endpoint, &host, port, secret.as_deref(), more).await
        }
        Address::Unix(path) => {
            let connecting = async {
                UnixStream::connect(path)
                    .await
                    .map_err(ConnectError::Unreachable)
            };
            let stream = Stream::Unix(within(endpoint.connect_timeout, connecting).await?);
            greet(endpoint, stream, secret.as_deref(), more).await
        }
    }
}

async fn open(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    secret: Option<&str>,
    more: &[&[&[u8]]],
) -> Result<(Connection, Vec<Reply>), ConnectError> {
    let stream = stream(endpoint, host, port).await?;
    greet(endpoint, stream, secret, more).await
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(limit, work)
        .await
        .unwrap_or(Err(ConnectError::Timeout(limit)))
}

async fn stream(endpoint: &Endpoint, host: &str, port: u16) -> Result<Stream, ConnectError> {
    let limit = endpoint.connect_timeout;
    let tcp = within(limit, tcp(host, port)).await?;
    let Some(tls) = &endpoint.tls else {
        return Ok(Stream::Tcp(tcp));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        ConnectError::Tls(format!("{host} is not a name that a certificate can have"))
    })?;
    let connector = TlsConnector::from(tls.client.clone());
    let unanswered = |error| match error {
        ConnectError::Timeout(limit) => ConnectError::Tls(format!(
            "no answer to the handshake within {} s: the port may not speak TLS (redis:// is plain)",
            limit.as_secs()
        )),
        error => error,
    };
    let handshake = async {
        connector
            .connect(name, tcp)
            .await
            .map_err(|error| tls_error(&error, endpoint.side))
    };
    within(limit, handshake)
        .await
        .map(|stream| Stream::Tls(Box::new(stream)))
        .map_err(unanswered)
}

/// The handshake's error with what to do about it.
fn tls_error(error: &std::io::Error, side: Side) -> ConnectError {
    use rustls::{AlertDescription, CertificateError, Error};
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let advice = match inner {
        Some(Error::InvalidMessage(_)) => {
            format!("the port does not speak TLS: use redis:// or leave out --{side}-tls")
        }
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            format!(
                "the certificate is not signed by a known authority: name its CA file with --{side}-cacert"
            )
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            format!(
                "the certificate is for another name: connect by that name, or use --{side}-tls-verify ca"
            )
        }
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the server's certificate has expired".to_owned(),
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            format!(
                "the server wants a client certificate: name it with --{side}-cert and --{side}-key"
            )
        }
        Some(Error::AlertReceived(_)) => {
            format!(
                "the server refused the handshake: it may want a client certificate (--{side}-cert, --{side}-key)"
            )
        }
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed the connection: the port may not speak TLS".to_owned()
        }
        Some(_) | None => format!("see --{side}-tls and the options after it in --help"),
    };
    ConnectError::Tls(format!("{error} ({advice})"))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let unresolved = |source| ConnectError::Unresolved {
        host: host.to_owned(),
        source,
    };
    let addresses = lookup_host((host, port)).await.map_err(unresolved)?;
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream
                    .set_nodelay(true)
                    .map_err(ConnectError::Unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Unreachable(last))
}

async fn greet(
    endpoint: &Endpoint,
    stream: Stream,
    secret: Option<&str>,
    more: &[&[&[u8]]],
) -> Result<(Connection, Vec<Reply>), ConnectError> {
    let plain = endpoint.tls.is_none();
    let mut connection = Connection::new(stream, endpoint.command_timeout);
    match within(
        endpoint.connect_timeout,
        shake(endpoint, &mut connection, secret, more),
    )
    .await
    {
        Ok(answers) => Ok((connection, answers)),
        Err(ConnectError::NotRedis(what)) if plain => Err(ConnectError::NotRedis(format!(
            "{what}; if the port speaks TLS, use rediss:// or the TLS option"
        ))),
        Err(ConnectError::Unreachable(error))
            if plain && error.kind() == std::io::ErrorKind::ConnectionReset =>
        {
            Err(ConnectError::NotRedis(format!(
                "{error} during the handshake; if the port speaks TLS, use rediss://"
            )))
        }
        // In TLS 1.3 the server's verdict on the client's certificate comes after the handshake.
        Err(ConnectError::Unreachable(error)) if !plain => Err(tls_error(&error, endpoint.side)),
        Err(error) => Err(error),
    }
}

async fn shake(
    endpoint: &Endpoint,
    connection: &mut Connection,
    secret: Option<&str>,
    more: &[&[&[u8]]],
) -> Result<Vec<Reply>, ConnectError> {
    // HELLO and what follows it leave together: over a long way each round trip is felt.
    let mut authenticated = secret.is_none();
    let hello = endpoint.resp != Resp::Two;
    if hello {
        let user = endpoint.user.as_deref().unwrap_or("default");
        let mut words: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(secret) = secret {
            words.extend([b"AUTH".as_slice(), user.as_bytes(), secret.as_bytes()]);
        }
        connection.outgoing().words(&words);
    }
    if hello || authenticated {
        introduce(endpoint, connection, more);
    }
    let asked = Instant::now();
    if hello {
        match answer(connection, asked).await? {
            Reply::Error(error) if is_no_hello(&error) && endpoint.resp == Resp::Auto => {}
            Reply::Error(error) => return Err(refused(&error, endpoint, secret.is_some())),
            _ => {
                connection.speak_resp3();
                authenticated = true;
            }
        }
    }
    if authenticated {
        return introduced(endpoint, connection, more).await;
    }
    if hello {
        // Who is not known yet was not heard.
        let _ = introduced(endpoint, connection, more).await;
    }
    let secret = secret.unwrap_or_default();
    let mut words: Vec<&[u8]> = vec![b"AUTH"];
    words.extend(endpoint.user.iter().map(String::as_bytes));
    words.push(secret.as_bytes());
    connection.outgoing().words(&words);
    if let Reply::Error(error) = answer(connection, Instant::now()).await? {
        return Err(refused(&error, endpoint, true));
    }
    introduce(endpoint, connection, more);
    introduced(endpoint, connection, more).await
}

/// The next answer of the handshake to what was asked then.
async fn answer(connection: &mut Connection, asked: Instant) -> Result<Reply, Lost> {
    let answer = connection.reply().await?;
    connection.answered_in(asked.elapsed());
    Ok(answer)
}

/// Encodes what follows on the question who it is: name, database, and more.
fn introduce(endpoint: &Endpoint, connection: &mut Connection, more: &[&[&[u8]]]) {
    let outgoing = connection.outgoing();
    if !endpoint.client_name.is_empty() {
        outgoing.words(&[b"CLIENT", b"SETNAME", endpoint.client_name.as_bytes()]);
    }
    if endpoint.database != 0 {
        outgoing.words(&[b"SELECT", endpoint.database.to_string().as_bytes()]);
        outgoing.words(&[b"CLIENT", b"INFO"]);
    }
    for words in more {
        outgoing.words(words);
    }
}

/// Takes the answers to that, all of them.
async fn introduced(
    endpoint: &Endpoint,
    connection: &mut Connection,
    more: &[&[&[u8]]],
) -> Result<Vec<Reply>, ConnectError> {
    let asked = Instant::now();
    if !endpoint.client_name.is_empty() {
        // A name is a courtesy: a user without the right to give one still copies.
        answer(connection, asked).await?;
    }
    let mut database = None;
    if endpoint.database != 0 {
        database = Some((connection.reply().await?, connection.reply().await?));
    }
    let mut answers = Vec::with_capacity(more.len());
    for _ in more {
        answers.push(answer(connection, asked).await?);
    }
    // Now that no answer is left.
    if let Some((selected, info)) = database {
        check_database(endpoint, selected, info)?;
    }
    Ok(answers)
}

fn check_database(endpoint: &Endpoint, selected: Reply, info: Reply) -> Result<(), ConnectError> {
    let database = endpoint.database.to_string();
    if let Reply::Error(error) = selected {
        return Err(ConnectError::Refused(format!(
            "database {database}: {error} ({}db)",
            option(endpoint)
        )));
    }
    // Redis Enterprise answers OK to any SELECT: what it is in shows whether it meant it.
    if let Reply::Bytes(info) = info {
        let info = String::from_utf8_lossy(&info).into_owned();
        let current = info
            .split_whitespace()
            .find_map(|word| word.strip_prefix("db="));
        if current.is_some_and(|current| current != database) {
            return Err(ConnectError::Refused(format!(
                "the server ignores SELECT: database {database} is not to be had here ({}db 0 is)",
                option(endpoint)
            )));
        }
    }
    Ok(())
}

fn option(endpoint: &Endpoint) -> String {
    format!("--{}-", endpoint.side)
}

fn is_no_hello(error: &str) -> bool {
    error.starts_with("ERR unknown command")
        || error.starts_with("NOPROTO")
        || error.starts_with("NOPERM")
}

/// A refusal of the handshake, with the option that mends it.
fn refused(error: &str, endpoint: &Endpoint, had_secret: bool) -> ConnectError {
    let option = option(endpoint);
    let code = error.split(' ').next().unwrap_or_default();
    match code {
        "LOADING" | "MASTERDOWN" | "BUSY" => ConnectError::NotReady(error.to_owned()),
        "WRONGPASS" => ConnectError::Refused(format!(
            "wrong user or password ({error}): see {option}user and {option}pass"
        )),
        "NOAUTH" => {
            ConnectError::Refused(format!("a password is needed ({error}): give {option}pass"))
        }
        "NOPROTO" => ConnectError::Refused(format!(
            "the server has no RESP3 ({error}): use {option}resp 2"
        )),
        "ERR" if error.starts_with("ERR unknown command") => ConnectError::Refused(format!(
            "the server has no RESP3 ({error}): use {option}resp 2"
        )),
        "DENIED" => ConnectError::Refused(error.to_owned()),
        _ if had_secret && error.contains("without any password configured") => {
            ConnectError::Refused(format!(
                "the server wants no password ({error}): leave {option}pass out"
            ))
        }
        _ => ConnectError::Refused(error.to_owned()),
    }
}

/// The master's host and port as the first sentinel that knows it tells.
async fn resolve_sentinel(
    endpoint: &Endpoint,
    nodes: &[(String, u16)],
    master: &str,
) -> Result<(String, u16), ConnectError> {
    let mut told = Vec::new();
    for (host, port) in nodes {
        match ask_sentinel(endpoint, host, *port, master).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => told.push(format!("{host}:{port} does not know it")),
            Err(error) => told.push(format!("{host}:{port}: {error}")),
        }
    }
    Err(ConnectError::Sentinel(format!(
        "no sentinel told where master {master} is: {}",
        told.join("; ")
    )))
}

async fn ask_sentinel(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    master: &str,
) -> Result<Option<(String, u16)>, ConnectError> {
    let stream = stream(endpoint, host, port).await?;
    let mut connection = Connection::new(stream, endpoint.connect_timeout);
    let question: [&[u8]; 3] = [b"SENTINEL", b"get-master-addr-by-name", master.as_bytes()];
    let mut reply = connection.request(&question).await?;
    if let Reply::Error(error) = &reply
        && error.starts_with("NOAUTH")
        && let Some(secret) = secret::read(&endpoint.password).await?
    {
        connection.request(&[b"AUTH", secret.as_bytes()]).await?;
        reply = connection.request(&question).await?;
    }
    match reply {
        Reply::Nil => Ok(None),
        Reply::Error(error) => Err(ConnectError::Sentinel(error)),
        Reply::Array(parts) => match parts.as_slice() {
            [host, port] => {
                let port = port.text().and_then(|port| port.parse().ok());
                Ok(host.text().zip(port))
            }
            _ => Ok(None),
        },
        Reply::Integer(_) | Reply::Bytes(_) => {
            Err(Lost::Protocol("no address in the sentinel's answer".into()).into())
        }
    }
}
