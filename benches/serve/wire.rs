//! As much of HTTP/1.1 as the servers of a benchmark need: a request with its body, kept connections. So little, that
//! what is measured beside it has the machine.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[derive(Debug, Default)]
pub struct Request {
    pub path: String,
    pub body: Vec<u8>,
    pub gzipped: bool,
    /// The header that says which trace it belongs to.
    pub trace: Option<String>,
}

/// Reads one request; none when the connection has ended between two.
pub async fn read(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    const LONGEST_HEAD: usize = 64 << 10;
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > LONGEST_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        if from.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
    };
    let (mut request, length) = head(&buffer[..end]).ok_or(ErrorKind::InvalidData)?;
    while buffer.len() < end + length {
        if from.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Ok(Some(request))
}

fn head(bytes: &[u8]) -> Option<(Request, usize)> {
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

/// Writes an answer whole. `status` is its number, its reason and further headers, each line of them ended.
pub async fn answer(to: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    to.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).await?;
    to.flush().await
}
