//! The compression of request bodies, independent of their content.

use flate2::{Compress, FlushCompress, Status};
use parking_lot::Mutex;
use reqwest::Url;
use reqwest::header::HeaderValue;
use url::Host;

/// The compression of all request bodies for one destination.
pub enum Compression {
    /// No compression: to a destination on this machine, sending the bytes costs less than compressing them.
    None,
    /// gzip. The compressor is reused, since creating one costs more than compressing an ordinary envelope.
    Gzip(Mutex<Compress>),
}

impl Compression {
    /// Returns the compression for a destination: none if its host is a loopback address or `localhost`, else gzip.
    pub fn for_url(url: &Url) -> Self {
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if is_local { Self::None } else { Self::Gzip(Mutex::new(Compress::new(flate2::Compression::fast(), false))) }
    }

    /// Returns the value of the `content-encoding` header, or `None` if bodies are not compressed.
    pub fn encoding(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Gzip(_) => Some(HeaderValue::from_static("gzip")),
        }
    }

    /// Compresses a request body.
    pub fn compress(&self, body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => body,
            Self::Gzip(compressor) => gzip(&mut compressor.lock(), &body),
        }
    }
}

/// Compresses bytes to a gzip member (RFC 1952).
fn gzip(compressor: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    /// Magic number, deflate (8), no flags (0), mtime 0, XFL 4 (fastest), OS 255 (unknown).
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
    let mut compressed = Vec::with_capacity(HEADER.len() + bytes.len() / 2 + 64);
    compressed.extend(HEADER);
    compressor.reset();
    loop {
        let consumed = compressor.total_in() as usize;
        match compressor.compress_vec(&bytes[consumed..], &mut compressed, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => break,
            // The output buffer is full.
            _ => compressed.reserve(bytes.len() / 2 + 64),
        }
    }
    compressed.extend(crc32fast::hash(bytes).to_le_bytes());
    compressed.extend((bytes.len() as u32).to_le_bytes());
    compressed
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn compression(url: &str) -> Compression {
        Compression::for_url(&url.parse().expect("the URLs of the tests are valid"))
    }

    #[test]
    fn bodies_for_this_machine_are_not_compressed() {
        for url in ["http://localhost:8969/stream", "http://127.1.2.3/api/1/envelope/", "http://[::1]:9000/"] {
            assert!(compression(url).encoding().is_none(), "{url}");
            assert_eq!(compression(url).compress(b"{}".to_vec()), b"{}");
        }
        for url in ["https://o1.ingest.sentry.io/api/1/envelope/", "http://10.0.0.1/", "http://localhost.example/"] {
            assert!(compression(url).encoding().is_some_and(|encoding| encoding == "gzip"), "{url}");
        }
    }

    #[test]
    fn a_reused_compressor_loses_nothing() {
        let compression = compression("https://sentry.example/");
        let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let text = b"{\"spans\":[]}\n".repeat(10_000);
        for bytes in [text.clone(), noise, Vec::new(), b"{}".to_vec(), text.clone()] {
            let compressed = compression.compress(bytes.clone());
            let mut uncompressed = Vec::new();
            GzDecoder::new(compressed.as_slice())
                .read_to_end(&mut uncompressed)
                .expect("the compressed body is valid gzip");
            assert!(uncompressed == bytes, "{} bytes", bytes.len());
        }
        assert!(compression.compress(text.clone()).len() < text.len() / 20);
    }
}
