//! The header in front of each envelope in a segment. Does no I/O.

use std::time::{Duration, SystemTime};

use crate::sink::sentry::envelope::{Kind, Origin};

/// The metadata of a record.
#[derive(Debug)]
pub struct RecordHeader {
    pub kind: Kind,
    /// True if a third-party probe caused the envelope.
    pub is_third_party: bool,
    /// The number of spans of a transaction; 0 for all other kinds.
    pub spans: u32,
    /// The length of the envelope in bytes.
    pub length: u32,
    /// The time at which the envelope was added to the spool.
    pub added_at: SystemTime,
    /// The CRC-32 of the envelope.
    pub checksum: u32,
}

/// The length of a header: state, 1 byte; kind, 1; spans, 2, the highest bit of which is set for a third-party probe;
/// length of the envelope, 4; milliseconds since 1970, 8; CRC-32 of the envelope, 4; CRC-32 of all previous bytes
/// except the first, 4. Numbers are little-endian.
pub const HEADER_BYTES: usize = 24;
/// The state of a record whose envelope waits to be sent.
const LIVE: u8 = b'+';
/// The bit of the field of spans that marks envelopes of third-party probes. A transaction has at most about a thousand
/// spans.
const THIRD_PARTY: u16 = 1 << 15;
/// The state of a record whose envelope was sent or dropped.
pub const DISCARDED: u8 = b'-';

impl RecordHeader {
    /// Creates the header of an envelope, or returns `None` if it has 4 GiB or more.
    pub fn new(kind: Kind, origin: Origin, spans: u32, envelope: &[u8], added_at: SystemTime) -> Option<Self> {
        let length = u32::try_from(envelope.len()).ok()?;
        let (is_third_party, checksum) = (origin.is_third_party(), crc32fast::hash(envelope));
        Some(Self { kind, is_third_party, spans, length, added_at, checksum })
    }

    /// Encodes the header of a live record.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let added_at = self.added_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let spans = u16::try_from(self.spans).unwrap_or(u16::MAX).min(THIRD_PARTY - 1);
        let flag = if self.is_third_party { THIRD_PARTY } else { 0 };
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = LIVE;
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&(spans | flag).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&(added_at.as_millis() as u64).to_le_bytes());
        bytes[16..20].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[1..20]);
        bytes[20..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Decodes a header. The bool is true if the record is live. Returns `None` if the bytes are no header.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Option<(Self, bool)> {
        let number = |offset: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]));
        if number(20) != crc32fast::hash(&bytes[1..20]) {
            return None;
        }
        let spans = u16::from_le_bytes([bytes[2], bytes[3]]);
        let millis = u64::from(number(12)) << 32 | u64::from(number(8));
        let header = Self {
            kind: Kind::ALL.into_iter().find(|kind| *kind as u8 == bytes[1])?,
            is_third_party: spans & THIRD_PARTY != 0,
            spans: (spans & !THIRD_PARTY).into(),
            length: number(4),
            added_at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))?,
            checksum: number(16),
        };
        Some((header, bytes[0] == LIVE))
    }
}
