//! Running a command, and what it leaves.

use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};

use crate::capability::net_errors::bytes;
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::output::Output;
use crate::capability::ssh::session::Session;
use crate::trace::Handle;

impl Session {
    /// Runs a command to its end, and keeps up to `most` bytes of each stream of its output.
    ///
    /// # Errors
    /// Why it did not run to its end.
    pub async fn exec(&mut self, command: &str, most: usize) -> Result<Output, Error> {
        if !self.authenticated {
            return Err(Error::Auth("no command runs without logging in".to_owned()));
        }
        let span = self.record.begin("ssh.exec", format!("Run `{}`", error::words(command.as_bytes())));
        let mut output = Output::default();
        let ran = self.run(command, most, &mut output).await;
        self.describe(span, &output);
        self.record.note(|kept| kept.record_command(command, &output));
        self.record.end(span, ran.as_ref().err());
        match ran {
            Ok(()) => Ok(output),
            Err(error) => {
                self.record.fail(self.record.span, &error);
                Err(error)
            }
        }
    }

    async fn run(&mut self, command: &str, most: usize, output: &mut Output) -> Result<(), Error> {
        let (clock, marks, peer) = (self.clock, self.marks.clone(), self.server().remote_address);
        let Some(live) = &mut self.live else { return Err(self.given_up()) };
        let starting = async {
            let channel = live.client.channel_open_session().await?;
            let (read, write) = channel.split();
            write.exec(true, command).await?;
            Ok((read, write))
        };
        let started = clock.within(starting, || "opening a channel".to_owned()).await;
        let channel = started.and_then(|made| {
            made.map_err(|error| match error {
                russh::Error::ChannelOpenFailure(why) => {
                    Error::Protocol(format!("the server lets no command run ({})", reason(why)))
                }
                error => error::explain(&error, &marks.read(), &peer),
            })
        });
        let (mut read, write) = match channel {
            Ok(channel) => channel,
            Err(error) => {
                self.live = None;
                return Err(error);
            }
        };
        let Ok(ended) = tokio::time::timeout(clock.left(), follow(&mut read, most, output)).await else {
            drop(read);
            self.end(write);
            return Err(clock.timed_out(&format!("running the command, {} so far", came(output))));
        };
        match ended {
            Ended::Closed => Ok(()),
            Ended::Refused => Err(Error::Protocol("the server would not run the command".to_owned())),
            Ended::Lost => {
                self.live = None;
                let gone = error::gone(&marks.read());
                Err(Error::Protocol(format!("{gone} while the command ran, {} so far", came(output))))
            }
        }
    }

    /// Ends a command that does not end by itself, as far as the server lets us, and with it the connection.
    fn end(&mut self, channel: ChannelWriteHalf<Msg>) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some(live) = self.live.take() else { return };
        tokio::spawn(async move {
            let goodbye = async {
                let _ = channel.signal(Sig::TERM).await;
                let _ = channel.close().await;
            };
            let _ = tokio::time::timeout(PATIENCE, goodbye).await;
            live.leave().await;
        });
    }

    fn describe(&self, span: Handle, output: &Output) {
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let recorder = &self.record.recorder;
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

enum Ended {
    /// The channel was closed, as it is after the command's end.
    Closed,
    Refused,
    /// The connection went away.
    Lost,
}

/// Takes what comes until the channel's end; of output only what there is room for.
async fn follow(channel: &mut ChannelReadHalf, most: usize, output: &mut Output) -> Ended {
    const STDERR: u32 = 1;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => keep(&mut output.stdout, &mut output.stdout_size, &data, most),
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                keep(&mut output.stderr, &mut output.stderr_size, &data, most);
            }
            ChannelMsg::ExitStatus { exit_status } => output.exit_status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => output.signal = Some(signal(signal_name)),
            ChannelMsg::Failure => return Ended::Refused,
            ChannelMsg::Close => return Ended::Closed,
            _ => {}
        }
    }
    Ended::Lost
}

fn keep(kept: &mut Vec<u8>, size: &mut u64, data: &[u8], most: usize) {
    *size = size.saturating_add(data.len() as u64);
    kept.extend_from_slice(&data[..data.len().min(most.saturating_sub(kept.len()))]);
}

fn signal(signal: Sig) -> String {
    match signal {
        // Whatever the server calls it: `USR2@openssh.com` is one.
        Sig::Custom(name) => error::words(name.as_bytes()),
        known => format!("{known:?}"),
    }
}

fn reason(why: russh::ChannelOpenFailure) -> String {
    use russh::ChannelOpenFailure as Why;
    match why {
        Why::AdministrativelyProhibited => "administratively prohibited".to_owned(),
        Why::ConnectFailed => "connect failed".to_owned(),
        Why::UnknownChannelType => "unknown channel type".to_owned(),
        Why::ResourceShortage => "resource shortage".to_owned(),
        Why::Other { reason, .. } => error::words(reason.as_bytes()),
    }
}

fn came(output: &Output) -> String {
    format!("{} of output", bytes(output.stdout_size.saturating_add(output.stderr_size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_up_to_a_bound_and_counted_beyond() {
        let mut output = Output::default();
        for piece in ["abc", "def", "ghi"] {
            keep(&mut output.stdout, &mut output.stdout_size, piece.as_bytes(), 5);
        }
        assert_eq!((output.stdout.as_slice(), output.stdout_size), (b"abcde".as_slice(), 9));
        keep(&mut output.stderr, &mut output.stderr_size, b"x", 0);
        assert_eq!((output.stderr.len(), output.stderr_size), (0, 1));
        assert_eq!(came(&output), "10 bytes of output");
    }

    #[test]
    fn signals_by_name() {
        assert_eq!(signal(Sig::KILL), "KILL");
        assert_eq!(signal(Sig::Custom("USR2\n".into())), "USR2");
    }
}
