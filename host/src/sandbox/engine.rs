//! The engine that all components share: how code is compiled, where its memory comes from.

use etcetera::BaseStrategy;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::config::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use crate::sandbox::epoch;

/// A pool of so many runs at once is seldom full.
const LARGE: usize = 2000;

/// Makes an engine for so many runs at once, each of which is sure of so many bytes of memory.
pub fn new(in_flight: usize, share: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Guests are synchronous; component-model async is not ready to be relied on.
    config.concurrency_support(false);
    config.memory_reservation(MAX_MEMORY_BYTES as u64);
    // After a peak its stacks are given back too.
    config.async_stack_zeroing(in_flight > LARGE);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(in_flight, share)));
    // The same on every machine, so that a recorded run can be replayed on another.
    config.relaxed_simd_deterministic(true);
    config.cranelift_nan_canonicalization(true);
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.cache(cache());
    let engine = Engine::new(&config)?;
    epoch::spawn_epoch_ticker(&engine)?;
    Ok(engine)
}

fn pool(in_flight: usize, share: usize) -> PoolingAllocationConfig {
    /// What one component may be made of: Python with its extensions is made of 38 modules, and has one memory.
    const CORE_INSTANCES: u32 = 64;
    const TABLES: u32 = 4;
    const MEMORIES: u32 = 2;
    /// Kept between runs rather than given back: this makes a run's start five times cheaper, but a large pool would
    /// hold it all after a peak.
    const KEEP_RESIDENT: usize = 128 << 10;
    const LARGEST_INSTANCE: usize = 4 << 20;

    // Beside the runs, one component at a time is asked who it is.
    let count = u32::try_from(in_flight).unwrap_or(u32::MAX).saturating_add(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES))
        .total_memories(count.saturating_mul(MEMORIES))
        .total_tables(count.saturating_mul(TABLES))
        .total_stacks(count)
        .max_memory_size(MAX_MEMORY_BYTES)
        .max_component_instance_size(LARGEST_INSTANCE)
        .max_core_instance_size(LARGEST_INSTANCE)
        .max_tables_per_module(TABLES)
        .max_memories_per_module(MEMORIES)
        // No component has more than the share of one, so that none can use up those of the others.
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_tables_per_component(TABLES)
        .max_memories_per_component(MEMORIES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .pagemap_scan(Enabled::Auto);
    // What a place keeps that no run is in counts as that run's share.
    if in_flight <= LARGE && share >= KEEP_RESIDENT * (MEMORIES + TABLES) as usize {
        pool.linear_memory_keep_resident(KEEP_RESIDENT).table_keep_resident(KEEP_RESIDENT);
    }
    pool
}

/// Compiled code on disk, so that the next start need not compile. Without a place for it, each start compiles.
fn cache() -> Option<Cache> {
    let directory = etcetera::choose_base_strategy().ok()?.cache_dir().join("sentrynet");
    let mut config = CacheConfig::new();
    config.with_directory(&directory);
    match Cache::new(config) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::info!("no cache of compiled probes in {}: {error:#}", directory.display());
            None
        }
    }
}
