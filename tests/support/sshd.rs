//! OpenSSH and dropbear as targets, and an ssh-agent. All run on loopback, each with a folder of its own.
//!
//! A server that checks passwords, or runs as root, reads its users from `/etc`. It gets an `/etc/passwd` and
//! `/etc/shadow` of its own in a mount namespace, so that the machine's files stay untouched.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{KilledOnDrop, empty_folder, eventually, find_tool, free_port};

/// The password of the user that servers in a namespace have.
pub const PASSWORD: &str = "open sesame";
const PASSWORD_HASH: &str =
    "$6$sentrynet$fBIuqU2HtnKdbxo8V/fzkc0uZLU7h78SMxxWjnFia5oqfj/Q3P8V8GRkkIbLGQO0l6spqFN5nVw7AkOloY89o1";

/// A running server, which is killed when the value is dropped.
pub struct Sshd {
    child: KilledOnDrop,
    pub port: u16,
    /// The user that may log in.
    pub user: String,
    pub home: PathBuf,
}

/// The source of a server's users.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Users {
    /// The machine's users; the one that runs the tests may log in.
    Machine,
    /// Files of its own, in a mount namespace.
    Private,
}

impl Sshd {
    /// Starts OpenSSH with host keys of three types. The key `id_ed25519` may log in. `more` are lines of its
    /// configuration that come before the defaults of these tests.
    #[track_caller]
    pub fn openssh(name: &str, more: &str) -> Self {
        // As root, sshd requires a user and a folder that not every machine has.
        let private = is_root() && has_mount_namespaces();
        if is_root() && !private {
            let _ = fs::create_dir_all("/run/sshd");
        }
        Self::openssh_with(name, more, if private { Users::Private } else { Users::Machine })
    }

    /// Starts OpenSSH with password authentication by [`PASSWORD`], and `more` lines as in [`Sshd::openssh`]. Returns
    /// `None` without mount namespaces.
    #[track_caller]
    pub fn openssh_with_password(name: &str, more: &str) -> Option<Self> {
        let more = format!("PasswordAuthentication yes\n{more}");
        has_mount_namespaces().then(|| Self::openssh_with(name, &more, Users::Private))
    }

