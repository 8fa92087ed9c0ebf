//! HTTP and SOCKS 5 proxies on loopback that record their requests. Every host name resolves to 127.0.0.1 there.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::certificates::Certificates;
use crate::support::{tcp_server, tls_terminator};

/// A running proxy, which stops with the process.
pub struct Proxy {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts an HTTP proxy that records the heads of its requests. If `authorization` is given, the proxy requires
    /// this value of `proxy-authorization`.
    pub fn start_http(authorization: Option<&'static str>) -> Self {
        Self::start(move |client, record| serve_http(client, authorization, record))
    }

    /// Starts a SOCKS 5 proxy, which may require a user name and a password. It records `login USER PASSWORD`, and
    /// `name HOST:PORT` or `address HOST:PORT`.
    pub fn start_socks(login: Option<(&'static str, &'static str)>) -> Self {
        Self::start(move |client, record| drop(serve_socks(client, login, record)))
    }

    fn start(serve: impl Fn(TcpStream, &dyn Fn(String)) + Send + Sync + Clone + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let port = tcp_server::listen(move |client| {
            serve(client, &|request| log.lock().expect("no test panics here").push(request));
        });
        Self { port, requests }
    }

    /// Starts a proxy as [`start_http`](Self::start_http) does, which is reached over TLS with the certificate `name`.
    pub fn start_https(authorization: Option<&'static str>, certificates: &Certificates, name: &str) -> Self {
        let inner = Self::start_http(authorization);
        Self { port: tls_terminator::start("127.0.0.1:0", certificates, name, inner.port), requests: inner.requests }
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics here").clone()
    }
}

fn serve_http(mut client: TcpStream, authorization: Option<&str>, record: &dyn Fn(String)) {
    let head = tcp_server::read_head(&client);
    record(head.join("\n"));
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
            copy_both_ways(client, server);
        } else {
            let _ = client.write_all(b"HTTP/1.1 502 Nobody There\r\ncontent-length: 0\r\n\r\n");
        }
        return;
    }
    let target = target.strip_prefix("http://").unwrap_or_default();
    let (authority, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let Some(mut server) = connect(&authority) else { return };
    let is_end_to_end = |line: &&String| !line.to_lowercase().starts_with("proxy-");
    let lines: Vec<_> = head[1..].iter().filter(is_end_to_end).cloned().collect();
    let _ = server.write_all(format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes());
    copy_both_ways(client, server);
}

/// Serves a connection by RFC 1928, and by RFC 1929 if a login is required.
fn serve_socks(mut client: TcpStream, login: Option<(&str, &str)>, record: &dyn Fn(String)) -> std::io::Result<()> {
    const NO_ACCEPTABLE_METHODS: u8 = 255;
    let [_, count] = read_array(&mut client)?;
    let offered = read_bytes(&mut client, count)?;
    let method = if login.is_some() { 2 } else { 0 };
    if !offered.contains(&method) {
        return client.write_all(&[5, NO_ACCEPTABLE_METHODS]);
    }
    client.write_all(&[5, method])?;
    if let Some((user, password)) = login {
        let [_, length] = read_array(&mut client)?;
        let shown_user = read_bytes(&mut client, length)?;
        let [length] = read_array(&mut client)?;
        let shown = read_bytes(&mut client, length)?;
        record(format!("login {} {}", String::from_utf8_lossy(&shown_user), String::from_utf8_lossy(&shown)));
        let matches = shown_user == user.as_bytes() && shown == password.as_bytes();
        client.write_all(&[1, u8::from(!matches)])?;
        if !matches {
            return Ok(());
        }
    }
    let [_, _, _, kind] = read_array(&mut client)?;
    let (address_kind, host) = match kind {
        1 => ("address", Ipv4Addr::from(read_array::<4>(&mut client)?).to_string()),
        4 => ("address", format!("[{}]", Ipv6Addr::from(read_array::<16>(&mut client)?))),
        _ => {
            let [length] = read_array(&mut client)?;
            ("name", String::from_utf8_lossy(&read_bytes(&mut client, length)?).into_owned())
        }
    };
    let target = format!("{host}:{}", u16::from_be_bytes(read_array(&mut client)?));
    record(format!("{address_kind} {target}"));
    let server = connect(&target);
    // 0 means success, 5 a refused connection. An unused address follows.
    client.write_all(&[5, if server.is_some() { 0 } else { 5 }, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if let Some(server) = server {
        copy_both_ways(client, server);
    }
    Ok(())
}

fn read_array<const COUNT: usize>(from: &mut TcpStream) -> std::io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_bytes(from: &mut TcpStream, length: u8) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; length.into()];
    from.read_exact(&mut text)?;
    Ok(text)
}

fn connect(authority: &str) -> Option<TcpStream> {
    let (host, port) = authority.rsplit_once(':')?;
    let ip = host.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    TcpStream::connect((ip, port.parse().ok()?)).ok()
}

/// Copies bytes in both directions until both sides have closed.
fn copy_both_ways(client: TcpStream, server: TcpStream) {
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
