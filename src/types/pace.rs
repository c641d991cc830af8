//! How many elements one command may ask for, so that its answer is about a chunk.

/// What an element costs beside its own bytes: its header on the wire, its place in memory.
const OVERHEAD: usize = 40;
/// Bytes of an element where nothing is known of it.
const UNKNOWN: usize = 4096;
/// Most elements of the first command: what was told of the size may be compressed.
const FIRST: usize = 1000;
/// How much faster each command may be than the one before.
const GROWTH: usize = 4;

/// Elements a command, from what is known of their size and what was seen of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    chunk: usize,
    each: usize,
    most: usize,
    whole: bool,
    ceiling: usize,
}

impl Pace {
    /// For `len` elements of `bytes` together (0 is unknown), about `chunk` bytes an answer.
    pub(super) fn new(bytes: usize, len: usize, chunk: usize) -> Self {
        let each = if bytes == 0 {
            UNKNOWN
        } else {
            bytes / len.max(1)
        };
        let each = each + OVERHEAD;
        let whole = each.saturating_mul(len) <= chunk;
        Self {
            chunk,
            each,
            most: if whole { len.max(1) } else { FIRST },
            whole,
            ceiling: usize::MAX,
        }
    }

    /// The same with so many elements a command at most.
    pub(super) fn at_most(self, ceiling: usize) -> Self {
        Self { ceiling, ..self }
    }

    /// Whether all of it is expected to fit into one answer.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Elements to ask for.
    pub(super) fn count(&self) -> usize {
        (self.chunk / self.each).clamp(1, self.most.min(self.ceiling).max(1))
    }

    /// Bytes that the answer is expected to have.
    pub(super) fn weight(&self) -> usize {
        self.count().saturating_mul(self.each)
    }

    /// What an answer held.
    pub(super) fn learn(&mut self, elements: usize, bytes: usize) {
        if let Some(each) = bytes.checked_div(elements) {
            self.each = each + OVERHEAD;
            self.most = self.most.saturating_mul(GROWTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_whole() {
        let pace = Pace::new(300, 10, 1 << 20);
        assert!(pace.is_whole());
        assert_eq!((pace.count(), pace.weight()), (10, 700));
    }

    #[test]
    fn large_values_begin_slowly_and_never_stop() {
        let mut pace = Pace::new(20_000_000, 1_000_000, 1 << 20);
        assert!(!pace.is_whole());
        assert_eq!(pace.count(), 1000);
        pace.learn(1000, 20_000);
        assert_eq!(pace.count(), 4000);
        pace.learn(1, 1 << 30);
        assert_eq!(pace.count(), 1);
    }
}
