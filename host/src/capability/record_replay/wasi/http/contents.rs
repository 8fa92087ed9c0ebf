//! Records of calls that take resources: what the resources contain is recorded in their place. A resource that the
//! guest does not have is left out of the record; the call then stops the guest.

#![allow(clippy::ref_option, reason = "the table of calls passes a reference to each argument")]

use http::Method;
use serde_json::{Map, Value, json};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{FieldMap, RequestOptions};

use super::fields_to_json;
use crate::capability::record_replay::CallRecord;

/// Returns the record of a call of `outgoing-handler.handle`.
pub fn handle(
    mut call: CallRecord,
    table: &ResourceTable,
    request: &Resource<HostOutgoingRequest>,
    options: &Option<Resource<RequestOptions>>,
) -> CallRecord {
    if let Ok(request) = table.get(request) {
        add_request(request, &mut call);
    }
    if let Some(Ok(options)) = options.as_ref().map(|options| table.get(options)) {
        add_timeouts(*options, &mut call);
    }
    call
}

/// Returns the record of a call of `outgoing-body.finish`.
pub fn finish(
    mut call: CallRecord,
    table: &ResourceTable,
    _: &Resource<HostOutgoingBody>,
    trailers: &Option<Resource<FieldMap>>,
) -> CallRecord {
    if let Some(Ok(trailers)) = trailers.as_ref().map(|trailers| table.get(trailers)) {
        call.set_argument("trailers", fields_to_json(trailers));
    }
    call
}

fn add_request(request: &HostOutgoingRequest, call: &mut CallRecord) {
    let HostOutgoingRequest { method, scheme, authority, path_with_query, headers, body } = request;
    let method = match method {
        types::Method::Other(method) => method.clone(),
        named => Method::to_string(&named.clone().try_into().unwrap_or_default()),
    };
    let scheme = scheme.as_ref().map(|scheme| match scheme {
        types::Scheme::Http => "http",
        types::Scheme::Https => "https",
        types::Scheme::Other(scheme) => scheme,
    });
    call.set_argument("method", json!(method));
    call.set_argument("scheme", json!(scheme));
    call.set_argument("authority", json!(authority));
    call.set_argument("path", json!(path_with_query));
    call.set_argument("headers", fields_to_json(headers));
    call.set_argument("body", json!(body.is_some()));
}

/// Adds a request's timeouts, in seconds.
fn add_timeouts(options: RequestOptions, call: &mut CallRecord) {
    let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout } = options;
    let all =
        [("connect", connect_timeout), ("first-byte", first_byte_timeout), ("between-bytes", between_bytes_timeout)];
    let set = all.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?.as_secs_f64()))));
    call.set_argument("timeouts", Value::Object(set.collect::<Map<_, _>>()));
}
