//! Every call of the contract's, by way of the tape: in the order of `wit/`, each with whether it follows from the calls
//! before it (`says`) or has to do with the outside (`asks`). To put a new call on the tape is to add its line here.

use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::{http, log, span, ssh, types};
use crate::capability::http::{Request, Response};
use crate::capability::span::Span;
use crate::capability::ssh::{Client, Session};
use crate::capability::tape::told::{Reply, forget, recorded};
use crate::capability::tape::{Off, Said};

/// A guest's calls, by way of the tape of its run, if that has one.
pub struct Taped<'a>(pub &'a mut Context);

/// An interface: its functions with what they are given and what they come to, each of which is made on a view of the
/// context.
macro_rules! taped {
    ($host:path as $name:literal { $($kind:ident $function:ident($($given:ident: $type:ty),*) -> $done:ty;)* }) => {
        taped! { $host as $name of itself {
            $($kind $function($($given: $type),*) -> wasmtime::Result<$done>;)*
        } }
    };
    ($host:path as $name:literal of $view:ident {
        $($kind:ident $function:ident($($given:ident: $type:ty),*) -> $done:ty;)*
    }) => {
        impl $host for Taped<'_> {
            $(taped! { @$kind $host as $name of $view, $function($($given: $type),*) -> $done })*
        }
    };
    // Has nothing to do with the outside, nor with the trace and the log: it is made again, whatever it is.
    (@makes $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            <_ as $host>::$function(&mut $view(self.0), $($given),*)
        }
    };
    (@says $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let said = context.taped(|| taped!(@said $name, $function, $($given),*));
            let is_taped = said.is_some();
            if let Some(Err(off)) = said.map(|said| context.tape.says(said)) {
                return Err(off.into());
            }
            let done = <_ as $host>::$function(&mut $view(context), $($given),*);
            if is_taped {
                context.tape.opened();
            }
            done
        }
    };
    (@asks $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.taped(|| taped!(@said $name, $function, $($given),*)) else {
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
    (@waits $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        async fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.taped(|| taped!(@said $name, $function, $($given),*)) else {
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
    (@forgets $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let said = context.taped(|| taped!(@said $name, $function, $given));
            if let Some(Err(off)) = said.map(|said| context.tape.says(said)) {
                return Err(off.into());
            }
            match context.tape.is_read() {
                true => forget(&$given, &mut context.table),
                false => <_ as $host>::$function(&mut $view(context), $given),
            }
        }
    };
    // And such as tells the other side.
    (@drops $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let Some(said) = context.taped(|| taped!(@said $name, $function, $given)) else {
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
    (@leaves $host:path as $name:literal of $view:ident, $function:ident($given:ident: $type:ty) -> $done:ty) => {
        async fn $function(&mut self, $given: $type) -> $done {
            let Self(context) = self;
            let Some(said) = context.taped(|| taped!(@said $name, $function, $given)) else {
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
    (@gives $host:path as $name:literal of $view:ident, $function:ident() -> $done:ty) => {
        fn $function(&mut self) -> $done {
            let Self(context) = self;
            let done = <_ as $host>::$function(&mut $view(context));
            context.own(&done);
            done
        }
    };
    // So it is where the handle is.
    (@lends $host:path as $name:literal of $view:ident, $function:ident($($given:ident: $type:ty),*) -> $done:ty) => {
        fn $function(&mut self, $($given: $type),*) -> $done {
            let Self(context) = self;
            let Some(said) = context.taped(|| taped!(@said $name, $function, $($given),*)) else {
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
    (@said $name:literal, $function:ident, $($given:ident),*) => {
        Said::new($name, stringify!($function))$(.with(stringify!($given), &$given))*
    };
}
pub(super) use taped;

taped! { http::HostRequest as "http.request" {
    asks new(method: String, url: String) -> Result<Resource<Request>, String>;
    asks header(request: Resource<Request>, name: String, value: String) -> Result<(), String>;
    asks body(request: Resource<Request>, bytes: Vec<u8>) -> ();
    asks timeout(request: Resource<Request>, milliseconds: u32) -> ();
    asks redirects(request: Resource<Request>, limit: u32) -> ();
    asks verify_tls(request: Resource<Request>, verify: bool) -> ();
    asks ca(request: Resource<Request>, path: String) -> Result<(), String>;
    asks client_certificate(request: Resource<Request>, certificate: String, key: String) -> Result<(), String>;
    asks authenticate(request: Resource<Request>, setting: String) -> Result<(), String>;
    asks cookies(request: Resource<Request>, keep: bool) -> ();
    asks compression(request: Resource<Request>, ask: bool) -> ();
    asks http_version(request: Resource<Request>, version: String) -> Result<(), String>;
    asks ip_version(request: Resource<Request>, version: u8) -> Result<(), String>;
    asks connect_to(request: Resource<Request>, address: String) -> Result<(), String>;
    asks dns_server(request: Resource<Request>, address: String) -> Result<(), String>;
    asks proxy(request: Resource<Request>, url: String) -> Result<(), String>;
    asks source_address(request: Resource<Request>, address: String) -> Result<(), String>;
    asks max_body(request: Resource<Request>, bytes: u64) -> ();
    waits send(request: Resource<Request>) -> Result<Resource<Response>, http::Error>;
    forgets drop(request: Resource<Request>) -> ();
} }

taped! { http::HostResponse as "http.response" {
    says status(response: Resource<Response>) -> u16;
    says url(response: Resource<Response>) -> String;
    says headers(response: Resource<Response>) -> Vec<(String, String)>;
    says body(response: Resource<Response>) -> Vec<u8>;
    says body_size(response: Resource<Response>) -> u64;
    says timing(response: Resource<Response>) -> http::Timing;
    says connection(response: Resource<Response>) -> http::Connection;
    says location(response: Resource<Response>) -> Option<String>;
    says days_left(response: Resource<Response>) -> Vec<i64>;
    says drop(response: Resource<Response>) -> ();
} }

taped! { ssh::HostClient as "ssh.client" {
    asks new(host: String, port: u16) -> Result<Resource<Client>, String>;
    asks username(client: Resource<Client>, name: String) -> Result<(), String>;
    asks timeout(client: Resource<Client>, milliseconds: u32) -> ();
    asks known_hosts(client: Resource<Client>, path: String) -> Result<(), String>;
    asks host_key(client: Resource<Client>, key: String) -> Result<(), String>;
    asks accept_new(client: Resource<Client>) -> ();
    asks identity(client: Resource<Client>, path: String, passphrase: Option<String>) -> Result<(), String>;
    asks agent(client: Resource<Client>) -> Result<(), String>;
    asks password(client: Resource<Client>, setting: String) -> Result<(), String>;
    waits connect(client: Resource<Client>) -> Result<Resource<Session>, ssh::Error>;
    forgets drop(client: Resource<Client>) -> ();
} }

taped! { ssh::HostSession as "ssh.session" {
    asks server(session: Resource<Session>) -> ssh::Server;
    asks methods(session: Resource<Session>) -> Vec<String>;
    asks time(session: Resource<Session>) -> f64;
    waits authenticate(session: Resource<Session>) -> Result<(), ssh::Error>;
    waits exec(session: Resource<Session>, command: String, max_output: u64) -> Result<ssh::Output, ssh::Error>;
    drops drop(session: Resource<Session>) -> ();
} }

taped! { span::HostSpan as "span.span" {
    says new(op: String, description: String) -> Resource<Span>;
    says set_data(span: Resource<Span>, key: String, value: types::Value) -> ();
    says set_status(span: Resource<Span>, status: span::Status) -> ();
    says drop(span: Resource<Span>) -> ();
} }

taped! { span::Host as "span" {
    says set_data(key: String, value: types::Value) -> ();
    says set_tag(key: String, value: String) -> ();
} }

taped! { log::Host as "log" {
    says write(level: log::Level, message: String) -> ();
} }

impl http::Host for Taped<'_> {}
impl ssh::Host for Taped<'_> {}
impl types::Host for Taped<'_> {}

pub(super) fn itself(context: &mut Context) -> &mut Context {
    context
}

impl Context {
    /// A call that is for the tape, if there is one: what has to do with the guest's own streams alone is not.
    pub(super) fn taped(&self, said: impl FnOnce() -> Said) -> Option<Said> {
        if self.tape.is_none() {
            return None;
        }
        let mut said = Some(said()).filter(|said| !self.owns(said.handles()))?;
        if self.tape.is_read() {
            said.put_back(|handle| recorded(handle, &self.table));
        }
        Some(said)
    }

    /// What the tape has a call come to; none where it is to be made.
    pub(super) fn ask<R: Reply>(&mut self, said: Said) -> Option<R> {
        let name = said.name().to_owned();
        let told = match self.tape.asks(said) {
            Ok(told) => told?,
            Err(off) => return Some(R::stop(off)),
        };
        let damaged = || Off::Departed(format!("the recording is damaged: `{name}` cannot come to what it says"));
        Some(R::read(&told, &mut self.table).unwrap_or_else(|| R::stop(damaged())))
    }

    /// What a call that was made came to.
    pub(super) fn answered<R: Reply>(&self, done: &R) {
        self.tape.answered(done.tell(&self.table), &self.evidence);
    }
}
