//! A printer whose terminal and streams are in memory, for tests here and of logging.

use indicatif::{InMemoryTerm, TermLike as _};

use super::*;

/// A stream whose text can be read back.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error where it is the terminal that the bars are on.
struct OnTerminal(InMemoryTerm);

impl Write for OnTerminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A terminal driver turns LF into CR LF.
        self.0
            .write_str(&String::from_utf8_lossy(bytes).replace('\n', "\r\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A printer and what came out of it.
pub(crate) struct Seen {
    pub(crate) printer: Printer,
    pub(crate) terminal: InMemoryTerm,
    pub(crate) out: Kept,
    pub(crate) err: Kept,
}

/// A printer of these settings on a terminal of 120 columns, or off a terminal where they have no bar.
pub(crate) fn printer(console: &Console) -> Seen {
    let terminal = InMemoryTerm::new(20, 120);
    let (out, err) = (Kept::default(), Kept::default());
    let target = match console.progress {
        Progress::Log | Progress::None => ProgressDrawTarget::hidden(),
        _ => ProgressDrawTarget::term_like(Box::new(terminal.clone())),
    };
    let on_terminal: Box<dyn Write + Send> = if target.is_hidden() {
        Box::new(err.clone())
    } else {
        Box::new(OnTerminal(terminal.clone()))
    };
    let printer = Printer::on(
        console,
        target,
        Box::new(|| 120),
        false,
        Box::new(out.clone()),
        on_terminal,
    );
    Seen {
        printer,
        terminal,
        out,
        err,
    }
}
