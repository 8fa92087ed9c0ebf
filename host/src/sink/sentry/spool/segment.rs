//! A file of the spool: envelopes one after the other, each under a header of its own. The header's first byte says
//! whether the envelope still counts, so that giving one up is a write of one byte. Knows bytes alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Place, SpooledEnvelope};
use crate::sink::sentry::envelope::Kind;

/// A file with envelopes. All writes are made by whoever holds the spool, one after the other.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    /// Open as long as it is written to: of those that wait there may be thousands, more than a process may have open.
    file: Mutex<Option<Arc<File>>>,
    size: AtomicU64,
    /// How many of its envelopes still count.
    live: AtomicU32,
    /// How much of it is sure to be on the disk.
    synced: AtomicU64,
}

/// Where an envelope is.
#[derive(Debug)]
pub struct Record {
    segment: Arc<Segment>,
    at: u64,
    length: u32,
    checksum: u32,
}

/// What a file of an earlier process holds.
pub struct Loaded {
    pub segment: Arc<Segment>,
    pub kept: Vec<SpooledEnvelope>,
}

/// What a file begins with: its format, and the version of that.
const MAGIC: &[u8; 8] = b"sntspl\0\x01";
/// Whether it counts, 1 byte; kind, 1; spans, 2; length of the envelope, 4; milliseconds since 1970, 8; checksum of the
/// envelope, 4; checksum of all of these but the first, 4. Numbers are little-endian.
const HEADER: usize = 24;
const COUNTS: u8 = b'+';
const GIVEN_UP: u8 = b'-';

