//! What a target has answered: the response to a request, the output of a command, or the bytes of a connection that a
//! run failed over, and its first lines.

use super::excerpt::{size_in_words, write_excerpt};
use crate::printable::StyledText;
use crate::run::evidence::{Command, Excerpt, Exchange, Http, Response, Tcp};
use crate::run::{Outcome, Run};

/// Writes what the target has answered in the exchange that a run failed over, in lines of at most `width` characters.
/// Writes nothing if the evidence has no answer.
pub fn write_answer(run: &Run, width: usize, into: &mut StyledText) {
    match &run.evidence {
        Some(Exchange::Http(http)) => write_response(http, width, into),
        Some(Exchange::Ssh(ssh)) => {
            if let Some(command) = &ssh.command {
                write_output(command, &run.outcome, width, into);
            }
        }
        Some(Exchange::Tcp(tcp)) => write_received(tcp, width, into),
        Some(Exchange::Dns(_)) | None => {}
    }
}

fn write_response(http: &Http, width: usize, into: &mut StyledText) {
    if let Some(response) = &http.response {
        write_excerpt(&heading(http, response), Some(&response.body), width, into);
    }
}

/// Writes the output of a command over SSH: the streams that the failure is about, or else all that are not empty.
fn write_output(command: &Command, outcome: &Outcome, width: usize, into: &mut StyledText) {
    let text = &command.command;
    let (did, and) = match (command.exit_status, &command.signal) {
        (Some(status), _) => (format!("`{text}` ended with status {status}"), " and"),
        (None, Some(signal)) => (format!("`{text}` was ended by the signal {signal}"), " and"),
        (None, None) => (format!("`{text}`"), ""),
    };
    let streams = shown_streams(command, outcome);
    if streams.is_empty() {
        write_excerpt(&format!("{did}{and} wrote nothing"), None, width, into);
    }
    for (index, (name, stream)) in streams.into_iter().enumerate() {
        let start = if index == 0 { format!("{did}{and} wrote") } else { "and".to_owned() };
        write_excerpt(&format!("{start} {} to {name}", size_in_words(stream)), Some(stream), width, into);
    }
}

/// Returns the streams to show, each with its name: those that failed checks are about, unless all of these are empty,
/// or else all that are not empty.
fn shown_streams<'a>(command: &'a Command, outcome: &Outcome) -> Vec<(&'static str, &'a Excerpt)> {
    let not_empty =
        || [("stderr", &command.stderr), ("stdout", &command.stdout)].into_iter().filter(|it| it.1.size > 0);
    let checked: Vec<_> = not_empty().filter(|(name, _)| is_checked(name, outcome)).collect();
    if checked.is_empty() { not_empty().collect() } else { checked }
}

/// Returns true if a failed check is about this stream. JSON paths are about the standard output.
fn is_checked(stream: &str, outcome: &Outcome) -> bool {
    let (Outcome::Failed(failure) | Outcome::PassedAfterRetry(failure)) = outcome else { return false };
    let mut subjects = failure.mismatches.iter().map(|mismatch| &*mismatch.subject);
    subjects.any(|subject| subject.starts_with(stream) || stream == "stdout" && subject.starts_with('$'))
}

/// Writes what a peer has sent over a TCP connection. Writes nothing if the connection failed before it sent anything:
/// the message says that.
fn write_received(Tcp { connection, received, closed, .. }: &Tcp, width: usize, into: &mut StyledText) {
    if received.size == 0 && connection.error.is_some() {
        return;
    }
    let peer = &connection.peer;
    let peer = connection.names.first().map_or_else(|| peer.clone(), |name| format!("{name} ({peer})"));
    let sent = if received.size == 0 { "nothing".to_owned() } else { size_in_words(received) };
    let ending = if *closed { " and closed the connection" } else { "" };
    write_excerpt(&format!("{peer} sent {sent}{ending}"), Some(received), width, into);
}

