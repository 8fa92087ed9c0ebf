//! `sentrynet healthcheck`: asks the `run` of this user whether its probes go on. A container's health check is this
//! command.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentrynet::printable::StyledText;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::health_socket::{HEALTHY, default_path};
use crate::logging::print_error;
use crate::output::print;

#[derive(clap::Args)]
pub struct Arguments {
    /// The socket of the `run` to ask [default: the value of `SENTRYNET_HEALTH_SOCKET`, or `health.sock` in
    /// `$RUNTIME_DIRECTORY`, `$XDG_RUNTIME_DIR/sentrynet` or the directory of the spool]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

/// The exit code if `run` is not healthy. Docker reserves 2.
const UNHEALTHY: u8 = 1;
/// The time limit for the answer. `run` takes up to 3 s if a worker does not respond.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximal length of the answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 1000;

/// Asks once. Returns the exit code.
pub async fn healthcheck(Arguments { socket }: &Arguments) -> u8 {
    let Some(path) = socket.clone().or_else(default_path) else {
        print_error("unhealthy: it is not known at which socket `sentrynet run` answers: name it with `--socket`");
        return UNHEALTHY;
    };
    let problem = match timeout(TIMEOUT, ask(&path)).await {
        Ok(Ok(answer)) if answer == HEALTHY => {
            print_healthy();
            return 0;
        }
        Ok(Ok(answer)) if answer.is_empty() => "`sentrynet run` is stopping".to_owned(),
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => format!("no `sentrynet run` answers at {}: {error}", path.display()),
        Err(_) => format!("`sentrynet run` has not answered within {} s", TIMEOUT.as_secs()),
    };
    print_error(&format!("unhealthy: {problem}"));
    UNHEALTHY
}

/// Returns what `run` answers at a socket.
async fn ask(path: &Path) -> io::Result<String> {
    let mut answer = Vec::new();
    UnixStream::connect(path).await?.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn print_healthy() {
    let mut text = StyledText::new();
    text.push_line(HEALTHY);
    print(&text);
}
