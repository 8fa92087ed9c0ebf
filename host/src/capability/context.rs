//! The state that a guest's calls share during one attempt.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::runtime::Handle;
use wasmtime::component::ResourceTable;

use crate::capability::accounting::Accounting;
use crate::capability::address_filter::AddressFilter;
use crate::capability::bindings;
use crate::capability::file_calls::FileCalls;
use crate::capability::grant::{List, Refusal};
use crate::capability::host_lookup::HostLookup;
use crate::capability::http;
use crate::capability::opening_limit::AttemptOpenings;
use crate::capability::probe_context::ProbeContext;
use crate::capability::quota::{ConnectionPermit, Exceeded};
use crate::capability::record_replay::held_arguments::HeldArguments;
use crate::capability::regular_file;
use crate::capability::run_handles::RunHandles;
use crate::capability::shared_state::SharedState;
use crate::capability::text::quotable;
use crate::capability::wasi::Wasi;
use crate::config::Limits;
use crate::run::Failure;

/// The state that a guest's calls share during one attempt of a run. It is made for the attempt and dropped with it.
pub struct Context {
    /// The run's trace, log, recording and evidence.
    pub run: RunHandles,
    /// The resources that the attempt has used, and its limits.
    pub accounting: Accounting,
    /// Tags that the guest has set on the run.
    pub tags: BTreeMap<String, String>,
    /// Warnings that the guest has reported about the target. At most 20.
    pub run_warnings: Vec<Failure>,
    /// True once a warning was left out.
    pub(in crate::capability) has_dropped_warning: bool,
    /// True once the guest has set a tag or an attribute whose name is the host's.
    pub(in crate::capability) has_set_reserved: bool,
    /// Warnings about the settings, for the operator, each with a JSON pointer to the setting. At most 20.
    pub warnings: Vec<(String, String)>,
    /// The time at which the attempt is stopped.
    pub(in crate::capability) deadline: Instant,
    pub(in crate::capability) probe: Arc<ProbeContext>,
    pub(in crate::capability) shared: Arc<SharedState>,
    /// The runtime on which exchanges run.
    pub(in crate::capability) exchanges: Handle,
    /// The resources behind the guest's handles.
    pub(in crate::capability) table: ResourceTable,
    /// Resolves names.
    pub(in crate::capability) lookup: HostLookup,
    /// Reads and writes the files that settings name.
    pub(in crate::capability) files: FileCalls,
    /// The connections and cookies of `http`.
    pub(in crate::capability) http: http::Session,
    /// The memory that is counted for the arguments of the guest's calls.
    pub(in crate::capability) held_arguments: HeldArguments,
    /// The connections that are opened beside those of other runs.
    pub(in crate::capability) openings: AttemptOpenings,
    /// The state of WASI, made at the first call that needs it.
    pub(in crate::capability) wasi: Option<Wasi>,
}

impl Context {
    /// Returns the context of an attempt that begins now and ends at `deadline`; its exchanges run on `exchanges`.
    pub fn new(
        probe: Arc<ProbeContext>,
        shared: Arc<SharedState>,
        run: RunHandles,
        limits: Limits,
        deadline: Instant,
        exchanges: Handle,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let connections = shared.connections.for_run(probe.built_in);
        let accounting = Accounting::new(limits, shared.memory.reservation(probe.built_in), connections);
        let lookup = HostLookup(shared.lookups.for_run(probe.lookups.as_ref(), accounting.quota.clone()));
        let openings = AttemptOpenings::new(Arc::clone(&shared.openings), probe.built_in, deadline);
        let files = FileCalls(shared.files.for_run(probe.files.as_ref(), accounting.quota.clone()));
        let http =
            http::Session::new(Arc::clone(&shared.http), accounting.quota.clone(), lookup.clone(), files.clone());
        Self {
            run,
            accounting,
            tags: BTreeMap::new(),
            run_warnings: Vec::new(),
            has_dropped_warning: false,
            has_set_reserved: false,
            warnings: Vec::new(),
            deadline,
            probe,
            shared,
            exchanges,
            table,
            http,
            held_arguments: HeldArguments::default(),
            lookup,
            files,
            openings,
            wasi: None,
        }
    }

    /// Returns true while the component checks settings or describes itself. A replay is a run, although nothing is
    /// sent.
    pub(in crate::capability) fn is_outside_of_runs(&self) -> bool {
        !self.probe.may_send && !self.run.record_replay.is_replay()
    }

    /// Returns the path of a file that the probe's settings name, relative to the configuration's folder.
    ///
    /// # Errors
    /// When the settings name no such file; a sentence for the guest.
    pub(in crate::capability) fn file(&self, path: &str) -> Result<PathBuf, String> {
        if self.probe.file_pointers(path).is_empty() {
            return Err("the probe's configuration names no such file".to_owned());
        }
        Ok(self.probe.policy.directory.join(path))
    }

    /// Returns the path of a private key's file. While settings are checked, warns if other users can read the file.
    ///
    /// # Errors
    /// When the settings name no such file; a sentence for the guest.
    pub(in crate::capability) async fn key_file(&mut self, path: &str) -> Result<PathBuf, String> {
        let file = self.file(path)?;
        if !self.probe.may_send
            && let Some(pointer) = self.probe.file_pointers(path).into_iter().next()
        {
            let key = file.clone();
            let warning = self.files.run(move |may_block| regular_file::world_readable_warning(&key, may_block)).await;
            if let Some(warning) = warning.ok().flatten() {
                self.push_warning(pointer, warning);
            }
        }
        Ok(file)
    }

    /// Warns, while settings are checked, if a run will be refused a connection to this host.
    pub(in crate::capability) fn warn_if_refused(&mut self, list: List, host: &str, port: Option<u16>) {
        if !self.probe.may_send
            && let Err(refusal) = self.probe.policy.grants.check_host_text(list, host, port)
        {
            self.push_warning("/probe".to_owned(), refusal.to_string());
        }
    }

    /// Adds a warning for the operator, unless there are as many as are shown: a guest can cause any number.
    pub(in crate::capability) fn push_warning(&mut self, pointer: String, message: String) {
        const MAX_WARNINGS: usize = 20;
        let warning = (pointer, message);
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Reports a refusal to the operator, and returns its message for the guest.
    pub(in crate::capability) fn refuse(&self, refusal: &Refusal) -> String {
        self.probe.report_refusal(&self.run.log, refusal);
        refusal.message_for(self.probe.built_in)
    }

    /// Returns the setting at a JSON pointer. The guest has only the pointer of a setting that its schema marks
    /// `writeOnly`.
    ///
    /// # Errors
    /// When there is no such setting; a sentence for the guest.
    pub(in crate::capability) fn setting(&self, pointer: &str) -> Result<&Value, String> {
        let setting = self.probe.setting(pointer);
        setting.ok_or_else(|| format!("there is no setting at `{}`", quotable(pointer)))
    }

    /// Returns the filter for the addresses of hosts on a list.
    pub(in crate::capability) fn address_filter(&self, list: List) -> AddressFilter {
        AddressFilter { list, probe: Arc::clone(&self.probe), log: self.run.log.clone() }
    }

    /// Counts a connection that is about to be made. If the limit is reached, closes the idle connections of HTTP
    /// first.
    ///
    /// # Errors
    /// [`Exceeded`] when too many connections would be open at once, or any limit was reached before.
    pub(in crate::capability) fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        self.http.close_idle_if_full();
        self.accounting.quota.acquire_connection()
    }
}

impl bindings::sentrynet::probe::types::Host for Context {}
