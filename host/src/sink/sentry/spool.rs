//! The spool: stores envelopes until Sentry has answered. They are on disk, so that neither a crash of this process nor
//! an outage of Sentry loses one, or in memory if no disk can be used. The spool does not send them.
//!
//! An envelope that [`Spool::add`] has put on disk is in the kernel's page cache, and survives the end of this process.
//! To survive a crash of the machine, the owner of the spool has to sync the [`Spool::unsynced_segments`] from time to
//! time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use self::directory::SpoolDirectory;
pub use self::directory::default_directory;
use self::disk::Disk;
use self::record_header::RecordHeader;
#[cfg(fuzzing)]
pub use self::segment::LoadedFile;
pub use self::segment::Segment;
use self::segment::{LoadedSegment, Record};
use super::envelope::{Envelope, Kind};

mod directory;
mod disk;
mod record_header;
mod segment;

/// A store of envelopes with a maximum size.
#[derive(Debug)]
pub struct Spool {
    disk: Option<Disk>,
    /// Bytes of the envelopes in memory.
    memory_bytes: u64,
    max_memory_bytes: u64,
}

/// An envelope in the spool.
#[derive(Debug)]
pub struct SpooledEnvelope {
    pub kind: Kind,
    /// The number of spans of a transaction; 0 for all other kinds.
    pub spans: u32,
    /// The time at which the envelope was added, possibly by an earlier process.
    pub added_at: SystemTime,
    location: Location,
}

#[derive(Debug)]
enum Location {
    Memory(Bytes),
    Disk(Record),
}

/// A part of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    Disk,
    Memory,
}

/// The maximum size of the envelopes in memory in bytes: about 20,000 ordinary runs.
const MAX_MEMORY_BYTES: u64 = 64 << 20;

impl Spool {
    /// Creates a spool in memory.
    pub fn in_memory() -> Self {
        Self::in_memory_of(MAX_MEMORY_BYTES)
    }

    /// Creates a spool in memory with this maximum size.
    pub fn in_memory_of(max_memory_bytes: u64) -> Self {
        Self { disk: None, memory_bytes: 0, max_memory_bytes }
    }

    /// Opens a spool of at most `max_bytes` in a directory, which is created if it does not exist. Returns it with the
    /// envelopes that earlier processes left there, oldest first.
    ///
    /// Several processes may have spools in the same directory: each uses a subdirectory of its own, and what it leaves
    /// there belongs to the next process that opens the directory.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be created, locked, read or written to. A full disk is no error: once
    /// the envelopes on it are sent, there may be free space again.
    pub fn open(directory: &Path, max_bytes: u64) -> io::Result<(Self, Vec<SpooledEnvelope>)> {
        let (directory, loaded) = SpoolDirectory::open(directory)?;
        let mut disk = Disk::new(directory, max_bytes);
        let mut leftovers = Vec::new();
        for LoadedSegment { segment, records } in loaded {
            disk.add_segment(&segment);
            leftovers.extend(records.into_iter().map(|(header, record)| SpooledEnvelope::on_disk(&header, record)));
        }
        disk.check_writable()?;
        leftovers.sort_by_key(|envelope| envelope.added_at);
        Ok((Self { disk: Some(disk), ..Self::in_memory() }, leftovers))
    }

    /// Returns this process's directory, or `None` if the spool is in memory only.
    pub fn directory(&self) -> Option<&Path> {
        self.disk.as_ref().map(Disk::path)
    }

    /// Adds envelopes in the order of their kinds, which is also the order of the result: to the disk, or to memory if
    /// the disk cannot be written to.
    pub fn add(&mut self, mut envelopes: Vec<Envelope>, now: SystemTime) -> Vec<SpooledEnvelope> {
        envelopes.sort_by_key(|envelope| envelope.kind);
        let spooled = envelopes.into_iter().map(|Envelope { kind, spans, bytes }| {
            self.memory_bytes += bytes.len() as u64;
            let location = Location::Memory(bytes.into());
            self.move_to_disk(SpooledEnvelope { kind, spans, added_at: now, location })
        });
        spooled.collect()
    }

    /// Moves an envelope from memory to the disk. Returns it unchanged if the disk cannot be written to.
    pub fn move_to_disk(&mut self, envelope: SpooledEnvelope) -> SpooledEnvelope {
        let (Location::Memory(bytes), Some(disk)) = (&envelope.location, &mut self.disk) else { return envelope };
        match disk.append(envelope.kind, envelope.spans, bytes, envelope.added_at) {
            Ok(record) => {
                self.memory_bytes -= bytes.len() as u64;
                // While envelopes are still in memory, the disk may be full: a small envelope may have fitted where a
                // large one does not.
                if self.memory_bytes == 0 {
                    disk.set_error(None);
                }
                SpooledEnvelope { location: Location::Disk(record), ..envelope }
            }
            Err(error) => {
                disk.set_error(Some(&error));
                envelope
            }
        }
    }

    /// Removes an envelope.
    pub fn remove(&mut self, envelope: SpooledEnvelope) {
        match envelope.location {
            Location::Memory(bytes) => self.memory_bytes -= bytes.len() as u64,
            Location::Disk(record) => {
                if let Some(disk) = &mut self.disk {
                    disk.remove(&record);
                }
            }
        }
    }

    /// Returns a storage that exceeds its maximum size, or `None` if both are within it.
    pub fn overfull(&self) -> Option<Storage> {
        if self.memory_bytes > self.max_memory_bytes {
            return Some(Storage::Memory);
        }
        self.disk.as_ref().filter(|disk| disk.is_overfull()).map(|_| Storage::Disk)
    }

    /// Returns the bytes that the spool occupies on disk and in memory.
    pub fn size(&self) -> u64 {
        self.memory_bytes + self.disk.as_ref().map_or(0, Disk::size)
    }

    /// Returns the segments with waiting envelopes that may not be on the disk yet.
    pub fn unsynced_segments(&mut self) -> Vec<Arc<Segment>> {
        self.disk.as_mut().map(Disk::unsynced_segments).unwrap_or_default()
    }
}

impl SpooledEnvelope {
    fn on_disk(header: &RecordHeader, record: Record) -> Self {
        let RecordHeader { kind, spans, added_at, .. } = *header;
        Self { kind, spans, added_at, location: Location::Disk(record) }
    }

    /// Returns the part of the spool that the envelope is in.
    pub fn storage(&self) -> Storage {
        match self.location {
            Location::Memory(_) => Storage::Memory,
            Location::Disk(_) => Storage::Disk,
        }
    }

    /// Reads the envelope's bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the disk cannot be read, or if the bytes have changed there.
    pub fn read(&self) -> io::Result<Bytes> {
        match &self.location {
            Location::Memory(bytes) => Ok(bytes.clone()),
            Location::Disk(record) => record.read().map(Bytes::from),
        }
    }
}

#[cfg(test)]
mod tests;
