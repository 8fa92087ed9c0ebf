//! The tables of `wasi:http`. A request is recorded when it is sent. Of a response, status and headers are recorded.
//! Bodies are recorded as streams of `wasi:io`.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
    HostResponseOutparam,
};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult, HttpError, HttpResult};
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpView};

use crate::capability::Context;
use crate::capability::http::header_memory;
use crate::capability::record_replay::CallRecord;
use crate::capability::record_replay::codec::{GivenResource, OpaqueHandle, ReplayValue, forget};
use crate::capability::record_replay::held_arguments::{FunctionResult, HeldArgument, Kept, hold_arguments};
use crate::capability::record_replay::intercept::{Intercepted, intercept};
use crate::recording::{bytes_from_json, bytes_to_json};

mod contents;
mod empty_body;
mod error_code;

use empty_body::EmptyBody;

pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Intercepted<'a>> + Send,
{
    outgoing_handler::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    types::add_to_linker::<_, D>(linker, &types::LinkOptions::default(), |context| Intercepted(context))
}

fn http(context: &mut Context) -> WasiHttpCtxView<'_> {
    context.http()
}

impl OpaqueHandle for HostFutureIncomingResponse {}

intercept! { outgoing_handler::Host as "wasi:http/outgoing-handler" of http {
    external [contents] handle(
        request: Resource<HostOutgoingRequest>, options: Option<Resource<RequestOptions>>
    ) -> HttpResult<Resource<HostFutureIncomingResponse>>;
} }

impl Context {
    /// Returns the number of bytes that are counted for fields.
    fn resource_bytes(&self, fields: &Resource<FieldMap>) -> usize {
        self.table.get(fields).map_or(0, |fields| header_memory(fields))
    }
}

/// Converts headers to the form that recordings have: pairs of a name and a value.
fn fields_to_json(fields: &HeaderMap) -> Value {
    fields.iter().map(|(name, value)| json!([name.as_str(), bytes_to_json(value.as_bytes())])).collect()
}

/// Reads headers from a recording. Returns `None` if the value is not a list of headers.
fn fields_from_json(recorded: &Value) -> Option<FieldMap> {
    let mut fields = FieldMap::new_mutable(usize::MAX);
    for field in recorded.as_array()? {
        let [name, value] = field.as_array()?.as_slice() else { return None };
        let name = HeaderName::from_bytes(name.as_str()?.as_bytes()).ok()?;
        fields.append_raw(name, HeaderValue::from_bytes(&bytes_from_json(value)?).ok()?).ok()?;
    }
    fields.set_immutable();
    Some(fields)
}

/// The result of a call that polls for a value: `None` if the value has not arrived. Otherwise `Some` with the value or
/// the error code of its failure, or with `Err(())` if the guest has taken the value before.
type Polled<T> = wasmtime::Result<Option<Result<Result<T, ErrorCode>, ()>>>;

intercept! { types::HostFutureIncomingResponse as "wasi:http/types.future-incoming-response" of http {
    external subscribe(future: Resource<HostFutureIncomingResponse>) -> wasmtime::Result<Resource<DynPollable>>;
    external get(
        future: Resource<HostFutureIncomingResponse>
    ) -> Polled<Resource<HostIncomingResponse>>;
    external_drop drop(future: Resource<HostFutureIncomingResponse>) -> wasmtime::Result<()>;
} }

intercept! { types::HostFutureTrailers as "wasi:http/types.future-trailers" of http {
    external subscribe(future: Resource<HostFutureTrailers>) -> wasmtime::Result<Resource<DynPollable>>;
    external get(
        future: Resource<HostFutureTrailers>
    ) -> Polled<Option<Resource<FieldMap>>>;
    external_drop drop(future: Resource<HostFutureTrailers>) -> wasmtime::Result<()>;
} }

impl ReplayValue for Resource<HostIncomingResponse> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        let head = table
            .get(self)
            .map(|response| json!({ "status": response.status, "headers": fields_to_json(&response.headers) }));
        head.unwrap_or_default()
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        let status = u16::try_from(recorded["status"].as_u64()?).ok()?;
        let body = Some(HostIncomingBody::new(WasiBody::new(EmptyBody)));
        table.push(HostIncomingResponse { status, headers: fields_from_json(&recorded["headers"])?, body }).ok()
    }
}

impl ReplayValue for Resource<FieldMap> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        table.get(self).map(|fields| fields_to_json(fields)).unwrap_or_default()
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        table.push(fields_from_json(recorded)?).ok()
    }
}

intercept! { types::HostOutgoingBody as "wasi:http/types.outgoing-body" of http {
    passthrough write(body: Resource<HostOutgoingBody>) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>>;
    external [contents] finish(
        body: Resource<HostOutgoingBody>, trailers: Option<Resource<FieldMap>>
    ) -> HttpResult<()>;
    passthrough drop(body: Resource<HostOutgoingBody>) -> wasmtime::Result<()>;
} }

intercept! { types::Host as "wasi:http/types" of http {
    passthrough convert_error_code(error: HttpError) -> wasmtime::Result<ErrorCode>;
    passthrough convert_header_error(error: HeaderError) -> wasmtime::Result<types::HeaderError>;
    external http_error_code(error: Resource<types::IoError>) -> wasmtime::Result<Option<ErrorCode>>;
} }

