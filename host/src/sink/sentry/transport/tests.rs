use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::super::client::client;
use super::super::envelope::Kind;
use super::super::outcomes::Reason;
use super::*;
use sentry::types::Dsn;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const DOWN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const GRACE: Duration = Duration::from_secs(20);

/// A server that says of each request, in its own thread, what it was: its first line, and its envelope unpacked.
/// `answer` gets the number of the request and the envelope; one that is not whole closes the connection.
fn serve(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (Dsn, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://key@{}/a/prefix/7", listener.local_addr().unwrap()).parse().unwrap();
    let (seen, requests) = channel();
    let state = Arc::new((Mutex::new(0), answer));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (state, seen) = (Arc::clone(&state), seen.clone());
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some((line, envelope)) = request(&mut stream) {
                    let number = {
                        let mut count = state.0.lock();
                        *count += 1;
                        *count - 1
                    };
                    let answer = (state.1)(number, &envelope);
                    _ = seen.send((line, envelope));
                    let cut = answer.is_empty() || answer.ends_with("\r\n\r\n{");
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() || cut {
                        return;
                    }
                }
            });
        }
    });
    (dsn, requests)
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
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
    Envelope { kind, spans: 0, bytes: format!("{{\"event_id\":\"{id}\"}}\n{{}}\n").into_bytes() }
}

fn start(dsn: &Dsn) -> Transport {
    // As one that is elsewhere.
    let packing = Compression::to(&"https://sentry.example/".parse().unwrap());
    let (client, url) = (client(Some(dsn)).unwrap(), dsn.envelope_api_url());
    let destination =
        Destination { name: "Sentry".to_owned(), client, packing, url, reports: false, patience: u32::MAX };
    Transport::start(destination, Spool::in_memory(), Vec::new())
}

/// Envelopes sent, refused and waiting.
#[track_caller]
fn check(counts: &Counts, expected: [u64; 3]) {
    let refused = counts.dropped.get(&Reason::Refused).copied().unwrap_or_default();
    assert_eq!([counts.sent, refused, counts.waiting], expected, "{counts:?}");
}

#[tokio::test]
async fn a_failing_server_gets_it_again() {
    let (dsn, requests) = serve(|number, _| if number == 0 { DOWN } else { OK }.to_owned());
    let delivery = start(&dsn);
    delivery.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&delivery.flush(GRACE).await, [1, 0, 0]);
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
async fn a_connection_cut_before_the_answer_is_no_loss_and_after_it_no_matter() {
    let (dsn, requests) = serve(|number, _| match number {
        0 => String::new(),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{".to_owned(),
    });
    let delivery = start(&dsn);
    delivery.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&delivery.flush(GRACE).await, [1, 0, 0]);
    assert_eq!(requests.try_iter().count(), 2);
}

#[tokio::test]
async fn an_answer_that_drips_in_holds_nothing_up() {
    let (dsn, requests) = serve(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_owned());
    let delivery = start(&dsn);
    delivery.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&delivery.flush(ANSWER_TIME * 3).await, [1, 0, 0]);
    assert_eq!(requests.try_iter().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_go_while_transactions_are_limited() {
    let (dsn, requests) = serve(|_, envelope| {
        let limited = envelope.contains("transaction");
        let answer = "HTTP/1.1 429 Too Many Requests\r\nx-sentry-rate-limits: 86400:transaction:key\r\n\
                      content-length: 0\r\n\r\n";
        if limited { answer } else { OK }.to_owned()
    });
    let delivery = start(&dsn);
    delivery.push(vec![envelope(Kind::PassedTransaction, "transaction-1")]);
    // Until the answer is there, and taken in.
    requests.recv_timeout(GRACE).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..5 {
        delivery.push(vec![envelope(Kind::PassedTransaction, &format!("transaction-{number}"))]);
        delivery.push(vec![envelope(Kind::Error, &format!("error-{number}"))]);
    }
    let began = Instant::now();
    check(&delivery.flush(GRACE).await, [5, 0, 6]);
    assert!(began.elapsed() < Duration::from_secs(5), "what is limited for a day is not waited for");
    let seen: Vec<_> = requests.try_iter().collect();
    assert!(seen.iter().all(|(_, envelope)| envelope.contains("error")), "{seen:?}");
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_counted() {
    let (dsn, requests) = serve(|number, _| match number {
        0 => "HTTP/1.1 403 Forbidden\r\nx-sentry-error: no such key\r\ncontent-length: 0\r\n\r\n".to_owned(),
        1 => "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => OK.to_owned(),
    });
    let delivery = start(&dsn);
    for id in ["one", "two", "three"] {
        delivery.push(vec![envelope(Kind::PassedTransaction, id)]);
    }
    check(&delivery.flush(GRACE).await, [1, 2, 0]);
    assert_eq!(requests.try_iter().count(), 3);
}

#[tokio::test]
async fn a_burst_arrives_whole() {
    let (dsn, requests) = serve(|_, _| OK.to_owned());
    let delivery = start(&dsn);
    for number in 0..500 {
        delivery.push(vec![envelope(Kind::PassedTransaction, &number.to_string())]);
    }
    check(&delivery.flush(GRACE).await, [500, 0, 0]);
    let ids: HashSet<_> =
        requests.try_iter().map(|(_, envelope)| envelope[envelope.find("event_id").unwrap()..].to_owned()).collect();
    assert_eq!(ids.len(), 500);
}

#[tokio::test]
async fn without_a_server_nothing_is_lost_and_no_one_is_held_up() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let delivery = start(&format!("http://key@127.0.0.1:{port}/7").parse().unwrap());
    delivery.push(vec![envelope(Kind::PassedTransaction, "one")]);
    check(&delivery.flush(Duration::from_millis(200)).await, [0, 0, 1]);
}
