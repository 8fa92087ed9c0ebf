//! Write SentryNet probes in Rust.
//!
//! A probe is a type that implements [`Probe`], exported with [`export!`]. Its settings are a struct of its own, read
//! with serde; a run passes with `Ok`, and `?` turns what went wrong into a failure with a reason:
//!
//! ```no_run
//! use sentrynet_guest::{Check, Failure, Probe, Trouble, http::Request};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Settings {
//!     /// Where the service answers.
//!     url: String,
//! }
//!
//! struct Up;
//!
//! impl Probe for Up {
//!     const NAME: &str = "up";
//!     const VERSION: &str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &str = "Whether a service says that it is up";
//!     type Settings = Settings;
//!
//!     fn check(settings: &Settings, check: &mut Check) -> Option<String> {
//!         check.at("/url", Request::new("GET", &settings.url));
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
pub mod http;
pub mod log;
mod settings;
pub mod span;
pub mod ssh;
mod trouble;

pub use settings::{Check, Kept};
pub use trouble::{Failure, Mismatch, Trouble};

/// What a probe is. See the [crate's example](crate).
pub trait Probe {
    /// Lower case, without spaces.
    const NAME: &str;
    /// The probe's own version: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &str;
    /// One sentence for a person.
    const SUMMARY: &str;
    /// What the configuration may say. Its JSON Schema is shown to operators, doc comments included;
    /// `#[serde(deny_unknown_fields)]` makes a mistyped key an error.
    type Settings: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// Finds what a type cannot say, without touching the network, and answers with the title that a run has when the
    /// configuration gives none.
    fn check(settings: &Self::Settings, check: &mut Check) -> Option<String>;

    /// One run, in an instance made for it.
    ///
    /// # Errors
    /// [`Trouble::Failed`] says that the target is wrong, [`Trouble::Broken`] that the probe could not do its work.
    fn run(settings: Self::Settings) -> Result<(), Trouble>;
}

/// Makes this crate a component: exports one type that implements [`Probe`].
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

/// Where memory comes from: Rust's own allocator takes all of it from the host, and growing costs a new instance more
/// than a short run computes.
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

    const PAGE: usize = 64 << 10;

    /// What an instance begins with. An HTTP request takes 1 KiB, a chain of three with JSON 14 KiB; whoever looks into
    /// more computes for so long that growing is nothing to it. What is not touched costs nothing.
    static mut ARENA: [MaybeUninit<u8>; PAGE] = [MaybeUninit::uninit(); PAGE];

    /// The arena, and then what the host gives.
    #[derive(Debug)]
    struct Memory {
        /// Of what the host gave last.
        end: Option<NonNull<u8>>,
    }

    #[allow(unsafe_code, reason = "memory is made of addresses")]
    // SAFETY: nothing here allocates.
    unsafe impl Source for Memory {
        fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
            if !talc.is_metadata_established() {
                // SAFETY: nobody else knows the arena.
                return unsafe { talc.claim((&raw mut ARENA).cast(), PAGE) }.map(drop).ok_or(());
            }
            // More than what it is to be aligned and what talc notes beside it take.
            let pages = layout.size().saturating_add(layout.align()).saturating_add(64).div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            if before == usize::MAX {
                return Err(());
            }
            let (base, size) = ((before * PAGE) as *mut u8, pages * PAGE);
            // SAFETY: the host has just made these pages for us, and what is extended ends where they begin.
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