intercept! { types::HostFields as "wasi:http/types.fields" of http {
    passthrough new() -> wasmtime::Result<Resource<FieldMap>>;
    passthrough from_list(entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>>;
    passthrough [transient] get(fields: Resource<FieldMap>, name: String) -> wasmtime::Result<Vec<Vec<u8>>>;
    passthrough [transient] has(fields: Resource<FieldMap>, name: String) -> wasmtime::Result<bool>;
    passthrough set(fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()>;
    passthrough [transient] delete(fields: Resource<FieldMap>, name: String) -> HeaderResult<()>;
    passthrough append(fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()>;
    passthrough entries(fields: Resource<FieldMap>) -> wasmtime::Result<Vec<(String, Vec<u8>)>>;
    passthrough [copy] clone(fields: Resource<FieldMap>) -> wasmtime::Result<Resource<FieldMap>>;
    passthrough drop(fields: Resource<FieldMap>) -> wasmtime::Result<()>;
} }

intercept! { types::HostOutgoingRequest as "wasi:http/types.outgoing-request" of http {
    passthrough new(headers: Resource<FieldMap>) -> wasmtime::Result<Resource<HostOutgoingRequest>>;
    passthrough body(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>>;
    passthrough method(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<types::Method>;
    passthrough set_method(request: Resource<HostOutgoingRequest>, method: types::Method) -> wasmtime::Result<Result<(), ()>>;
    passthrough path_with_query(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<Option<String>>;
    passthrough set_path_with_query(
        request: Resource<HostOutgoingRequest>, path: Option<String>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough scheme(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<Option<types::Scheme>>;
    passthrough set_scheme(
        request: Resource<HostOutgoingRequest>, scheme: Option<types::Scheme>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough authority(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<Option<String>>;
    passthrough set_authority(
        request: Resource<HostOutgoingRequest>, authority: Option<String>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough headers(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<Resource<FieldMap>>;
    passthrough drop(request: Resource<HostOutgoingRequest>) -> wasmtime::Result<()>;
} }

intercept! { types::HostRequestOptions as "wasi:http/types.request-options" of http {
    passthrough new() -> wasmtime::Result<Resource<RequestOptions>>;
    passthrough connect_timeout(options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>>;
    passthrough set_connect_timeout(
        options: Resource<RequestOptions>, time: Option<u64>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough first_byte_timeout(options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>>;
    passthrough set_first_byte_timeout(
        options: Resource<RequestOptions>, time: Option<u64>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough between_bytes_timeout(options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>>;
    passthrough set_between_bytes_timeout(
        options: Resource<RequestOptions>, time: Option<u64>
    ) -> wasmtime::Result<Result<(), ()>>;
    passthrough drop(options: Resource<RequestOptions>) -> wasmtime::Result<()>;
} }

intercept! { types::HostIncomingResponse as "wasi:http/types.incoming-response" of http {
    passthrough status(response: Resource<HostIncomingResponse>) -> wasmtime::Result<u16>;
    passthrough headers(response: Resource<HostIncomingResponse>) -> wasmtime::Result<Resource<FieldMap>>;
    passthrough consume(response: Resource<HostIncomingResponse>) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>>;
    passthrough drop(response: Resource<HostIncomingResponse>) -> wasmtime::Result<()>;
} }

intercept! { types::HostIncomingBody as "wasi:http/types.incoming-body" of http {
    passthrough stream(body: Resource<HostIncomingBody>) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>>;
    passthrough finish(body: Resource<HostIncomingBody>) -> wasmtime::Result<Resource<HostFutureTrailers>>;
    passthrough drop(body: Resource<HostIncomingBody>) -> wasmtime::Result<()>;
} }

// The resources of an HTTP server. A probe never gets an incoming request, and cannot send a response.

intercept! { types::HostIncomingRequest as "wasi:http/types.incoming-request" of http {
    passthrough method(request: Resource<HostIncomingRequest>) -> wasmtime::Result<types::Method>;
    passthrough path_with_query(request: Resource<HostIncomingRequest>) -> wasmtime::Result<Option<String>>;
    passthrough scheme(request: Resource<HostIncomingRequest>) -> wasmtime::Result<Option<types::Scheme>>;
    passthrough authority(request: Resource<HostIncomingRequest>) -> wasmtime::Result<Option<String>>;
    passthrough headers(request: Resource<HostIncomingRequest>) -> wasmtime::Result<Resource<FieldMap>>;
    passthrough consume(request: Resource<HostIncomingRequest>) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>>;
    passthrough drop(request: Resource<HostIncomingRequest>) -> wasmtime::Result<()>;
} }

intercept! { types::HostOutgoingResponse as "wasi:http/types.outgoing-response" of http {
    passthrough new(headers: Resource<FieldMap>) -> wasmtime::Result<Resource<HostOutgoingResponse>>;
    passthrough body(response: Resource<HostOutgoingResponse>) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>>;
    passthrough status_code(response: Resource<HostOutgoingResponse>) -> wasmtime::Result<u16>;
    passthrough set_status_code(response: Resource<HostOutgoingResponse>, status: u16) -> wasmtime::Result<Result<(), ()>>;
    passthrough headers(response: Resource<HostOutgoingResponse>) -> wasmtime::Result<Resource<FieldMap>>;
    passthrough drop(response: Resource<HostOutgoingResponse>) -> wasmtime::Result<()>;
} }

intercept! { types::HostResponseOutparam as "wasi:http/types.response-outparam" of http {
    passthrough set(
        out: Resource<HostResponseOutparam>, response: Result<Resource<HostOutgoingResponse>, ErrorCode>
    ) -> wasmtime::Result<()>;
    passthrough send_informational(
        out: Resource<HostResponseOutparam>, status: u16, headers: Resource<FieldMap>
    ) -> HttpResult<()>;
    passthrough drop(out: Resource<HostResponseOutparam>) -> wasmtime::Result<()>;
} }
