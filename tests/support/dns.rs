//! A DNS server on loopback that says what it is told to, over UDP and TCP on one port.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server says of a name.
pub enum Says {
    /// Those of the family that it is asked for; there may be none of it.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    Nothing,
    /// Over UDP that the answer does not fit; over TCP what it is.
    TooLong(Vec<IpAddr>),
}

/// A question that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    /// `A`, `AAAA` or a number.
    pub kind: String,
    /// `udp` or `tcp`.
    pub over: &'static str,
}

/// A running server; it ends with the process.
pub struct Dns {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Dns {
    /// Starts a server that says what `zone` does of a name; to say it late, `zone` may wait.
    pub fn start(zone: impl Fn(&str) -> Says + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets();
        let port = udp.local_addr().expect("a socket has an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let serve = {
            let asked = Arc::clone(&asked);
            Arc::new(move |query: &[u8], over| {
                let (question, end) = question(query, over)?;
                asked.lock().expect("no test panics here").push(question.clone());
                answer(query, end, &question, &zone(&question.name))
            })
        };
        let serve_tcp = Arc::clone(&serve);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let (query, udp, serve) = (buffer[..length].to_vec(), udp.try_clone(), Arc::clone(&serve));
                // In a thread of its own: the questions for both families come at once.
                thread::spawn(move || {
                    if let (Ok(udp), Some(answer)) = (udp, serve(&query, "udp")) {
                        let _ = udp.send_to(&answer, from);
                    }
                });
            }
        });
        thread::spawn(move || {
            for mut connection in tcp.incoming().map_while(Result::ok) {
                let serve = Arc::clone(&serve_tcp);
                thread::spawn(move || {
                    let mut length = [0; 2];
                    while connection.read_exact(&mut length).is_ok() {
                        let mut query = vec![0; u16::from_be_bytes(length).into()];
                        if connection.read_exact(&mut query).is_err() {
                            return;
                        }
                        let Some(answer) = serve(&query, "tcp") else { return };
                        let length = u16::try_from(answer.len()).expect("an answer is short").to_be_bytes();
                        let _ = connection.write_all(&[&length, answer.as_slice()].concat());
                    }
                });
            }
        });
        Self { port, asked }
    }

    /// A server that knows one name, and its addresses.
    pub fn knowing(name: &'static str, addresses: &[&str]) -> Self {
        let addresses = ips(addresses);
        Self::start(move |asked| if asked == name { Says::Addresses(addresses.clone()) } else { Says::NoSuchName })
    }

    /// The questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

/// Addresses from text.
pub fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}

/// Both on one port, which UDP chooses and TCP may find taken.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let at = udp.local_addr().expect("a socket has an address");
        if let Ok(tcp) = TcpListener::bind(at) {
            return (udp, tcp);
        }
    }
}

const HEADER: usize = 12;

/// The one question of a query, and where it ends.
fn question(query: &[u8], over: &'static str) -> Option<(Asked, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = match u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]) {
        1 => "A".to_owned(),
        28 => "AAAA".to_owned(),
        other => other.to_string(),
    };
    Some((Asked { name: labels.join("."), kind, over }, at + 4))
}

fn answer(query: &[u8], end: usize, question: &Asked, says: &Says) -> Option<Vec<u8>> {
    // The response to a query that wanted recursion, with recursion.
    const FLAGS: u16 = 0x8180;
    const TRUNCATED: u16 = 0x0200;
    let (flags, addresses) = match says {
        Says::NoSuchName => (FLAGS | 3, &[][..]),
        Says::Failure => (FLAGS | 2, &[][..]),
        Says::Nothing => return None,
        Says::TooLong(_) if question.over == "udp" => (FLAGS | TRUNCATED, &[][..]),
        Says::Addresses(addresses) | Says::TooLong(addresses) => (FLAGS, addresses.as_slice()),
    };
    let records: Vec<_> =
        addresses.iter().filter(|ip| question.kind == if ip.is_ipv4() { "A" } else { "AAAA" }).collect();
    let count = u16::try_from(records.len()).expect("an answer is short");
    let mut message = query[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        message.extend(number.to_be_bytes());
    }
    message.extend(&query[HEADER..end]);
    for ip in records {
        // The question's name, its type and class, and for how many seconds it holds.
        message.extend([0xc0, HEADER as u8]);
        message.extend(&query[end - 4..end]);
        message.extend(60_u32.to_be_bytes());
        let data = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        message.extend(u16::try_from(data.len()).expect("an address is short").to_be_bytes());
        message.extend(data);
    }
    Some(message)
}
