//! The prober `http`: its settings as those of the probe `http`.

use super::super::checks::{any, operator};
use super::super::entry::{Entry, shown};
use super::super::model::{Auth, Body, ClientCertificate, OAuth2, Request};
use super::super::report::Report;
use super::super::request::Builder;
use super::super::text::{Piece, Text};
use super::super::yaml::{Map, Node};
use super::regex_syntax;
use super::targets::Target;

/// The greatest size of a body that a probe can look into.
const MAX_BODY_BYTES: u64 = 16 << 20;
/// The size of a body that a probe looks into unless its settings say otherwise.
const DEFAULT_BODY_BYTES: u64 = 4 << 20;

/// Returns the request of a module for a target; `None`, with a note, if the target is not a URL.
pub fn request(module: &Entry, target: &Target, timeout: Option<f64>, report: &mut Report) -> Option<Request> {
    let address = &target.address;
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    let url = if has_scheme { address.clone() } else { format!("http://{address}") };
    let mut builder = match Builder::new(&Text::literal(url), report, target.place.clone()) {
        Ok(builder) => builder,
        Err(why) => {
            report.left_out(&target.place, format!("a target: {why}"));
            return None;
        }
    };
    builder.request.timeout = timeout;
    let http = module.get("http");
    if let Some(http) = &http {
        for (key, value) in http.members() {
            builder.place = value.place();
            setting(key, &value, http, &mut builder);
        }
    }
    statuses(http.as_ref(), &mut builder);
    Some(builder.finish())
}

fn setting(key: &str, value: &Entry, http: &Entry, builder: &mut Builder) {
    match key {
        "valid_http_versions" => versions(value, builder),
        "method" => builder.method(&value.text().unwrap_or_default()),
        "headers" => {
            for (name, value) in value.members() {
                builder.place = value.place();
                builder.header(name, &Text::literal(value.text().unwrap_or_default()));
            }
        }
        "http_headers" => http_headers(value, builder),
        "body" => builder.body(&Text::literal(value.text().unwrap_or_default())),
        "body_file" => {
            builder.report.remark(&value.place(), "the body is the text of a file of at most 64 KiB");
            builder.request.body = file(value, builder).map(Body::Text);
        }
        "follow_redirects" if !value.is_true() => builder.request.redirects = Some(0),
        "no_follow_redirects" if value.is_true() => builder.request.redirects = Some(0),
        "compression" => {
            let coding = value.text().unwrap_or_default();
            let is_given = builder.has_header("accept-encoding");
            builder.request.compression = !is_given && !matches!(coding.as_str(), "" | "identity");
        }
        "preferred_ip_protocol" => ip_version(value, http, builder),
        "enable_http2" if !value.is_true() => builder.request.http_version = Some("1.1"),
        "body_size_limit" => size_limit(value, builder),
        "fail_if_ssl" if value.is_true() => {
            builder.request.checks.add("tls version", operator("exists", false));
        }
        "fail_if_not_ssl" if value.is_true() => {
            builder.request.checks.add("tls version", operator("exists", true));
        }
        "enable_http3" if value.is_true() => value.no_equivalent(key, builder.report),
        "proxy_from_environment" if value.is_true() => {
            builder.report.left_out(&value.place(), "a proxy of the environment: name it under `proxy`");
        }
        // `statuses` takes the first; the others have taken effect above, or have none.
        "valid_status_codes"
        | "follow_redirects"
        | "no_follow_redirects"
        | "enable_http2"
        | "enable_http3"
        | "ip_protocol_fallback"
        | "fail_if_ssl"
        | "fail_if_not_ssl"
        | "proxy_from_environment"
        | "skip_resolve_phase_with_proxy" => {}
        _ => matches_or_network(key, value, builder),
    }
}

fn matches_or_network(key: &str, value: &Entry, builder: &mut Builder) {
    match key {
        "fail_if_body_matches_regexp" => body_matches(value, true, builder),
        "fail_if_body_not_matches_regexp" => body_matches(value, false, builder),
        "fail_if_header_matches" | "fail_if_header_matches_regexp" => header_matches(value, true, builder),
        "fail_if_header_not_matches" | "fail_if_header_not_matches_regexp" => header_matches(value, false, builder),
        "basic_auth" => basic_auth(value, builder),
        "authorization" => authorization(value, builder),
        "bearer_token" => builder.bearer(&Text::literal(value.text().unwrap_or_default())),
        "bearer_token_file" => {
            let token = file(value, builder).unwrap_or_default();
            builder.request.auth = Some(Auth::Bearer(token));
        }
        "oauth2" => oauth2(value, builder),
        "tls_config" => tls(value, builder),
        "proxy_url" => builder.proxy(&Text::literal(value.text().unwrap_or_default())),
        "fail_if_body_json_matches_cel" | "fail_if_body_json_not_matches_cel" => {
            builder.report.left_out(&value.place(), format!("`{key}`: write checks of JSONPaths such as `$.status`"));
        }
        key => value.no_equivalent(key, builder.report),
    }
}