    #[track_caller]
    fn openssh_with(name: &str, more: &str, users: Users) -> Self {
        let home = create_home(&format!("sshd-{name}"));
        for kind in ["ed25519", "ecdsa", "rsa"] {
            generate_key(
                &home,
                &format!("host_{kind}"),
                &["-t", kind, "-b", if kind == "rsa" { "2048" } else { "256" }],
                "",
            );
        }
        let port = free_port();
        // Newer versions consist of several programs, which expect each other at their installed paths.
        let parts: String = [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")]
            .iter()
            .filter_map(|(key, part)| {
                Some(format!("{key} {}\n", find_tool(&format!("openssh/usr/lib/openssh/{part}"))?.display()))
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
        let mut server = vec![program_path("usr/sbin/sshd"), "-D".into(), "-e".into(), "-f".into()];
        server.push(home.join("sshd_config").display().to_string());
        Self::start(home, port, &server, users)
    }

    /// Starts dropbear, which accepts the key `id_ed25519` and [`PASSWORD`]. Returns `None` without mount namespaces.
    #[track_caller]
    pub fn dropbear(name: &str, arguments: &[&str]) -> Option<Self> {
        if !has_mount_namespaces() {
            return None;
        }
        let home = create_home(&format!("dropbear-{name}"));
        let key = home.join("host_dropbear");
        let made = run_successfully(
            command_with_libraries(&program_path("usr/bin/dropbearkey")).args(["-t", "ed25519", "-f"]).arg(&key),
        );
        let public =
            made.lines().find(|line| line.starts_with("ssh-ed25519 ")).expect("dropbearkey prints the public key");
        fs::write(home.join("host_ed25519.pub"), public).expect("the folder is writable");
        let port = free_port();
        let mut server = vec![program_path("usr/sbin/dropbear"), "-F".into(), "-E".into()];
        server.extend(["-p".into(), format!("127.0.0.1:{port}"), "-r".into(), key.display().to_string()]);
        server.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Some(Self::start(home, port, &server, Users::Private))
    }

    #[track_caller]
    fn start(home: PathBuf, port: u16, server: &[String], users: Users) -> Self {
        let log = fs::File::create(home.join("log")).expect("the folder is writable");
        let (user, mut command) = match users {
            Users::Machine => (run_id("-un"), command_with_libraries(&server[0])),
            Users::Private => ("probe".to_owned(), command_in_namespace(&home, "probe", &server[0])),
        };
        let child = command.args(&server[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", server[0]));
        let mut sshd = Self { child: KilledOnDrop(child), port, user, home };
        eventually("the server to listen", || {
            if let Ok(Some(status)) = sshd.child.0.try_wait() {
                panic!("{} ended with {status}:\n{}", server[0], sshd.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        sshd
    }

    /// Returns the server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Returns the path of a file in the server's folder.
    pub fn file(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// Returns the public host key of this type, as `ssh-ed25519 AAAA…`.
    pub fn host_key(&self, kind: &str) -> String {
        let text = fs::read_to_string(self.home.join(format!("host_{kind}.pub"))).expect("the public key exists");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Returns the fingerprint of the host key of this type, as `SHA256:…`.
    pub fn fingerprint(&self, kind: &str) -> String {
        let shown = run_successfully(
            command_with_libraries(&program_path("usr/bin/ssh-keygen"))
                .arg("-lf")
                .arg(self.file(&format!("host_{kind}.pub"))),
        );
        shown.split_whitespace().nth(1).expect("the second word is the fingerprint").to_owned()
    }

    /// Writes a `known_hosts` file with these keys for the server. Returns its path.
    pub fn known_hosts(&self, keys: &[&str]) -> String {
        let lines: String = keys.iter().map(|key| format!("[127.0.0.1]:{} {key}\n", self.port)).collect();
        fs::write(self.home.join("known_hosts"), lines).expect("the folder is writable");
        self.file("known_hosts")
    }
}

/// A running ssh-agent, which is killed when the value is dropped.
pub struct Agent {
    _child: KilledOnDrop,
    pub socket: PathBuf,
}

impl Agent {
    /// Starts an agent with these keys.
    #[track_caller]
    pub fn start(name: &str, keys: &[&str]) -> Self {
        // The path of a Unix socket is limited to about 100 bytes; that of the target folder may be longer.
        let socket = std::env::temp_dir().join(format!("sentrynet-{}-{name}.agent", std::process::id()));
        let _ = fs::remove_file(&socket);
        let mut agent = command_with_libraries(&program_path("usr/bin/ssh-agent"));
        let child = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let agent = Self { _child: KilledOnDrop(child.expect("ssh-agent starts")), socket };
        eventually("the agent to listen", || agent.socket.exists().then_some(()));
        for key in keys {
            run_successfully(
                command_with_libraries(&program_path("usr/bin/ssh-add"))
                    .arg("-q")
                    .arg(key)
                    .env("SSH_AUTH_SOCK", &agent.socket),
            );
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// Generates a key pair `name` and `name.pub` in a folder. Returns the path of the private key.
#[track_caller]
pub fn generate_key(folder: &Path, name: &str, arguments: &[&str], passphrase: &str) -> String {
    let file = folder.join(name);
    let _ = fs::remove_file(&file);
    let mut keygen = command_with_libraries(&program_path("usr/bin/ssh-keygen"));
    run_successfully(keygen.args(["-q", "-N", passphrase, "-C", name, "-f"]).arg(&file).args(arguments));
    file.display().to_string()
}

/// Signs the public key in a file with another key, as `ssh-keygen -s` does with these arguments. Returns the path of
/// the certificate, which is beside the key.
#[track_caller]
pub fn sign_key(authority: &str, public_key: &str, arguments: &[&str]) -> String {
    let mut keygen = command_with_libraries(&program_path("usr/bin/ssh-keygen"));
    run_successfully(keygen.args(["-q", "-s", authority, "-I", "test"]).args(arguments).arg(public_key));
    format!("{}-cert.pub", public_key.trim_end_matches(".pub"))
}

/// Hashes the host names in a `known_hosts` file.
#[track_caller]
pub fn hash_known_hosts(known_hosts: &str) {
    run_successfully(command_with_libraries(&program_path("usr/bin/ssh-keygen")).args(["-H", "-f", known_hosts]));
}

/// Returns true if this machine allows mount namespaces, so that a server can have users of its own.
pub fn has_mount_namespaces() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let home = empty_folder("sshd-namespaces");
        let tried = command_in_namespace(&home, "probe", "true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let has = tried.is_ok_and(|status| status.success());
        if !has {
            eprintln!("no mount namespaces here: servers with users of their own are not tested");
        }
        has
    })
}

/// Creates a server's folder, with a key `id_ed25519` that may log in.
fn create_home(name: &str) -> PathBuf {
    let home = empty_folder(name);
    generate_key(&home, "id_ed25519", &["-t", "ed25519"], "");
    fs::create_dir_all(home.join(".ssh")).expect("the folder is writable");
    fs::copy(home.join("id_ed25519.pub"), home.join(".ssh/authorized_keys")).expect("the folder is writable");
    home
}

/// Returns a command that runs a program in a mount namespace, where `/etc/passwd` has this user, with the current user
/// id, and the users that OpenSSH requires as root.
fn command_in_namespace(home: &Path, user: &str, program: &str) -> Command {
    let (uid, gid) = (run_id("-u"), run_id("-g"));
    let root = if is_root() { "" } else { "root:x:0:0::/:/bin/sh\n" };
    let passwd = format!(
        "{user}:x:{uid}:{gid}::{home}:/bin/sh\n{root}sshd:x:65533:65534::/run/sshd:/bin/false\n",
        home = home.display()
    );
    fs::write(home.join("passwd"), passwd).expect("the folder is writable");
    fs::write(home.join("shadow"), format!("{user}:{PASSWORD_HASH}:20000:0:99999:7:::\n"))
        .expect("the folder is writable");
    let script = format!(
        "mount --bind '{home}/passwd' /etc/passwd && mount --bind '{home}/shadow' /etc/shadow && \
         mount -t tmpfs none /run && mkdir /run/sshd && exec {again} \"$@\"",
        home = home.display(),
        // In a user namespace, this changes back from its root to the current user.
        again = if is_root() { String::new() } else { format!("unshare --user --map-user={uid} --map-group={gid} --") }
    );
    let mut unshare = command_with_libraries("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "--", "sh", "-c", &script, "sh", program]);
    unshare
}

pub fn is_root() -> bool {
    run_id("-u") == "0"
}

fn run_id(option: &str) -> String {
    run_successfully(Command::new("id").arg(option)).trim().to_owned()
}

/// Returns the path of a program that `tests/run` has fetched, or else of the machine's. sshd must be started by its
/// full path.
#[track_caller]
fn program_path(path: &str) -> String {
    let fetched =
        find_tool(&format!("openssh/{path}")).or_else(|| Some(Path::new("/").join(path)).filter(|path| path.exists()));
    let Some(found) = fetched else { panic!("there is no /{path}: run the tests with tests/run") };
    found.display().to_string()
}

fn command_with_libraries(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = find_tool("openssh") {
        let folders =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| root.join(path).display().to_string());
        command.env("LD_LIBRARY_PATH", folders.join(":"));
    }
    command
}

#[track_caller]
fn run_successfully(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
