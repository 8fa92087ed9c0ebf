//! Converts error codes of `wasi:http` to the form that recordings have, and back.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::Serializer;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::HttpError;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

use crate::capability::record_replay::codec::{ReplayError, ReplayValue};
use crate::capability::record_replay::halt::Halt;

impl ReplayValue for ErrorCode {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        Code::serialize(self, Serializer).unwrap_or_default()
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        Code::deserialize(recorded).ok()
    }
}

impl ReplayError for HttpError {
    fn to_recorded(&self) -> Option<Value> {
        Code::serialize(self.downcast_ref()?, Serializer).ok()
    }

    fn from_recorded(recorded: &Value) -> Option<Self> {
        Code::deserialize(recorded).ok().map(Self::from)
    }

    fn halted(halt: Halt) -> Self {
        Self::trap(halt)
    }
}

/// Mirrors [`ErrorCode`], whose own crate does not derive serde's traits.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorCode", rename_all = "kebab-case")]
enum Code {
    DnsTimeout,
    DnsError(#[serde(with = "DnsError")] DnsErrorPayload),
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    TlsAlertReceived(#[serde(with = "TlsAlert")] TlsAlertReceivedPayload),
    HttpRequestDenied,
    HttpRequestLengthRequired,
    HttpRequestBodySize(Option<u64>),
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpRequestHeaderSectionSize(Option<u32>),
    // The host never returns this code.
    #[serde(skip)]
    HttpRequestHeaderSize(Option<FieldSizePayload>),
    HttpRequestTrailerSectionSize(Option<u32>),
    HttpRequestTrailerSize(#[serde(with = "FieldSize")] FieldSizePayload),
    HttpResponseIncomplete,
    HttpResponseHeaderSectionSize(Option<u32>),
    HttpResponseHeaderSize(#[serde(with = "FieldSize")] FieldSizePayload),
    HttpResponseBodySize(Option<u64>),
    HttpResponseTrailerSectionSize(Option<u32>),
    HttpResponseTrailerSize(#[serde(with = "FieldSize")] FieldSizePayload),
    HttpResponseTransferCoding(Option<String>),
    HttpResponseContentCoding(Option<String>),
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
    InternalError(Option<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DnsErrorPayload")]
struct DnsError {
    rcode: Option<String>,
    info_code: Option<u16>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TlsAlertReceivedPayload")]
struct TlsAlert {
    alert_id: Option<u8>,
    alert_message: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FieldSizePayload")]
struct FieldSize {
    field_name: Option<String>,
    field_size: Option<u32>,
}
