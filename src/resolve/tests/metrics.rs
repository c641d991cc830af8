//! Where metrics are served.

use std::time::Duration;

use super::{error, run, run_in};
use crate::config::Metrics;

#[test]
fn metrics_have_a_place_and_a_lag() {
    assert_eq!(run("riot replicate a b").metrics, None);
    let served = |host: &str, port, ready_lag| {
        Some(Metrics {
            host: host.to_owned(),
            port,
            ready_lag,
        })
    };
    assert_eq!(
        run("riot --metrics :9121 compare a b").metrics,
        served("", 9121, Duration::from_secs(1))
    );
    assert_eq!(
        run("riot replicate a b --metrics [::1]:0 --ready-lag 250ms").metrics,
        served("::1", 0, Duration::from_millis(250))
    );
}

#[test]
fn a_lag_without_metrics_is_told() {
    let (config, notices) = run_in("riot replicate a b --ready-lag 2s", &[]);
    assert_eq!(config.metrics, None);
    assert_eq!(notices, ["--ready-lag: has no effect without --metrics"]);
}

#[test]
fn what_is_no_place_or_no_lag_is_refused() {
    insta::assert_snapshot!(error("riot replicate a b --metrics 9121"), @"error: --metrics: '9121' is no HOST:PORT; write 127.0.0.1:9121, [::1]:9121 or :9121");
    insta::assert_snapshot!(error("riot replicate a b --metrics :1 --ready-lag 0"), @"error: --ready-lag: must be longer than 0");
}
