//! The settings that a request sends as credentials, and the check that its server may have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

use crate::capability::grant::{Grants, Refusal, SecretTarget, allow_unverified_tls, any_of};
use crate::capability::probe_context::ProbeContext;
use crate::config::Protocol;

/// The settings that a request sends as credentials, and the options of its connection that the component has chosen.
#[derive(Debug, Clone, Default)]
pub struct SecretSettings {
    /// The JSON pointer of the setting for the `authorization` header.
    pub authorization: Option<Arc<str>>,
    /// The JSON pointers of the settings that name the client certificate's key. It may be shown to the hosts of each.
    pub client_key: Arc<[String]>,
    /// The options whose values are not among the probe's settings, by their names in the contract. `verify_tls` is one
    /// of them whenever certificates are not verified: whether the settings say so depends on the secret.
    pub chosen_options: BTreeSet<&'static str>,
}

impl SecretSettings {
    /// Records whether the component has chosen the value of an option itself, instead of taking it from the settings.
    pub fn set_chosen(&mut self, option: &'static str, is_chosen: bool) {
        if is_chosen {
            self.chosen_options.insert(option);
        } else {
            self.chosen_options.remove(option);
        }
    }

    /// Checks that the first request may send the `authorization` header to the URL's host, and that the component has
    /// chosen no option of a connection that credentials are sent over.
    ///
    /// # Errors
    /// A [`Refusal`] that names the setting or the entry of `allow` to add.
    pub fn check(&self, probe: &ProbeContext, url: &Url) -> Result<(), Refusal> {
        any_of(&self.client_key, |pointer| self.check_options(probe, pointer))?;
        let Some(pointer) = self.authorization.as_deref() else { return Ok(()) };
        self.check_options(probe, pointer)?;
        check_url(probe, pointer, url)
    }

    /// Checks that a request may show the client certificate to the URL's host. This is checked for each redirect too,
    /// since every server can ask for the certificate.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry of `allow` to add.
    pub fn check_client_key(&self, probe: &ProbeContext, url: &Url) -> Result<(), Refusal> {
        // Without TLS no certificate is shown.
        let pointers = if url.scheme() == "https" { &*self.client_key } else { &[] };
        any_of(pointers, |pointer| check_url(probe, pointer, url).and_then(|()| self.check_options(probe, pointer)))
    }

    /// Checks that the component has chosen no option of a connection that this secret is sent over.
    fn check_options(&self, probe: &ProbeContext, pointer: &str) -> Result<(), Refusal> {
        let is_allowed =
            |option: &str| option == "verify_tls" && allow_unverified_tls(&probe.visible_settings, pointer);
        let chosen: Vec<_> = self.chosen_options.iter().copied().filter(|option| !is_allowed(option)).collect();
        Grants::check_chosen_options(&chosen)
    }
}

/// Checks that a secret setting may be sent to the host of an http or https URL.
fn check_url(probe: &ProbeContext, pointer: &str, url: &Url) -> Result<(), Refusal> {
    let protocol = if url.scheme() == "https" { Protocol::Https } else { Protocol::Http };
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Ok(()) };
    probe.check_secret(pointer, &SecretTarget { protocol, host: host.to_owned(), port })
}
