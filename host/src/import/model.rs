//! A configuration that is being built: groups, probes and requests, with the keys of the configuration as fields.

use super::checks::Checks;
use super::duration::format_duration;
use super::text::{Form, Text};
use super::yaml::{Map, Node};

/// The seconds that a run may take unless the configuration says otherwise.
const DEFAULT_DEADLINE: f64 = 60.0;
/// The bounds of a timeout, in seconds.
const TIMEOUTS: (f64, f64) = (0.001, 3600.0);
/// The bounds of `every`, in seconds.
const PERIODS: (f64, f64) = (0.05, 31_536_000.0);
/// The maximal number of characters of a title.
const MAX_TITLE_CHARS: usize = 200;
/// The keys that all probes of a group may share.
const SHARED_KEYS: [&str; 3] = ["every", "failures_before_error", "timeout"];

/// A configuration.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Lines before the first key.
    pub comments: Vec<String>,
    /// The runs at once, if the other program has a limit.
    pub in_flight: Option<u64>,
    pub groups: Vec<Group>,
}

/// A group of probes.
#[derive(Debug, Default)]
pub struct Group {
    pub comments: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub probes: Vec<Probe>,
}

/// A probe.
#[derive(Debug)]
pub struct Probe {
    pub comments: Vec<String>,
    /// The title; made by the component unless given. A chain needs one.
    pub title: Option<Text>,
    pub every: Option<Every>,
    pub failures_before_error: Option<u64>,
    pub retries: Option<u64>,
    pub tags: Vec<(String, String)>,
    /// The seconds that a run may take.
    pub deadline: Option<f64>,
    pub kind: Kind,
}

/// The time from one start to the next.
#[derive(Debug, Clone, PartialEq)]
pub enum Every {
    Seconds(f64),
    /// A text with a variable.
    Text(Text),
}

/// The component of a probe, with its settings.
#[derive(Debug)]
pub enum Kind {
    Http(Box<Request>),
    Chain { init_keys: Vec<(String, Text)>, steps: Vec<Step> },
    Ssh(Ssh),
}

/// A step of a chain.
#[derive(Debug, Default)]
pub struct Step {
    pub comments: Vec<String>,
    pub name: Option<Text>,
    pub always: bool,
    pub request: Request,
}

/// A request, and what its response must be.
#[derive(Debug, Default, Clone)]
pub struct Request {
    pub url: Text,
    pub method: Option<String>,
    pub headers: Vec<(String, Text)>,
    pub body: Option<Body>,
    pub auth: Option<Auth>,
    pub user_agent: Option<Text>,
    pub compression: bool,
    pub expected: Option<Node>,
    pub checks: Checks,
    pub set_keys: Vec<(String, String)>,
    pub max_body: Option<u64>,
    pub timeout: Option<f64>,
    pub redirects: Option<u64>,
    /// True if no certificate is verified.
    pub is_insecure: bool,
    pub ca: Option<Text>,
    pub client_certificate: Option<ClientCertificate>,
    pub http_version: Option<&'static str>,
    pub ip_version: Option<u64>,
    pub connect_to: Option<String>,
    pub dns_server: Option<String>,
    pub proxy: Option<Text>,
    pub source_address: Option<String>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub enum Body {
    Text(Text),
    /// A map that is sent as JSON.
    Json(Vec<(String, Text)>),
}

/// Credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    Basic { username: Text, password: Text },
    Bearer(Text),
    OAuth2(OAuth2),
}

/// The client credentials of OAuth2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OAuth2 {
    pub token_url: Text,
    pub client_id: Text,
    pub client_secret: Text,
    pub scope: Option<Text>,
    pub audience: Option<Text>,
}

/// The files of a client certificate and its key; without the latter, both are in one file.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    pub certificate: Text,
    pub key: Option<Text>,
    pub passphrase: Option<Text>,
}

/// An SSH server, how to log in, and a command.
#[derive(Debug, Default)]
pub struct Ssh {
    pub host: Text,
    pub port: Option<u64>,
    pub username: Option<Text>,
    pub password: Option<Text>,
    pub command: Option<Text>,
    pub checks: Checks,
    pub timeout: Option<f64>,
    pub host_key: Option<&'static str>,
}

impl Probe {
    /// Returns a probe of a component, without any key of every probe.
    pub fn new(kind: Kind) -> Self {
        let (comments, tags) = (Vec::new(), Vec::new());
        Self {
            comments,
            title: None,
            every: None,
            failures_before_error: None,
            retries: None,
            tags,
            deadline: None,
            kind,
        }
    }
}

