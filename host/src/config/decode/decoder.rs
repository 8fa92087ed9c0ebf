//! The state of decoding a configuration.

use std::path::Path;

use super::component::Modules;
use crate::config::check_in::CheckIn;
use crate::config::table::DecodeContext;

/// The state of decoding a configuration.
pub struct Decoder<'a> {
    pub context: DecodeContext<'a>,
    /// The directory that relative paths start from.
    pub directory: &'a Path,
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    pub check_ins: Vec<CheckIn>,
    pub modules: Modules,
}
