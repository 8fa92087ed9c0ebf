//! Builds requests from what other programs have of them: URLs, headers and bodies. Credentials become variables.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::entry::shown;
use super::model::{Auth, Body, Request};
use super::report::{Place, Report};
use super::text::{Text, is_mark};
use crate::redaction::{credential_ranges, is_credential_name};

/// Headers that a client sets for each connection. The host does so too.
const HEADERS_OF_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// The content codings that the host asks for with `compression`.
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// A request that is being built from a place in a file.
pub struct Builder<'r> {
    pub request: Request,
    pub report: &'r mut Report,
    pub place: Place,
    /// The host of the URL, for the names of variables.
    base: String,
}

impl<'r> Builder<'r> {
    /// Starts with the URL. User and password in it become credentials.
    ///
    /// # Errors
    /// Returns a message if it is no URL of HTTP.
    pub fn new(url: &Text, report: &'r mut Report, place: Place) -> Result<Self, String> {
        let encoded = url.encode();
        if encoded.text.starts_with(is_mark) && !encoded.text.contains("://") {
            // The scheme and the host are the variable's.
            let mut builder = Self { request: Request::default(), report, place, base: "target".to_owned() };
            builder.request.url = builder.hide(url);
            return Ok(builder);
        }
        let (scheme, rest) = encoded.text.trim().split_once("://").ok_or("it is not a URL of http or https")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err("it is not a URL of http or https".to_owned());
        }
        let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (userinfo, after) = match rest[..authority_end].rfind('@') {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        let without_userinfo = encoded.decode(&format!("{}://{after}", scheme.to_ascii_lowercase()));
        let parsed = Url::parse(&without_userinfo.skeleton()).map_err(|error| format!("it is not a URL: {error}"))?;
        let host = parsed.host_str().unwrap_or_default();
        let base = host.strip_prefix("www.").unwrap_or(host).to_owned();
        let mut builder = Self { request: Request::default(), report, place, base };
        builder.request.url = builder.hide(&without_userinfo);
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let decoded = |part: &str| {
                let is_plain = !part.chars().any(is_mark);
                let text = percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
                encoded.decode(if is_plain { &text } else { part })
            };
            builder.basic(&decoded(user), &decoded(password), "the password in the URL");
        }
        Ok(builder)
    }

    pub fn is_https(&self) -> bool {
        self.request.url.skeleton().starts_with("https:")
    }

    /// Returns a variable for a value, unless variables stand in it already or it is empty.
    pub fn secret(&mut self, key: &str, purpose: &str, value: &Text) -> Text {
        match value.as_literal() {
            None | Some("") => value.clone(),
            Some(literal) => {
                let mut text = Text::default();
                text.push(self.report.secret(&self.base, key, purpose, literal, &self.place));
                text
            }
        }
    }

    /// Returns a text in which the values of credentials are variables. The value of such a variable is as it stands in
    /// the text, with its escapes.
    pub fn hide(&mut self, text: &Text) -> Text {
        let encoded = text.encode();
        let (mut hidden, mut copied_to) = (Text::default(), 0);
        for range in credential_ranges(&encoded.text) {
            let value = &encoded.text[range.clone()];
            if value.chars().any(is_mark) {
                continue;
            }
            hidden.append(encoded.decode(&encoded.text[copied_to..range.start]));
            let name = name_before(&encoded.text[..range.start]);
            let purpose = format!("`{name}`, as it is written there");
            hidden.push(self.report.secret(&self.base, &name, &purpose, value, &self.place));
            copied_to = range.end;
        }
        hidden.append(encoded.decode(&encoded.text[copied_to..]));
        hidden
    }

    /// Sets a user name and a password. Without a password, the user name is the secret.
    pub fn basic(&mut self, username: &Text, password: &Text, purpose: &str) {
        let username =
            if password.is_empty() { self.secret("username", "the user name", username) } else { username.clone() };
        let password = self.secret("password", purpose, password);
        self.request.auth = Some(Auth::Basic { username, password });
    }

    pub fn bearer(&mut self, token: &Text) {
        let token = self.secret("token", "the bearer token", token);
        self.request.auth = Some(Auth::Bearer(token));
    }

    /// Sets the method. Common ones are written in capital letters, as servers expect them.
    pub fn method(&mut self, method: &str) {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method));
        match known {
            Some(known) => self.request.method = Some((*known).to_owned()),
            None if !method.is_empty() && method.chars().all(is_token) => self.request.method = Some(method.to_owned()),
            None => self.report.left_out(&self.place, "the method is not a method of HTTP"),
        }
    }

    /// Sets the body.
    pub fn body(&mut self, body: &Text) {
        self.request.body = Some(Body::Text(self.hide(body)));
    }

    /// Adds a header. Headers of the connection are left to the host, and credentials become variables.
    pub fn header(&mut self, name: &str, value: &Text) {
        let name = name.trim();
        let encoded = value.encode();
        let trimmed = encoded.decode(encoded.text.trim());
        let lower = name.to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let is_control = |c: char| c.is_control() && c != '\t';
        if name.is_empty() || !name.chars().all(is_token) || encoded.text.trim().chars().any(is_control) {
            let message = format!("`{}` is not a header that can be sent", shown(name));
            return self.report.left_out(&self.place, message);
        }
        match lower.as_str() {
            name if HEADERS_OF_CONNECTION.contains(&name) => {}
            "host" => self.host(&trimmed),
            "authorization" => self.authorization(name, &trimmed),
            "cookie" => self.cookie(&trimmed),
            "user-agent" => self.request.user_agent = Some(trimmed),
            "accept-encoding" => self.accept_encoding(name, &trimmed),
            "if-none-match" | "if-modified-since" => {
                self.report.remark(&self.place, format!("`{lower}` is not sent, so that the whole answer comes"));
            }
            _ if is_credential_name(&lower) => {
                let purpose = format!("the header `{lower}`");
                let value = self.secret(&lower, &purpose, &trimmed);
                self.add_header(name, value);
            }
            _ => {
                let value = self.hide(&trimmed);
                self.add_header(name, value);
            }
        }
    }

    fn add_header(&mut self, name: &str, value: Text) {
        match self.request.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, before)) => {
                before.append(Text::literal(", "));
                before.append(value);
            }
            None => self.request.headers.push((name.to_owned(), value)),
        }
    }

    /// Sets or removes a header, so that there is one of the name at most.
    pub fn remove_header(&mut self, name: &str) {
        self.request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.request.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn authorization(&mut self, name: &str, value: &Text) {
        let encoded = value.encode();
        let (scheme, rest) = encoded.text.split_once(' ').unwrap_or(("", &encoded.text));
        let credentials = encoded.decode(rest.trim());
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.bearer(&credentials);
        }
        if scheme.eq_ignore_ascii_case("basic")
            && let Some((user, password)) = credentials.as_literal().and_then(decode_basic)
        {
            return self.basic(&Text::literal(user), &Text::literal(password), "the password");
        }
        let mut hidden = Text::literal(if scheme.is_empty() { String::new() } else { format!("{scheme} ") });
        hidden.append(self.secret("authorization", "the header `authorization`", &credentials));
        self.remove_header(name);
        self.add_header(name, hidden);
    }

    /// Adds cookies, whose values are one variable.
    pub fn cookie(&mut self, value: &Text) {
        let value = self.secret("cookie", "the cookies, as in the header `cookie`", value);
        if value.as_literal() != Some("") {
            let message = "cookies are sent as a variable has them; those of a session end with it";
            self.report.remark(&self.place, message);
            self.remove_header("cookie");
            self.add_header("cookie", value);
        }
    }

    fn accept_encoding(&mut self, name: &str, value: &Text) {
        let known = value.as_literal().map(|value| {
            value
                .split(',')
                .map(|coding| coding.split(';').next().unwrap_or_default().trim())
                .any(|it| CODINGS.contains(&it))
        });
        match known {
            Some(true) => self.request.compression = true,
            Some(false) | None => self.add_header(name, value.clone()),
        }
    }

    /// Takes the header `host` into account. Over TLS the name is also the one that the certificate is for, so that it
    /// becomes the URL's, and the URL's host is where to connect to.
    fn host(&mut self, value: &Text) {
        let skeleton = self.request.url.skeleton();
        let Ok(url) = Url::parse(&skeleton) else { return };
        let own = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let Some(host) = value.as_literal().filter(|host| !host.is_empty()) else {
            return self.add_header("host", value.clone());
        };
        if host.eq_ignore_ascii_case(&own) {
            return;
        }
        let encoded = self.request.url.encode();
        let parts = encoded.text.split_once("://").map(|(scheme, rest)| {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (scheme, &rest[..end], &rest[end..])
        });
        let is_host = Url::parse(&format!("https://{host}/")).is_ok_and(|parsed| parsed.path() == "/");
        match parts {
            Some(("https", authority, rest)) if is_host && !authority.chars().any(is_mark) => {
                let port = if host.contains(':') {
                    String::new()
                } else {
                    url.port().map(|it| format!(":{it}")).unwrap_or_default()
                };
                self.request.url = encoded.decode(&format!("https://{host}{port}{rest}"));
                self.request.connect_to = Some(own);
            }
            _ => self.add_header("host", value.clone()),
        }
    }

    /// Sets a proxy. A user and a password in its URL become a variable.
    pub fn proxy(&mut self, url: &Text) {
        let encoded = url.encode();
        let text = encoded.text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            known @ ("http" | "https" | "socks5" | "socks5h") => known.to_owned(),
            _ => return self.report.left_out(&self.place, "the proxy is none of http, https, socks5 and socks5h"),
        };
        let mut proxy = Text::literal(format!("{scheme}://"));
        let (userinfo, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            proxy.append(encoded.decode(user));
            if !password.is_empty() {
                proxy.append(Text::literal(":"));
                proxy.append(self.secret("proxy_password", "the password of the proxy", &encoded.decode(password)));
            }
            proxy.append(Text::literal("@"));
        }
        proxy.append(encoded.decode(host));
        if Url::parse(&proxy.skeleton()).is_ok_and(|url| url.host().is_some()) {
            self.request.proxy = Some(proxy);
        } else {
            self.report.left_out(&self.place, "the proxy is not a URL");
        }
    }

    /// Returns the request, without what excludes each other: a proxy connects by itself.
    pub fn finish(mut self) -> Request {
        if self.has_header("authorization") && self.request.auth.take().is_some() {
            self.report.left_out(&self.place, "other credentials beside the header `authorization`");
        }
        if self.request.proxy.is_some() && self.request.connect_to.take().is_some() {
            self.report.left_out(&self.place, "another address to connect to cannot be combined with a proxy");
        }
        self.request
    }
}

