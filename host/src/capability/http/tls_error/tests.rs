//! Feeds every error of the TLS libraries through our sentences: none may show a Rust type.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, ContentType, EncryptedClientHelloError, Error,
    HandshakeType, InconsistentKeys, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved,
};

use super::*;
use crate::capability::http::request::parse_target;

fn misbehaviours() -> Vec<PeerMisbehaved> {
    use PeerMisbehaved as P;
    vec![
        P::AttemptedDowngradeToTls12WhenTls13IsSupported,
        P::BadCertChainExtensions,
        P::CipherSuiteDifferedOnRetry,
        P::DisallowedEncryptedExtension,
        P::DuplicateClientHelloExtensions,
        P::DuplicateEncryptedExtensions,
        P::DuplicateHelloRetryRequestExtensions,
        P::DuplicateNewSessionTicketExtensions,
        P::DuplicateServerHelloExtensions,
        P::DuplicateServerNameTypes,
        P::EarlyDataAttemptedInSecondClientHello,
        P::EarlyDataExtensionWithoutResumption,
        P::EarlyDataOfferedWithVariedCipherSuite,
        P::EchAcceptanceVariedAfterRetry,
        P::HandshakeHashVariedAfterRetry,
        P::IllegalHelloRetryRequestWithEmptyCookie,
        P::IllegalHelloRetryRequestWithNoChanges,
        P::IllegalHelloRetryRequestWithOfferedGroup,
        P::IllegalHelloRetryRequestWithUnofferedCipherSuite,
        P::IllegalHelloRetryRequestWithUnofferedNamedGroup,
        P::IllegalHelloRetryRequestWithUnsupportedVersion,
        P::IllegalHelloRetryRequestWithWrongSessionId,
        P::IllegalHelloRetryRequestWithInvalidEch,
        P::IllegalMiddleboxChangeCipherSpec,
        P::IllegalTlsInnerPlaintext,
        P::IncorrectBinder,
        P::InvalidCertCompression,
        P::InvalidMaxEarlyDataSize,
        P::InvalidKeyShare,
        P::KeyEpochWithPendingFragment,
        P::KeyUpdateReceivedInQuicConnection,
        P::MessageInterleavedWithHandshakeMessage,
        P::MissingBinderInPskExtension,
        P::MissingKeyShare,
        P::MissingPskExtensionInSecondClientHello,
        P::MissingPskModesExtension,
        P::MissingQuicTransportParameters,
        P::OfferedDuplicateCertificateCompressions,
        P::OfferedDuplicateKeyShares,
        P::OfferedEarlyDataWithOldProtocolVersion,
        P::OfferedEmptyApplicationProtocol,
        P::OfferedIncorrectCompressions,
        P::PskExtensionMustBeLast,
        P::PskExtensionWithMismatchedIdsAndBinders,
        P::RefusedToFollowHelloRetryRequest,
        P::RejectedEarlyDataInterleavedWithHandshakeMessage,
        P::ResumptionAttemptedWithVariedEms,
        P::ResumptionOfferedWithVariedCipherSuite,
        P::ResumptionOfferedWithVariedEms,
        P::ResumptionOfferedWithIncompatibleCipherSuite,
        P::SelectedDifferentCipherSuiteAfterRetry,
        P::SelectedInvalidPsk,
        P::SelectedTls12UsingTls13VersionExtension,
        P::SelectedUnofferedApplicationProtocol,
        P::SelectedUnofferedCertCompression,
        P::SelectedUnofferedCipherSuite,
        P::SelectedUnofferedCompression,
        P::SelectedUnofferedKxGroup,
        P::SelectedUnofferedPsk,
        P::SelectedUnusableCipherSuiteForVersion,
        P::ServerEchoedCompatibilitySessionId,
        P::ServerHelloMustOfferUncompressedEcPoints,
        P::ServerNameDifferedOnRetry,
        P::ServerNameMustContainOneHostName,
        P::SignedKxWithWrongAlgorithm,
        P::SignedHandshakeWithUnadvertisedSigScheme,
        P::TooManyEmptyFragments,
        P::TooManyKeyUpdateRequests,
        P::TooManyRenegotiationRequests,
        P::TooManyWarningAlertsReceived,
        P::TooMuchEarlyDataReceived,
        P::UnexpectedCleartextExtension,
        P::UnsolicitedCertExtension,
        P::UnsolicitedEncryptedExtension,
        P::UnsolicitedSctList,
        P::UnsolicitedServerHelloExtension,
        P::WrongGroupForKeyShare,
        P::UnsolicitedEchExtension,
    ]
}

