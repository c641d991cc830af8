//! Passwords: where they come from, and that nothing shows them.

use std::io;

use proptest::prelude::*;

use super::super::*;
use super::{error, run, run_in};

#[test]
fn passwords_are_typed_asked_for_read_or_run() {
    let fixed = |word: &str| Password::Fixed(word.to_owned());
    for (line, source, target) in [
        (
            "riot replicate a b --source-pass x --target-pass=y",
            fixed("x"),
            fixed("y"),
        ),
        (
            "riot replicate a b --source-pass --target-pass",
            fixed("typed"),
            fixed("typed"),
        ),
        (
            "riot -h a -a x replicate -h b --pass=y",
            fixed("x"),
            fixed("y"),
        ),
        (
            "riot -h a -a replicate -h b -a",
            fixed("typed"),
            fixed("typed"),
        ),
        (
            "riot -h a -a replicate -a -h b",
            fixed("typed"),
            fixed("typed"),
        ),
        (
            "riot replicate a b --source-pass=",
            Password::None,
            Password::None,
        ),
        (
            "riot replicate a b --source-pass-command pass-tool",
            Password::Command("pass-tool".to_owned()),
            Password::None,
        ),
        (
            "riot replicate redis://:x@a redis://u:@b",
            fixed("x"),
            Password::None,
        ),
    ] {
        let config = run(line);
        assert_eq!(
            (config.source.password, config.target.password),
            (source, target),
            "{line}"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = run(&format!(
        "riot replicate a b --target-pass-file {}",
        file.path().display()
    ));
    assert_eq!(
        config.target.password,
        Password::File(file.path().to_owned())
    );
}

#[test]
fn a_prompt_without_a_terminal_is_an_error_that_says_what_to_use() {
    let surroundings = Surroundings {
        environment: &|_| None,
        terminal: false,
        ask: &|_| Err(io::Error::other("no tty")),
    };
    let words = "riot replicate a b --target-pass"
        .split(' ')
        .map(OsString::from);
    let Parsed::Exit { status, stderr, .. } = parse(words, &surroundings) else {
        panic!("it was taken")
    };
    insta::assert_snapshot!(
        format!("{status} {stderr}"),
        @"2 error: --target-pass: no terminal to ask for the password on; use --target-pass-file or RIOT_TARGET_PASS"
    );
}

#[test]
fn nothing_that_is_secret_is_shown() {
    let secret = "hunter2";
    for line in [
        "riot replicate redis://u:hunter2@a redis://:hunter2@b --source-pass hunter2 --target-pass hunter2",
        "riot -u redis://u:hunter2@a -a hunter2 replicate -h b --pass-command hunter2",
    ] {
        let typed = cli::command()
            .try_get_matches_from(line.split(' '))
            .unwrap();
        let typed = Cli::from_arg_matches(&typed).unwrap();
        assert!(!format!("{typed:?}").contains(secret), "{line}");
        let (config, notices) = run_in(line, &[]);
        assert!(
            !format!("{config:?} {notices:?}").contains(secret),
            "{line}"
        );
    }
    for line in [
        "riot replicate redis://:hunter2@a:x b",
        "riot replicate redis://:hunter2@a redis://:hunter2@a",
        "riot replicate a b hunter2",
        "riot hunter2 replicate a b",
        "riot replicate a b --passs=hunter2",
        "riot replicate redis://:hunter2@a",
        "riot replicate --source-pass redis://:hunter2@a redis://:hunter2@b",
        "riot -h redis://:hunter2@a replicate -h b",
        "riot -a hunter2 -h a replicate b c",
        "riot -a hunter2 -a hunter2 replicate b c",
        "riot replicate --key-exclude x redis://:hunter2@a redis://:hunter2@(b --threads 1 c",
        "riot replicate a b --insecure=hunter2",
        "riot -p redis://:hunter2@c/1 replicate",
        "riot replicate a b --threads redis://:hunter2@c/1",
    ] {
        assert!(!error(line).contains(secret), "{line}: {}", error(line));
    }
}

proptest! {
    #[test]
    fn any_words_are_taken_or_refused_in_one_line(words in proptest::collection::vec(proptest::sample::select(vec![
        "replicate", "compare", "check", "--quick", "-h", "a", "b", "-a", "hunter2", "redis://:hunter2@c/1", "redis://u:hunter2@d:x",
        "--pass=hunter2", "--source-pass", "--target-pass", "-n", "1", "--key-include", "x*", "(", "--key-slots", "0-5",
        "--threads", "-q", "-d", "--mode", "scan", "live", "--tls", "--", "--live", "--report=json", "--no-verify", "-u",
        "--help", "-V", "é\n", "-", "--key-process", "#{key}", "ping", "--read-pool", "2", "--insecure", "-p",
    ]), 0..9)) {
        let surroundings = Surroundings {
            environment: &|_| None,
            terminal: true,
            ask: &|_| Err(io::Error::other("no tty")),
        };
        match parse(["riot"].into_iter().chain(words).map(OsString::from), &surroundings) {
            Parsed::Exit { status: 0, stdout, stderr } => prop_assert!(!stdout.is_empty() && stderr.is_empty()),
            Parsed::Exit { status, stderr, .. } => {
                prop_assert_eq!(status, 2);
                prop_assert_eq!(stderr.lines().count(), 1, "{}", stderr);
                prop_assert!(stderr.starts_with("error: "), "{}", stderr);
                // A word that stands where a pattern, a host or a user is expected is no secret.
                prop_assert!(!stderr.contains(":hunter2"), "{}", stderr);
            }
            Parsed::Ping { ping, notices } => {
                let shown = format!("{ping:?}{notices:?}");
                prop_assert!(!shown.contains(":hunter2"));
            }
            Parsed::Run { config, notices } | Parsed::Check { config, notices } => {
                let shown = format!("{config:?}{notices:?}");
                prop_assert!(!shown.contains(":hunter2"));
            }
        }
    }
}
