//! The interface `http`: requests over stock reqwest, each phase of them in the run's trace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use reqwest::{Client, Method};
use rustls::ClientConfig;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use wasmtime::component::Resource;

use crate::capability::bindings::sentrynet::probe::http::{Connection, Error, Host, HostRequest, HostResponse, Timing};
use crate::capability::http::cause::Limit;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::tls::{Configurations, Trust};
use crate::capability::http::wire::{TimedConnect, TimedResolver};
use crate::capability::{Context, grant};

mod cause;
mod certificate;
mod exchange;
mod phase;
mod tls;
mod wire;
mod witness;

const TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: u32 = 10;
const MAX_BODY: u64 = 1 << 20;
/// The most that a guest may have us keep of one body.
const MOST_BODY: u64 = 16 << 20;
/// Of the run's time, what stays with the guest to say why an exchange timed out.
const LAST_WORDS: Duration = Duration::from_millis(20);
const USER_AGENT: &str = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));

/// What all runs share.
pub struct Stack {
    configurations: Configurations,
    resolver: Arc<TimedResolver>,
    /// Where exchanges go on.
    threads: tokio::runtime::Handle,
}

/// What the requests of one run share: its connections.
pub struct Session {
    stack: Arc<Stack>,
    clients: Vec<(Transport, Client)>,
}

/// What two requests must have in common to share connections.
#[derive(Clone, Default, PartialEq, Eq)]
struct Transport {
    trust: Trust,
    http1: bool,
}

/// A request being built.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: bytes::Bytes,
    timeout: Duration,
    redirects: u32,
    verify_tls: bool,
    ca: Option<std::path::PathBuf>,
    max_body: u64,
    held: usize,
}

/// A whole answer.
pub struct Response {
    status: u16,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    body_size: u64,
    timing: Timing,
    connection: Connection,
    held: usize,
}

impl Stack {
    /// Reads the system's certificate authorities. Exchanges go on where this is called, in a tokio runtime.
    pub fn start() -> Self {
        let threads = tokio::runtime::Handle::current();
        Self { configurations: Configurations::new(), resolver: Arc::new(TimedResolver), threads }
    }
}

impl Session {
    pub fn new(stack: Arc<Stack>) -> Self {
        Self { stack, clients: Vec::new() }
    }

    fn client(&mut self, transport: Transport) -> Result<Client, String> {
        if let Some((_, client)) = self.clients.iter().find(|(known, _)| *known == transport) {
            return Ok(client.clone());
        }
        let mut tls = ClientConfig::clone(&*self.stack.configurations.get(&transport.trust)?);
        if transport.http1 {
            tls.alpn_protocols.retain(|protocol| protocol != b"h2");
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::clone(&self.stack.resolver))
            .connector_layer(TimedConnect)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        self.clients.push((transport, client.clone()));
        Ok(client)
    }
}

impl Host for Context {}

impl HostRequest for Context {
    fn new(&mut self, method: String, url: String) -> wasmtime::Result<Result<Resource<Request>, String>> {
        let (method, url) = match parse(&method, &url) {
            Ok(parsed) => parsed,
            Err(why) => return Ok(Err(why)),
        };
        let held = url.as_str().len();
        self.hold(held)?;
        let request = Request {
            method,
            url,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            timeout: TIMEOUT,
            redirects: REDIRECTS,
            verify_tls: true,
            ca: None,
            max_body: MAX_BODY,
            held,
        };
        Ok(Ok(self.table.push(request)?))
    }

    fn header(
        &mut self,
        request: Resource<Request>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let bytes = name.len() + value.len();
        let (name, value) = match header(&name, &value) {
            Ok(header) => header,
            Err(why) => return Ok(Err(why)),
        };
        self.hold(bytes)?;
        let request = self.table.get_mut(&request)?;
        request.held += bytes;
        let added = request.headers.try_append(name, value);
        Ok(added.map(drop).map_err(|_| "too many headers".to_owned()))
    }

    fn body(&mut self, request: Resource<Request>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.hold(bytes.len())?;
        let request = self.table.get_mut(&request)?;
        let before = request.body.len();
        request.held = request.held + bytes.len() - before;
        request.body = bytes.into();
        self.release(before);
        Ok(())
    }

