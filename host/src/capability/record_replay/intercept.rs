//! Every call of the contract's, by way of the tape: in the order of `wit/`, each with whether it follows from the calls
//! before it (`says`) or has to do with the outside (`asks`). To put a new call on the tape is to add its line here.

use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::{http, log, span, ssh, types};
use crate::capability::http::{Request, Response};
use crate::capability::record_replay::codec::{ReplayResult, forget, recorded};
use crate::capability::record_replay::{CallRecord, Halt};
use crate::capability::span::Span;
use crate::capability::ssh::{Client, Session};

/// A guest's calls, by way of the tape of its run, if that has one.
pub struct Intercepted<'a>(pub &'a mut Context);

/// An interface: its functions with what they are given and what they come to, each of which is made on a view of the
/// context.
macro_rules! intercept {
    ($host:path as $name:literal { $($kind:ident $function:ident($($given:ident: $type:ty),*) -> $done:ty;)* }) => {
        intercept! { $host as $name of context {
            $($kind $function($($given: $type),*) -> wasmtime::Result<$done>;)*
        } }
    };
    ($host:path as $name:literal of $view:ident {
        $($kind:ident $function:ident($($given:ident: $type:ty),*) -> $done:ty;)*
    }) => {
        impl $host for Intercepted<'_> {
            $(intercept! { @$kind $host as $name of $view, $function($($given: $type),*) -> $done })*
        }
    };
    // Has nothing to do with the outside, nor with the trace and the log: it is made again, whatever it is.
    (@passthrough $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            <_ as $host>::$function(&mut $view(self.0), $($given),*)
        }
    };
    (@local $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let said = context.call_record(|| intercept!(@call $name, $function, $($given),*));
            let is_recorded = said.is_some();
            if let Some(Err(off)) = said.map(|said| context.record_replay.local(said)) {
                return Err(off.into());
            }
            let done = <_ as $host>::$function(&mut $view(context), $($given),*);
            if is_recorded {
                context.record_replay.opened();
            }
            done
        }
    };
    (@external $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.call_record(|| intercept!(@call $name, $function, $($given),*)) else {
                return <_ as $host>::$function(&mut $view(context), $($given),*);
            };
            if let Some(told) = context.ask(said) {
                return told;
            }
            let done = <_ as $host>::$function(&mut $view(context), $($given),*);
            context.answered(&done);
            done
        }
    };
    // Waited for.
    (@external_async $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        async fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.call_record(|| intercept!(@call $name, $function, $($given),*)) else {
                return <_ as $host>::$function(&mut $view(context), $($given),*).await;
            };
            if let Some(told) = context.ask(said) {
                return told;
            }
            let done = <_ as $host>::$function(&mut $view(context), $($given),*).await;
            context.answered(&done);
            done
        }
    };
    // The end of what was had by asking, which is nobody's business outside.
    (@forget $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let said = context.call_record(|| intercept!(@call $name, $function, $given));
            if let Some(Err(off)) = said.map(|said| context.record_replay.local(said)) {
                return Err(off.into());
            }
            match context.record_replay.is_replay() {
                true => forget(&$given, &mut context.table),
                false => <_ as $host>::$function(&mut $view(context), $given),
            }
        }
    };
    // And such as tells the other side.
    (@external_drop $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let Some(said) = context.call_record(|| intercept!(@call $name, $function, $given)) else {
                context.disown(&$given);
                return <_ as $host>::$function(&mut $view(context), $given);
            };
            if let Some(told) = context.ask::<$done>(said) {
                return told.and_then(|()| forget(&$given, &mut context.table));
            }
            let done = <_ as $host>::$function(&mut $view(context), $given);
            context.answered(&done);
            done
        }
    };
    // The same, waited for.
    (@external_drop_async $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        async fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let Some(said) = context.call_record(|| intercept!(@call $name, $function, $given)) else {
                context.disown(&$given);
                return <_ as $host>::$function(&mut $view(context), $given).await;
            };
            if let Some(told) = context.ask::<$done>(said) {
                return told.and_then(|()| forget(&$given, &mut context.table));
            }
            let done = <_ as $host>::$function(&mut $view(context), $given).await;
            context.answered(&done);
            done
        }
    };
    // What comes of it is the guest's own.
    (@own_handle $host:path as $name:literal of $view:ident, $function:ident() -> $done:ty) => {
        fn $function(&mut self) -> $done {
            let Self(context) = self;
            let done = <_ as $host>::$function(&mut $view(context));
            context.own(&done);
            done
        }
    };
    // So it is where the handle is.
    (@child_handle $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.call_record(|| intercept!(@call $name, $function, $($given),*)) else {
                let done = <_ as $host>::$function(&mut $view(context), $($given),*);
                context.own(&done);
                return done;
            };
            if let Some(told) = context.ask(said) {
                return told;
            }
            let done = <_ as $host>::$function(&mut $view(context), $($given),*);
            context.answered(&done);
            done
        }
    };
    (@call $name:literal, $function:ident, $($given:ident),*) => {
        CallRecord::new($name, stringify!($function))$(.with(stringify!($given), &$given))*
    };
}
pub(super) use intercept;

