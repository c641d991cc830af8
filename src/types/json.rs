//! Documents of the module `RedisJSON`: read by JSON.GET and written by JSON.SET as one text, compared as documents.

mod number;

use bytes::Bytes;
use serde_json::Value;

use super::ask::{Answers, Questions};
use super::copy::{Commands, Means, Reader, Step};
use super::{Comparison, End, Ground, Names, Progress};

/// The comparison of one key.
pub(super) struct JsonComparison {
    names: Names,
    bytes: usize,
}

impl JsonComparison {
    pub(super) fn new(names: Names, bytes: usize) -> Self {
        Self { names, bytes }
    }
}

impl Comparison for JsonComparison {
    fn weight(&self) -> usize {
        self.bytes
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        source.ask(&[b"JSON.GET", &self.names.source]);
        target.ask(&[b"JSON.GET", &self.names.target]);
    }

    fn accept(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        if same(&source.value()?, &target.value()?) {
            Ok(Progress::Equal)
        } else {
            Err(End::Differs)
        }
    }
}

/// Whether two texts are the same document: servers order members, and write numbers, as they like.
fn same(source: &[u8], target: &[u8]) -> bool {
    if source == target {
        return true;
    }
    let parse = |text| serde_json::from_slice::<Value>(text).ok();
    matches!((parse(source), parse(target)), (Some(source), Some(target)) if alike(&source, &target))
}

fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => number::same(one.as_str(), other.as_str()),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let in_other = |(name, value)| other.get(name).is_some_and(|other| alike(value, other));
            one.len() == other.len() && one.iter().all(in_other)
        }
        _ => one == other,
    }
}

/// The copying of one key: its text goes as it came.
pub(super) struct JsonReader {
    key: Bytes,
}

impl JsonReader {
    pub(super) fn new(key: Bytes) -> Self {
        Self { key }
    }
}

impl Reader for JsonReader {
    fn ask(&mut self, _: &Means, source: &mut Questions<'_>) {
        source.ask(&[b"JSON.GET", &self.key]);
    }

    fn accept(&mut self, _: &Means, source: &mut Answers, out: &mut Commands) -> Result<Step, End> {
        out.push(&[b"JSON.SET"], [Bytes::from_static(b"$"), source.value()?]);
        Ok(Step::Done)
    }

    fn length(&self) -> Option<&'static [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_and_spaces_are_no_difference() {
        let document = br#"{"a":1,"b":[{"c":null,"d":"\u00e4"},true]}"#;
        assert!(same(
            document,
            "{\"b\": [{\"d\": \"\u{e4}\", \"c\": null}, true], \"a\": 1}".as_bytes()
        ));
        for other in [
            r#"{"a":1,"b":[true,{"c":null,"d":"ä"}]}"#,
            r#"{"a":1,"b":[{"c":null,"d":"ä"},true],"e":null}"#,
            r#"{"a":1,"b":[{"c":null,"d":"ä"}]}"#,
            r#"{"a":"1","b":[{"c":null,"d":"ä"},true]}"#,
            r#"{"a":1,"b":[{"c":false,"d":"ä"},true]}"#,
            "null",
            "{",
        ] {
            assert!(!same(document, other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn numbers_are_compared_digit_by_digit() {
        assert!(same(b"[1e300, -5E-1]", b"[1.0e+300,-0.5]"));
        assert!(!same(b"[12345678901234567890]", b"[12345678901234567891]"));
        assert!(
            !same(b"{\"n\":1}", b"{\"n\":1.0}"),
            "JSON.TYPE tells them apart"
        );
    }
}
