//! The format of a file of compiled code: a line with the format's name, the length of a header (four bytes,
//! little-endian), the header as JSON, and the native code.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Serialize};
use wasmtime::ModuleVersionStrategy;

use super::precompiled::Facts;
use super::read::hexadecimal;
use crate::sandbox::contract::CONTRACT_VERSION;

/// The beginning of each file.
const FORMAT: &[u8] = b"sentrynet compiled component 1\n";
/// The maximal size of the header: the facts have bounds far below.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// The bytes of the header's length.
const LENGTH_BYTES: usize = size_of::<u32>();

/// The part before the code.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The SHA-256 of the component's file, in hexadecimal digits.
    component: String,
    made_for: Host,
    facts: Facts,
    /// The SHA-256 of the code, in hexadecimal digits. It finds damage: whoever can change the code can change it too.
    code: String,
}

/// The properties of a host that code is made for. wasmtime checks further ones: its settings, and the features of the
/// processor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    /// The version of this program.
    sentrynet: String,
    /// The version of the contract.
    contract: String,
    /// The version of wasmtime, as far as wasmtime distinguishes versions.
    wasmtime: String,
    /// The architecture and the operating system: `x86_64-linux`.
    target: String,
}

impl Host {
    fn this() -> Self {
        Self {
            sentrynet: env!("CARGO_PKG_VERSION").to_owned(),
            contract: CONTRACT_VERSION.to_owned(),
            wasmtime: ModuleVersionStrategy::WasmtimeVersion.as_str().to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }

    /// Returns the first property in which two hosts differ: its name, and the two values.
    fn difference<'a>(&'a self, other: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let properties = [
            ("SentryNet", &self.sentrynet, &other.sentrynet),
            ("contract", &self.contract, &other.contract),
            ("wasmtime", &self.wasmtime, &other.wasmtime),
            ("target", &self.target, &other.target),
        ];
        properties
            .into_iter()
            .find(|(_, ours, others)| ours != others)
            .map(|(name, a, b)| (name, a.as_str(), b.as_str()))
    }
}

/// A reason why a file of compiled code cannot be used: lower case, no full stop.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The file has another format.
    #[error("it is no file of compiled code that this version can read")]
    Format,
    /// The code is that of another component.
    #[error("it is the code of another component, with the sha256 {0}")]
    OtherComponent(String),
    /// The code is for another host.
    #[error("it was compiled for {property} {made_for}, and this program has {here}")]
    OtherHost {
        /// The property in which the hosts differ.
        property: &'static str,
        /// Its value in the file.
        made_for: String,
        /// Its value here.
        here: String,
    },
    /// The code has changed since it was compiled.
    #[error("it is damaged: the code has another sha256 than its header says")]
    Damaged,
}

/// Returns the part of a file before its code.
#[cfg(feature = "compiler")]
pub fn encode_header(component: &[u8; SHA256_OUTPUT_LEN], facts: &Facts, code: &[u8]) -> Vec<u8> {
    let code = hexadecimal(digest(&SHA256, code).as_ref());
    let header = Header { component: hexadecimal(component), made_for: Host::this(), facts: facts.clone(), code };
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let length = u32::try_from(header.len()).unwrap_or_default();
    [FORMAT, &length.to_le_bytes(), &header].concat()
}

/// Reads a file that has the code of a component: returns the facts about the component, and the code.
///
/// # Errors
/// Returns each variant of [`Mismatch`].
pub fn decode(component: &[u8; SHA256_OUTPUT_LEN], mut file: Vec<u8>) -> Result<(Facts, Vec<u8>), Mismatch> {
    let (header, start) = decode_header(&file).ok_or(Mismatch::Format)?;
    if header.component != hexadecimal(component) {
        return Err(Mismatch::OtherComponent(printable_digest(&header.component)));
    }
    if let Some((property, made_for, here)) = header.made_for.difference(&Host::this()) {
        let made_for = made_for.chars().filter(char::is_ascii_graphic).take(50).collect();
        return Err(Mismatch::OtherHost { property, made_for, here: here.to_owned() });
    }
    if header.code != hexadecimal(digest(&SHA256, &file[start..]).as_ref()) {
        return Err(Mismatch::Damaged);
    }
    file.drain(..start);
    Ok((header.facts, file))
}

/// Returns the header of a file, and where its code starts.
fn decode_header(file: &[u8]) -> Option<(Header, usize)> {
    let (length, rest) = file.strip_prefix(FORMAT)?.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_HEADER_BYTES)?;
    let header = serde_json::from_slice(rest.get(..length)?).ok()?;
    Some((header, FORMAT.len() + LENGTH_BYTES + length))
}

/// Returns the digits at the beginning of a text that should be a digest.
fn printable_digest(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).take(2 * SHA256_OUTPUT_LEN).collect()
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;

    const COMPONENT: [u8; SHA256_OUTPUT_LEN] = [7; SHA256_OUTPUT_LEN];
    const CODE: &[u8] = b"native code";

    fn file() -> Vec<u8> {
        [&encode_header(&COMPONENT, &Facts::default(), CODE)[..], CODE].concat()
    }

    /// Returns why a file is refused in which a text is replaced by one of the same length.
    #[track_caller]
    fn refusal(from: &str, to: &str) -> String {
        let mut file = file();
        let at = file.windows(from.len()).position(|part| part == from.as_bytes()).expect("the file has the text");
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
        decode(&COMPONENT, file).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        assert_eq!(decode(&COMPONENT, file()).unwrap(), (Facts::default(), CODE.to_vec()));
        for length in 0..file().len() {
            assert!(decode(&COMPONENT, file()[..length].to_vec()).is_err(), "{length}");
        }
    }

    #[test]
    fn files_for_others_are_refused_with_the_difference() {
        let other = decode(&[8; SHA256_OUTPUT_LEN], file()).unwrap_err().to_string();
        assert!(other.starts_with("it is the code of another component, with the sha256 0707"), "{other}");
        let version = env!("CARGO_PKG_VERSION");
        let older = refusal(
            &format!("\"sentrynet\":\"{version}\""),
            &format!("\"sentrynet\":\"{}\"", "9".repeat(version.len())),
        );
        assert_eq!(
            older,
            format!("it was compiled for SentryNet {}, and this program has {version}", "9".repeat(version.len()))
        );
        let target = refusal("-linux", "-solar");
        assert!(
            target.contains("compiled for target ") && target.contains("-solar, and this program has "),
            "{target}"
        );
        assert!(refusal("\"wasmtime\":\"4", "\"wasmtime\":\"3").contains("compiled for wasmtime 3"));
        assert!(refusal("\"contract\":\"0", "\"contract\":\"9").contains("compiled for contract 9"));
    }

    #[test]
    fn damaged_files_are_refused() {
        assert_eq!(refusal("native", "naïve"), "it is damaged: the code has another sha256 than its header says");
        assert!(refusal("component 1", "component 2").contains("no file of compiled code that this version can read"));
        assert!(decode(&COMPONENT, vec![0xff; 1000]).is_err());
    }
}