impl Segment {
    /// A new file.
    ///
    /// # Errors
    /// When there can be none, or there is one.
    pub fn create(path: PathBuf) -> io::Result<Arc<Self>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let made = file.write_all_at(MAGIC, 0);
        if made.is_err() {
            _ = std::fs::remove_file(&path);
        }
        made.map(|()| {
            let synced = AtomicU64::new(0);
            Arc::new(Self { synced, ..Self::new(path, Some(file.into()), MAGIC.len() as u64, 0) })
        })
    }

    /// A file as an earlier process has left it, with those of its envelopes that are whole. None where it is not
    /// ours to read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(path: PathBuf) -> io::Result<Option<Loaded>> {
        let mut bytes = Vec::new();
        open(&path)?.read_to_end(&mut bytes)?;
        if bytes.len() < MAGIC.len() {
            // Whoever made it did not get so far as to write anything.
            _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        if !bytes.starts_with(MAGIC) {
            return Ok(None);
        }
        let size = bytes.len() as u64;
        let mut found = Vec::new();
        let mut at = MAGIC.len();
        let mut lost = 0;
        while at < bytes.len() {
            let header = bytes[at..].first_chunk::<HEADER>().and_then(|header| parse(*header));
            let entry = header.map(|(counts, entry)| (counts, at + HEADER + entry.length as usize, entry));
            match entry.filter(|(_, next, _)| *next <= bytes.len()) {
                Some((counts, next, entry)) => {
                    if counts {
                        found.push((at as u64, entry));
                    }
                    at = next;
                }
                // The next header, if there is one, cannot be mistaken: no text of ours has a byte such as its second.
                None => (at, lost) = (at + 1, lost + 1),
            }
        }
        if lost > 0 {
            tracing::warn!("{}: {lost} bytes in it are no whole envelope, and left out", path.display());
        }
        let live = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let segment = Arc::new(Self::new(path, None, size, live));
        let kept = found.into_iter().map(|(at, entry)| entry.kept(&segment, at)).collect();
        Ok(Some(Loaded { segment, kept }))
    }

    fn new(path: PathBuf, file: Option<Arc<File>>, size: u64, live: u32) -> Self {
        Self { path, file: file.into(), size: size.into(), live: live.into(), synced: size.into() }
    }

    /// Adds an envelope that came in then: all of it or nothing.
    pub fn append(
        self: &Arc<Self>,
        kind: Kind,
        spans: u32,
        envelope: &[u8],
        since: SystemTime,
    ) -> io::Result<SpooledEnvelope> {
        let at = self.size();
        let length = u32::try_from(envelope.len()).map_err(io::Error::other)?;
        let entry = Entry { kind, spans, length, since, checksum: crc32fast::hash(envelope) };
        let bytes = [&entry.header(), envelope].concat();
        let file = self.file()?;
        if let Err(error) = file.write_all_at(&bytes, at) {
            // Some of it may be there: on a full disk, as much as found room.
            _ = file.set_len(at);
            return Err(error);
        }
        self.size.store(at + bytes.len() as u64, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok(entry.kept(self, at))
    }

    /// Nothing more is written to it.
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

    /// Whether nothing in it counts any more.
    pub fn is_idle(&self) -> bool {
        self.live.load(Ordering::Relaxed) == 0
    }

    pub fn is_unsynced(&self) -> bool {
        !self.is_idle() && self.synced.load(Ordering::Relaxed) < self.size()
    }

    /// Brings what was written so far to the disk. Takes as long as the disk does.
    pub fn sync(&self) -> io::Result<()> {
        let size = self.size();
        self.file()?.sync_data()?;
        // Without its name, a file is as good as none.
        if self.synced.load(Ordering::Relaxed) == 0 {
            self.path.parent().map(File::open).transpose()?.map(|folder| folder.sync_all()).transpose()?;
        }
        self.synced.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// Begins anew, once nothing in it counts.
    pub fn clear(&self) -> io::Result<()> {
        self.file()?.set_len(MAGIC.len() as u64)?;
        self.size.store(MAGIC.len() as u64, Ordering::Relaxed);
        self.synced.fetch_min(MAGIC.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    pub fn remove(&self) {
        // A file that stays holds nothing that counts: it is taken away at the next start.
        _ = std::fs::remove_file(&self.path);
    }
}

impl Record {
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The envelope's bytes.
    ///
    /// # Errors
    /// When they cannot be read, or are no longer what they were.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        self.segment.file()?.read_exact_at(&mut bytes, self.at + HEADER as u64)?;
        match crc32fast::hash(&bytes) == self.checksum {
            true => Ok(bytes),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum does not hold")),
        }
    }

    /// Gives the envelope up.
    pub fn discard(&self) {
        // Where this fails, it is sent once more after the next start, and Sentry knows it by its id.
        _ = self.segment.file().and_then(|file| file.write_all_at(&[GIVEN_UP], self.at));
        self.segment.live.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// What a header says.
struct Entry {
    kind: Kind,
    spans: u32,
    length: u32,
    since: SystemTime,
    checksum: u32,
}

impl Entry {
    fn header(&self) -> [u8; HEADER] {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut header = [0; HEADER];
        header[0] = COUNTS;
        header[1] = self.kind as u8;
        header[2..4].copy_from_slice(&u16::try_from(self.spans).unwrap_or(u16::MAX).to_le_bytes());
        header[4..8].copy_from_slice(&self.length.to_le_bytes());
        header[8..16].copy_from_slice(&(since.as_millis() as u64).to_le_bytes());
        header[16..20].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&header[1..20]);
        header[20..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    fn kept(&self, segment: &Arc<Segment>, at: u64) -> SpooledEnvelope {
        let record = Record { segment: Arc::clone(segment), at, length: self.length, checksum: self.checksum };
        SpooledEnvelope { kind: self.kind, spans: self.spans, since: self.since, place: Place::Disk(record) }
    }
}

/// What a header says, and whether its envelope counts. None if it is no header.
fn parse(header: [u8; HEADER]) -> Option<(bool, Entry)> {
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    if number(20) != crc32fast::hash(&header[1..20]) {
        return None;
    }
    let since = u64::from(number(12)) << 32 | u64::from(number(8));
    let entry = Entry {
        kind: Kind::ALL.into_iter().find(|kind| *kind as u8 == header[1])?,
        spans: number(2) & 0xffff,
        length: number(4),
        since: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(since))?,
        checksum: number(16),
    };
    Some((header[0] == COUNTS, entry))
}
