//! Making an exchange: hop after hop, as far as redirects are followed.

use std::time::Instant;

use url::Url;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::hop::Hop;
use crate::capability::http::phase::milliseconds;
use crate::capability::http::response::Response;

impl Exchange {
    /// Makes the exchange.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn run(self) -> Result<Response, Error> {
        self.make().await.map_err(|failed| failed.error)
    }

    /// The same, with how far it got.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn make(mut self) -> Result<Response, FailedExchange> {
        let started = Instant::now();
        let mut hops = 0;
        loop {
            // One that is refused counts too.
            self.session.quota.count_request().map_err(|exceeded| FailedExchange::before(exceeded.into()))?;
            self.judge().map_err(|refusal| self.denied(&refusal))?;
            let mut hop = Hop::open(&self, hops);
            let left = self.limit.duration().saturating_sub(started.elapsed());
            let answer = tokio::time::timeout(left, hop.exchange(&self)).await;
            let answer = answer.unwrap_or_else(|_| Err(hop.timed_out(self.limit)));
            let answer = answer.and_then(|mut response| match self.target(&response, hops)? {
                Some(target) => Ok(Next::Hop(target, response.status)),
                None => {
                    response.timing.total = milliseconds(started, Instant::now());
                    Ok(Next::Done(Box::new(response)))
                }
            });
            let (refused, untrusted) = (hop.refused, hop.untrusted);
            let phase = hop.close(&self, answer.as_ref().err());
            match answer.map_err(|error| FailedExchange { error, phase, refused, untrusted })? {
                Next::Done(response) => return Ok(*response),
                Next::Hop(target, status) => self.follow(target, status),
            }
            hops += 1;
            // The connection's own task puts it back where the next request finds it.
            tokio::task::yield_now().await;
        }
    }
}

enum Next {
    Done(Box<Response>),
    Hop(Url, u16),
}
