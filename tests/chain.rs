//! The probe `chain`: requests in a row, and what is carried between them.

mod carrying;
mod failing;
mod mistakes;
mod requests;

use serde_json::Value;

use crate::support::target::{self, Asked};
use crate::support::{http, once, spans};

/// What a target answers: the status line's end, further header lines, and the body.
type Answer = (&'static str, &'static str, String);

/// A target that keeps its connections.
struct Target {
    url: String,
    target: target::Target,
}

impl Target {
    fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let target = target::Target::answering(move |asked| {
            let (status, more, body) = answer(asked.last().expect("it has just come"));
            format!("{status}\r\ncontent-length: {}\r\n{more}\r\n{body}", body.len())
        });
        Self { url: format!("http://127.0.0.1:{}", target.port), target }
    }

    /// One that answers everything with this JSON.
    fn json(body: &'static str) -> Self {
        Self::start(move |_| ("200 OK", "", body.to_owned()))
    }

    fn asked(&self) -> Vec<Asked> {
        self.target.asked()
    }

    /// What it was asked for: `GET /`.
    fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| what(asked).to_owned()).collect()
    }

    /// The one run of a chain with these keys, where `URL` is the target.
    #[track_caller]
    fn run(&self, keys: &str) -> Value {
        let (_, mut runs) = once(&chain(&keys.replace("URL", &self.url)));
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

/// `POST /login`.
fn what(asked: &Asked) -> &str {
    asked.line.trim_end_matches(" HTTP/1.1")
}

/// A configuration of one chain with these keys.
fn chain(keys: &str) -> String {
    http(&format!("title: Shop\n{keys}")).replace("probe: http", "probe: chain")
}

fn descriptions<'a>(run: &'a Value, op: &str) -> Vec<&'a str> {
    spans(run, op).into_iter().filter_map(|span| span["description"].as_str()).collect()
}
