//! A large key that never stands still: copied at once, by DUMP and RESTORE, at the cost of both servers' time.

use bytes::Bytes;
use tokio::time::timeout;

use super::line::Line;
use super::{CarryLane, Ends};
use crate::config::{Carriage, Side};
use crate::error::{Class, Lost, classify};
use crate::reading::payload::has_field_expiries;
use crate::stage::handover::Job;
use crate::stats::Kind;
use crate::types::copy::{Copied, Fate};
use crate::wire::{Connection, Token};

/// What one command answered, and where its value lies.
enum Answer {
    Value(Bytes),
    Number(i64),
    Nil,
    Error(String),
    Other,
}

impl CarryLane {
    /// Copies a key by one DUMP. [`Fate::Changed`]: that cannot be done here. An error is a connection that cannot go on.
    pub(super) async fn whole(
        &self,
        ends: &Ends,
        line: &mut Line,
        job: &Job,
    ) -> Result<Fate, (Side, Lost)> {
        let possible = self.terms.source_multi
            && !self.terms.merge
            && self.context.flow.carriage != Carriage::Struct
            && !self.context.copies_by_type();
        if !possible {
            return Ok(Fate::Changed);
        }
        let moment = self.moment(ends);
        let dumped = self.dump(&mut line.source, job);
        let (clock, left, payload) = match dumped.await.map_err(|lost| (Side::Source, lost))? {
            Ok(dumped) => dumped,
            Err(fate) => return Ok(fate),
        };
        if moment.shift != 0 && has_field_expiries(&payload) {
            // RESTORE takes them as they are, by another clock.
            return Ok(Fate::Changed);
        }
        let instant = match left {
            _ if !self.terms.keep_expiry => 0,
            ..0 => 0,
            left if self.terms.source_pexpiretime => left + moment.shift,
            left => clock.unwrap_or_else(|| moment.now()) + left + moment.shift,
        };
        if let Some(follow) = &self.context.follow {
            let expiry = (left >= 0).then_some(instant);
            follow
                .streams
                .met(job.entry.source_name(), &payload, expiry);
        }
        self.restore(&mut line.target, job, &payload, instant)
            .await
            .map_err(|lost| (Side::Target, lost))
    }

    /// Expiry and payload of one instant, and what a PTTL counts from where the source tells it. All answers are taken, whatever
    /// they are.
    async fn dump(
        &self,
        source: &mut Connection,
        job: &Job,
    ) -> Result<Result<(Option<i64>, i64, Bytes), Fate>, Lost> {
        let key = job.entry.source_name();
        let expiry: &[u8] = if self.terms.source_pexpiretime {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        let out = source.outgoing();
        let clock = self.terms.source_time && !self.terms.source_pexpiretime;
        out.words(&[b"MULTI"]);
        if clock {
            out.words(&[b"TIME"]);
        }
        out.words(&[expiry, key]);
        out.words(&[b"DUMP", key]);
        out.words(&[b"EXEC"]);
        let mut first: Option<String> = None;
        // MULTI's, those of queueing, the header of EXEC's.
        for _ in 0..4 + usize::from(clock) {
            if let Answer::Error(error) = answer(source).await? {
                first.get_or_insert(error);
            }
        }
        if let Some(error) = first {
            return Ok(Err(Fate::Failed(Side::Source, error)));
        }
        let clock = if clock { time(source).await? } else { None };
        let (left, payload) = (answer(source).await?, answer(source).await?);
        Ok(match (left, payload) {
            (Answer::Number(left), Answer::Value(payload)) => Ok((clock, left, payload)),
            (_, Answer::Nil) => Err(Fate::Gone),
            (Answer::Error(error), _) | (_, Answer::Error(error)) => {
                Err(Fate::Failed(Side::Source, error))
            }
            _ => Err(Fate::Changed),
        })
    }

    async fn restore(
        &self,
        target: &mut Connection,
        job: &Job,
        payload: &Bytes,
        instant: i64,
    ) -> Result<Fate, Lost> {
        let out = target.outgoing();
        out.command(if instant > 0 { 6 } else { 5 });
        out.word(b"RESTORE");
        out.word(&job.entry.key.name);
        out.number(instant.max(0));
        out.value(payload);
        out.word(b"REPLACE");
        if instant > 0 {
            out.word(b"ABSTTL");
        }
        let (replicas, _) = self.terms.wait;
        if replicas > 0 {
            out.wait(self.terms.wait);
        }
        let answered = answer(target).await?;
        let waited = if replicas > 0 {
            Some(target.reply().await?)
        } else {
            None
        };
        let mut ended = [(
            0,
            match answered {
                Answer::Error(error) if classify(error.as_bytes()) == Class::Payload => {
                    Fate::Changed
                }
                Answer::Error(error) => Fate::Failed(Side::Target, error),
                _ => Fate::Copied(Copied {
                    bytes: payload.len() as u64,
                    kind: Kind::of_payload(payload),
                    ..Copied::default()
                }),
            },
        )];
        if let Some(waited) = waited {
            self.terms.hold_to_replicas(&waited, &mut ended);
        }
        let [(_, fate)] = ended;
        Ok(fate)
    }
}

/// What TIME says, in milliseconds; `None`: an error.
async fn time(source: &mut Connection) -> Result<Option<i64>, Lost> {
    if let Answer::Error(_) = answer(source).await? {
        return Ok(None);
    }
    let (seconds, micros) = (answer(source).await?, answer(source).await?);
    let number = |answer| match answer {
        Answer::Value(digits) => std::str::from_utf8(&digits).ok()?.parse::<i64>().ok(),
        _ => None,
    };
    let (seconds, micros) = (number(seconds), number(micros));
    Ok(seconds
        .zip(micros)
        .map(|(seconds, micros)| seconds * 1000 + micros / 1000))
}

/// One token of an answer; a long value is not copied.
async fn answer(connection: &mut Connection) -> Result<Answer, Lost> {
    let limit = connection.limit();
    loop {
        if let Some(token) = connection.token()? {
            let text = |span| String::from_utf8_lossy(connection.bytes(span)).into_owned();
            return Ok(match token {
                Token::Bulk(span) => Answer::Value(span.slice(&connection.release())),
                Token::Integer(number) => Answer::Number(number),
                Token::Nil => Answer::Nil,
                Token::Error(span) => Answer::Error(text(span)),
                Token::Simple(_) | Token::Array(_) => Answer::Other,
            });
        }
        timeout(limit, connection.drive())
            .await
            .map_err(|_| Lost::Timeout(limit))??;
    }
}