/// Returns a reference to the file that a value names.
fn file(value: &Entry, builder: &mut Builder) -> Option<Text> {
    let path = value.text()?;
    if path.contains(['{', '}', '$', '\n']) || path.trim().is_empty() {
        builder.report.left_out(&value.place(), "this file cannot be named in a configuration");
        return None;
    }
    relative_path(&path, value, builder);
    let mut text = Text::default();
    text.push(Piece::File(path));
    Some(text)
}

/// Notes what a relative path starts from.
fn relative_path(path: &str, value: &Entry, builder: &mut Builder) {
    if !path.starts_with('/') {
        builder.report.remark(&value.place(), "the path of the file starts from the folder of the new configuration");
    }
}

/// Sets the expected statuses: any of 2xx unless the module says otherwise.
fn statuses(http: Option<&Entry>, builder: &mut Builder) {
    let given = http.and_then(|http| http.get("valid_status_codes"));
    let mut statuses = Vec::new();
    for status in given.iter().flat_map(Entry::items) {
        let number = status.value.as_u64().or_else(|| status.text()?.parse().ok());
        match number.filter(|status| (100..=599).contains(status)) {
            Some(number) => statuses.push(number.into()),
            None => builder.report.left_out(&status.place(), "a status that is not one from 100 to 599"),
        }
    }
    builder.request.expected = Some(match statuses.len() {
        0 => "2xx".into(),
        1 => statuses.remove(0),
        _ => statuses.into(),
    });
}

fn versions(value: &Entry, builder: &mut Builder) {
    let mut versions: Vec<Node> = Vec::new();
    for version in value.items() {
        let number = match version.text().unwrap_or_default().as_str() {
            "HTTP/1.0" => Node::from("1.0"),
            "HTTP/1.1" => Node::Plain("1.1".to_owned()),
            "HTTP/2" | "HTTP/2.0" => 2u64.into(),
            _ => {
                builder.report.left_out(&version.place(), "a version of HTTP other than 1.0, 1.1 and 2");
                continue;
            }
        };
        if !versions.contains(&number) {
            versions.push(number);
        }
    }
    if !versions.is_empty() {
        builder.request.checks.add("http version", operator("in", versions));
    }
}

fn http_headers(value: &Entry, builder: &mut Builder) {
    for (name, header) in value.members() {
        for (kind, values) in header.members() {
            for value in values.items() {
                builder.place = value.place();
                let text = match kind {
                    "values" => Text::literal(value.text().unwrap_or_default()),
                    "secrets" => {
                        let literal = Text::literal(value.text().unwrap_or_default());
                        builder.secret(name, &format!("the header `{}`", shown(name)), &literal)
                    }
                    "files" => file(&value, builder).unwrap_or_default(),
                    kind => {
                        value.no_equivalent(kind, builder.report);
                        continue;
                    }
                };
                // The last one counts.
                builder.remove_header(name);
                builder.header(name, &text);
            }
        }
    }
}

fn ip_version(value: &Entry, http: &Entry, builder: &mut Builder) {
    let is_only_one = http.get("ip_protocol_fallback").is_some_and(|fallback| fallback.value.as_bool() == Some(false));
    let version = match value.text().as_deref() {
        Some("ip4") => 4,
        Some("ip6") => 6,
        _ => return value.no_equivalent("preferred_ip_protocol", builder.report),
    };
    if is_only_one {
        builder.request.ip_version = Some(version);
    } else {
        builder
            .report
            .remark(&value.place(), "addresses of both versions of IP are tried: `ip_version` allows one alone");
    }
}

/// Sets the limit of the body, with the units of Go, in which `10MB` are 10 MiB.
fn size_limit(value: &Entry, builder: &mut Builder) {
    let text = value.text().unwrap_or_default();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[end..].trim().to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => Some(1),
        "K" => Some(1_u64 << 10),
        "M" => Some(1 << 20),
        "G" => Some(1 << 30),
        _ => None,
    };
    match text[..end].parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit)) {
        Some(0) => {}
        Some(bytes) => {
            builder.request.checks.add("size", operator("at_most", bytes));
            if bytes > DEFAULT_BODY_BYTES {
                builder.request.max_body = Some(bytes.min(MAX_BODY_BYTES));
            }
        }
        None => builder.report.left_out(&value.place(), "a size that cannot be read"),
    }
}

/// Returns a regular expression, and notes one without an equivalent.
fn regular_expression(value: &Entry, builder: &mut Builder) -> Option<String> {
    let converted = value.text().and_then(|text| regex_syntax::convert(&text));
    if converted.is_none() {
        builder.report.left_out(&value.place(), "a regular expression that has no equivalent");
    }
    converted.map(|regex| Text::literal(regex).render(super::super::text::Form::Plain))
}

fn body_matches(value: &Entry, fails_if_it_does: bool, builder: &mut Builder) {
    for item in value.items() {
        if let Some(regex) = regular_expression(&item, builder) {
            let matches = operator("matches", regex);
            let predicate = if fails_if_it_does { operator("not", matches) } else { matches };
            builder.request.checks.add("body", predicate);
        }
    }
}

