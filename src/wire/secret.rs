//! The password, asked for again at each connection: tokens expire and secrets rotate.

use std::path::Path;

use tokio::process::Command;

use crate::config::Password;
use crate::error::ConnectError;

/// The password now, or `None` for no authentication.
pub(super) async fn read(password: &Password) -> Result<Option<String>, ConnectError> {
    match password {
        Password::None => Ok(None),
        Password::Fixed(secret) => Ok(Some(secret.clone())),
        Password::File(path) => from_file(path).map(Some),
        Password::Command(command) => from_command(command).await.map(Some),
    }
}

fn from_file(path: &Path) -> Result<String, ConnectError> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        ConnectError::Secret(format!("the password file {shown} cannot be read: {error}"))
    })?;
    first_line(&bytes)
        .ok_or_else(|| ConnectError::Secret(format!("the password file {shown} is empty")))
}

async fn from_command(command: &str) -> Result<String, ConnectError> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            ConnectError::Secret(format!("the password command cannot be run: {error}"))
        })?;
    if !output.status.success() {
        let status = output.status;
        return Err(ConnectError::Secret(format!(
            "the password command failed: {status}"
        )));
    }
    first_line(&output.stdout)
        .ok_or_else(|| ConnectError::Secret("the password command printed nothing".into()))
}

fn first_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .next()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
}
