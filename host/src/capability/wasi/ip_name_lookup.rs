//! The interface `ip-name-lookup`: the addresses of host names that the operator allows.

use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;
use std::vec;

use tokio_util::task::AbortOnDropHandle;
use url::Host as UrlHost;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketError, SocketResult, subscribe};

use crate::capability::Context;
use crate::capability::address_filter::AddressFilter;
use crate::capability::grant::List;
use crate::capability::host_lookup::HostLookup;
use crate::capability::quota::Quota;
use crate::capability::timeout::Timeout;
use crate::capability::wasi::resolved_names::ResolvedNames;
use crate::capability::wasi::span::DnsSpan;
use crate::trace::Status;

/// A lookup. The resource table contains it in place of wasmtime's `ResolveAddressStream`.
enum Lookup {
    Pending(AbortOnDropHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Resolved(vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

impl Host for Context {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let lookup = match parse_host(&name)? {
            UrlHost::Ipv4(address) => Lookup::Resolved(vec![address.into()].into_iter()),
            UrlHost::Ipv6(address) => Lookup::Resolved(vec![address.into()].into_iter()),
            UrlHost::Domain(name) => {
                self.check_may_send()?;
                if let Err(refusal) = self.probe.policy.grants.check_lookup(List::Hosts, &name) {
                    return self.deny(&refusal);
                }
                self.accounting.quota.count_request().map_err(SocketError::trap)?;
                let task = LookupTask {
                    filter: self.address_filter(List::Hosts),
                    resolved_names: self.wasi().0.resolved_names.clone(),
                    timeout: Timeout::new(Duration::MAX, self.deadline).duration(),
                    span: DnsSpan::open(&self.run, &name),
                    name,
                    lookup: self.lookup.clone(),
                    quota: self.accounting.quota.clone(),
                };
                Lookup::Pending(AbortOnDropHandle::new(self.exchanges.spawn(task.run())))
            }
        };
        let lookup = self.table.push(lookup)?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

impl HostResolveAddressStream for Context {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&as_lookup(&stream))?;
        if lookup.poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        match lookup {
            Lookup::Resolved(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Lookup::Failed(error) => Err((*error).into()),
            Lookup::Pending(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, as_lookup(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Lookup>::new_own(stream.rep()))?;
        Ok(())
    }
}

impl Lookup {
    /// Returns `Ready` once the lookup has ended.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Self::Pending(task) = self {
            *self = match std::task::ready!(Pin::new(task).poll(cx)) {
                Ok(Ok(addresses)) => Self::Resolved(addresses.into_iter()),
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
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

/// Converts a handle from the type in the bindings to the type of the entry in the resource table.
fn as_lookup(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(stream.rep())
}

/// Parses a host name, or an address in any form that a URL may have, or an IPv6 address without brackets.
///
/// # Errors
/// `invalid-argument`.
fn parse_host(name: &str) -> Result<UrlHost<String>, SocketError> {
    let parsed = UrlHost::parse(name).ok().or_else(|| name.parse::<Ipv6Addr>().ok().map(UrlHost::Ipv6));
    parsed.ok_or_else(|| ErrorCode::InvalidArgument.into())
}

/// A lookup in a task of its own, so that guests that compute do not delay it.
struct LookupTask {
    name: String,
    filter: AddressFilter,
    resolved_names: ResolvedNames,
    timeout: Duration,
    span: DnsSpan,
    lookup: HostLookup,
    quota: Quota,
}

impl LookupTask {
    async fn run(self) -> Result<Vec<IpAddr>, ErrorCode> {
        let Self { name, filter, resolved_names, timeout, span, lookup, quota } = self;
        let addresses = match tokio::time::timeout(timeout, lookup.resolve(&name)).await {
            Ok(Ok(addresses)) => addresses.iter().map(IpAddr::to_canonical).collect::<Vec<_>>(),
            // The error of the C library's resolver does not tell that a socket could not be opened.
            Ok(Err(error)) if quota.check_error(&error).and_then(|()| quota.check_host()).is_err() => {
                span.end_by_shortage();
                return Err(ErrorCode::TemporaryResolverFailure);
            }
            Ok(Err(_)) => Vec::new(),
            // The name was not looked up.
            Err(_) if quota.check().is_err() => {
                span.end_by_shortage();
                return Err(ErrorCode::TemporaryResolverFailure);
            }
            Err(_) => {
                span.end_unanswered(&name, Status::DeadlineExceeded, "timeout");
                return Err(ErrorCode::Timeout);
            }
        };
        if addresses.is_empty() {
            span.end_unanswered(&name, Status::Unavailable, "dns");
            return Err(ErrorCode::NameUnresolvable);
        }
        match filter.allowed_on_any_port(&name, addresses) {
            Ok(allowed) => {
                resolved_names.add(&name, &allowed);
                span.end_answered(&allowed);
                Ok(allowed)
            }
            Err(_) => {
                span.end_denied();
                Err(ErrorCode::AccessDenied)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_and_addresses() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(parse_host(name).ok().map(|host| host.to_string()).as_deref(), expected, "{name}");
        };
        check("Shop.EXAMPLE.", Some("shop.example."));
        check("bücher.example", Some("xn--bcher-kva.example"));
        // Addresses in all these forms are checked with the grants when the guest connects.
        check("0x7f.1", Some("127.0.0.1"));
        check("2130706433", Some("127.0.0.1"));
        check("::1", Some("[::1]"));
        check("[::ffff:10.0.0.1]", Some("[::ffff:a00:1]"));
        for wrong in ["", "fe80::1%eth0", "[fe80::1%25eth0]", "a b", "user@shop.example", "shop.example:80", "h/path"] {
            check(wrong, None);
        }
    }
}
