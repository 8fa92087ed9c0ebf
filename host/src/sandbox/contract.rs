//! The contract between the host and probes: the package `sentrynet:probe` in the folder `wit`.

/// The package's name, with the slash before the name of an interface.
pub const PACKAGE: &str = "sentrynet:probe/";
/// The interface that a probe exports, without its version.
pub const PROBER: &str = "sentrynet:probe/prober";
/// The version of the contract that this host implements.
pub const CONTRACT_VERSION: &str = "0.1.1";
