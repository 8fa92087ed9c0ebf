//! Proxies on loopback, HTTP and SOCKS 5, that remember what they were asked. Every name leads to loopback there.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::slow;

/// A running proxy; it ends with the process.
pub struct Proxy {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy for HTTP, which may insist on a `proxy-authorization`. It remembers the heads of requests.
    pub fn http(authorization: Option<&'static str>) -> Self {
        Self::start(move |client, asked| http(client, authorization, asked))
    }

    /// A proxy by SOCKS 5, which may insist on a user name and a password. It remembers `login USER PASSWORD` and
    /// `name HOST:PORT` or `address HOST:PORT`.
    pub fn socks(login: Option<(&'static str, &'static str)>) -> Self {
        Self::start(move |client, asked| drop(socks(client, login, asked)))
    }

    fn start(serve: impl Fn(TcpStream, &dyn Fn(String)) + Send + Sync + Clone + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let port = slow::listen(move |client| {
            serve(client, &|what| log.lock().expect("no test panics here").push(what));
        });
        Self { port, asked }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

fn http(mut client: TcpStream, authorization: Option<&str>, asked: &dyn Fn(String)) {
    let head = slow::head(&client);
    asked(head.join("\n"));
    let shown = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    if authorization.is_some() && authorization != shown {
        let _ = client.write_all(
            b"HTTP/1.1 407 Who Are You\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
        return;
    }
    let mut request = head.first().map(String::as_str).unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (request.next(), request.next()) else { return };
    if method == "CONNECT" {
        if let Some(server) = connect(target) {
            let _ = client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
            join(client, server);
        } else {
            let _ = client.write_all(b"HTTP/1.1 502 Nobody There\r\ncontent-length: 0\r\n\r\n");
        }
        return;
    }
    let target = target.strip_prefix("http://").unwrap_or_default();
    let (authority, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let Some(mut server) = connect(&authority) else { return };
    let own = |line: &&String| !line.to_lowercase().starts_with("proxy-");
    let lines: Vec<_> = head[1..].iter().filter(own).cloned().collect();
    let _ = server.write_all(format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes());
    join(client, server);
}

/// RFC 1928, and RFC 1929 for who must log in.
fn socks(mut client: TcpStream, login: Option<(&str, &str)>, asked: &dyn Fn(String)) -> std::io::Result<()> {
    const NONE_OF_THESE: u8 = 255;
    let [_, count] = bytes(&mut client)?;
    let offered = text(&mut client, count)?;
    let wanted = if login.is_some() { 2 } else { 0 };
    if !offered.contains(&wanted) {
        return client.write_all(&[5, NONE_OF_THESE]);
    }
    client.write_all(&[5, wanted])?;
    if let Some((user, password)) = login {
        let [_, length] = bytes(&mut client)?;
        let shown_user = text(&mut client, length)?;
        let [length] = bytes(&mut client)?;
        let shown = text(&mut client, length)?;
        asked(format!("login {} {}", String::from_utf8_lossy(&shown_user), String::from_utf8_lossy(&shown)));
        let right = shown_user == user.as_bytes() && shown == password.as_bytes();
        client.write_all(&[1, u8::from(!right)])?;
        if !right {
            return Ok(());
        }
    }
    let [_, _, _, kind] = bytes(&mut client)?;
    let (form, host) = match kind {
        1 => ("address", Ipv4Addr::from(bytes::<4>(&mut client)?).to_string()),
        4 => ("address", format!("[{}]", Ipv6Addr::from(bytes::<16>(&mut client)?))),
        _ => {
            let [length] = bytes(&mut client)?;
            ("name", String::from_utf8_lossy(&text(&mut client, length)?).into_owned())
        }
    };
    let target = format!("{host}:{}", u16::from_be_bytes(bytes(&mut client)?));
    asked(format!("{form} {target}"));
    let server = connect(&target);
    // Zero is well, 5 is that the connection was refused; then an address, which nobody needs.
    client.write_all(&[5, if server.is_some() { 0 } else { 5 }, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if let Some(server) = server {
        join(client, server);
    }
    Ok(())
}

fn bytes<const COUNT: usize>(from: &mut TcpStream) -> std::io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(from: &mut TcpStream, length: u8) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; length.into()];
    from.read_exact(&mut text)?;
    Ok(text)
}

fn connect(authority: &str) -> Option<TcpStream> {
    let (host, port) = authority.rsplit_once(':')?;
    let ip = host.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    TcpStream::connect((ip, port.parse().ok()?)).ok()
}

/// Passes on what either says, until both have ended.
fn join(client: TcpStream, server: TcpStream) {
    let (Ok(mut from), Ok(mut into)) = (server.try_clone(), client.try_clone()) else { return };
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(Shutdown::Write);
    });
    let (mut from, mut into) = (client, server);
    let _ = std::io::copy(&mut from, &mut into);
    let _ = into.shutdown(Shutdown::Write);
    let _ = back.join();
}
