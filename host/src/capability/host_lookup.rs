//! Names to addresses, as this machine has them. What its own file of names answers with one address comes from memory:
//! to have a thread ask the C library costs a fifth of a check. Whatever else there may be is the C library's to say, and
//! which of several addresses comes first.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// The addresses of a name, best first. Nothing is remembered of what DNS says. Wants to be called within a tokio runtime.
///
/// # Errors
/// What the C library says, when there is no such name, or nobody to ask.
pub async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    static HERE: LazyLock<Mutex<Files>> = LazyLock::new(|| Mutex::new(Files::of(Path::new("/etc"))));
    let written = HERE.lock().address(name, Instant::now());
    if let Some(address) = written {
        return Ok(vec![address]);
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}

/// What the machine's files say of names, as of the last look at them.
struct Files {
    /// Who is asked for a name, and which names there are.
    paths: [PathBuf; 2],
    stamps: [Option<Stamp>; 2],
    looked: Option<Instant>,
    names: Names,
}

/// The address of each name, if it is one and no more.
type Names = HashMap<String, Option<IpAddr>>;

/// That by which a file is known to be another one.
type Stamp = (u64, u64, Option<SystemTime>);

/// How long a change may go unseen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            paths: ["nsswitch.conf", "hosts"].map(|name| folder.join(name)),
            stamps: Default::default(),
            looked: None,
            names: Names::new(),
        }
    }

    /// That of a name, if the file is asked first and has one for it.
    fn address(&mut self, name: &str, now: Instant) -> Option<IpAddr> {
        if self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY) {
            self.look();
            self.looked = Some(now);
        }
        *self.names.get(name)?
    }

    fn look(&mut self) {
        let stamps = self.paths.each_ref().map(|path| {
            let about = fs::metadata(path).ok()?;
            Some((about.ino(), about.size(), about.modified().ok()))
        });
        if self.looked.is_some() && stamps == self.stamps {
            return;
        }
        // One that is not there says nothing; one that cannot be read is as good as that.
        let [switch, hosts] =
            self.paths.each_ref().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned());
        self.stamps = stamps;
        self.names = if file_comes_first(&switch) { parse(&hosts) } else { Names::new() };
    }
}

/// Whether a name is looked for in the file before anybody else is asked; so it is too where nothing is said.
fn file_comes_first(switch: &str) -> bool {
    let sources = statements(switch).filter_map(|line| line.strip_prefix("hosts:")).next_back();
    sources.is_none_or(|sources| {
        let mut words = sources.split_whitespace();
        // What comes in brackets may have others asked as well.
        words.next() == Some("files")
            && words.next().is_none_or(|word| !word.starts_with('[') || word == "[NOTFOUND=return]")
    })
}

fn parse(hosts: &str) -> Names {
    let mut names = Names::new();
    for line in statements(hosts) {
        let mut words = line.split_whitespace();
        // One that we do not read the C library may.
        let address = words.next().and_then(|word| word.parse().ok());
        for name in words {
            names.entry(name.to_lowercase()).and_modify(|other| *other = None).or_insert(address);
        }
    }
    names
}

/// Lines without their comments, and none that are empty then.
fn statements(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.lines().filter_map(|line| line.split('#').next()).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_c_library_would_say_the_same() {
        let hosts = fs::read_to_string("/etc/hosts").expect("this machine's names");
        let names = parse(&hosts);
        assert!(names.contains_key("localhost"), "{names:?}");
        for (name, _) in names.iter().filter(|(_, address)| address.is_some()) {
            let says = tokio::net::lookup_host((name.as_str(), 0)).await.expect("a name of the file");
            let says: Vec<_> = says.map(|address| address.ip()).collect();
            assert_eq!(lookup(name).await.expect("a name of the file"), says, "{name}");
        }
    }

    #[test]
    fn what_is_written() {
        let names = parse(
            "# 10.0.0.1 no\n10.0.0.2\tshop  Shop.Example # x\nfe80::1%lo0 a b\n10.0.0.3 shop\n10.0.0.4 a\n\n::1 v6\nx\n",
        );
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let expected =
            [("shop", None), ("shop.example", address("10.0.0.2")), ("a", None), ("b", None), ("v6", address("::1"))];
        assert_eq!(names, expected.map(|(name, found)| (name.to_owned(), found)).into());
    }

    #[test]
    fn who_is_asked_first() {
        for ours in [
            "",
            "passwd: files",
            "hosts: files dns",
            "hosts:files\n",
            "# hosts: dns\nhosts:\tfiles [NOTFOUND=return] dns",
        ] {
            assert!(file_comes_first(ours), "{ours}");
        }
        let merged = "hosts: files [SUCCESS=merge] dns";
        for other in ["hosts: dns files", "hosts: mymachines files dns", "hosts:", "hosts: files\nhosts: dns", merged] {
            assert!(!file_comes_first(other), "{other}");
        }
    }

    #[test]
    fn a_change_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        let mut files = Files::of(folder.path());
        let start = Instant::now();
        assert_eq!(files.address("shop", start), None);
        write("hosts", "10.0.0.2 shop\n");
        assert_eq!(files.address("shop", start + LOOK_EVERY / 2), None);
        assert_eq!(files.address("shop", start + LOOK_EVERY), Some(IpAddr::from([10, 0, 0, 2])));
        write("hosts", "10.0.0.20 shop\n");
        assert_eq!(files.address("shop", start + LOOK_EVERY * 2), Some(IpAddr::from([10, 0, 0, 20])));
        write("nsswitch.conf", "hosts: dns files\n");
        assert_eq!(files.address("shop", start + LOOK_EVERY * 3), None);
        write("nsswitch.conf", "hosts: files dns\n");
        assert_eq!(files.address("shop", start + LOOK_EVERY * 4), Some(IpAddr::from([10, 0, 0, 20])));
        write("hosts", "10.0.0.20 shop\n::1 shop\n");
        assert_eq!(files.address("shop", start + LOOK_EVERY * 5), None);
    }
}
