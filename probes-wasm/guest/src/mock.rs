//! A host for tests: it answers as a test says, and records what a probe does.
//!
//! `cargo test` compiles a probe for this machine, where there is no host. There, the functions of this crate call the
//! [`MockHost`] that runs the probe. It makes no connections and checks less than the host does, so that a probe also
//! has to be run once by `sentrynet test`.
//!
//! ```
//! # use sentrynet_guest::{Failure, Probe, Problems, Trouble, http::Request};
//! # #[derive(serde::Deserialize, schemars::JsonSchema)]
//! # struct Settings { url: String }
//! # struct Up;
//! # impl Probe for Up {
//! #     const NAME: &str = "up";
//! #     const VERSION: &str = "1.0.0";
//! #     const SUMMARY: &str = "";
//! #     type Settings = Settings;
//! #     fn check(_: &Settings, _: &mut Problems) -> Option<String> { None }
//! #     fn run(settings: Settings) -> Result<(), Trouble> {
//! #         let response = Request::new("GET", &settings.url)?.send()?;
//! #         match response.status() { 200 => Ok(()), _ => Err(Failure::new("down", "it is down").into()) }
//! #     }
//! # }
//! use sentrynet_guest::mock::{MockHost, MockResponse};
//!
//! let host = MockHost::new();
//! host.respond("GET", "http://shop.example/up", MockResponse::new(503));
//! let trouble = host.run::<Up>(&serde_json::json!({"url": "http://shop.example/up"})).unwrap_err();
//! assert_eq!(trouble.reason(), Some("down"));
//! assert_eq!(host.requests()[0].method, "GET");
//! ```

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use serde_json::Value;

use crate::bindings::sentrynet::probe::log::Level;
use crate::bindings::sentrynet::probe::span::Status;
use crate::bindings::sentrynet::probe::types;
use crate::{Probe, Trouble, adapter, http, ssh};

#[allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the signatures are those of the generated bindings, and the functions are called by this crate alone"
)]
pub(crate) mod host;
mod secrets;

/// A host that answers as a test says. See the [module's example](self).
#[derive(Default)]
pub struct MockHost(Rc<RefCell<State>>);

/// A response that a [`MockHost`] gives.
#[derive(Debug, Clone)]
pub struct MockResponse {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timing: http::Timing,
    connection: http::Connection,
    days_left: Vec<i64>,
}

/// A request that a probe has sent.
#[derive(Debug, Clone, PartialEq)]
pub struct MockRequest {
    /// The method, as the probe gave it.
    pub method: String,
    /// The URL, as the probe gave it.
    pub url: String,
    /// The header lines that the probe added, in their order.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
    /// The value of the setting with the credentials.
    pub credentials: Option<Value>,
}

/// A span that a probe has opened.
#[derive(Debug, Clone)]
pub struct MockSpan {
    /// The category of the step.
    pub op: String,
    /// The description of the step.
    pub description: String,
    /// The status; `None` if the probe set none.
    pub status: Option<Status>,
    /// The data, in the order in which the probe set them.
    pub data: Vec<(String, types::Value)>,
    /// True once the span has ended.
    pub ended: bool,
}

/// An SSH server that a [`MockHost`] connects to.
#[derive(Debug, Clone, Default)]
pub struct MockServer {
    refused_login: Option<ssh::Error>,
    outputs: HashMap<String, ssh::Output>,
}

/// The answers of a host, and what probes have done.
#[derive(Default)]
struct State {
    /// The answers to requests, by method and URL. The last one is repeated.
    responses: HashMap<(String, String), VecDeque<Result<MockResponse, http::Error>>>,
    /// The SSH servers, by name and port.
    servers: HashMap<(String, u16), Result<MockServer, ssh::Error>>,
    /// The settings, with the values that the probe does not get.
    settings: Value,
    requests: Vec<MockRequest>,
    commands: Vec<String>,
    spans: Vec<MockSpan>,
    log: Vec<(Level, String)>,
    warnings: Vec<types::Failure>,
    setting_warnings: Vec<(String, String)>,
    data: Vec<(String, types::Value)>,
    tags: Vec<(String, String)>,
}

