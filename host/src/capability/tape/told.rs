//! What calls that have to do with the outside come to, on the tape and off it. Of an answer of HTTP the tape has the
//! whole, from which the guest reads what it likes; of all else that has a handle, the handle alone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::capability::bindings::sentrynet::probe::{http, ssh};
use crate::capability::http::Response;
use crate::capability::tape::said::{of_bytes, to_bytes};

/// What a call comes to.
pub trait Told: Sized {
    fn tell(&self, table: &ResourceTable) -> Value;
    /// None when it is nothing of the kind.
    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self>;
}

/// Stands for what has a handle, and is never looked at.
struct Shade;

/// A handle that means nothing but itself while a run is replayed.
pub trait Empty: 'static {}
impl Empty for crate::capability::http::Request {}
impl Empty for crate::capability::ssh::Client {}
impl Empty for crate::capability::ssh::Session {}

/// Drops such a handle.
pub fn forget<T: Empty>(handle: &Resource<T>, table: &mut ResourceTable) -> wasmtime::Result<()> {
    table.delete(Resource::<Shade>::new_own(handle.rep()))?;
    Ok(())
}

impl<T: Empty> Told for Resource<T> {
    fn tell(&self, _: &ResourceTable) -> Value {
        json!(self.rep())
    }

    fn read(_: &Value, table: &mut ResourceTable) -> Option<Self> {
        Some(Self::new_own(table.push(Shade).ok()?.rep()))
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

plain!((), String, Vec<String>, u64, f64, (u64, u64), http::Error, ssh::Error, ssh::Server);

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