    fn timeout(&mut self, request: Resource<Request>, milliseconds: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.timeout = Duration::from_millis(milliseconds.into());
        Ok(())
    }

    fn redirects(&mut self, request: Resource<Request>, limit: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.redirects = limit;
        Ok(())
    }

    fn verify_tls(&mut self, request: Resource<Request>, verify: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.verify_tls = verify;
        Ok(())
    }

    fn ca(&mut self, request: Resource<Request>, path: String) -> wasmtime::Result<Result<(), String>> {
        if !grant::may_read(&self.probe.settings, &path) {
            return Ok(Err("the probe's configuration names no such file of authorities".to_owned()));
        }
        let path = self.probe.directory.join(path);
        // Read here, so that `check` finds what is wrong with it.
        let read = self.probe.http.configurations.get(&Trust::File(path.clone()));
        self.table.get_mut(&request)?.ca = Some(path);
        Ok(read.map(drop))
    }

    fn max_body(&mut self, request: Resource<Request>, bytes: u64) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.max_body = bytes.min(MOST_BODY);
        Ok(())
    }

    async fn send(&mut self, request: Resource<Request>) -> wasmtime::Result<Result<Resource<Response>, Error>> {
        let request = self.table.get(&request)?.clone();
        if !self.probe.may_send {
            return Ok(Err(Error::Denied("nothing is sent while settings are checked".to_owned())));
        }
        let left = self.deadline.saturating_duration_since(Instant::now()).saturating_sub(LAST_WORDS);
        let transport = Transport {
            trust: match (request.verify_tls, request.ca) {
                (false, _) => Trust::Anyone,
                (true, Some(file)) => Trust::File(file),
                (true, None) => Trust::System,
            },
            // HTTP/2 has no place for another host than the URL's.
            http1: request.headers.contains_key(HOST),
        };
        let client = match self.http.client(transport) {
            Ok(client) => client,
            Err(why) => return Ok(Err(Error::Other(why))),
        };
        let exchange = Exchange {
            client,
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            limit: if request.timeout <= left { Limit::Timeout(request.timeout) } else { Limit::Deadline(left) },
            redirects: request.redirects,
            max_body: request.max_body,
            recorder: self.recorder.clone(),
            parent: self.recorder.current(),
            probe: Arc::clone(&self.probe),
            trace_headers: self.probe.trace_headers,
        };
        // In a task of its own: what is awaited here is polled on the guest's small stack, on a thread where other
        // guests compute.
        let exchange = AbortOnDropHandle::new(self.probe.http.threads.spawn(exchange.run()));
        let mut response = match exchange.await? {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        response.held =
            response.body.len() + response.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.hold(response.held)?;
        Ok(Ok(self.table.push(response)?))
    }

    fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        let request = self.table.delete(request)?;
        self.release(request.held);
        Ok(())
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

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        let response = self.table.delete(response)?;
        self.release(response.held);
        Ok(())
    }
}

fn parse(method: &str, url: &str) -> Result<(Method, Url), String> {
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("`{}` is not an HTTP method such as GET", method.escape_debug()))?;
    if method == Method::CONNECT {
        return Err("CONNECT opens a tunnel, which a request is not".to_owned());
    }
    let expected = "expected one such as https://example.org/";
    let url = Url::parse(url).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => format!("the URL has no scheme: {expected}"),
        error => format!("the URL is not one ({error}): {expected}"),
    })?;
    match url.scheme() {
        "http" | "https" if url.port() == Some(0) => Err("nothing can listen on port 0".to_owned()),
        "http" | "https" => Ok((method, url)),
        other => Err(format!("the URL's scheme is `{other}`: expected http or https")),
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`{}` is not a header's name", name.escape_debug()))?;
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let hop_by_hop = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "expect"];
    if framing.contains(&parsed) || hop_by_hop.contains(&parsed.as_str()) {
        return Err(format!("the header `{parsed}` is the host's own to set: leave it out"));
    }
    // The value may be a secret: it is not shown.
    let value = HeaderValue::from_str(value)
        .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
        .map_err(|_| format!("the value of `{parsed}` holds characters that a header cannot"))?;
    Ok((parsed, value))
}
