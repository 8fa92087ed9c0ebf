//! Loads probes beside each other, on the threads for guests with long computations.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::{self, Config};
use crate::sandbox::{Probe, Problem, Sandbox};

/// A loaded probe with warnings about it, or all problems with it.
pub type LoadedProbe = Result<(Probe, Vec<Problem>), Vec<Problem>>;

/// Loads a probe. A panic is a problem too.
pub async fn load_probe(sandbox: Arc<Sandbox>, directory: Arc<Path>, configured: Arc<config::Probe>) -> LoadedProbe {
    let on_threads = Arc::clone(&sandbox);
    // The future is boxed, since it is moved several times.
    catch_panic(&sandbox, Box::pin(async move { on_threads.load(&configured, &directory).await })).await
}

async fn catch_panic(sandbox: &Sandbox, loading: impl Future<Output = LoadedProbe> + Send + 'static) -> LoadedProbe {
    sandbox.run_on_guest_threads(loading).await.unwrap_or_else(|_| {
        // The panic itself is in the log.
        let message = "the host panicked while it loaded the probe; this is a bug, please report it".to_owned();
        Err(vec![Problem { pointer: "/probe".to_owned(), message }])
    })
}

/// Loads those probes of a configuration for which `is_loaded` returns true. Returns them with their indices, in the
/// order of the configuration.
pub async fn load_probes(
    sandbox: &Arc<Sandbox>,
    config: &Config,
    is_loaded: impl Fn(&config::Probe) -> bool,
) -> Vec<(usize, LoadedProbe)> {
    let directory: Arc<Path> = Arc::from(config.directory.as_path());
    let mut loading = JoinSet::new();
    for (index, probe) in config.probes.iter().enumerate().filter(|(_, probe)| is_loaded(probe)) {
        let load = load_probe(Arc::clone(sandbox), Arc::clone(&directory), Arc::new(probe.clone()));
        loading.spawn(async move { (index, load.await) });
    }
    let mut loaded = loading.join_all().await;
    loaded.sort_by_key(|(index, _)| *index);
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::EventDefaults;
    use crate::sandbox::Compiler;

    #[tokio::test]
    #[expect(clippy::default_trait_access, reason = "this module must not name the type")]
    async fn a_panic_while_one_probe_is_loaded_does_not_end_the_loading_of_others() {
        let sandbox = Sandbox::new(1, None, EventDefaults::default(), Default::default(), Compiler::ThisProcess);
        let sandbox = Arc::new(sandbox.expect("one run needs few resources"));
        let mut loading = JoinSet::new();
        for index in 0..3 {
            let sandbox = Arc::clone(&sandbox);
            loading.spawn(async move {
                let load = async move {
                    tokio::task::yield_now().await;
                    assert_ne!(index, 1, "this is a test");
                    Err(vec![Problem { pointer: String::new(), message: format!("loaded {index}") }])
                };
                (index, catch_panic(&sandbox, load).await)
            });
        }
        let mut loaded = loading.join_all().await;
        loaded.sort_by_key(|(index, _)| *index);
        let messages =
            loaded.into_iter().map(|(_, loaded)| loaded.err().expect("no probe is loaded")[0].message.clone());
        let panicked = "the host panicked while it loaded the probe; this is a bug, please report it";
        assert_eq!(messages.collect::<Vec<_>>(), ["loaded 0", panicked, "loaded 2"]);
    }
}
