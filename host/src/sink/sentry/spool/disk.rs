//! The part of a spool that is on disk: decides to which segment an envelope is written, and deletes segments that are
//! no longer needed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::directory::SpoolDirectory;
use super::record_header::RecordHeader;
use super::segment::{Record, Segment};
use crate::sink::sentry::envelope::Kind;

/// Envelopes on disk, with a maximum size.
#[derive(Debug)]
pub struct Disk {
    directory: SpoolDirectory,
    /// The segment that each priority is written to, for built-in and for third-party probes. They are separate, so
    /// that a segment of lower priority, or of third-party probes, can be deleted without the others.
    open_segments: [[Option<Arc<Segment>>; PRIORITIES]; 2],
    /// Segments that have reached their maximum size, and may not be synced yet.
    full_segments: Vec<Arc<Segment>>,
    /// Bytes of all segments, for built-in and for third-party probes.
    bytes: [u64; 2],
    max_bytes: u64,
    /// True if the last write failed.
    is_failing: bool,
}

const PRIORITIES: usize = 3;

impl Disk {
    pub fn new(directory: SpoolDirectory, max_bytes: u64) -> Self {
        let (open_segments, full_segments) = (Default::default(), Vec::new());
        Self { directory, open_segments, full_segments, bytes: [0; 2], max_bytes, is_failing: false }
    }

    /// Counts the size of a segment that an earlier process left.
    pub fn add_segment(&mut self, segment: &Segment, is_third_party: bool) {
        self.bytes[usize::from(is_third_party)] += segment.size();
    }

    /// Checks that the directory can be written to, by creating a segment. A directory that can be listed and locked
    /// may still be read-only.
    ///
    /// # Errors
    ///
    /// Returns the error of creating the segment, unless the disk is full.
    pub fn check_writable(&mut self) -> io::Result<()> {
        match self.segment_for(Kind::Error, false) {
            Err(error) if !is_disk_full(&error) => return Err(error),
            result => self.set_error(result.as_ref().err()),
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn size(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// Returns the bytes of the segments of third-party probes.
    pub fn third_party_size(&self) -> u64 {
        self.bytes[1]
    }

    pub fn max_size(&self) -> u64 {
        self.max_bytes
    }

    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Writes an envelope.
    ///
    /// # Errors
    ///
    /// Returns the error of creating or writing the file. In that case, nothing of the envelope is left on disk.
    pub fn append(&mut self, header: &RecordHeader, envelope: &[u8]) -> io::Result<Record> {
        let segment = self.segment_for(header.kind, header.is_third_party)?;
        let size_before = segment.size();
        let record = segment.append(header, envelope)?;
        self.bytes[usize::from(header.is_third_party)] += segment.size() - size_before;
        Ok(record)
    }

    /// Returns the segment to which an envelope is written now.
    fn segment_for(&mut self, kind: Kind, is_third_party: bool) -> io::Result<Arc<Segment>> {
        // Space is freed by deleting or clearing whole segments, so a segment must be a small part of the maximum size.
        let max_segment_bytes = (self.max_bytes / 64).clamp(1 << 14, 4 << 20);
        let party = usize::from(is_third_party);
        let (open, party_bytes) = (&mut self.open_segments[party][priority(kind)], &mut self.bytes[party]);
        if let Some(segment) = open {
            if segment.has_no_live_records() && segment.size() > max_segment_bytes / 4 {
                let size_before = segment.size();
                segment.clear()?;
                *party_bytes -= size_before - segment.size();
            }
            if segment.size() < max_segment_bytes {
                return Ok(Arc::clone(segment));
            }
        }
        let segment = self.directory.create_segment()?;
        *party_bytes += segment.size();
        if let Some(full) = open.replace(Arc::clone(&segment)) {
            full.close();
            if full.has_no_live_records() {
                *party_bytes -= full.size();
                full.delete();
            } else {
                self.full_segments.push(full);
            }
        }
        Ok(segment)
    }

    /// Removes an envelope. Deletes its segment too if no live records are left in it and no more are written to it.
    pub fn remove(&mut self, record: &Record, is_third_party: bool) {
        record.discard();
        let segment = record.segment();
        let is_open = self.open_segments.iter().flatten().flatten().any(|open| Arc::ptr_eq(open, segment));
        if segment.has_no_live_records() && !is_open {
            self.bytes[usize::from(is_third_party)] -= segment.size();
            segment.delete();
        }
    }

    pub fn unsynced_segments(&mut self) -> Vec<Arc<Segment>> {
        self.full_segments.retain(|segment| segment.is_unsynced());
        let open = self.open_segments.iter().flatten().flatten().filter(|segment| segment.is_unsynced());
        open.chain(&self.full_segments).cloned().collect()
    }

    /// Records the error of the last write, or `None` if it succeeded. Logs when writing begins to fail and when it
    /// works again.
    pub fn set_error(&mut self, error: Option<&io::Error>) {
        let directory = self.directory.path().display();
        match error {
            Some(error) if !self.is_failing => tracing::warn!(
                %directory, %error,
                "cannot write to the spool: until that works again, envelopes for Sentry wait in memory; free disk \
                 space, or choose another directory with `sentry.spool`"
            ),
            None if self.is_failing => tracing::info!(%directory, "the spool can be written to again"),
            _ => {}
        }
        self.is_failing = error.is_some();
    }
}

impl Drop for Disk {
    /// Deletes the open segments without live records.
    fn drop(&mut self) {
        let open = self.open_segments.iter().flatten().flatten();
        open.filter(|segment| segment.has_no_live_records()).for_each(|segment| segment.delete());
    }
}

/// Returns the index in [`Disk::open_segments`] for envelopes of a kind.
fn priority(kind: Kind) -> usize {
    match kind {
        Kind::Error | Kind::CheckIn | Kind::ClientReport => 0,
        Kind::FailedTransaction => 1,
        Kind::PassedTransaction => 2,
    }
}

/// Returns true for an error that goes away when space is freed.
fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
