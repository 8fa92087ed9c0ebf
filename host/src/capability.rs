//! What a guest can call: one room for each WIT interface, under the same name, and what they share of one run.
//! Knows nothing of schedules, of sinks, or of where a component came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::capability::grant::{Grants, List, Refusal};
use crate::capability::memory_budget::{MemoryPool, Reservation};
use crate::capability::quota::{ConnectionPermit, Exceeded, Quota};
use crate::capability::record_replay::{Intercepted, RecordReplay};
use crate::config::{Limits, TraceHeaders, TraceHost, exposed};
use crate::propagation::Origin;
use crate::run::{Identity, Level};
use crate::trace::Recorder;

pub mod evidence;
pub mod grant;
pub mod http;
mod address_filter;
mod timeout;
pub mod log;
pub mod memory_budget;
pub mod quota;
mod host_lookup;
mod span;
pub mod ssh;
pub mod record_replay;
pub mod wasi;
mod net_errors;

/// The contract's types, generated from `wit/`.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "probe",
        imports: {
            default: trappable,
            "sentrynet:probe/http.[method]request.send": async | trappable,
            "sentrynet:probe/ssh.[method]client.connect": async | trappable,
            "sentrynet:probe/ssh.[method]session.authenticate": async | trappable,
            "sentrynet:probe/ssh.[method]session.exec": async | trappable,
        },
        exports: { default: async },
        additional_derives: [serde::Serialize, serde::Deserialize],
        with: {
            "sentrynet:probe/http.request": crate::capability::http::Request,
            "sentrynet:probe/http.response": crate::capability::http::Response,
            "sentrynet:probe/span.span": crate::capability::span::Span,
            "sentrynet:probe/ssh.client": crate::capability::ssh::Client,
            "sentrynet:probe/ssh.session": crate::capability::ssh::Session,
        },
    });
}

/// Makes every capability known to `linker`. A component gets those that it imports.
///
/// # Errors
/// When one is known already, which would be a mistake of ours.
pub fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    bindings::Probe::add_to_linker::<_, GuestCalls>(linker, |context| Intercepted(context))?;
    wasi::link(linker)?;
    record_replay::link::<GuestCalls>(linker)
}

/// A guest's calls come by way of the tape of its run.
struct GuestCalls;

impl HasData for GuestCalls {
    type Data<'a> = Intercepted<'a>;
}

/// What a guest's calls share during one run. Made for it, and dropped with it.
pub struct Context {
    pub recorder: Recorder,
    pub tags: BTreeMap<String, String>,
    pub log: log::Journal,
    pub evidence: evidence::Evidence,
    pub record_replay: RecordReplay,
    pub limits: Limits,
    pub quota: Quota,
    /// Bytes of its linear memories, and elements of its tables.
    pub memory: Growth,
    pub elements: Growth,
    /// What it has of the memory of all runs.
    pub reservation: Reservation,
    /// What to tell the operator of the settings, each with a JSON pointer into them.
    pub warnings: Vec<(String, String)>,
    deadline: Instant,
    probe: Arc<ProbeContext>,
    /// Where exchanges go on.
    exchanges: Handle,
    http: http::Session,
    table: ResourceTable,
    /// Bytes that the host holds on the guest's behalf.
    held: usize,
    /// Bytes of text that the guest may still put on spans.
    span_text: usize,
    wasi: Option<wasi::Wasi>,
}

/// What the configuration says of a probe, as far as its guest's calls need it: the same for all its runs.
pub struct ProbeContext {
    pub identity: Arc<Identity>,
    /// By their keys; a map would have room for more.
    pub settings: Box<[(String, serde_json::Value)]>,
    pub policy: Arc<Policy>,
    pub refusals: Refusals,
    /// Who may be told of a run's trace.
    pub trace_hosts: Arc<[TraceHost]>,
    pub origin: Arc<Origin>,
    pub http: Arc<http::Stack>,
    pub ssh: Arc<ssh::Stack>,
    pub memory: Arc<MemoryPool>,
    /// Its component is one that comes with the host.
    pub built_in: bool,
    /// False while settings are checked, when nothing may be sent.
    pub may_send: bool,
}

/// The part of it that is the same for a group's probes, as often as not.
#[derive(PartialEq)]
pub struct Policy {
    /// Where relative paths of the configuration start from.
    pub directory: Box<Path>,
    pub grants: Grants,
    /// Values of our environment that it may see, by their names.
    pub environment: BTreeMap<String, String>,
    pub trace_headers: TraceHeaders,
}

/// Refusals that the operator has been told of: for most probes there are none.
#[derive(Default)]
pub struct Refusals(Mutex<Vec<Refusal>>);

