//! What calls that have to do with the outside come to, on the tape and off it. Of an answer of HTTP the tape has the
//! whole, from which the guest reads what it likes; of all else that has a handle, the handle alone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::capability::bindings::sentrynet::probe::{http, ssh};
use crate::capability::http::Response;
use crate::capability::record_replay::Halt;
use crate::recording::{of_bytes, to_bytes};

/// What a call comes to.
pub trait ReplayValue: Sized {
    fn to_recorded(&self, table: &ResourceTable) -> Value;
    /// None when it is nothing of the kind.
    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self>;
}

/// All that a function answers with.
pub trait ReplayResult: Sized {
    /// None where it stops the guest.
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value>;
    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self>;
    fn halted(off: Halt) -> Self;
}

impl<T: ReplayValue> ReplayResult for wasmtime::Result<T> {
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value> {
        self.as_ref().ok().map(|done| done.to_recorded(table))
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        T::from_recorded(told, table).map(Ok)
    }

    fn halted(off: Halt) -> Self {
        Err(off.into())
    }
}

/// An error of a function's that is a value for the guest, or stops it.
pub trait ReplayError: Sized {
    fn to_recorded(&self) -> Option<Value>;
    fn from_recorded(told: &Value) -> Option<Self>;
    fn halted(off: Halt) -> Self;
}

impl<T: ReplayValue, E: ReplayError> ReplayResult for Result<T, E> {
    fn to_recorded(&self, table: &ResourceTable) -> Option<Value> {
        match self {
            Ok(done) => Some(json!({ "ok": done.to_recorded(table) })),
            Err(error) => error.to_recorded().map(|error| json!({ "err": error })),
        }
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (told.get("ok"), told.get("err")) {
            (Some(done), None) => T::from_recorded(done, table).map(Ok),
            (None, Some(error)) => E::from_recorded(error).map(Err),
            _ => None,
        }
    }

    fn halted(off: Halt) -> Self {
        Err(E::halted(off))
    }
}

/// Stands for what has a handle, which had this one when the run was recorded; it is never looked at.
struct ReplayedHandle(u32);

/// A handle that means nothing but itself while a run is replayed.
pub trait OpaqueHandle: 'static {}
impl OpaqueHandle for crate::capability::http::Request {}
impl OpaqueHandle for crate::capability::ssh::Client {}
impl OpaqueHandle for crate::capability::ssh::Session {}

/// Drops what a handle stands for.
pub fn forget<T: 'static>(handle: &Resource<T>, table: &mut ResourceTable) -> wasmtime::Result<()> {
    match recorded(handle.rep(), table) {
        Some(_) => table.delete(Resource::<ReplayedHandle>::new_own(handle.rep())).map(drop)?,
        None => table.delete(Resource::<T>::new_own(handle.rep())).map(drop)?,
    }
    Ok(())
}

/// The handle that one stands for.
pub fn recorded(handle: u32, table: &ResourceTable) -> Option<u32> {
    table.get(&Resource::<ReplayedHandle>::new_borrow(handle)).ok().map(|shade| shade.0)
}

impl<T: OpaqueHandle> ReplayValue for Resource<T> {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        json!(self.rep())
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let shade = ReplayedHandle(u32::deserialize(told).ok()?);
        Some(Self::new_own(table.push(shade).ok()?.rep()))
    }
}

impl ReplayValue for Resource<Response> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        table.get(self).map(|response| json!(response)).unwrap_or_default()
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        table.push(Response::deserialize(told).ok()?).ok()
    }
}

impl<T: ReplayValue, E: ReplayValue> ReplayValue for Result<T, E> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        match self {
            Ok(done) => json!({ "ok": done.to_recorded(table) }),
            Err(error) => json!({ "err": error.to_recorded(table) }),
        }
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (told.get("ok"), told.get("err")) {
            (Some(done), None) => T::from_recorded(done, table).map(Ok),
            (None, Some(error)) => E::from_recorded(error, table).map(Err),
            _ => None,
        }
    }
}

impl ReplayValue for Vec<u8> {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        of_bytes(self)
    }

    fn from_recorded(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        to_bytes(told)
    }
}

impl ReplayValue for ssh::Output {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        let Self { exit_status, signal, stdout, stderr, stdout_size, stderr_size } = self;
        json!({
            "exit_status": exit_status,
            "signal": signal,
            "stdout": of_bytes(stdout),
            "stderr": of_bytes(stderr),
            "stdout_size": stdout_size,
            "stderr_size": stderr_size,
        })
    }

    fn from_recorded(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        Some(Self {
            exit_status: Deserialize::deserialize(&told["exit_status"]).ok()?,
            signal: Deserialize::deserialize(&told["signal"]).ok()?,
            stdout: to_bytes(&told["stdout"])?,
            stderr: to_bytes(&told["stderr"])?,
            stdout_size: told["stdout_size"].as_u64()?,
            stderr_size: told["stderr_size"].as_u64()?,
        })
    }
}

impl<T: ReplayValue> ReplayValue for Option<T> {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        // Not null, which may be something itself.
        json!(self.iter().map(|done| done.to_recorded(table)).collect::<Vec<_>>())
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match told.as_array()?.as_slice() {
            [] => Some(None),
            [done] => T::from_recorded(done, table).map(Some),
            _ => None,
        }
    }
}

impl<A: ReplayValue, B: ReplayValue> ReplayValue for (A, B) {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        json!([self.0.to_recorded(table), self.1.to_recorded(table)])
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let [a, b] = told.as_array()?.as_slice() else { return None };
        Some((A::from_recorded(a, table)?, B::from_recorded(b, table)?))
    }
}

impl ReplayValue for Datetime {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        (self.seconds, u64::from(self.nanoseconds)).to_recorded(table)
    }

    fn from_recorded(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let (seconds, nanoseconds) = ReplayValue::from_recorded(told, table)?;
        let nanoseconds: u64 = nanoseconds;
        Some(Self { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    }
}

/// What serde knows how to write.
macro_rules! plain {
    ($($type:ty),*) => {
        $(impl ReplayValue for $type {
            fn to_recorded(&self, _: &ResourceTable) -> Value {
                json!(self)
            }

            fn from_recorded(told: &Value, _: &mut ResourceTable) -> Option<Self> {
                Self::deserialize(told).ok()
            }
        })*
    };
}

plain!((), String, Vec<String>, Vec<u32>, bool, u8, u32, u64, f64, http::Error, ssh::Error, ssh::Server);

/// A body, as `of_bytes` has it.
pub mod body {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Serialize, Value, of_bytes, to_bytes};

    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        of_bytes(body).serialize(serializer)
    }

    /// # Errors
    /// When it is none.
    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let told = Value::deserialize(deserializer)?;
        to_bytes(&told).ok_or_else(|| D::Error::custom("a body is `text` or `base64`"))
    }
}
