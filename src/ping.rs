//! The command: round trips to one server, or to each node of a cluster that is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::{Console, Endpoint, ReportFormat};
use crate::error::{ConnectError, RunError};
use crate::nodes::Nodes;
use crate::output::Printer;
use crate::server::Info;
use crate::signal::Stop;
use crate::stats::Stats;
use crate::text::{milliseconds, thousands};
use crate::wire::{Connection, Link, connect};

/// What the command was told.
#[derive(Debug, Clone)]
pub struct Ping {
    /// The server; of a cluster, any node.
    pub endpoint: Endpoint,
    /// Round trips to each server, at least 1.
    pub count: u32,
    /// Logs and the report.
    pub console: Console,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every server answered as often as it was asked.
    Done,
    /// A stop signal came first; what was measured is shown.
    Interrupted,
    /// A server cannot be reached, which was told.
    Unreachable,
}

/// The round trips to one server, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Trips {
    address: String,
    /// `Redis 7.0.15`, where INFO is allowed.
    server: Option<String>,
    count: usize,
    min_us: u64,
    avg_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Trips {
    /// Of at least one round trip.
    fn of(address: String, server: Option<String>, mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let count = times.len();
        let total: Duration = times.iter().sum();
        // The least time that 99 of 100 do not exceed.
        let p99 = times.get((count * 99).div_ceil(100).checked_sub(1)?)?;
        Some(Self {
            address,
            server,
            count,
            min_us: micros(*times.first()?),
            avg_us: micros(total) / count as u64,
            p99_us: micros(*p99),
            max_us: micros(*times.last()?),
        })
    }

    fn line(&self) -> String {
        let shown = |micros| milliseconds(Duration::from_micros(micros));
        format!(
            "{:<17}  {:<14}  {} round trips: min {}, avg {}, p99 {}, max {}",
            self.address,
            self.server.as_deref().unwrap_or_default(),
            thousands(self.count as u64),
            shown(self.min_us),
            shown(self.avg_us),
            shown(self.p99_us),
            shown(self.max_us)
        )
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    servers: Vec<Trips>,
}

/// Measures, and prints what was measured.
pub async fn run(ping: &Ping, printer: &Printer, stop: &Stop) -> Result<Ended, RunError> {
    let mut report = Report {
        servers: Vec::new(),
    };
    let ended = match measure(ping, stop, &mut report.servers).await {
        Ok(ended) => ended,
        Err(reason) => {
            printer.line(&format!("error: {reason}"));
            Ended::Unreachable
        }
    };
    let text = match ping.console.report {
        ReportFormat::Json => serde_json::to_string(&report)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")),
        ReportFormat::Text | ReportFormat::Short => {
            let lines: Vec<String> = report.servers.iter().map(Trips::line).collect();
            lines.join("\n")
        }
    };
    if !report.servers.is_empty() {
        printer
            .write_out(&text)
            .map_err(|error| RunError::Internal(format!("standard output: {error}")))?;
    }
    Ok(ended)
}

/// Measures one server after the other; an error names the server that could not be reached.
async fn measure(ping: &Ping, stop: &Stop, servers: &mut Vec<Trips>) -> Result<Ended, String> {
    let mut ended = Ended::Done;
    for endpoint in endpoints(ping, stop).await? {
        if stop.is_draining() {
            return Ok(Ended::Interrupted);
        }
        let address = endpoint.address.to_string();
        let named = |error: ConnectError| format!("{address}: {error}");
        let mut connection = tokio::select! {
            connection = connect(&endpoint) => connection.map_err(named)?,
            () = stop.draining() => return Ok(Ended::Interrupted),
        };
        let server = info(&mut connection).await.map_err(named)?.product();
        let mut times = Vec::new();
        for _ in 0..ping.count {
            let began = Instant::now();
            tokio::select! {
                // Who may not PING has been answered as well.
                reply = connection.request(&[b"PING"]) => reply.map_err(|lost| named(lost.into()))?,
                () = stop.draining() => {
                    ended = Ended::Interrupted;
                    break;
                }
            };
            times.push(began.elapsed());
        }
        servers.extend(Trips::of(address, server, times));
    }
    Ok(ended)
}

/// The server, or the nodes of its cluster that are read: the masters, unless it was told otherwise.
async fn endpoints(ping: &Ping, stop: &Stop) -> Result<Vec<Endpoint>, String> {
    let endpoint = &ping.endpoint;
    let named = |error: ConnectError| format!("{}: {error}", endpoint.address);
    let mut connection = tokio::select! {
        connection = connect(endpoint) => connection.map_err(named)?,
        () = stop.draining() => return Ok(Vec::new()),
    };
    let info = info(&mut connection).await.map_err(named)?;
    if !info.is_set("cluster_enabled") && !endpoint.cluster {
        return Ok(vec![endpoint.clone()]);
    }
    if endpoint.database != 0 {
        return Err(format!(
            "{}: it is a cluster, which has database 0 alone",
            endpoint.address
        ));
    }
    let stats = Arc::new(Stats::new(false));
    let link = Link::new(
        Arc::new(endpoint.clone()),
        false,
        endpoint.connect_timeout,
        false,
        stats.clone(),
    );
    let nodes = Arc::new(Nodes::cluster(Arc::new(link), stats));
    nodes
        .find()
        .await
        .map_err(|why| format!("{}: {why}", endpoint.address))?;
    let readers = nodes.routes().readers();
    let endpoints = readers.iter().map(|node| node.link().endpoint());
    Ok(endpoints
        .map(|endpoint| Endpoint::clone(endpoint))
        .collect())
}

/// What the server tells of itself; nothing where that is not allowed.
async fn info(connection: &mut Connection) -> Result<Info, ConnectError> {
    let reply = connection.request(&[b"INFO"]).await?;
    Ok(reply
        .text()
        .map(|text| Info::parse(&text))
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_round_trips_the_least_the_mean_and_the_longest_are_told() {
        let times = (1..=200)
            .rev()
            .map(|tens| Duration::from_micros(10 * tens))
            .collect();
        let trips = Trips::of("a:1".into(), Some("Redis 7.0.15".into()), times).unwrap();
        assert_eq!(
            (
                trips.count,
                trips.min_us,
                trips.avg_us,
                trips.p99_us,
                trips.max_us
            ),
            (200, 10, 1005, 1980, 2000)
        );
        let one = Trips::of("a:1".into(), None, vec![Duration::from_millis(78)]).unwrap();
        assert_eq!((one.p99_us, one.max_us), (78_000, 78_000));
        assert_eq!(Trips::of("a:1".into(), None, Vec::new()), None);
        insta::assert_snapshot!(trips.line(), @"a:1                Redis 7.0.15    200 round trips: min 0.01 ms, avg 1.0 ms, p99 2.0 ms, max 2.0 ms");
    }
}