impl Configuration {
    /// Returns the document.
    pub fn to_map(&self) -> Map {
        let mut map = Map::with_comments(&self.comments);
        if let Some(count) = self.in_flight {
            map.set("limits", Map::short([("in_flight", count.into())]));
        }
        let groups: Vec<_> = self.groups.iter().filter(|group| !group.probes.is_empty()).map(Group::to_node).collect();
        map.set("groups", groups);
        map
    }

    pub fn probe_count(&self) -> usize {
        self.groups.iter().map(|group| group.probes.len()).sum()
    }
}

impl Group {
    fn to_node(&self) -> Node {
        let mut map = Map::with_comments(&self.comments);
        map.set_some("tags", tags(&self.tags));
        let mut probes: Vec<_> = self.probes.iter().map(Probe::to_map).collect();
        let defaults = take_shared(&mut probes);
        if !defaults.is_empty() {
            map.set("defaults", defaults);
        }
        map.set("probes", probes.into_iter().map(Node::from).collect::<Vec<_>>());
        map.into()
    }
}

/// Takes the keys out of several probes that all of them have with the same value. Returns these.
fn take_shared(probes: &mut [Map]) -> Map {
    let mut shared = Map::short([]);
    let ([first, _, ..], keys) = (&*probes, SHARED_KEYS) else { return shared };
    let value = |key: &str| first.get(key).filter(|value| probes.iter().all(|it| it.get(key) == Some(value))).cloned();
    let found: Vec<_> = keys.into_iter().filter_map(|key| Some((key, value(key)?))).collect();
    for (key, value) in found {
        for probe in probes.iter_mut() {
            probe.remove(key);
        }
        shared.set(key, value);
    }
    shared
}

impl Probe {
    fn to_map(&self) -> Map {
        let mut map = Map::with_comments(&self.comments);
        let name = match &self.kind {
            Kind::Http(_) => "http",
            Kind::Chain { .. } => "chain",
            Kind::Ssh(_) => "ssh",
        };
        map.set("probe", name);
        map.set_some("title", self.title.as_ref().map(title).filter(|title| !title.is_empty()));
        let settings = match &self.kind {
            Kind::Http(request) => request.to_map(Form::Plain),
            Kind::Chain { init_keys, steps } => chain_map(init_keys, steps),
            Kind::Ssh(ssh) => ssh.to_map(),
        };
        let timing = self.timing();
        map.set_some("tags", tags(&self.tags));
        match &self.kind {
            // The steps of a chain are long: what belongs to all of it comes first.
            Kind::Chain { .. } => {
                map.extend(timing);
                map.extend(settings);
            }
            _ => {
                map.extend(settings);
                map.extend(timing);
            }
        }
        map
    }

    fn timing(&self) -> Map {
        let mut map = Map::default();
        map.set_some(
            "every",
            self.every.as_ref().map(|every| match every {
                Every::Seconds(seconds) => format_duration(seconds.clamp(PERIODS.0, PERIODS.1)),
                Every::Text(text) => text.render(Form::Plain),
            }),
        );
        map.set_some(
            "failures_before_error",
            self.failures_before_error.filter(|count| *count > 1).map(|count| count.min(1000)),
        );
        map.set_some("retries", self.retries.map(|count| count.min(10)));
        let longest = match &self.kind {
            Kind::Http(request) => request.timeout,
            Kind::Ssh(ssh) => ssh.timeout,
            Kind::Chain { steps, .. } => steps.iter().filter_map(|step| step.request.timeout).reduce(f64::max),
        };
        // A run that ended before its timeout would be broken instead of failed.
        let needed = longest.map(|timeout| timeout + 5.0).filter(|seconds| *seconds > DEFAULT_DEADLINE);
        let deadline = self.deadline.or(needed).map(|seconds| format_duration(seconds.clamp(0.05, 86_400.0)));
        map.set_some("limits", deadline.map(|deadline| Map::short([("deadline", deadline.into())])));
        map
    }
}

fn title(title: &Text) -> String {
    let line: String =
        title.render(Form::Plain).chars().map(|c| if crate::printable::is_printable(c) { c } else { ' ' }).collect();
    line.trim().chars().take(MAX_TITLE_CHARS).collect()
}

fn tags(tags: &[(String, String)]) -> Option<Node> {
    let mut map = Map::short([]);
    for (name, value) in tags {
        if map.get(name).is_none() {
            map.set(name, Text::literal(value).render(Form::Plain));
        }
    }
    (!map.is_empty()).then_some(map.into())
}

fn texts(texts: &[(String, Text)], form: Form) -> Option<Node> {
    let mut map = Map::default();
    for (name, value) in texts {
        map.set(name, value.render(form));
    }
    (!map.is_empty()).then_some(map.into())
}