fn incompatibilities() -> Vec<PeerIncompatible> {
    use PeerIncompatible as P;
    vec![
        P::EcPointsExtensionRequired,
        P::ExtendedMasterSecretExtensionRequired,
        P::IncorrectCertificateTypeExtension,
        P::KeyShareExtensionRequired,
        P::NamedGroupsExtensionRequired,
        P::NoCertificateRequestSignatureSchemesInCommon,
        P::NoCipherSuitesInCommon,
        P::NoEcPointFormatsInCommon,
        P::NoKxGroupsInCommon,
        P::NoSignatureSchemesInCommon,
        P::NullCompressionRequired,
        P::ServerDoesNotSupportTls12Or13,
        P::ServerSentHelloRetryRequestWithUnknownExtension,
        P::ServerTlsVersionIsDisabledByOurConfig,
        P::SignatureAlgorithmsExtensionRequired,
        P::SupportedVersionsExtensionRequired,
        P::Tls12NotOffered,
        P::Tls12NotOfferedOrEnabled,
        P::Tls13RequiredForQuic,
        P::UncompressedEcPointsRequired,
        P::UnsolicitedCertificateTypeExtension,
        P::ServerRejectedEncryptedClientHello(None),
    ]
}

fn invalid_messages() -> Vec<InvalidMessage> {
    use InvalidMessage as I;
    vec![
        I::CertificatePayloadTooLarge,
        I::HandshakePayloadTooLarge,
        I::InvalidCcs,
        I::InvalidContentType,
        I::InvalidCertificateStatusType,
        I::InvalidCertRequest,
        I::InvalidDhParams,
        I::InvalidEmptyPayload,
        I::InvalidKeyUpdate,
        I::InvalidServerName,
        I::MessageTooLarge,
        I::MessageTooShort,
        I::MissingData("ServerName"),
        I::MissingKeyExchange,
        I::NoSignatureSchemes,
        I::TrailingData("ServerName"),
        I::UnexpectedMessage("ServerName"),
        I::UnknownProtocolVersion,
        I::UnsupportedCompression,
        I::UnsupportedCurveType,
        I::EmptyTicketValue,
        I::IllegalEmptyList("ServerName"),
        I::IllegalEmptyValue,
        I::DuplicateExtension(7),
        I::PreSharedKeyIsNotFinalExtension,
        I::UnknownHelloRetryRequestExtension,
        I::UnknownCertificateExtension,
    ]
}

fn certificate_errors() -> Vec<CertificateError> {
    use CertificateError as C;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000));
    let (signature_algorithm_id, public_key_algorithm_id) = (vec![6, 3, 42], vec![6, 3, 43]);
    let name = || "shop.example".try_into().expect("the test's host name is valid");
    let mut errors = vec![
        C::BadEncoding,
        C::Expired,
        C::ExpiredContext { time, not_after: time },
        C::NotValidYet,
        C::NotValidYetContext { time, not_before: time },
        C::Revoked,
        C::UnhandledCriticalExtension,
        C::UnknownIssuer,
        C::UnknownRevocationStatus,
        C::ExpiredRevocationList,
        C::ExpiredRevocationListContext { time, next_update: time },
        C::BadSignature,
        C::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: signature_algorithm_id.clone(),
            supported_algorithms: Vec::new(),
        },
        C::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id, public_key_algorithm_id },
        C::NotValidForName,
        C::NotValidForNameContext { expected: name(), presented: vec!["DnsName(\"a.example\")".to_owned()] },
        C::NotValidForNameContext { expected: name(), presented: Vec::new() },
        C::InvalidPurpose,
        C::InvalidPurposeContext { required: rustls::ExtendedKeyPurpose::ServerAuth, presented: Vec::new() },
        C::InvalidOcspResponse,
        C::ApplicationVerificationFailure,
        C::Other(OtherError(Arc::new(std::fmt::Error))),
    ];
    errors.extend(webpki_errors().into_iter().map(|error| C::Other(OtherError(Arc::new(error)))));
    errors
}

