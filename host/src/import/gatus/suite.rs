//! A suite of Gatus: endpoints in order, which pass values on. It becomes a chain.

use super::super::entry::{Entry, shown};
use super::super::model::{Auth, Kind, Probe, Request, Step};
use super::super::report::Report;
use super::super::text::{Piece, Text};
use super::condition::json_path;
use super::endpoint;
use super::shared::{every, seconds, text};

/// The seconds from one run to the next unless a suite says otherwise.
const DEFAULT_INTERVAL: f64 = 600.0;
/// The seconds that a suite may take unless it says otherwise.
const DEFAULT_TIMEOUT: f64 = 300.0;

/// Returns the chain of a suite; `None`, with a note, if it has no step with an equivalent.
pub fn probe(item: &Entry, report: &mut Report) -> Option<Probe> {
    report.take_comments();
    let name = item.get("name").and_then(|name| text(&name, report)).unwrap_or_default();
    if item.get("enabled").is_some_and(|enabled| enabled.value.as_bool() == Some(false)) {
        report.left_out(&item.place(), format!("the suite `{}`, since it is disabled", shown(&name.skeleton())));
        return None;
    }
    let (mut init_keys, mut steps) = (Vec::new(), Vec::new());
    for (key, value) in item.get("context").map(|context| context.members()).unwrap_or_default() {
        match text(&value, report) {
            Some(text) => init_keys.push((key.to_owned(), text)),
            None => report.left_out(&value.place(), "a list or a map in the context"),
        }
    }
    let mut deadline = DEFAULT_TIMEOUT;
    for (key, value) in item.members() {
        match key {
            "timeout" => deadline = seconds(&value, report).unwrap_or(deadline),
            "name" | "group" | "interval" | "context" | "endpoints" | "enabled" => {}
            key => value.no_equivalent(key, report),
        }
    }
    let every = every(item, DEFAULT_INTERVAL, report);
    let comments = report.take_comments();
    let mut known: Vec<String> = init_keys.iter().map(|(key, _)| key.clone()).collect();
    for endpoint in item.get("endpoints").map(|endpoints| endpoints.items()).unwrap_or_default() {
        steps.extend(step(&endpoint, &mut known, report));
    }
    if steps.is_empty() {
        report.left_out(
            &item.place(),
            format!("the suite `{}`, since no step has an equivalent", shown(&name.skeleton())),
        );
        return None;
    }
    let title = if name.is_empty() { Text::literal("suite") } else { name };
    let kind = Kind::Chain { init_keys, steps };
    Some(Probe { comments, title: Some(title), every: Some(every), deadline: Some(deadline), ..Probe::new(kind) })
}

fn step(item: &Entry, known: &mut Vec<String>, report: &mut Report) -> Option<Step> {
    let url = item.get("url").and_then(|url| text(&url, report)).unwrap_or_default();
    let mut context = Context { known, item };
    let url = context.fill(url, report);
    let mut request = endpoint::request(item, &url, &mut |text, report| context.fill(text, report), report)?;
    move_to_header(&mut request);
    for (key, value) in item.get("store").map(|store| store.members()).unwrap_or_default() {
        let path = value.text().unwrap_or_default();
        let path = path.strip_prefix("[BODY]").map(|path| path.trim_start_matches('.')).and_then(json_path);
        match path {
            Some(path) => {
                request.set_keys.push((key.to_owned(), path));
                context.known.push(key.to_owned());
            }
            None => report.left_out(&value.place(), "a stored value that is not of the body"),
        }
    }
    if let Some(alerts) = item.get("alerts") {
        report.left_out(&alerts.place(), "alerts of a step: a chain is one probe");
    }
    endpoint::other_keys(item, report);
    let name = item.get("name").and_then(|name| text(&name, report));
    let always = item.get("always-run").is_some_and(|always| always.is_true());
    Some(Step { comments: report.take_comments(), name, always, request })
}

/// Moves a token that a step stores into a header, since credentials are no templates.
fn move_to_header(request: &mut Request) {
    match request.auth.take() {
        Some(Auth::Bearer(token)) if token.has_key() => {
            let mut value = Text::literal("Bearer ");
            value.append(token);
            request.headers.push(("authorization".to_owned(), value));
        }
        auth => request.auth = auth,
    }
}

/// The keys that are set before a step.
struct Context<'c, 'a> {
    known: &'c mut Vec<String>,
    item: &'c Entry<'a>,
}

impl Context<'_, '_> {
    /// Replaces `[CONTEXT].key` in a text by the key of the chain.
    fn fill(&mut self, text: Text, report: &mut Report) -> Text {
        const MARK: &str = "[CONTEXT].";
        text.map_literals(|literal| {
            let (mut filled, mut rest) = (Text::default(), literal);
            while let Some((before, after)) = rest.split_once(MARK) {
                filled.push(Piece::Literal(before.to_owned()));
                let is_in_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
                let path = after[..after.find(|c| !is_in_path(c)).unwrap_or(after.len())].trim_end_matches('.');
                rest = &after[path.len()..];
                let mut segments = path.split('.');
                let key = segments.next().unwrap_or_default();
                if self.known.iter().any(|known| known == key) {
                    let inner: String = segments.map(|segment| format!("[{segment}]")).collect();
                    filled.push(Piece::Key(format!("{key}{inner}")));
                } else {
                    report.left_out(&self.item.place(), format!("no step before this one stores `{}`", shown(key)));
                    filled.push(Piece::Literal(format!("{MARK}{path}")));
                }
            }
            filled.push(Piece::Literal(rest.to_owned()));
            filled
        })
    }
}
