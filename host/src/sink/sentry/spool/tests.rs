use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const MAX_BYTES: u64 = 64 << 20;

fn envelope(kind: Kind, text: &str) -> Envelope {
    Envelope { kind, origin: Origin::BuiltIn, spans: 7, bytes: text.as_bytes().to_vec() }
}

fn add(spool: &mut Spool, kind: Kind, text: &str) -> SpooledEnvelope {
    spool.add(vec![envelope(kind, text)], SystemTime::now()).remove(0)
}

/// Returns the texts of the envelopes that can be read, sorted.
fn texts(envelopes: &[SpooledEnvelope]) -> Vec<String> {
    let read = envelopes.iter().filter_map(|envelope| envelope.read().ok());
    let mut texts: Vec<_> = read.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect();
    texts.sort();
    texts
}

fn remove_all(spool: &mut Spool, envelopes: Vec<SpooledEnvelope>) {
    for envelope in envelopes {
        spool.remove(envelope);
    }
}

/// Returns the segments of a spool in all its process directories.
fn files(directory: &Path) -> Vec<PathBuf> {
    let subdirectories = fs::read_dir(directory).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let files = subdirectories.flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten()).map(|file| file.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).collect();
    files.sort();
    files
}

/// Copies a spool as a process that is killed now would leave it.
fn copy_as_killed(directory: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(directory.path()) {
        let to = copy.path().join(file.strip_prefix(directory.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    copy
}

#[test]
fn added_envelopes_survive_a_kill_and_removed_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(leftovers.len(), 0);
    let sent = add(&mut spool, Kind::PassedTransaction, "sent");
    let _passed = add(&mut spool, Kind::PassedTransaction, "passed");
    let failed =
        spool.add(vec![envelope(Kind::FailedTransaction, "run"), envelope(Kind::Error, "why")], SystemTime::now());
    assert_eq!(texts(&failed), ["run", "why"]);
    spool.remove(sent);

    let directory = copy_as_killed(&directory);
    let (mut spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(texts(&leftovers), ["passed", "run", "why"]);
    let why = leftovers.iter().find(|envelope| envelope.kind == Kind::Error).unwrap();
    assert_eq!((why.spans, why.storage()), (7, Storage::Disk));
    assert!(why.added_at.elapsed().unwrap() < Duration::from_secs(60));
    remove_all(&mut spool, leftovers);
    let (_, leftovers) = Spool::open(copy_as_killed(&directory).path(), MAX_BYTES).unwrap();
    assert_eq!(leftovers.len(), 0);
}

#[test]
fn an_empty_spool_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let spooled: Vec<_> = (0..2000).map(|_| add(&mut spool, Kind::PassedTransaction, &"x".repeat(4000))).collect();
    assert!(files(directory.path()).len() > 2, "a file has a maximum size");
    assert!(spool.size() > 8_000_000);
    remove_all(&mut spool, spooled);
    let _next = add(&mut spool, Kind::PassedTransaction, "next");
    assert!(spool.size() < 1000, "{}", spool.size());
    drop(spool);
    assert_eq!(files(directory.path()).len(), 1);
    let (mut spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    remove_all(&mut spool, leftovers);
    drop(spool);
    assert!(files(directory.path()).is_empty());
}

#[test]
fn a_truncated_file_loses_only_the_truncated_record() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let _spooled = [
        add(&mut spool, Kind::PassedTransaction, "first"),
        add(&mut spool, Kind::PassedTransaction, "second, and last"),
    ];
    let intact = copy_as_killed(&directory);
    let file = files(intact.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).unwrap();
        let (spool, leftovers) = Spool::open(intact.path(), MAX_BYTES).unwrap();
        let whole_records = usize::from(length >= 8 + 24 + 5);
        assert_eq!(texts(&leftovers), &["first"][..whole_records], "{length} of {} bytes", bytes.len());
        // Leaves the files as a process would leave them that is killed now.
        std::mem::forget(leftovers);
        drop(spool);
    }
    for garbage in [b"\0".repeat(5000), b"garbage".repeat(100)] {
        fs::write(&file, [&bytes[..], &garbage].concat()).unwrap();
        let (_, leftovers) = Spool::open(intact.path(), MAX_BYTES).unwrap();
        assert_eq!(texts(&leftovers), ["first", "second, and last"]);
    }
}

/// Returns true if the spool keeps a file with this content when the spool is opened, also if it replaces the file by a
/// new segment.
fn is_kept(content: &[u8]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("1/0000000001.spool");
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    let (_spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(leftovers.len(), 0);
    fs::read(&file).is_ok_and(|after| after == content)
}

#[test]
fn a_file_is_deleted_if_it_is_empty_or_incomplete_and_kept_if_its_format_is_unknown() {
    for deleted in [&b""[..], b"sntsp", b"sntspl\0"] {
        assert!(!is_kept(deleted), "{}", deleted.escape_ascii());
    }
    for kept in [&b"x"[..], b"sntspx", b"sntspl\0\x02", b"sntspl\0\x02record", b"another format"] {
        assert!(is_kept(kept), "{}", kept.escape_ascii());
    }
}

#[test]
fn a_damaged_record_loses_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let _spooled = ["first", "second", "third"].map(|text| add(&mut spool, Kind::PassedTransaction, text));
    let intact = copy_as_killed(&directory);
    let file = files(intact.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    let second = 8 + 24 + "first".len();
    for at in second + 1..second + 24 + "second".len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        fs::write(&file, damaged).unwrap();
        let (_, leftovers) = Spool::open(intact.path(), MAX_BYTES).unwrap();
        assert_eq!(texts(&leftovers), ["first", "third"], "byte {at}");
    }
}

#[test]
fn an_envelope_with_a_flipped_bit_is_never_returned() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let _spooled =
        [add(&mut spool, Kind::PassedTransaction, "first"), add(&mut spool, Kind::PassedTransaction, "second")];
    let intact = copy_as_killed(&directory);
    let file = files(intact.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, &flipped).unwrap();
        let (_, leftovers) = Spool::open(intact.path(), MAX_BYTES).unwrap();
        let actual = texts(&leftovers);
        assert!(actual.iter().all(|text| text == "first" || text == "second"), "byte {at}: {actual:?}");
        assert!(actual.len() < 2, "byte {at}");
    }
}

