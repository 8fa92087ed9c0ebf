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
use self::third_party_bytes::ThirdPartyBytes;
use super::envelope::{Envelope, Kind, Origin};

mod directory;
mod disk;
mod record_header;
mod segment;
mod third_party_bytes;

/// A store of envelopes with a maximum size.
#[derive(Debug)]
pub struct Spool {
    disk: Option<Disk>,
    /// Bytes of the envelopes in memory.
    memory_bytes: u64,
    max_memory_bytes: u64,
    /// Bytes of the envelopes of each third-party probe, in each storage.
    third_party: [ThirdPartyBytes; 2],
}

/// An envelope in the spool.
#[derive(Debug)]
pub struct SpooledEnvelope {
    pub kind: Kind,
    pub origin: Origin,
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

/// The bytes of one storage that are used.
struct Usage {
    bytes: u64,
    /// The part of `bytes` that third-party probes use.
    third_party: u64,
    max: u64,
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
        Self { disk: None, memory_bytes: 0, max_memory_bytes, third_party: Default::default() }
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
            disk.add_segment(&segment, records.iter().any(|(header, _)| header.is_third_party));
            leftovers.extend(records.into_iter().map(|(header, record)| SpooledEnvelope::on_disk(&header, record)));
        }
        disk.check_writable()?;
        leftovers.sort_by_key(|envelope| envelope.added_at);
        let mut spool = Self { disk: Some(disk), ..Self::in_memory() };
        for envelope in &leftovers {
            spool.count(envelope);
        }
        Ok((spool, leftovers))
    }

    /// Returns this process's directory, or `None` if the spool is in memory only.
    pub fn directory(&self) -> Option<&Path> {
        self.disk.as_ref().map(Disk::path)
    }

    /// Adds envelopes in the order of their kinds, which is also the order of the result: to the disk, or to memory if
    /// the disk cannot be written to.
    pub fn add(&mut self, mut envelopes: Vec<Envelope>, now: SystemTime) -> Vec<SpooledEnvelope> {
        envelopes.sort_by_key(|envelope| envelope.kind);
        let spooled = envelopes.into_iter().map(|Envelope { kind, origin, spans, bytes }| {
            let location = Location::Memory(bytes.into());
            let envelope = SpooledEnvelope { kind, origin, spans, added_at: now, location };
            self.memory_bytes += envelope.size();
            self.count(&envelope);
            self.move_to_disk(envelope)
        });
        spooled.collect()
    }

    /// Moves an envelope from memory to the disk. Returns it unchanged if the disk cannot be written to.
    pub fn move_to_disk(&mut self, envelope: SpooledEnvelope) -> SpooledEnvelope {
        let (Location::Memory(bytes), Some(disk)) = (&envelope.location, &mut self.disk) else { return envelope };
        let SpooledEnvelope { kind, origin, spans, added_at, .. } = envelope;
        let Some(header) = RecordHeader::new(kind, origin, spans, bytes, added_at) else { return envelope };
        match disk.append(&header, bytes) {
            Ok(record) => {
                self.memory_bytes -= bytes.len() as u64;
                // While envelopes are still in memory, the disk may be full: a small envelope may have fitted where a
                // large one does not.
                if self.memory_bytes == 0 {
                    disk.set_error(None);
                }
                self.uncount(&envelope);
                let envelope = SpooledEnvelope { location: Location::Disk(record), ..envelope };
                self.count(&envelope);
                envelope
            }
            Err(error) => {
                disk.set_error(Some(&error));
                envelope
            }
        }
    }

    /// Removes an envelope.
    pub fn remove(&mut self, envelope: SpooledEnvelope) {
        self.uncount(&envelope);
        match envelope.location {
            Location::Memory(bytes) => self.memory_bytes -= bytes.len() as u64,
            Location::Disk(record) => {
                if let Some(disk) = &mut self.disk {
                    disk.remove(&record, envelope.origin.is_third_party());
                }
            }
        }
    }

    /// Returns a storage that exceeds its maximum size, and whose envelopes are to be dropped there: those of the
    /// third-party probe that uses most of it, if third-party probes use at least half of it together. Returns `None`
    /// if both storages are within their maximum sizes.
    pub fn overfull(&self) -> Option<(Storage, Origin)> {
        [Storage::Memory, Storage::Disk].into_iter().find_map(|storage| {
            let usage = self.usage(storage);
            let is_overfull = usage.bytes > usage.max;
            is_overfull.then(|| {
                let largest = || self.third_party[storage as usize].largest();
                let largest = if usage.third_party >= usage.bytes / 2 { largest() } else { None };
                (storage, largest.map_or(Origin::BuiltIn, Origin::ThirdParty))
            })
        })
    }

    /// Returns the storage that has no space for an envelope of a third-party probe which uses more than its share:
    /// such an envelope is not to be added, and no other is to be dropped for it. A share is an equal part of half the
    /// spool, and counts only while third-party probes use at least that half. Returns `None` for all other envelopes.
    pub fn exceeds_share(&self, envelope: &Envelope) -> Option<Storage> {
        let Origin::ThirdParty(probe) = envelope.origin else { return None };
        let storage = match &self.disk {
            Some(disk) if !disk.is_failing() => Storage::Disk,
            _ => Storage::Memory,
        };
        let (usage, size) = (self.usage(storage), envelope.bytes.len() as u64);
        let is_full = usage.bytes + size > usage.max && usage.third_party >= usage.max / 2;
        let exceeds = || self.third_party[storage as usize].exceeds_share(probe, size, usage.max / 2);
        (is_full && exceeds()).then_some(storage)
    }

    fn usage(&self, storage: Storage) -> Usage {
        match (storage, &self.disk) {
            (Storage::Disk, Some(disk)) => {
                Usage { bytes: disk.size(), third_party: disk.third_party_size(), max: disk.max_size() }
            }
            (Storage::Disk, None) => Usage { bytes: 0, third_party: 0, max: 0 },
            (Storage::Memory, _) => Usage {
                bytes: self.memory_bytes,
                third_party: self.third_party[Storage::Memory as usize].total(),
                max: self.max_memory_bytes,
            },
        }
    }

    fn count(&mut self, envelope: &SpooledEnvelope) {
        if let Origin::ThirdParty(probe) = envelope.origin {
            self.third_party[envelope.storage() as usize].add(probe, envelope.size());
        }
    }

    fn uncount(&mut self, envelope: &SpooledEnvelope) {
        if let Origin::ThirdParty(probe) = envelope.origin {
            self.third_party[envelope.storage() as usize].remove(probe, envelope.size());
        }
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
        let RecordHeader { kind, is_third_party, spans, added_at, .. } = *header;
        let origin = if is_third_party { Origin::EARLIER_THIRD_PARTY } else { Origin::BuiltIn };
        Self { kind, origin, spans, added_at, location: Location::Disk(record) }
    }

    /// Returns the length of the envelope in bytes.
    fn size(&self) -> u64 {
        match &self.location {
            Location::Memory(bytes) => bytes.len() as u64,
            Location::Disk(record) => record.length(),
        }
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
