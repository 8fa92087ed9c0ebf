//! The format of a compiler's result, which the compiler process writes and the store of compiled code keeps: the
//! length of a header (four bytes, little-endian), the header as JSON, and the code.

use serde::{Deserialize, Serialize};

use super::precompile::CompileError;
use super::precompiled::{Facts, Precompiled};

/// The maximal size of the header in bytes. The bounds on facts and errors are far below this.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// The number of bytes that the length of the header takes.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The header, which precedes the code.
#[derive(Serialize, Deserialize)]
struct Header {
    result: Result<Facts, CompileError>,
    /// The number of bytes after the header.
    code_bytes: usize,
}

/// Returns the part of a result that precedes its code: the length of the header, and the header.
pub fn encode_header(result: Result<&Precompiled, &CompileError>) -> Vec<u8> {
    let code_bytes = result.map_or(0, |compiled| compiled.code().len());
    let result = result.map(|compiled| compiled.facts().clone()).map_err(CompileError::clone);
    let header = serde_json::to_vec(&Header { result, code_bytes }).unwrap_or_default();
    let length = u32::try_from(header.len()).unwrap_or_default();
    [&length.to_le_bytes()[..], &header].concat()
}

/// Reads a result: the facts with the code, or the compiler's error. Returns `None` if it is incomplete, or is not in
/// this format.
pub fn decode(mut bytes: Vec<u8>) -> Option<Result<(Facts, Vec<u8>), CompileError>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_HEADER_BYTES)?;
    let header: Header = serde_json::from_slice(rest.get(..length)?).ok()?;
    let start = LENGTH_BYTES + length;
    if bytes.len() - start != header.code_bytes {
        return None;
    }
    Some(header.result.map(|facts| {
        bytes.drain(..start);
        (facts, bytes)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_as_they_were_written() {
        let facts = Facts { producers: vec![["sdk", "x", "1"].map(str::to_owned)], ..Facts::default() };
        let compiled = Precompiled::trust(facts.clone(), b"code".to_vec());
        let whole = [&encode_header(Ok(&compiled))[..], compiled.code()].concat();
        assert_eq!(decode(whole.clone()), Some(Ok((facts, b"code".to_vec()))));
        for length in 0..whole.len() {
            assert_eq!(decode(whole[..length].to_vec()), None);
        }
        assert_eq!(decode([&whole[..], b"x"].concat()), None);
        let error = CompileError::Invalid("no".to_owned());
        assert_eq!(decode(encode_header(Err(&error))), Some(Err(error)));
        assert_eq!(decode(vec![0xff; 100]), None);
    }
}
