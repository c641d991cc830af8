//! `riot generate-completion`: shells complete riot's command line with its scripts.

use std::path::Path;
use std::process::Command;

use crate::riot::riot;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

fn script(words: &[&str]) -> String {
    let words = ["generate-completion"].iter().chain(words);
    riot(words).run().exits(0).stdout
}

/// What bash offers for the last of these words, by the function that the script registers for the first.
fn bash_offers(line: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        set -eu
        eval "$SCRIPT"
        registration=$(complete -p "$1")
        function=${registration#*-F }
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        "${function%% *}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"}
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", ASK, "bash"])
        .args(line)
        .env("SCRIPT", script(&[]))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    for name in ["riot", "riot-redis"] {
        assert_eq!(bash_offers(&[name, "repl"]), ["replicate"], "{name}");
    }
    assert_eq!(
        bash_offers(&["riot", "replicate", "--key-pa"]),
        ["--key-pattern", "--key-pass"]
    );
    assert_eq!(
        bash_offers(&["riot-redis", "-h", "x", "compare", "--qui"]),
        ["--quick", "--quiet"]
    );
    assert_eq!(
        bash_offers(&["riot", "replicate", "--mode", "live"]),
        ["live", "liveonly"]
    );
    assert_eq!(
        bash_offers(&["riot", "replicate", "--source-tls-verify", ""]),
        ["full", "ca", "none"]
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    std::fs::write(&file, "").unwrap();
    let start = folder.path().join("auth");
    assert_eq!(
        bash_offers(&["riot", "replicate", "--source-cacert", &text(&start)]),
        [text(&file)]
    );
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn nothing_that_the_help_does_not_show_is_offered() {
    for shell in SHELLS {
        let script = script(&[shell]);
        assert!(script.contains("key-pattern"), "{shell}");
        assert!(!script.contains("keystore"), "{shell}");
        assert!(!script.contains("ks-password"), "{shell}");
        assert!(script.contains("riot-redis"), "{shell}");
    }
    let offered = bash_offers(&["riot", "compare", "--"]);
    assert!(!offered.contains(&"--mode".to_owned()), "{offered:?}");
    assert!(offered.contains(&"--repair".to_owned()), "{offered:?}");
}

#[test]
fn the_shell_is_bash_when_none_is_named_and_its_case_is_ignored() {
    assert_eq!(script(&[]), script(&["bash"]));
    assert_eq!(script(&["Zsh"]), script(&["zsh"]));
}

#[test]
fn other_shells_and_connections_are_refused() {
    riot(["generate-completion", "csh"])
        .run()
        .names(2, &["SHELL", "bash, zsh, fish, elvish, powershell"]);
    riot(["-h", "127.0.0.1", "generate-completion"])
        .run()
        .names(2, &["--host", "connects to no server"]);
}
