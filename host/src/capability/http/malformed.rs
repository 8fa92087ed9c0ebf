//! Responses that cannot be read: which line is refused, why, and its bytes. The HTTP client tells only that it has
//! refused something, so that the beginning of the response is parsed again by the same parser.

use std::fmt::Write;

use httparse::{EMPTY_HEADER, ParserConfig, Status};

use crate::capability::net_errors::bytes;
use crate::capability::text::quotable;

/// The maximum number of header lines of a response. curl has the same.
pub const MAX_HEADERS: usize = 5000;
/// The maximum bytes of a response's headers over HTTP/1.1, which is hyper's.
const MAX_HEAD_BYTES: u64 = 408 << 10;

/// Why a response cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Malformed {
    /// A sentence for a person, with the quotation.
    pub message: String,
    /// The part that is refused, escaped, in at most 200 bytes. `None` if there is too much of the response.
    pub quote: Option<String>,
}

impl Malformed {
    /// Returns the reason with the bytes of `line`, among which that at `at` is refused.
    fn quoting(line: &[u8], at: usize, message: impl FnOnce(&str) -> String) -> Self {
        let quote = quote(line, at);
        Self { message: message(&quote), quote: Some(quote) }
    }
}

/// Returns why a response over HTTP/1.1 cannot be read. `received` are its first bytes, and `total` is the number of
/// all that have arrived. `cause` is the client's text. Returns `None` if nothing more than this text is known.
pub fn of_http1(received: &[u8], total: u64, cause: &str) -> Option<Malformed> {
    if cause == "message head is too large" {
        return Some(too_large(total));
    }
    let head = final_head(received);
    match parse(head) {
        Err(error) => Some(refused_line(head, error)),
        Ok(Status::Complete((length, _))) => refused_content(&head[..length], &head[length..], cause),
        Ok(Status::Partial) if cause == "connection closed before message completed" && !head.is_empty() => {
            let last = head.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            Some(Malformed::quoting(last, last.len(), |quote| {
                let total = bytes(total);
                format!("the server closed the connection in the middle of the headers, after {total}: `{quote}`")
            }))
        }
        Ok(Status::Partial) => None,
    }
}

/// Returns header lines of a response over HTTP/1.1 that the client has left out, because they are no valid headers: at
/// most three, escaped, in at most 200 bytes. `received` are the first bytes of the response, of which the client has
/// taken `headers` lines.
pub fn left_out(received: &[u8], headers: usize) -> Option<String> {
    // Nearly all responses have as many lines as headers, which is quickly seen.
    if complete_header_lines(received).count() == headers {
        return None;
    }
    let lines = complete_header_lines(final_head(received)).filter(|line| !is_header(line));
    let quotes: Vec<_> = lines.take(3).map(|line| quote(line, 0)).collect();
    (!quotes.is_empty()).then(|| quotable(&quotes.join("; ")))
}

/// Returns the header lines of a head that have arrived as a whole, without those that continue others.
fn complete_header_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split_inclusive(|byte| *byte == b'\n').skip(1).filter(|line| line.ends_with(b"\n"));
    let lines = lines.take_while(|line| !line.trim_ascii().is_empty());
    lines.filter(|line| !matches!(line.first(), Some(b' ' | b'\t'))).map(<[u8]>::trim_ascii_end)
}

/// Returns true if the client takes a line as a header.
fn is_header(line: &[u8]) -> bool {
    let head = [b"HTTP/1.1 200 OK\r\n", line, b"\r\n\r\n"].concat();
    let mut headers = [EMPTY_HEADER; 2];
    let mut response = httparse::Response::new(&mut headers);
    parser().parse_response(&mut response, &head).is_ok() && !response.headers.is_empty()
}

/// Returns why a response over HTTP/2 cannot be read, which is known only if it is none. `received` are the first bytes
/// that have arrived over the connection.
pub fn of_http2(received: &[u8]) -> Option<Malformed> {
    let line = first_line(received);
    line.starts_with(b"HTTP/1").then(|| {
        Malformed::quoting(line, 0, |quote| {
            format!("the answer is in another version of HTTP: it begins with `{quote}`")
        })
    })
}

