//! The subset of HTTP/1.1 that the servers need: requests with bodies, on kept-alive connections. It is small, so that
//! the servers take little CPU time from what is measured.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[derive(Debug, Default)]
pub struct Request {
    pub path: String,
    pub body: Vec<u8>,
    pub gzipped: bool,
    /// The trace id from the header `sentry-trace`.
    pub trace: Option<String>,
}

/// Reads one request. Returns `None` if the connection has ended after a whole request.
pub async fn read_request(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    const MAX_HEAD_BYTES: usize = 64 << 10;
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        if from.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
    };
    let (mut request, length) = parse_head(&buffer[..end]).ok_or(ErrorKind::InvalidData)?;
    while buffer.len() < end + length {
        if from.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

fn parse_head(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut lines = std::str::from_utf8(bytes).ok()?.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let (mut request, mut length) = (Request { path, ..Request::default() }, 0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("content-encoding") {
            request.gzipped = value == "gzip";
        } else if name.eq_ignore_ascii_case("sentry-trace") {
            request.trace = value.split('-').next().map(str::to_owned);
        }
    }
    Some((request, length))
}

/// Writes a whole response. `status` is the status code, the reason phrase and further header lines, with CRLF between
/// them.
pub async fn write_response(to: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    to.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).await?;
    to.flush().await
}
