//! Commands on their way out: short arguments are copied into one buffer, long ones are sent from where they lie.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// From this length on, an argument is sent from its own memory: a copy costs more than one more piece in a writev.
pub(crate) const LONG: usize = 1000;
/// Pieces in one writev; the kernel takes 1,024, and more than this saves nothing.
pub(crate) const PIECES: usize = 512;

/// Encoded commands that are not yet with the kernel.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
}

impl Outgoing {
    /// Makes room for so many bytes more, so that a large batch is not moved as it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.tail.reserve(bytes);
    }

    /// Starts a command of `count` words, its name included.
    pub fn command(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// What is encoded already: the words of a command that are the same each time.
    pub fn encoded(&mut self, bytes: &[u8]) {
        match bytes.len() {
            8..=15 => self.halves::<8>(bytes),
            16..=31 => self.halves::<16>(bytes),
            _ => self.tail.extend_from_slice(bytes),
        }
    }

    /// One word.
    pub fn word(&mut self, word: &[u8]) {
        match word.len() {
            2..=3 => self.line::<2, 16>(word),
            4..=7 => self.line::<4, 16>(word),
            8..=15 => self.line::<8, 24>(word),
            16..=31 => self.line::<16, 40>(word),
            32..=63 => self.line::<32, 72>(word),
            64..=127 => {
                self.header(b'$', word.len());
                self.halves::<64>(word);
                self.tail.extend_from_slice(b"\r\n");
            }
            _ => {
                self.header(b'$', word.len());
                self.tail.extend_from_slice(word);
                self.tail.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A word of `N` bytes or up to twice as many, less one, with its header and its end: at most `M` bytes.
    fn line<const N: usize, const M: usize>(&mut self, word: &[u8]) {
        let start = self.tail.len();
        self.tail.extend_from_slice(&[b'$'; M]);
        let used = self
            .tail
            .get_mut(start..)
            .and_then(|room| encode::<N, M>(room.first_chunk_mut()?, word));
        self.tail.truncate(start + used.unwrap_or_default());
    }

    /// `N` to `2 N` bytes, by two copies of a fixed length: the compiler makes a few moves of them, where a call of the
    /// C library's memcpy costs more than all else that a short word needs.
    fn halves<const N: usize>(&mut self, word: &[u8]) {
        if let (Some(first), Some(last)) = (word.first_chunk::<N>(), word.last_chunk::<N>()) {
            let rest = word.len() - N;
            self.tail.extend_from_slice(first);
            self.tail.truncate(self.tail.len() - N + rest);
            self.tail.extend_from_slice(last);
        }
    }

    /// One word that may be long, and is then not copied.
    pub fn value(&mut self, word: &Bytes) {
        if word.len() < LONG {
            return self.word(word);
        }
        self.header(b'$', word.len());
        self.seal();
        self.pieces.push_back(word.clone());
        self.tail.extend_from_slice(b"\r\n");
    }

    /// The header of a word of `len` bytes, which follow by [`Outgoing::raw`] and end with [`Outgoing::end_value`].
    pub fn begin_value(&mut self, len: usize) {
        self.header(b'$', len);
    }

    /// Bytes of a word that was begun.
    pub fn raw(&mut self, bytes: Bytes) {
        self.seal();
        self.pieces.push_back(bytes);
    }

    /// The end of a word that was begun.
    pub fn end_value(&mut self) {
        self.tail.extend_from_slice(b"\r\n");
    }

    /// Bytes that are not with the kernel.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    /// A number as a word.
    pub fn number(&mut self, number: i64) {
        let mut digits = itoa::Buffer::new();
        self.word(digits.format(number).as_bytes());
    }

    /// A whole command of short words.
    pub fn words(&mut self, words: &[&[u8]]) {
        self.command(words.len());
        for word in words {
            self.word(word);
        }
    }

    /// WAIT for so many replicas, so many milliseconds.
    pub fn wait(&mut self, (replicas, millis): (u32, u64)) {
        let (replicas, millis) = (replicas.to_string(), millis.to_string());
        self.words(&[b"WAIT", replicas.as_bytes(), millis.as_bytes()]);
    }

    /// Whether all is with the kernel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.pieces.is_empty()
    }

    /// Makes what was encoded so far ready for [`Outgoing::gather`].
    pub(crate) fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// The first pieces, for one writev.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// The kernel took this many bytes.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some(first) = self.pieces.front_mut() else {
                return;
            };
            if first.len() > bytes {
                first.advance(bytes);
                return;
            }
            bytes -= first.len();
            self.pieces.pop_front();
        }
    }

    /// `$12\r\n`. Most numbers are short: copies of a fixed length are what the compiler turns into one store.
    fn header(&mut self, kind: u8, number: usize) {
        let digit = |unit: usize| b'0' + u8::try_from(number / unit % 10).unwrap_or_default();
        match number {
            0..=9 => self.tail.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
            10..=99 => {
                self.tail
                    .extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']);
            }
            100..=999 => {
                let line = [kind, digit(100), digit(10), digit(1), b'\r', b'\n'];
                self.tail.extend_from_slice(&line);
            }
            _ => {
                let mut digits = itoa::Buffer::new();
                self.tail.extend_from_slice(&[kind]);
                self.tail
                    .extend_from_slice(digits.format(number).as_bytes());
                self.tail.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Encodes a word of `N` to `2 N` bytes, fewer than a hundred, behind a `$` that is there already, and tells the bytes of all.
fn encode<const N: usize, const M: usize>(room: &mut [u8; M], word: &[u8]) -> Option<usize> {
    let len = word.len();
    let digit = |number: usize| b'0' + u8::try_from(number).unwrap_or_default();
    let head = if len < 10 {
        *room.get_mut(1..)?.first_chunk_mut()? = [digit(len), b'\r', b'\n'];
        4
    } else {
        *room.get_mut(1..)?.first_chunk_mut()? = [digit(len / 10), digit(len % 10), b'\r', b'\n'];
        5
    };
    *room.get_mut(head..)?.first_chunk_mut::<N>()? = *word.first_chunk()?;
    let end = head + len;
    *room.get_mut(end - N..)?.first_chunk_mut::<N>()? = *word.last_chunk()?;
    *room.get_mut(end..)?.first_chunk_mut()? = *b"\r\n";
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(out: &mut Outgoing) -> Vec<u8> {
        out.seal();
        let mut bytes = Vec::new();
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = out.gather(&mut slices);
            let taken = slices[..count]
                .first()
                .map_or(0, |slice| slice.len().div_ceil(2).max(1));
            bytes.extend_from_slice(&slices[0][..taken]);
            out.advance(taken);
        }
        bytes
    }

    #[test]
    fn commands_are_resp_arrays_of_bulk_strings() {
        let mut out = Outgoing::default();
        out.words(&[b"SET", b"k\r\n", b""]);
        out.encoded(b"*2\r\n");
        out.word(b"GET");
        out.number(-12);
        assert_eq!(
            all(&mut out),
            b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$3\r\n-12\r\n"
        );
    }

    #[test]
    fn words_of_every_length_arrive_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
        for len in 0..bytes.len() {
            let mut out = Outgoing::default();
            out.word(&bytes[..len]);
            let expected = [format!("${len}\r\n").as_bytes(), &bytes[..len], b"\r\n"].concat();
            assert_eq!(all(&mut out), expected);
        }
    }

    #[test]
    fn lengths_are_written_in_all_their_digits() {
        for number in [0, 7, 10, 99, 100, 507, 999, 1000, 16_383] {
            let mut out = Outgoing::default();
            out.command(number);
            assert_eq!(all(&mut out), format!("*{number}\r\n").as_bytes());
        }
    }

    #[test]
    fn long_values_come_in_their_place_however_the_kernel_takes_them() {
        let long = Bytes::from(vec![b'x'; LONG + 3]);
        let mut out = Outgoing::default();
        out.command(3);
        out.word(b"SET");
        out.word(b"k");
        out.value(&long);
        out.words(&[b"PING"]);
        let mut expected =
            format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", long.len()).into_bytes();
        expected.extend_from_slice(&long);
        expected.extend_from_slice(b"\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(all(&mut out), expected);
    }
}
