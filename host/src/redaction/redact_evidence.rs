//! Redaction of credentials in the evidence, the failures and the log of a run that did not pass. They are credentials
//! of the target, which are not in the configuration.

use std::borrow::Cow;

use serde_json::Value;

use super::credential;
use super::marker::REDACTED;
use crate::run::evidence::{Command, Connection, Excerpt, Exchange, Http};
use crate::run::{Failure, Run};

/// Returns the credentials that a request sent or received, since they are secret wherever else they occur:
/// credentials in the query, in headers and in the body that was sent, and the values of cookies.
///
/// The body that was sent is removed from the exchange: it serves this purpose only.
pub fn take_credentials(exchange: &mut Exchange) -> Vec<String> {
    /// The minimum length of a credential that is returned. Shorter values may be ordinary words.
    const MIN_SECRET_CHARS: usize = 6;
    /// The minimum length of a cookie's value that is returned. Many cookies are no credentials, such as `theme=dark`.
    const MIN_COOKIE_CHARS: usize = 8;
    let Exchange::Http(http) = exchange else { return Vec::new() };
    let body = std::mem::take(&mut http.body);
    let response = http.response.iter().flat_map(|response| &response.headers);
    let (cookies, headers): (Vec<_>, Vec<_>) =
        http.headers.iter().chain(response).partition(|(name, _)| is_cookie(name));
    let query = http.query.iter().filter(|(name, _)| is_credential_parameter(name));
    let headers = headers.into_iter().filter(|(name, _)| credential::is_name(name));
    let values = query.chain(headers).map(|(_, value)| value.as_str()).chain(credential::values(&body));
    let cookies = cookies.into_iter().flat_map(|(name, value)| {
        let max_cookies = if name == SET_COOKIE { 1 } else { usize::MAX };
        value.split(';').take(max_cookies).filter_map(|cookie| Some(cookie.split_once('=')?.1.trim()))
    });
    let has_chars = |min: usize| move |value: &&str| value.chars().nth(min - 1).is_some();
    let values = values.filter(has_chars(MIN_SECRET_CHARS)).chain(cookies.filter(has_chars(MIN_COOKIE_CHARS)));
    values.map(str::to_owned).collect()
}

/// Redacts all credentials, recognised by their names or by their formats, in the evidence, the failures and the log of
/// a run.
pub fn redact_credentials(run: &mut Run) {
    match &mut run.evidence {
        Some(Exchange::Http(http)) => redact_http(http),
        Some(Exchange::Ssh(ssh)) => {
            ssh.banner.as_mut().into_iter().for_each(redact_sentence);
            if let Some(Command { command, stdout, stderr, .. }) = &mut ssh.command {
                redact_text(command);
                [stdout, stderr].into_iter().for_each(redact_excerpt);
            }
        }
        Some(Exchange::Tcp(tcp)) => redact_excerpt(&mut tcp.received),
        Some(Exchange::Dns(_)) | None => {}
    }
    let failures = run.outcome.failure_mut().into_iter().chain(&mut run.earlier).chain(&mut run.warnings);
    failures.for_each(redact_failure_credentials);
    run.log.iter_mut().for_each(|line| redact_sentence(&mut line.message));
}

/// Calls a function with each text of an exchange that the target, the guest or the operator may have written. The body
/// that was sent is left out, since it is never shown.
pub fn for_each_text(exchange: &mut Exchange, redact: impl Fn(&mut String)) {
    match exchange {
        Exchange::Http(http) => {
            let lines = http.query.iter_mut().chain(&mut http.headers);
            let lines = lines.chain(http.response.iter_mut().flat_map(|response| &mut response.headers));
            lines.for_each(|(name, value)| [name, value].into_iter().for_each(&redact));
            http.redirects.iter_mut().for_each(|redirect| redact(&mut redirect.from));
            [&mut http.method, &mut http.url].into_iter().for_each(&redact);
            for_each_text_of_connection(&mut http.connection, &redact);
            for certificate in http.tls.iter_mut().flat_map(|tls| &mut tls.certificates) {
                [&mut certificate.subject, &mut certificate.issuer].into_iter().for_each(&redact);
                certificate.names.iter_mut().for_each(&redact);
            }
            http.response.iter_mut().filter_map(|response| response.body.text.as_mut()).for_each(&redact);
        }
        Exchange::Ssh(ssh) => {
            redact(&mut ssh.host);
            for_each_text_of_connection(&mut ssh.connection, &redact);
            let texts = [&mut ssh.username, &mut ssh.banner, &mut ssh.host_key];
            texts.into_iter().flatten().chain(&mut ssh.methods).for_each(&redact);
            if let Some(Command { command, signal, stdout, stderr, .. }) = &mut ssh.command {
                redact(command);
                [signal, &mut stdout.text, &mut stderr.text].into_iter().flatten().for_each(&redact);
            }
        }
        Exchange::Tcp(tcp) => {
            for_each_text_of_connection(&mut tcp.connection, &redact);
            tcp.received.text.as_mut().into_iter().for_each(&redact);
        }
        Exchange::Dns(connection) => for_each_text_of_connection(connection, &redact),
    }
}

