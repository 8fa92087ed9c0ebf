//! A request, as the guest builds it: each part is checked as it is set.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Error, HostRequest};
use crate::capability::grant::List;
use crate::capability::http::auth::Authorization;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::resolve::{ConnectTo, Family};
use crate::capability::http::response::Response;
use crate::capability::http::tls::Trust;
use crate::capability::http::transport::{Transport, Version};
use crate::capability::timeout::Timeout;

const TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: u32 = 10;
const MAX_BODY: u64 = 1 << 20;
/// The most that a guest may have us keep of one body.
const MOST_BODY: u64 = 16 << 20;

/// A request being built.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: bytes::Bytes,
    authorization: Option<Authorization>,
    timeout: Duration,
    redirects: u32,
    transport: Transport,
    ca: Option<PathBuf>,
    max_body: u64,
    held: usize,
}

impl HostRequest for Context {
    fn new(&mut self, method: String, url: String) -> wasmtime::Result<Result<Resource<Request>, String>> {
        let (method, url) = match parse(&method, &url) {
            Ok(parsed) => parsed,
            Err(why) => return Ok(Err(why)),
        };
        let held = url.as_str().len();
        self.accounting.charge(held)?;
        self.warn_if_refused(List::Hosts, url.host_str().unwrap_or_default(), url.port_or_known_default());
        let request = Request {
            method,
            url,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            authorization: None,
            timeout: TIMEOUT,
            redirects: REDIRECTS,
            transport: Transport::default(),
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
        self.accounting.charge(bytes)?;
        let request = self.table.get_mut(&request)?;
        request.held += bytes;
        let added = request.headers.try_append(name, value);
        Ok(added.map_err(|_| "too many headers".to_owned()).and_then(|_| request.transport().map(drop)))
    }

    fn body(&mut self, request: Resource<Request>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.accounting.charge(bytes.len())?;
        let request = self.table.get_mut(&request)?;
        let before = request.body.len();
        request.held = request.held + bytes.len() - before;
        request.body = bytes.into();
        self.accounting.release(before);
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
        self.table.get_mut(&request)?.transport.trust = if verify { Trust::System } else { Trust::Anyone };
        Ok(())
    }

    fn ca(&mut self, request: Resource<Request>, path: String) -> wasmtime::Result<Result<(), String>> {
        let path = match self.file(&path) {
            Ok(path) => path,
            Err(why) => return Ok(Err(why)),
        };
        // Read here, so that `check` finds what is wrong with it.
        let read = self.shared.http.configurations.get(&Trust::File(path.clone()), None);
        self.table.get_mut(&request)?.ca = Some(path);
        Ok(read.map(drop))
    }

    fn client_certificate(
        &mut self,
        request: Resource<Request>,
        certificate: String,
        key: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let files = self.file(&certificate).and_then(|certificate| Ok((certificate, self.key_file(&key)?)));
        let files = match files {
            Ok(files) => files,
            Err(why) => return Ok(Err(why)),
        };
        let read = self.shared.http.configurations.get(&Trust::System, Some(&files));
        self.table.get_mut(&request)?.transport.identity = Some(files);
        Ok(read.map(drop))
    }

    fn authenticate(&mut self, request: Resource<Request>, setting: String) -> wasmtime::Result<Result<(), String>> {
        let authorization = match self.setting(&setting).and_then(Authorization::read) {
            Ok(authorization) => authorization,
            Err(why) => return Ok(Err(why)),
        };
        let request = self.table.get_mut(&request)?;
        if !request.url.username().is_empty() || request.url.password().is_some() {
            return Ok(Err("the URL has credentials too: leave one of them out".to_owned()));
        }
        request.authorization = Some(authorization);
        Ok(Ok(()))
    }

    fn cookies(&mut self, request: Resource<Request>, keep: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.transport.cookies = keep;
        Ok(())
    }

    fn compression(&mut self, request: Resource<Request>, ask: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.transport.compression = ask;
        Ok(())
    }

    fn http_version(&mut self, request: Resource<Request>, version: String) -> wasmtime::Result<Result<(), String>> {
        let version = match version.as_str() {
            "1.1" => Version::One,
            "2" => Version::Two,
            other => return Ok(Err(format!("no HTTP version `{}`: expected 1.1 or 2", other.escape_debug()))),
        };
        let request = self.table.get_mut(&request)?;
        request.transport.version = Some(version);
        Ok(request.transport().map(drop))
    }

    fn ip_version(&mut self, request: Resource<Request>, version: u8) -> wasmtime::Result<Result<(), String>> {
        let family = match version {
            4 => Family::V4,
            6 => Family::V6,
            other => return Ok(Err(format!("no version {other} of IP: expected 4 or 6"))),
        };
        let request = self.table.get_mut(&request)?;
        request.transport.family = Some(family);
        Ok(request.transport().map(drop))
    }

    fn connect_to(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        let request = self.table.get_mut(&request)?;
        if literal(&request.url).is_some() {
            return Ok(Err("the URL has an address already: name the host there that is to be asked for".to_owned()));
        }
        let parsed = ConnectTo::parse(request.url.host_str().unwrap_or_default(), &address);
        Ok(parsed.and_then(|to| {
            request.transport.connect_to = Some(to);
            request.transport().map(drop)
        }))
    }

    fn dns_server(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        const PORT: u16 = 53;
        let server = address.parse().or_else(|_| address.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
        let Ok(server) = server else {
            let shown = address.escape_debug();
            return Ok(Err(format!("`{shown}` is no address: expected one such as 192.0.2.53 or [2001:db8::53]:5353")));
        };
        self.table.get_mut(&request)?.transport.dns_server = Some(server);
        Ok(Ok(()))
    }

    fn proxy(&mut self, request: Resource<Request>, url: String) -> wasmtime::Result<Result<(), String>> {
        const SHAPE: &str = "expected one such as http://proxy.example:3128 or socks5h://127.0.0.1:1080";
        // The URL is not shown: it may hold credentials.
        let url = match Url::parse(&url) {
            Ok(url) if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") => {
                return Ok(Err(format!("a proxy of the scheme `{}`: {SHAPE}", url.scheme())));
            }
            Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => url,
            Ok(_) => return Ok(Err(format!("the proxy's URL names no host: {SHAPE}"))),
            Err(error) => return Ok(Err(format!("the proxy's URL is not one ({error}): {SHAPE}"))),
        };
        let request = self.table.get_mut(&request)?;
        // reqwest takes its brackets for part of the name that TLS asks for.
        if request.url.scheme() == "https" && literal(&request.url).is_some_and(|address| address.is_ipv6()) {
            return Ok(Err(
                "an IPv6 address cannot be asked over TLS through a proxy: give a name in the URL".to_owned()
            ));
        }
        request.transport.proxy = Some(url);
        Ok(Ok(()))
    }

    fn source_address(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        let Ok(address) = address.parse() else {
            let shown = address.escape_debug();
            return Ok(Err(format!("`{shown}` is no IP address: expected one of this machine's")));
        };
        // Only an address of this machine's can be bound.
        if let Err(error) = std::net::UdpSocket::bind(SocketAddr::new(address, 0)) {
            return Ok(Err(format!("{address} cannot be connected from ({error}): is it one of this machine's?")));
        }
        let request = self.table.get_mut(&request)?;
        request.transport.source = Some(address);
        Ok(request.transport().map(drop))
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
        let limit = Timeout::new(request.timeout, self.deadline);
        let transport = match request.transport() {
            Ok(transport) => transport,
            Err(why) => return Ok(Err(Error::Other(why))),
        };
        if let Err(why) = self.http.client(&transport) {
            return Ok(Err(Error::Other(why)));
        }
        let mut headers = request.headers;
        let token = match request.authorization {
            None => None,
            Some(Authorization::Header(header)) => {
                headers.entry(AUTHORIZATION).or_insert(header);
                None
            }
            Some(Authorization::OAuth2(credentials)) => {
                let way = transport.to(credentials.token_url());
                Some((credentials, way))
            }
        };
        let exchange = Exchange {
            session: self.http.clone(),
            transport,
            method: request.method,
            url: request.url,
            headers,
            body: request.body,
            stream: None,
            limit,
            redirects: request.redirects,
            max_body: request.max_body,
            followed: Vec::new(),
            run: self.run.clone(),
            parent: self.run.recorder.current(),
            probe: Arc::clone(&self.probe),
            told: Arc::clone(&self.probe.trace_hosts),
            patience: PhaseTimeouts::default(),
            flow: None,
        };
        // In a task of its own: what is awaited here is polled on the guest's small stack, on a thread where other
        // guests compute. On the heap, since a task moves what it holds more than once.
        let exchange = AbortOnDropHandle::new(self.exchanges.spawn(Box::pin(async move {
            match token {
                Some((credentials, way)) => credentials.run(exchange, way).await,
                None => exchange.run().await,
            }
        })));
        let response = exchange.await?;
        self.accounting.quota.check()?;
        let response = match response {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        self.accounting.charge(response.size())?;
        Ok(Ok(self.table.push(response)?))
    }

    fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        let request = self.table.delete(request)?;
        self.accounting.release(request.held);
        Ok(())
    }
}

impl Request {
    /// The way that it goes, from all that was said of it.
    fn transport(&self) -> Result<Transport, String> {
        let mut transport = self.transport.clone();
        if let (Trust::System, Some(file)) = (&transport.trust, &self.ca) {
            transport.trust = Trust::File(file.clone());
        }
        if transport.connect_to.is_some() && transport.proxy.is_some() {
            return Err("a proxy connects by itself: `connect_to` cannot be had with it".to_owned());
        }
        if let (None, None, Some(source)) = (transport.family, &transport.proxy, transport.source) {
            transport.family = Some(Family::of(source));
        }
        if let Some(family) = transport.family {
            let there = transport.connect_to.as_ref().and_then(|to| to.host.parse().ok());
            let given = [
                ("the URL's", literal(&self.url)),
                ("`connect_to`'s", there),
                ("`source_address`'s", transport.source),
            ];
            if let Some((whose, address)) =
                given.into_iter().find_map(|(whose, ip)| Some((whose, ip.filter(|ip| !family.holds(*ip))?)))
            {
                return Err(format!("{whose} {address} is not an {} address", family.name()));
            }
        }
        // HTTP/2 has no place for another host than the URL's.
        if self.headers.contains_key(HOST) || transport.moves_port(&self.url) {
            if transport.version == Some(Version::Two) {
                return Err("HTTP/2 has no place for another host or port than the URL's".to_owned());
            }
            transport.version = Some(Version::One);
        }
        Ok(transport)
    }
}

/// The address in a URL that has one for its host.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Domain(_) => None,
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
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
