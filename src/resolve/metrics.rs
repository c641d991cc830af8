//! Where metrics are served.

use std::time::Duration;

use super::UsageError;
use super::value::{self, Bare};
use crate::cli::Global;
use crate::config::Metrics;

/// Lag under which /readyz answers yes.
const READY_LAG: Duration = Duration::from_secs(1);

/// Resolves `--metrics` and `--ready-lag`.
pub(super) fn resolve(
    global: &Global,
    notices: &mut Vec<String>,
) -> Result<Option<Metrics>, UsageError> {
    let ready_lag = global.ready_lag.as_deref().map_or(Ok(READY_LAG), |text| {
        value::positive_duration("--ready-lag", text, Bare::Milliseconds)
    })?;
    let Some(place) = global.metrics.as_deref() else {
        if global.ready_lag.is_some() {
            notices.push("--ready-lag: has no effect without --metrics".to_owned());
        }
        return Ok(None);
    };
    let (host, port) = parse(place).ok_or_else(|| {
        UsageError::new(
            "--metrics",
            format!("'{place}' is no HOST:PORT; write 127.0.0.1:9121, [::1]:9121 or :9121"),
        )
    })?;
    Ok(Some(Metrics {
        host: host.to_owned(),
        port,
        ready_lag,
    }))
}

/// `host:port`, `[address]:port`, `:port`.
fn parse(place: &str) -> Option<(&str, u16)> {
    let (host, port) = place.trim().rsplit_once(':')?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let known = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    known.then_some((bare.unwrap_or(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_host_or_none_and_a_port() {
        for (place, host, port) in [
            ("127.0.0.1:9121", "127.0.0.1", 9121),
            ("[::1]:9121", "::1", 9121),
            ("[::]:0", "::", 0),
            (":9121", "", 9121),
            ("0.0.0.0:9121", "0.0.0.0", 9121),
            ("metrics.example.com:80", "metrics.example.com", 80),
        ] {
            assert_eq!(parse(place), Some((host, port)), "{place}");
        }
        for place in [
            "",
            "9121",
            "localhost",
            "localhost:",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "::1:9121",
            "[::1]",
            "[localhost]:1",
            "[]:1",
            "http://localhost:1",
            "a b:1",
        ] {
            assert_eq!(parse(place), None, "{place}");
        }
    }
}
