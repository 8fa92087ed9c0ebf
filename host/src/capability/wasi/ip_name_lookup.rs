//! The interface `ip-name-lookup`: the addresses of names that the probe may ask. A lookup is a span `dns` under the
//! guest's innermost open one.

use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};
use std::vec;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;
use url::Host as UrlHost;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketError, SocketResult, subscribe};

use crate::capability::Context;
use crate::capability::address_filter::AddressFilter;
use crate::capability::grant::List;
use crate::capability::host_lookup::lookup;
use crate::capability::run_handles::RunHandles;
use crate::capability::timeout::Timeout;
use crate::capability::wasi::evidence::{DnsEvidence, MOST_ADDRESSES};
use crate::capability::wasi::resolved_names::ResolvedNames;
use crate::run::evidence::Connection;
use crate::trace::{Handle, HostContact, Recorder, Status};

/// A lookup, in the place of WASI's own.
enum Lookup {
    GoesOn(AbortOnDropHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Found(vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

impl Host for Context {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let lookup = match parse(&name)? {
            UrlHost::Ipv4(address) => Lookup::Found(vec![address.into()].into_iter()),
            UrlHost::Ipv6(address) => Lookup::Found(vec![address.into()].into_iter()),
            UrlHost::Domain(name) => {
                self.may_send()?;
                if let Err(refusal) = self.probe.policy.grants.check_lookup(List::Hosts, &name) {
                    return self.denied(&refusal);
                }
                self.accounting.quota.count_request().map_err(SocketError::trap)?;
                let lookup = Asking {
                    judge: self.address_filter(List::Hosts),
                    names: self.wasi().0.names.clone(),
                    patience: Timeout::new(Duration::MAX, self.deadline).duration(),
                    span: Span::open(&self.run, &name),
                    name,
                };
                // As every exchange: see `http`.
                Lookup::GoesOn(AbortOnDropHandle::new(self.exchanges.spawn(lookup.ask())))
            }
        };
        let lookup = self.table.push(lookup)?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

impl HostResolveAddressStream for Context {
    fn resolve_next_address(&mut self, lookup: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&ours(&lookup))?;
        if lookup.poll(&mut Task::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        match lookup {
            Lookup::Found(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Lookup::Failed(error) => Err((*error).into()),
            Lookup::GoesOn(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(&mut self, lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours(&lookup))
    }

    fn drop(&mut self, lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Lookup>::new_own(lookup.rep()))?;
        Ok(())
    }
}

impl Lookup {
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if let Self::GoesOn(asking) = self {
            *self = match std::task::ready!(Pin::new(asking).poll(task)) {
                Ok(Ok(found)) => Self::Found(found.into_iter()),
                Ok(Err(error)) => Self::Failed(error),
                Err(_) => Self::Failed(ErrorCode::Unknown),
            };
        }
        Poll::Ready(())
    }
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|task| self.poll(task)).await;
    }
}

/// What the bindings take for theirs.
fn ours(lookup: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(lookup.rep())
}

/// A name in the letters of DNS, or an address: IPv6 need not be in brackets.
fn parse(name: &str) -> Result<UrlHost<String>, SocketError> {
    let parsed = UrlHost::parse(name).ok().or_else(|| name.parse::<Ipv6Addr>().ok().map(UrlHost::Ipv6));
    parsed.ok_or_else(|| ErrorCode::InvalidArgument.into())
}

/// A lookup that goes on in a task of its own.
struct Asking {
    name: String,
    judge: AddressFilter,
    names: ResolvedNames,
    patience: Duration,
    span: Span,
}

impl Asking {
    async fn ask(self) -> Result<Vec<IpAddr>, ErrorCode> {
        let Self { name, judge, names, patience, span } = self;
        let found = tokio::time::timeout(patience, lookup(&name)).await;
        let found = match found {
            Ok(Ok(found)) => found.iter().map(IpAddr::to_canonical).collect::<Vec<_>>(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => {
                span.unanswered(&name, Status::DeadlineExceeded, "timeout");
                return Err(ErrorCode::Timeout);
            }
        };
        if found.is_empty() {
            span.unanswered(&name, Status::Unavailable, "dns");
            return Err(ErrorCode::NameUnresolvable);
        }
        match judge.allowed_on_any_port(&name, found) {
            Ok(allowed) => {
                names.add(&name, &allowed);
                span.answered(&allowed);
                Ok(allowed)
            }
            Err(_) => {
                span.end(Status::PermissionDenied, Some("denied"));
                Err(ErrorCode::AccessDenied)
            }
        }
    }
}

/// The span of a lookup, which is cancelled unless it comes to its end.
struct Span {
    recorder: Recorder,
    handle: Handle,
    started: Instant,
    kept: Arc<DnsEvidence>,
}

impl Span {
    fn open(run: &RunHandles, name: &str) -> Self {
        let recorder = run.recorder.clone();
        let started = Instant::now();
        let handle = recorder.open_at(recorder.current(), "dns", format!("Resolve {name}"), started);
        recorder.set(handle, "dns.question.name", name);
        let kept = Connection {
            phase: "dns".into(),
            names: vec![name.to_owned()],
            peer: name.to_owned(),
            ..Connection::default()
        };
        let kept = Arc::new(DnsEvidence(Mutex::new(kept)));
        run.evidence.add(handle, kept.clone());
        Self { recorder, handle, started, kept }
    }

    fn answered(&self, addresses: &[IpAddr]) {
        let shown: Vec<_> = addresses.iter().take(MOST_ADDRESSES).map(ToString::to_string).collect();
        self.recorder.set(self.handle, "dns.answers", shown.join(","));
        self.kept().resolved = shown;
        self.end(Status::Ok, None);
    }

    /// Of a name without an address nothing came back.
    fn unanswered(&self, name: &str, status: Status, error: &'static str) {
        self.recorder.record_contact(HostContact {
            host: name.to_owned(),
            loopback: HostContact::is_loopback(name, []),
            answered: false,
            from: self.started,
            to: Instant::now(),
        });
        self.end(status, Some(error));
    }

    fn end(&self, status: Status, error: Option<&'static str>) {
        self.recorder.set_status(self.handle, status);
        if let Some(error) = error {
            self.recorder.set(self.handle, "error.type", error);
            self.kept().error = Some(error.into());
        }
        self.recorder.close(self.handle);
    }

    fn kept(&self) -> MutexGuard<'_, Connection> {
        self.kept.0.lock()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.recorder.cancel(self.handle);
        let mut kept = self.kept();
        if kept.resolved.is_empty() {
            kept.error.get_or_insert("cancelled".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_looked_up() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(parse(name).ok().map(|host| host.to_string()).as_deref(), expected, "{name}");
        };
        check("Shop.EXAMPLE.", Some("shop.example."));
        check("bücher.example", Some("xn--bcher-kva.example"));
        // Addresses in whatever form are judged as such once they are connected to.
        check("0x7f.1", Some("127.0.0.1"));
        check("2130706433", Some("127.0.0.1"));
        check("::1", Some("[::1]"));
        check("[::ffff:10.0.0.1]", Some("[::ffff:a00:1]"));
        for wrong in ["", "fe80::1%eth0", "[fe80::1%25eth0]", "a b", "user@shop.example", "shop.example:80", "h/path"] {
            check(wrong, None);
        }
    }
}
