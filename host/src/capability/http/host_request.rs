//! The guest's calls on a request: each part is checked when it is set.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Error, HostRequest};
use crate::capability::grant::List;
use crate::capability::http::auth::Authorization;
use crate::capability::http::client_cert::ClientCertFiles;
use crate::capability::http::exchange::{Exchange, ExchangeContext, ExchangeLimits};
use crate::capability::http::oauth2::run_with_token;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::request::{Request, literal_address, parse_header, parse_target};
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::resolve::{ConnectTo, IpVersion};
use crate::capability::http::response::Response;
use crate::capability::http::tls::Trust;
use crate::capability::http::transport::{HttpVersion, ProxyUrl};
use crate::capability::quota::Exceeded;
use crate::capability::text::quotable;
use crate::capability::timeout::Timeout;
use crate::run::LimitKind;

/// The largest `max-body` of a request, in bytes. Larger values are reduced to it.
const MAX_BODY_BYTES: u64 = 16 << 20;

impl Context {
    /// Returns the part of the attempt that its exchanges share.
    pub(in crate::capability) fn exchange_context(&self) -> ExchangeContext {
        ExchangeContext { session: self.http.clone(), run: self.run.clone(), probe: Arc::clone(&self.probe) }
    }

    /// Ends the attempt if `result` is an error and too many files are open on this host, so that a file could not be
    /// read for that reason.
    ///
    /// # Errors
    /// [`Exceeded`] in that case, or if `result` is an error and any limit was reached before.
    fn check_files<T>(&self, result: &Result<T, String>) -> Result<(), Exceeded> {
        if result.is_err() { self.accounting.quota.check_host() } else { Ok(()) }
    }
}

impl HostRequest for Context {
    fn new(&mut self, method: String, url: String) -> wasmtime::Result<Result<Resource<Request>, String>> {
        let (method, url) = match parse_target(&method, &url) {
            Ok(parsed) => parsed,
            Err(why) => return Ok(Err(why)),
        };
        self.warn_if_refused(List::Hosts, url.host_str().unwrap_or_default(), url.port_or_known_default());
        Ok(Ok(self.table.push(Request::new(method, url))?))
    }

    fn header(
        &mut self,
        request: Resource<Request>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let (name, value) = match parse_header(&name, &value) {
            Ok(header) => header,
            Err(why) => return Ok(Err(why)),
        };
        let request = self.table.get_mut(&request)?;
        let added = request.parts.headers.try_append(name, value);
        Ok(added.map_err(|_| "too many headers".to_owned()).and_then(|_| request.resolve_transport().map(drop)))
    }

    fn body(&mut self, request: Resource<Request>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.parts.body = RequestBody::Whole(bytes.into());
        Ok(())
    }

    fn timeout(&mut self, request: Resource<Request>, milliseconds: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.timeout = Duration::from_millis(milliseconds.into());
        Ok(())
    }

    fn redirects(&mut self, request: Resource<Request>, limit: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.max_redirects = limit;
        Ok(())
    }

    fn verify_tls(&mut self, request: Resource<Request>, verify: bool) -> wasmtime::Result<()> {
        let is_chosen = !verify && !self.probe.built_in;
        let request = self.table.get_mut(&request)?;
        request.transport.trust = if verify { Trust::System } else { Trust::Unverified };
        request.secrets.set_chosen("verify_tls", is_chosen);
        Ok(())
    }

    async fn ca(&mut self, request: Resource<Request>, path: String) -> wasmtime::Result<Result<(), String>> {
        let path = match self.file(&path) {
            Ok(path) => path,
            Err(why) => return Ok(Err(why)),
        };
        // The file is read here, so that `check` reports what is wrong with it.
        let tls_config = self.shared.http.tls_config(&Trust::CaFile(path.clone()), None, &self.files).await;
        self.check_files(&tls_config)?;
        self.table.get_mut(&request)?.ca_file = Some(path);
        Ok(tls_config.map(drop))
    }