fn plain(text: &Text) -> String {
    text.render(Form::Plain)
}

fn timeout(seconds: Option<f64>) -> Option<String> {
    seconds.map(|seconds| format_duration(seconds.clamp(TIMEOUTS.0, TIMEOUTS.1)))
}

fn chain_map(init_keys: &[(String, Text)], steps: &[Step]) -> Map {
    let mut map = Map::default();
    map.set_some("init_keys", texts(init_keys, Form::Plain));
    let step = |step: &Step| {
        let mut map = Map::with_comments(&step.comments);
        map.set_some("name", step.name.as_ref().map(title).filter(|name| !name.is_empty()));
        map.extend(step.request.to_map(Form::Template));
        if step.always {
            map.set("always", true);
        }
        Node::from(map)
    };
    map.set("steps", steps.iter().map(step).collect::<Vec<_>>());
    map
}

impl Request {
    fn to_map(&self, form: Form) -> Map {
        let mut map = Map::default();
        map.set("url", self.url.render(form));
        map.set_some("method", self.method.clone());
        map.set_some("headers", texts(&self.headers, form));
        map.set_some("user_agent", self.user_agent.as_ref().map(plain));
        if self.compression {
            map.set("compression", true);
        }
        match &self.body {
            Some(Body::Text(text)) => map.set("body", text.render(form)),
            Some(Body::Json(values)) => map.set_some("body", texts(values, form)),
            None => {}
        }
        map.set_some("auth", self.auth.as_ref().map(Auth::to_node));
        map.set_some("expected", self.expected.clone());
        map.set_some("checks", self.checks.to_node());
        let mut set_keys = Map::default();
        self.set_keys.iter().for_each(|(key, path)| set_keys.set(key, path.as_str()));
        map.set_some("set_keys", (!set_keys.is_empty()).then_some(set_keys));
        map.set_some("max_body", self.max_body);
        map.set_some("timeout", timeout(self.timeout));
        map.set_some("redirects", self.redirects.map(|count| count.min(100)));
        self.set_network(&mut map);
        map
    }

    fn set_network(&self, map: &mut Map) {
        if self.is_insecure {
            map.set("verify_tls", false);
        }
        map.set_some("ca", self.ca.as_ref().map(plain));
        map.set_some("client_certificate", self.client_certificate.as_ref().map(ClientCertificate::to_node));
        map.set_some("http_version", self.http_version.map(|version| Node::Plain(version.to_owned())));
        map.set_some("ip_version", self.ip_version);
        map.set_some("connect_to", self.connect_to.as_deref().map(|text| plain(&Text::literal(text))));
        map.set_some("dns_server", self.dns_server.as_deref().map(|text| plain(&Text::literal(text))));
        map.set_some("proxy", self.proxy.as_ref().map(plain));
        map.set_some("source_address", self.source_address.as_deref().map(|text| plain(&Text::literal(text))));
    }
}

impl Auth {
    fn to_node(&self) -> Node {
        let mut map = Map::default();
        match self {
            Self::Basic { username, password } => {
                map.set(
                    "basic",
                    Map::short([("username", plain(username).into()), ("password", plain(password).into())]),
                );
            }
            Self::Bearer(token) => map.set("bearer", plain(token)),
            Self::OAuth2(client) => {
                let mut oauth2 = Map::default();
                oauth2.set("token_url", plain(&client.token_url));
                oauth2.set("client_id", plain(&client.client_id));
                oauth2.set("client_secret", plain(&client.client_secret));
                oauth2.set_some("scope", client.scope.as_ref().map(plain));
                oauth2.set_some("audience", client.audience.as_ref().map(plain));
                map.set("oauth2", oauth2);
            }
        }
        map.into()
    }
}

impl ClientCertificate {
    fn to_node(&self) -> Node {
        if self.key.is_none() && self.passphrase.is_none() {
            return plain(&self.certificate).into();
        }
        let key = self.key.as_ref().unwrap_or(&self.certificate);
        let mut map = Map::short([("certificate", plain(&self.certificate).into()), ("key", plain(key).into())]);
        map.set_some("passphrase", self.passphrase.as_ref().map(plain));
        map.into()
    }
}

impl Ssh {
    fn to_map(&self) -> Map {
        let mut map = Map::default();
        map.set("host", plain(&self.host));
        map.set_some("port", self.port);
        map.set_some("username", self.username.as_ref().map(plain));
        map.set_some("password", self.password.as_ref().map(plain));
        map.set_some("command", self.command.as_ref().map(plain));
        map.set_some("checks", self.checks.to_node());
        map.set_some("timeout", timeout(self.timeout));
        map.set_some("host_key", self.host_key);
        map
    }
}
