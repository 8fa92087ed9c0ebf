//! The table of the contract's functions: how each call is recorded and replayed.
//!
//! The functions are in the order of `wit/`. The word before each is the kind of the call:
//!
//! - `local`: its result follows from the calls before it. It is made again in a replay.
//! - `external`, `external_async`: its result depends on something outside of the sandbox. A replay takes the result
//!   from the recording.
//! - `forget`: drops a resource that an external call has made, which nothing outside of the sandbox notices.
//! - `external_drop`, `external_drop_async`: drops such a resource, which the other side may notice (a connection is
//!   closed).
//! - `passthrough`: is neither recorded nor replayed, since its result depends on its arguments alone, and it changes
//!   neither the trace nor the log.
//! - `own_handle`: returns a handle to one of the guest's own standard streams, whose output goes only to the run's
//!   log. Neither this call nor a call whose handles are all of this kind is recorded.
//! - `child_handle`: returns a handle to the pollable of a stream. It is like `own_handle` for the guest's own standard
//!   streams, and like `external` for all other streams.
//!
//! To record a new function, add its line here. Its arguments count as memory that the host holds for the guest, as the
//! module [`held_arguments`](crate::capability::record_replay::held_arguments) explains. A note before a function's
//! name changes how the call is counted:
//!
//! - `[transient]`: the function keeps nothing of its arguments, or copies a part of bounded size, so that the
//!   arguments
//!   count during the call alone.
//! - `[copy]`: the function returns a copy of the resource that it is called on, whose size counts as well.
//! - `[contents]`: the function takes resources, and the call is recorded with what they contain: by a function with
//!   the same name in a module `contents`. In a replay, the resources are dropped. What they contain counts until the
//!   returned resource is dropped, or to the end of the attempt if none is returned.

use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::{http, log, span, ssh, types, warning};
use crate::capability::http::{Request, Response};
use crate::capability::record_replay::call::CallRecord;
use crate::capability::record_replay::codec::{ReplayResult, forget, recorded_handle};
use crate::capability::record_replay::halt::Halt;
use crate::capability::record_replay::held_arguments::{FunctionResult, HeldArgument, Kept, hold_arguments};
use crate::capability::span::Span;
use crate::capability::ssh::{Client, Session};

/// The context of a guest. Calls through it are recorded or replayed, if the run is.
pub struct Intercepted<'a>(pub &'a mut Context);

