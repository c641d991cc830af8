//! A large key that never stands still: copied at once, by DUMP and RESTORE, at the cost of both servers' time.

use tokio::time::timeout;

use super::line::Line;
use super::{CarryLane, Ends};
use crate::config::{Carriage, Side};
use crate::error::Lost;
use crate::stage::handover::Job;
use crate::types::copy::{Copied, Fate};
use crate::wire::{Connection, Token};

/// What one command answered, and where its value lies.
enum Answer {
    Value(bytes::Bytes),
    Number(i64),
    Nil,
    Error(String),
    Other,
}

impl CarryLane {
    /// Copies a key by one DUMP. [`Fate::Changed`]: that cannot be done here.
    pub(super) async fn whole(&self, ends: &Ends, line: &mut Line, job: &Job) -> Fate {
        let possible = self.terms.source_multi
            && !self.terms.merge
            && self.context.flow.carriage != Carriage::Struct
            && !self.context.copies_by_type();
        if !possible {
            return Fate::Changed;
        }
        match self.dump_and_restore(ends, line, job).await {
            Ok(fate) => fate,
            Err((side, lost)) => Fate::Failed(side, lost.to_string()),
        }
    }

    async fn dump_and_restore(
        &self,
        ends: &Ends,
        line: &mut Line,
        job: &Job,
    ) -> Result<Fate, (Side, Lost)> {
        let key = job.entry.source_name();
        let expiry: &[u8] = if self.terms.source_pexpiretime {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        let at_source = |lost| (Side::Source, lost);
        let moment = self.moment(ends);
        let out = line.source.outgoing();
        out.words(&[b"MULTI"]);
        out.words(&[expiry, key]);
        out.words(&[b"DUMP", key]);
        out.words(&[b"EXEC"]);
        // MULTI's, two of queueing, the header of EXEC's, the expiry.
        let mut left = 0;
        for _ in 0..5 {
            match answer(&mut line.source).await.map_err(at_source)? {
                Answer::Number(number) => left = number,
                Answer::Error(error) => return Ok(Fate::Failed(Side::Source, error)),
                Answer::Value(_) | Answer::Nil | Answer::Other => {}
            }
        }
        let payload = match answer(&mut line.source).await.map_err(at_source)? {
            Answer::Value(payload) => payload,
            Answer::Nil => return Ok(Fate::Gone),
            Answer::Error(error) => return Ok(Fate::Failed(Side::Source, error)),
            Answer::Number(_) | Answer::Other => return Ok(Fate::Changed),
        };
        let instant = match left {
            _ if !self.terms.keep_expiry => 0,
            ..0 => 0,
            left if self.terms.source_pexpiretime => left + moment.shift,
            left => moment.now() + left + moment.shift,
        };
        let out = line.target.outgoing();
        out.command(if instant > 0 { 6 } else { 5 });
        out.word(b"RESTORE");
        out.word(&job.entry.key.name);
        out.number(instant.max(0));
        out.value(&payload);
        out.word(b"REPLACE");
        if instant > 0 {
            out.word(b"ABSTTL");
        }
        let answered = answer(&mut line.target).await;
        Ok(match answered.map_err(|lost| (Side::Target, lost))? {
            Answer::Error(_) => Fate::Changed,
            _ => Fate::Copied(Copied {
                bytes: payload.len() as u64,
                ..Copied::default()
            }),
        })
    }
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
