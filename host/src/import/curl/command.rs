//! One command line: its options and URLs, and the probes that they make.

use url::Url;

use super::super::checks::operator;
use super::super::entry::shown;
use super::super::model::{Auth, ClientCertificate, Kind, Probe, Request};
use super::super::report::{Place, Report};
use super::super::request::Builder;
use super::super::text::{Encoded, Piece, Text, is_mark};
use super::super::yaml::Node;
use super::options::{self, OptionName, Use};
use super::shell::{Command, Word};

/// The redirects that curl follows with `--location`.
const MAX_REDIRECTS: u64 = 50;

/// Returns the probes of a command; none for one that does not run curl.
pub fn probes(command: &Command, report: &mut Report) -> Vec<Probe> {
    let is_assignment = |word: &Word| {
        let encoded = word.text.encode();
        let name = encoded.text.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let is_prefix =
        |word: &&Word| matches!(word.text.as_literal(), Some("$" | "time" | "exec" | "command")) || is_assignment(word);
    let start = command.words.iter().take_while(is_prefix).count();
    let Some(name) = command.words.get(start) else { return Vec::new() };
    let program = name.text.skeleton();
    if !matches!(program.rsplit('/').next(), Some("curl" | "curl.exe")) {
        let message = if command.is_piped {
            "what reads the output has no equivalent: write `checks`".to_owned()
        } else {
            format!("`{}` is not curl", shown(program.split(' ').next().unwrap_or_default()))
        };
        report.left_out(&name.place, message);
        return Vec::new();
    }
    let place = name.place.clone();
    let mut transfers = vec![Transfer::default()];
    parse(&command.words[start + 1..], &mut transfers, report);
    transfers.into_iter().flat_map(|transfer| transfer.probes(&place, report)).collect()
}

/// The options and URLs up to `--next`.
#[derive(Debug, Default)]
struct Transfer {
    urls: Vec<Word>,
    options: Vec<(&'static str, Word)>,
}

/// Splits the words into options and URLs.
fn parse(words: &[Word], transfers: &mut Vec<Transfer>, report: &mut Report) {
    let mut words = words.iter().cloned();
    let mut only_urls = false;
    while let Some(word) = words.next() {
        let encoded = word.text.encode();
        let text = encoded.text.as_str();
        if only_urls || !text.starts_with('-') || text == "-" {
            current(transfers).urls.push(word);
        } else if text == "--" {
            only_urls = true;
        } else if let Some(name) = text.strip_prefix("--") {
            // Flags can be negated, which is what they are unless given.
            if let Some(flag) = name.strip_prefix("no-").filter(|_| options::by_name(name).is_none()) {
                if options::by_name(flag).is_none() {
                    report.left_out(&word.place, format!("unknown option `--{}`", shown(name)));
                }
                continue;
            }
            let Some(option) = options::by_name(name) else {
                report.left_out(
                    &word.place,
                    format!("unknown option `--{}`", shown(name.split('=').next().unwrap_or_default())),
                );
                continue;
            };
            let value = if option.takes_value { words.next() } else { None };
            add(option, value, &word.place, transfers, report);
        } else {
            letters(&encoded, &word.place, &mut words, transfers, report);
        }
    }
}

/// Takes a word with options of one letter, such as `-sLd`. The value of the last stands in it or is the next word.
fn letters(
    word: &Encoded,
    place: &Place,
    words: &mut impl Iterator<Item = Word>,
    transfers: &mut Vec<Transfer>,
    report: &mut Report,
) {
    for (at, letter) in word.text.char_indices().skip(1) {
        let Some(option) = options::by_letter(letter) else {
            // What follows may be the value, which may be a secret.
            return report.left_out(place, format!("unknown option `-{}`", shown(&letter.to_string())));
        };
        if !option.takes_value {
            add(option, None, place, transfers, report);
            continue;
        }
        let rest = &word.text[at + letter.len_utf8()..];
        let value =
            if rest.is_empty() { words.next() } else { Some(Word { text: word.decode(rest), place: place.clone() }) };
        return add(option, value, place, transfers, report);
    }
}

fn current(transfers: &mut Vec<Transfer>) -> &mut Transfer {
    if transfers.is_empty() {
        transfers.push(Transfer::default());
    }
    let last = transfers.len() - 1;
    &mut transfers[last]
}

/// Adds an option to the current transfer.
fn add(
    option: &'static OptionName,
    value: Option<Word>,
    place: &Place,
    transfers: &mut Vec<Transfer>,
    report: &mut Report,
) {
    if option.takes_value && value.is_none() {
        return report.left_out(place, format!("`--{}` has no value", option.long));
    }
    let word = value.unwrap_or_else(|| Word { text: Text::default(), place: place.clone() });
    match (option.use_, option.long) {
        (Use::Ignored, _) => {}
        (Use::LeftOut, long @ ("form" | "form-string" | "upload-file" | "unix-socket" | "abstract-unix-socket")) => {
            current(transfers).options.push((long, word));
        }
        (Use::LeftOut, long) => report.left_out(&word.place, format!("`--{long}` has no equivalent")),
        (Use::Carried, "next") => transfers.push(Transfer::default()),
        (Use::Carried, "url") => current(transfers).urls.push(word),
        (Use::Carried, long) => current(transfers).options.push((long, word)),
    }
}

impl Transfer {
    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// Returns the value of an option, the last of several.
    fn last(&self, name: &str) -> Option<&Word> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, word)| word)
    }

    fn probes(&self, command: &Place, report: &mut Report) -> Vec<Probe> {
        const WITHOUT_WHICH_NOTHING: [&str; 5] =
            ["form", "form-string", "upload-file", "unix-socket", "abstract-unix-socket"];
        let needed = self.options.iter().find(|(name, _)| WITHOUT_WHICH_NOTHING.contains(name));
        if let Some((name, word)) = needed {
            report.left_out(&word.place, format!("the request: `--{name}` has no equivalent"));
            return Vec::new();
        }
        if self.urls.is_empty() {
            report.left_out(command, "a command without a URL");
        }
        self.urls.iter().filter_map(|url| self.probe(url, report)).collect()
    }

    fn probe(&self, url: &Word, report: &mut Report) -> Option<Probe> {
        let text = self.full_url(url, report)?;
        let builder = match Builder::new(&text, report, url.place.clone()) {
            Ok(builder) => builder,
            Err(why) => {
                let cmd =
                    if url.text.skeleton().starts_with('^') { "; copy it as cURL for bash, not for cmd" } else { "" };
                report.left_out(&url.place, format!("the request: {why}{cmd}"));
                return None;
            }
        };
        let (request, retries) = self.request(builder);
        let mut probe = Probe::new(Kind::Http(Box::new(request)));
        probe.retries = retries;
        probe.comments = report.take_comments();
        Some(probe)
    }

    /// Returns the URL with a scheme, and with the data that `--get` puts into its query.
    fn full_url(&self, url: &Word, report: &mut Report) -> Option<Text> {
        let encoded = url.text.encode();
        let text = encoded.text.trim();
        if text.is_empty() {
            report.left_out(&url.place, "a URL that is empty");
            return None;
        }
        if !self.has("globoff") && has_glob(text) {
            report.left_out(&url.place, "the request: a URL with a list or a range in `{}` or `[]`");
            return None;
        }
        let has_scheme = text.contains("://") || text.starts_with(is_mark);
        let mut full = Text::literal(if has_scheme { "" } else { "http://" });
        let (before_fragment, _) = text.split_once('#').unwrap_or((text, ""));
        full.append(encoded.decode(before_fragment));
        let mut has_query = before_fragment.contains('?');
        let mut append = |part: Text| {
            full.append(Text::literal(if has_query { "&" } else { "?" }));
            full.append(part);
            has_query = true;
        };
        for (_, word) in self.options.iter().filter(|(name, _)| *name == "url-query") {
            let encoded = word.text.encode();
            let part = encoded.text.strip_prefix('+').map(|raw| encoded.decode(raw));
            append(part.unwrap_or_else(|| url_encoded(&word.text)));
        }
        if self.has("get")
            && let Some((data, _)) = self.data(report)
        {
            append(data);
        }
        Some(full)
    }

    /// Returns the data of all options together, and true if it is JSON.
    fn data(&self, report: &mut Report) -> Option<(Text, bool)> {
        let (mut data, mut count, mut is_json) = (Text::default(), 0, false);
        for (name, word) in &self.options {
            let part = match *name {
                "data" | "data-ascii" | "data-binary" | "json" => file_or_text(name, word, report),
                "data-raw" => word.text.clone(),
                "data-urlencode" => url_encoded(&word.text),
                _ => continue,
            };
            is_json |= *name == "json";
            if count > 0 && *name != "json" {
                data.append(Text::literal("&"));
            }
            data.append(part);
            count += 1;
        }
        (count > 0).then_some((data, is_json))
    }

    /// Returns the request, and the retries of a probe.
    fn request(&self, mut builder: Builder) -> (Request, Option<u64>) {
        self.set_data(&mut builder);
        let mut retries = None;
        for (name, word) in &self.options {
            builder.place.clone_from(&word.place);
            match *name {
                "header" => header(&mut builder, &word.text),
                "retry" => retries = number(word, &mut builder).map(|count| count as u64),
                name => self.option(name, word, &mut builder),
            }
        }
        self.expect(&mut builder);
        let has_user_agent = builder.request.user_agent.as_ref().is_some_and(|agent| !agent.is_empty());
        if !has_user_agent {
            builder.request.user_agent = None;
        }
        (builder.finish(), retries)
    }

    fn set_data(&self, builder: &mut Builder) {
        let data = if self.has("get") { None } else { self.data(builder.report) };
        if let Some((data, is_json)) = data {
            builder.body(&data);
            let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
            builder.request.headers.push(("content-type".to_owned(), Text::literal(content_type)));
            if is_json {
                builder.request.headers.push(("accept".to_owned(), Text::literal("application/json")));
            }
        }
        if self.has("head") {
            builder.method("HEAD");
        }
    }

    fn option(&self, name: &str, word: &Word, builder: &mut Builder) {
        let text = &word.text;
        match name {
            "user-agent" => builder.request.user_agent = Some(text.clone()),
            "referer" => {
                let encoded = text.encode();
                let referer = encoded.decode(encoded.text.trim_end_matches(";auto"));
                if !referer.is_empty() {
                    builder.header("referer", &referer);
                }
            }
            "cookie" if text.encode().text.contains('=') => builder.cookie(text),
            "cookie" if text.is_empty() => {}
            "cookie" => builder.report.left_out(&word.place, "a file of cookies has no equivalent"),
            "user" => user(text, builder),
            "oauth2-bearer" => builder.bearer(text),
            "insecure" => builder.request.is_insecure = true,
            "compressed" => builder.request.compression = true,
            "request" => match text.as_literal() {
                Some(method) => builder.method(method),
                None => builder.report.left_out(&word.place, "a method in a variable has no equivalent"),
            },
            "range" => {
                let mut range = Text::literal("bytes=");
                range.append(text.clone());
                builder.header("range", &range);
            }
            "max-time" => builder.request.timeout = number(word, builder).or(builder.request.timeout),
            "connect-timeout" => {
                if let Some(seconds) = number(word, builder) {
                    builder.request.checks.add("time connect", operator("less", Node::Plain(seconds.to_string())));
                    builder.report.remark(&word.place, "`--connect-timeout` is a check of the time to connect");
                }
            }
            "max-filesize" => {
                if let Some(bytes) = number(word, builder) {
                    builder.request.checks.add("size", operator("at_most", bytes as u64));
                }
            }
            "tlsv1.3" => {
                builder.request.checks.add("tls version", operator("at_least", Node::Plain("1.3".to_owned())));
            }
            _ => self.network(name, word, builder),
        }
    }

    fn network(&self, name: &str, word: &Word, builder: &mut Builder) {
        let (text, literal) = (&word.text, word.text.as_literal());
        match name {
            "http1.1" => builder.request.http_version = Some("1.1"),
            "http2" | "http2-prior-knowledge" if builder.is_https() => builder.request.http_version = Some("2"),
            "http2" | "http2-prior-knowledge" | "http1.0" => {
                builder.report.left_out(&word.place, format!("`--{name}` has no equivalent"));
            }
            "ipv4" => builder.request.ip_version = Some(4),
            "ipv6" => builder.request.ip_version = Some(6),
            "cacert" => builder.request.ca = Some(text.clone()),
            "cert" => self.certificate(text, builder),
            "cert-type" | "key-type" if literal.is_some_and(|kind| !kind.eq_ignore_ascii_case("pem")) => {
                builder.report.left_out(&word.place, format!("`--{name}`: certificates and keys are PEM files"));
            }
            "proxy" if text.is_empty() => {}
            "proxy" => builder.proxy(&self.with_proxy_user(text)),
            "socks5" | "socks5-hostname" => {
                let scheme = if name == "socks5" { "socks5://" } else { "socks5h://" };
                let mut url = Text::literal(scheme);
                url.append(text.clone());
                builder.proxy(&url);
            }
            "resolve" | "connect-to" => match literal.map(|literal| connect_to(name, literal, builder)) {
                Some(Some(to)) => builder.request.connect_to = Some(to),
                Some(None) => {}
                None => builder.report.left_out(&word.place, format!("`--{name}` with a variable has no equivalent")),
            },
            "interface" => match literal.filter(|text| text.parse::<std::net::IpAddr>().is_ok()) {
                Some(address) => builder.request.source_address = Some(address.to_owned()),
                None => builder.report.left_out(&word.place, "`--interface`: give the IP address of this machine"),
            },
            "dns-servers" => match literal.and_then(|servers| servers.split(',').next()).filter(|it| is_dns_server(it))
            {
                Some(server) => builder.request.dns_server = Some(server.to_owned()),
                None => builder.report.left_out(&word.place, "`--dns-servers`: give the IP address of one server"),
            },
            _ => {}
        }
    }

    /// Returns the URL of the proxy with the user of `--proxy-user`.
    fn with_proxy_user(&self, proxy: &Text) -> Text {
        let Some(user) = self.last("proxy-user") else { return proxy.clone() };
        let encoded = proxy.encode();
        let (scheme, host) = encoded.text.split_once("://").unwrap_or(("http", &encoded.text));
        let mut url = Text::literal(format!("{scheme}://"));
        url.append(user.text.clone());
        url.append(Text::literal("@"));
        url.append(encoded.decode(host.rsplit('@').next().unwrap_or(host)));
        url
    }

    /// Sets the client certificate: a file, and after a colon its password.
    fn certificate(&self, text: &Text, builder: &mut Builder) {
        let encoded = text.encode();
        let (file, password) = match encoded.text.rsplit_once(':') {
            Some((file, password)) if !file.ends_with('\\') => (file, Some(encoded.decode(password))),
            _ => (encoded.text.as_str(), None),
        };
        let password = self.last("pass").map(|word| word.text.clone()).or(password);
        let passphrase =
            password.map(|password| builder.secret("key_passphrase", "the passphrase of the key", &password));
        let key = self.last("key").map(|word| word.text.clone());
        let certificate = encoded.decode(file);
        builder.request.client_certificate = Some(ClientCertificate { certificate, key, passphrase });
    }

    /// Sets what the response must be. To curl, every response is a success; those that are errors are not taken for
    /// one here.
    fn expect(&self, builder: &mut Builder) {
        let follows = self.has("location") || self.has("location-trusted");
        let redirects = self.last("max-redirs").and_then(|word| word.text.as_literal()?.parse::<i64>().ok());
        builder.request.redirects = Some(match redirects {
            _ if !follows => 0,
            Some(count) if count >= 0 => count as u64,
            Some(_) => 100,
            None => MAX_REDIRECTS,
        });
        if self.has("fail") || self.has("fail-with-body") {
            builder.request.checks.add("status", operator("less", 400u64));
        } else {
            let classes: Vec<Node> = if follows { vec!["2xx".into()] } else { vec!["2xx".into(), "3xx".into()] };
            builder.request.expected = Some(if follows { "2xx".into() } else { classes.into() });
        }
    }
}

