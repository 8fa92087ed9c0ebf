use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const ROOM: u64 = 64 << 20;

fn envelope(kind: Kind, text: &str) -> Envelope {
    Envelope { kind, spans: 7, bytes: text.as_bytes().to_vec() }
}

fn keep(spool: &mut Spool, kind: Kind, text: &str) -> SpooledEnvelope {
    spool.keep(vec![envelope(kind, text)], SystemTime::now()).remove(0)
}

/// What can still be read of some envelopes, in order.
fn texts(kept: &[SpooledEnvelope]) -> Vec<String> {
    let read = kept.iter().filter_map(|kept| kept.read().ok());
    let mut texts: Vec<_> = read.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect();
    texts.sort();
    texts
}

fn forget_all(spool: &mut Spool, kept: Vec<SpooledEnvelope>) {
    for kept in kept {
        spool.forget(kept);
    }
}

/// The spool's files, in all its parts.
fn files(folder: &Path) -> Vec<PathBuf> {
    let parts = fs::read_dir(folder).unwrap().flatten().filter(|part| part.path().is_dir());
    let files = parts.flat_map(|part| fs::read_dir(part.path()).unwrap().flatten()).map(|file| file.path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|suffix| suffix == "spool")).collect();
    files.sort();
    files
}

/// The folder as a process that is killed now leaves it.
fn killed(folder: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(folder.path()) {
        let to = copy.path().join(file.strip_prefix(folder.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    copy
}

#[test]
fn what_was_kept_is_there_after_a_kill_and_what_was_forgotten_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(left.len(), 0);
    let sent = keep(&mut spool, Kind::PassedTransaction, "sent");
    let _passed = keep(&mut spool, Kind::PassedTransaction, "passed");
    let failed =
        spool.keep(vec![envelope(Kind::FailedTransaction, "run"), envelope(Kind::Error, "why")], SystemTime::now());
    assert_eq!(texts(&failed), ["run", "why"]);
    spool.forget(sent);

    let folder = killed(&folder);
    let (mut spool, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(texts(&left), ["passed", "run", "why"]);
    let why = left.iter().find(|kept| kept.kind == Kind::Error).unwrap();
    assert_eq!((why.spans, why.store()), (7, Store::Disk));
    assert!(why.since.elapsed().unwrap() < Duration::from_secs(60));
    forget_all(&mut spool, left);
    let (_, left) = Spool::open(killed(&folder).path(), ROOM).unwrap();
    assert_eq!(left.len(), 0);
}

#[test]
fn a_spool_that_is_empty_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let kept: Vec<_> = (0..2000).map(|_| keep(&mut spool, Kind::PassedTransaction, &"x".repeat(4000))).collect();
    assert!(files(folder.path()).len() > 2, "one file does not grow for ever");
    assert!(spool.size() > 8_000_000);
    forget_all(&mut spool, kept);
    let _next = keep(&mut spool, Kind::PassedTransaction, "next");
    assert!(spool.size() < 1000, "{}", spool.size());
    drop(spool);
    assert_eq!(files(folder.path()).len(), 1);
    let (mut spool, left) = Spool::open(folder.path(), ROOM).unwrap();
    forget_all(&mut spool, left);
    drop(spool);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_torn_end_costs_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let _kept = [
        keep(&mut spool, Kind::PassedTransaction, "first"),
        keep(&mut spool, Kind::PassedTransaction, "second, and last"),
    ];
    let whole = killed(&folder);
    let file = files(whole.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).unwrap();
        let (spool, left) = Spool::open(whole.path(), ROOM).unwrap();
        let whole = usize::from(length >= 8 + 24 + 5);
        assert_eq!(texts(&left), &["first"][..whole], "{length} of {} bytes", bytes.len());
        // As a process that is killed at once.
        std::mem::forget(left);
        drop(spool);
    }
    for garbage in [b"\0".repeat(5000), b"garbage".repeat(100)] {
        fs::write(&file, [&bytes[..], &garbage].concat()).unwrap();
        let (_, left) = Spool::open(whole.path(), ROOM).unwrap();
        assert_eq!(texts(&left), ["first", "second, and last"]);
    }
}

#[test]
fn what_is_damaged_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let _kept = ["first", "second", "third"].map(|text| keep(&mut spool, Kind::PassedTransaction, text));
    let whole = killed(&folder);
    let file = files(whole.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    let second = 8 + 24 + "first".len();
    for at in second + 1..second + 24 + "second".len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        fs::write(&file, damaged).unwrap();
        let (_, left) = Spool::open(whole.path(), ROOM).unwrap();
        assert_eq!(texts(&left), ["first", "third"], "byte {at}");
    }
}

