//! Content codings of response bodies, which are decoded while a body arrives.

mod deflate;
mod gzip;
mod input;

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, TRANSFER_ENCODING};

use crate::capability::text::quotable;
use deflate::DeflateReader;
use gzip::GzipReader;
use input::Input;

/// The codings that requests ask for, as the value of `accept-encoding`.
pub const ACCEPTED: &str = "gzip, br, zstd, deflate";

/// The maximum number of codings of one body. curl has the same.
const MAX_CODINGS: usize = 5;

/// The binary logarithm of the largest window of zstd that is decoded, 8 MiB. RFC 8878 recommends to support no more.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A content coding that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Decodes one body. It holds at most one chunk of the body, and the windows of its codings.
pub struct BodyDecoder {
    names: String,
    input: Input,
    reader: Box<dyn Read + Send>,
    /// The bytes that the codings' windows may take.
    pub window_bytes: usize,
}

impl BodyDecoder {
    /// Returns the decoder of a response's body; `None` if the body has no content coding.
    ///
    /// # Errors
    /// A sentence for a person if the body cannot be decoded: it has an unknown coding or too many, or is a range of
    /// the encoded bytes.
    pub fn of_response(status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>, String> {
        let names = declared_codings(headers);
        if names.is_empty() {
            return Ok(None);
        }
        let shown = quotable(&names.join(", "));
        if names.len() > MAX_CODINGS {
            return Err(format!(
                "the body has {} content codings, more than the {MAX_CODINGS} that are decoded",
                names.len()
            ));
        }
        if status == StatusCode::PARTIAL_CONTENT {
            return Err(format!(
                "the body is a range of bytes that are encoded with `{shown}`, which cannot be decoded"
            ));
        }
        let codings: Option<Vec<_>> = names.iter().map(|name| Coding::parse(name)).collect();
        let codings = codings.ok_or_else(|| {
            format!("the body is encoded with `{shown}`: only gzip, br, zstd and deflate can be decoded")
        })?;
        Ok(Some(Self::new(shown, &codings)))
    }

    fn new(names: String, codings: &[Coding]) -> Self {
        let input = Input::default();
        let mut reader: Box<dyn BufRead + Send> = Box::new(input.clone());
        // The last coding was applied last, and is removed first.
        for coding in codings.iter().rev() {
            reader = Box::new(BufReader::new(coding.decode(reader)));
        }
        let window_bytes = codings.iter().map(|coding| coding.window_bytes()).sum();
        Self { names, input, reader, window_bytes }
    }

    /// Gives the decoder the next bytes of the encoded body.
    pub fn push(&mut self, chunk: Bytes) {
        self.input.push(chunk);
    }

    /// Tells the decoder that the encoded body has ended.
    pub fn end(&mut self) {
        self.input.end();
    }

    /// Decodes bytes into `buffer`, and returns their number. 0 means that nothing is left until more is pushed.
    ///
    /// # Errors
    /// A sentence for a person if the encoded bytes are damaged, or end too early.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match self.reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(format!("the body ends before its `{}` encoding does", self.names))
            }
            result => result.map_err(|_| format!("the body is not encoded with `{}`, as its headers say", self.names)),
        }
    }
}

impl Coding {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn decode(self, from: Box<dyn BufRead + Send>) -> Box<dyn Read + Send> {
        const BROTLI_BUFFER_BYTES: usize = 4 << 10;
        match self {
            Self::Gzip => Box::new(GzipReader::new(from)),
            Self::Deflate => Box::new(DeflateReader::new(from)),
            Self::Brotli => Box::new(EmptyOr::new(from, |from| {
                Ok(Box::new(brotli_decompressor::Decompressor::new(from, BROTLI_BUFFER_BYTES)))
            })),
            Self::Zstd => Box::new(EmptyOr::new(from, |from| {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(Box::new(decoder))
            })),
        }
    }

