//! Removes unsafe debug information (DWARF) from components. wasmtime reads debug information for a backtrace each time
//! that a guest traps, and cannot be interrupted meanwhile. Debug information that would take too long to read, or too
//! much stack or memory, is therefore removed before the component is compiled.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use addr2line::Context;
use addr2line::gimli::{self, Dwarf, EndianSlice, LittleEndian, Reader, ReaderOffsetId, SectionId};
use wasmparser::{Parser, Payload};

/// The maximal number of reads of debug information for one core module. Measured: all debug information of a Rust
/// probe, 3 MB, takes 1.6 million reads.
const MAX_READS: usize = 5_000_000;
/// The maximal number of reads for all core modules of a component together.
const MAX_TOTAL_READS: usize = 20_000_000;
/// The maximal nesting of entries. Each level takes a frame of the host's stack.
const MAX_DEPTH: isize = 128;
/// The maximal length of a name or path.
const MAX_TEXT_BYTES: usize = 4096;

/// Returns the component without the debug information that is unsafe to read, and true if any was removed.
pub fn without_unsafe_dwarf(bytes: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, bool) {
    let mut total_left = MAX_TOTAL_READS;
    let unsafe_modules = modules(&bytes).into_iter().filter(|module| !module.is_safe(&mut total_left));
    let offsets: Vec<usize> = unsafe_modules.flat_map(|module| module.name_offsets).collect();
    if offsets.is_empty() {
        return (bytes, false);
    }
    let mut bytes = bytes.into_owned();
    for offset in offsets {
        // A section with an unknown name is ignored. Renaming keeps the lengths of the section and of the component.
        bytes[offset] = b'-';
    }
    (Cow::Owned(bytes), true)
}

/// The sections of one core module that have debug information.
#[derive(Default)]
struct Module<'a> {
    /// Sections by name. Of several with the same name, the last is read.
    sections: HashMap<&'a str, &'a [u8]>,
    /// The offset of each section's name in the component.
    name_offsets: Vec<usize>,
}

/// Returns the core modules of a component that have debug information. Stops at the first parse error, which the
/// compiler then reports.
fn modules(bytes: &[u8]) -> Vec<Module<'_>> {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } => open.push(Module::default()),
            Payload::End(_) => closed.extend(open.pop()),
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                let offset = section.name().as_ptr().addr() - bytes.as_ptr().addr();
                if let Some(module) = open.last_mut() {
                    module.sections.insert(section.name(), section.data());
                    module.name_offsets.push(offset);
                }
            }
            _ => {}
        }
    }
    closed.extend(open);
    closed.retain(|module| !module.name_offsets.is_empty());
    closed
}

impl Module<'_> {
    /// Returns true if all debug information that a backtrace may need can be read within the bounds. Subtracts the
    /// reads from `total_left`.
    fn is_safe(&self, total_left: &mut usize) -> bool {
        let max_reads = MAX_READS.min(*total_left);
        let reads_left = Cell::new(max_reads);
        let section = |id: SectionId| {
            let data = self.sections.get(id.name()).copied().unwrap_or_default();
            Ok::<_, gimli::Error>(BoundedReader {
                bytes: EndianSlice::new(data, LittleEndian),
                reads_left: &reads_left,
            })
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
        // The parser ignores some errors, so the number of reads is checked too.
        let is_safe = read().is_ok_and(|shallow| shallow) && reads_left.get() > 0;
        *total_left -= max_reads - reads_left.get();
        is_safe
    }
}

/// Returns true if no entry is nested deeper than [`MAX_DEPTH`].
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

/// A reader that fails once `reads_left` is zero. All readers of a core module share this number.
#[derive(Debug, Clone)]
struct BoundedReader<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    reads_left: &'a Cell<usize>,
}

