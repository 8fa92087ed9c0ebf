//! Running a command.

use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};

use crate::capability::net_errors::bytes;
use crate::capability::quota::HeldBytes;
use crate::capability::ssh::connection::Connection;
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::output::Output;
use crate::capability::ssh::text::printable_line;
use crate::trace::Handle;

impl Connection {
    /// Runs a command in the user's shell until it ends. Its standard input is empty, as with `ssh -n`. Returns at most
    /// `max_output` bytes of its standard output, and at most as many of its standard error. Also returns `held`, to
    /// which these bytes were added.
    ///
    /// # Errors
    /// - [`Error::Auth`] when the user is not logged in.
    /// - [`Error::Timeout`] when the connection's time is used up.
    /// - [`Error::Protocol`] when the server refuses to run the command, or the connection ends.
    ///
    /// The connection stays open if the user is not logged in or the server refuses the command. All other errors close
    /// it, and later calls fail.
    pub async fn exec(
        &mut self,
        command: &str,
        max_output: usize,
        mut held: HeldBytes,
    ) -> (Result<Output, Error>, HeldBytes) {
        if !self.is_authenticated {
            return (Err(Error::Auth("cannot run a command before the user is logged in".to_owned())), held);
        }
        let span = self.span.begin_phase("ssh.exec", format!("Run `{}`", printable_line(command.as_bytes())));
        let mut output = Output::default();
        let result = self.run_command(command, max_output, &mut output, &mut held).await;
        self.record_output(span, &output);
        self.span.record(|evidence| evidence.record_command(command, &output));
        self.span.end_phase(span, result.as_ref().err());
        if let Err(error) = &result {
            self.span.record_error(self.span.handle, error);
        }
        (result.map(|()| output), held)
    }

    async fn run_command(
        &mut self,
        command: &str,
        max_output: usize,
        output: &mut Output,
        held: &mut HeldBytes,
    ) -> Result<(), Error> {
        let (budget, handshake, peer) = (self.budget, self.handshake.clone(), self.server().remote_address);
        let Some(client) = &mut self.client else { return Err(Self::closed_error()) };
        let opening = async {
            let channel = client.handle.channel_open_session().await?;
            let (read, write) = channel.split();
            write.exec(true, command).await?;
            // Without this, a command that reads its standard input would wait for it.
            write.eof().await?;
            Ok((read, write))
        };
        let opened = budget.wait_for(opening, || "opening a channel".to_owned()).await;
        let channel = opened.and_then(|opened| {
            opened.map_err(|error| match error {
                russh::Error::ChannelOpenFailure(failure) => {
                    Error::Protocol(format!("the server refused to open a channel ({})", open_failure_reason(failure)))
                }
                error => error::from_russh(&error, &handshake.read(), &peer),
            })
        });
        let (mut read, write) = match channel {
            Ok(channel) => channel,
            Err(error) => {
                self.client = None;
                return Err(error);
            }
        };
        let reading = read_output(&mut read, max_output, output, held);
        let Ok(end) = tokio::time::timeout(budget.remaining(), reading).await else {
            drop(read);
            self.abort_command(write);
            return Err(budget.timed_out(&format!("running the command, {} so far", size_of_output(output))));
        };
        match end {
            ChannelEnd::Closed => Ok(()),
            ChannelEnd::Refused => Err(Error::Protocol("the server refused to run the command".to_owned())),
            // Some servers disconnect without closing the channel first.
            ChannelEnd::ConnectionLost if output.has_ended() => {
                self.client = None;
                Ok(())
            }
            ChannelEnd::ConnectionLost => {
                self.client = None;
                let cause = error::closed_connection(&handshake.read());
                Err(Error::Protocol(format!("{cause} while the command ran, {} so far", size_of_output(output))))
            }
        }
    }

    /// Sends SIGTERM to a command that has timed out, and disconnects, both in a background task that takes at most 2
    /// s.
    fn abort_command(&mut self, channel: ChannelWriteHalf<Msg>) {
        const ABORT_TIMEOUT: Duration = Duration::from_secs(1);
        let Some(client) = self.client.take() else { return };
        tokio::spawn(async move {
            let aborting = async {
                let _ = channel.signal(Sig::TERM).await;
                let _ = channel.close().await;
            };
            let _ = tokio::time::timeout(ABORT_TIMEOUT, aborting).await;
            client.disconnect().await;
        });
    }

    fn record_output(&self, span: Handle, output: &Output) {
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let recorder = &self.span.recorder;
        if let Some(status) = output.exit_status {
            recorder.set(span, "ssh.exec.exit_status", i64::from(status));
        }
        if let Some(signal) = &output.signal {
            recorder.set(span, "ssh.exec.signal", signal.as_str());
        }
        recorder.set(span, "ssh.exec.stdout.size", size(output.stdout_size));
        recorder.set(span, "ssh.exec.stderr.size", size(output.stderr_size));
    }
}

/// The way in which a command's channel ended.
enum ChannelEnd {
    /// The server closed the channel, as it does after the command's end.
    Closed,
    /// The server refused to run the command.
    Refused,
    /// The connection ended before the channel did.
    ConnectionLost,
}

/// Reads the command's output and exit status into `output` until the channel ends, or until the output takes more
/// memory than the run may hold, which ends the run.
async fn read_output(
    channel: &mut ChannelReadHalf,
    max_output: usize,
    output: &mut Output,
    held: &mut HeldBytes,
) -> ChannelEnd {
    /// `SSH_EXTENDED_DATA_STDERR` in RFC 4254, section 5.2.
    const STDERR: u32 = 1;
    while let Some(message) = channel.wait().await {
        let bytes_before = output.bytes_in_memory();
        match message {
            ChannelMsg::Data { data } => output.append_stdout(&data, max_output),
            ChannelMsg::ExtendedData { data, ext: STDERR } => output.append_stderr(&data, max_output),
            ChannelMsg::ExitStatus { exit_status } => output.exit_status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => output.signal = Some(signal_name_of(signal_name)),
            ChannelMsg::Failure => return ChannelEnd::Refused,
            ChannelMsg::Close => return ChannelEnd::Closed,
            _ => {}
        }
        if held.grow(output.bytes_in_memory() - bytes_before).is_err() {
            return ChannelEnd::Closed;
        }
    }
    ChannelEnd::ConnectionLost
}

/// Returns the name of a signal without `SIG`. Names that RFC 4254 does not list are as the server sent them, such as
/// `USR2@openssh.com`.
fn signal_name_of(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => printable_line(name.as_bytes()),
        standard => format!("{standard:?}"),
    }
}

fn open_failure_reason(failure: russh::ChannelOpenFailure) -> String {
    use russh::ChannelOpenFailure as Failure;
    match failure {
        Failure::AdministrativelyProhibited => "administratively prohibited".to_owned(),
        Failure::ConnectFailed => "connect failed".to_owned(),
        Failure::UnknownChannelType => "unknown channel type".to_owned(),
        Failure::ResourceShortage => "resource shortage".to_owned(),
        Failure::Other { reason, .. } => printable_line(reason.as_bytes()),
    }
}

fn size_of_output(output: &Output) -> String {
    format!("{} of output", bytes(output.total_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_names_have_no_prefix_and_no_control_characters() {
        assert_eq!(signal_name_of(Sig::KILL), "KILL");
        assert_eq!(signal_name_of(Sig::Custom("USR2\n".into())), "USR2");
    }

    #[test]
    fn the_size_of_output_includes_standard_error() {
        let output = Output { stdout_size: 9, stderr_size: 1, ..Output::default() };
        assert_eq!(size_of_output(&output), "10 bytes of output");
    }
}
