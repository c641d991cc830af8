//! Whether strings travel as payloads: DUMP compresses what it answers, which is worth its time where a link is slower than
//! the servers.
//!
//! MGET and MSET cost the servers least, so a run begins with them. Where both servers have time to spare while keys still
//! come, the link is what is waited for; then a part of the strings is read by DUMP, which tells what the others would be
//! as payloads. Where that is little, all are read so for a few seconds, and it stays so if more arrive than before.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use tracing::debug;

use crate::shape::Guess;

/// Strings that are worth asking for in the other form: shorter ones are not compressed, longer ones hold the source up.
const SIZES: std::ops::RangeInclusive<u32> = 100..=64 * 1024;
/// One string in so many is read in the other form, so that both are known.
const SAMPLED: u64 = 8;
/// Bytes of a string's command that are not its value, by MSET and by RESTORE.
const AROUND: (u64, u64) = (20, 70);
/// Samples of either form that say enough.
const ENOUGH: u64 = 64;
/// Payloads must be smaller than this part of the strings.
const SMALLER: f64 = 0.8;
/// And are not worth their time from this part on.
const LARGER: f64 = 0.9;
/// A server that is busy for less than this share of a core has time to spare.
const IDLE: f64 = 0.6;
/// One that is busy for more is what is waited for.
const BUSY: f64 = 0.9;
/// Looks in a row that must say the same.
const SURE: u32 = 4;
/// Looks of a trial that do not count: what was asked for before is still arriving.
const SETTLING: u32 = 4;
/// Looks of a trial that count.
const TRIED: u32 = 6;
/// How much faster a trial must be.
const GAIN: f64 = 1.1;
/// Looks without a try after one that did not help.
const REST: u32 = 240;

/// What the read lanes go by, and what they have seen.
#[derive(Debug, Default)]
pub struct Packing {
    form: AtomicU8,
    /// All strings, of whatever size.
    all: AtomicU64,
    /// Those that may go either way, by how they went.
    texts: Seen,
    payloads: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    strings: AtomicU64,
    bytes: AtomicU64,
}