#[test]
fn no_flipped_bit_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let _kept =
        [keep(&mut spool, Kind::PassedTransaction, "first"), keep(&mut spool, Kind::PassedTransaction, "second")];
    let whole = killed(&folder);
    let file = files(whole.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let bytes = fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, &flipped).unwrap();
        let (_, left) = Spool::open(whole.path(), ROOM).unwrap();
        let found = texts(&left);
        assert!(found.iter().all(|text| text == "first" || text == "second"), "byte {at}: {found:?}");
        assert!(found.len() < 2, "byte {at}");
    }
}

#[test]
fn each_process_has_its_own_part_and_the_next_one_takes_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _) = Spool::open(folder.path(), ROOM).unwrap();
    let (mut second, _) = Spool::open(folder.path(), ROOM).unwrap();
    let _kept = [keep(&mut first, Kind::PassedTransaction, "first's"), keep(&mut second, Kind::Error, "second's")];
    assert_ne!(first.folder(), second.folder());
    let (third, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(left.len(), 0, "what others have is theirs");
    drop((second, third));
    let (fourth, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(texts(&left), ["second's"]);
    drop((first, fourth));
    let (_, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(texts(&left), ["first's", "second's"], "whoever comes takes all that nobody has");
}

#[test]
fn what_goes_for_want_of_room_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    let mut kept = std::collections::VecDeque::new();
    for number in 0..2000 {
        kept.push_back(keep(&mut spool, Kind::PassedTransaction, &format!("{number:0>4000}")));
        while let Some(store) = spool.full() {
            assert_eq!(store, Store::Disk);
            spool.forget(kept.pop_front().unwrap());
        }
    }
    let on_disk: u64 = files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert_eq!(on_disk, spool.size());
    assert!(on_disk <= 1 << 20 && kept.len() > 240, "{on_disk} bytes for {}", kept.len());
    assert!(texts(kept.make_contiguous()).last().unwrap().ends_with("1999"));
}

#[test]
fn what_waits_is_brought_to_the_disk_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(spool.unsynced().len(), 0, "nothing waits");
    let sent = keep(&mut spool, Kind::PassedTransaction, "sent");
    spool.forget(sent);
    assert_eq!(spool.unsynced().len(), 0, "nothing waits any more");
    let kept: Vec<_> = (0..10).map(|_| keep(&mut spool, Kind::PassedTransaction, &"x".repeat(4000))).collect();
    let unsynced = spool.unsynced();
    assert_eq!(unsynced.len(), files(folder.path()).len() - 1, "all but the one that nothing was written to");
    assert!(unsynced.len() > 1, "those that are full too");
    for segment in unsynced {
        segment.sync().unwrap();
    }
    assert_eq!(spool.unsynced().len(), 0);
    let _more = keep(&mut spool, Kind::Error, "more");
    assert_eq!(spool.unsynced().len(), 1);
    drop(kept);
}

