//! Counts the arguments of a guest's calls as memory that the host holds for the guest.
//!
//! The arguments of a call count while the call is made. Afterwards they count until a resource is dropped: the
//! resource that the call has returned or, if it has returned none, the resource that it was made on. Without either,
//! they count to the end of the attempt. Each resource that a call returns counts as well.
//!
//! This holds for every function in the tables of [`record_replay`](crate::capability::record_replay), so that a
//! function that is added there is counted without further code. A function that keeps nothing of its arguments, or
//! copies a part of bounded size, is marked as `transient` there: its arguments count during the call alone.

use std::collections::BTreeMap;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::io::streams;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::{SocketError, StreamError};
use wasmtime_wasi_http::p2::bindings::http::types as wasi_http;
use wasmtime_wasi_http::p2::{HeaderError, HttpError};

use crate::capability::bindings::sentrynet::probe::{http, log, span, ssh, types};
use crate::capability::quota::{Exceeded, HeldBytes, Quota};

/// The number of bytes that are counted for a text, a list, and each element of a list in addition to their contents:
/// for the structure that holds them, such as the entry of a header, and for the allocator.
const ARGUMENT_BYTES: usize = 128;
/// The number of bytes that are counted for a resource.
const RESOURCE_BYTES: usize = 1 << 10;

/// The memory that is counted for the arguments of calls that were made.
#[derive(Default)]
pub struct HeldArguments {
    /// The memory that is released when a resource is dropped, by the resource's handle.
    by_resource: BTreeMap<u32, HeldBytes>,
    /// The memory that belongs to no resource, and that counts to the end of the attempt.
    to_the_end: Option<HeldBytes>,
}

/// An argument of a call.
pub trait HeldArgument {
    /// Returns the number of bytes that are counted for the argument, with 128 for each text and list.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Calls `visit` for each resource in the argument: with the resource's handle, and with true if the call takes
    /// ownership of the resource.
    fn visit_handles(&self, _visit: &mut dyn FnMut(u32, bool)) {}
}

/// The result of a call, or a part of it.
pub trait CallResult {
    /// True if the result has a resource unless it is an error.
    const HAS_RESOURCE: bool = false;

    /// Returns the handle of the first resource of the result.
    fn resource(&self) -> Option<u32> {
        None
    }
}

/// The whole result of a function.
pub trait FunctionResult: CallResult {
    /// Returns a result that stops the guest, for a call that is not made.
    fn exceeded(exceeded: Exceeded) -> Self;
}

/// The values that the host still holds after a call, which go on counting against the memory limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing of the arguments, or a part of bounded size.
    Nothing,
    /// The arguments.
    Arguments,
    /// The arguments, and what the resources contain that the call took ownership of.
    ArgumentsAndGiven,
}

/// The arguments of one call that is being made.
pub struct CallArguments {
    arguments: Option<HeldBytes>,
    resource: Option<HeldBytes>,
    /// The resource that the call is made on: the first that the guest still owns after the call.
    target: Option<u32>,
    /// The resources that the call takes ownership of.
    given: Vec<u32>,
}

/// Counts a call that is about to be made: its arguments, the resource that it returns if `R` has one, and
/// `copied_bytes`, the size of the resource that it copies.
///
/// # Errors
/// [`Exceeded`] when the host would hold too much for the guest: the call must not be made.
pub fn hold_arguments<R: CallResult>(
    quota: &Quota,
    arguments: &[&dyn HeldArgument],
    copied_bytes: usize,
) -> Result<CallArguments, Exceeded> {
    let hold = |bytes: usize| if bytes == 0 { Ok(None) } else { quota.hold(bytes).map(Some) };
    let bytes = arguments.iter().map(|argument| argument.held_bytes()).fold(copied_bytes, usize::saturating_add);
    let (mut target, mut given) = (None, Vec::new());
    for argument in arguments {
        argument.visit_handles(&mut |handle, is_given| {
            if is_given {
                given.push(handle);
            } else {
                target = target.or(Some(handle));
            }
        });
    }
    let resource = hold(if R::HAS_RESOURCE { RESOURCE_BYTES } else { 0 })?;
    Ok(CallArguments { arguments: hold(bytes)?, resource, target, given })
}

