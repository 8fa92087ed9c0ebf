//! A file of the spool: a sequence of records, each with a header and an envelope. The first byte of a header is the
//! state of the record, so that discarding an envelope is a write of one byte.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::record_header::{DISCARDED, HEADER_BYTES, RecordHeader};

/// A file with envelopes. Only the thread that holds the spool's lock writes to it.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    /// The open file, while the segment is written to. There may be thousands of segments with waiting envelopes, more
    /// than a process may have open files.
    file: Mutex<Option<Arc<File>>>,
    size: AtomicU64,
    /// The number of records that are not discarded.
    live_records: AtomicU32,
    /// The number of bytes that have been synced to the disk.
    synced: AtomicU64,
}

/// The position of an envelope on disk.
#[derive(Debug)]
pub struct Record {
    segment: Arc<Segment>,
    /// The offset of the header in the file.
    offset: u64,
    /// The length of the envelope in bytes.
    length: u32,
    /// The CRC-32 of the envelope.
    checksum: u32,
}

/// A segment that an earlier process left, with its live records.
pub struct LoadedSegment {
    pub segment: Arc<Segment>,
    pub records: Vec<(RecordHeader, Record)>,
}

/// The contents of a file that an earlier process left.
pub enum LoadedFile {
    /// A segment with its live records.
    Segment(LoadedSegment),
    /// The file is empty or has the beginning of [`MAGIC`]: the process that created it ended before it wrote a record.
    Incomplete,
    /// Something else, which this version cannot read.
    UnknownFormat,
}

/// The first bytes of a file: the name of the format, and its version.
const MAGIC: &[u8; 8] = b"sntspl\0\x01";