intercept! { http::HostRequest as "http.request" {
    external new(method: String, url: String) -> Result<Resource<Request>, String>;
    external header(request: Resource<Request>, name: String, value: String) -> Result<(), String>;
    external body(request: Resource<Request>, bytes: Vec<u8>) -> ();
    external timeout(request: Resource<Request>, milliseconds: u32) -> ();
    external redirects(request: Resource<Request>, limit: u32) -> ();
    external verify_tls(request: Resource<Request>, verify: bool) -> ();
    external ca(request: Resource<Request>, path: String) -> Result<(), String>;
    external client_certificate(request: Resource<Request>, certificate: String, key: String) -> Result<(), String>;
    external authenticate(request: Resource<Request>, setting: String) -> Result<(), String>;
    external cookies(request: Resource<Request>, keep: bool) -> ();
    external compression(request: Resource<Request>, ask: bool) -> ();
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
    external known_hosts(client: Resource<Client>, path: String) -> Result<(), String>;
    external host_key(client: Resource<Client>, key: String) -> Result<(), String>;
    external accept_new(client: Resource<Client>) -> ();
    external identity(client: Resource<Client>, path: String, passphrase: Option<String>) -> Result<(), String>;
    external agent(client: Resource<Client>) -> Result<(), String>;
    external password(client: Resource<Client>, setting: String) -> Result<(), String>;
    external_async connect(client: Resource<Client>) -> Result<Resource<Session>, ssh::Error>;
    forget drop(client: Resource<Client>) -> ();
} }

intercept! { ssh::HostSession as "ssh.session" {
    external server(session: Resource<Session>) -> ssh::Server;
    external methods(session: Resource<Session>) -> Vec<String>;
    external time(session: Resource<Session>) -> f64;
    external_async authenticate(session: Resource<Session>) -> Result<(), ssh::Error>;
    external_async exec(session: Resource<Session>, command: String, max_output: u64) -> Result<ssh::Output, ssh::Error>;
    external_drop drop(session: Resource<Session>) -> ();
} }

intercept! { span::HostSpan as "span.span" {
    local new(op: String, description: String) -> Resource<Span>;
    local set_data(span: Resource<Span>, key: String, value: types::Value) -> ();
    local set_status(span: Resource<Span>, status: span::Status) -> ();
    local drop(span: Resource<Span>) -> ();
} }

intercept! { span::Host as "span" {
    local set_data(key: String, value: types::Value) -> ();
    local set_tag(key: String, value: String) -> ();
} }

intercept! { log::Host as "log" {
    local write(level: log::Level, message: String) -> ();
} }

impl http::Host for Intercepted<'_> {}
impl ssh::Host for Intercepted<'_> {}
impl types::Host for Intercepted<'_> {}

pub(super) fn context(context: &mut Context) -> &mut Context {
    context
}

impl Context {
    /// A call that is for the tape, if there is one: what has to do with the guest's own streams alone is not.
    pub(super) fn call_record(&self, said: impl FnOnce() -> CallRecord) -> Option<CallRecord> {
        if self.record_replay.is_off() {
            return None;
        }
        let mut said = Some(said()).filter(|said| !self.owns(said.handles()))?;
        if self.record_replay.is_replay() {
            said.map_handles(|handle| recorded(handle, &self.table));
        }
        Some(said)
    }

    /// What the tape has a call come to; none where it is to be made.
    pub(super) fn ask<R: ReplayResult>(&mut self, said: CallRecord) -> Option<R> {
        let name = said.name().to_owned();
        let told = match self.record_replay.external(said) {
            Ok(told) => told?,
            Err(off) => return Some(R::halted(off)),
        };
        let damaged = || Halt::Departed(format!("the recording is damaged: `{name}` cannot come to what it says"));
        Some(R::from_recorded(&told, &mut self.table).unwrap_or_else(|| R::halted(damaged())))
    }

    /// What a call that was made came to.
    pub(super) fn answered<R: ReplayResult>(&self, done: &R) {
        self.record_replay.answered(done.to_recorded(&self.table), &self.evidence);
    }
}