thread_local! {
    /// The host of the probe that runs on this thread.
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

impl MockHost {
    /// Creates a host without answers. A request without an answer panics, and names what is missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers requests with this method and this URL. If it is called several times for the same request, the
    /// responses are given in turn, and the last one again and again.
    pub fn respond(&self, method: &str, url: &str, response: MockResponse) {
        self.answer(method, url, Ok(response));
    }

    /// Lets requests with this method and this URL fail, in turn with other answers.
    pub fn fail(&self, method: &str, url: &str, error: http::Error) {
        self.answer(method, url, Err(error));
    }

    fn answer(&self, method: &str, url: &str, answer: Result<MockResponse, http::Error>) {
        let key = (method.to_owned(), url.to_owned());
        self.0.borrow_mut().responses.entry(key).or_default().push_back(answer);
    }

    /// Accepts SSH connections to this host and port.
    pub fn accept_ssh(&self, host: &str, port: u16, server: MockServer) {
        self.0.borrow_mut().servers.insert((host.to_owned(), port), Ok(server));
    }

    /// Lets SSH connections to this host and port fail.
    pub fn fail_ssh(&self, host: &str, port: u16, error: ssh::Error) {
        self.0.borrow_mut().servers.insert((host.to_owned(), port), Err(error));
    }

    /// Lets a probe check settings. Returns the title of the run.
    ///
    /// # Errors
    /// Returns the mistakes in the settings, each as its JSON pointer and a message.
    pub fn check<P: Probe>(&self, settings: &Value) -> Result<Option<String>, Vec<(String, String)>> {
        let settings = self.keep_secrets::<P>(settings);
        let checked = self.call(|| adapter::check::<P>(&settings));
        checked.map_err(|all| all.into_iter().map(|problem| (problem.pointer, problem.message)).collect())
    }

    /// Runs a probe once with these settings. It gets a JSON pointer in the place of each setting that its schema marks
    /// `writeOnly`.
    ///
    /// # Errors
    /// Returns the error of the run. [`Trouble::Broken`] if the settings cannot be deserialized.
    pub fn run<P: Probe>(&self, settings: &Value) -> Result<(), Trouble> {
        let settings = self.keep_secrets::<P>(settings);
        self.call(|| match serde_json::from_str(&settings) {
            Ok(settings) => P::run(settings),
            Err(error) => Err(Trouble::Broken(format!("the settings cannot be deserialized: {error}"))),
        })
    }

    /// Calls a function of a probe, such as one that makes a request, against this host.
    pub fn call<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Restores the previous host, also after a panic.
        struct Restore(Option<Rc<RefCell<State>>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Rc::clone(&self.0))));
        work()
    }

    /// Keeps the settings. Returns the JSON that the probe gets.
    fn keep_secrets<P: Probe>(&self, settings: &Value) -> String {
        self.0.borrow_mut().settings = settings.clone();
        let mut visible = settings.clone();
        let schema = schemars::schema_for!(P::Settings);
        secrets::replace_by_pointers(schema.as_value(), schema.as_value(), &mut visible, "");
        visible.to_string()
    }

    /// Returns the requests that were sent, in their order.
    pub fn requests(&self) -> Vec<MockRequest> {
        self.0.borrow().requests.clone()
    }

    /// Returns the commands that were run over SSH, in their order.
    pub fn commands(&self) -> Vec<String> {
        self.0.borrow().commands.clone()
    }

    /// Returns the spans that were opened, in their order.
    pub fn spans(&self) -> Vec<MockSpan> {
        self.0.borrow().spans.clone()
    }

    /// Returns the lines of the log.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.0.borrow().log.clone()
    }

    /// Returns the warnings that the probe has reported.
    pub fn warnings(&self) -> Vec<types::Failure> {
        self.0.borrow().warnings.clone()
    }

    /// Returns the warnings about settings, each with the JSON pointer to the setting and the message.
    pub fn setting_warnings(&self) -> Vec<(String, String)> {
        self.0.borrow().setting_warnings.clone()
    }

    /// Returns the data of the whole run, in the order in which they were set.
    pub fn data(&self) -> Vec<(String, types::Value)> {
        self.0.borrow().data.clone()
    }

    /// Returns the tags of the whole run, in the order in which they were set.
    pub fn tags(&self) -> Vec<(String, String)> {
        self.0.borrow().tags.clone()
    }
}

impl MockResponse {
    /// Creates a response without headers and body, over HTTP/1.1 without TLS, that took no time.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            timing: http::Timing {
                dns: None,
                connect: None,
                tls: None,
                send: 0.0,
                wait: 0.0,
                receive: 0.0,
                total: 0.0,
            },
            connection: http::Connection {
                reused: false,
                remote_address: None,
                http_version: "1.1".to_owned(),
                tls: None,
            },
            days_left: Vec::new(),
        }
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = bytes.as_ref().to_vec();
        self
    }

    /// Sets the durations of the phases.
    #[must_use]
    pub fn timing(mut self, timing: http::Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sets the facts about the connection, and for how many days each certificate is still valid.
    #[must_use]
    pub fn connection(mut self, connection: http::Connection, days_left: Vec<i64>) -> Self {
        (self.connection, self.days_left) = (connection, days_left);
        self
    }
}

impl MockServer {
    /// Creates a server that accepts every login, and knows no commands.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses every login.
    #[must_use]
    pub fn refuse_login(mut self, error: ssh::Error) -> Self {
        self.refused_login = Some(error);
        self
    }

    /// Sets the exit status and the standard output of a command.
    #[must_use]
    pub fn output(mut self, command: &str, exit_status: u32, stdout: &str) -> Self {
        let output = ssh::Output {
            exit_status: Some(exit_status),
            signal: None,
            stdout: stdout.as_bytes().to_vec(),
            stderr: Vec::new(),
            stdout_size: stdout.len() as u64,
            stderr_size: 0,
        };
        self.outputs.insert(command.to_owned(), output);
        self
    }
}

#[cfg(test)]
mod tests;