impl Segment {
    /// Creates a new file, readable by its owner only.
    ///
    /// # Errors
    ///
    /// Returns an error if the file exists, or cannot be created or written to.
    pub fn create(path: PathBuf) -> io::Result<Arc<Self>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let result = file.write_all_at(MAGIC, 0);
        if result.is_err() {
            _ = std::fs::remove_file(&path);
        }
        result.map(|()| {
            let synced = AtomicU64::new(0);
            Arc::new(Self { synced, ..Self::new(path, Some(file.into()), MAGIC.len() as u64, 0) })
        })
    }

    /// Loads the complete records of a file that an earlier process left.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn load(path: PathBuf) -> io::Result<LoadedFile> {
        let mut bytes = Vec::new();
        open(&path)?.read_to_end(&mut bytes)?;
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            return Ok(LoadedFile::Incomplete);
        }
        if !bytes.starts_with(MAGIC) {
            return Ok(LoadedFile::UnknownFormat);
        }
        let size = bytes.len() as u64;
        let mut live = Vec::new();
        let mut offset = MAGIC.len();
        let mut skipped_bytes = 0;
        while offset < bytes.len() {
            let header = bytes[offset..].first_chunk::<HEADER_BYTES>().and_then(|bytes| RecordHeader::decode(*bytes));
            let header = header.map(|(header, is_live)| {
                let next = offset + HEADER_BYTES + header.length as usize;
                (header, is_live, next)
            });
            match header.filter(|(.., next)| *next <= bytes.len()) {
                Some((header, is_live, next)) => {
                    if is_live {
                        live.push((offset as u64, header));
                    }
                    offset = next;
                }
                // Searches for the next header. Text of an envelope cannot be mistaken for one: the second byte of a
                // header is a control character.
                None => (offset, skipped_bytes) = (offset + 1, skipped_bytes + 1),
            }
        }
        if skipped_bytes > 0 {
            tracing::warn!(
                file = %path.display(), bytes = skipped_bytes,
                "a file of the spool is damaged: skipped bytes that are not a complete record"
            );
        }
        let live_records = u32::try_from(live.len()).unwrap_or(u32::MAX);
        let segment = Arc::new(Self::new(path, None, size, live_records));
        let records = live.into_iter().map(|(offset, header)| {
            let record = segment.record(offset, &header);
            (header, record)
        });
        let records = records.collect();
        Ok(LoadedFile::Segment(LoadedSegment { segment, records }))
    }

    fn new(path: PathBuf, file: Option<Arc<File>>, size: u64, live_records: u32) -> Self {
        let live_records = live_records.into();
        Self { path, file: file.into(), size: size.into(), live_records, synced: size.into() }
    }

    /// Appends an envelope completely, or not at all if there is an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the envelope has 4 GiB or more, or the file cannot be opened or written to.
    pub fn append(self: &Arc<Self>, header: &RecordHeader, envelope: &[u8]) -> io::Result<Record> {
        let offset = self.size();
        let bytes = [&header.encode(), envelope].concat();
        let file = self.file()?;
        if let Err(error) = file.write_all_at(&bytes, offset) {
            // On a full disk, the beginning of the record may have been written.
            _ = file.set_len(offset);
            return Err(error);
        }
        self.size.store(offset + bytes.len() as u64, Ordering::Relaxed);
        self.live_records.fetch_add(1, Ordering::Relaxed);
        Ok(self.record(offset, header))
    }

    fn record(self: &Arc<Self>, offset: u64, header: &RecordHeader) -> Record {
        Record { segment: Arc::clone(self), offset, length: header.length, checksum: header.checksum }
    }

    /// Closes the file, once nothing more is written to it.
    pub fn close(&self) {
        *self.file.lock() = None;
    }

    fn file(&self) -> io::Result<Arc<File>> {
        let file = self.file.lock().clone();
        file.map_or_else(|| open(&self.path).map(Arc::new), Ok)
    }

    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Returns true if all records are discarded, or there are none.
    pub fn has_no_live_records(&self) -> bool {
        self.live_records.load(Ordering::Relaxed) == 0
    }

    /// Returns true if there are live records, and something was written since the last sync.
    pub fn is_unsynced(&self) -> bool {
        !self.has_no_live_records() && self.synced.load(Ordering::Relaxed) < self.size()
    }

    /// Syncs everything that was written so far to the disk, and blocks until that is done.
    ///
    /// # Errors
    ///
    /// Returns an error if the file or its directory cannot be opened or synced.
    pub fn sync(&self) -> io::Result<()> {
        let size = self.size();
        self.file()?.sync_data()?;
        // The first sync includes the directory: a file whose directory entry is not on the disk is lost in a crash.
        if self.synced.load(Ordering::Relaxed) == 0 {
            self.path.parent().map(File::open).transpose()?.map(|directory| directory.sync_all()).transpose()?;
        }
        self.synced.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// Removes all records from the file. Must be called only if it has no live records.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened or truncated.
    pub fn clear(&self) -> io::Result<()> {
        self.file()?.set_len(MAGIC.len() as u64)?;
        self.size.store(MAGIC.len() as u64, Ordering::Relaxed);
        self.synced.fetch_min(MAGIC.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes the file.
    pub fn delete(&self) {
        // If this fails, the next start deletes the file, since it has no live records.
        _ = std::fs::remove_file(&self.path);
    }
}

impl Record {
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Returns the length of the envelope in bytes.
    pub fn length(&self) -> u64 {
        self.length.into()
    }

    /// Reads the envelope's bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, and one of the kind [`io::ErrorKind::InvalidData`] if the bytes
    /// have changed.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        self.segment.file()?.read_exact_at(&mut bytes, self.offset + HEADER_BYTES as u64)?;
        if crc32fast::hash(&bytes) == self.checksum {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"))
        }
    }

    /// Marks the record as discarded.
    pub fn discard(&self) {
        // If this fails, the envelope is sent again after the next start. Sentry recognises it by its event id and
        // ignores it.
        _ = self.segment.file().and_then(|file| file.write_all_at(&[DISCARDED], self.offset));
        self.segment.live_records.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}