/// Implements the trait of an interface for [`Intercepted`]. Calls that are made go to the implementation of the trait
/// that `$view` returns for the context: `Context` itself, or a type of wasmtime. Each function is listed with its
/// kind, its parameters and its result.
macro_rules! intercept {
    ($host:path as $name:literal { $($kind:ident $([$note:ident])? $function:ident($($arg:ident: $type:ty),*) -> $result:ty;)* }) => {
        intercept! { $host as $name of context {
            $($kind $([$note])? $function($($arg: $type),*) -> wasmtime::Result<$result>;)*
        } }
    };
    ($host:path as $name:literal of $view:ident {
        $($kind:ident $([$note:ident])? $function:ident($($arg:ident: $type:ty),*) -> $result:ty;)*
    }) => {
        impl $host for Intercepted<'_> {
            $(intercept! { @$kind $host as $name of $view, [$($note)?] $function($($arg: $type),*) -> $result })*
        }
    };
    (@passthrough $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        fn $function(&mut self, $($arg: $type),*) -> $result {
            let Self(context) = self;
            intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*)
        }
    };
    (@local $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        fn $function(&mut self, $($arg: $type),*) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $($arg),*)) else {
                return intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            };
            let run = context.run.clone();
            let made = run.record_replay.local(&run.recorder, call, || {
                intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*)
            });
            made.unwrap_or_else(|halt| Err(halt.into()))
        }
    };
    (@external $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        fn $function(&mut self, $($arg: $type),*) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call [$($note)?] context, $name, $function, $($arg),*)) else {
                return intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            };
            if let Some(recorded) = context.recorded_result(call) {
                intercept!(@forget_given [$($note)?] context, $($arg),*);
                return recorded;
            }
            let result = intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            context.record_result(&result);
            result
        }
    };
    (@external_async $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        async fn $function(&mut self, $($arg: $type),*) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $($arg),*)) else {
                return intercept!(@make_async $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            };
            if let Some(recorded) = context.recorded_result(call) {
                return recorded;
            }
            let result = intercept!(@make_async $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            context.record_result(&result);
            result
        }
    };
    (@forget $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($arg:ident: $type:ty) -> $result:ty) => {
        fn $function(&mut self, $arg: $type) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $arg)) else {
                return intercept!(@make $result, [$($note)?] $host, $view, context, $function, $arg);
            };
            let run = context.run.clone();
            let is_replay = run.record_replay.is_replay();
            let made = run.record_replay.local(&run.recorder, call, || {
                if is_replay {
                    forget(&$arg, &mut context.table)
                } else {
                    intercept!(@make $result, [$($note)?] $host, $view, context, $function, $arg)
                }
            });
            made.unwrap_or_else(|halt| Err(halt.into()))
        }
    };
    (@external_drop $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($arg:ident: $type:ty) -> $result:ty) => {
        fn $function(&mut self, $arg: $type) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $arg)) else {
                context.remove_own(&$arg);
                return intercept!(@make $result, [$($note)?] $host, $view, context, $function, $arg);
            };
            if let Some(recorded) = context.recorded_result::<$result>(call) {
                return recorded.and_then(|()| forget(&$arg, &mut context.table));
            }
            let result = intercept!(@make $result, [$($note)?] $host, $view, context, $function, $arg);
            context.record_result(&result);
            result
        }
    };
    (@external_drop_async $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($arg:ident: $type:ty) -> $result:ty) => {
        async fn $function(&mut self, $arg: $type) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $arg)) else {
                context.remove_own(&$arg);
                return intercept!(@make_async $result, [$($note)?] $host, $view, context, $function, $arg);
            };
            if let Some(recorded) = context.recorded_result::<$result>(call) {
                return recorded.and_then(|()| forget(&$arg, &mut context.table));
            }
            let result = intercept!(@make_async $result, [$($note)?] $host, $view, context, $function, $arg);
            context.record_result(&result);
            result
        }
    };
    (@own_handle $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident() -> $result:ty) => {
        fn $function(&mut self) -> $result {
            let Self(context) = self;
            let result = intercept!(@make $result, [$($note)?] $host, $view, context, $function,);
            context.add_own(&result);
            result
        }
    };
    (@child_handle $host:path as $name:literal of $view:ident, [$($note:ident)?] $function:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        fn $function(&mut self, $($arg: $type),*) -> $result {
            let Self(context) = self;
            let Some(call) = context.call_record(|| intercept!(@call $name, $function, $($arg),*)) else {
                let result = intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*);
                context.add_own(&result);
                return result;
            };
            if let Some(recorded) = context.recorded_result(call) {
                return recorded;
            }
            let result = intercept!(@make $result, [$($note)?] $host, $view, context, $function, $($arg),*);
            context.record_result(&result);
            result
        }
    };
    (@call [contents] $context:ident, $name:literal, $function:ident, $($arg:ident),*) => {
        contents::$function(CallRecord::new($name, stringify!($function)), &$context.table, $(&$arg),*)
    };
    (@call [$($note:ident)?] $context:ident, $name:literal, $function:ident, $($arg:ident),*) => {
        intercept!(@call $name, $function, $($arg),*)
    };
    (@forget_given [contents] $context:ident, $($arg:ident),*) => {
        $(GivenResource::forget(&$arg, &mut $context.table);)*
    };
    (@forget_given [$($note:ident)?] $context:ident, $($arg:ident),*) => {};
    (@call $name:literal, $function:ident, $($arg:ident),*) => {
        CallRecord::new($name, stringify!($function))$(.with(stringify!($arg), &$arg))*
    };
    // Makes a call, and counts its arguments.
    (@make $result:ty, [$($note:ident)?] $host:path, $view:ident, $context:ident, $function:ident, $($arg:ident),*) => {
        intercept!(
            @count $result, [$($note)?] $context, [$($arg),*], <_ as $host>::$function(&mut $view($context), $($arg),*)
        )
    };
    (@make_async $result:ty, [$($note:ident)?] $host:path, $view:ident, $context:ident, $function:ident, $($arg:ident),*) => {
        intercept!(
            @count $result, [$($note)?] $context, [$($arg),*],
            <_ as $host>::$function(&mut $view($context), $($arg),*).await
        )
    };
    (@count $result:ty, [$($note:ident)?] $context:ident, [$($arg:ident),*], $call:expr) => {{
        let copied_bytes: usize = intercept!(@copied [$($note)?] $context, $($arg),*);
        let quota = &$context.accounting.quota;
        let held = hold_arguments::<$result>(quota, &[$(&$arg as &dyn HeldArgument),*], copied_bytes);
        match held {
            Err(exceeded) => <$result>::exceeded(exceeded),
            Ok(held) => {
                let result: $result = $call;
                $context.held_arguments.settle(held, &result, intercept!(@keeps $($note)?));
                result
            }
        }
    }};
    (@keeps) => { Kept::Arguments };
    (@keeps transient) => { Kept::Nothing };
    (@keeps copy) => { Kept::Arguments };
    (@keeps contents) => { Kept::ArgumentsAndGiven };
    (@copied [copy] $context:ident, $arg:ident) => { $context.resource_bytes(&$arg) };
    (@copied [$($note:ident)?] $context:ident, $($arg:ident),*) => { 0 };
}
pub(super) use intercept;

