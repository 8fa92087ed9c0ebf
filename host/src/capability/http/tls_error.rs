//! Messages for failures of TLS handshakes.

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

use crate::capability::http::certificate_error;
use crate::capability::http::peer::Peer;
use crate::capability::http::timing_hooks::{ClientAuth, Timestamps};
use crate::plain_error::variant_words;

const NO_VERSION: &str = "the server offers no TLS version that we accept (1.2 and 1.3)";
const NO_CIPHER: &str = "the server accepts none of the cipher suites, curves and signature algorithms that we offer";
const NEEDS_CLIENT_CERT: &str = "the server requires a client certificate";

/// Returns a message for a person about an error of rustls.
pub fn message(error: &rustls::Error, timestamps: &Timestamps, peer: &Peer) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate_error::message(error, timestamps, peer),
        E::InvalidMessage(invalid) if is_other_protocol(invalid) && timestamps.cert_chain.is_empty() => {
            let port = peer.port_behind_proxy.unwrap_or(peer.connect_port);
            format!("what listens on port {port} does not speak TLS")
        }
        E::InvalidMessage(invalid) => violation(&variant_words(invalid)),
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => violation("unexpected message"),
        E::PeerMisbehaved(how) => violation(&variant_words(how)),
        E::PeerSentOversizedRecord => violation("oversized record"),
        E::DecryptError => violation("a message cannot be decrypted"),
        E::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        E::NoApplicationProtocol => WRONG_HTTP.to_owned(),
        E::PeerIncompatible(why) => incompatibility(why),
        E::AlertReceived(alert) => alert_message(*alert, timestamps, peer),
        E::UnsupportedNameType => format!("`{}` is no name that a certificate can have", peer.host),
        E::FailedToGetCurrentTime => "this machine does not know the time".to_owned(),
        E::FailedToGetRandomBytes => "this machine has no random numbers".to_owned(),
        other => format!("the TLS handshake failed: {}", variant_words(other)),
    }
}

const WRONG_HTTP: &str = "the server does not speak the version of HTTP that is asked for";

/// Returns true if bytes that are no message of TLS are probably another protocol.
fn is_other_protocol(invalid: &InvalidMessage) -> bool {
    use InvalidMessage as I;
    matches!(
        invalid,
        I::InvalidContentType
            | I::UnknownProtocolVersion
            | I::MessageTooLarge
            | I::MessageTooShort
            | I::InvalidEmptyPayload
            | I::MissingData(_)
    )
}

fn violation(how: &str) -> String {
    format!("the server violates the TLS protocol: {how}")
}

fn incompatibility(why: &PeerIncompatible) -> String {
    use PeerIncompatible as P;
    match why {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => NO_VERSION.to_owned(),
        P::NoCipherSuitesInCommon
        | P::NoKxGroupsInCommon
        | P::NoSignatureSchemesInCommon
        | P::NoEcPointFormatsInCommon
        | P::NamedGroupsExtensionRequired => NO_CIPHER.to_owned(),
        P::NoCertificateRequestSignatureSchemesInCommon => {
            format!("{NEEDS_CLIENT_CERT} with a signature of a kind that is not supported")
        }
        other => format!("the server speaks TLS in a way that is not supported: {}", variant_words(other)),
    }
}

/// Returns the message about an alert that the server sent. The same alert means something else before the server has
/// shown its certificate than after it has asked for ours.
fn alert_message(alert: AlertDescription, timestamps: &Timestamps, peer: &Peer) -> String {
    use AlertDescription as A;
    let shown = describe_alert(alert);
    match (alert, timestamps.client_auth) {
        (A::UnrecognisedName, _) => format!("the server knows no site named `{}`", peer.host),
        (A::CertificateRequired, _) => NEEDS_CLIENT_CERT.to_owned(),
        (A::NoApplicationProtocol, _) => WRONG_HTTP.to_owned(),
        (A::ProtocolVersion | A::InappropriateFallback, _) => NO_VERSION.to_owned(),
        (A::HandshakeFailure | A::InsufficientSecurity, _) if timestamps.cert_chain.is_empty() => {
            format!("{NO_CIPHER} ({shown})")
        }
        (
            A::HandshakeFailure
            | A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied,
            auth @ (ClientAuth::NoneSent | ClientAuth::Sent),
        ) => match auth {
            ClientAuth::Sent => format!("the server does not accept our certificate ({shown})"),
            _ => format!("{NEEDS_CLIENT_CERT} ({shown})"),
        },
        _ => format!("the server refused the TLS handshake ({shown})"),
    }
}

/// Returns the number and the name of an alert: `alert 40, handshake failure`.
fn describe_alert(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    match alert {
        AlertDescription::Unknown(_) => format!("alert {number}"),
        known => format!("alert {number}, {}", variant_words(&known)),
    }
}

#[cfg(test)]
mod tests;