/// Adds a header as curl's `-H` has it: `name: value`, `name;` for an empty value, `name:` for none.
fn header(builder: &mut Builder, text: &Text) {
    let encoded = text.encode();
    if encoded.text.starts_with('@') {
        return builder.report.left_out(&builder.place, "a file of headers has no equivalent");
    }
    match encoded.text.split_once(':') {
        Some((name, value)) if value.trim().is_empty() => {
            if name.trim().eq_ignore_ascii_case("user-agent") {
                builder.report.left_out(&builder.place, "a request without `user-agent` has no equivalent");
            }
            builder.remove_header(name.trim());
        }
        Some((name, value)) => {
            builder.remove_header(name.trim());
            builder.header(name, &encoded.decode(value));
        }
        None => match encoded.text.trim_end().strip_suffix(';') {
            Some(name) => builder.header(name, &Text::default()),
            None => builder.report.left_out(&builder.place, "a header without a colon"),
        },
    }
}

/// Sets user and password. A password that curl would ask for is a variable.
fn user(text: &Text, builder: &mut Builder) {
    let encoded = text.encode();
    match encoded.text.split_once(':') {
        Some((user, password)) => {
            builder.basic(&encoded.decode(user), &encoded.decode(password), "the password of `--user`");
        }
        None if encoded.text.chars().all(is_mark) => {
            let message = "`--user` is one variable: it has to hold the user name, and another the password";
            builder.report.remark(&builder.place, message);
            let password = password_to_ask(builder);
            builder.request.auth = Some(Auth::Basic { username: text.clone(), password });
        }
        None => {
            let password = password_to_ask(builder);
            builder.request.auth = Some(Auth::Basic { username: text.clone(), password });
        }
    }
}

