//! The probe `chain`: sequences of requests, and the values that are carried between them.

mod carrying;
mod failing;
mod mistakes;
mod requests;

use serde_json::Value;

use crate::support::target::{self, Request};
use crate::support::{http_config, run_once, spans};

/// A response: status code and reason, further header lines, and body.
type Response = (&'static str, &'static str, String);

/// A target that keeps its connections open.
struct Target {
    url: String,
    target: target::Target,
}

impl Target {
    fn start(respond: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let target = target::Target::responding(move |requests| {
            let (status, more, body) = respond(requests.last().expect("a request has just arrived"));
            format!("{status}\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len())
        });
        Self { url: format!("http://127.0.0.1:{}", target.port), target }
    }

    /// Starts a target that responds to everything with this JSON.
    fn responding_with_json(body: &'static str) -> Self {
        Self::start(move |_| ("200 OK", "", body.to_owned()))
    }

    fn requests(&self) -> Vec<Request> {
        self.target.requests()
    }

    /// Returns the method and path of each request, as `GET /`.
    fn request_lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| method_and_path(request).to_owned()).collect()
    }

    /// Runs a chain with these keys once, with `URL` replaced by the target's. Returns the run.
    #[track_caller]
    fn run_chain(&self, keys: &str) -> Value {
        let (_, mut runs) = run_once(&chain_config(&keys.replace("URL", &self.url)));
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

/// Returns the method and path of a request, as `POST /login`.
fn method_and_path(request: &Request) -> &str {
    request.line.trim_end_matches(" HTTP/1.1")
}

/// Returns a configuration of one chain with these keys.
fn chain_config(keys: &str) -> String {
    http_config(&format!("title: Shop\n{keys}")).replace("probe: http", "probe: chain")
}

fn descriptions<'a>(run: &'a Value, op: &str) -> Vec<&'a str> {
    spans(run, op).into_iter().filter_map(|span| span["description"].as_str()).collect()
}
