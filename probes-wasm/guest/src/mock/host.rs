//! The functions of the contract, with the signatures of the generated bindings.

use std::cell::RefCell;
use std::rc::Rc;

use super::{CURRENT, State};

/// Returns the host of the probe that runs on this thread.
#[track_caller]
fn current() -> Rc<RefCell<State>> {
    let current = CURRENT.with_borrow(Clone::clone);
    current.expect("there is no host here: call the probe by `MockHost::run`, `MockHost::check` or `MockHost::call`")
}

/// Returns the setting at a JSON pointer.
fn setting(pointer: &str) -> Result<serde_json::Value, String> {
    let setting = current().borrow().settings.pointer(pointer).cloned();
    setting.ok_or_else(|| format!("there is no setting at `{pointer}`"))
}

pub mod http {
    use std::cell::RefCell;

    pub use crate::bindings::sentrynet::probe::http::{Certificate, Connection, Error, Timing, Tls};
    use crate::mock::{MockRequest, MockResponse, State};

    pub struct Request(RefCell<MockRequest>);

    pub struct Response {
        url: String,
        response: MockResponse,
    }

    impl Request {
        pub fn new(method: &str, url: &str) -> Result<Self, String> {
            let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            if host.is_none_or(|host| host.is_empty() || host.starts_with(['/', ':', '?', '#'])) {
                return Err(format!("`{url}` is no URL of the scheme http or https"));
            }
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(format!("`{method}` is no HTTP method"));
            }
            Ok(Self(RefCell::new(MockRequest {
                method: method.to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: Vec::new(),
                credentials: None,
            })))
        }

        pub fn header(&self, name: &str, value: &str) -> Result<(), String> {
            if name.is_empty() || name.contains(|c: char| !c.is_ascii_graphic() || c == ':') {
                return Err(format!("`{name}` is no name of a header"));
            }
            self.0.borrow_mut().headers.push((name.to_owned(), value.to_owned()));
            Ok(())
        }

        pub fn body(&self, bytes: &[u8]) {
            self.0.borrow_mut().body = bytes.to_vec();
        }

        pub fn authenticate(&self, pointer: &str) -> Result<(), String> {
            self.0.borrow_mut().credentials = Some(super::setting(pointer)?);
            Ok(())
        }

