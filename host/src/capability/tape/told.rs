//! What calls that have to do with the outside come to, on the tape and off it. Of an answer of HTTP the tape has the
//! whole, from which the guest reads what it likes; of all else that has a handle, the handle alone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::capability::bindings::sentrynet::probe::{http, ssh};
use crate::capability::http::Response;
use crate::capability::tape::Off;
use crate::recording::{of_bytes, to_bytes};

/// What a call comes to.
pub trait Told: Sized {
    fn tell(&self, table: &ResourceTable) -> Value;
    /// None when it is nothing of the kind.
    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self>;
}

/// All that a function answers with.
pub trait Reply: Sized {
    /// None where it stops the guest.
    fn tell(&self, table: &ResourceTable) -> Option<Value>;
    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self>;
    fn stop(off: Off) -> Self;
}

impl<T: Told> Reply for wasmtime::Result<T> {
    fn tell(&self, table: &ResourceTable) -> Option<Value> {
        self.as_ref().ok().map(|done| done.tell(table))
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        T::read(told, table).map(Ok)
    }

    fn stop(off: Off) -> Self {
        Err(off.into())
    }
}

/// An error of a function's that is a value for the guest, or stops it.
pub trait Trouble: Sized {
    fn tell(&self) -> Option<Value>;
    fn read(told: &Value) -> Option<Self>;
    fn stop(off: Off) -> Self;
}

impl<T: Told, E: Trouble> Reply for Result<T, E> {
    fn tell(&self, table: &ResourceTable) -> Option<Value> {
        match self {
            Ok(done) => Some(json!({ "ok": done.tell(table) })),
            Err(error) => error.tell().map(|error| json!({ "err": error })),
        }
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (told.get("ok"), told.get("err")) {
            (Some(done), None) => T::read(done, table).map(Ok),
            (None, Some(error)) => E::read(error).map(Err),
            _ => None,
        }
    }

    fn stop(off: Off) -> Self {
        Err(E::stop(off))
    }
}

/// Stands for what has a handle, which had this one when the run was recorded; it is never looked at.
struct Shade(u32);

/// A handle that means nothing but itself while a run is replayed.
pub trait Empty: 'static {}
impl Empty for crate::capability::http::Request {}
impl Empty for crate::capability::ssh::Client {}
impl Empty for crate::capability::ssh::Session {}

/// Drops what a handle stands for.
pub fn forget<T: 'static>(handle: &Resource<T>, table: &mut ResourceTable) -> wasmtime::Result<()> {
    match recorded(handle.rep(), table) {
        Some(_) => table.delete(Resource::<Shade>::new_own(handle.rep())).map(drop)?,
        None => table.delete(Resource::<T>::new_own(handle.rep())).map(drop)?,
    }
    Ok(())
}

/// The handle that one stands for.
pub fn recorded(handle: u32, table: &ResourceTable) -> Option<u32> {
    table.get(&Resource::<Shade>::new_borrow(handle)).ok().map(|shade| shade.0)
}

impl<T: Empty> Told for Resource<T> {
    fn tell(&self, _: &ResourceTable) -> Value {
        json!(self.rep())
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let shade = Shade(u32::deserialize(told).ok()?);
        Some(Self::new_own(table.push(shade).ok()?.rep()))
    }
}

impl Told for Resource<Response> {
    fn tell(&self, table: &ResourceTable) -> Value {
        table.get(self).map(|response| json!(response)).unwrap_or_default()
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        table.push(Response::deserialize(told).ok()?).ok()
    }
}

impl<T: Told, E: Told> Told for Result<T, E> {
    fn tell(&self, table: &ResourceTable) -> Value {
        match self {
            Ok(done) => json!({ "ok": done.tell(table) }),
            Err(error) => json!({ "err": error.tell(table) }),
        }
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match (told.get("ok"), told.get("err")) {
            (Some(done), None) => T::read(done, table).map(Ok),
            (None, Some(error)) => E::read(error, table).map(Err),
            _ => None,
        }
    }
}

impl Told for Vec<u8> {
    fn tell(&self, _: &ResourceTable) -> Value {
        of_bytes(self)
    }

    fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        to_bytes(told)
    }
}

impl Told for ssh::Output {
    fn tell(&self, _: &ResourceTable) -> Value {
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

    fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
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

impl<T: Told> Told for Option<T> {
    fn tell(&self, table: &ResourceTable) -> Value {
        // Not null, which may be something itself.
        json!(self.iter().map(|done| done.tell(table)).collect::<Vec<_>>())
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        match told.as_array()?.as_slice() {
            [] => Some(None),
            [done] => T::read(done, table).map(Some),
            _ => None,
        }
    }
}

impl<A: Told, B: Told> Told for (A, B) {
    fn tell(&self, table: &ResourceTable) -> Value {
        json!([self.0.tell(table), self.1.tell(table)])
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let [a, b] = told.as_array()?.as_slice() else { return None };
        Some((A::read(a, table)?, B::read(b, table)?))
    }
}

impl Told for Datetime {
    fn tell(&self, table: &ResourceTable) -> Value {
        (self.seconds, u64::from(self.nanoseconds)).tell(table)
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let (seconds, nanoseconds) = Told::read(told, table)?;
        let nanoseconds: u64 = nanoseconds;
        Some(Self { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    }
}

/// What serde knows how to write.
macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Told for $type {
            fn tell(&self, _: &ResourceTable) -> Value {
                json!(self)
            }

            fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
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