#[test]
fn each_process_has_its_own_directory_and_the_next_takes_over_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let (mut second, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let _spooled = [add(&mut first, Kind::PassedTransaction, "first's"), add(&mut second, Kind::Error, "second's")];
    assert_ne!(first.directory(), second.directory());
    let (third, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(leftovers.len(), 0, "the segments of running processes are not taken");
    drop((second, third));
    let (fourth, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(texts(&leftovers), ["second's"]);
    drop((first, fourth));
    let (_, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(texts(&leftovers), ["first's", "second's"], "the next process takes over all that is left");
}

#[test]
fn removing_the_oldest_envelopes_frees_space() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
    let mut spooled = std::collections::VecDeque::new();
    for number in 0..2000 {
        spooled.push_back(add(&mut spool, Kind::PassedTransaction, &format!("{number:0>4000}")));
        while let Some(overfull) = spool.overfull() {
            assert_eq!(overfull, (Storage::Disk, Origin::BuiltIn));
            spool.remove(spooled.pop_front().unwrap());
        }
    }
    let on_disk: u64 = files(directory.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert_eq!(on_disk, spool.size());
    assert!(on_disk <= 1 << 20 && spooled.len() > 240, "{on_disk} bytes for {}", spooled.len());
    assert!(texts(spooled.make_contiguous()).last().unwrap().ends_with("1999"));
}

#[test]
fn segments_are_synced_once() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(spool.unsynced_segments().len(), 0, "nothing waits");
    let sent = add(&mut spool, Kind::PassedTransaction, "sent");
    spool.remove(sent);
    assert_eq!(spool.unsynced_segments().len(), 0, "nothing waits any longer");
    let spooled: Vec<_> = (0..10).map(|_| add(&mut spool, Kind::PassedTransaction, &"x".repeat(4000))).collect();
    let unsynced = spool.unsynced_segments();
    assert_eq!(unsynced.len(), files(directory.path()).len() - 1, "all but the one that was not written to");
    assert!(unsynced.len() > 1, "full segments too");
    for segment in unsynced {
        segment.sync().unwrap();
    }
    assert_eq!(spool.unsynced_segments().len(), 0);
    let _more = add(&mut spool, Kind::Error, "more");
    assert_eq!(spool.unsynced_segments().len(), 1);
    drop(spooled);
}

#[test]
fn an_envelope_that_cannot_be_written_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let on_disk = add(&mut spool, Kind::PassedTransaction, "on disk");
    // The next file cannot be created: its name is taken.
    let subdirectory = spool.directory().unwrap().to_owned();
    for number in 1..20 {
        _ = fs::create_dir(subdirectory.join(format!("{number:010}.spool")));
    }
    let _large = add(&mut spool, Kind::Error, &"x".repeat(2 << 20));
    let in_memory = add(&mut spool, Kind::Error, "in memory");
    assert_eq!((on_disk.storage(), in_memory.storage()), (Storage::Disk, Storage::Memory));
    assert_eq!(texts(&[on_disk, in_memory]), ["in memory", "on disk"]);
}

#[test]
fn envelopes_move_from_memory_to_disk_once_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let subdirectory = spool.directory().unwrap().to_owned();
    for number in 2..20 {
        fs::create_dir(subdirectory.join(format!("{number:010}.spool"))).unwrap();
    }
    let added_at = SystemTime::now() - Duration::from_secs(1000);
    let envelope = spool.add(vec![envelope(Kind::PassedTransaction, "run")], added_at).remove(0);
    let envelope = spool.move_to_disk(envelope);
    assert_eq!((envelope.storage(), spool.overfull()), (Storage::Memory, None));
    for number in 2..20 {
        fs::remove_dir(subdirectory.join(format!("{number:010}.spool"))).unwrap();
    }
    let envelope = spool.move_to_disk(envelope);
    assert_eq!(
        (envelope.storage(), envelope.kind, envelope.spans, envelope.added_at),
        (Storage::Disk, Kind::PassedTransaction, 7, added_at)
    );
    let directory = copy_as_killed(&directory);
    let (_, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(texts(&leftovers), ["run"]);
}

#[test]
fn removing_transactions_frees_space_although_errors_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
    let (mut errors, mut runs) = (Vec::new(), std::collections::VecDeque::new());
    for _ in 0..200 {
        let run = [envelope(Kind::FailedTransaction, &"x".repeat(8000)), envelope(Kind::Error, &"x".repeat(2000))];
        for envelope in spool.add(run.into(), SystemTime::now()) {
            if envelope.kind == Kind::Error { errors.push(envelope) } else { runs.push_back(envelope) }
        }
        while spool.overfull().is_some() {
            spool.remove(runs.pop_front().unwrap());
        }
    }
    assert!(runs.len() > 70, "{} of 80 that fit beside the errors", runs.len());
}