/// Returns why the answer of a proxy to a request for a tunnel cannot be read.
pub fn of_proxy(answer: &[u8]) -> Malformed {
    let line = first_line(answer);
    if !line.starts_with(b"HTTP/1") {
        return Malformed::quoting(line, 0, |quote| format!("its answer is not HTTP: it begins with `{quote}`"));
    }
    let (start, at) = refused_byte(answer);
    let line = first_line(&answer[start..]);
    Malformed::quoting(line, at - start, |quote| format!("its answer is malformed: `{quote}`"))
}

/// Returns the parser of the HTTP client, with the same tolerance.
pub fn parser() -> ParserConfig {
    let mut parser = ParserConfig::default();
    parser
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    parser
}

/// Parses the head of a response. Returns its length in bytes, and its status.
fn parse(head: &[u8]) -> httparse::Result<(usize, u16)> {
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    let mut headers = vec![EMPTY_HEADER; lines + 1];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = parser().parse_response(&mut response, head)?;
    Ok(match parsed {
        Status::Complete(length) => Status::Complete((length, response.code.unwrap_or_default())),
        Status::Partial => Status::Partial,
    })
}

/// Skips empty lines, and heads of responses that announce others (100 to 199, except 101).
fn final_head(received: &[u8]) -> &[u8] {
    let mut head = received.trim_ascii_start();
    while let Ok(Status::Complete((length, status))) = parse(head)
        && (100..200).contains(&status)
        && status != 101
    {
        head = &head[length..];
    }
    head
}

fn too_large(total: u64) -> Malformed {
    let message = if total >= MAX_HEAD_BYTES {
        format!("the response's headers are too large: more than {MAX_HEAD_BYTES} bytes")
    } else {
        format!("the response has too many header lines: more than {MAX_HEADERS}, in {}", bytes(total))
    };
    Malformed { message, quote: None }
}

/// Returns the start of the line with the byte at which the parser fails, and the place of that byte.
fn refused_byte(head: &[u8]) -> (usize, usize) {
    // The parser reads byte by byte: it fails for every beginning that has the byte, and for no shorter one.
    let (mut accepted, mut refused) = (0, head.len());
    while refused - accepted > 1 {
        let middle = usize::midpoint(accepted, refused);
        if parse(&head[..middle]).is_err() { refused = middle } else { accepted = middle }
    }
    let at = refused.saturating_sub(1);
    let start = head[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    (start, at)
}

fn refused_line(head: &[u8], error: httparse::Error) -> Malformed {
    let (start, at) = refused_byte(head);
    let line = first_line(&head[start..]);
    if start > 0 {
        let number = head[..start].iter().filter(|byte| **byte == b'\n').count();
        let reason = describe_byte(head, start, at);
        return Malformed::quoting(line, at - start, |quote| {
            format!("the response's header line {number} is malformed: `{quote}` ({reason})")
        });
    }
    Malformed::quoting(line, at, |quote| {
        if !line.starts_with(b"HTTP/") {
            format!("the answer is not HTTP: it begins with `{quote}`")
        } else if error == httparse::Error::Version {
            format!("the answer is in an unknown version of HTTP: it begins with `{quote}`")
        } else {
            format!("the response's status line is malformed: `{quote}`")
        }
    })
}

/// Describes the byte at `at`, in the header line that begins at `start`.
fn describe_byte(head: &[u8], start: usize, at: usize) -> String {
    let before = head[start..at].iter();
    let place = if before.clone().any(|byte| *byte == b':') { "value" } else { "name" };
    match (before.last(), head.get(at)) {
        (_, Some(0)) => format!("a null byte in the {place}"),
        (Some(b'\r'), _) => format!("a carriage return without a line feed in the {place}"),
        (_, Some(byte)) => format!("the byte 0x{byte:02x} in the {place}"),
        (_, None) => format!("in the {place}"),
    }
}

/// Returns why a response whose head can be parsed is refused.
fn refused_content(head: &[u8], body: &[u8], cause: &str) -> Option<Malformed> {
    if let Some(name) = ["content-length", "transfer-encoding"].into_iter().find(|name| cause.contains(name)) {
        let lines: Vec<_> = header_lines(head, name).map(|line| format!("`{}`", quote(line, 0))).collect();
        let quote = lines.join(" and ");
        let message = format!("the response's `{name}` is malformed: {quote}");
        return Some(Malformed { message, quote: Some(quotable(&quote)) });
    }
    if cause == "invalid HTTP status-code parsed" {
        let line = first_line(head);
        return Some(Malformed::quoting(line, 0, |quote| {
            format!("the response's status line is malformed: `{quote}`")
        }));
    }
    let is_chunk = cause.to_ascii_lowercase().starts_with("invalid chunk");
    refused_chunk(body).filter(|_| is_chunk)
}

/// Returns the lines of a head with a header, at most three.
fn header_lines<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let has_name = |line: &&[u8]| line.split(|byte| *byte == b':').next().is_some_and(|found| is_name(found, name));
    lines.filter(has_name).take(3)
}