fn webpki_errors() -> Vec<webpki::Error> {
    use webpki::Error as E;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000));
    vec![
        E::BadDer,
        E::BadDerTime,
        E::CaUsedAsEndEntity,
        E::CertDistrusted,
        E::CertRevoked,
        E::EmptyEkuExtension,
        E::EndEntityUsedAsCa,
        E::ExtensionValueInvalid,
        E::InvalidCertValidity,
        E::InvalidCrlNumber,
        E::InvalidNetworkMaskConstraint,
        E::InvalidSerialNumber,
        E::InvalidCrlSignatureForPublicKey,
        E::InvalidSignatureForPublicKey,
        E::IssuerNotCrlSigner,
        E::MalformedDnsIdentifier,
        E::MalformedExtensions,
        E::MalformedNameConstraint,
        E::MaximumNameConstraintComparisonsExceeded,
        E::MaximumPathBuildCallsExceeded,
        E::MaximumPathDepthExceeded,
        E::MaximumSignatureChecksExceeded,
        E::NameConstraintViolation,
        E::PathLenConstraintViolated,
        E::SignatureAlgorithmMismatch,
        E::UnknownIssuer,
        E::UnknownRevocationStatus,
        E::UnsupportedCertVersion,
        E::UnsupportedCriticalExtension,
        E::UnsupportedCrlIssuingDistributionPoint,
        E::UnsupportedCrlVersion,
        E::UnsupportedDeltaCrl,
        E::UnsupportedIndirectCrl,
        E::UnsupportedNameType,
        E::UnsupportedRevocationReason,
        E::UnsupportedRevocationReasonsPartitioning,
        E::CertExpired { time, not_after: time },
        E::CertNotValidYet { time, not_before: time },
        E::CrlExpired { time, next_update: time },
        E::TrailingData(webpki::DerTypeId::Certificate),
    ]
}

fn alerts() -> impl Iterator<Item = AlertDescription> {
    (0..=u8::MAX).map(AlertDescription::from)
}

fn errors() -> Vec<Error> {
    use Error as E;
    let mut errors = vec![
        E::InappropriateMessage { expect_types: vec![ContentType::Handshake], got_type: ContentType::Alert },
        E::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::Finished,
        },
        E::InvalidEncryptedClientHello(EncryptedClientHelloError::InvalidConfigList),
        E::NoCertificatesPresented,
        E::UnsupportedNameType,
        E::DecryptError,
        E::EncryptError,
        E::InvalidCertRevocationList(CertRevocationListError::BadSignature),
        E::General("x".to_owned()),
        E::FailedToGetCurrentTime,
        E::FailedToGetRandomBytes,
        E::HandshakeNotComplete,
        E::PeerSentOversizedRecord,
        E::NoApplicationProtocol,
        E::BadMaxFragmentSize,
        E::InconsistentKeys(InconsistentKeys::KeyMismatch),
        E::Other(OtherError(Arc::new(std::fmt::Error))),
    ];
    errors.extend(misbehaviours().into_iter().map(E::from));
    errors.extend(incompatibilities().into_iter().map(E::from));
    errors.extend(invalid_messages().into_iter().map(E::from));
    errors.extend(certificate_errors().into_iter().map(E::from));
    errors.extend(alerts().map(E::AlertReceived));
    errors
}