#[test]
fn the_origin_of_an_envelope_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    let third_party = Envelope { origin: Origin::ThirdParty(7), ..envelope(Kind::Error, "third-party") };
    let _spooled = spool.add(vec![third_party, envelope(Kind::Error, "built-in")], SystemTime::now());
    let directory = copy_as_killed(&directory);
    let (spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    for envelope in &leftovers {
        let is_third_party = envelope.read().unwrap() == "third-party";
        let expected = if is_third_party { Origin::EARLIER_THIRD_PARTY } else { Origin::BuiltIn };
        assert_eq!((envelope.origin, envelope.spans), (expected, 7));
    }
    let of_third_party = spool.disk.as_ref().map(Disk::third_party_size);
    assert_eq!(of_third_party, Some((8 + 24 + "third-party".len()) as u64));
}

#[test]
fn removing_envelopes_of_third_party_probes_frees_space_although_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
    let mut of_third_party = std::collections::VecDeque::new();
    let mut of_built_in = Vec::new();
    for _ in 0..200 {
        let third_party = Envelope { origin: Origin::ThirdParty(1), ..envelope(Kind::Error, &"x".repeat(8000)) };
        of_third_party.extend(spool.add(vec![third_party], SystemTime::now()));
        of_built_in.push(add(&mut spool, Kind::Error, &"x".repeat(2000)));
        while let Some(overfull) = spool.overfull() {
            assert_eq!(overfull, (Storage::Disk, Origin::ThirdParty(1)));
            spool.remove(of_third_party.pop_front().unwrap());
        }
    }
    assert!(of_third_party.len() > 70, "{} of 80 that fit beside the others", of_third_party.len());
    assert_eq!(texts(&of_built_in).len(), 200);
}

