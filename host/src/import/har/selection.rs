//! Which requests of a page are imported: documents and what scripts fetch, from the hosts of the page.

use std::collections::{BTreeMap, HashSet};

use url::Url;

use super::archive::{Exchange, Response};
use crate::import::entry::shown;
use crate::import::report::{Place, Report};

/// What the operator chose.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// True to take images, styles, scripts and the like too.
    pub has_all_types: bool,
    /// Further hosts: names, `*.name`, or `*` for all.
    pub hosts: Vec<String>,
    /// True for a probe for each request instead of a chain for each page.
    pub is_separate: bool,
}

impl Selection {
    /// Returns the requests to import, and notes the others.
    pub fn choose<'a>(&self, page: &[(Place, &'a Exchange)], report: &mut Report) -> Vec<(Place, &'a Exchange)> {
        let (mut chosen, mut seen) = (Vec::new(), HashSet::new());
        let (mut assets, mut repeated) = ((0, None), (0, None));
        let mut others: BTreeMap<String, (usize, Place)> = BTreeMap::new();
        let count = |counter: &mut (usize, Option<Place>), place: &Place| {
            counter.0 += 1;
            counter.1.get_or_insert_with(|| place.clone());
        };
        let own_hosts = hosts_of_page(page);
        for (place, exchange) in page {
            let host = host(exchange);
            if !self.has_all_types && !is_document_or_data(exchange) {
                count(&mut assets, place);
            } else if !own_hosts.contains(&host) && !self.takes_host(&host) {
                others.entry(host).or_insert_with(|| (0, place.clone())).0 += 1;
            } else if !seen.insert(identity(exchange)) {
                count(&mut repeated, place);
            } else {
                chosen.push((place.clone(), *exchange));
            }
        }
        if let (number, Some(place)) = assets {
            report.remark(
                &place,
                format!("images, styles, scripts and the like are not imported: {number}; `--all` takes them"),
            );
        }
        if let (number, Some(place)) = repeated {
            report.remark(&place, format!("requests that are the same as earlier ones of the page: {number}"));
        }
        for (host, (number, place)) in others {
            let host = shown(&host);
            report
                .remark(&place, format!("requests to `{host}` are not imported: {number}; `--host {host}` takes them"));
        }
        chosen
    }

    fn takes_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|wanted| match wanted.strip_prefix('*') {
            Some("") => true,
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => wanted.eq_ignore_ascii_case(host),
        })
    }
}

fn host(exchange: &Exchange) -> String {
    let url = Url::parse(&exchange.request.url).ok();
    url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned()
}

/// Returns the hosts of the first document of a page and of those that it redirects to.
fn hosts_of_page(page: &[(Place, &Exchange)]) -> HashSet<String> {
    let mut hosts = HashSet::new();
    for (_, exchange) in page.iter().filter(|(_, exchange)| is_document_or_data(exchange)) {
        hosts.insert(host(exchange));
        let redirects = |response: &Response| response.status.is_some_and(|status| (300.0..400.0).contains(&status));
        if !exchange.response.as_ref().is_some_and(redirects) {
            break;
        }
    }
    hosts
}

/// Returns what makes two requests the same.
fn identity(exchange: &Exchange) -> (&str, &str, &str) {
    let body = exchange.request.post_data.as_ref().and_then(|data| data.text.as_deref());
    (&exchange.request.method, &exchange.request.url, body.unwrap_or_default())
}

/// Returns true for a document, and for what a script fetches.
fn is_document_or_data(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    if !request.url.starts_with("http") || request.method.eq_ignore_ascii_case("OPTIONS") {
        return false;
    }
    if let Some(kind) = exchange.resource_type.as_deref() {
        return matches!(kind, "document" | "xhr" | "fetch");
    }
    if let Some(destination) = request.header("sec-fetch-dest") {
        return matches!(destination, "document" | "iframe" | "empty");
    }
    if !request.method.eq_ignore_ascii_case("GET")
        || request.header("accept").is_some_and(|it| it.contains("text/html"))
    {
        return true;
    }
    let content = exchange.response.as_ref().and_then(|response| response.content.as_ref());
    let mime_type = content.and_then(|content| content.mime_type.as_deref()).unwrap_or_default();
    let mime_type = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(mime_type.as_str(), "text/html" | "application/xhtml+xml" | "application/xml" | "text/xml")
        || mime_type.ends_with("json")
}
