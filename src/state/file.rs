//! The file: one run at a time, and always whole, whatever becomes of the run or the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A locked state file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Beside it: what is written next.
    draft: PathBuf,
    folder: PathBuf,
    /// What is behind the path now; the lock is on it.
    held: File,
}

impl StateFile {
    /// Opens a file that no other run has; one that is not there is made. Its text comes too, unless it is empty. The words of
    /// an error say what to do.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), String> {
        let name = path
            .file_name()
            .ok_or_else(|| "it is no name of a file".to_owned())?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut draft = name.to_owned();
        draft.push(".tmp");
        let mut held = lock(path)?;
        let mut text = String::new();
        held.read_to_string(&mut text)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        let file = Self {
            draft: folder.join(draft),
            path: path.to_owned(),
            folder,
            held,
        };
        Ok((file, Some(text).filter(|text| !text.trim().is_empty())))
    }

    /// Replaces the text. Whenever the run or the machine stops, the one or the other is there, whole.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let mut new = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.draft)?;
        // What stands behind the path is always locked.
        flock(&new, FlockOperation::NonBlockingLockExclusive)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&self.draft, &self.path)?;
        self.held = new;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes the file.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Opens and locks what is behind a path.
fn lock(path: &Path) -> Result<File, String> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| format!("it cannot be opened for writing: {error}"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(
                    "another run of riot uses it: wait for its end, or give each its own"
                        .to_owned(),
                );
            }
            Err(error) => return Err(format!("it cannot be locked: {error}")),
        }
        // The run that had it may have replaced or removed it in between.
        let opened = file.metadata();
        let there = fs::metadata(path);
        if let (Ok(opened), Ok(there)) = (opened, there)
            && (opened.dev(), opened.ino()) == (there.dev(), there.ino())
        {
            return Ok(file);
        }
    }
}