#[test]
fn few_files_are_open_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), 1 << 20).unwrap();
    let open = || {
        let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let files = files.filter_map(|file| fs::read_link(file.path()).ok());
        files.filter(|file| file.starts_with(directory.path())).count()
    };
    let mut spooled: Vec<_> = (0..100).map(|_| add(&mut spool, Kind::PassedTransaction, &"x".repeat(8000))).collect();
    assert!(files(directory.path()).len() > 20 && open() <= 4, "{} open", open());
    assert_eq!(texts(&spooled).len(), 100);
    spool.remove(spooled.remove(0));
    drop(spool);
    let (_spool, leftovers) = Spool::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(texts(&leftovers).len(), 99);
    assert!(open() <= 4, "{} open", open());
}

#[test]
fn an_unusable_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Spool::open(&file, MAX_BYTES).is_err());
    assert!(Spool::open(&file.join("below"), MAX_BYTES).is_err());
    assert!(Spool::open(Path::new("/proc/none"), MAX_BYTES).is_err());
}

#[test]
fn unknown_files_are_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let subdirectory = directory.path().join("1");
    fs::create_dir_all(subdirectory.join("0000000007.spool")).unwrap();
    fs::write(subdirectory.join("0000000008.spool"), "of a later version, with another magic number").unwrap();
    fs::write(subdirectory.join("notes.txt"), "mine").unwrap();
    fs::write(directory.path().join("README"), "mine").unwrap();
    let (mut spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert_eq!(leftovers.len(), 0);
    let _spooled = add(&mut spool, Kind::PassedTransaction, "ours");
    assert_eq!(files(directory.path()).len(), 4);
    assert_eq!(fs::read_to_string(subdirectory.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn only_the_owner_can_read_a_spool() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(&directory.path().join("spool"), MAX_BYTES).unwrap();
    let _spooled = add(&mut spool, Kind::PassedTransaction, "run");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(spool.directory().unwrap()), 0o700);
    assert_eq!(mode(&files(&directory.path().join("spool"))[0]), 0o600);
}

#[test]
fn a_directory_that_others_can_write_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    add(&mut spool, Kind::Error, "an envelope");
    drop(spool);
    fs::set_permissions(directory.path().join("1"), fs::Permissions::from_mode(0o777)).unwrap();
    let (mut spool, leftovers) = Spool::open(directory.path(), MAX_BYTES).unwrap();
    assert!(leftovers.is_empty(), "somebody else may have written it");
    add(&mut spool, Kind::Error, "another envelope");
    let names: Vec<_> = files(directory.path()).iter().map(|path| path.parent().unwrap().to_owned()).collect();
    assert_eq!(names, [directory.path().join("1"), directory.path().join("2")]);
}
