//! Serves `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::plain::plain;
use super::{Board, Exported};
use crate::config::Metrics;

/// A request and its answer take no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once; with one more the oldest is closed.
const MOST: usize = 32;
/// A request's head is no larger: a scraper's has a few hundred bytes.
const HEAD: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Pause after an error of `accept`: no file descriptor is left, say.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens, and serves what the board shows until the process ends.
///
/// Gives the address that is listened on. Fails, in words for the operator, where the name has no address or the port is taken.
pub fn serve(wanted: &Metrics, board: Arc<Board>) -> Result<SocketAddr, String> {
    let told = |error: io::Error| {
        let host = match wanted.host.as_str() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        format!("--metrics {host}:{}: {error}", wanted.port)
    };
    let listener = listen(&wanted.host, wanted.port).map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    listener.set_nonblocking(true).map_err(told)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exported {
        board: board.clone(),
        ready_lag: wanted.ready_lag,
    }));
    let site = Arc::new(Site {
        registry,
        board,
        ready_lag: wanted.ready_lag,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(told)?;
    std::thread::Builder::new()
        .name("metrics".into())
        .spawn(move || runtime.block_on(accept(listener, site)))
        .map_err(told)?;
    Ok(address)
}

/// Without a host every address is listened on, of both families where there are both.
fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    if host.is_empty() {
        return TcpListener::bind(("::", port)).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            _ => TcpListener::bind(("0.0.0.0", port)),
        });
    }
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("metrics are not served: {error}");
            return;
        }
    };
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.retain(|task| !task.is_finished());
                    if open.len() >= MOST && let Some(oldest) = open.pop_front() {
                        oldest.abort();
                    }
                    open.push_back(tasks.spawn(answer(stream, site.clone())));
                }
                Err(error) => {
                    debug!("metrics: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// One connection, which has one request.
async fn answer(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = site.respond(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(HEADERS);
    let served = timeout(
        PATIENCE,
        http.serve_connection(TokioIo::new(stream), service),
    )
    .await;
    if !matches!(served, Ok(Ok(()))) {
        debug!("metrics: a request was not answered: {served:?}");
    }
}

/// What is served.
struct Site {
    registry: Registry,
    board: Arc<Board>,
    ready_lag: Duration,
}

impl Site {
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let known = ["/metrics", "/healthz", "/readyz"];
        let path = request.uri().path();
        if !known.contains(&path) {
            return text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz and /readyz",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD alone");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        match path {
            "/healthz" => text(StatusCode::OK, "alive"),
            "/readyz" => match self.board.readiness(self.ready_lag) {
                Ok(line) => text(StatusCode::OK, line),
                Err(why) => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &format!("not ready: {why}"),
                ),
            },
            _ => self.metrics(request.headers().get(ACCEPT)),
        }
    }

    fn metrics(&self, accepted: Option<&HeaderValue>) -> Response<Full<Bytes>> {
        let mut body = String::new();
        if encode(&mut body, &self.registry).is_err() {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be told",
            );
        }
        let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
            respond(StatusCode::OK, OPEN, body)
        } else {
            respond(StatusCode::OK, PLAIN, plain(&body))
        }
    }
}

fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    respond(status, TEXT, format!("{line}\n"))
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
