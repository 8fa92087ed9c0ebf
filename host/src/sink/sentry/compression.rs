//! Envelopes as they go over the wire: compressed, where there is a wire. Knows bytes and addresses alone.

use flate2::{Compress, FlushCompress, Status};
use parking_lot::Mutex;
use reqwest::Url;
use reqwest::header::HeaderValue;
use url::Host;

/// How envelopes for one receiver are packed.
pub enum Compression {
    /// To a receiver on this machine, bytes cost less than packing them.
    None,
    /// A compressor costs more to make than an ordinary envelope to compress.
    Gzip(Mutex<Compress>),
}

impl Compression {
    pub fn to(url: &Url) -> Self {
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if here { Self::None } else { Self::Gzip(Mutex::new(Compress::new(flate2::Compression::fast(), false))) }
    }

    /// The body's `content-encoding`.
    pub fn encoding(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Gzip(_) => Some(HeaderValue::from_static("gzip")),
        }
    }

    pub fn compress(&self, envelope: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => envelope,
            Self::Gzip(compressor) => gzip(&mut compressor.lock(), &envelope),
        }
    }
}

/// RFC 1952, with neither name nor time.
fn gzip(compressor: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    /// It is deflate, made fast, on a system that is of no matter.
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
    let mut packed = Vec::with_capacity(HEADER.len() + bytes.len() / 2 + 64);
    packed.extend(HEADER);
    compressor.reset();
    loop {
        let taken = compressor.total_in() as usize;
        match compressor.compress_vec(&bytes[taken..], &mut packed, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => break,
            // It has filled what there is.
            _ => packed.reserve(bytes.len() / 2 + 64),
        }
    }
    packed.extend(crc32fast::hash(bytes).to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn to(url: &str) -> Compression {
        Compression::to(&url.parse().expect("a URL"))
    }

    #[test]
    fn what_stays_on_the_machine_is_not_packed() {
        for url in ["http://localhost:8969/stream", "http://127.1.2.3/api/1/envelope/", "http://[::1]:9000/"] {
            assert!(to(url).encoding().is_none(), "{url}");
            assert_eq!(to(url).compress(b"{}".to_vec()), b"{}");
        }
        for url in ["https://o1.ingest.sentry.io/api/1/envelope/", "http://10.0.0.1/", "http://localhost.example/"] {
            assert!(to(url).encoding().is_some_and(|encoding| encoding == "gzip"), "{url}");
        }
    }

    #[test]
    fn one_after_the_other_comes_back_as_it_was() {
        let packing = to("https://sentry.example/");
        let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let text = b"{\"spans\":[]}\n".repeat(10_000);
        for bytes in [text.clone(), noise, Vec::new(), b"{}".to_vec(), text.clone()] {
            let packed = packing.compress(bytes.clone());
            let mut unpacked = Vec::new();
            GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).expect("gzip");
            assert!(unpacked == bytes, "{} bytes", bytes.len());
        }
        assert!(packing.compress(text.clone()).len() < text.len() / 20);
    }
}
