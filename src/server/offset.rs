//! A replica as the source: before the end it is waited for until it has what its master had.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::control::Control;
use super::info::Info;
use crate::config::{Address, Endpoint};

const LOOK: Duration = Duration::from_millis(20);

/// Waits until a replica has the replication offset that its master has now. Nothing to do for a master.
///
/// An error says what could not be proved, and what would mend it.
pub async fn follow_master(endpoint: &Arc<Endpoint>) -> Result<(), String> {
    let unproven = |why: String| {
        format!(
            "the source is a replica, and whether it has all that its master had is not known: {why}"
        )
    };
    let mut replica = Control::open(endpoint)
        .await
        .map_err(|error| unproven(error.to_string()))?;
    let Ok(info) = replication(&mut replica).await else {
        // Without the right to INFO nobody knows that it is a replica: that is said elsewhere.
        return Ok(());
    };
    if info.text("role") != Some("slave") {
        return Ok(());
    }
    let (Some(host), Some(port)) = (
        info.text("master_host").map(str::to_owned),
        info.text("master_port").and_then(|port| port.parse().ok()),
    ) else {
        return Err(unproven("it does not name its master".into()));
    };
    let master = Endpoint {
        address: Address::Tcp { host, port },
        ..Endpoint::clone(endpoint)
    };
    let mut control = Control::open(&master)
        .await
        .map_err(|error| unproven(format!("its master {}: {error}", master.address)))?;
    let info = replication(&mut control)
        .await
        .map_err(|error| unproven(format!("its master {}: {error}", master.address)))?;
    let Some(wanted) = info.number("master_repl_offset") else {
        return Err(unproven(format!(
            "its master {} tells no offset",
            master.address
        )));
    };
    let deadline = Instant::now() + endpoint.command_timeout;
    loop {
        let info = replication(&mut replica)
            .await
            .map_err(|error| unproven(error.to_string()))?;
        let has = info
            .number("slave_repl_offset")
            .or_else(|| info.number("master_repl_offset"));
        if has.is_some_and(|has| has >= wanted) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(unproven(format!(
                "it is at {} of {wanted} after {} s",
                has.unwrap_or(0),
                endpoint.command_timeout.as_secs()
            )));
        }
        sleep(LOOK).await;
    }
}

async fn replication(control: &mut Control) -> Result<Info, redis::RedisError> {
    let text: String = control.words(&["INFO", "replication"]).await?;
    Ok(Info::parse(&text))
}
