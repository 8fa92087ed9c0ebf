use serde_json::json;

use super::*;
use crate::http::Request;
use crate::{Credentials, Failure, Problems, SecretSetting, log, span, warning};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Settings {
    url: String,
    auth: Option<Credentials>,
    #[serde(default)]
    tokens: Vec<SecretSetting>,
}

struct Shop;

impl Probe for Shop {
    const NAME: &str = "shop";
    const VERSION: &str = "1.0.0";
    const SUMMARY: &str = "";
    type Settings = Settings;

    fn check(settings: &Settings, problems: &mut Problems) -> Option<String> {
        problems.ok_or_add("/url", Request::new("GET", &settings.url));
        Some("Shop".to_owned())
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let request = Request::new("POST", &settings.url)?;
        request.header("accept", "text/plain")?;
        request.body(b"order");
        if let Some(auth) = &settings.auth {
            request.authenticate(auth)?;
        }
        let response = request.send()?;
        log::info(&format!("status {}, {} tokens", response.status(), settings.tokens.len()));
        span::set_tag("shop", "vienna");
        warning::report(Failure::new("stock-low", "one teapot is left"));
        span::scope("shop.check", "Check the answer", |opened| {
            opened.set_data("size", &span::Value::Integer(2));
            if response.body() == b"ok" { Ok(()) } else { Err(Failure::new("closed", "the shop is closed").into()) }
        })
    }
}

const URL: &str = "https://shop.example/orders";

#[test]
fn what_a_probe_does_is_recorded() {
    let host = MockHost::new();
    host.respond("POST", URL, MockResponse::new(200).body("ok"));
    let settings = json!({ "url": URL, "auth": { "bearer": "secret" }, "tokens": ["a", "b"] });
    host.run::<Shop>(&settings).unwrap();
    let expected = MockRequest {
        method: "POST".to_owned(),
        url: URL.to_owned(),
        headers: vec![("accept".to_owned(), "text/plain".to_owned())],
        body: b"order".to_vec(),
        credentials: Some(json!({ "bearer": "secret" })),
    };
    assert_eq!(host.requests(), [expected]);
    assert_eq!(host.tags(), [("shop".to_owned(), "vienna".to_owned())]);
    assert_eq!(host.log()[0].1, "status 200, 2 tokens");
    assert_eq!(host.warnings()[0].reason, "stock-low");
    let spans = host.spans();
    assert!(spans.len() == 1 && spans[0].op == "shop.check" && spans[0].ended && spans[0].status.is_none());
}

#[test]
fn answers_are_given_in_turn() {
    let host = MockHost::new();
    host.respond("POST", URL, MockResponse::new(200).body("no"));
    host.fail("POST", URL, http::Error::Timeout("no answer".to_owned()));
    let run = || host.run::<Shop>(&json!({ "url": URL })).unwrap_err();
    assert_eq!(run().reason(), Some("closed"));
    assert!(matches!(host.spans()[0].status, Some(Status::InternalError)));
    assert_eq!((run().reason(), run().reason()), (Some("timeout"), Some("timeout")));
}

#[test]
fn mistakes_in_settings_are_returned() {
    let host = MockHost::new();
    let problems = host.check::<Shop>(&json!({ "url": "ftp://shop.example" })).unwrap_err();
    assert_eq!(problems[0].0, "/url");
    assert_eq!(host.check::<Shop>(&json!({ "url": URL })).unwrap().as_deref(), Some("Shop"));
}

#[test]
fn credentials_that_are_refused_name_their_setting() {
    let host = MockHost::new();
    let request = Request::new("GET", URL).unwrap();
    let absent: Credentials = serde_json::from_value(json!("/steps/0/auth")).unwrap();
    let invalid = host.call(|| request.authenticate(&absent)).unwrap_err();
    assert_eq!(invalid.pointer(), Some("/steps/0/auth"));
    assert_eq!(Trouble::from(invalid).message(), "steps.0.auth: there is no setting at `/steps/0/auth`");
}

#[test]
#[should_panic(expected = "no response to POST https://shop.example/orders")]
fn a_request_without_an_answer_panics() {
    let _ = MockHost::new().run::<Shop>(&json!({ "url": URL }));
}

#[test]
fn ssh_servers_answer_commands() {
    let host = MockHost::new();
    host.accept_ssh("db.example", 22, MockServer::new().output("uptime", 0, "up 3 days"));
    host.fail_ssh("old.example", 22, ssh::Error::Connect("refused".to_owned()));
    let connect = |name: &str| ssh::Client::new(name, 22).unwrap().connect();
    let output = host.call(|| connect("db.example").unwrap().exec("uptime", 100)).unwrap();
    assert_eq!((output.stdout, host.commands()), (b"up 3 days".to_vec(), vec!["uptime".to_owned()]));
    assert!(host.call(|| connect("old.example")).is_err());
}
