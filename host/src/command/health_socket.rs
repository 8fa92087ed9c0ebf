//! The socket at which `run` tells `healthcheck` whether its probes go on. Whoever connects gets an answer and sends
//! nothing. If the process has ended, nobody listens; if it hangs, it does not answer. So nothing can be out of date.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use sentrynet::workers::Liveness;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// The answer if the probes go on. Any other answer says why not.
pub const HEALTHY: &str = "healthy";

/// The pause after an error of the listener, such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// A socket that is open. Dropping this value removes it.
pub struct HealthSocket {
    path: PathBuf,
    _answering: AbortOnDropHandle<()>,
}

impl HealthSocket {
    /// Opens the socket of [`default_path`], at which connections are answered from now on. If it cannot be opened,
    /// logs why and returns `None`.
    pub fn open(liveness: Liveness) -> Option<Self> {
        let path = default_path()?;
        match listen(&path) {
            Ok(listener) => {
                let answering = AbortOnDropHandle::new(tokio::spawn(answer_all(listener, liveness)));
                Some(Self { path, _answering: answering })
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let path = path.display();
                tracing::info!(%path, "`sentrynet healthcheck` asks another `sentrynet run`, which answers at {path}");
                None
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, "`sentrynet healthcheck` gets no answer: cannot listen at {path}: {error}");
                None
            }
        }
    }
}

impl Drop for HealthSocket {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the path of the socket: that of `SENTRYNET_HEALTH_SOCKET`, or a file in the runtime directory of the systemd
/// unit or of the user, or else in the state directory. Returns `None` if the variable is empty or there is no
/// directory.
pub fn default_path() -> Option<PathBuf> {
    const FILE: &str = "health.sock";
    if let Some(path) = std::env::var_os("SENTRYNET_HEALTH_SOCKET") {
        return (!path.is_empty()).then(|| path.into());
    }
    let base = etcetera::choose_base_strategy().ok();
    let of_unit = || directory_of_unit("RUNTIME_DIRECTORY");
    let of_user = || Some(base.as_ref()?.runtime_dir()?.join("sentrynet"));
    let state_of_user = || Some(base.as_ref()?.state_dir()?.join("sentrynet"));
    let state = || directory_of_unit("STATE_DIRECTORY").or_else(state_of_user);
    Some(of_unit().or_else(of_user).or_else(state)?.join(FILE))
}

/// Returns the first directory of a variable that systemd sets, in which colons separate several.
fn directory_of_unit(variable: &str) -> Option<PathBuf> {
    let list = std::env::var(variable).ok()?;
    list.split(':').next().map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Listens at a path, with access for this user alone. Removes a socket there at which nobody listens any more.
///
/// # Errors
/// Returns an error of the kind [`ErrorKind::AddrInUse`] if another process listens there, or another file is there.
/// Returns another error if the directory or the socket cannot be created.
fn listen(path: &Path) -> io::Result<UnixListener> {
    const DIRECTORY_MODE: u32 = 0o700;
    const SOCKET_MODE: u32 = 0o600;
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    }
    if is_unused_socket(path) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// Returns true if there is a socket at a path, and nobody listens at it.
fn is_unused_socket(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && BlockingStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Answers one connection after another.
async fn answer_all(listener: UnixListener, liveness: Liveness) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => answer(stream, &liveness).await,
            Err(_) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
        }
    }
}

/// Answers a connection. The answer fits into the socket's buffer, so that a peer that does not read delays nothing.
async fn answer(mut stream: UnixStream, liveness: &Liveness) {
    let answer = match liveness.check().await {
        Ok(()) => HEALTHY.to_owned(),
        Err(stalled) => stalled.to_string(),
    };
    // A peer that is gone needs no answer.
    _ = stream.write_all(answer.as_bytes()).await;
}
