use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::super::client::http_client;
use super::super::compression::Compression;
use super::super::destination::BODY_TIMEOUT;
use super::super::envelope::{Kind, Origin};
use super::*;
use sentry::types::Dsn;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const DOWN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a server that sends the first line and the decompressed envelope of each request to the receiver. `respond`
/// gets the number of the request and its envelope; the connection is closed after a response that is incomplete.
fn serve(respond: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (Dsn, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://key@{}/a/prefix/7", listener.local_addr().unwrap()).parse().unwrap();
    let (received, requests) = channel();
    let state = Arc::new((Mutex::new(0), respond));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (state, received) = (Arc::clone(&state), received.clone());
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some((line, envelope)) = read_request(&mut stream) {
                    let number = {
                        let mut count = state.0.lock();
                        *count += 1;
                        *count - 1
                    };
                    let response = (state.1)(number, &envelope);
                    _ = received.send((line, envelope));
                    let is_incomplete = response.is_empty() || response.ends_with("\r\n\r\n{");
                    if stream.get_mut().write_all(response.as_bytes()).is_err() || is_incomplete {
                        return;
                    }
                }
            });
        }
    });
    (dsn, requests)
}

fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim().to_owned());
    }
    assert!(head.iter().any(|line| line.ends_with("sentry_key=key")), "{head:?}");
    assert!(head.iter().any(|line| line == "content-encoding: gzip"), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let mut envelope = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut envelope).unwrap();
    Some((head.swap_remove(0), envelope))
}

fn envelope(kind: Kind, id: &str) -> Envelope {
    Envelope {
        kind,
        origin: Origin::BuiltIn,
        spans: 0,
        bytes: format!("{{\"event_id\":\"{id}\"}}\n{{}}\n").into_bytes(),
    }
}

fn start(dsn: &Dsn) -> Transport {
    // Compresses as for a server on another machine.
    let compression = Compression::for_url(&"https://sentry.example/".parse().unwrap());
    let (client, url) = (http_client(Some(dsn), None).unwrap(), dsn.envelope_api_url());
    let destination = Destination {
        name: "Sentry".to_owned(),
        client,
        compression,
        url,
        accepts_client_reports: false,
        max_failures_in_flush: u32::MAX,
    };
    Transport::start(destination, Spool::in_memory(), Vec::new())
}

/// Checks the numbers of envelopes that were sent, were rejected, and wait.
#[track_caller]
fn check(counts: &Counts, expected: [u64; 3]) {
    let rejected = counts.dropped.get(&DropReason::Rejected).copied().unwrap_or_default();
    assert_eq!([counts.sent, rejected, counts.waiting], expected, "{counts:?}");
}

#[tokio::test]
async fn an_envelope_is_sent_again_after_a_failure() {
    let (dsn, requests) = serve(|number, _| if number == 0 { DOWN } else { OK }.to_owned());
    let transport = start(&dsn);
    transport.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&transport.flush(FLUSH_TIMEOUT).await, [1, 0, 0]);
    let requests: Vec<_> = requests.try_iter().collect();
    assert_eq!(requests.len(), 2);
    for (line, envelope) in requests {
        assert_eq!(line, "POST /a/prefix/api/7/envelope/ HTTP/1.1");
        let header: serde_json::Value = serde_json::from_str(envelope.lines().next().unwrap()).unwrap();
        assert_eq!(header["event_id"], "one");
        assert!(header["sent_at"].as_str().unwrap().ends_with('Z'));
    }
}

#[tokio::test]
async fn a_connection_may_end_before_or_after_the_status_without_loss() {
    let (dsn, requests) = serve(|number, _| match number {
        0 => String::new(),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{".to_owned(),
    });
    let transport = start(&dsn);
    transport.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&transport.flush(FLUSH_TIMEOUT).await, [1, 0, 0]);
    assert_eq!(requests.try_iter().count(), 2);
}

#[tokio::test]
async fn a_body_that_never_arrives_does_not_delay_a_flush() {
    let (dsn, requests) = serve(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_owned());
    let transport = start(&dsn);
    transport.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&transport.flush(BODY_TIMEOUT * 3).await, [1, 0, 0]);
    assert_eq!(requests.try_iter().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_sent_while_transactions_are_limited() {
    let (dsn, requests) = serve(|_, envelope| {
        let is_limited = envelope.contains("transaction");
        let response = "HTTP/1.1 429 Too Many Requests\r\nx-sentry-rate-limits: 86400:transaction:key\r\n\
                      content-length: 0\r\n\r\n";
        if is_limited { response } else { OK }.to_owned()
    });
    let transport = start(&dsn);
    transport.push(vec![envelope(Kind::PassedTransaction, "transaction-1")]);
    // Waits until the response is handled.
    requests.recv_timeout(FLUSH_TIMEOUT).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..5 {
        transport.push(vec![envelope(Kind::PassedTransaction, &format!("transaction-{number}"))]);
        transport.push(vec![envelope(Kind::Error, &format!("error-{number}"))]);
    }
    let start = Instant::now();
    check(&transport.flush(FLUSH_TIMEOUT).await, [5, 0, 6]);
    assert!(start.elapsed() < Duration::from_secs(5), "a flush does not wait for a limit of a day");
    let received: Vec<_> = requests.try_iter().collect();
    assert!(received.iter().all(|(_, envelope)| envelope.contains("error")), "{received:?}");
}

#[tokio::test]
async fn rejected_envelopes_are_dropped_and_counted() {
    let (dsn, requests) = serve(|number, _| match number {
        0 => "HTTP/1.1 403 Forbidden\r\nx-sentry-error: no such key\r\ncontent-length: 0\r\n\r\n".to_owned(),
        1 => "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => OK.to_owned(),
    });
    let transport = start(&dsn);
    for id in ["one", "two", "three"] {
        transport.push(vec![envelope(Kind::PassedTransaction, id)]);
    }
    check(&transport.flush(FLUSH_TIMEOUT).await, [1, 2, 0]);
    assert_eq!(requests.try_iter().count(), 3);
}

#[tokio::test]
async fn a_burst_arrives_completely() {
    let (dsn, requests) = serve(|_, _| OK.to_owned());
    let transport = start(&dsn);
    for number in 0..500 {
        transport.push(vec![envelope(Kind::PassedTransaction, &number.to_string())]);
    }
    check(&transport.flush(FLUSH_TIMEOUT).await, [500, 0, 0]);
    let ids: HashSet<_> =
        requests.try_iter().map(|(_, envelope)| envelope[envelope.find("event_id").unwrap()..].to_owned()).collect();
    assert_eq!(ids.len(), 500);
}

#[tokio::test]
async fn without_a_server_envelopes_wait_and_a_flush_returns() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let transport = start(&format!("http://key@127.0.0.1:{port}/7").parse().unwrap());
    transport.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&transport.flush(Duration::from_millis(200)).await, [0, 0, 1]);
}