impl Seen {
    fn add(&self, strings: u64, bytes: u64) {
        if strings > 0 {
            self.strings.fetch_add(strings, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
        }
    }

    fn now(&self) -> (u64, u64) {
        (self.strings.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// In which form strings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
enum Form {
    /// By MGET.
    #[default]
    Texts,
    /// Some by DUMP.
    Samples,
    /// Most by DUMP.
    Payloads,
}

/// Strings that were read of a batch, by form.
#[derive(Debug, Default)]
pub struct Strings {
    all: u64,
    texts: (u64, u64),
    payloads: (u64, u64),
}

impl Strings {
    /// One more, of so many bytes; one that could have gone the other way `counts`.
    pub fn add(&mut self, is_text: bool, bytes: usize, counts: bool) {
        self.all += 1;
        if !counts {
            return;
        }
        let form = if is_text {
            &mut self.texts
        } else {
            &mut self.payloads
        };
        form.0 += 1;
        form.1 += bytes as u64;
    }
}

impl Packing {
    /// Whether a string that this is guessed of is read as a payload. `road` tells keys apart.
    #[must_use]
    pub fn takes(&self, guess: Guess, road: u64) -> bool {
        let form = self.form.load(Relaxed);
        if form == Form::Texts as u8 || !Self::suits(guess) {
            return false;
        }
        let sampled = (road >> 7).is_multiple_of(SAMPLED);
        sampled != (form == Form::Payloads as u8)
    }

    /// Whether a string that this is guessed of may go either way.
    #[must_use]
    pub fn suits(guess: Guess) -> bool {
        guess.text && guess.known && SIZES.contains(&guess.bytes)
    }

    /// Whether a string that came as a payload goes on as one.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.form.load(Relaxed) != Form::Texts as u8
    }

    /// Strings were read.
    pub fn saw(&self, strings: &Strings) {
        self.all.fetch_add(strings.all, Relaxed);
        self.texts.add(strings.texts.0, strings.texts.1);
        self.payloads.add(strings.payloads.0, strings.payloads.1);
    }

    fn set(&self, form: Form) {
        self.form.store(form as u8, Relaxed);
    }
}

/// Decides, look by look.
#[derive(Debug, Default)]
pub struct Judge {
    form: Form,
    /// Looks in this form.
    looks: u32,
    /// Looks in a row in which the servers had time to spare, or none.
    idle: u32,
    busy: u32,
    rest: u32,
    /// Strings a second before a trial, and in it.
    before: f64,
    rate: f64,
    /// What was seen when this form began, or when it was last weighed: strings and bytes of both forms.
    texts: (u64, u64),
    payloads: (u64, u64),
    strings: u64,
    proved: bool,
}

impl Judge {
    /// A look after `seconds`, in which the busier server was busy for this share of a core; `None` where neither says, or the
    /// run waits for nothing but changes.
    pub fn look(&mut self, packing: &Packing, busy: Option<f64>, seconds: f64) {
        let strings = packing.all.load(Relaxed);
        let rate = (strings - self.strings) as f64 / seconds.max(1e-3);
        self.strings = strings;
        let idle = busy.is_some_and(|busy| busy < IDLE) && rate > 0.0;
        self.idle = if idle { self.idle + 1 } else { 0 };
        let busy = busy.is_some_and(|busy| busy > BUSY);
        self.busy = if busy { self.busy + 1 } else { 0 };
        self.looks += 1;
        let next = match self.form {
            Form::Texts => self.look_at_texts(rate),
            Form::Samples => self.look_at_samples(packing, rate),
            Form::Payloads if self.proved => self.look_at_payloads(packing),
            Form::Payloads => self.look_at_trial(rate),
        };
        if next != self.form {
            self.form = next;
            self.looks = 0;
            self.proved = false;
            self.idle = 0;
            self.begin(packing);
            packing.set(next);
        }
    }

    fn begin(&mut self, packing: &Packing) {
        self.texts = packing.texts.now();
        self.payloads = packing.payloads.now();
    }

    /// What a payload takes of what a string does, by what was seen since; `None`: too few were.
    fn ratio(&self, packing: &Packing) -> Option<f64> {
        let mean = |now: (u64, u64), then: (u64, u64), around: u64| {
            let strings = now.0 - then.0;
            (strings >= ENOUGH).then(|| (now.1 - then.1) as f64 / strings as f64 + around as f64)
        };
        let text = mean(packing.texts.now(), self.texts, AROUND.0)?;
        Some(mean(packing.payloads.now(), self.payloads, AROUND.1)? / text)
    }

    fn look_at_texts(&mut self, rate: f64) -> Form {
        if self.rest > 0 {
            self.rest -= 1;
            return Form::Texts;
        }
        self.before = rate;
        if self.idle >= SURE {
            Form::Samples
        } else {
            Form::Texts
        }
    }

    fn look_at_samples(&mut self, packing: &Packing, rate: f64) -> Form {
        // A sample costs next to nothing: this is as fast as before.
        self.before = f64::midpoint(self.before, rate);
        if self.idle == 0 {
            return Form::Texts;
        }
        match self.ratio(packing) {
            Some(ratio) if ratio < SMALLER => {
                self.rate = 0.0;
                Form::Payloads
            }
            Some(ratio) => self.stay_at(ratio),
            None if self.looks > REST => self.stay("few of them are of a size that is compressed"),
            None => Form::Samples,
        }
    }

    fn look_at_trial(&mut self, rate: f64) -> Form {
        if self.looks <= SETTLING {
            return Form::Payloads;
        }
        self.rate += rate / f64::from(TRIED);
        if self.looks < SETTLING + TRIED {
            return Form::Payloads;
        }
        let times = self.rate / self.before.max(1.0);
        if times < GAIN {
            return self.stay(&format!("by DUMP {times:.2} times as many arrive"));
        }
        self.proved = true;
        debug!(
            "strings are read by DUMP and written by RESTORE: the link is slower than the servers, and compressed {times:.2} times as many arrive"
        );
        Form::Payloads
    }

    fn look_at_payloads(&mut self, packing: &Packing) -> Form {
        if self.busy > SURE {
            return self.stay("a server is busy all the time");
        }
        match self.ratio(packing) {
            Some(ratio) if ratio > LARGER => self.stay_at(ratio),
            Some(_) => {
                self.begin(packing);
                Form::Payloads
            }
            None => Form::Payloads,
        }
    }

    fn stay_at(&mut self, ratio: f64) -> Form {
        let percent = ratio * 100.0;
        self.stay(&format!("payloads have {percent:.0} % of their bytes"))
    }

    fn stay(&mut self, why: &str) -> Form {
        debug!("strings are read by MGET: {why}");
        self.rest = REST;
        Form::Texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESS: Guess = Guess {
        text: true,
        bytes: 1000,
        known: true,
        even: false,
        plain: false,
        unlike: false,
    };

    /// A run whose link takes so many bytes a look, with strings of 1,000 bytes and payloads of `payload`.
    struct Run {
        packing: Packing,
        judge: Judge,
        link: u64,
        payload: u64,
        road: u64,
    }

    impl Run {
        fn new(link: u64, payload: u64) -> Self {
            Self {
                packing: Packing::default(),
                judge: Judge::default(),
                link,
                payload,
                road: 0,
            }
        }

        /// So many looks; `busy` of a server that does nothing but what is read: it tells what a payload costs it.
        fn looks(&mut self, looks: u32, busy: f64) {
            for _ in 0..looks {
                let mut left = self.link;
                loop {
                    self.road += 1 << 7;
                    let packed = self.packing.takes(GUESS, self.road);
                    let bytes = if packed { self.payload } else { 1000 };
                    let Some(rest) = left.checked_sub(bytes) else {
                        break;
                    };
                    left = rest;
                    let mut strings = Strings::default();
                    strings.add(!packed, usize::try_from(bytes).unwrap(), true);
                    self.packing.saw(&strings);
                }
                self.judge.look(&self.packing, Some(busy), 0.5);
            }
        }
    }

    #[test]
    fn on_a_slow_link_strings_that_are_compressed_go_as_payloads() {
        let mut run = Run::new(2_000_000, 300);
        run.looks(30, 0.1);
        assert_eq!(run.judge.form, Form::Payloads);
        assert!(run.judge.proved);
        run.looks(500, 0.2);
        assert_eq!(run.judge.form, Form::Payloads);
    }

    #[test]
    fn strings_that_are_not_compressed_stay_as_they_are() {
        let mut run = Run::new(2_000_000, 1010);
        run.looks(30, 0.1);
        assert_eq!(run.judge.form, Form::Texts);
        assert!(run.packing.payloads.now().0 < 1000);
    }

    #[test]
    fn nothing_is_tried_while_a_server_is_what_is_waited_for() {
        let mut run = Run::new(2_000_000, 300);
        run.looks(100, 0.8);
        assert_eq!(run.packing.payloads.now().0, 0);
    }

    #[test]
    fn a_trial_that_brings_nothing_ends() {
        let mut run = Run::new(2_000_000, 300);
        run.looks(4, 0.1);
        while run.judge.form != Form::Payloads {
            run.looks(1, 0.1);
        }
        run.link = 600_000;
        run.looks(10, 0.5);
        assert_eq!(run.judge.form, Form::Texts);
        run.looks(50, 0.1);
        assert_eq!(run.judge.form, Form::Texts);
    }

    #[test]
    fn values_that_change_are_seen() {
        let mut run = Run::new(2_000_000, 300);
        run.looks(30, 0.1);
        run.payload = 1010;
        run.looks(10, 0.1);
        assert_eq!(run.judge.form, Form::Texts);
    }

    #[test]
    fn a_server_that_is_busy_ends_it() {
        let mut run = Run::new(2_000_000, 300);
        run.looks(30, 0.1);
        assert_eq!(run.judge.form, Form::Payloads);
        run.looks(5, 0.95);
        assert_eq!(run.judge.form, Form::Texts);
    }
}
