//! Redis, Postgres and NSD from Debian's packages, on loopback. A server is stopped when its value is dropped.

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::examples::built::PASSWORD;
use crate::support::{empty_folder, eventually, find_tool, free_port, run_command};

pub struct Server {
    child: Child,
    pub port: u16,
    pub home: PathBuf,
}

impl Server {
    /// Starts Redis with these arguments. Its files are in `home`, which must exist.
    #[track_caller]
    pub fn start_redis(home: &Path, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut command = server_command("usr/bin/redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(home);
        command.args(["--save", "", "--rdbcompression", "no", "--repl-diskless-sync-delay", "0"]).args(arguments);
        Self::start(home, port, command)
    }

    /// Starts Postgres with these settings, on a copy of a fresh database whose user `postgres` has the password.
    /// `prepare` may change the copy.
    #[track_caller]
    pub fn start_postgres(name: &str, settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        static FRESH: LazyLock<PathBuf> = LazyLock::new(create_database);
        let home = empty_folder(&format!("examples-postgres-{name}"));
        run_command(Command::new("cp").arg("-a").arg(FRESH.join("data")).arg(&home), "");
        prepare(&home.join("data"));
        let port = free_port();
        let mut command = unprivileged_command(&postgres_program("postgres"), &home);
        command.arg("-D").arg(home.join("data")).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "jit=off"].iter().chain(settings)
        {
            command.args(["-c", setting]);
        }
        Self::start(&home, port, command)
    }

    /// Starts NSD with one zone.
    #[track_caller]
    pub fn start_nsd(zone: &str, records: &str) -> Self {
        let home = empty_folder("examples-nsd");
        let port = free_port();
        let here = home.display();
        let configuration = format!(
            "server:
               ip-address: 127.0.0.1
               port: {port}
               username: \"\"
               chroot: \"\"
               zonesdir: \"{here}\"
               database: \"\"
               pidfile: \"\"
               xfrdfile: \"\"
               xfrdir: \"{here}\"
               zonelistfile: \"{here}/zone.list\"
               cookie-secret-file: \"\"
               server-count: 1
             remote-control:
               control-enable: no
             zone:
               name: {zone}
               zonefile: zone
             "
        );
        fs::write(home.join("nsd.conf"), configuration).expect("the folder is writable");
        fs::write(home.join("zone"), format!("$ORIGIN {zone}.\n{records}")).expect("the folder is writable");
        let mut command = server_command("usr/sbin/nsd");
        command.arg("-d").arg("-c").arg(home.join("nsd.conf"));
        Self::start(&home, port, command)
    }

    #[track_caller]
    fn start(home: &Path, port: u16, mut command: Command) -> Self {
        let log = fs::File::create(home.join("log")).expect("the folder is writable");
        let errors = log.try_clone().expect("a file can be shared");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?} ({error}): use tests/build-probes"));
        let mut server = Self { child, port, home: home.to_owned() };
        eventually("the server to listen", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("{command:?} ended with {status}:\n{}", server.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        server
    }

    /// Returns the server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is sent first, so that Postgres and NSD stop their child processes, and Postgres releases its shared
        // memory.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates a fresh database with `initdb`. Returns its folder.
fn create_database() -> PathBuf {
    let home = empty_folder("examples-postgres-fresh");
    fs::write(home.join("password"), PASSWORD).expect("the folder is writable");
    let mut command = unprivileged_command(&postgres_program("initdb"), &home);
    command.arg("-D").arg(home.join("data")).arg(format!("--pwfile={}", home.join("password").display()));
    command.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
    let ended = run_command(&mut command, "");
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    home
}

/// Returns the path of one of Postgres's programs. Debian has a folder of them for each version.
fn postgres_program(program: &str) -> String {
    let versions = find_tool("servers/usr/lib/postgresql").unwrap_or_else(|| "/usr/lib/postgresql".into());
    let found = fs::read_dir(&versions).ok().and_then(|mut found| found.next()?.ok());
    let version = found.unwrap_or_else(|| panic!("no Postgres in {}: use tests/build-probes", versions.display()));
    version.path().join("bin").join(program).display().to_string()
}

/// Returns a command for a program that was fetched, or else for the machine's.
fn server_command(program: &str) -> Command {
    match find_tool(&format!("servers/{program}")) {
        Some(fetched) => with_libraries(Command::new(fetched)),
        None => Command::new(program.rsplit('/').next().unwrap_or(program)),
    }
}

fn with_libraries(mut command: Command) -> Command {
    if let Some(fetched) = find_tool("servers") {
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| fetched.join(path));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("no path has a colon"));
    }
    command
}

/// Returns a command that runs a Postgres program without the rights of root, with which Postgres refuses to run: in a
/// user namespace, or else as the user `nobody`.
fn unprivileged_command(program: &str, home: &Path) -> Command {
    const NOBODY: u32 = 65534;
    static NAMESPACES: LazyLock<bool> = LazyLock::new(|| {
        let tried = Command::new("unshare").args(["--user", "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    });
    let root = run_command(Command::new("id").arg("-u"), "").stdout.trim() == "0";
    if root && *NAMESPACES {
        let mut command = Command::new("unshare");
        command.args(["--user", program]);
        return with_libraries(command);
    }
    let mut command = with_libraries(Command::new(program));
    if root {
        run_command(Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(home), "");
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
