//! The settings of Gatus's client for an endpoint.

use super::super::entry::Entry;
use super::super::model::{Auth, ClientCertificate, OAuth2};
use super::super::request::Builder;
use super::super::text::Text;
use super::shared::{seconds, text};

/// The seconds of a request unless the client says otherwise.
pub const DEFAULT_TIMEOUT: f64 = 10.0;

/// Sets what the client of an endpoint has.
pub fn set(client: &Entry, builder: &mut Builder) {
    for (key, value) in client.members() {
        builder.place = value.place();
        match key {
            "timeout" => builder.request.timeout = seconds(&value, builder.report).or(builder.request.timeout),
            "insecure" => builder.request.is_insecure = value.is_true(),
            "ignore-redirect" if value.is_true() => builder.request.redirects = Some(0),
            "ignore-redirect" | "network" | "store-cookies" => {}
            "dns-resolver" => dns_resolver(&value, builder),
            "proxy-url" => {
                if let Some(url) = text(&value, builder.report) {
                    builder.proxy(&url);
                }
            }
            "oauth2" => oauth2(&value, builder),
            "tls" => tls(&value, builder),
            key => value.no_equivalent(&format!("client.{key}"), builder.report),
        }
    }
}

fn dns_resolver(value: &Entry, builder: &mut Builder) {
    let resolver = value.text().unwrap_or_default();
    let (protocol, address) = resolver.split_once("://").unwrap_or(("udp", &resolver));
    if address.parse::<std::net::SocketAddr>().is_err() {
        return builder.report.left_out(&value.place(), "a DNS resolver without the IP address and the port");
    }
    if !protocol.starts_with("udp") {
        builder.report.remark(&value.place(), "the DNS server is asked over UDP first");
    }
    builder.request.dns_server = Some(address.to_owned());
}

fn oauth2(value: &Entry, builder: &mut Builder) {
    let mut given = |key: &str| value.get(key).and_then(|value| text(&value, builder.report)).unwrap_or_default();
    let (token_url, client_id, secret) = (given("token-url"), given("client-id"), given("client-secret"));
    let scopes = value.get("scopes").map(|scopes| scopes.texts().join(" ")).filter(|scopes| !scopes.is_empty());
    let client_secret = builder.secret("client_secret", "the secret of the OAuth2 client", &secret);
    let scope = scopes.map(Text::literal);
    builder.request.auth = Some(Auth::OAuth2(OAuth2 { token_url, client_id, client_secret, scope, audience: None }));
}

fn tls(value: &Entry, builder: &mut Builder) {
    let (mut certificate, mut key_file) = (None, None);
    for (key, value) in value.members() {
        match key {
            "certificate-file" => certificate = text(&value, builder.report),
            "private-key-file" => key_file = text(&value, builder.report),
            "renegotiation" if value.text().as_deref() == Some("never") => {}
            key => value.no_equivalent(&format!("client.tls.{key}"), builder.report),
        }
    }
    if let Some(certificate) = certificate {
        builder.request.client_certificate = Some(ClientCertificate { certificate, key: key_file, passphrase: None });
    }
}
