//! A request's body that goes out as it is written, by who writes it elsewhere and at a speed of their own.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::capability::http::format::size;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::quota::Quota;

/// Bytes of a request's body that its evidence has.
pub const MOST_OF_BODY: usize = 8 << 10;

/// The body of a request.
pub enum Outgoing {
    Whole(Bytes),
    Stream(Arc<Stream>),
}

type BoxError = Box<dyn Error + Send + Sync>;
type Pieces = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// A body of which nobody has more than a piece at once: it can be sent but once.
pub struct Stream {
    pieces: Mutex<Option<Pieces>>,
    length: Option<u64>,
    /// What was sent first.
    beginning: Mutex<BytesMut>,
}

impl Stream {
    /// Of so many bytes, where that is known.
    pub fn new(pieces: impl Body<Data = Bytes, Error = BoxError> + Send + 'static, length: Option<u64>) -> Self {
        Self { pieces: Mutex::new(Some(Box::pin(pieces))), length, beginning: Mutex::default() }
    }

    /// As much as may hold what must not be told.
    pub fn beginning(&self) -> Bytes {
        self.beginning.lock().clone().freeze()
    }

    /// What the client takes it from.
    pub fn send(self: &Arc<Self>, marks: HopTimings, quota: Quota) -> Sending {
        let pieces = self.pieces.lock().take();
        Sending { stream: Arc::clone(self), pieces: Mutex::new(pieces), left: self.length, marks, quota }
    }

    fn note(&self, bytes: &[u8]) {
        let mut beginning = self.beginning.lock();
        let room = MOST_OF_BODY.saturating_sub(beginning.len());
        beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// A body on its way, which notes when the last of it is taken.
pub struct Sending {
    stream: Arc<Stream>,
    /// One of those who ask for it wants it to be shareable.
    pieces: Mutex<Option<Pieces>>,
    /// Bytes that are yet to come, where that is known.
    left: Option<u64>,
    marks: HopTimings,
    quota: Quota,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let pieces = self.pieces.get_mut();
        let Some(pieces) = pieces else { return Poll::Ready(Some(Err("its body is sent already".into()))) };
        let Some(frame) = ready!(pieces.as_mut().poll_frame(task)).transpose()? else {
            self.marks.sent();
            return Poll::Ready(None);
        };
        if let Some(bytes) = frame.data_ref() {
            self.quota.count_sent(bytes.len())?;
            self.stream.note(bytes);
            self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
            if self.left == Some(0) {
                self.marks.sent();
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.quota.count_sent(size(trailers))?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