fn peer() -> Peer {
    let host = "shop.example".to_owned();
    Peer { connect_host: host.clone(), host, connect_port: 443, port_behind_proxy: None }
}

/// Panics if a sentence shows a Rust type: an identifier in camel case, a parenthesis directly after a word, or braces.
#[track_caller]
fn assert_plain(sentence: &str, of: &dyn std::fmt::Debug) {
    let words = sentence.split(|c: char| !c.is_alphanumeric());
    let is_camel_case = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        letters.windows(2).any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase())
    };
    let known = ["IPv4", "IPv6"];
    let found: Vec<_> = words.filter(|word| is_camel_case(word) && !known.contains(word)).collect();
    let is_debug = sentence.contains(['{', '}', '\n']) || sentence.contains("::");
    let called = sentence.match_indices('(').any(|(at, _)| !sentence[..at].ends_with(' '));
    assert!(found.is_empty() && !is_debug && !called && !sentence.is_empty(), "{of:?}: {sentence}");
}

#[test]
fn no_message_shows_a_rust_type() {
    let certificate = || vec![b"no certificate".to_vec().into()];
    for error in errors() {
        for client_auth in [ClientAuth::NotRequested, ClientAuth::NoneSent, ClientAuth::Sent] {
            for cert_chain in [Vec::new(), certificate()] {
                let timestamps = Timestamps { cert_chain, client_auth, ..Timestamps::default() };
                assert_plain(&message(&error, &timestamps, &peer()), &error);
            }
        }
    }
}

#[test]
fn messages_about_urls_show_no_rust_type() {
    use url::ParseError as P;

    let wrong = [
        "",
        "shop.example",
        "http://",
        "http:///",
        "http://a:99999/",
        "http://[::1/",
        "http://1.2.3.4.5/",
        "http://256.1/",
        "http://a b/",
        "http://xn--a-ecp.example/",
        "http://\u{ad}/",
        "http://[1::2::3]/",
        "file:///etc/passwd",
        "http://a:0/",
        "//",
        "http://%zz/",
        "http://exa%mple/",
    ];
    for url in wrong {
        let sentence = parse_target("GET", url).expect_err("the URL is not valid");
        assert_plain(&sentence, &url);
    }
    for error in [
        P::EmptyHost,
        P::IdnaError,
        P::InvalidPort,
        P::InvalidIpv4Address,
        P::InvalidIpv6Address,
        P::InvalidDomainCharacter,
        P::RelativeUrlWithoutBase,
        P::RelativeUrlWithCannotBeABaseBase,
        P::SetHostOnCannotBeABaseUrl,
        P::Overflow,
    ] {
        assert_plain(&error.to_string(), &error);
    }
}

#[test]
fn alerts_are_told_apart() {
    #[track_caller]
    fn check(alert: AlertDescription, has_certificate: bool, client_auth: ClientAuth, expected: &str) {
        let cert_chain = if has_certificate { vec![b"x".to_vec().into()] } else { Vec::new() };
        let timestamps = Timestamps { cert_chain, client_auth, ..Timestamps::default() };
        assert_eq!(message(&Error::AlertReceived(alert), &timestamps, &peer()), expected);
    }
    use AlertDescription as A;
    let cipher = format!("{NO_CIPHER} (alert 40, handshake failure)");
    check(A::HandshakeFailure, false, ClientAuth::NotRequested, &cipher);
    let wanted = "the server requires a client certificate (alert 40, handshake failure)";
    check(A::HandshakeFailure, true, ClientAuth::NoneSent, wanted);
    let refused = "the server does not accept our certificate (alert 48, unknown ca)";
    check(A::UnknownCA, true, ClientAuth::Sent, refused);
    check(A::UnknownCA, true, ClientAuth::NotRequested, "the server refused the TLS handshake (alert 48, unknown ca)");
    check(A::ProtocolVersion, false, ClientAuth::NotRequested, NO_VERSION);
    check(A::Unknown(200), false, ClientAuth::NotRequested, "the server refused the TLS handshake (alert 200)");
}