fn header_matches(value: &Entry, fails_if_it_does: bool, builder: &mut Builder) {
    for item in value.items() {
        let (Some(header), Some(regexp)) = (item.get("header").and_then(|name| name.text()), item.get("regexp")) else {
            builder.report.left_out(&item.place(), "a condition on a header without its name or `regexp`");
            continue;
        };
        let Some(regex) = regular_expression(&regexp, builder) else { continue };
        let may_be_missing = item.get("allow_missing").is_some_and(|allow| allow.is_true());
        let matches = operator("matches", regex);
        let predicate = match (fails_if_it_does, may_be_missing) {
            (true, true) => operator("not", matches),
            (true, false) => Map::short([("exists", true.into()), ("not", matches)]).into(),
            (false, true) => any(vec![operator("exists", false), matches]),
            (false, false) => matches,
        };
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.is_empty() || !header.chars().all(is_token) {
            builder.report.left_out(&item.place(), "a condition on a header with a name that none has");
        } else {
            builder.request.checks.add(&format!("header {}", header.to_ascii_lowercase()), predicate);
        }
    }
}

/// Returns the value of a key, or a reference to the file of the key with `_file`.
fn text_or_file(value: &Entry, key: &str, builder: &mut Builder) -> Text {
    match (value.get(key), value.get(&format!("{key}_file"))) {
        (Some(text), _) => Text::literal(text.text().unwrap_or_default()),
        (None, Some(path)) => file(&path, builder).unwrap_or_default(),
        (None, None) => Text::default(),
    }
}

fn basic_auth(value: &Entry, builder: &mut Builder) {
    let username = text_or_file(value, "username", builder);
    let password = text_or_file(value, "password", builder);
    builder.basic(&username, &password, "the password of `basic_auth`");
}

fn authorization(value: &Entry, builder: &mut Builder) {
    let credentials = text_or_file(value, "credentials", builder);
    let scheme = value.get("type").and_then(|scheme| scheme.text()).unwrap_or_else(|| "Bearer".to_owned());
    if scheme.eq_ignore_ascii_case("bearer") {
        return builder.bearer(&credentials);
    }
    let mut header = Text::literal(format!("{} ", scheme.trim()));
    header.append(builder.secret("authorization", "the header `authorization`", &credentials));
    builder.header("authorization", &header);
}

fn oauth2(value: &Entry, builder: &mut Builder) {
    let mut client = OAuth2::default();
    let literal = |value: &Entry| Text::literal(value.text().unwrap_or_default());
    for (key, value) in value.members() {
        match key {
            "client_id" => client.client_id = literal(&value),
            "token_url" => client.token_url = literal(&value),
            "scopes" => client.scope = Some(Text::literal(value.texts().join(" "))).filter(|scope| !scope.is_empty()),
            "endpoint_params" => {
                for (name, param) in value.members() {
                    match name {
                        "grant_type" if param.text().as_deref() == Some("client_credentials") => {}
                        "audience" => client.audience = Some(literal(&param)),
                        name => param.no_equivalent(&format!("endpoint_params.{name}"), builder.report),
                    }
                }
            }
            "client_secret" | "client_secret_file" => {}
            key => value.no_equivalent(&format!("oauth2.{key}"), builder.report),
        }
    }
    let secret = text_or_file(value, "client_secret", builder);
    client.client_secret = builder.secret("client_secret", "the secret of the OAuth2 client", &secret);
    builder.request.auth = Some(Auth::OAuth2(client));
}

fn tls(value: &Entry, builder: &mut Builder) {
    let mut paths = [None, None];
    for (key, value) in value.members() {
        let path = || Text::literal(value.text().unwrap_or_default());
        match key {
            "insecure_skip_verify" => builder.request.is_insecure = value.is_true(),
            "ca_file" | "cert_file" | "key_file" => {
                relative_path(&value.text().unwrap_or_default(), &value, builder);
                match key {
                    "ca_file" => builder.request.ca = Some(path()),
                    "cert_file" => paths[0] = Some(path()),
                    _ => paths[1] = Some(path()),
                }
            }
            "min_version" => match value.text().as_deref() {
                Some("TLS13") => {
                    builder.request.checks.add("tls version", operator("at_least", Node::Plain("1.3".to_owned())));
                }
                // No older version than TLS 1.2 is used anyway.
                Some("TLS12") => {}
                _ => value.no_equivalent("min_version", builder.report),
            },
            "server_name" => {
                builder.report.left_out(
                    &value.place(),
                    "`server_name`: write this name in `url`, and the host under `connect_to`",
                );
            }
            key => value.no_equivalent(&format!("tls_config.{key}"), builder.report),
        }
    }
    if let [Some(certificate), key] = paths {
        builder.request.client_certificate = Some(ClientCertificate { certificate, key, passphrase: None });
    }
}
