//! Envelopes, kept until Sentry has answered: on disk, so that neither a crash nor an outage costs one, or in memory
//! where there is no disk to be had. Knows files and sizes, and nothing of sending.
//!
//! What [`Spool::keep`] has put on disk is in the kernel's hands: this process may be killed. Against a crash of the
//! machine, whoever owns the spool has [`Spool::unsynced`] brought to the disk from time to time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use self::directory::SpoolDirectory;
pub use self::directory::default_folder;
pub use self::segment::Segment;
use self::segment::{Loaded, Record};
use super::envelope::{Envelope, Kind};

mod directory;
mod segment;

/// Envelopes, up to a bound.
#[derive(Debug)]
pub struct Spool {
    disk: Option<Disk>,
    /// Bytes of envelopes in memory, and how many there may be.
    memory: u64,
    memory_room: u64,
}

/// One envelope in the spool.
#[derive(Debug)]
pub struct SpooledEnvelope {
    pub kind: Kind,
    pub spans: u32,
    /// When it came in.
    pub since: SystemTime,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    Disk(Record),
}

/// Which part of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Disk,
    Memory,
}

const PRIORITIES: usize = 3;
/// For what waits in memory: some twenty thousand ordinary runs.
const MEMORY_ROOM: u64 = 64 << 20;

impl Spool {
    /// In memory alone.
    pub fn in_memory() -> Self {
        Self::with_memory(MEMORY_ROOM)
    }

    /// In memory alone, up to so many bytes.
    pub fn with_memory(memory_room: u64) -> Self {
        Self { disk: None, memory: 0, memory_room }
    }

    /// In a folder, which is made if need be, up to so many bytes; with what earlier processes have left there, oldest
    /// first. Other processes may have spools in the same folder: each gets a part of its own, and what it leaves there
    /// is the next one's.
    ///
    /// # Errors
    /// When nothing can be kept there.
    pub fn open(folder: &Path, room: u64) -> io::Result<(Self, Vec<SpooledEnvelope>)> {
        let (folder, loaded) = SpoolDirectory::open(folder)?;
        let mut disk = Disk { folder, open: Default::default(), full: Vec::new(), bytes: 0, room, failing: false };
        let mut left = Vec::new();
        for Loaded { segment, kept } in loaded {
            disk.bytes += segment.size();
            left.extend(kept);
        }
        // A folder that lists and locks may still not be written to. But a full disk has what is left there, which may be
        // sent, and may have room again.
        match disk.segment(Kind::Error) {
            Err(error) if !is_full(&error) => return Err(error),
            tried => disk.tell(tried.as_ref().err()),
        }
        left.sort_by_key(|kept| kept.since);
        Ok((Self { disk: Some(disk), ..Self::in_memory() }, left))
    }

    /// Where it is on disk.
    pub fn folder(&self) -> Option<&Path> {
        self.disk.as_ref().map(|disk| disk.folder.path())
    }

    /// Keeps envelopes: on disk if that works. The dearest of them is there first.
    pub fn keep(&mut self, mut envelopes: Vec<Envelope>, now: SystemTime) -> Vec<SpooledEnvelope> {
        envelopes.sort_by_key(|envelope| envelope.kind);
        let kept = envelopes.into_iter().map(|Envelope { kind, spans, bytes }| {
            self.memory += bytes.len() as u64;
            self.save(SpooledEnvelope { kind, spans, since: now, place: Place::Memory(bytes.into()) })
        });
        kept.collect()
    }

    /// Brings to disk what was kept in memory, if that works.
    pub fn save(&mut self, kept: SpooledEnvelope) -> SpooledEnvelope {
        let (Place::Memory(bytes), Some(disk)) = (&kept.place, &mut self.disk) else { return kept };
        match disk.append(kept.kind, kept.spans, bytes, kept.since) {
            Ok(written) => {
                self.memory -= bytes.len() as u64;
                // Something small may find room where the next large thing does not.
                if self.memory == 0 {
                    disk.tell(None);
                }
                written
            }
            Err(error) => {
                disk.tell(Some(&error));
                kept
            }
        }
    }

    /// Gives up what was kept.
    pub fn forget(&mut self, kept: SpooledEnvelope) {
        match kept.place {
            Place::Memory(bytes) => self.memory -= bytes.len() as u64,
            Place::Disk(record) => {
                if let Some(disk) = &mut self.disk {
                    disk.forget(&record);
                }
            }
        }
    }