#[test]
fn what_cannot_be_written_waits_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let on_disk = keep(&mut spool, Kind::PassedTransaction, "on disk");
    // The next file cannot be made: its name is taken.
    let part = spool.folder().unwrap().to_owned();
    for number in 1..20 {
        _ = fs::create_dir(part.join(format!("{number:010}.spool")));
    }
    let _large = keep(&mut spool, Kind::Error, &"x".repeat(2 << 20));
    let in_memory = keep(&mut spool, Kind::Error, "in memory");
    assert_eq!((on_disk.store(), in_memory.store()), (Store::Disk, Store::Memory));
    assert_eq!(texts(&[on_disk, in_memory]), ["in memory", "on disk"]);
}

#[test]
fn what_waited_in_memory_is_brought_to_disk_once_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), ROOM).unwrap();
    let part = spool.folder().unwrap().to_owned();
    for number in 2..20 {
        fs::create_dir(part.join(format!("{number:010}.spool"))).unwrap();
    }
    let since = SystemTime::now() - Duration::from_secs(1000);
    let kept = spool.keep(vec![envelope(Kind::PassedTransaction, "run")], since).remove(0);
    let kept = spool.save(kept);
    assert_eq!((kept.store(), spool.full()), (Store::Memory, None));
    for number in 2..20 {
        fs::remove_dir(part.join(format!("{number:010}.spool"))).unwrap();
    }
    let kept = spool.save(kept);
    assert_eq!((kept.store(), kept.kind, kept.spans, kept.since), (Store::Disk, Kind::PassedTransaction, 7, since));
    let folder = killed(&folder);
    let (_, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(texts(&left), ["run"]);
}

#[test]
fn each_worth_makes_room_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    let (mut errors, mut runs) = (Vec::new(), std::collections::VecDeque::new());
    for _ in 0..200 {
        let run = [envelope(Kind::FailedTransaction, &"x".repeat(8000)), envelope(Kind::Error, &"x".repeat(2000))];
        for kept in spool.keep(run.into(), SystemTime::now()) {
            if kept.kind == Kind::Error { errors.push(kept) } else { runs.push_back(kept) }
        }
        while spool.full().is_some() {
            spool.forget(runs.pop_front().unwrap());
        }
    }
    assert!(runs.len() > 70, "{} of 80 for which there is room beside the errors", runs.len());
}

#[test]
fn what_waits_in_many_files_needs_few_open_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
    let open = || {
        let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let files = files.filter_map(|file| fs::read_link(file.path()).ok());
        files.filter(|file| file.starts_with(folder.path())).count()
    };
    let mut kept: Vec<_> = (0..100).map(|_| keep(&mut spool, Kind::PassedTransaction, &"x".repeat(8000))).collect();
    assert!(files(folder.path()).len() > 20 && open() <= 4, "{} open", open());
    assert_eq!(texts(&kept).len(), 100);
    spool.forget(kept.remove(0));
    drop(spool);
    let (_spool, left) = Spool::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(texts(&left).len(), 99);
    assert!(open() <= 4, "{} open", open());
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Spool::open(&file, ROOM).is_err());
    assert!(Spool::open(&file.join("below"), ROOM).is_err());
    assert!(Spool::open(Path::new("/proc/none"), ROOM).is_err());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("1");
    fs::create_dir_all(part.join("0000000007.spool")).unwrap();
    fs::write(part.join("0000000008.spool"), "of a later version, which has another beginning").unwrap();
    fs::write(part.join("notes.txt"), "mine").unwrap();
    fs::write(folder.path().join("README"), "mine").unwrap();
    let (mut spool, left) = Spool::open(folder.path(), ROOM).unwrap();
    assert_eq!(left.len(), 0);
    let _kept = keep(&mut spool, Kind::PassedTransaction, "ours");
    assert_eq!(files(folder.path()).len(), 4);
    assert_eq!(fs::read_to_string(part.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn nobody_else_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(&folder.path().join("spool"), ROOM).unwrap();
    let _kept = keep(&mut spool, Kind::PassedTransaction, "run");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(spool.folder().unwrap()), 0o700);
    assert_eq!(mode(&files(&folder.path().join("spool"))[0]), 0o600);
}