intercept! { http::HostRequest as "http.request" {
    external new(method: String, url: String) -> Result<Resource<Request>, String>;
    external header(request: Resource<Request>, name: String, value: String) -> Result<(), String>;
    external body(request: Resource<Request>, bytes: Vec<u8>) -> ();
    external timeout(request: Resource<Request>, milliseconds: u32) -> ();
    external redirects(request: Resource<Request>, limit: u32) -> ();
    external verify_tls(request: Resource<Request>, verify: bool) -> ();
    external_async ca(request: Resource<Request>, path: String) -> Result<(), String>;
    external client_key_passphrase(request: Resource<Request>, setting: String) -> Result<(), String>;
    external_async client_certificate(request: Resource<Request>, certificate: String, key: String) -> Result<(), String>;
    external authenticate(request: Resource<Request>, setting: String) -> Result<(), String>;
    external cookies(request: Resource<Request>, keep: bool) -> ();
    external compression(request: Resource<Request>, ask: bool) -> ();
    external decoding(request: Resource<Request>, decode: bool) -> ();
    external http_version(request: Resource<Request>, version: String) -> Result<(), String>;
    external ip_version(request: Resource<Request>, version: u8) -> Result<(), String>;
    external connect_to(request: Resource<Request>, address: String) -> Result<(), String>;
    external dns_server(request: Resource<Request>, address: String) -> Result<(), String>;
    external proxy(request: Resource<Request>, url: String) -> Result<(), String>;
    external source_address(request: Resource<Request>, address: String) -> Result<(), String>;
    external max_body(request: Resource<Request>, bytes: u64) -> ();
    external_async send(request: Resource<Request>) -> Result<Resource<Response>, http::Error>;
    forget drop(request: Resource<Request>) -> ();
} }

intercept! { http::HostResponse as "http.response" {
    local status(response: Resource<Response>) -> u16;
    local url(response: Resource<Response>) -> String;
    local headers(response: Resource<Response>) -> Vec<(String, String)>;
    local body(response: Resource<Response>) -> Vec<u8>;
    local body_size(response: Resource<Response>) -> u64;
    local text(response: Resource<Response>) -> Result<String, String>;
    local timing(response: Resource<Response>) -> http::Timing;
    local connection(response: Resource<Response>) -> http::Connection;
    local location(response: Resource<Response>) -> Option<String>;
    local days_left(response: Resource<Response>) -> Vec<i64>;
    local drop(response: Resource<Response>) -> ();
} }