/// Returns a variable for a password that does not stand in the command.
fn password_to_ask(builder: &mut Builder) -> Text {
    let name = format!("{}#password", builder.request.url.skeleton());
    let mut password = Text::default();
    let piece = builder.report.secret(
        "curl",
        "password",
        "the password of `--user`, which is not there",
        &name,
        &builder.place,
    );
    password.push(piece);
    password
}

/// Returns the text of an option, or a reference to a file for one that begins with `@`.
fn file_or_text(option: &str, word: &Word, report: &mut Report) -> Text {
    let encoded = word.text.encode();
    let Some(path) = encoded.text.strip_prefix('@') else { return word.text.clone() };
    if path.contains(['{', '}', '$', '\n']) || path.chars().any(is_mark) || matches!(path, "" | "-") {
        report.left_out(&word.place, format!("`--{option}`: this file cannot be named in a configuration"));
        return Text::default();
    }
    report.remark(&word.place, "the body is the text of a file of at most 64 KiB, as it is when the probes are loaded");
    let mut text = Text::default();
    text.push(Piece::File(path.to_owned()));
    text
}

/// Returns `name=value` with the value encoded as in a URL, as `--data-urlencode` does. Variables stay as they are.
fn url_encoded(text: &Text) -> Text {
    let encoded = text.encode();
    let (name, value) = match encoded.text.split_once('=') {
        Some(("", value)) => (None, value),
        Some((name, value)) => (Some(name), value),
        None => (None, encoded.text.as_str()),
    };
    let mut result = Text::default();
    if let Some(name) = name {
        result.append(encoded.decode(name));
        result.append(Text::literal("="));
    }
    for c in value.chars() {
        let part = c.to_string();
        if is_mark(c) {
            result.append(encoded.decode(&part));
        } else {
            result.append(Text::literal(percent_encoding::utf8_percent_encode(&part, UNRESERVED).to_string()));
        }
    }
    result
}