/// Returns the name that stands before a value: `password` for `"password": "`.
fn name_before(text: &str) -> String {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let text = text.trim_end_matches(|c: char| !is_in_name(c));
    let start =
        text.rfind(|c: char| !is_in_name(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let name = text[start..].trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() || name.len() > 40 { "secret".to_owned() } else { name.to_owned() }
}

fn decode_basic(credentials: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::text::Form;
    use super::*;

    #[track_caller]
    fn check(url: &str, headers: &[(&str, &str)], expected: &str, variables: &[&str]) {
        let mut report = Report::default();
        let place = Place { file: "f".into(), line: 1 };
        let mut builder = Builder::new(&Text::literal(url), &mut report, place).expect("it is a URL");
        for (name, value) in headers {
            builder.header(name, &Text::literal(*value));
        }
        let request = builder.finish();
        let headers = request.headers.iter().map(|(name, value)| format!("{name}={}", value.render(Form::Plain)));
        let parts = [request.url.render(Form::Plain)].into_iter().chain(headers);
        let parts = parts.chain(request.connect_to.map(|host| format!("to {host}")));
        let parts = parts.chain(request.auth.map(|auth| format!("{auth:?}")));
        assert_eq!(parts.collect::<Vec<_>>().join(" "), expected);
        let names: Vec<_> = report.variables().iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, variables);
    }

    #[test]
    fn credentials_become_variables() {
        check("HTTP://h/?a=1", &[], "http://h/?a=1", &[]);
        check("http://h/?token=abc&b=2", &[], "http://h/?token=${env:H_TOKEN}&b=2", &["H_TOKEN"]);
        let basic = "https://h/ Basic { username: Text([Literal(\"u\")]), password: Text([Variable(\"H_PASSWORD\")]) }";
        check("https://u:p%40@h/", &[], basic, &["H_PASSWORD"]);
        check("https://h/", &[("Authorization", "Basic dTpw")], basic, &["H_PASSWORD"]);
        check(
            "https://h/",
            &[("authorization", "bearer  x")],
            "https://h/ Bearer(Text([Variable(\"H_TOKEN\")]))",
            &["H_TOKEN"],
        );
        check(
            "https://h/",
            &[("Authorization", "Digest a=1")],
            "https://h/ Authorization=Digest ${env:H_AUTHORIZATION}",
            &["H_AUTHORIZATION"],
        );
        check(
            "https://h/",
            &[("X-Api-Key", "k"), ("Cookie", "a=b")],
            "https://h/ X-Api-Key=${env:H_X_API_KEY} cookie=${env:H_COOKIE}",
            &["H_X_API_KEY", "H_COOKIE"],
        );
    }

    #[test]
    fn headers_of_connections_are_left_to_the_host() {
        let headers = [("Connection", "close"), ("Content-Length", "5"), ("Host", "h:1"), ("A", "1"), ("a", "2")];
        check("http://h:1/", &headers, "http://h:1/ A=1, 2", &[]);
        check("http://h:1/", &[("Host", "x")], "http://h:1/ host=x", &[]);
        check("https://h:1/a", &[("Host", "x")], "https://x:1/a to h:1", &[]);
        check("https://h/", &[("bad name", "x"), ("a", "b\r\nc: d")], "https://h/", &[]);
    }
}