intercept! { ssh::HostClient as "ssh.client" {
    external new(host: String, port: u16) -> Result<Resource<Client>, String>;
    external username(client: Resource<Client>, name: String) -> Result<(), String>;
    external timeout(client: Resource<Client>, milliseconds: u32) -> ();
    external_async known_hosts(client: Resource<Client>, path: String) -> Result<(), String>;
    external host_key(client: Resource<Client>, key: String) -> Result<(), String>;
    external accept_new(client: Resource<Client>) -> ();
    external algorithms(client: Resource<Client>, kind: String, names: String) -> Result<(), String>;
    external_async identity(client: Resource<Client>, path: String, passphrase: Option<String>) -> Result<(), String>;
    external agent(client: Resource<Client>) -> Result<(), String>;
    external_async agent_key(client: Resource<Client>, path: String) -> Result<(), String>;
    external password(client: Resource<Client>, setting: String) -> Result<(), String>;
    external_async connect(client: Resource<Client>) -> Result<Resource<Session>, ssh::Error>;
    forget drop(client: Resource<Client>) -> ();
} }

intercept! { ssh::HostSession as "ssh.session" {
    external server(session: Resource<Session>) -> ssh::Server;
    external methods(session: Resource<Session>) -> Vec<String>;
    external time(session: Resource<Session>) -> f64;
    external_async authenticate(session: Resource<Session>) -> Result<(), ssh::Error>;
    external_async [transient] exec(session: Resource<Session>, command: String, max_output: u64) -> Result<ssh::Output, ssh::Error>;
    external_drop drop(session: Resource<Session>) -> ();
} }

intercept! { span::HostSpan as "span.span" {
    local new(op: String, description: String) -> Resource<Span>;
    local [transient] set_data(span: Resource<Span>, key: String, value: types::Value) -> ();
    local set_status(span: Resource<Span>, status: span::Status) -> ();
    local drop(span: Resource<Span>) -> ();
} }

intercept! { span::Host as "span" {
    local [transient] set_data(key: String, value: types::Value) -> ();
    local [transient] set_tag(key: String, value: String) -> ();
} }

intercept! { log::Host as "log" {
    local [transient] write(level: log::Level, message: String) -> ();
} }

intercept! { warning::Host as "warning" {
    local [transient] report(warning: types::Failure) -> ();
    local [transient] report_setting(warning: types::Problem) -> ();
} }

impl http::Host for Intercepted<'_> {}
impl ssh::Host for Intercepted<'_> {}
impl types::Host for Intercepted<'_> {}

/// The view for interfaces that [`Context`] implements itself.
pub(super) fn context(context: &mut Context) -> &mut Context {
    context
}

impl Context {
    /// Returns the record of a call. In a replay it has the handles of the recorded run.
    ///
    /// Returns `None` if the run is neither recorded nor replayed, or if all handles of the call are those of the
    /// guest's own standard streams.
    pub(super) fn call_record(&self, call: impl FnOnce() -> CallRecord) -> Option<CallRecord> {
        if self.run.record_replay.is_off() {
            return None;
        }
        let mut call = Some(call()).filter(|call| !self.owns(call.handles()))?;
        if self.run.record_replay.is_replay() {
            call.map_handles(|handle| recorded_handle(handle, &self.table));
        }
        Some(call)
    }

    /// Begins an external call. Returns the result if the call is not to be made: in a replay the recorded result, or
    /// an error that stops the guest. Returns `None` if the call is to be made, and its result to be recorded.
    pub(super) fn recorded_result<R: ReplayResult>(&mut self, call: CallRecord) -> Option<R> {
        let name = call.name().to_owned();
        let value = match self.run.record_replay.external(call) {
            Ok(value) => value?,
            Err(halt) => return Some(R::halted(halt)),
        };
        let damaged = || {
            Halt::Diverged(format!("the recording is damaged: the result of `{name}` has another type; record it anew"))
        };
        Some(R::from_recorded(&value, &mut self.table).unwrap_or_else(|| R::halted(damaged())))
    }

    /// Records the result of a call that was made.
    pub(super) fn record_result<R: ReplayResult>(&self, result: &R) {
        self.run.record_replay.end_external(result.to_recorded(&self.table), &self.run.evidence);
    }
}
