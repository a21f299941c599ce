//! An archive as a file: read once to judge it, and then in the order in which it is imported.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::digest::{Digest, bytes};
use super::{ArchiveError, End, FORMAT, Head, Line, PlaceLine};

/// Bytes of the longest line: a record of the most bytes, each of them escaped.
const LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A file that is known to be a whole archive.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    head: Head,
    end: End,
    /// Where each line is that brings a key or an entry, in the order of creation.
    index: Vec<At>,
    places: Vec<PlaceLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    created: u64,
    offset: u64,
}

/// A key or an entry to import.
pub(super) enum Brought {
    Key { key: String, value: Bytes },
    Entry { log: String, value: Bytes },
}

/// Reads lines, and knows where it is.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    offset: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ArchiveError> {
        let io = |source| ArchiveError::Io { action: "open", path: path.into(), source };
        let reader = BufReader::new(File::open(path).map_err(io)?);
        Ok(Self { path: path.into(), reader, number: 0, offset: 0 })
    }

    fn damaged(&self, why: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { path: self.path.clone(), line: self.number, why: why.into() }
    }

    /// The next line, and where it begins.
    fn next(&mut self) -> Result<Option<(u64, Line)>, ArchiveError> {
        let mut text = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text);
        let read = read.map_err(|source| ArchiveError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        self.number += 1;
        if read == 0 {
            return Ok(None);
        }
        if text.last() != Some(&b'\n') {
            return Err(self.damaged("it is cut off, or too long"));
        }
        let line =
            serde_json::from_slice(&text).map_err(|error| self.damaged(error.to_string()))?;
        let at = self.offset;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(Some((at, line)))
    }
}

impl Archive {
    /// Reads the whole file at `path`. Blocks on the disk.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Damaged`] or [`ArchiveError::Newer`].
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut lines = Lines::open(path)?;
        let Some((_, Line::Archive(head))) = lines.next()? else {
            return Err(lines.damaged("it does not say that it is an archive"));
        };
        if head.format > FORMAT {
            return Err(ArchiveError::Newer { path: path.into(), found: head.format });
        }
        let (mut index, mut places) = (Vec::new(), Vec::<PlaceLine>::new());
        let mut digest = Digest::default();
        let (mut keys, mut entries) = (0, 0);
        let end = loop {
            let Some((offset, line)) = lines.next()? else {
                return Err(lines.damaged("its last line is missing"));
            };
            match line {
                Line::Key(line) => {
                    let value = bytes(line.value).map_err(|why| lines.damaged(why))?;
                    digest.key(&line.key, &value);
                    index.push(At { created: line.created, offset });
                    keys += 1;
                }
                Line::Entry(line) => {
                    let value = bytes(line.value).map_err(|why| lines.damaged(why))?;
                    digest.entry(&line.log, &value);
                    index.push(At { created: line.created, offset });
                    entries += 1;
                }
                Line::Place(line) => {
                    digest.place(&line.key, &line.value, line.entries, line.index);
                    places.push(line);
                }
                Line::End(end) => break end,
                Line::Archive(_) => return Err(lines.damaged("it begins a second time")),
            }
        };
        if lines.next()?.is_some() {
            return Err(lines.damaged("it goes on after its end"));
        }
        let found = End {
            keys,
            entries,
            places: u64::try_from(places.len()).unwrap_or(u64::MAX),
            leased: end.leased,
            digest: digest.text(),
        };
        if found != end {
            let why = format!("its content is {}, and it says {}", found.digest, end.digest);
            return Err(lines.damaged(why));
        }
        index.sort_unstable();
        let file = lines.reader.into_inner();
        Ok(Self { path: path.into(), file, head, end, index, places })
    }

    /// What it holds.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// Revision of the store that it is of.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// Version of the program that wrote it.
    pub fn longshore(&self) -> &str {
        &self.head.longshore
    }

    pub(super) fn places(&self) -> &[PlaceLine] {
        &self.places
    }

    /// Number of keys and entries.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The keys and entries from the `first`th on, at most `count`, in the order of creation.
    pub(super) fn read(
        &mut self,
        first: usize,
        count: usize,
    ) -> Result<Vec<Brought>, ArchiveError> {
        let wanted = self.index.iter().skip(first).take(count).copied().collect::<Vec<_>>();
        wanted.into_iter().map(|at| self.read_at(at.offset)).collect()
    }

    fn read_at(&mut self, offset: u64) -> Result<Brought, ArchiveError> {
        let path = self.path.clone();
        let io = |source| ArchiveError::Io { action: "read", path: path.clone(), source };
        self.file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut text = Vec::new();
        let mut reader = BufReader::new(&self.file).take(LINE_BYTES);
        reader.read_until(b'\n', &mut text).map_err(io)?;
        let changed = || ArchiveError::Damaged {
            path: self.path.clone(),
            line: 0,
            why: "it was changed while it was imported".into(),
        };
        match serde_json::from_slice(&text).map_err(|_| changed())? {
            Line::Key(line) => {
                let value = bytes(line.value).map_err(|_| changed())?;
                Ok(Brought::Key { key: line.key, value })
            }
            Line::Entry(line) => {
                let value = bytes(line.value).map_err(|_| changed())?;
                Ok(Brought::Entry { log: line.log, value })
            }
            _ => Err(changed()),
        }
    }
}