    /// Where there is more than there may be.
    pub fn full(&self) -> Option<Store> {
        if self.memory > self.memory_room {
            return Some(Store::Memory);
        }
        self.disk.as_ref().filter(|disk| disk.bytes > disk.room).map(|_| Store::Disk)
    }

    /// Bytes that it takes up, on disk and in memory.
    pub fn size(&self) -> u64 {
        self.memory + self.disk.as_ref().map_or(0, |disk| disk.bytes)
    }

    /// Files with something in them that waits and may not have reached the disk itself.
    pub fn unsynced(&mut self) -> Vec<Arc<Segment>> {
        let Some(disk) = &mut self.disk else { return Vec::new() };
        disk.full.retain(|segment| segment.is_unsynced());
        let open = disk.open.iter().flatten().filter(|segment| segment.is_unsynced());
        open.chain(&disk.full).cloned().collect()
    }
}

impl SpooledEnvelope {
    pub fn store(&self) -> Store {
        match self.place {
            Place::Memory(_) => Store::Memory,
            Place::Disk(_) => Store::Disk,
        }
    }

    /// The envelope's bytes.
    ///
    /// # Errors
    /// When the disk does not give them back as they were.
    pub fn read(&self) -> io::Result<Bytes> {
        match &self.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::Disk(record) => record.read().map(Bytes::from),
        }
    }
}

#[derive(Debug)]
struct Disk {
    folder: SpoolDirectory,
    /// Where each worth is written now: apart, so that the less dear can go without the dear.
    open: [Option<Arc<Segment>>; PRIORITIES],
    /// Those that are full, and may not have reached the disk itself.
    full: Vec<Arc<Segment>>,
    /// Bytes of all segments, and how many there may be.
    bytes: u64,
    room: u64,
    /// Whether the last write failed.
    failing: bool,
}

impl Disk {
    fn append(&mut self, kind: Kind, spans: u32, envelope: &[u8], since: SystemTime) -> io::Result<SpooledEnvelope> {
        let segment = self.segment(kind)?;
        let before = segment.size();
        let kept = segment.append(kind, spans, envelope, since)?;
        self.bytes += segment.size() - before;
        Ok(kept)
    }

    /// Where to write now.
    fn segment(&mut self, kind: Kind) -> io::Result<Arc<Segment>> {
        // What goes for want of room goes by segments, and one that is empty again goes at once.
        let most = (self.room / 64).clamp(1 << 14, 4 << 20);
        let open = &mut self.open[priority(kind)];
        if let Some(segment) = open {
            if segment.is_idle() && segment.size() > most / 4 {
                let before = segment.size();
                segment.clear()?;
                self.bytes -= before - segment.size();
            }
            if segment.size() < most {
                return Ok(Arc::clone(segment));
            }
        }
        let segment = self.folder.segment()?;
        self.bytes += segment.size();
        if let Some(full) = open.replace(Arc::clone(&segment)) {
            full.close();
            match full.is_idle() {
                true => {
                    self.bytes -= full.size();
                    full.remove();
                }
                false => self.full.push(full),
            }
        }
        Ok(segment)
    }

    fn forget(&mut self, record: &Record) {
        record.discard();
        let segment = record.segment();
        let is_open = self.open.iter().flatten().any(|open| Arc::ptr_eq(open, segment));
        if segment.is_idle() && !is_open {
            self.bytes -= segment.size();
            segment.remove();
        }
    }

    /// Says that the disk fails, or does no longer, once.
    fn tell(&mut self, error: Option<&io::Error>) {
        let folder = self.folder.path().display();
        match error {
            Some(error) if !self.failing => tracing::warn!(
                "cannot write to the spool in {folder} ({error}): until that works again, runs wait for Sentry in \
                 memory; make room there, or choose another folder with `sentry.spool`"
            ),
            None if self.failing => tracing::info!("the spool in {folder} can be written to again"),
            _ => {}
        }
        self.failing = error.is_some();
    }
}

impl Drop for Disk {
    /// Leaves files only where something waits.
    fn drop(&mut self) {
        self.open.iter().flatten().filter(|segment| segment.is_idle()).for_each(|segment| segment.remove());
    }
}

/// Which of [`Disk::open`] an envelope is written to: there are as many as [`WORTHS`].
fn priority(kind: Kind) -> usize {
    match kind {
        Kind::Error | Kind::CheckIn | Kind::Report => 0,
        Kind::FailedTransaction => 1,
        Kind::PassedTransaction => 2,
    }
}

/// Whether it is for want of room, which may pass.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests;
