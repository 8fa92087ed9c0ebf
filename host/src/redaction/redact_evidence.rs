//! What is told of why a run did not pass, without credentials that no configuration names. Knows which text of an
//! exchange is what.

use std::borrow::Cow;

use serde_json::Value;

use super::{REDACTED, Secrets, credential};
use crate::run::evidence::{Command, Connection, Excerpt, Exchange, Http};
use crate::run::{Failure, Run};

/// The credentials that a request carried, and those that it was given: wherever they come back, they are no less
/// secret.
pub fn carried_secrets(exchange: &mut Exchange) -> Secrets {
    /// With shorter ones struck out, nothing would be left to read: a cookie's may be `dark`.
    const MIN_SECRET_CHARS: usize = 6;
    const MIN_COOKIE_CHARS: usize = 8;
    let Exchange::Http(http) = exchange else { return Secrets::default() };
    let body = std::mem::take(&mut http.body);
    let response = http.response.iter().flat_map(|response| &response.headers);
    let (cookies, headers): (Vec<_>, Vec<_>) =
        http.headers.iter().chain(response).partition(|(name, _)| is_cookie(name));
    let query = http.query.iter().filter(|(name, _)| is_parameter(name));
    let headers = headers.into_iter().filter(|(name, _)| credential::is_name(name));
    let values = query.chain(headers).map(|(_, value)| value.as_str()).chain(credential::values(&body));
    let cookies = cookies.into_iter().flat_map(|(name, value)| {
        let cookies = if name == SET_COOKIE { 1 } else { usize::MAX };
        value.split(';').take(cookies).filter_map(|cookie| Some(cookie.split_once('=')?.1.trim()))
    });
    let long = |least: usize| move |value: &&str| value.chars().nth(least - 1).is_some();
    Secrets::new(values.filter(long(MIN_SECRET_CHARS)).chain(cookies.filter(long(MIN_COOKIE_CHARS))))
}

/// Takes out of what is told of a run that did not pass what is a credential by its name or its looks.
pub fn redact_evidence(run: &mut Run) {
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
    run.outcome.failure_mut().into_iter().chain(&mut run.earlier).for_each(redact_failure_credentials);
    run.log.iter_mut().for_each(|line| redact_sentence(&mut line.message));
}

/// Each text that says something of an exchange.
pub fn for_each_text(exchange: &mut Exchange, strike: impl Fn(&mut String)) {
    match exchange {
        Exchange::Http(http) => {
            let lines = http.query.iter_mut().chain(&mut http.headers);
            let lines = lines.chain(http.response.iter_mut().flat_map(|response| &mut response.headers));
            lines.for_each(|(name, value)| [name, value].into_iter().for_each(&strike));
            http.redirects.iter_mut().for_each(|redirect| strike(&mut redirect.from));
            [&mut http.method, &mut http.url].into_iter().for_each(&strike);
            for_each_text_of_connection(&mut http.connection, &strike);
            for certificate in http.tls.iter_mut().flat_map(|tls| &mut tls.certificates) {
                [&mut certificate.subject, &mut certificate.issuer].into_iter().for_each(&strike);
                certificate.names.iter_mut().for_each(&strike);
            }
            http.response.iter_mut().filter_map(|response| response.body.text.as_mut()).for_each(&strike);
        }
        Exchange::Ssh(ssh) => {
            strike(&mut ssh.host);
            for_each_text_of_connection(&mut ssh.connection, &strike);
            let texts = [&mut ssh.username, &mut ssh.banner, &mut ssh.host_key];
            texts.into_iter().flatten().chain(&mut ssh.methods).for_each(&strike);
            if let Some(Command { command, signal, stdout, stderr, .. }) = &mut ssh.command {
                strike(command);
                [signal, &mut stdout.text, &mut stderr.text].into_iter().flatten().for_each(&strike);
            }
        }
        Exchange::Tcp(tcp) => {
            for_each_text_of_connection(&mut tcp.connection, &strike);
            tcp.received.text.as_mut().into_iter().for_each(&strike);
        }
        Exchange::Dns(connection) => for_each_text_of_connection(connection, &strike),
    }
}

fn for_each_text_of_connection(connection: &mut Connection, strike: impl Fn(&mut String)) {
    let Connection { names, resolved, peer, .. } = connection;
    names.iter_mut().chain(resolved).chain([peer]).for_each(strike);
}

const SET_COOKIE: &str = "set-cookie";

fn is_cookie(header: &str) -> bool {
    header == SET_COOKIE || header == "cookie"
}

/// OAuth's `code` is one, which elsewhere is an error's.
fn is_parameter(name: &str) -> bool {
    credential::is_name(name) || name == "code"
}

fn redact_http(http: &mut Http) {
    redact_sentence(&mut http.url);
    http.redirects.iter_mut().for_each(|redirect| redact_sentence(&mut redirect.from));
    for (name, value) in &mut http.query {
        if is_parameter(name) { REDACTED.clone_into(value) } else { redact_text(value) }
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

/// A URL without the values of its query's parameters that are credentials there alone.
fn redact_query(url: &str) -> String {
    let scrub = |part: &str| match part.split_once('=') {
        Some((name, _)) if is_parameter(name.trim_start_matches(['?', '#'])) => format!("{name}={REDACTED}"),
        _ => part.to_owned(),
    };
    let Some(query) = url.find(['?', '#']) else { return url.to_owned() };
    let parts: Vec<_> = url[query..].split('&').map(scrub).collect();
    format!("{}{}", &url[..query], parts.join("&"))
}

fn redact_excerpt(excerpt: &mut Excerpt) {
    let Some(text) = &mut excerpt.text else { return };
    // A key that is written in escapes is the same key.
    if let (true, Ok(value)) = (text.contains("\\u"), serde_json::from_str::<Value>(text)) {
        *text = value.to_string();
    }
    redact_text(text);
}

fn redact_failure_credentials(failure: &mut Failure) {
    for mismatch in &mut failure.mismatches {
        let secret = credential::is_name(last_key(&mismatch.subject));
        for text in [&mut mismatch.expected, &mut mismatch.actual] {
            let scrubbed = match secret && shows_a_value(text) {
                true => Cow::Borrowed(REDACTED),
                false => credential::redact(text),
            };
            if *scrubbed != **text {
                // The sentence repeats it.
                failure.message = failure.message.replace(text.as_str(), &scrubbed);
                *text = scrubbed.into_owned();
            }
        }
    }
    redact_sentence(&mut failure.message);
}

/// The last key of what is checked: `token` of `step 2 (Log in): $.session.token[0]`.
fn last_key(subject: &str) -> &str {
    let path = subject.trim_end_matches(|c: char| c.is_ascii_digit() || "[]()'\"".contains(c));
    path.rsplit(['.', ':', '[', '(', '\'', '"', ' ']).next().unwrap_or(path)
}

/// Whether a value is shown, rather than what kind of one it is.
fn shows_a_value(text: &str) -> bool {
    const MIN_DIGITS: usize = 4;
    text.contains(['"', '[', '{']) || text.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS
}

fn redact_text(text: &mut String) {
    if let Cow::Owned(scrubbed) = credential::redact(text) {
        *text = scrubbed;
    }
}

pub fn redact_sentence(text: &mut String) {
    if let Cow::Owned(scrubbed) = credential::redact_sentence(text) {
        *text = scrubbed;
    }
}

#[cfg(test)]
mod tests;