        pub fn send(&self) -> Result<Response, Error> {
            let request = self.0.borrow().clone();
            let (method, url) = (request.method.clone(), request.url.clone());
            let host = super::current();
            host.borrow_mut().requests.push(request);
            let next = |state: &mut State| {
                let answers = state.responses.get_mut(&(method.clone(), url.clone()))?;
                if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
            };
            let answer = next(&mut host.borrow_mut());
            let answer = answer.unwrap_or_else(|| {
                panic!("no response to {method} {url}: give one with `MockHost::respond` or `MockHost::fail`")
            });
            answer.map(|response| Response { url, response })
        }
    }

    /// Options that change nothing about what a mock answers.
    impl Request {
        pub fn timeout(&self, _: u32) {}
        pub fn redirects(&self, _: u32) {}
        pub fn verify_tls(&self, _: bool) {}
        pub fn cookies(&self, _: bool) {}
        pub fn compression(&self, _: bool) {}
        pub fn decoding(&self, _: bool) {}
        pub fn max_body(&self, _: u64) {}
        pub fn ca(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn client_certificate(&self, _: &str, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn client_key_passphrase(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn http_version(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn ip_version(&self, _: u8) -> Result<(), String> {
            Ok(())
        }
        pub fn connect_to(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn dns_server(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn proxy(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn source_address(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
    }

    impl Response {
        pub fn status(&self) -> u16 {
            self.response.status
        }

        pub fn url(&self) -> String {
            self.url.clone()
        }

        pub fn headers(&self) -> Vec<(String, String)> {
            self.response.headers.clone()
        }

        pub fn body(&self) -> Vec<u8> {
            self.response.body.clone()
        }

        pub fn body_size(&self) -> u64 {
            self.response.body.len() as u64
        }

        pub fn text(&self) -> Result<String, String> {
            String::from_utf8(self.body()).map_err(|error| error.to_string())
        }

        pub fn timing(&self) -> Timing {
            self.response.timing
        }

        pub fn connection(&self) -> Connection {
            self.response.connection.clone()
        }

        pub fn location(&self) -> Option<String> {
            let mut headers = self.response.headers.iter();
            headers.find(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, value)| value.clone())
        }

        pub fn days_left(&self) -> Vec<i64> {
            self.response.days_left.clone()
        }
    }
}

pub mod ssh {
    pub use crate::bindings::sentrynet::probe::ssh::{Error, Output, Server};
    use crate::mock::MockServer;

    pub struct Client {
        host: String,
        port: u16,
    }

    pub struct Session(MockServer);

    impl Client {
        pub fn new(host: &str, port: u16) -> Result<Self, String> {
            if host.is_empty() || port == 0 {
                return Err(format!("`{host}` and {port} are no host and port"));
            }
            Ok(Self { host: host.to_owned(), port })
        }

        pub fn connect(&self) -> Result<Session, Error> {
            let (host, port) = (&self.host, self.port);
            let server = super::current().borrow().servers.get(&(host.clone(), port)).cloned();
            let server = server.unwrap_or_else(|| {
                panic!("no SSH server {host}:{port}: give one with `MockHost::accept_ssh` or `MockHost::fail_ssh`")
            });
            server.map(Session)
        }
    }

    /// Options that change nothing about what a mock answers.
    impl Client {
        pub fn timeout(&self, _: u32) {}
        pub fn accept_new(&self) {}
        pub fn username(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn known_hosts(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn host_key(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn algorithms(&self, _: &str, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn agent(&self) -> Result<(), String> {
            Ok(())
        }
        pub fn agent_key(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        pub fn identity(&self, _: &str, passphrase: Option<&str>) -> Result<(), String> {
            passphrase.map_or(Ok(()), |pointer| super::setting(pointer).map(drop))
        }
        pub fn password(&self, pointer: &str) -> Result<(), String> {
            super::setting(pointer).map(drop)
        }
    }

    impl Session {
        pub fn server(&self) -> Server {
            Server {
                version: "SSH-2.0-Mock".to_owned(),
                host_key_type: "ssh-ed25519".to_owned(),
                host_key_fingerprint: "SHA256:mock".to_owned(),
                remote_address: "127.0.0.1:22".to_owned(),
            }
        }

        pub fn methods(&self) -> Vec<String> {
            vec!["publickey".to_owned(), "password".to_owned()]
        }

        pub fn time(&self) -> f64 {
            0.0
        }

        pub fn authenticate(&self) -> Result<(), Error> {
            self.0.refused_login.clone().map_or(Ok(()), Err)
        }

        pub fn exec(&self, command: &str, _: u64) -> Result<Output, Error> {
            super::current().borrow_mut().commands.push(command.to_owned());
            let output = self.0.outputs.get(command).cloned();
            Ok(output.unwrap_or_else(|| panic!("no output of `{command}`: give it with `MockServer::output`")))
        }
    }
}

pub mod span {
    pub use crate::bindings::sentrynet::probe::span::Status;
    use crate::bindings::sentrynet::probe::types::Value;
    use crate::mock::MockSpan;

    /// An open span, by its place among the spans of its host.
    pub struct Span(usize);

    impl Span {
        pub fn new(op: &str, description: &str) -> Self {
            let host = super::current();
            let spans = &mut host.borrow_mut().spans;
            spans.push(MockSpan {
                op: op.to_owned(),
                description: description.to_owned(),
                status: None,
                data: Vec::new(),
                ended: false,
            });
            Self(spans.len() - 1)
        }

        pub fn set_data(&self, key: &str, value: &Value) {
            self.change(|span| span.data.push((key.to_owned(), value.clone())));
        }

        pub fn set_status(&self, status: Status) {
            self.change(|span| span.status = Some(status));
        }

        fn change(&self, change: impl FnOnce(&mut MockSpan)) {
            // After a panic, a span is dropped when its host is gone.
            let Some(host) = crate::mock::CURRENT.with_borrow(Clone::clone) else { return };
            if let Ok(mut state) = host.try_borrow_mut()
                && let Some(span) = state.spans.get_mut(self.0)
            {
                change(span);
            }
        }
    }

    impl Drop for Span {
        fn drop(&mut self) {
            self.change(|span| span.ended = true);
        }
    }

    pub fn set_data(key: &str, value: &Value) {
        super::current().borrow_mut().data.push((key.to_owned(), value.clone()));
    }

    pub fn set_tag(key: &str, value: &str) {
        super::current().borrow_mut().tags.push((key.to_owned(), value.to_owned()));
    }
}

pub mod warning {
    use crate::bindings::sentrynet::probe::types::{Failure, Problem};

    pub fn report_setting(warning: &Problem) {
        let Problem { pointer, message } = warning.clone();
        super::current().borrow_mut().setting_warnings.push((pointer, message));
    }

    pub fn report(warning: &Failure) {
        super::current().borrow_mut().warnings.push(warning.clone());
    }
}

pub mod log {
    pub use crate::bindings::sentrynet::probe::log::Level;

    pub fn write(level: Level, message: &str) {
        super::current().borrow_mut().log.push((level, message.to_owned()));
    }
}
