//! The content coding `gzip`.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first byte of a member of a gzip file.
const MAGIC: u8 = 0x1f;

/// Decodes all members of a gzip file. Bytes after the last member that are no member are ignored, as browsers do.
pub struct GzipReader<R> {
    member: Option<GzDecoder<R>>,
    /// The bytes after the members that were read.
    rest: Option<R>,
    members: usize,
}

impl<R: BufRead> GzipReader<R> {
    pub fn new(from: R) -> Self {
        Self { member: None, rest: Some(from), members: 0 }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(mut rest) = self.rest.take() {
                let first = match rest.fill_buf() {
                    Ok(bytes) => bytes.first().copied(),
                    Err(error) => {
                        self.rest = Some(rest);
                        return Err(error);
                    }
                };
                // A body is never damaged because it is empty.
                if first.is_none() || (self.members > 0 && first != Some(MAGIC)) {
                    self.rest = Some(rest);
                    return Ok(0);
                }
                self.member = Some(GzDecoder::new(rest));
                self.members += 1;
            }
            let Some(member) = &mut self.member else { return Ok(0) };
            match member.read(buffer)? {
                0 => self.rest = self.member.take().map(GzDecoder::into_inner),
                count => return Ok(count),
            }
        }
    }
}
