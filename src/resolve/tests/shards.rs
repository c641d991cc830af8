//! Command lines of one run over several hosts.

use super::*;

#[test]
fn a_shard_by_the_index_of_the_job() {
    let environment = [("RIOT_SHARD", "auto/2"), ("JOB_COMPLETION_INDEX", "1")];
    for (line, slots) in [
        ("riot replicate a b", (8192, 16383)),
        ("riot compare a b --shard auto/3", (5461, 10921)),
        ("riot replicate --shard 1/2 a b", (0, 8191)),
    ] {
        let (config, _) = run_in(line, &environment);
        assert_eq!(config.selection.slots, [slots], "{line}");
    }
}

/// The words after `args:`, one a line, as that file has them.
fn words_of_the_manifest(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "args:")
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- "))
        .collect()
}

#[test]
fn the_pods_of_the_manifest_have_a_shard_each() {
    let manifest = include_str!("../../../docs/kubernetes/indexed-job.yaml");
    for (index, slots) in [
        ("0", (0, 5460)),
        ("1", (5461, 10921)),
        ("2", (10922, 16383)),
    ] {
        let environment = [
            ("JOB_COMPLETION_INDEX", index),
            ("RIOT_SOURCE_PASS", "hunter2"),
            ("RIOT_TARGET_PASS", "hunter2"),
        ];
        let line = format!("riot {}", words_of_the_manifest(manifest).join(" "));
        let (config, _) = run_in(&line, &environment);
        assert_eq!(config.selection.slots, [slots], "{line}");
        assert!(config.source.tls.is_some() && config.target.tls.is_some());
        assert_eq!(
            config.target.password,
            Password::Fixed("hunter2".to_owned())
        );
    }
    assert!(manifest.contains("completions: 3\n") && manifest.contains("parallelism: 3\n"));
}
