//! The debug information (DWARF) that a component carries for its backtraces. It is a guest's, and read by the host
//! each time that the guest traps, where nobody can interrupt it: what would take long to read, or more stack or memory
//! than there is, is left out before the component is compiled.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use addr2line::Context;
use addr2line::gimli::{self, Dwarf, EndianSlice, LittleEndian, Reader, ReaderOffsetId, SectionId};
use wasmparser::{Parser, Payload};

/// How often the reader may be asked for a piece. Measured: all of a Rust probe's, of 3 MB, takes 1.6 million.
const MAX_READS: usize = 5_000_000;
/// Each level of it is one of the host's stack.
const MAX_DEPTH: isize = 128;
/// Of a name or a path.
const MAX_TEXT_BYTES: usize = 4096;

/// A component whose debug information can be read at any time; what is left out is told.
pub fn without_unsafe_dwarf<'a>(bytes: Cow<'a, [u8]>, name: &str) -> Cow<'a, [u8]> {
    let wild: Vec<usize> = modules(&bytes).into_iter().filter(|it| !it.is_safe()).flat_map(|it| it.names).collect();
    if wild.is_empty() {
        return bytes;
    }
    tracing::warn!("the debug information of {name} is left out: it is damaged, or takes too long to read");
    let mut bytes = bytes.into_owned();
    for at in wild {
        // Under another name of the same length it is a section that nobody reads.
        bytes[at] = b'-';
    }
    Cow::Owned(bytes)
}

/// The sections of a core module that are debug information.
#[derive(Default)]
struct Module<'a> {
    /// Of several with one name, the last is read.
    sections: HashMap<&'a str, &'a [u8]>,
    /// Where each has its name.
    names: Vec<usize>,
}

/// The core modules of a component, as far as it can be read: what is wrong with the rest, its compiler says.
fn modules(bytes: &[u8]) -> Vec<Module<'_>> {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } => open.push(Module::default()),
            Payload::End(_) => closed.extend(open.pop()),
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                let at = section.name().as_ptr().addr() - bytes.as_ptr().addr();
                if let Some(module) = open.last_mut() {
                    module.sections.insert(section.name(), section.data());
                    module.names.push(at);
                }
            }
            _ => {}
        }
    }
    closed.extend(open);
    closed.retain(|module| !module.names.is_empty());
    closed
}

impl Module<'_> {
    /// Reads all that a backtrace could ever want to read of it.
    fn is_safe(&self) -> bool {
        let left = Cell::new(MAX_READS);
        let section = |id: SectionId| {
            let data = self.sections.get(id.name()).copied().unwrap_or_default();
            Ok::<_, gimli::Error>(BoundedReader { bytes: EndianSlice::new(data, LittleEndian), left: &left })
        };
        let read = || {
            let dwarf = Dwarf::load(section)?;
            if !is_shallow(&dwarf)? {
                return Ok(false);
            }
            let context = Context::from_dwarf(dwarf)?;
            context.parse_lines()?;
            context.parse_functions()?;
            context.parse_inlined_functions().map(|()| true)
        };
        // Some of the errors are passed over.
        read().is_ok_and(|shallow| shallow) && left.get() > 0
    }
}

fn is_shallow<R: Reader>(dwarf: &Dwarf<R>) -> gimli::Result<bool> {
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let mut entries = unit.entries_raw(None)?;
        while !entries.is_empty() {
            if entries.next_depth() > MAX_DEPTH {
                return Ok(false);
            }
            if let Some(abbreviation) = entries.read_abbreviation()? {
                entries.skip_attributes(abbreviation.attributes())?;
            }
        }
    }
    Ok(true)
}

/// Bytes that can be read so often, and then no more.
#[derive(Debug, Clone)]
struct BoundedReader<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    left: &'a Cell<usize>,
}

impl BoundedReader<'_> {
    fn take(&self, reads: usize) -> gimli::Result<()> {
        self.left.set(self.left.get().saturating_sub(reads));
        if self.left.get() == 0 { Err(gimli::Error::UnexpectedEof(self.bytes.offset_id())) } else { Ok(()) }
    }

    /// A text is about to be read, or copied.
    fn take_text(&self, length: usize) -> gimli::Result<()> {
        const BYTES_OF_A_READ: usize = 8;
        let reads = if length > MAX_TEXT_BYTES { usize::MAX } else { 1 + length / BYTES_OF_A_READ };
        self.take(reads)
    }
}

