//! Responses that are forwarded to a reader while they arrive. A slow reader slows down the transfer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use http_body::Frame;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::capability::http::failed_exchange::FailedExchange;

/// The maximum number of pieces of a body that wait for their reader. With [`MAX_PIECE_BYTES`], it bounds the memory
/// for a body, in addition to the buffers of its connection.
const MAX_WAITING_PIECES: usize = 16;
/// The maximum bytes of one piece.
const MAX_PIECE_BYTES: usize = 16 << 10;

/// The sending half of a response. Dropping it ends the body.
pub struct ResponseSender {
    /// The channel for the response and the body that is sent with it, or `None` once the head was sent.
    head: Mutex<Option<(oneshot::Sender<StreamedResponse>, ResponseBody)>>,
    body: mpsc::Sender<Piece>,
}

/// A response whose head has arrived.
pub struct StreamedResponse {
    /// The status code.
    pub status: StatusCode,
    /// The headers, without the trailers.
    pub headers: HeaderMap,
    /// The body, which still arrives.
    pub body: ResponseBody,
}

/// The body of a response while it arrives. Dropping it stops the sender.
pub struct ResponseBody(mpsc::Receiver<Piece>);

type Piece = Result<Frame<Bytes>, FailedExchange>;

impl ResponseSender {
    /// Returns a sender, and the receiver of the response that it will send.
    pub fn new() -> (Self, oneshot::Receiver<StreamedResponse>) {
        let (head, response) = oneshot::channel();
        let (body, receiver) = mpsc::channel(MAX_WAITING_PIECES);
        (Self { head: Mutex::new(Some((head, ResponseBody(receiver)))), body }, response)
    }

    /// Sends the head. A second head is dropped.
    pub fn send_head(&self, status: StatusCode, headers: HeaderMap) {
        let head = self.head.lock().take();
        if let Some((head, body)) = head {
            // If the receiver was dropped, this drops the body too, and the sender stops.
            let _ = head.send(StreamedResponse { status, headers, body });
        }
    }

    /// Returns true if the head was sent.
    pub fn is_head_sent(&self) -> bool {
        self.head.lock().is_none()
    }

    /// Sends data of the body. Waits until the channel has taken all of it, or until the reader is dropped.
    pub async fn send_data(&self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(MAX_PIECE_BYTES));
            if self.body.send(Ok(Frame::data(piece))).await.is_err() {
                return;
            }
        }
    }

    /// Sends the trailers that come after the body.
    pub async fn send_trailers(&self, trailers: HeaderMap) {
        let _ = self.body.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Sends the failure that ends the body.
    pub async fn send_failure(&self, failed: FailedExchange) {
        let _ = self.body.send(Err(failed)).await;
    }

    /// Waits until the body's reader is dropped.
    pub async fn closed(&self) {
        self.body.closed().await;
    }
}

impl ResponseBody {
    /// Polls for the next piece of the body: data, trailers, or the failure that ends it. Returns `None` at its end.
    pub fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Piece>> {
        Pin::new(&mut self.0).poll_recv(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sending_waits_for_a_slow_reader() {
        let (sender, response) = ResponseSender::new();
        sender.send_head(StatusCode::OK, HeaderMap::new());
        let mut body = response.await.expect("the head was sent").body;
        let data = Bytes::from(vec![7; MAX_PIECE_BYTES * (MAX_WAITING_PIECES + 1) + 1]);
        let sending = tokio::spawn(async move { sender.send_data(data).await });
        tokio::task::yield_now().await;
        assert!(!sending.is_finished());
        let mut sizes = Vec::new();
        while let Some(piece) = std::future::poll_fn(|task| body.poll_next(task)).await {
            let piece = piece.expect("no failure was sent");
            sizes.push(piece.data_ref().map_or(0, Bytes::len));
        }
        assert_eq!(sizes, [vec![MAX_PIECE_BYTES; MAX_WAITING_PIECES + 1], vec![1]].concat());
        assert!(sending.is_finished() || sending.await.is_ok());
    }

    #[tokio::test]
    async fn sending_does_not_wait_for_a_dropped_reader() {
        let (sender, response) = ResponseSender::new();
        sender.send_head(StatusCode::OK, HeaderMap::new());
        drop(response.await);
        sender.closed().await;
        sender.send_data(Bytes::from(vec![7; MAX_PIECE_BYTES * 100])).await;
    }
}