impl HeldArguments {
    /// Counts the arguments of a call that was made for as long as the host may keep them, which `kept` says.
    pub fn settle<R: CallResult>(&mut self, call: CallArguments, result: &R, kept: Kept) {
        let CallArguments { arguments, resource, target, given } = call;
        let returned = result.resource();
        let of_given: Vec<_> = given.iter().filter_map(|handle| self.by_resource.remove(handle)).collect();
        if let Some(returned) = returned {
            // The returned resource may contain those that the call took, as a request contains its headers. So their
            // bytes count until the returned resource is dropped.
            resource.into_iter().chain(of_given).for_each(|bytes| self.add(Some(returned), bytes));
        } else if kept == Kept::ArgumentsAndGiven {
            for bytes in of_given {
                self.add(None, bytes);
            }
        }
        if let (true, Some(bytes)) = (kept != Kept::Nothing, arguments) {
            self.add(returned.or(target), bytes);
        }
    }

    /// Counts bytes to the end of the attempt.
    pub fn hold_to_the_end(&mut self, bytes: HeldBytes) {
        self.add(None, bytes);
    }

    fn add(&mut self, owner: Option<u32>, bytes: HeldBytes) {
        let known = match owner {
            Some(owner) => match self.by_resource.get_mut(&owner) {
                Some(known) => known,
                None => {
                    self.by_resource.insert(owner, bytes);
                    return;
                }
            },
            None => match &mut self.to_the_end {
                Some(known) => known,
                none => {
                    *none = Some(bytes);
                    return;
                }
            },
        };
        known.merge(bytes);
    }
}

impl<T: 'static> HeldArgument for Resource<T> {
    fn visit_handles(&self, visit: &mut dyn FnMut(u32, bool)) {
        visit(self.rep(), self.owned());
    }
}

impl HeldArgument for String {
    fn held_bytes(&self) -> usize {
        ARGUMENT_BYTES + self.len()
    }
}

impl HeldArgument for Vec<u8> {
    fn held_bytes(&self) -> usize {
        ARGUMENT_BYTES + self.len()
    }
}

macro_rules! list {
    ($($element:ty $(, $parameter:ident: $bound:lifetime)?;)*) => {
        $(impl$(<$parameter: $bound>)? HeldArgument for Vec<$element> {
            fn held_bytes(&self) -> usize {
                self.iter().map(|element| ARGUMENT_BYTES + element.held_bytes()).fold(ARGUMENT_BYTES, usize::saturating_add)
            }

            fn visit_handles(&self, visit: &mut dyn FnMut(u32, bool)) {
                for element in self {
                    element.visit_handles(visit);
                }
            }
        })*
    };
}

list! {
    Resource<T>, T: 'static;
    Vec<u8>;
    (String, Vec<u8>);
    types::Mismatch;
}

impl<A: HeldArgument, B: HeldArgument> HeldArgument for (A, B) {
    fn held_bytes(&self) -> usize {
        self.0.held_bytes().saturating_add(self.1.held_bytes())
    }
}

impl<T: HeldArgument> HeldArgument for Option<T> {
    fn held_bytes(&self) -> usize {
        self.as_ref().map_or(0, HeldArgument::held_bytes)
    }

    fn visit_handles(&self, visit: &mut dyn FnMut(u32, bool)) {
        if let Some(argument) = self {
            argument.visit_handles(visit);
        }
    }
}

impl<T: HeldArgument, E> HeldArgument for Result<T, E> {
    fn visit_handles(&self, visit: &mut dyn FnMut(u32, bool)) {
        if let Ok(argument) = self {
            argument.visit_handles(visit);
        }
    }
}

impl HeldArgument for types::Value {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.held_bytes(),
            Self::Integer(_) | Self::Number(_) | Self::Boolean(_) => 0,
        }
    }
}