fn for_each_text_of_connection(connection: &mut Connection, redact: impl Fn(&mut String)) {
    let Connection { names, resolved, peer, proxy_answer, malformed, .. } = connection;
    names.iter_mut().chain(resolved).chain([peer]).chain(proxy_answer).chain(malformed).for_each(redact);
}

const SET_COOKIE: &str = "set-cookie";

fn is_cookie(header: &str) -> bool {
    header == SET_COOKIE || header == "cookie"
}

/// Returns true if a query parameter is a credential. `code` is one in OAuth, but elsewhere often an error code, so
/// [`credential::is_name`] does not include it.
fn is_credential_parameter(name: &str) -> bool {
    credential::is_name(name) || name == "code"
}

fn redact_http(http: &mut Http) {
    redact_sentence(&mut http.url);
    http.connection.malformed.iter_mut().for_each(redact_text);
    http.redirects.iter_mut().for_each(|redirect| redact_sentence(&mut redirect.from));
    for (name, value) in &mut http.query {
        if is_credential_parameter(name) { REDACTED.clone_into(value) } else { redact_text(value) }
    }
    let response = http.response.iter_mut().flat_map(|response| &mut response.headers);
    for (name, value) in http.headers.iter_mut().chain(response) {
        if is_cookie(name) {
            *value = credential::redact_cookies(value, name == SET_COOKIE);
        } else if credential::is_name(name) {
            REDACTED.clone_into(value);
        } else {
            redact_text(value);
            if name == "location" {
                *value = redact_query(value);
            }
        }
    }
    http.response.iter_mut().for_each(|response| redact_excerpt(&mut response.body));
}

/// Redacts the credentials in the query and in the fragment of a URL.
fn redact_query(url: &str) -> String {
    let redact_part = |part: &str| match part.split_once('=') {
        Some((name, _)) if is_credential_parameter(name.trim_start_matches(['?', '#'])) => format!("{name}={REDACTED}"),
        _ => part.to_owned(),
    };
    let Some(query) = url.find(['?', '#']) else { return url.to_owned() };
    let parts: Vec<_> = url[query..].split('&').map(redact_part).collect();
    format!("{}{}", &url[..query], parts.join("&"))
}

fn redact_excerpt(excerpt: &mut Excerpt) {
    let Some(text) = &mut excerpt.text else { return };
    // A key with escapes is not recognised as a name, so JSON with escapes is serialised again without them.
    if text.contains("\\u")
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        *text = value.to_string();
    }
    redact_text(text);
}

fn redact_failure_credentials(failure: &mut Failure) {
    for mismatch in &mut failure.mismatches {
        let is_credential = credential::is_name(last_key(&mismatch.subject));
        for text in [&mut mismatch.expected, &mut mismatch.actual] {
            let redacted =
                if is_credential && shows_a_value(text) { Cow::Borrowed(REDACTED) } else { credential::redact(text) };
            if *redacted != **text {
                // The message contains the text too.
                failure.message = failure.message.replace(text.as_str(), &redacted);
                *text = redacted.into_owned();
            }
        }
    }
    redact_sentence(&mut failure.message);
}

/// Returns the last key of what is checked, for example `token` of `step 2 (Log in): $.session.token[0]`.
fn last_key(subject: &str) -> &str {
    let path = subject.trim_end_matches(|c: char| c.is_ascii_digit() || "[]()'\"".contains(c));
    path.rsplit(['.', ':', '[', '(', '\'', '"', ' ']).next().unwrap_or(path)
}

/// Returns true if a text shows a value, rather than its type or a description: it has a string, a list, a map or at
/// least four digits.
fn shows_a_value(text: &str) -> bool {
    const MIN_DIGITS: usize = 4;
    text.contains(['"', '[', '{']) || text.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS
}

fn redact_text(text: &mut String) {
    if let Cow::Owned(redacted) = credential::redact(text) {
        *text = redacted;
    }
}

/// Redacts the credentials of a sentence in place, as [`credential::redact_sentence`] does.
pub fn redact_sentence(text: &mut String) {
    if let Cow::Owned(redacted) = credential::redact_sentence(text) {
        *text = redacted;
    }
}

#[cfg(test)]
mod tests;
