//! The SDK for SentryNet probes in Rust.
//!
//! A probe is a type that implements [`Probe`] and is exported with [`export!`]. Its settings are a struct that serde
//! deserializes. A run passes by returning `Ok`; the `?` operator makes an error of the host a failure with a reason:
//!
//! ```no_run
//! use sentrynet_guest::{Failure, Probe, Problems, Trouble, http::Request};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Settings {
//!     /// The URL of the service.
//!     url: String,
//! }
//!
//! struct Up;
//!
//! impl Probe for Up {
//!     const NAME: &str = "up";
//!     const VERSION: &str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &str = "Checks that a service says that it is up";
//!     type Settings = Settings;
//!
//!     fn check(settings: &Settings, problems: &mut Problems) -> Option<String> {
//!         problems.ok_or_add("/url", Request::new("GET", &settings.url));
//!         Some(format!("Up {}", settings.url))
//!     }
//!
//!     fn run(settings: Settings) -> Result<(), Trouble> {
//!         let response = Request::new("GET", &settings.url)?.send()?;
//!         match response.body().as_slice() {
//!             b"up" => Ok(()),
//!             _ => Err(Failure::new("not-up", "the service does not say that it is up").into()),
//!         }
//!     }
//! }
//!
//! sentrynet_guest::export!(Up);
//! ```
//!
//! `cargo test` runs tests of a probe on this machine, against a host that the tests set up: see `mock`.

#[doc(hidden)]
pub mod adapter;
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "probe",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "sentrynet_guest::bindings",
    });
}
mod error;
pub mod http;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
mod seconds;
mod settings;
mod size;
pub mod span;
pub mod ssh;
pub mod warning;

/// The functions of the host.
#[cfg(target_family = "wasm")]
use bindings::sentrynet::probe as host;
#[cfg(not(target_family = "wasm"))]
use mock::host;

pub use error::{Failure, Mismatch, Trouble};
pub use seconds::{SECONDS_PATTERN, Seconds};
pub use settings::{Credentials, Problems, SecretSetting, escape_pointer};
pub use size::{Size, format_bytes};

/// A probe. See the [crate's example](crate).
pub trait Probe {
    /// The probe's name: lower case, without spaces.
    const NAME: &str;
    /// The probe's own version, mostly `env!("CARGO_PKG_VERSION")`.
    const VERSION: &str;
    /// One sentence on what the probe checks, for a person.
    const SUMMARY: &str;
    /// The settings that an operator can give in the configuration. Their JSON Schema is shown to operators, with the
    /// doc comments of the fields as descriptions. `#[serde(deny_unknown_fields)]` makes a mistyped key an error.
    type Settings: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// Finds mistakes in the settings that their type does not exclude, without touching the network. Returns the title
    /// of the run, for a configuration that gives none.
    fn check(settings: &Self::Settings, problems: &mut Problems) -> Option<String>;

    /// Does one run, in a new instance of the component.
    ///
    /// # Errors
    /// Returns [`Trouble::Failed`] if the target is not as it should be, and [`Trouble::Broken`] if the probe could not
    /// do its work.
    fn run(settings: Self::Settings) -> Result<(), Trouble>;
}

/// Exports a type that implements [`Probe`], which makes the crate a component. Must be called once.
#[macro_export]
macro_rules! export {
    ($probe:ty) => {
        const _: () = {
            use $crate::bindings::exports::sentrynet::probe::prober;

            struct Component;

            impl prober::Guest for Component {
                fn describe() -> prober::Description {
                    $crate::adapter::describe::<$probe>()
                }

                fn check(settings: String) -> Result<Option<String>, Vec<prober::Problem>> {
                    $crate::adapter::check::<$probe>(&settings)
                }

                fn run(settings: String) -> Result<(), prober::Trouble> {
                    $crate::adapter::run::<$probe>(&settings)
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// The global allocator, which begins with memory that an instance has from the start. Rust's default allocator takes
/// all memory from the host, and growing the memory of a new instance costs more than the whole computation of a short
/// run.
#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod memory {
    use core::alloc::Layout;
    use core::arch::wasm32::memory_grow;
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use talc::base::Talc;
    use talc::base::binning::Binning;
    use talc::cell::TalcSyncCell;
    use talc::source::Source;
    use talc::wasm::WasmBinning;

    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> = TalcSyncCell::new_wasm(Memory { end: None });

    /// Bytes of a page of WebAssembly memory.
    const PAGE: usize = 64 << 10;

    /// The memory that an instance begins with. An HTTP request takes 1 KiB, a chain of three with JSON 14 KiB. A run
    /// that needs more computes for so long that the time to grow does not matter. Bytes that are not touched cost
    /// nothing.
    static mut ARENA: [MaybeUninit<u8>; PAGE] = [MaybeUninit::uninit(); PAGE];

    /// The source of the allocator's memory: first the arena, then pages of the host.
    #[derive(Debug)]
    struct Memory {
        /// The end of the pages that the host added last; `None` before the first.
        end: Option<NonNull<u8>>,
    }

    #[allow(unsafe_code, reason = "an allocator works with raw addresses")]
    // SAFETY: nothing here allocates.
    unsafe impl Source for Memory {
        fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
            if !talc.is_metadata_established() {
                // SAFETY: nothing else refers to the arena.
                return unsafe { talc.claim((&raw mut ARENA).cast(), PAGE) }.map(drop).ok_or(());
            }
            // Includes the alignment, and talc's own data beside the allocation, which takes less than 64 bytes.
            let pages = layout.size().saturating_add(layout.align()).saturating_add(64).div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            if before == usize::MAX {
                return Err(());
            }
            let (base, size) = ((before * PAGE) as *mut u8, pages * PAGE);
            // SAFETY: the host has just added these pages, and the region that is extended ends where they begin.
            talc.source.end = unsafe {
                match talc.source.end.filter(|end| end.as_ptr() == base) {
                    Some(end) => Some(talc.extend(end, base.wrapping_add(size))),
                    None => talc.claim(base, size),
                }
            };
            talc.source.end.map(drop).ok_or(())
        }
    }
}
