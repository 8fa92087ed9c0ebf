//! A DNS server on loopback with configurable responses, over UDP and TCP on one port.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// The server's response to a query.
pub enum DnsAnswer {
    /// Responds with the addresses of the queried family; there may be none.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// Sends no response.
    NoResponse,
    /// Responds over UDP with the TC bit set, and over TCP with the addresses.
    Truncated(Vec<IpAddr>),
    /// Responds with the name that this one is an alias of, and not with its addresses.
    Alias(&'static str),
}

/// A query that the server received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuery {
    pub name: String,
    /// `A`, `AAAA` or a number.
    pub record_type: String,
    /// `udp` or `tcp`.
    pub transport: &'static str,
}

/// A running server, which stops with the process.
pub struct DnsServer {
    pub port: u16,
    queries: Arc<Mutex<Vec<DnsQuery>>>,
}

impl DnsServer {
    /// Starts a server that responds with the result of `zone` for the queried name. To delay a response, `zone` may
    /// sleep.
    pub fn start(zone: impl Fn(&str) -> DnsAnswer + Send + Sync + 'static) -> Self {
        let (udp, tcp) = bind_sockets();
        let port = udp.local_addr().expect("a socket has an address").port();
        let queries = Arc::new(Mutex::new(Vec::new()));
        let serve = {
            let queries = Arc::clone(&queries);
            Arc::new(move |query: &[u8], transport| {
                let (question, end) = parse_question(query, transport)?;
                queries.lock().expect("no test panics here").push(question.clone());
                build_response(query, end, &question, &zone(&question.name))
            })
        };
        let serve_tcp = Arc::clone(&serve);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let (query, udp, serve) = (buffer[..length].to_vec(), udp.try_clone(), Arc::clone(&serve));
                // Each query has a thread of its own, since the queries for A and AAAA arrive together.
                thread::spawn(move || {
                    if let (Ok(udp), Some(response)) = (udp, serve(&query, "udp")) {
                        let _ = udp.send_to(&response, from);
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
                        let Some(response) = serve(&query, "tcp") else { return };
                        let length = u16::try_from(response.len()).expect("a response is short").to_be_bytes();
                        let _ = connection.write_all(&[&length, response.as_slice()].concat());
                    }
                });
            }
        });
        Self { port, queries }
    }

    /// Starts a server that has the addresses of one name, and responds with NXDOMAIN for all others.
    pub fn with_name(name: &'static str, addresses: &[&str]) -> Self {
        let addresses = parse_ips(addresses);
        Self::start(
            move |queried| {
                if queried == name { DnsAnswer::Addresses(addresses.clone()) } else { DnsAnswer::NoSuchName }
            },
        )
    }

    /// Returns the queries so far.
    pub fn queries(&self) -> Vec<DnsQuery> {
        self.queries.lock().expect("no test panics here").clone()
    }
}

/// Parses IP addresses.
pub fn parse_ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("the text is an IP address")).collect()
}

/// Binds a UDP and a TCP socket to one port. If the port that UDP gets is in use for TCP, tries another.
fn bind_sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let at = udp.local_addr().expect("a socket has an address");
        if let Ok(tcp) = TcpListener::bind(at) {
            return (udp, tcp);
        }
    }
}

const HEADER_BYTES: usize = 12;

/// Parses the question of a query. Returns it with the offset of its end.
fn parse_question(query: &[u8], transport: &'static str) -> Option<(DnsQuery, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let record_type = match u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]) {
        1 => "A".to_owned(),
        28 => "AAAA".to_owned(),
        other => other.to_string(),
    };
    Some((DnsQuery { name: labels.join("."), record_type, transport }, at + 4))
}

fn build_response(query: &[u8], end: usize, question: &DnsQuery, answer: &DnsAnswer) -> Option<Vec<u8>> {
    /// The bits QR (a response), RD (recursion desired) and RA (recursion available).
    const FLAGS: u16 = 0x8180;
    /// The bit TC.
    const TRUNCATED: u16 = 0x0200;
    let (flags, addresses) = match answer {
        DnsAnswer::NoSuchName => (FLAGS | 3, &[][..]),
        DnsAnswer::Failure => (FLAGS | 2, &[][..]),
        DnsAnswer::NoResponse => return None,
        DnsAnswer::Alias(_) => (FLAGS, &[][..]),
        DnsAnswer::Truncated(_) if question.transport == "udp" => (FLAGS | TRUNCATED, &[][..]),
        DnsAnswer::Addresses(addresses) | DnsAnswer::Truncated(addresses) => (FLAGS, addresses.as_slice()),
    };
    let records: Vec<_> =
        addresses.iter().filter(|ip| question.record_type == if ip.is_ipv4() { "A" } else { "AAAA" }).collect();
    let alias = if let DnsAnswer::Alias(name) = answer { Some(*name) } else { None };
    let count = u16::try_from(records.len() + alias.iter().len()).expect("a response has few records");
    let mut message = query[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        message.extend(number.to_be_bytes());
    }
    message.extend(&query[HEADER_BYTES..end]);
    if let Some(name) = alias {
        // The type CNAME, the class IN, a TTL of 60 s, and the name in labels.
        message.extend([0xc0, HEADER_BYTES as u8, 0, 5, 0, 1, 0, 0, 0, 60]);
        let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        let data: Vec<u8> = labels.chain([0]).collect();
        message.extend(u16::try_from(data.len()).expect("a name is short").to_be_bytes());
        message.extend(data);
    }
    for ip in records {
        // A record has a compressed pointer to the question's name, the question's type and class, and a TTL of 60 s.
        message.extend([0xc0, HEADER_BYTES as u8]);
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
