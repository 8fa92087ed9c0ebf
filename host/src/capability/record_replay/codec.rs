//! Converts values that external calls return to the form that recordings have, and back.
//!
//! A response of the contract's interface `http` is recorded whole, since the guest reads it by local calls. Of a
//! response of `wasi:http`, status, headers and trailers are recorded. Of all other resources, only the handle is
//! recorded.

use serde::Deserialize;
use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::capability::bindings::sentrynet::probe::{http, ssh};
use crate::capability::http::Response;
use crate::capability::record_replay::halt::Halt;
use crate::recording::{bytes_from_json, bytes_to_json};

/// A value that a call can return.
pub trait ReplayValue: Sized {
    /// Converts the value to the form that recordings have.
    fn to_recorded(&self, table: &ResourceTable) -> Value;

    /// Reads the value from a recording. Returns `None` if it is of another type.
    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self>;
}

/// The whole result of a function, which can be an error that stops the guest.
pub trait ReplayResult: Sized {
    /// Converts the result to the form that recordings have. Returns `None` if the result stops the guest.
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value>;

    /// Reads the result from a recording. Returns `None` if it is of another type.
    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self>;

    /// Returns a result that stops the guest.
    fn halted(halt: Halt) -> Self;
}

impl<T: ReplayValue> ReplayResult for wasmtime::Result<T> {
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value> {
        self.as_ref().ok().map(|value| value.to_recorded(table))
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        T::from_recorded(recorded, table).map(Ok)
    }

    fn halted(halt: Halt) -> Self {
        Err(halt.into())
    }
}

/// An error that is either a value for the guest, or stops the guest.
pub trait ReplayError: Sized {
    /// Converts the error to the form that recordings have. Returns `None` if the error stops the guest.
    fn to_recorded(&self) -> Option<Value>;

    /// Reads the error from a recording. Returns `None` if it is of another type.
    fn from_recorded(recorded: &Value) -> Option<Self>;

    /// Returns an error that stops the guest.
    fn halted(halt: Halt) -> Self;
}

impl<T: ReplayValue, E: ReplayError> ReplayResult for Result<T, E> {
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value> {
        match self {
            Ok(value) => Some(json!({ "ok": value.to_recorded(table) })),
            Err(error) => error.to_recorded().map(|error| json!({ "err": error })),
        }
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (recorded.get("ok"), recorded.get("err")) {
            (Some(value), None) => T::from_recorded(value, table).map(Ok),
            (None, Some(error)) => E::from_recorded(error).map(Err),
            _ => None,
        }
    }

    fn halted(halt: Halt) -> Self {
        Err(E::halted(halt))
    }
}

/// A placeholder for a resource in a replay, with the handle that the resource had in the recorded run. The resource
/// itself is not needed, since no call that uses it is made.
struct ReplayedHandle(u32);

/// A resource of which only the handle is recorded.
pub trait OpaqueHandle: 'static {}
impl OpaqueHandle for crate::capability::http::Request {}
impl OpaqueHandle for crate::capability::ssh::Client {}
impl OpaqueHandle for crate::capability::ssh::Session {}

/// Drops a resource, or its placeholder in a replay.
///
/// # Errors
/// When the table has no such handle.
pub fn forget<T: 'static>(handle: &Resource<T>, table: &mut ResourceTable) -> wasmtime::Result<()> {
    match recorded_handle(handle.rep(), table) {
        Some(_) => table.delete(Resource::<ReplayedHandle>::new_own(handle.rep())).map(drop)?,
        None => table.delete(Resource::<T>::new_own(handle.rep())).map(drop)?,
    }
    Ok(())
}

/// An argument of a call that takes ownership of a resource.
pub trait GivenResource {
    /// Drops the resource in a replay, where the call is not made.
    fn forget(&self, table: &mut ResourceTable);
}

impl<T: 'static> GivenResource for Resource<T> {
    fn forget(&self, table: &mut ResourceTable) {
        // An error means that the guest has used a handle twice, at which the recorded run has stopped.
        let _ = forget(self, table);
    }
}