impl HeldArgument for types::Failure {
    fn held_bytes(&self) -> usize {
        let Self { reason, message, mismatches } = self;
        reason.held_bytes().saturating_add(message.held_bytes()).saturating_add(mismatches.held_bytes())
    }
}

impl HeldArgument for types::Problem {
    fn held_bytes(&self) -> usize {
        self.pointer.held_bytes().saturating_add(self.message.held_bytes())
    }
}

impl HeldArgument for types::Mismatch {
    fn held_bytes(&self) -> usize {
        let Self { subject, expected, actual } = self;
        [subject, expected, actual].map(HeldArgument::held_bytes).into_iter().fold(0, usize::saturating_add)
    }
}

impl HeldArgument for wasi_http::Method {
    fn held_bytes(&self) -> usize {
        if let Self::Other(name) = self { name.held_bytes() } else { 0 }
    }
}

impl HeldArgument for wasi_http::Scheme {
    fn held_bytes(&self) -> usize {
        if let Self::Other(name) = self { name.held_bytes() } else { 0 }
    }
}

/// Implements [`HeldArgument`] for types without texts, lists and resources.
macro_rules! small {
    ($($type:ty),* $(,)?) => { $(impl HeldArgument for $type {})* };
}

small! {
    bool, u8, u16, u32, u64, log::Level, span::Status, IpAddressFamily, IpSocketAddress, ShutdownType,
    // Errors that the host itself has made.
    HeaderError, HttpError, SocketError, StreamError,
}

impl<T: 'static> CallResult for Resource<T> {
    const HAS_RESOURCE: bool = true;

    fn resource(&self) -> Option<u32> {
        Some(self.rep())
    }
}

impl<T: CallResult, E> CallResult for Result<T, E> {
    const HAS_RESOURCE: bool = T::HAS_RESOURCE;

    fn resource(&self) -> Option<u32> {
        self.as_ref().ok()?.resource()
    }
}

impl<T: CallResult> FunctionResult for Result<T, wasmtime::Error> {
    fn exceeded(exceeded: Exceeded) -> Self {
        Err(exceeded.into())
    }
}

impl<T: CallResult> FunctionResult for Result<T, StreamError> {
    fn exceeded(exceeded: Exceeded) -> Self {
        Err(StreamError::Trap(exceeded.into()))
    }
}

/// Implements [`FunctionResult`] for results with errors that can trap.
macro_rules! trappable {
    ($($error:ty),*) => {
        $(impl<T: CallResult> FunctionResult for Result<T, $error> {
            fn exceeded(exceeded: Exceeded) -> Self {
                Err(<$error>::trap(exceeded))
            }
        })*
    };
}

trappable!(HeaderError, HttpError, SocketError);

impl<T: CallResult> CallResult for Option<T> {
    const HAS_RESOURCE: bool = T::HAS_RESOURCE;

    fn resource(&self) -> Option<u32> {
        self.as_ref()?.resource()
    }
}

impl<A: CallResult, B> CallResult for (A, B) {
    const HAS_RESOURCE: bool = A::HAS_RESOURCE;

    fn resource(&self) -> Option<u32> {
        self.0.resource()
    }
}

impl<A: CallResult, B, C> CallResult for (A, B, C) {
    const HAS_RESOURCE: bool = A::HAS_RESOURCE;

    fn resource(&self) -> Option<u32> {
        self.0.resource()
    }
}

impl<T> CallResult for Vec<T> {}

/// Implements [`CallResult`] for types without resources.
macro_rules! without_resources {
    ($($type:ty),* $(,)?) => { $(impl CallResult for $type {})* };
}

without_resources! {
    (), bool, u8, u16, u32, u64, f64, String, http::Timing, http::Connection, ssh::Server, ssh::Output, Datetime,
    IpAddress, IpAddressFamily, IpSocketAddress, ErrorCode, wasi_http::ErrorCode, wasi_http::HeaderError,
    wasi_http::Method, wasi_http::Scheme, streams::StreamError,
}
