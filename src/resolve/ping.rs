//! What `ping` means.

use super::words::Words;
use super::{Surroundings, UsageError, ask, console, endpoint, value};
use crate::cli::{self, Bare, Global};
use crate::config::Side;
use crate::ping::Ping;

const COUNT: u32 = 10;

/// One server: its options may stand before the command and after it, beside the address.
pub(super) fn resolve(
    words: cli::Ping,
    before: Bare,
    global: &Global,
    surroundings: &Surroundings<'_>,
) -> Result<(Ping, Vec<String>), UsageError> {
    let mut notices = Vec::new();
    let console = console::resolve(global, surroundings.terminal, &mut notices)?;
    let count = words
        .count
        .as_deref()
        .map_or(Ok(COUNT), |text| value::whole_u32("--count", text, 1))?;
    let (before, reading_before) = Words::bare(before)?;
    let (after, reading_after) = Words::bare(words.bare)?;
    let options = before.and(after)?.and(reading_before.and(reading_after)?)?;
    let place = endpoint::Place {
        side: Side::Source,
        positional: words.address,
        surroundings,
    };
    let draft = endpoint::resolve(&place, &options, &mut notices)?;
    draft
        .database
        .refuse_several("riot ping has one database number")?;
    let endpoint = ask(draft, surroundings)?;
    Ok((
        Ping {
            endpoint,
            count,
            console,
        },
        notices,
    ))
}
