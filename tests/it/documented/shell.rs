//! The commands of a script, as far as the pages' scripts go: words, quotes, comments, what separates commands.

/// Words before a command that are not it.
const BEFORE: &[&str] = &["do", "then", "else", "if", "while", "until", "!", "("];

/// The commands of a script, each as its words; assignments and keywords before a command are left out.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                word.extend(characters.by_ref().take_while(|next| *next != character));
            }
            '#' if word.is_none() => while characters.next_if(|next| *next != '\n').is_some() {},
            ' ' | '\t' => commands.last_mut().unwrap().extend(word.take()),
            '\n' | ';' | '|' | '&' | '(' | ')' => {
                commands.last_mut().unwrap().extend(word.take());
                commands.push(Vec::new());
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    commands.last_mut().unwrap().extend(word);
    let commands = commands.into_iter().map(|words| {
        let command = words
            .into_iter()
            .skip_while(|word| BEFORE.contains(&word.as_str()) || is_assignment(word));
        command.collect::<Vec<_>>()
    });
    commands.filter(|words| !words.is_empty()).collect()
}

/// The words after `riot` of each command that starts it.
pub(super) fn riots(script: &str) -> Vec<Vec<String>> {
    let commands = commands(script).into_iter();
    commands
        .filter(|words| words[0] == "riot")
        .map(|words| words[1..].to_vec())
        .collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

#[test]
fn commands_are_found_in_scripts() {
    let script = "# a comment\nA_B='x y' riot replicate \\\n  --key-process 'old:#{key}' a b  # one; two\n\
        for port in 1 2; do redis-cli -p $port PING; done\nriot --help | head";
    assert_eq!(
        riots(script),
        [
            vec!["replicate", "--key-process", "old:#{key}", "a", "b"],
            vec!["--help"]
        ]
    );
    let names: Vec<String> = commands(script)
        .iter()
        .map(|words| words[0].clone())
        .collect();
    assert_eq!(names, ["riot", "for", "redis-cli", "done", "riot", "head"]);
}
