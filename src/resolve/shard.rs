//! Which shard of a run over several hosts this one is: `I/N`, or by the index that a scheduler gives to each pod or child
//! of a job.

use super::{Surroundings, UsageError, value};

/// Number of hash slots.
pub(super) use crate::slots::SLOTS;

/// What `--shard` says in the environment.
pub(super) const VARIABLE: &str = "RIOT_SHARD";

/// A job's index, from 0: of a Kubernetes Indexed Job, of an AWS Batch array job.
const INDEXES: [&str; 2] = ["JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"];

/// How many children an AWS Batch array job has.
const SIZE: &str = "AWS_BATCH_JOB_ARRAY_SIZE";

/// One of N equal ranges of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    /// The option or the variable that named it.
    pub(super) place: String,
    /// First and last slot.
    pub(super) slots: (u16, u16),
}

/// The shard that the command line names, or else the environment; `None` is everything. Which one it is, is told where
/// the command line does not show it.
pub(super) fn resolve(
    typed: Option<&str>,
    surroundings: &Surroundings<'_>,
    notices: &mut Vec<String>,
) -> Result<Option<Shard>, UsageError> {
    let variable = |name: &str| (surroundings.environment)(name).filter(|text| !text.is_empty());
    let said = match typed {
        Some(text) => Some(("--shard", text.to_owned())),
        None => variable(VARIABLE).map(|text| (VARIABLE, text)),
    };
    let Some((place, text)) = said else {
        return Ok(None);
    };
    let (part, parts) = match text.split_once('/').unwrap_or((&text, "")) {
        (part, parts) if value::plain_name(part) == "auto" => {
            let parts = parts_of_auto(place, &text, parts, &variable)?;
            (index(place, parts, &variable)? + 1, parts)
        }
        (part, parts) => {
            let (part, parts) = (number(place, &text, part)?, number(place, &text, parts)?);
            if parts > SLOTS.into() || part == 0 || part > parts {
                return Err(out_of_range(place));
            }
            (part, parts)
        }
    };
    let slots = range(part, parts);
    let (first, last) = slots;
    if typed.is_none_or(|text| value::plain_name(text).starts_with("auto")) {
        notices.push(format!(
            "{place}: this run is shard {part}/{parts}, slots {first}-{last}"
        ));
    }
    Ok(Some(Shard {
        place: place.to_owned(),
        slots,
    }))
}

/// A variable of the environment that is not empty.
type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The N of `auto/N`, or of the array job where `auto` stands alone.
fn parts_of_auto(
    place: &str,
    text: &str,
    parts: &str,
    variable: &Variable<'_>,
) -> Result<u32, UsageError> {
    let size = variable(SIZE)
        .map(|size| value::whole(SIZE, &size, 1, SLOTS.into()))
        .transpose()?;
    let size = size.and_then(|size| u32::try_from(size).ok());
    if text.contains('/') {
        let parts = number(place, text, parts)?;
        return match size {
            _ if parts == 0 || parts > SLOTS.into() => Err(out_of_range(place)),
            // Fewer children than shards would leave keys behind, without a word.
            Some(size) if size != parts => Err(UsageError::new(
                place,
                format!("is for {parts} shards, and {SIZE} says {size}"),
            )),
            _ => Ok(parts),
        };
    }
    size.ok_or_else(|| {
        UsageError::new(
            place,
            format!("auto needs the number of shards, as auto/3, where {SIZE} does not tell it"),
        )
    })
}

/// This job's index, from 0, of so many.
fn index(place: &str, parts: u32, variable: &Variable<'_>) -> Result<u32, UsageError> {
    let mut set = INDEXES
        .into_iter()
        .filter_map(|name| Some((name, variable(name)?)));
    let Some((name, text)) = set.next() else {
        return Err(UsageError::new(
            place,
            format!(
                "auto takes the index of a job from {}, and neither is set; elsewhere write I/N, as 2/3",
                INDEXES.join(" or ")
            ),
        ));
    };
    if let Some((other, _)) = set.next().filter(|(_, other)| *other != text) {
        return Err(UsageError::new(
            name,
            format!("says another index than {other}; write I/N, as 2/3"),
        ));
    }
    let index = value::whole_u32(name, &text, 0)?;
    if index >= parts {
        let last = parts - 1;
        return Err(UsageError::new(
            name,
            format!("is {index}, but of {parts} shards the last has index {last}"),
        ));
    }
    Ok(index)
}

