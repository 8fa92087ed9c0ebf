//! A certificate authority for tests, and the certificates that it signs.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority and its PEM files in one folder: `ca.pem`, and `NAME.pem` and `NAME.key` for each
/// certificate.
pub struct Certificates {
    pub folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("ring generates keys");
        let mut params = CertificateParams::new(Vec::new()).expect("an empty list of names is valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "The tests' authority");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        std::fs::write(folder.join("ca.pem"), authority.pem()).expect("the folder is writable");
        Self { folder: folder.to_owned(), authority }
    }

    pub fn ca(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    /// Creates a self-signed certificate that is also a certificate authority, as many self-signed certificates are. It
    /// is valid from the start of 2020 to the start of the year `until`.
    pub fn self_sign(&self, name: &str, hosts: &[&str], until: i32) {
        let key = KeyPair::generate().expect("ring generates keys");
        let mut params = Self::params(name, hosts, until);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate signs itself");
        self.write(name, &certificate.pem(), &key);
    }

    /// Creates a certificate for these hosts, signed by the authority, valid from the start of 2020 to the start of the
    /// year `until`.
    pub fn certify(&self, name: &str, hosts: &[&str], until: i32) {
        let params = Self::params(name, hosts, until);
        let key = KeyPair::generate().expect("ring generates keys");
        let certificate = params.signed_by(&key, &self.authority).expect("the authority signs");
        self.write(name, &(certificate.pem() + &self.authority.pem()), &key);
    }

    /// Creates a certificate with a subject of this name, which need not fit the name of a file. Returns the chain and
    /// the key, and writes no files.
    pub fn certify_with_name(
        &self,
        name: &str,
        hosts: &[&str],
        until: i32,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("ring makes keys");
        let certificate =
            Self::params(name, hosts, until).signed_by(&key, &self.authority).expect("the authority signs");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        (vec![certificate.der().clone()], key)
    }

    /// Creates a certificate for these hosts, signed by the authority, which ends in `days` days and a half.
    pub fn certify_for_days(&self, name: &str, hosts: &[&str], days: i64) {
        let mut params = Self::params(name, hosts, 2100);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days) + Duration::hours(12);
        self.sign(name, &params, "");
    }

    /// Creates an authority below this one, in a folder of its own with this name. The chains of its certificates have
    /// its own certificate.
    pub fn intermediate(&self, name: &str, until: i32) -> Self {
        let key = KeyPair::generate().expect("ring generates keys");
        self.cross_sign(name, until, key)
    }

    /// Creates an authority of its own, whose certificate ends in `days` days and a half.
    pub fn root_for_days(&self, name: &str, days: i64) -> Self {
        let mut params = Self::params(name, &[], 2100);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days) + Duration::hours(12);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("ring generates keys");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        Self { folder: self.folder.clone(), authority }
    }

    /// Creates another certificate for an authority, with the same name and key, signed by this one.
    pub fn cross_certify(&self, name: &str, until: i32, other: &Self) -> Self {
        let key = KeyPair::try_from(other.authority.key().serialize_der()).expect("it is a key");
        self.cross_sign(name, until, key)
    }

    fn cross_sign(&self, name: &str, until: i32, key: KeyPair) -> Self {
        let mut params = Self::params(name, &[], until);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::signed_by(params, key, &self.authority).expect("the authority signs");
        Self { folder: self.folder.clone(), authority }
    }

    /// Returns the certificate of the authority as PEM.
    pub fn pem(&self) -> String {
        self.authority.pem()
    }

    /// Creates a certificate for these hosts, signed by the authority, valid to the start of the year `until`. The file
    /// has these other certificates after it, instead of the authority's.
    pub fn certify_with_chain(&self, name: &str, hosts: &[&str], until: i32, chain: &str) {
        self.sign(name, &Self::params(name, hosts, until), chain);
    }

    fn sign(&self, name: &str, params: &CertificateParams, chain: &str) {
        let key = KeyPair::generate().expect("ring generates keys");
        let certificate = params.signed_by(&key, &self.authority).expect("the authority signs");
        self.write(name, &(certificate.pem() + chain), &key);
    }

    fn params(name: &str, hosts: &[&str], until: i32) -> CertificateParams {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("hosts are valid names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params
    }

    fn write(&self, name: &str, chain: &str, key: &KeyPair) {
        std::fs::write(self.folder.join(format!("{name}.pem")), chain).expect("the folder is writable");
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).expect("the folder is writable");
    }
}