    async fn client_certificate(
        &mut self,
        request: Resource<Request>,
        certificate: String,
        key: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let key_setting = self.probe.file_pointers(&key).into();
        let passphrase = self.table.get(&request)?.client_key_passphrase.clone();
        let files = match (self.file(&certificate), self.key_file(&key).await) {
            (Ok(certificate), Ok(key)) => ClientCertFiles { certificate, key, passphrase },
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        // The files are read here, so that `check` reports what is wrong with them.
        let tls_config = self.shared.http.tls_config(&Trust::System, Some(&files), &self.files).await;
        self.check_files(&tls_config)?;
        let request = self.table.get_mut(&request)?;
        request.transport.client_cert = Some(files);
        request.secrets.client_key = key_setting;
        Ok(tls_config.map(drop))
    }

    fn client_key_passphrase(
        &mut self,
        request: Resource<Request>,
        setting: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let passphrase = match self.setting(&setting).map(serde_json::Value::as_str) {
            Ok(Some(passphrase)) => SecretString::from(passphrase),
            Ok(None) => return Ok(Err("a passphrase is text: write it in quotes".to_owned())),
            Err(why) => return Ok(Err(why)),
        };
        self.table.get_mut(&request)?.client_key_passphrase = Some(passphrase);
        Ok(Ok(()))
    }

    fn authenticate(&mut self, request: Resource<Request>, setting: String) -> wasmtime::Result<Result<(), String>> {
        let authorization = match self.setting(&setting).and_then(Authorization::parse) {
            Ok(authorization) => authorization,
            Err(why) => return Ok(Err(why)),
        };
        let probe = Arc::clone(&self.probe);
        let request = self.table.get_mut(&request)?;
        if !request.parts.url.username().is_empty() || request.parts.url.password().is_some() {
            return Ok(Err("the URL has credentials too: leave one of them out".to_owned()));
        }
        request.authorization = Some(authorization);
        request.secrets.authorization = Some(setting.as_str().into());
        let checked = request.secrets.check(&probe, &request.parts.url);
        if let (false, Err(refusal)) = (probe.may_send, checked) {
            self.push_warning(setting, refusal.to_string());
        }
        Ok(Ok(()))
    }

    fn cookies(&mut self, request: Resource<Request>, enabled: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.transport.cookies = enabled;
        Ok(())
    }

    fn compression(&mut self, request: Resource<Request>, enabled: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.transport.compression = enabled;
        Ok(())
    }

    fn decoding(&mut self, request: Resource<Request>, decode: bool) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.transport.decoding = decode;
        Ok(())
    }

    fn http_version(&mut self, request: Resource<Request>, version: String) -> wasmtime::Result<Result<(), String>> {
        let version = match version.as_str() {
            "1.1" => HttpVersion::Http1,
            "2" => HttpVersion::Http2,
            other => return Ok(Err(format!("no HTTP version `{}`: expected 1.1 or 2", quotable(other)))),
        };
        let request = self.table.get_mut(&request)?;
        request.transport.http_version = Some(version);
        Ok(request.resolve_transport().map(drop))
    }

    fn ip_version(&mut self, request: Resource<Request>, version: u8) -> wasmtime::Result<Result<(), String>> {
        let ip_version = match version {
            4 => IpVersion::V4,
            6 => IpVersion::V6,
            other => return Ok(Err(format!("no version {other} of IP: expected 4 or 6"))),
        };
        let request = self.table.get_mut(&request)?;
        request.transport.ip_version = Some(ip_version);
        Ok(request.resolve_transport().map(drop))
    }

    fn connect_to(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        let is_chosen = !self.probe.is_own_setting(&address);
        let request = self.table.get_mut(&request)?;
        if literal_address(&request.parts.url).is_some() {
            return Ok(Err(
                "the URL's host is an IP address: with `connect_to`, write the server's name there".to_owned()
            ));
        }
        let parsed = ConnectTo::parse(request.parts.url.host_str().unwrap_or_default(), &address);
        Ok(parsed.and_then(|to| {
            request.transport.connect_to = Some(to);
            request.secrets.set_chosen("connect_to", is_chosen);
            request.resolve_transport().map(drop)
        }))
    }

