//! What `generate-completion` is asked for.

use clap_complete::Shell;

use super::UsageError;
use super::value;
use super::words::Words;
use crate::cli::{self, Bare, Completion};

const SHELLS: &[(&str, Shell)] = &[
    ("bash", Shell::Bash),
    ("zsh", Shell::Zsh),
    ("fish", Shell::Fish),
    ("elvish", Shell::Elvish),
    ("powershell", Shell::PowerShell),
];

/// The script; bash's when no shell is named.
pub(super) fn script(asked: &Completion, bare: Bare) -> Result<String, UsageError> {
    if let Some(option) = Words::bare(bare)?.0.options().first() {
        return Err(UsageError::new(
            option,
            "generate-completion connects to no server",
        ));
    }
    let shell = match &asked.shell {
        Some(name) => value::named("SHELL", name, SHELLS)?,
        None => Shell::Bash,
    };
    Ok(cli::script(shell))
}
