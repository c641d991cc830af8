//! What clap found wrong, in one line, with no word repeated that may be a secret.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::UsageError;
use super::refuse;

/// One line for a parse error.
pub(super) fn line(error: &clap::Error) -> UsageError {
    let argument = text(error, ContextKind::InvalidArg)
        .as_deref()
        .map(option_alone)
        .unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(error, &argument),
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            match suggestion(error, ContextKind::SuggestedSubcommand) {
                Some(command) if !is_known_elsewhere(&word) => UsageError::of(format!(
                    "no such command; did you mean {command}? See riot --help"
                )),
                _ => refuse::command_word(&word),
            }
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues
            if argument == "--host" || argument == "-h" =>
        {
            UsageError::of("-h is the host; help is --help".to_owned())
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            UsageError::new(&argument, "needs a value")
        }
        ErrorKind::TooManyValues => UsageError::new(&argument, "takes no value"),
        ErrorKind::ArgumentConflict => UsageError::new(&argument, "was given twice"),
        ErrorKind::InvalidUtf8 => {
            UsageError::of("a word of the command line is not UTF-8".to_owned())
        }
        _ => UsageError::of("the command line cannot be read; see riot --help".to_owned()),
    }
}

fn unknown(error: &clap::Error, argument: &str) -> UsageError {
    if !argument.starts_with('-') {
        let reason = "one word too many: SOURCE and TARGET are two, and an option's value follows its option";
        return UsageError::of(reason.to_owned());
    }
    let hint = suggestion(error, ContextKind::SuggestedArg)
        .filter(|option| is_shown(option))
        .map_or_else(
            || "see riot replicate --help".to_owned(),
            |option| format!("did you mean {option}?"),
        );
    UsageError::new(argument, format!("no such option; {hint}"))
}

/// Whether the help has an option: the others are there to be refused.
fn is_shown(option: &str) -> bool {
    let command = crate::cli::command();
    let name = option.trim_start_matches('-');
    let commands = command.get_subcommands().chain([&command]);
    commands
        .flat_map(clap::Command::get_arguments)
        .any(|argument| argument.get_long() == Some(name) && !argument.is_hide_set())
}

/// Commands of RIOT are refused by name, however near they are to one of ours.
fn is_known_elsewhere(word: &str) -> bool {
    refuse::command_word(word)
        .to_string()
        .contains("no such command")
}

/// An option as typed, without `=value` and without clap's `<NAME>`.
fn option_alone(text: &str) -> String {
    let end = text.find(['=', ' ', '[', '<']).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn suggestion(error: &clap::Error, kind: ContextKind) -> Option<String> {
    text(error, kind).as_deref().map(option_alone)
}