    /// Returns the bytes that the window of the coding may take.
    fn window_bytes(self) -> usize {
        match self {
            Self::Gzip | Self::Deflate => 64 << 10,
            Self::Brotli => 16 << 20,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG,
        }
    }
}

/// Returns the codings that the headers declare, in the order in which they were applied. Codings that change nothing
/// are left out, as is `chunked`, which the client has removed.
fn declared_codings(headers: &HeaderMap) -> Vec<String> {
    let listed = |name: HeaderName, ignored: &'static [&'static str]| {
        let values = headers.get_all(name).into_iter();
        let names = values.flat_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        });
        names.filter(|name| !ignored.contains(&name.as_str())).collect::<Vec<_>>()
    };
    let mut codings = listed(CONTENT_ENCODING, &["", "identity", "none"]);
    codings.extend(listed(TRANSFER_ENCODING, &["", "identity", "chunked"]));
    codings
}

/// A function that makes the decoder of encoded bytes.
type MakeDecoder = fn(Box<dyn BufRead + Send>) -> io::Result<Box<dyn Read + Send>>;

/// A decoder for bytes that may be missing: servers declare codings for empty bodies too.
enum EmptyOr {
    /// No byte has arrived yet.
    Empty(Option<Box<dyn BufRead + Send>>, MakeDecoder),
    Decoding(Box<dyn Read + Send>),
}

impl EmptyOr {
    fn new(from: Box<dyn BufRead + Send>, decoder: MakeDecoder) -> Self {
        Self::Empty(Some(from), decoder)
    }
}