    fn dns_server(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        const DNS_PORT: u16 = 53;
        let server = address.parse().or_else(|_| address.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT)));
        let Ok(server) = server else {
            let shown = quotable(&address);
            return Ok(Err(format!("`{shown}` is no address: expected one such as 192.0.2.53 or [2001:db8::53]:5353")));
        };
        let is_chosen = !self.probe.is_own_setting(&address);
        let request = self.table.get_mut(&request)?;
        request.transport.dns_server = Some(server);
        request.secrets.set_chosen("dns_server", is_chosen);
        Ok(Ok(()))
    }

    fn proxy(&mut self, request: Resource<Request>, url: String) -> wasmtime::Result<Result<(), String>> {
        const SHAPE: &str = "expected one such as http://proxy.example:3128 or socks5h://127.0.0.1:1080";
        let is_chosen = !self.probe.is_own_setting(&url);
        // The messages do not show the URL, which may hold credentials.
        let url = match Url::parse(&url) {
            Ok(url) if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") => {
                return Ok(Err(format!("a proxy of the scheme `{}`: {SHAPE}", quotable(url.scheme()))));
            }
            Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => url,
            Ok(_) => return Ok(Err(format!("the proxy's URL names no host: {SHAPE}"))),
            Err(error) => return Ok(Err(format!("the proxy's URL is not valid ({error}): {SHAPE}"))),
        };
        let request = self.table.get_mut(&request)?;
        request.transport.proxy = Some(ProxyUrl::new(url));
        request.secrets.set_chosen("proxy", is_chosen);
        Ok(Ok(()))
    }

    fn source_address(&mut self, request: Resource<Request>, address: String) -> wasmtime::Result<Result<(), String>> {
        // Binding succeeds only for addresses of this machine. A component that could try any address would learn which
        // addresses the machine has.
        if !self.probe.is_own_setting(&address) {
            return Ok(Err("the probe's settings do not have this source address".to_owned()));
        }
        let Ok(address) = address.parse() else {
            let shown = quotable(&address);
            return Ok(Err(format!("`{shown}` is no IP address: expected an address of this machine")));
        };
        // Binding a socket fails if this machine does not have the address.
        if let Err(error) = std::net::UdpSocket::bind(SocketAddr::new(address, 0)) {
            self.accounting.quota.check_error(&error)?;
            return Ok(Err(format!("cannot connect from {address} ({error}): expected an address of this machine")));
        }
        let request = self.table.get_mut(&request)?;
        request.transport.source_address = Some(address);
        Ok(request.resolve_transport().map(drop))
    }

    fn max_body(&mut self, request: Resource<Request>, bytes: u64) -> wasmtime::Result<()> {
        self.table.get_mut(&request)?.max_body_bytes = bytes.min(MAX_BODY_BYTES);
        Ok(())
    }

    async fn send(&mut self, request: Resource<Request>) -> wasmtime::Result<Result<Resource<Response>, Error>> {
        let request = self.table.get(&request)?.clone();
        if !self.probe.may_send {
            return Ok(Err(Error::Denied("nothing is sent while settings are checked".to_owned())));
        }
        let transport = match request.resolve_transport() {
            Ok(transport) => transport,
            Err(why) => return Ok(Err(Error::Other(why))),
        };
        let client = self.http.client(&transport).await;
        self.check_files(&client)?;
        if let Err(why) = client {
            return Ok(Err(Error::Other(why)));
        }
        if let Err(refusal) = request.secrets.check(&self.probe, &request.parts.url) {
            return Ok(Err(Error::Denied(self.refuse(&refusal))));
        }
        let Request { mut parts, authorization, secrets, timeout, max_redirects, max_body_bytes, .. } = request;
        let token_client = match authorization {
            None => None,
            Some(Authorization::Header(header)) => {
                parts.headers.entry(AUTHORIZATION).or_insert(header);
                None
            }
            Some(Authorization::OAuth2(client)) => {
                let token_transport = transport.for_url(&client.token_url);
                Some((client, token_transport))
            }
        };
        // Before any time of the target is measured.
        let peer = transport.peer(&parts.url);
        let opening = self.openings.wait_first(&peer.connect_host, peer.connect_port).await;
        let timeout = Timeout::new(timeout, self.deadline);
        let is_shortened = opening.as_ref().is_some_and(|opening| opening.has_shortened(timeout));
        let phase_timeouts = PhaseTimeouts::default();
        let limits = ExchangeLimits { timeout, phase_timeouts, max_redirects, max_body_bytes };
        let parent_span = self.run.recorder.current();
        let mut exchange = Exchange::new(self.exchange_context(), parent_span, parts, transport, limits);
        exchange.secrets = secrets;
        exchange.opening = Arc::new(Mutex::new(opening));
        // The exchange runs in a task of its own, because this function is polled on the guest's small stack, on a
        // thread where other guests compute. It is boxed, because a task moves its future more than once.
        let exchange = AbortOnDropHandle::new(self.exchanges.spawn(Box::pin(async move {
            match token_client {
                Some((client, token_transport)) => run_with_token(client, exchange, token_transport).await,
                None => exchange.run().await.map_err(Error::from),
            }
        })));
        let response = exchange.await?;
        self.accounting.quota.check()?;
        let response = match response {
            Ok(response) => response,
            Err(Error::Timeout(_)) if is_shortened => {
                return Err(self.accounting.quota.set_exceeded(LimitKind::Deadline).into());
            }
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(self.table.push(response)?))
    }

    fn drop(&mut self, request: Resource<Request>) -> wasmtime::Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}
