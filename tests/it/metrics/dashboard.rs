//! A real Prometheus scrapes a live run, evaluates the alerts that the documentation ships, and answers every query of the
//! dashboard.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{ANYWHERE, address, http, until};
use crate::data;
use crate::live::live;
use crate::live::load::Load;
use crate::servers::{self, Server, Version};
use crate::wait;

const DASHBOARD: &str = include_str!("../../../docs/prometheus/dashboard.json");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus/alerts.yml");

/// A Prometheus that scrapes one place five times a second. Killed when dropped.
struct Prometheus {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Prometheus {
    fn scraping(place: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let words = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: ['{RULES}']\n\
             scrape_configs:\n\
             \x20 - job_name: riot\n\
             \x20   static_configs: [{{targets: ['{place}']}}]\n"
        );
        fs::write(&file, words).unwrap();
        let address = format!("127.0.0.1:{}", servers::free_port());
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is missing: run tests/run.sh, which installs it");
        let prometheus = Self {
            child,
            address,
            folder,
        };
        let ready = |prometheus: &Self| {
            let answer = http::ask(&prometheus.address, "GET /-/ready HTTP/1.0\r\n\r\n");
            answer.is_ok_and(|answer| answer.status == 200)
        };
        wait::until("prometheus is ready", || ready(&prometheus).then_some(()));
        prometheus
    }

    /// What one page of its API answers with.
    #[track_caller]
    fn api(&self, path: &str) -> Value {
        let answer = http::get(&self.address, &format!("/api/v1/{path}"));
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(json["status"] == "success", "{path}: {json}");
        json["data"].clone()
    }

    /// The series that a query answers with now.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let found = self.api(&format!("query?query={}", http::escaped(query)));
        found["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log"));
            eprintln!("---- prometheus\n{}", log.unwrap_or_default());
        }
    }
}

/// Every query of the dashboard, with the name of its panel.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().clone();
    let mut found = Vec::new();
    for panel in panels {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{panel}");
        for target in targets {
            let title = panel["title"].as_str().unwrap().to_owned();
            found.push((title, target["expr"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// The names of riot's metrics in an expression, with the parts of histograms as they are.
fn names(expression: &str) -> BTreeSet<String> {
    let form = regex::Regex::new(r"\b(riot_[a-z_]+|process_[a-z_]+|up)\b").unwrap();
    let found = form.captures_iter(expression);
    found.map(|name| name[1].to_owned()).collect()
}

#[test]
fn a_real_prometheus_answers_every_query_of_the_dashboard_and_of_the_alerts() {
    let source = Server::start(Version::Redis70);
    // One key cannot be written: it fails by name, and that is an alert.
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser most on >secret ~key:* ~payload &* +@all\n")
        .start();
    let to = target.uri().replace("redis://", "redis://most:secret@");
    let load = Load::on(500).writers(2).pause(Duration::from_millis(1));
    load.fill(&source);
    let mut running = live("tracking", &source.uri(), &to).words(ANYWHERE).spawn();
    let address = address(&mut running);
    let prometheus = Prometheus::scraping(&address);
    let ((), done) = load.during(&source, Duration::ZERO, |_| {
        until(&address, "the run is ready", |scrape| {
            scrape.is("riot_ready", 1)
        });
        wait::until("prometheus finds the run healthy", || {
            let targets = prometheus.api("targets?state=active");
            let target = &targets["activeTargets"][0];
            (target["health"] == "up" && target["lastError"] == "").then_some(())
        });
        let all = queries();
        assert!(all.len() > 30, "{all:?}");
        for (title, query) in &all {
            assert!(
                query.contains("job=~\"$job\", instance=~\"$instance\""),
                "{query}"
            );
            let query = query
                .replace("$job", "riot")
                .replace("$instance", ".*")
                .replace("$__rate_interval", "5s");
            assert!(!query.contains('$'), "{query}");
            wait::until(&format!("{title}: {query}"), || {
                let found = prometheus.query(&query);
                let is_number = |series: &Value| series["value"][1] != "NaN";
                found.iter().any(is_number).then_some(())
            });
        }
        nothing_fires_but_for_cause(&prometheus);

        let () = source.run("SET forbidden 1");
        wait::until("the failed key is told", || {
            let alerts = prometheus.api("alerts");
            let alerts = alerts["alerts"].as_array().unwrap().clone();
            let failed = |alert: &&Value| {
                alert["labels"]["alertname"] == "RiotKeysFailed" && alert["state"] == "firing"
            };
            let alert = alerts.iter().find(failed)?;
            assert_eq!(alert["labels"]["instance"], address.as_str(), "{alert}");
            Some(())
        });
    });
    done.settle(&source);
    running.signal("TERM");
    running.finish().exits(1);
    let value: Option<String> = target.run("GET forbidden");
    assert_eq!(value, None);
    let (here, there) = (data::snapshot(&source, 0), data::snapshot(&target, 0));
    for line in data::differences(&here, &there, 1000) {
        assert!(line.contains("forbidden"), "{line}");
    }
    // The run is over: that is an alert, and its expression has data now.
    wait::until("prometheus misses the run", || {
        (!prometheus.query("up{job=\"riot\"} == 0").is_empty()).then_some(())
    });
}

/// An alert's expression is rightly empty in a run without trouble; what it is made of is there.
fn nothing_fires_but_for_cause(prometheus: &Prometheus) {
    let groups = wait::until("the rules were evaluated", || {
        let groups = prometheus.api("rules")["groups"].clone();
        let rules = groups[0]["rules"].as_array()?.clone();
        let evaluated = |rule: &Value| rule["health"] != "unknown";
        rules.iter().all(evaluated).then_some(groups)
    });
    let rules = groups[0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 8, "{groups}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
        let query = rule["query"].as_str().unwrap();
        prometheus.query(query);
        let names = names(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            // A scrape that came too late on a busy machine leaves everything out until the next.
            wait::until(&format!("{name} of {query}"), || {
                (!prometheus.query(&name).is_empty()).then_some(())
            });
        }
    }
}
