//! An answer that is handed on as it comes, to who reads it elsewhere and at a speed of their own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::sync::{mpsc, oneshot};

use crate::capability::http::failed_exchange::FailedExchange;

/// Pieces of a body that wait to be read, and bytes of one: what is held of a body beside what the connection holds.
const MOST_WAITING: usize = 16;
const MOST_OF_PIECE: usize = 16 << 10;

/// Where the exchange puts its answer. Once it is dropped, the answer is whole.
pub struct ResponseSender {
    head: Mutex<Option<(oneshot::Sender<StreamedResponse>, Incoming)>>,
    body: mpsc::Sender<Piece>,
}

/// The head of an answer, and the way to its body.
pub struct StreamedResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Incoming,
}

/// A body as it comes.
pub struct Incoming(mpsc::Receiver<Piece>);

type Piece = Result<Frame<Bytes>, FailedExchange>;

impl ResponseSender {
    pub fn new() -> (Self, oneshot::Receiver<StreamedResponse>) {
        let (head, answer) = oneshot::channel();
        let (body, incoming) = mpsc::channel(MOST_WAITING);
        (Self { head: Mutex::new(Some((head, Incoming(incoming)))), body }, answer)
    }

    /// The head has come.
    pub fn begin(&self, status: StatusCode, headers: HeaderMap) {
        let head = self.head.lock().take();
        if let Some((head, body)) = head {
            // Who does not wait for it any longer has dropped the body too.
            let _ = head.send(StreamedResponse { status, headers, body });
        }
    }

    /// Whether somebody has the head.
    pub fn has_begun(&self) -> bool {
        self.head.lock().is_none()
    }

    /// Waits until there is room for more of the body.
    pub async fn pass(&self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MOST_OF_PIECE));
            if self.body.send(Ok(Frame::data(piece))).await.is_err() {
                return;
            }
        }
    }

    /// What came after the body.
    pub async fn end(&self, trailers: HeaderMap) {
        let _ = self.body.send(Ok(Frame::trailers(trailers))).await;
    }

    /// What has begun comes to no end.
    pub async fn fail(&self, failed: FailedExchange) {
        let _ = self.body.send(Err(failed)).await;
    }

    /// Waits until nobody reads the body any longer.
    pub async fn closed(&self) {
        self.body.closed().await;
    }
}

impl Incoming {
    /// The next piece; none at the body's end.
    pub fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Piece>> {
        Pin::new(&mut self.0).poll_recv(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_who_is_slow_holds_the_body_back() {
        let (flow, answer) = ResponseSender::new();
        flow.begin(StatusCode::OK, HeaderMap::new());
        let mut body = answer.await.expect("the head has come").body;
        let passing =
            tokio::spawn(async move { flow.pass(Bytes::from(vec![7; MOST_OF_PIECE * (MOST_WAITING + 1) + 1])).await });
        tokio::task::yield_now().await;
        assert!(!passing.is_finished());
        let mut sizes = Vec::new();
        while let Some(piece) = std::future::poll_fn(|task| body.poll_next(task)).await {
            let piece = piece.expect("no test breaks it off");
            sizes.push(piece.data_ref().map_or(0, Bytes::len));
        }
        assert_eq!(sizes, [vec![MOST_OF_PIECE; MOST_WAITING + 1], vec![1]].concat());
        assert!(passing.is_finished() || passing.await.is_ok());
    }

    #[tokio::test]
    async fn a_reader_who_has_enough_holds_nothing_back() {
        let (flow, answer) = ResponseSender::new();
        flow.begin(StatusCode::OK, HeaderMap::new());
        drop(answer.await);
        flow.closed().await;
        flow.pass(Bytes::from(vec![7; MOST_OF_PIECE * 100])).await;
    }
}
