//! Configures the wasmtime engine that all components share: compilation, and the pool that instances are allocated
//! from.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::config::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use crate::sandbox::epoch;
use crate::sandbox::executor::load_calls_at_once;

/// The number of runs at once above which no memory of the pool stays resident, since so large a pool is seldom full.
const LARGE_POOL_RUNS: usize = 2000;

/// Creates an engine for `in_flight` runs at once, each of which is guaranteed `share` bytes of memory, and starts its
/// epoch ticker.
///
/// # Errors
/// Returns wasmtime's error if the kernel refuses the address space of the pool, or a thread for the ticker.
pub fn new(in_flight: usize, share: usize) -> wasmtime::Result<Engine> {
    let mut config = config();
    // Zeroing a stack after a run returns its pages to the kernel. Otherwise they would stay resident in a large pool
    // after a peak.
    config.async_stack_zeroing(in_flight > LARGE_POOL_RUNS);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(in_flight, share)));
    let engine = Engine::new(&config)?;
    epoch::spawn_epoch_ticker(&engine)?;
    Ok(engine)
}

/// The processors that can execute compiled code.
#[cfg(feature = "compiler")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// Processors that have all features of this machine's.
    Native,
    /// All processors of this machine's architecture.
    Baseline,
}

#[cfg(feature = "compiler")]
impl std::fmt::Display for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Baseline => "baseline",
        })
    }
}

#[cfg(feature = "compiler")]
impl std::str::FromStr for Cpu {
    type Err = UnknownCpu;

    fn from_str(text: &str) -> Result<Self, UnknownCpu> {
        match text {
            "native" => Ok(Self::Native),
            "baseline" => Ok(Self::Baseline),
            _ => Err(UnknownCpu),
        }
    }
}

/// A text does not name a [`Cpu`].
#[cfg(feature = "compiler")]
#[derive(Debug, thiserror::Error)]
#[error("expected `native` or `baseline`")]
pub struct UnknownCpu;

/// Creates an engine that only compiles. Its code is for the engines of [`new`]: the pool does not change it.
///
/// # Errors
/// Returns wasmtime's error if the processor is not supported.
#[cfg(feature = "compiler")]
pub fn for_compiling(cpu: Cpu) -> wasmtime::Result<Engine> {
    let mut config = config();
    if cpu == Cpu::Baseline {
        // With a target, wasmtime does not use the features of this processor.
        config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    }
    Engine::new(&config)
}

/// Returns the settings that have an influence on compiled code.
fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // Guests are synchronous: component-model async is not yet reliable.
    config.concurrency_support(false);
    config.memory_reservation(MAX_MEMORY_BYTES as u64);
    // The next two settings make guests deterministic on every machine, so that a run recorded on one can be replayed
    // on another.
    config.relaxed_simd_deterministic(true);
    #[cfg(feature = "compiler")]
    config.cranelift_nan_canonicalization(true);
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

fn pool(in_flight: usize, share: usize) -> PoolingAllocationConfig {
    /// The maximal number of core instances of one component. Python with its extensions has 38 core modules and one
    /// memory.
    const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
    const TABLES_PER_COMPONENT: u32 = 4;
    const MEMORIES_PER_COMPONENT: u32 = 2;
    const MAX_INSTANCE_BYTES: usize = 4 << 20;
    /// The bytes of each memory and table that stay resident between runs. They make the start of a run five times
    /// cheaper, but after a peak they stay resident in all slots of the pool.
    const RESIDENT_BYTES: usize = 128 << 10;

    // Components that are being loaded need instances too: they describe themselves and check settings.
    let count = u32::try_from(in_flight.saturating_add(load_calls_at_once())).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(count.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(count.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(count)
        .max_memory_size(MAX_MEMORY_BYTES)
        .max_component_instance_size(MAX_INSTANCE_BYTES)
        .max_core_instance_size(MAX_INSTANCE_BYTES)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        // The totals are divided equally, so that no component can use up the resources of others.
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .table_elements(MAX_TABLE_ELEMENTS)
        .pagemap_scan(Enabled::Auto);
    // The memory that stays resident in the unused slot of a run must not exceed the share that is guaranteed to the
    // run.
    let resident_per_run = RESIDENT_BYTES * (MEMORIES_PER_COMPONENT + TABLES_PER_COMPONENT) as usize;
    if in_flight <= LARGE_POOL_RUNS && share >= resident_per_run {
        pool.linear_memory_keep_resident(RESIDENT_BYTES).table_keep_resident(RESIDENT_BYTES);
    }
    pool
}