fn is_name(found: &[u8], name: &str) -> bool {
    found.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

/// Finds the first line of a body in chunks that is no size of a chunk. Returns `None` if it has not arrived among the
/// bytes that are kept.
fn refused_chunk(mut body: &[u8]) -> Option<Malformed> {
    loop {
        let line = first_line(body);
        if line.is_empty() {
            return None;
        }
        match httparse::parse_chunk_size(body) {
            Ok(Status::Complete((length, size))) if size > 0 => {
                let end = usize::try_from(size).ok()?.checked_add(length)?;
                let after = body.get(end..).filter(|after| after.len() >= 2)?;
                let Some(next) = after.strip_prefix(b"\r\n") else {
                    return Some(Malformed::quoting(first_line(after), 0, |quote| {
                        format!("a chunk of the body is longer than its size, {size}: after it comes `{quote}`")
                    }));
                };
                body = next;
            }
            Err(_) => {
                return Some(Malformed::quoting(line, 0, |quote| {
                    format!("a chunk of the body is malformed: `{quote}` is no size")
                }));
            }
            Ok(_) => return None,
        }
    }
}

/// Returns the first line, without its end.
fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// Returns a line for a message, escaped, in at most 200 bytes. A long line is shortened before the byte at `at`. The
/// value of a header that may be a credential is left out.
fn quote(line: &[u8], at: usize) -> String {
    /// The number of bytes at the beginning of a long line, and before the refused byte, that are shown.
    const SHOWN_BYTES: usize = 40;
    if let Some(colon) = line.iter().position(|byte| *byte == b':')
        && may_be_credential(&line[..colon])
    {
        return quotable(&format!("{}: …", escape(&line[..colon])));
    }
    if at <= 3 * SHOWN_BYTES {
        return quotable(&escape(line));
    }
    let (beginning, around) = (&line[..SHOWN_BYTES], &line[(at - SHOWN_BYTES).min(line.len())..]);
    quotable(&format!("{}…{}", escape(beginning), escape(around)))
}

fn may_be_credential(name: &[u8]) -> bool {
    const PARTS: [&[u8]; 8] = [b"cookie", b"auth", b"token", b"secret", b"key", b"session", b"password", b"csrf"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.windows(part.len()).any(|window| window == *part))
}

/// Returns bytes as text. Control characters, and bytes that are not UTF-8, are written as `\x00`.
fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::new();
    let write_byte = |escaped: &mut String, byte: u8| _ = write!(escaped, "\\x{byte:02x}");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii_control() { write_byte(&mut escaped, c as u8) } else { escaped.push(c) }
        }
        chunk.invalid().iter().for_each(|byte| write_byte(&mut escaped, *byte));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(received: &[u8], cause: &str, expected: Option<&str>) {
        let message = of_http1(received, received.len() as u64, cause).map(|malformed| malformed.message);
        assert_eq!(message.as_deref(), expected, "{}", escape(received));
    }

    #[test]
    fn the_refused_line_is_quoted_with_its_number() {
        let check = |received: &[u8], expected| check(received, "invalid HTTP header parsed", Some(expected));
        check(
            b"HTTP/1.1 200 OK\r\na: 1\r\nx-null: a\0b\r\n\r\n",
            "the response's header line 2 is malformed: `x-null: a\\x00b` (a null byte in the value)",
        );
        check(
            b"HTTP/1.1 200 OK\r\nna\0me: 1\r\n\r\n",
            "the response's header line 1 is malformed: `na\\x00me: 1` (a null byte in the name)",
        );
        check(
            b"HTTP/1.1 200 OK\r\nx-\xff: \xfe\ra\r\n\r\n",
            "the response's header line 1 is malformed: `x-\\xff: \\xfe\\x0da` (a carriage return without a line feed in \
             the value)",
        );
        check(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nset-cookie: sid=abc\0\r\n\r\n",
            "the response's header line 1 is malformed: `set-cookie: …` (a null byte in the value)",
        );
        let long = [&b"HTTP/1.1 200 OK\r\nx-long: "[..], &[b'v'; 9000], b"\0w\r\n\r\n"].concat();
        let (shown, near) = ("v".repeat(32), "v".repeat(40));
        let quoted = format!("`x-long: {shown}…{near}\\x00w` (a null byte in the value)");
        check(&long, &format!("the response's header line 1 is malformed: {quoted}"));
    }

    #[test]
    fn an_answer_that_is_no_response_is_quoted() {
        let check = |received: &[u8], expected| check(received, "invalid HTTP version parsed", Some(expected));
        check(b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP: it begins with `SSH-2.0-OpenSSH_9.2`");
        check(b"\x15\x03\x01\0\x02\x02", "the answer is not HTTP: it begins with `\\x15\\x03\\x01\\x00\\x02\\x02`");
        check(b"HTTP/3.0 200 OK\r\n", "the answer is in an unknown version of HTTP: it begins with `HTTP/3.0 200 OK`");
        check(b"HTTP/1.1 2x0 OK\r\n", "the response's status line is malformed: `HTTP/1.1 2x0 OK`");
    }

    #[test]
    fn lines_that_are_left_out_are_quoted() {
        let check = |head: &str, headers, expected: Option<&str>| {
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\nno body\r\n");
            assert_eq!(left_out(head.as_bytes(), headers).as_deref(), expected, "{head}");
        };
        check("a: 1\r\nb: 2\r\n", 2, None);
        check("a: 1\r\n folded\r\nb : 2\r\n", 2, None);
        check("a: 1\r\nno header at all\r\nb: 2\r\n", 2, Some("no header at all"));
        check("x y: 1\r\nb: \x01\r\nauth token: 1\r\n", 0, Some("x y: 1; b: \\x01; auth token: …"));
        let early = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\na: 1\r\n?\r\n\r\n";
        assert_eq!(left_out(early.as_bytes(), 1).as_deref(), None, "as many lines as headers");
        assert_eq!(left_out(early.as_bytes(), 2).as_deref(), Some("?"));
    }

    #[test]
    fn sizes_that_contradict_each_other_are_quoted() {
        check(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc",
            "invalid content-length parsed",
            Some("the response's `content-length` is malformed: `Content-Length: 3` and `content-length: 4`"),
        );
        let chunks = |chunks: &str, expected| {
            let response = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            check(response.as_bytes(), "Invalid chunk size line: Invalid Size", expected);
        };
        chunks("3\r\nabc\r\nxyz\r\n", Some("a chunk of the body is malformed: `xyz` is no size"));
        chunks("2\r\nabc\r\n", Some("a chunk of the body is longer than its size, 2: after it comes `c`"));
        chunks("3\r\nabc\r\n", None);
        chunks("ffffffffffffffff\r\n", None);
    }

    #[test]
    fn what_is_too_much_or_too_little_is_counted() {
        check(
            b"HTTP/1.1 200 OK\r\nx-cut",
            "connection closed before message completed",
            Some("the server closed the connection in the middle of the headers, after 22 bytes: `x-cut`"),
        );
        check(b"", "connection closed before message completed", None);
        let message = |total| of_http1(b"", total, "message head is too large").expect("the bound is known").message;
        assert_eq!(message(417_792), "the response's headers are too large: more than 417792 bytes");
        assert_eq!(message(90_000), "the response has too many header lines: more than 5000, in 90000 bytes");
    }
}
