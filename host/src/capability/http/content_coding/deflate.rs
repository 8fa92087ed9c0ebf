//! The content coding `deflate`: zlib's format by RFC 9110, and the raw format that some servers send.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// Decodes either format, which the first byte tells. Bytes after the end of the encoding are ignored.
pub struct DeflateReader<R> {
    from: R,
    /// `None` if no byte has arrived yet.
    decompress: Option<Decompress>,
    has_ended: bool,
}

impl<R: BufRead> DeflateReader<R> {
    pub fn new(from: R) -> Self {
        Self { from, decompress: None, has_ended: false }
    }
}

/// Returns true if zlib's format begins with this byte: its lower half is 8, the upper half at most 7. In the raw
/// format this is a stored block with bits set that every encoder leaves at 0.
fn is_zlib(first: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7
}

impl<R: BufRead> Read for DeflateReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.has_ended && !buffer.is_empty() {
            let input = self.from.fill_buf()?;
            let decompress = match (&mut self.decompress, input.first()) {
                (Some(decompress), _) => decompress,
                (None, Some(first)) => self.decompress.insert(Decompress::new(is_zlib(*first))),
                (None, None) => return Ok(0),
            };
            let (read, written) = (decompress.total_in(), decompress.total_out());
            let status = decompress.decompress(input, buffer, FlushDecompress::None);
            let read = (decompress.total_in() - read) as usize;
            let written = (decompress.total_out() - written) as usize;
            let has_input = !input.is_empty();
            self.from.consume(read);
            self.has_ended = status.map_err(|_| io::ErrorKind::InvalidData)? == Status::StreamEnd;
            match (read, written) {
                (_, 1..) => return Ok(written),
                _ if self.has_ended => {}
                (0, 0) if has_input => return Err(io::ErrorKind::InvalidData.into()),
                _ if !has_input => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        Ok(0)
    }
}