impl ProbeContext {
    /// Tells the operator of a refusal: in the run's log, and the first time in ours too.
    pub fn report_refusal(&self, log: &log::Journal, refusal: &Refusal) {
        /// A guest can think of names without end.
        const MOST: usize = 20;
        log.write_once(Level::Warn, refusal.to_string());
        let mut known = self.refusals.0.lock();
        if known.len() < MOST && !known.contains(refusal) {
            known.push(refusal.clone());
            tracing::warn!("{}: {refusal}", self.identity.title);
        }
    }

    /// Where its settings name a file, as a JSON pointer.
    fn named_at(&self, path: &str) -> Option<String> {
        grant::named_at(self.settings.iter().map(|(key, value)| (key, value)), path)
    }

    /// Writes a line of the guest's own.
    pub fn write_log(&self, log: &log::Journal, level: Level, message: String) {
        match self.policy.grants.log() {
            Ok(()) => log.write(level, message),
            Err(refusal) => self.report_refusal(log, &refusal),
        }
    }
}

/// What has grown in the guest, all of a kind together.
#[derive(Default)]
pub struct Growth {
    pub all: usize,
    /// The last of it, which may yet come to nothing.
    pub last: usize,
}

/// A guest held more than it may, on our side of the wall.
#[derive(Debug, thiserror::Error)]
#[error("the host would hold more than {} MiB for the guest", self.0 >> 20)]
pub struct HostMemoryExceeded(pub usize);

impl Context {
    pub fn new(
        probe: Arc<ProbeContext>,
        exchanges: Handle,
        recorder: Recorder,
        record_replay: RecordReplay,
        log: log::Journal,
        limits: Limits,
        deadline: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let meter = Quota::new(limits);
        Self {
            tags: BTreeMap::new(),
            log,
            evidence: evidence::Evidence::default(),
            record_replay,
            recorder,
            limits,
            quota: meter.clone(),
            memory: Growth::default(),
            elements: Growth::default(),
            reservation: probe.memory.reservation(probe.built_in),
            warnings: Vec::new(),
            deadline,
            http: http::Session::new(Arc::clone(&probe.http), meter),
            probe,
            exchanges,
            table,
            held: 0,
            span_text: span::MAX_TEXT_BYTES,
            wasi: None,
        }
    }

    /// A file that the probe's own settings name, as seen from the configuration's folder.
    fn file(&self, path: &str) -> Result<PathBuf, String> {
        match self.probe.named_at(path) {
            Some(_) => Ok(self.probe.policy.directory.join(path)),
            None => Err("the probe's configuration names no such file".to_owned()),
        }
    }

    /// Such a file that holds a private key: while settings are checked, it is seen who else can read it.
    fn key_file(&mut self, path: &str) -> Result<PathBuf, String> {
        let file = self.file(path)?;
        if let (false, Some(pointer)) = (self.probe.may_send, self.probe.named_at(path)) {
            self.warnings.extend(exposed(&file).map(|warning| (pointer, warning)));
        }
        Ok(file)
    }

    /// While settings are checked, says what a run will be refused.
    fn warn_if_refused(&mut self, list: List, host: &str, port: Option<u16>) {
        if !self.probe.may_send
            && let Err(refusal) = self.probe.policy.grants.name(list, host, port)
        {
            self.warnings.push(("/probe".to_owned(), refusal.to_string()));
        }
    }

    /// Tells the operator of a refusal, and hands on its words for the guest.
    fn refuse(&self, refusal: &Refusal) -> String {
        self.probe.report_refusal(&self.log, refusal);
        refusal.to_string()
    }

    /// A setting that the host keeps.
    fn setting(&self, pointer: &str) -> Result<&serde_json::Value, String> {
        let mut segments = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        let first = segments.next();
        let first = self.probe.settings.iter().find(|(key, _)| Some(key) == first.as_ref());
        let found = first.and_then(|(_, value)| match pointer.match_indices('/').nth(1) {
            Some((at, _)) => value.pointer(&pointer[at..]),
            None => Some(value),
        });
        found.ok_or_else(|| format!("there is no setting at `{}`", pointer.escape_debug()))
    }

    /// Counts bytes that the host is about to hold for the guest: as many as it may have itself.
    fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.limits.memory {
            return Err(HostMemoryExceeded(self.limits.memory).into());
        }
        Ok(self.reservation.reserve(bytes)?)
    }

    /// Makes room for a connection, and counts it.
    fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        self.http.make_room();
        self.quota.acquire_connection()
    }

    fn discharge(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        self.reservation.release(bytes);
    }
}

impl bindings::sentrynet::probe::types::Host for Context {}

/// Cuts text to at most `longest` bytes, between characters.
pub fn truncate(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
    }
    text
}