fn number(place: &str, text: &str, part: &str) -> Result<u32, UsageError> {
    part.trim().parse().map_err(|_| {
        UsageError::new(
            place,
            format!("'{text}' is none of I/N (2/4 is the second of four), auto/N and auto"),
        )
    })
}

fn out_of_range(place: &str) -> UsageError {
    UsageError::new(
        place,
        format!("N is a number from 1 to {SLOTS}, and I one from 1 to N"),
    )
}

/// The slots of the I-th of N, which are from 1 to N and from 1 to the number of slots.
fn range(part: u32, parts: u32) -> (u16, u16) {
    let before = |part: u32| {
        let slots = part * u32::from(SLOTS) / parts;
        u16::try_from(slots).unwrap_or(SLOTS)
    };
    (before(part - 1), before(part) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBERNETES: (&str, &str) = ("JOB_COMPLETION_INDEX", "1");
    const BATCH: [(&str, &str); 2] = [
        ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
        ("AWS_BATCH_JOB_ARRAY_SIZE", "2"),
    ];

    fn resolve_in(
        typed: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<(Option<Shard>, Vec<String>), String> {
        let surroundings = Surroundings {
            environment: &|name| {
                let found = environment.iter().find(|(known, _)| *known == name)?;
                Some(found.1.to_owned())
            },
            terminal: false,
            ask: &|_| Err(std::io::Error::other("no tty")),
        };
        let mut notices = Vec::new();
        resolve(typed, &surroundings, &mut notices)
            .map(|shard| (shard, notices))
            .map_err(|error| error.to_string())
    }

    fn slots(typed: Option<&str>, environment: &[(&str, &str)]) -> Option<(u16, u16)> {
        let (shard, _) = resolve_in(typed, environment).unwrap();
        shard.map(|shard| shard.slots)
    }

    #[test]
    fn shards_cover_every_slot_once() {
        for parts in [1, 2, 3, 7, 100, 16_384] {
            let mut next = 0;
            for part in 1..=parts {
                let (first, last) = slots(Some(&format!("{part}/{parts}")), &[]).unwrap();
                assert_eq!(first, next);
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn a_job_s_index_is_counted_from_zero() {
        for (text, environment, expected) in [
            ("auto/3", &[KUBERNETES][..], (5461, 10_921)),
            ("AUTO/2", &[KUBERNETES], (8192, 16_383)),
            (" auto / 3 ", &[KUBERNETES], (5461, 10_921)),
            ("auto/2", &BATCH, (8192, 16_383)),
            ("auto", &BATCH, (8192, 16_383)),
            ("auto", &[BATCH[1], KUBERNETES], (8192, 16_383)),
            ("auto/3", &[BATCH[0]], (5461, 10_921)),
            ("auto/3", &[KUBERNETES, BATCH[0]], (5461, 10_921)),
            ("auto/1", &[("JOB_COMPLETION_INDEX", "0")], (0, 16_383)),
            (
                "auto/3",
                &[("JOB_COMPLETION_INDEX", ""), BATCH[0]],
                (5461, 10_921),
            ),
            // What is not asked for is not looked at.
            ("1/3", &[("JOB_COMPLETION_INDEX", "x"), BATCH[1]], (0, 5460)),
        ] {
            assert_eq!(
                slots(Some(text), environment),
                Some(expected),
                "{text} {environment:?}"
            );
        }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        assert_eq!(slots(None, &[KUBERNETES, BATCH[0]]), None);
        assert_eq!(slots(None, &[("RIOT_SHARD", "")]), None);
        assert_eq!(slots(None, &[("RIOT_SHARD", "1/2")]), Some((0, 8191)));
        let environment = [("RIOT_SHARD", "auto/3"), KUBERNETES];
        assert_eq!(slots(None, &environment), Some((5461, 10_921)));
        assert_eq!(slots(Some("1/2"), &environment), Some((0, 8191)));
        assert_eq!(
            slots(Some("1/2"), &[("RIOT_SHARD", "nonsense")]),
            Some((0, 8191))
        );
    }

    #[test]
    fn what_the_command_line_does_not_show_is_told() {
        for (typed, environment, notice) in [
            (Some("2/3"), &[][..], None),
            (
                Some("auto/3"),
                &[KUBERNETES],
                Some("--shard: this run is shard 2/3, slots 5461-10921"),
            ),
            (
                None,
                &[("RIOT_SHARD", "1/2")],
                Some("RIOT_SHARD: this run is shard 1/2, slots 0-8191"),
            ),
        ] {
            let (_, notices) = resolve_in(typed, environment).unwrap();
            assert_eq!(notices.first().map(String::as_str), notice, "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_shard_is_named_by_the_place_where_it_stands() {
        let error = |typed, environment: &[(&str, &str)]| {
            resolve_in(typed, environment).map(|_| ()).unwrap_err()
        };
        for text in [
            "",
            "1",
            "a/b",
            "1/2/3",
            "auto/",
            "auto/x",
            "auto/3/4",
            "automatic",
            "1/-2",
        ] {
            assert_eq!(
                error(Some(text), &[KUBERNETES]),
                format!(
                    "--shard: '{text}' is none of I/N (2/4 is the second of four), auto/N and auto"
                ),
            );
        }
        for text in ["0/2", "3/2", "1/0", "1/16385", "auto/0", "auto/16385"] {
            assert_eq!(
                error(None, &[("RIOT_SHARD", text), KUBERNETES]),
                "RIOT_SHARD: N is a number from 1 to 16384, and I one from 1 to N",
                "{text}"
            );
        }
    }

    #[test]
    fn an_index_that_is_missing_or_wrong_names_its_variable() {
        let index = |text| [("JOB_COMPLETION_INDEX", text)];
        let errors: Vec<_> = [
            (Some("auto/3"), &[][..]),
            (None, &[("RIOT_SHARD", "auto/3")]),
            (Some("auto"), &[KUBERNETES]),
            (Some("auto"), &[BATCH[0]]),
            (Some("auto"), &[BATCH[1]]),
            (Some("auto/3"), &index("3")),
            (Some("auto/3"), &index("-1")),
            (Some("auto/3"), &index("one")),
            (Some("auto/3"), &index("99999999999")),
            (Some("auto/3"), &[("AWS_BATCH_JOB_ARRAY_INDEX", "7")]),
            (Some("auto/3"), &BATCH),
            (Some("auto"), &[BATCH[0], ("AWS_BATCH_JOB_ARRAY_SIZE", "0")]),
            (
                Some("auto/3"),
                &[KUBERNETES, ("AWS_BATCH_JOB_ARRAY_INDEX", "2")],
            ),
        ]
        .into_iter()
        .map(|(typed, environment)| resolve_in(typed, environment).unwrap_err())
        .collect();
        insta::assert_snapshot!(errors.join("\n"), @"
        --shard: auto takes the index of a job from JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX, and neither is set; elsewhere write I/N, as 2/3
        RIOT_SHARD: auto takes the index of a job from JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX, and neither is set; elsewhere write I/N, as 2/3
        --shard: auto needs the number of shards, as auto/3, where AWS_BATCH_JOB_ARRAY_SIZE does not tell it
        --shard: auto needs the number of shards, as auto/3, where AWS_BATCH_JOB_ARRAY_SIZE does not tell it
        --shard: auto takes the index of a job from JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX, and neither is set; elsewhere write I/N, as 2/3
        JOB_COMPLETION_INDEX: is 3, but of 3 shards the last has index 2
        JOB_COMPLETION_INDEX: '-1' is no whole number
        JOB_COMPLETION_INDEX: 'one' is no whole number
        JOB_COMPLETION_INDEX: must be from 0 to 4294967295
        AWS_BATCH_JOB_ARRAY_INDEX: is 7, but of 3 shards the last has index 2
        --shard: is for 3 shards, and AWS_BATCH_JOB_ARRAY_SIZE says 2
        AWS_BATCH_JOB_ARRAY_SIZE: must be from 1 to 16384
        JOB_COMPLETION_INDEX: says another index than AWS_BATCH_JOB_ARRAY_INDEX; write I/N, as 2/3
        ");
    }
}