impl Reader for BoundedReader<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        self.bytes.endian()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn empty(&mut self) {
        self.bytes.empty();
    }

    fn truncate(&mut self, length: usize) -> gimli::Result<()> {
        self.take(1)?;
        self.bytes.truncate(length)
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.bytes.offset_from(base.bytes)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.bytes.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.bytes.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        let within = EndianSlice::new(&self.bytes[..self.bytes.len().min(MAX_TEXT_BYTES + 1)], LittleEndian);
        let found = within.find(byte);
        self.take_text(found.unwrap_or(within.len()))?;
        found.ok_or_else(|| gimli::Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, length: usize) -> gimli::Result<()> {
        self.take(1)?;
        self.bytes.skip(length)
    }

    fn split(&mut self, length: usize) -> gimli::Result<Self> {
        self.take(1)?;
        Ok(Self { bytes: self.bytes.split(length)?, left: self.left })
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.take_text(self.bytes.len())?;
        self.bytes.to_slice()
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        self.take_text(self.bytes.len())?;
        Reader::to_string(&self.bytes)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        self.take_text(self.bytes.len())?;
        Reader::to_string_lossy(&self.bytes)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> gimli::Result<()> {
        self.take(1)?;
        Reader::read_slice(&mut self.bytes, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Tags, with children, and with an address and a length of code: of a unit, a function and what is inlined.
    const ABBREVIATIONS: &[u8] =
        b"\x01\x11\x01\x11\x01\x12\x06\0\0\x02\x2e\x01\x11\x01\x12\x06\0\0\x03\x1d\x01\x11\x01\x12\x06\0\0\0";

    fn entry(kind: u8) -> Vec<u8> {
        [&[kind][..], &0u32.to_le_bytes(), &0xffffu32.to_le_bytes()].concat()
    }

    /// One of DWARF 4.
    fn unit(entries: &[u8]) -> Vec<u8> {
        let length = u32::try_from(7 + entries.len()).unwrap();
        [&length.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 4], entries].concat()
    }

    /// A function in which so many are inlined, one in the other.
    fn nested(depth: usize) -> Vec<u8> {
        unit(&[entry(1), entry(2), entry(3).repeat(depth), vec![0; depth + 2]].concat())
    }

    fn module(info: &[u8], abbreviations: &[u8]) -> Vec<u8> {
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        let section = |name: &str, bytes: &[u8]| format!("(@custom \"{name}\" \"{}\")", escaped(bytes));
        let sections = section(".debug_info", info) + &section(".debug_abbrev", abbreviations);
        wat::parse_str(format!("(component (core module {sections}))")).unwrap()
    }

    #[track_caller]
    fn check(info: &[u8], abbreviations: &[u8], tame: bool) {
        let before = module(info, abbreviations);
        let started = Instant::now();
        let after = without_unsafe_dwarf(Cow::Borrowed(&before), "a test");
        assert!(started.elapsed() < Duration::from_secs(20));
        let left = modules(&after).len();
        assert_eq!((left, after.len(), *after == *before), (usize::from(tame), before.len(), tame));
    }

    #[test]
    fn what_a_compiler_writes_stays() {
        check(&nested(30), ABBREVIATIONS, true);
        check(&nested(30).repeat(100), ABBREVIATIONS, true);
        check(&[], &[], true);
    }

    #[test]
    fn what_takes_too_much_goes() {
        check(&nested(100_000), ABBREVIATIONS, false);
        // Each unit has the same table, which is read for each.
        let table: Vec<u8> = (1..30_000u32)
            .flat_map(|code| [0x80 | code as u8, 0x80 | (code >> 7) as u8, (code >> 14) as u8, 0x11, 0, 0, 0])
            .chain([0])
            .collect();
        check(&unit(&[]).repeat(30_000), &table, false);
    }

    #[test]
    fn what_is_damaged_goes() {
        let info = nested(3);
        check(&info[..info.len() - 1], ABBREVIATIONS, false);
        check(&info, &ABBREVIATIONS[..5], false);
        check(&[0xff; 100], ABBREVIATIONS, false);
    }
}
