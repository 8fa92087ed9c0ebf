//! Bodies of requests: whole, or streamed while they are written.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::capability::http::format::header_bytes;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::quota::Quota;

/// The maximum bytes of a request's body in its evidence.
pub const MAX_EVIDENCE_BYTES: usize = 8 << 10;

/// The body of a request.
#[derive(Clone)]
pub enum RequestBody {
    /// All bytes of the body. They can be sent several times.
    Whole(Bytes),
    /// A body that the guest is still writing. It can be sent once.
    Streamed(Arc<StreamedBody>),
}

impl RequestBody {
    /// Returns the number of bytes of a whole body, and 0 for a streamed body, whose bytes are counted when they are
    /// sent.
    pub fn bytes_in_memory(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Streamed(_) => 0,
        }
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

type BoxError = Box<dyn Error + Send + Sync>;
type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// A body that is sent while it is written. Only one piece of it is in memory at a time, so it can be sent only once.
pub struct StreamedBody {
    /// `None` once the body was taken to be sent.
    body: Mutex<Option<BoxBody>>,
    /// The length in bytes, if it is known.
    length: Option<u64>,
    /// The first bytes that were sent, at most [`MAX_EVIDENCE_BYTES`].
    beginning: Mutex<BytesMut>,
}

impl StreamedBody {
    /// Returns a body of `length` bytes, or of unknown length for `None`.
    pub fn new(body: impl Body<Data = Bytes, Error = BoxError> + Send + 'static, length: Option<u64>) -> Self {
        Self { body: Mutex::new(Some(Box::pin(body))), length, beginning: Mutex::default() }
    }

    /// Returns the first bytes that were sent, at most 8 KiB.
    pub fn beginning(&self) -> Bytes {
        self.beginning.lock().clone().freeze()
    }

    /// Returns the body for the client to send. Its bytes are counted on `quota`. The one that is polled first sends
    /// the body; polling another fails.
    pub fn send(self: &Arc<Self>, timings: HopTimings, quota: Quota) -> SendingBody {
        let stream = Arc::clone(self);
        SendingBody { stream, body: None, is_begun: false, remaining: self.length, timings, quota }
    }

    fn extend_beginning(&self, bytes: &[u8]) {
        let mut beginning = self.beginning.lock();
        let bytes_left = MAX_EVIDENCE_BYTES.saturating_sub(beginning.len());
        beginning.extend_from_slice(&bytes[..bytes.len().min(bytes_left)]);
    }
}

/// A streamed body that is being sent. It records when the connection takes its last piece for writing.
pub struct SendingBody {
    stream: Arc<StreamedBody>,
    /// The body, or `None` if it is not begun, or was sent before.
    body: Option<BoxBody>,
    /// True once the body was taken from the stream.
    is_begun: bool,
    /// The number of bytes that are not sent yet, if the length is known.
    remaining: Option<u64>,
    timings: HopTimings,
    quota: Quota,
}

impl Body for SendingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !std::mem::replace(&mut self.is_begun, true) {
            let body = self.stream.body.lock().take();
            self.body = body;
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Some(Err("the body was sent before".into()))) };
        let Some(frame) = ready!(body.as_mut().poll_frame(task)).transpose()? else {
            self.timings.record_sent();
            return Poll::Ready(None);
        };
        if let Some(bytes) = frame.data_ref() {
            self.quota.count_sent(bytes.len())?;
            self.stream.extend_beginning(bytes);
            self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(bytes.len() as u64));
            if self.remaining == Some(0) {
                self.timings.record_sent();
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.quota.count_sent(header_bytes(trailers))?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map(SizeHint::with_exact).unwrap_or_default()
    }
}
