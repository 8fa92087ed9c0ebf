//! OpenSSH and dropbear as targets, and an agent to log in with. All in folders of their own, on loopback.
//!
//! A server that checks passwords, or runs as root, reads who there is from `/etc`: it gets its own `/etc/passwd` and
//! `/etc/shadow`, in a mount namespace, so that nothing of the machine's is touched.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::support::{eventually, folder, free_port, tool};

/// Of the user that servers in a namespace know.
pub const PASSWORD: &str = "open sesame";
const CRYPTED: &str =
    "$6$sentrynet$fBIuqU2HtnKdbxo8V/fzkc0uZLU7h78SMxxWjnFia5oqfj/Q3P8V8GRkkIbLGQO0l6spqFN5nVw7AkOloY89o1";

/// A running server; it ends with this value.
pub struct Sshd {
    child: Child,
    pub port: u16,
    /// Who may log in.
    pub user: String,
    pub home: PathBuf,
}

/// Where a server finds its users.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Users {
    /// On the machine: whoever runs the tests.
    Machine,
    /// In files of its own.
    Own,
}

impl Sshd {
    /// OpenSSH with host keys of three types, where whoever holds `id_ed25519` may log in. `more` are further lines of
    /// its configuration, which go before ours.
    #[track_caller]
    pub fn openssh(name: &str, more: &str) -> Self {
        // As root it insists on a user and a folder that not every machine has.
        let own = is_root() && namespaces();
        if is_root() && !own {
            let _ = fs::create_dir_all("/run/sshd");
        }
        Self::openssh_with(name, more, if own { Users::Own } else { Users::Machine })
    }

    /// OpenSSH that takes [`PASSWORD`]; none where there are no namespaces.
    #[track_caller]
    pub fn openssh_with_password(name: &str) -> Option<Self> {
        namespaces().then(|| Self::openssh_with(name, "PasswordAuthentication yes", Users::Own))
    }

