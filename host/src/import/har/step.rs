//! A request of an archive as a step.

use std::collections::HashSet;

use super::archive::{Exchange, PostData};
use crate::import::model::Step;
use crate::import::report::{Place, Report};
use crate::import::request::Builder;
use crate::import::text::Text;

/// The cookies that earlier steps of the page get, by their names.
#[derive(Default)]
pub struct Cookies(HashSet<String>);

/// Returns the step of a request; `None`, with a note, if it cannot be one.
pub fn step(place: &Place, exchange: &Exchange, cookies: &mut Cookies, report: &mut Report) -> Option<Step> {
    report.take_comments();
    let response = exchange.response.as_ref();
    let status = response.and_then(|response| response.status);
    if status.is_some_and(|status| !(200.0..600.0).contains(&status)) {
        report.left_out(place, "a request without a final response: it was blocked, aborted, or became a WebSocket");
        return None;
    }
    let url = exchange.request.url.split('#').next().unwrap_or_default();
    let mut builder = match Builder::new(&Text::literal(url), report, place.clone()) {
        Ok(builder) => builder,
        Err(why) => {
            report.left_out(place, format!("a request: {why}"));
            return None;
        }
    };
    builder.method(&exchange.request.method);
    add_headers(exchange, cookies, &mut builder);
    if let Some(data) = &exchange.request.post_data
        && !set_body(data, &mut builder)
    {
        builder.report.left_out(place, "a request whose body is not in the archive as text");
        return None;
    }
    // The browser had the answer to an unchanged resource; the whole comes without its question.
    builder.request.expected = Some(match status.map(|status| status as u64) {
        Some(304) => 200u64.into(),
        Some(status) => status.into(),
        None => {
            builder.report.remark(place, "the archive has no response: 2xx is expected");
            "2xx".into()
        }
    });
    // Redirects are requests of their own.
    builder.request.redirects = Some(0);
    let request = builder.finish();
    cookies.0.extend(response.into_iter().flat_map(|response| response.cookie_names().map(str::to_owned)));
    Some(Step { comments: report.take_comments(), request, ..Step::default() })
}

fn add_headers(exchange: &Exchange, cookies: &Cookies, builder: &mut Builder) {
    for field in exchange.request.headers() {
        let value = field.value.as_deref().unwrap_or_default();
        let name = field.name.to_ascii_lowercase();
        match name.as_str() {
            // Headers of HTTP/2 that the URL and the method say already.
            name if name.starts_with(':') => {}
            "cookie" => {
                let mut names = value.split(';').filter_map(|pair| pair.split('=').next()).map(str::trim);
                // The chain keeps the cookies that its steps get.
                if !names.all(|name| cookies.0.contains(name)) {
                    builder.cookie(&Text::literal(value));
                }
            }
            _ => builder.header(&name, &Text::literal(value)),
        }
    }
}

/// Sets the body. Returns false if it is not there as text.
fn set_body(data: &PostData, builder: &mut Builder) -> bool {
    let media_type = data.mime_type.as_deref().unwrap_or_default();
    let is_form = media_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let text = match data.text.as_deref().filter(|text| !text.is_empty()) {
        Some(_) if data.encoding.as_deref().is_some_and(|encoding| !encoding.is_empty()) => return false,
        Some(text) => text.to_owned(),
        None if data.params().is_empty() => return true,
        None if is_form => form(data),
        None => return false,
    };
    builder.body(&Text::literal(text));
    if !builder.has_header("content-type") && !media_type.is_empty() {
        builder.header("content-type", &Text::literal(media_type));
    }
    true
}

/// Returns the parameters as a form. Some browsers write them encoded already.
fn form(data: &PostData) -> String {
    let encoded = |text: &str| {
        let decoded: String = url::form_urlencoded::parse(format!("x={text}").as_bytes())
            .next()
            .map(|(_, it)| it.into_owned())
            .unwrap_or_default();
        let is_encoded = text.contains('%') && !text.contains([' ', '&', '=']) && decoded != text;
        if is_encoded { text.to_owned() } else { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() }
    };
    let pairs = data
        .params()
        .iter()
        .map(|param| format!("{}={}", encoded(&param.name), encoded(param.value.as_deref().unwrap_or_default())));
    pairs.collect::<Vec<_>>().join("&")
}