impl BoundedReader<'_> {
    /// Subtracts a number of reads from those that are left. Fails if none are left.
    fn count_reads(&self, reads: usize) -> gimli::Result<()> {
        self.reads_left.set(self.reads_left.get().saturating_sub(reads));
        if self.reads_left.get() == 0 { Err(gimli::Error::UnexpectedEof(self.bytes.offset_id())) } else { Ok(()) }
    }

    /// Counts a text that is read or copied as one read, and one more for each 8 bytes. Fails if the text is longer
    /// than [`MAX_TEXT_BYTES`].
    fn count_text(&self, length: usize) -> gimli::Result<()> {
        const BYTES_PER_READ: usize = 8;
        let reads = if length > MAX_TEXT_BYTES { usize::MAX } else { 1 + length / BYTES_PER_READ };
        self.count_reads(reads)
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
        self.count_reads(1)?;
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
        let searched = EndianSlice::new(&self.bytes[..self.bytes.len().min(MAX_TEXT_BYTES + 1)], LittleEndian);
        let position = searched.find(byte);
        self.count_text(position.unwrap_or(searched.len()))?;
        position.ok_or_else(|| gimli::Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, length: usize) -> gimli::Result<()> {
        self.count_reads(1)?;
        self.bytes.skip(length)
    }

    fn split(&mut self, length: usize) -> gimli::Result<Self> {
        self.count_reads(1)?;
        Ok(Self { bytes: self.bytes.split(length)?, reads_left: self.reads_left })
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.count_text(self.bytes.len())?;
        self.bytes.to_slice()
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        self.count_text(self.bytes.len())?;
        Reader::to_string(&self.bytes)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        self.count_text(self.bytes.len())?;
        Reader::to_string_lossy(&self.bytes)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> gimli::Result<()> {
        self.count_reads(1)?;
        Reader::read_slice(&mut self.bytes, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Abbreviations of a unit, a function and an inlined function: each with children, a start address and a code
    /// length.
    const ABBREVIATIONS: &[u8] =
        b"\x01\x11\x01\x11\x01\x12\x06\0\0\x02\x2e\x01\x11\x01\x12\x06\0\0\x03\x1d\x01\x11\x01\x12\x06\0\0\0";

    fn entry(kind: u8) -> Vec<u8> {
        [&[kind][..], &0u32.to_le_bytes(), &0xffffu32.to_le_bytes()].concat()
    }

    /// Returns a unit in the format of DWARF 4.
    fn unit(entries: &[u8]) -> Vec<u8> {
        let length = u32::try_from(7 + entries.len()).unwrap();
        [&length.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 4], entries].concat()
    }

    /// Returns a unit with a function in which functions are inlined to this depth.
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
    fn check(info: &[u8], abbreviations: &[u8], is_safe: bool) {
        let before = module(info, abbreviations);
        let started = Instant::now();
        let (after, has_unsafe) = without_unsafe_dwarf(Cow::Borrowed(&before));
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(has_unsafe, !is_safe);
        let modules_left = modules(&after).len();
        assert_eq!((modules_left, after.len(), *after == *before), (usize::from(is_safe), before.len(), is_safe));
    }

    #[test]
    fn usual_debug_information_is_kept() {
        check(&nested(30), ABBREVIATIONS, true);
        check(&nested(30).repeat(100), ABBREVIATIONS, true);
        check(&[], &[], true);
    }

    #[test]
    fn expensive_debug_information_is_removed() {
        check(&nested(100_000), ABBREVIATIONS, false);
        // All units share one table of abbreviations, which is read again for each unit.
        let table: Vec<u8> = (1..30_000u32)
            .flat_map(|code| [0x80 | code as u8, 0x80 | (code >> 7) as u8, (code >> 14) as u8, 0x11, 0, 0, 0])
            .chain([0])
            .collect();
        check(&unit(&[]).repeat(30_000), &table, false);
    }

    #[test]
    fn debug_information_of_all_modules_together_is_bounded() {
        // Each module takes most of the reads that one may take.
        let info = unit(&[entry(1), [entry(2), vec![0]].concat().repeat(90_000), vec![0; 2]].concat());
        let one = module(&info, ABBREVIATIONS);
        let whole = without_unsafe_dwarf(Cow::Borrowed(&one));
        assert!(!whole.1, "one alone is safe");
        let inner = &one[8..];
        let many = [&one[..8], &inner.repeat(40)].concat();
        let (after, has_unsafe) = without_unsafe_dwarf(Cow::Borrowed(&many));
        let left = modules(&after).len();
        assert!(has_unsafe && left > 0 && left < 40, "{left}");
    }

    #[test]
    fn damaged_debug_information_is_removed() {
        let info = nested(3);
        check(&info[..info.len() - 1], ABBREVIATIONS, false);
        check(&info, &ABBREVIATIONS[..5], false);
        check(&[0xff; 100], ABBREVIATIONS, false);
    }
}