    #[track_caller]
    fn openssh_with(name: &str, more: &str, users: Users) -> Self {
        let home = home(&format!("sshd-{name}"));
        for kind in ["ed25519", "ecdsa", "rsa"] {
            keygen(&home, &format!("host_{kind}"), &["-t", kind, "-b", if kind == "rsa" { "2048" } else { "256" }], "");
        }
        let port = free_port();
        // Newer ones are several programs, each of which looks for the others where they would be installed.
        let parts: String = [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")]
            .iter()
            .filter_map(|(key, part)| {
                Some(format!("{key} {}\n", tool(&format!("openssh/usr/lib/openssh/{part}"))?.display()))
            })
            .collect();
        let configuration = format!(
            "{more}
             {parts}
             Port {port}
             ListenAddress 127.0.0.1
             HostKey {home}/host_ed25519
             HostKey {home}/host_ecdsa
             HostKey {home}/host_rsa
             AuthorizedKeysFile {home}/.ssh/authorized_keys
             PidFile none
             UsePAM no
             StrictModes no
             PermitRootLogin yes
             PasswordAuthentication no
             KbdInteractiveAuthentication no
             LogLevel VERBOSE",
            home = home.display()
        );
        fs::write(home.join("sshd_config"), configuration).expect("the folder is writable");
        let mut server = vec![program("usr/sbin/sshd"), "-D".into(), "-e".into(), "-f".into()];
        server.push(home.join("sshd_config").display().to_string());
        Self::start(home, port, &server, users)
    }

    /// dropbear, where whoever holds `id_ed25519` or knows [`PASSWORD`] may log in; none where there are no namespaces.
    #[track_caller]
    pub fn dropbear(name: &str, arguments: &[&str]) -> Option<Self> {
        if !namespaces() {
            return None;
        }
        let home = home(&format!("dropbear-{name}"));
        let key = home.join("host_dropbear");
        let made = run(command(&program("usr/bin/dropbearkey")).args(["-t", "ed25519", "-f"]).arg(&key));
        let public = made.lines().find(|line| line.starts_with("ssh-ed25519 ")).expect("it shows the public key");
        fs::write(home.join("host_ed25519.pub"), public).expect("the folder is writable");
        let port = free_port();
        let mut server = vec![program("usr/sbin/dropbear"), "-F".into(), "-E".into()];
        server.extend(["-p".into(), format!("127.0.0.1:{port}"), "-r".into(), key.display().to_string()]);
        server.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Some(Self::start(home, port, &server, Users::Own))
    }

    #[track_caller]
    fn start(home: PathBuf, port: u16, server: &[String], users: Users) -> Self {
        let log = fs::File::create(home.join("log")).expect("the folder is writable");
        let (user, mut command) = match users {
            Users::Machine => (me("-un"), command(&server[0])),
            Users::Own => ("probe".to_owned(), in_namespace(&home, "probe", &server[0])),
        };
        let child = command.args(&server[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", server[0]));
        let mut sshd = Self { child, port, user, home };
        eventually("the server listening", || {
            if let Ok(Some(status)) = sshd.child.try_wait() {
                panic!("{} ended with {status}:\n{}", server[0], sshd.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        sshd
    }

    /// What the server has to say.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// The path of a file in its folder.
    pub fn file(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// A public host key, as `ssh-ed25519 AAAA…`.
    pub fn host_key(&self, kind: &str) -> String {
        let text = fs::read_to_string(self.home.join(format!("host_{kind}.pub"))).expect("the key is there");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Its fingerprint, as `SHA256:…`.
    pub fn fingerprint(&self, kind: &str) -> String {
        let shown = run(command(&program("usr/bin/ssh-keygen")).arg("-lf").arg(self.file(&format!("host_{kind}.pub"))));
        shown.split_whitespace().nth(1).expect("the second word is the fingerprint").to_owned()
    }

    /// Writes a file in which the host is known by these keys; gives its path.
    pub fn known_hosts(&self, keys: &[&str]) -> String {
        let lines: String = keys.iter().map(|key| format!("[127.0.0.1]:{} {key}\n", self.port)).collect();
        fs::write(self.home.join("known_hosts"), lines).expect("the folder is writable");
        self.file("known_hosts")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running ssh-agent; it ends with this value.
pub struct Agent {
    child: Child,
    pub socket: PathBuf,
}

impl Agent {
    /// An agent that holds these keys.
    #[track_caller]
    pub fn start(name: &str, keys: &[&str]) -> Self {
        // A socket's path is short by law; that of the target folder may not be.
        let socket = std::env::temp_dir().join(format!("sentrynet-{}-{name}.agent", std::process::id()));
        let _ = fs::remove_file(&socket);
        let mut agent = command(&program("usr/bin/ssh-agent"));
        let child = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let agent = Self { child: child.expect("ssh-agent starts"), socket };
        eventually("the agent listening", || agent.socket.exists().then_some(()));
        for key in keys {
            run(command(&program("usr/bin/ssh-add")).arg("-q").arg(key).env("SSH_AUTH_SOCK", &agent.socket));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Makes a key pair `name` and `name.pub` in a folder.
#[track_caller]
pub fn keygen(folder: &Path, name: &str, arguments: &[&str], passphrase: &str) -> String {
    let file = folder.join(name);
    let _ = fs::remove_file(&file);
    let mut keygen = command(&program("usr/bin/ssh-keygen"));
    run(keygen.args(["-q", "-N", passphrase, "-C", name, "-f"]).arg(&file).args(arguments));
    file.display().to_string()
}

/// Hides the names in a file of known hosts.
#[track_caller]
pub fn hash(known_hosts: &str) {
    run(command(&program("usr/bin/ssh-keygen")).args(["-H", "-f", known_hosts]));
}

/// Whether a server can have users of its own here.
fn namespaces() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let home = folder("sshd-namespaces");
        let tried = in_namespace(&home, "probe", "true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let can = tried.is_ok_and(|status| status.success());
        if !can {
            eprintln!("no mount namespaces here: what needs a server with users of its own is not tested");
        }
        can
    })
}

/// A server's home, where whoever holds `id_ed25519` may log in.
fn home(name: &str) -> PathBuf {
    let home = folder(name);
    keygen(&home, "id_ed25519", &["-t", "ed25519"], "");
    fs::create_dir_all(home.join(".ssh")).expect("the folder is writable");
    fs::copy(home.join("id_ed25519.pub"), home.join(".ssh/authorized_keys")).expect("the folder is writable");
    home
}

/// Runs a program where there is one user, with our own number, under this name, and whatever OpenSSH wants as root.
fn in_namespace(home: &Path, user: &str, program: &str) -> Command {
    let (uid, gid) = (me("-u"), me("-g"));
    let root = if is_root() { "" } else { "root:x:0:0::/:/bin/sh\n" };
    let passwd = format!(
        "{user}:x:{uid}:{gid}::{home}:/bin/sh\n{root}sshd:x:65533:65534::/run/sshd:/bin/false\n",
        home = home.display()
    );
    fs::write(home.join("passwd"), passwd).expect("the folder is writable");
    fs::write(home.join("shadow"), format!("{user}:{CRYPTED}:20000:0:99999:7:::\n")).expect("the folder is writable");
    let script = format!(
        "mount --bind '{home}/passwd' /etc/passwd && mount --bind '{home}/shadow' /etc/shadow && \
         mount -t tmpfs none /run && mkdir /run/sshd && exec {again} \"$@\"",
        home = home.display(),
        // Back from being root in there to being oneself.
        again = if is_root() { String::new() } else { format!("unshare --user --map-user={uid} --map-group={gid} --") }
    );
    let mut unshare = command("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "--", "sh", "-c", &script, "sh", program]);
    unshare
}

fn is_root() -> bool {
    me("-u") == "0"
}

fn me(what: &str) -> String {
    run(Command::new("id").arg(what)).trim().to_owned()
}

/// The program that `tests/run` has fetched, or else the machine's. OpenSSH's must be named by its whole path.
#[track_caller]
fn program(path: &str) -> String {
    let fetched = tool(&format!("openssh/{path}")).or_else(|| Some(Path::new("/").join(path)).filter(|it| it.exists()));
    let Some(found) = fetched else { panic!("there is no /{path}: run the tests with tests/run") };
    found.display().to_string()
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = tool("openssh") {
        let folders =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|it| root.join(it).display().to_string());
        command.env("LD_LIBRARY_PATH", folders.join(":"));
    }
    command
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
