//! A whole answer, as the guest reads it.

use serde::{Deserialize, Serialize};
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Connection, HostResponse, Timing};
use crate::capability::http::error::days_left;

/// A whole answer.
#[derive(Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub url: String,
    /// Where it leads, if it redirects.
    pub location: Option<String>,
    pub headers: Vec<(String, String)>,
    #[serde(with = "crate::capability::record_replay::body")]
    pub body: Vec<u8>,
    pub body_size: u64,
    pub timing: Timing,
    pub connection: Connection,
}

impl Response {
    /// Bytes that it takes up.
    pub fn size(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

impl HostResponse for Context {
    fn status(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn url(&mut self, response: Resource<Response>) -> wasmtime::Result<String> {
        Ok(self.table.get(&response)?.url.clone())
    }

    fn headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.table.get(&response)?.headers.clone())
    }

    fn body(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&response)?.body.clone())
    }

    fn body_size(&mut self, response: Resource<Response>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&response)?.body_size)
    }

    fn timing(&mut self, response: Resource<Response>) -> wasmtime::Result<Timing> {
        Ok(self.table.get(&response)?.timing)
    }

    fn connection(&mut self, response: Resource<Response>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(&response)?.connection.clone())
    }

    fn location(&mut self, response: Resource<Response>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&response)?.location.clone())
    }

    fn days_left(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<i64>> {
        let now = self.recorder.wall();
        let chain = self.table.get(&response)?.connection.tls.iter().flat_map(|tls| &tls.chain);
        Ok(chain.map(|certificate| days_left(certificate.not_after, now)).collect())
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        let response = self.table.delete(response)?;
        self.discharge(response.size());
        Ok(())
    }
}
