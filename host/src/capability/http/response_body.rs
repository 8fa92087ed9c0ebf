//! Receiving the body of a response as a whole, and removing its content codings.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::Response as ResponseParts;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::content_coding::BodyDecoder;
use crate::capability::http::evidence::HttpEvidence;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::transport::Transport;
use crate::capability::quota::{Exceeded, HeldBytes};

/// The bytes that are decoded at once.
const DECODED_BYTES: usize = 32 << 10;

/// The decoding of one body.
pub struct BodyDecoding {
    /// `None` if the body has no content coding, or keeps it.
    decoder: Option<BodyDecoder>,
    /// The reason why the body keeps its content coding.
    undecoded: Option<String>,
    /// True if a damaged body is an error: the request asked for compression.
    is_required: bool,
    /// True if the body turned out to be damaged. What follows is not kept.
    is_damaged: bool,
}

/// The reason why a body was not received.
pub enum BodyError {
    /// The network or the server failed.
    Network(hyper::Error),
    /// A limit is reached, or the body is damaged.
    Other(Error),
}

impl From<Exceeded> for BodyError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Other(exceeded.into())
    }
}

impl BodyDecoding {
    /// Returns how the body of a response is to be decoded.
    ///
    /// If the body is decoded because the request asked for compression, the headers that describe the compressed body
    /// are removed from the response.
    pub fn of_response(response: &mut ResponseParts<Incoming>, transport: &Transport) -> Self {
        let (decoder, undecoded) = match BodyDecoder::of_response(response.status(), response.headers()) {
            Ok(Some(_)) if !transport.compression && !transport.decoding => {
                (None, Some("the body has a content coding, and the request did not ask to decode it".to_owned()))
            }
            Ok(decoder) => (decoder, None),
            Err(reason) => (None, Some(reason)),
        };
        if decoder.is_some() && !transport.decoding {
            let headers = response.headers_mut();
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Self { decoder, undecoded, is_required: transport.compression, is_damaged: false }
    }
}

/// The part of a body that is kept, and what counts its bytes.
struct Received<'a> {
    exchange: &'a Exchange,
    evidence: &'a mut HttpEvidence,
    held: &'a mut HeldBytes,
    /// Counts the memory of the decoder: as many bytes as were decoded, up to the size of its windows.
    window: HeldBytes,
    body: Vec<u8>,
}

/// Receives a body. Returns as much of it as the exchange keeps, and the reason why it still has its content coding, if
/// it has. What is kept is added to `held`.
///
/// # Errors
/// Each variant of [`BodyError`].
pub async fn receive(
    response: &mut ResponseParts<Incoming>,
    mut decoding: BodyDecoding,
    exchange: &Exchange,
    evidence: &mut HttpEvidence,
    held: &mut HeldBytes,
) -> Result<(Vec<u8>, Option<String>), BodyError> {
    let window = exchange.context.session.quota.hold(0)?;
    let mut received = Received { exchange, evidence, held, window, body: Vec::new() };
    loop {
        let chunk = next_data(response.body_mut()).await.map_err(BodyError::Network)?;
        let has_ended = chunk.is_none();
        match (&mut decoding.decoder, chunk) {
            (Some(decoder), chunk) => {
                match chunk {
                    Some(chunk) => decoder.push(chunk),
                    None => decoder.end(),
                }
                received.decode(&mut decoding).await?;
            }
            (None, Some(chunk)) if decoding.is_damaged => received.count(&chunk)?,
            (None, Some(chunk)) => received.keep(&chunk)?,
            (None, None) => {}
        }
        if has_ended {
            return Ok((received.body, decoding.undecoded));
        }
    }
}

/// Returns the next bytes of a body, or `None` at its end. Trailers are left out.
async fn next_data(body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
    while let Some(frame) = poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

impl Received<'_> {
    /// Decodes all that has arrived.
    async fn decode(&mut self, decoding: &mut BodyDecoding) -> Result<(), BodyError> {
        let mut buffer = vec![0; DECODED_BYTES];
        while let Some(decoder) = &mut decoding.decoder {
            match decoder.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let window_left = decoder.window_bytes.saturating_sub(self.window.bytes());
                    self.window.grow(length.min(window_left))?;
                    self.keep(&buffer[..length])?;
                }
                Err(why) if decoding.is_required => return Err(BodyError::Other(Error::Protocol(why))),
                Err(why) => {
                    decoding.decoder = None;
                    decoding.undecoded = Some(why);
                    decoding.is_damaged = true;
                }
            }
            // A few bytes can become very many, and other runs share this thread.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Counts bytes of the body, and keeps them as far as the exchange keeps the body.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.count(bytes)?;
        let most = usize::try_from(self.exchange.limits.max_body_bytes).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(most - self.body.len())];
        self.held.grow(kept.len())?;
        self.body.extend_from_slice(kept);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        Ok(self.evidence.add_body(bytes, &self.exchange.context.session.quota)?)
    }
}