/// Returns a sentence about the response, such as `GET https://example.org/ answered 503 with text/html, 197 bytes`.
fn heading(http: &Http, response: &Response) -> String {
    let Http { method, url, redirects, .. } = http;
    let header = |wanted: &str| response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let media_type = header("content-type");
    let media_type = media_type.map(|(_, value)| value.split(';').next().unwrap_or_default().trim());
    let has_coding = header("content-encoding").is_some();
    let size = response.body.size;
    let bytes = size_in_words(&response.body);
    let body = match media_type.filter(|media_type| !media_type.is_empty()) {
        _ if size == 0 && has_coding => " with no body that could be decoded".to_owned(),
        _ if size == 0 => " without a body".to_owned(),
        Some(media_type) => format!(" with {media_type}, {bytes}"),
        None => format!(" with {bytes}"),
    };
    let after = match redirects.len() {
        0 => String::new(),
        1 => " after a redirect".to_owned(),
        number => format!(" after {number} redirects"),
    };
    format!("{method} {url} answered {}{body}{after}", response.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::evidence::{Connection, Redirect, Ssh};
    use crate::run::{Failure, Mismatch};
    use crate::sink::fixtures;

    /// Returns the lines of a failed run with this evidence and failed checks of these subjects.
    fn answer(evidence: Exchange, subjects: &[&str], width: usize) -> String {
        let mismatch = |subject: &&str| Mismatch {
            subject: (*subject).to_owned(),
            expected: String::new(),
            actual: String::new(),
        };
        let mismatches = subjects.iter().map(mismatch).collect();
        let failure = Failure { reason: "assertion".to_owned(), message: String::new(), mismatches };
        let run = Run { evidence: Some(evidence), outcome: Outcome::Failed(failure), ..fixtures::failed() };
        let mut text = StyledText::new();
        write_answer(&run, width, &mut text);
        text.to_plain()
    }

    fn plain(content_type: Option<&str>, body: &[u8], size: u64, width: usize) -> String {
        let content_type = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
        let http = Http {
            method: "GET".to_owned(),
            url: "https://example.org/health".to_owned(),
            response: Some(Response {
                status: 503,
                headers: content_type.into_iter().collect(),
                body: Excerpt::new(body, size),
            }),
            ..Http::default()
        };
        answer(Exchange::Http(Box::new(http)), &[], width)
    }

    /// Checks the lines of a whole body.
    #[track_caller]
    fn check(content_type: Option<&str>, body: &[u8], expected: &str) {
        assert_eq!(plain(content_type, body, body.len() as u64, 80), expected.trim_start_matches('\n'));
    }

    #[test]
    fn an_answer_has_its_status_its_kind_and_its_first_lines() {
        check(
            Some("text/html; charset=utf-8"),
            b"<html>\r\n\r\n<head>\r\n\t<title>503</title>\r\n</head>\r\n</html>\r\n",
            "
    GET https://example.org/health answered 503 with text/html, 57 bytes:
      <html>
      <head>
        <title>503</title>
      </head>
      </html>
",
        );
        let heading = "    GET https://example.org/health answered 503";
        check(None, b"down", &format!("{heading} with 4 bytes:\n      down\n"));
        check(Some("text/plain"), b"", &format!("{heading} without a body\n"));
        check(Some("text/plain"), b"\n", &format!("{heading} with text/plain, 1 byte\n"));
        check(None, b"\0\x01", &format!("{heading} with 2 bytes, no text\n"));
        let image = plain(Some("image/png"), b"\x89PNG\r\n\x1a\n\0", 2000, 80);
        assert_eq!(image, format!("{heading} with image/png, 2000 bytes, no\n      text\n"));
    }

    #[test]
    fn a_long_body_is_cut_with_an_ellipsis() {
        let lines = |text: String| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let numbers: String = (0..20).map(|number| format!("{number}\n")).collect();
        let shown = lines(plain(None, numbers.as_bytes(), 50, 80));
        assert_eq!((shown.len(), &*shown[0], &*shown[7]), (8, "      0", "      7 …"));
        let one_line = lines(plain(None, "{\"a\": 1}, ".repeat(200).as_bytes(), 9000, 80));
        assert_eq!((one_line.len(), one_line[7].ends_with("1}, …")), (8, true), "{one_line:#?}");
        let without_spaces = lines(plain(None, &[b'x'; 2048], 2048, 80));
        assert_eq!((without_spaces.len(), without_spaces[7].ends_with("x …")), (8, true), "{without_spaces:#?}");
        assert_eq!(lines(plain(None, b"begins", 9000, 80)), ["      begins …"]);
        for width in [40, 41, 80] {
            let deep = format!("{}x\n{}\n", " ".repeat(200), "y ".repeat(900));
            let text = plain(Some("text/plain"), deep.as_bytes(), 9000, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn what_a_target_sends_is_escaped() {
        let text = plain(Some("\u{1b}[2Jx"), "a\u{1b}[2J\u{202e}b\rc".as_bytes(), 11, 80);
        assert!(text.contains("with \\u{1b}[2Jx, 11 bytes:\n      a\\u{1b}[2J\\u{202e}b\\rc\n"), "{text:?}");
    }

    #[test]
    fn redirects_are_counted_and_other_evidence_has_no_answer() {
        let redirect = Redirect { status: 302, from: "https://example.org/".to_owned() };
        let mut http = Http { redirects: vec![redirect], ..Http::default() };
        let response = Response { status: 200, ..Response::default() };
        assert!(heading(&http, &response).ends_with("answered 200 without a body after a redirect"));
        let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
        let damaged = Response { headers, ..response.clone() };
        assert!(heading(&http, &damaged).ends_with("answered 200 with no body that could be decoded after a redirect"));
        http.redirects.push(http.redirects[0].clone());
        assert!(heading(&http, &response).ends_with(" after 2 redirects"));
        for evidence in [Exchange::Http(Box::default()), Exchange::Ssh(Box::default()), Exchange::Dns(Box::default())] {
            assert_eq!(answer(evidence, &[], 80), "");
        }
    }

    #[test]
    fn output_of_a_command_is_that_of_the_checked_streams() {
        let excerpt = |text: &str| Excerpt::new(text.as_bytes(), text.len() as u64);
        let check = |stdout: &str, stderr: &str, subjects: &[&str], expected: &str| {
            let (stdout, stderr) = (excerpt(stdout), excerpt(stderr));
            let command =
                Command { command: "df".to_owned(), exit_status: Some(3), stdout, stderr, ..Command::default() };
            let ssh = Ssh { command: Some(command), ..Ssh::default() };
            let text = answer(Exchange::Ssh(Box::new(ssh)), subjects, 80);
            assert_eq!(text, expected.trim_start_matches('\n'), "{subjects:?}");
        };
        let out = "
    `df` ended with status 3 and wrote 5 bytes to stdout:
      full
";
        let err = "
    `df` ended with status 3 and wrote 4 bytes to stderr:
      bad
";
        let both = format!("{err}    and 5 bytes to stdout:\n      full\n");
        check("full\n", "bad\n", &["stdout"], out);
        check("full\n", "bad\n", &["stdout size"], out);
        check("full\n", "bad\n", &["$.a"], out);
        check("full\n", "bad\n", &["stderr"], err);
        check("full\n", "bad\n", &["stderr", "stdout"], &both);
        check("full\n", "bad\n", &["exit status"], &both);
        check("full\n", "", &[], out);
        // Why the checked stream is empty is often said on the other one.
        check("", "bad\n", &["stdout"], err);
        check("", "", &["stdout"], "    `df` ended with status 3 and wrote nothing\n");
    }

    #[test]
    fn how_a_command_ended_is_said_if_it_is_known() {
        let check = |signal: Option<&str>, stdout: &[u8], expected: &str| {
            let stdout = Excerpt::new(stdout, stdout.len() as u64);
            let command = Command {
                command: "a\u{1b}[2J".to_owned(),
                signal: signal.map(str::to_owned),
                stdout,
                ..Command::default()
            };
            let ssh = Ssh { command: Some(command), ..Ssh::default() };
            assert_eq!(answer(Exchange::Ssh(Box::new(ssh)), &[], 80), format!("    {expected}\n"));
        };
        check(Some("KILL"), b"", "`a\\u{1b}[2J` was ended by the signal KILL and wrote nothing");
        check(None, b"\0\x01", "`a\\u{1b}[2J` wrote 2 bytes to stdout, no text");
    }

    #[test]
    fn bytes_of_a_connection_are_shown() {
        let check = |tcp: Tcp, expected: &str| assert_eq!(answer(Exchange::Tcp(Box::new(tcp)), &[], 80), expected);
        let connection = Connection { peer: "192.0.2.1:25".to_owned(), ..Connection::default() };
        let silent = Tcp { connection, ..Tcp::default() };
        check(silent.clone(), "    192.0.2.1:25 sent nothing\n");
        check(Tcp { closed: true, ..silent.clone() }, "    192.0.2.1:25 sent nothing and closed the connection\n");
        let mut named = Tcp { received: Excerpt::new(b"421 busy\r\n", 10), ..silent };
        named.connection.names.push("mail.example".to_owned());
        check(named.clone(), "    mail.example (192.0.2.1:25) sent 10 bytes:\n      421 busy\n");
        named.connection.error = Some("timeout".into());
        check(named.clone(), "    mail.example (192.0.2.1:25) sent 10 bytes:\n      421 busy\n");
        named.received = Excerpt::default();
        check(named, "");
    }
}