impl<T: 'static> GivenResource for Option<Resource<T>> {
    fn forget(&self, table: &mut ResourceTable) {
        if let Some(resource) = self {
            resource.forget(table);
        }
    }
}

/// Returns the handle that a placeholder's resource had in the recorded run. Returns `None` if `handle` is not a
/// placeholder's.
pub fn recorded_handle(handle: u32, table: &ResourceTable) -> Option<u32> {
    table.get(&Resource::<ReplayedHandle>::new_borrow(handle)).ok().map(|handle| handle.0)
}

impl<T: OpaqueHandle> ReplayValue for Resource<T> {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        json!(self.rep())
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        let handle = ReplayedHandle(u32::deserialize(recorded).ok()?);
        Some(Self::new_own(table.push(handle).ok()?.rep()))
    }
}

impl ReplayValue for Resource<Response> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        table.get(self).map(|response| json!(response)).unwrap_or_default()
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        table.push(Response::deserialize(recorded).ok()?).ok()
    }
}

impl<T: ReplayValue, E: ReplayValue> ReplayValue for Result<T, E> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        match self {
            Ok(value) => json!({ "ok": value.to_recorded(table) }),
            Err(error) => json!({ "err": error.to_recorded(table) }),
        }
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (recorded.get("ok"), recorded.get("err")) {
            (Some(value), None) => T::from_recorded(value, table).map(Ok),
            (None, Some(error)) => E::from_recorded(error, table).map(Err),
            _ => None,
        }
    }
}

impl ReplayValue for Vec<u8> {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        bytes_to_json(self)
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        bytes_from_json(recorded)
    }
}

impl ReplayValue for ssh::Output {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        let Self { exit_status, signal, stdout, stderr, stdout_size, stderr_size } = self;
        json!({
            "exit_status": exit_status,
            "signal": signal,
            "stdout": bytes_to_json(stdout),
            "stderr": bytes_to_json(stderr),
            "stdout_size": stdout_size,
            "stderr_size": stderr_size,
        })
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        Some(Self {
            exit_status: Deserialize::deserialize(&recorded["exit_status"]).ok()?,
            signal: Deserialize::deserialize(&recorded["signal"]).ok()?,
            stdout: bytes_from_json(&recorded["stdout"])?,
            stderr: bytes_from_json(&recorded["stderr"])?,
            stdout_size: recorded["stdout_size"].as_u64()?,
            stderr_size: recorded["stderr_size"].as_u64()?,
        })
    }
}

impl<T: ReplayValue> ReplayValue for Option<T> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        // A list of at most one value, since `null` could also be the value of an inner option.
        json!(self.iter().map(|value| value.to_recorded(table)).collect::<Vec<_>>())
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        match recorded.as_array()?.as_slice() {
            [] => Some(None),
            [value] => T::from_recorded(value, table).map(Some),
            _ => None,
        }
    }
}

impl<A: ReplayValue, B: ReplayValue> ReplayValue for (A, B) {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        json!([self.0.to_recorded(table), self.1.to_recorded(table)])
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        let [a, b] = recorded.as_array()?.as_slice() else { return None };
        Some((A::from_recorded(a, table)?, B::from_recorded(b, table)?))
    }
}

impl ReplayValue for Datetime {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        (self.seconds, u64::from(self.nanoseconds)).to_recorded(table)
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        let (seconds, nanoseconds) = ReplayValue::from_recorded(recorded, table)?;
        let nanoseconds: u64 = nanoseconds;
        Some(Self { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    }
}

/// Implements [`ReplayValue`] for types that serde can write and read.
macro_rules! impl_replay_value_by_serde {
    ($($type:ty),*) => {
        $(impl ReplayValue for $type {
            fn to_recorded(&self, _: &ResourceTable) -> Value {
                json!(self)
            }

            fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
                Self::deserialize(recorded).ok()
            }
        })*
    };
}

impl_replay_value_by_serde!(
    (),
    String,
    Vec<String>,
    Vec<u32>,
    bool,
    u8,
    u32,
    u64,
    f64,
    http::Error,
    ssh::Error,
    ssh::Server
);