impl Read for EmptyOr {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Empty(from, decoder) = self {
            let Some(waiting) = from else { return Ok(0) };
            if waiting.fill_buf()?.is_empty() {
                return Ok(0);
            }
            if let Some(from) = from.take() {
                *self = Self::Decoding(decoder(from)?);
            }
        }
        match self {
            Self::Decoding(decoder) => decoder.read(buffer),
            Self::Empty(..) => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::header::HeaderValue;

    use super::*;

    fn headers(coding: &'static str) -> HeaderMap {
        [(CONTENT_ENCODING, HeaderValue::from_static(coding))].into_iter().collect()
    }

    /// Decodes a body that arrives in pieces of `size` bytes.
    fn decode_in_pieces(coding: &'static str, encoded: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let decoder = BodyDecoder::of_response(StatusCode::OK, &headers(coding))?;
        let mut decoder = decoder.expect("the headers declare a coding");
        let mut body = Vec::new();
        let mut buffer = [0; 64];
        let mut read_all = |decoder: &mut BodyDecoder| {
            loop {
                match decoder.read(&mut buffer)? {
                    0 => return Ok::<_, String>(()),
                    length => body.extend_from_slice(&buffer[..length]),
                }
            }
        };
        for piece in encoded.chunks(size) {
            decoder.push(Bytes::copy_from_slice(piece));
            read_all(&mut decoder)?;
        }
        decoder.end();
        read_all(&mut decoder)?;
        Ok(body)
    }

    #[track_caller]
    fn check(coding: &'static str, encoded: &[u8], expected: &Result<Vec<u8>, String>) {
        for size in [1, 3, 1000] {
            assert_eq!(&decode_in_pieces(coding, encoded, size), expected, "{coding} in pieces of {size}");
        }
    }

    fn text() -> Vec<u8> {
        (0..2000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    fn raw_deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    /// `brotli` of `Hello Hello Hello Hello\n`.
    const BROTLI: &[u8] = &[
        0x1b, 0x17, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0xaa, 0x46, 0x2a, 0x63, 0x7b, 0x53, 0x0a, 0x20, 0xa5, 0x88,
        0x3c, 0x71, 0x40, 0x63, 0x1d,
    ];

    #[test]
    fn bodies_are_decoded_in_pieces_of_any_size() {
        let (text, zstd) = (text(), zstd::encode_all(text().as_slice(), 1).expect("memory can be written"));
        check("gzip", &gzip(&text), &Ok(text.clone()));
        check("X-GZIP", &gzip(&text), &Ok(text.clone()));
        check("deflate", &zlib(&text), &Ok(text.clone()));
        check("deflate", &raw_deflate(&text), &Ok(text.clone()));
        check("zstd", &zstd, &Ok(text.clone()));
        check("br", BROTLI, &Ok(b"Hello Hello Hello Hello\n".to_vec()));
        check("deflate, gzip", &gzip(&zlib(&text)), &Ok(text.clone()));
        check("gzip,  zstd", &zstd::encode_all(gzip(&text).as_slice(), 1).expect("memory"), &Ok(text.clone()));
    }

    #[test]
    fn what_clients_accept_is_accepted() {
        let (one, two) = (gzip(b"one "), gzip(b"two"));
        check("gzip", &[one.clone(), two].concat(), &Ok(b"one two".to_vec()));
        check("gzip", &[one, vec![0; 20]].concat(), &Ok(b"one ".to_vec()));
        for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            check(coding, b"", &Ok(Vec::new()));
        }
        for unencoded in ["identity", "none", ""] {
            assert!(BodyDecoder::of_response(StatusCode::OK, &headers(unencoded)).is_ok_and(|none| none.is_none()));
        }
        let chunked = [(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))].into_iter().collect();
        assert!(BodyDecoder::of_response(StatusCode::OK, &chunked).is_ok_and(|none| none.is_none()));
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let ends = |coding: &str| Err(format!("the body ends before its `{coding}` encoding does"));
        let wrong = |coding: &str| Err(format!("the body is not encoded with `{coding}`, as its headers say"));
        let encoded = gzip(&text());
        check("gzip", &encoded[..encoded.len() - 3], &ends("gzip"));
        check("gzip", b"{\"plain\": \"text\"}", &wrong("gzip"));
        let mut changed = encoded.clone();
        let last = changed.len() - 6;
        changed[last] ^= 1;
        check("gzip", &changed, &wrong("gzip"));
        check("deflate", b"<html>plain text", &wrong("deflate"));
        check("deflate", &zlib(&text())[..100], &ends("deflate"));
        check("deflate", &raw_deflate(&text())[..100], &ends("deflate"));
        check("br", b"<html>plain text", &wrong("br"));
        check("zstd", b"<html>plain text", &wrong("zstd"));
        let zstd = zstd::encode_all(text().as_slice(), 1).expect("memory can be written");
        check("zstd", &zstd[..zstd.len() - 3], &ends("zstd"));
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let error = |status: StatusCode, coding: &'static str| {
            BodyDecoder::of_response(status, &headers(coding)).err().unwrap_or_default()
        };
        let unknown = "the body is encoded with `gzip, sdch`: only gzip, br, zstd and deflate can be decoded";
        assert_eq!(error(StatusCode::OK, "gzip, sdch"), unknown);
        let range = "the body is a range of bytes that are encoded with `gzip`, which cannot be decoded";
        assert_eq!(error(StatusCode::PARTIAL_CONTENT, "gzip"), range);
        let many = "the body has 6 content codings, more than the 5 that are decoded";
        assert_eq!(error(StatusCode::OK, "gzip, gzip, gzip, gzip, gzip, gzip"), many);
    }

    #[test]
    fn a_bomb_is_decoded_in_small_pieces() {
        let bomb = zstd::encode_all(vec![0; 32 << 20].as_slice(), 1).expect("memory can be written");
        let decoder = BodyDecoder::of_response(StatusCode::OK, &headers("zstd")).expect("zstd is known");
        let mut decoder = decoder.expect("the headers declare a coding");
        decoder.push(bomb.into());
        let mut buffer = [0; 1000];
        assert!(decoder.read(&mut buffer).is_ok_and(|length| (1..=1000).contains(&length)));
    }
}