/// The characters that curl encodes: all but letters, digits and `-._~`.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns true if curl would make several URLs of one.
fn has_glob(url: &str) -> bool {
    let has_list = url
        .split('{')
        .skip(1)
        .any(|rest| rest.split('}').next().is_some_and(|list| !list.is_empty()) && rest.contains('}'));
    let is_range = |range: &str| {
        let (from, to) = range.split(':').next().and_then(|range| range.split_once('-')).unwrap_or_default();
        let is_end = |end: &str| !end.is_empty() && (end.bytes().all(|c| c.is_ascii_digit()) || end.len() == 1);
        is_end(from) && is_end(to)
    };
    has_list || url.split('[').skip(1).any(|rest| rest.split_once(']').is_some_and(|(range, _)| is_range(range)))
}

/// Returns where to connect to by `--resolve` or `--connect-to`; `None` if it is about another host.
fn connect_to(option: &str, value: &str, builder: &mut Builder) -> Option<String> {
    let url = Url::parse(&builder.request.url.skeleton()).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let (for_host, rest) = split_host(value.trim_start_matches('+'))?;
    let (for_port, rest) = rest.split_once(':')?;
    let is_for_host = matches!(for_host, "" | "*") || for_host.eq_ignore_ascii_case(host);
    let is_for_port = for_port.is_empty() || for_port.parse() == Ok(port);
    if !is_for_host || !is_for_port {
        return None;
    }
    if option == "connect-to" {
        let (to, to_port) = split_host(rest)?;
        return Some(if to_port.is_empty() { to.to_owned() } else { format!("{to}:{to_port}") });
    }
    let address = rest.split(',').next()?.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    if rest.contains(',') || address.is_none() {
        builder.report.left_out(&builder.place, "`--resolve`: of several addresses the first is taken");
    }
    address.map(|address| std::net::SocketAddr::new(address, port).to_string())
}

/// Splits `host:rest`, where the host can be an IPv6 address in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':')? };
    Some((&text[..end], text[end..].strip_prefix(':').unwrap_or_default()))
}

fn is_dns_server(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok()
}

/// Returns the number of an option, if it is one that is not negative.
fn number(word: &Word, builder: &mut Builder) -> Option<f64> {
    let number = word.text.as_literal().and_then(|text| text.parse::<f64>().ok());
    let number = number.filter(|number| (0.0..1e15).contains(number));
    if number.is_none() {
        builder.report.left_out(&word.place, "an option that is not a number");
    }
    number
}
