//! Certificate authorities: those of the system, and those in PEM files.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

/// The greatest size of a file of certificates, in bytes: larger than any list of authorities.
pub const MAX_FILE_BYTES: u64 = 8 << 20;

/// The authorities that the system trusts, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.
#[derive(Debug, Default)]
pub struct SystemAuthorities {
    /// The certificates of the authorities.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Sentences about variables that name nothing of use, and about missing authorities.
    pub problems: Vec<String>,
}

impl SystemAuthorities {
    /// Loads the authorities. If one of the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` is set, only what the
    /// variables name is trusted.
    pub fn load() -> Self {
        Self::from_environment(&|name| std::env::var_os(name))
    }

    fn from_environment(environment: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let mut loaded = Self::default();
        let file = environment("SSL_CERT_FILE").map(PathBuf::from);
        let directories = environment("SSL_CERT_DIR").map(|text| std::env::split_paths(&text).collect::<Vec<_>>());
        if let Some(file) = &file {
            loaded.add("SSL_CERT_FILE", file, load_certs_from_paths(Some(file), None));
        }
        for directory in directories.iter().flatten() {
            loaded.add("SSL_CERT_DIR", directory, load_certs_from_paths(None, Some(directory)));
        }
        let is_named = file.is_some() || directories.is_some();
        if !is_named {
            loaded.certificates = load_native_certs().certs;
        }
        if loaded.certificates.is_empty() {
            loaded.problems.push(if is_named {
                "no certificate authority is trusted, since `SSL_CERT_FILE` and `SSL_CERT_DIR` replace those of the \
                 system: https fails"
                    .to_owned()
            } else {
                "no trusted certificate authorities found: https fails; install ca-certificates, or set `SSL_CERT_FILE`"
                    .to_owned()
            });
        }
        loaded
    }

    fn add(&mut self, variable: &str, path: &Path, result: CertificateResult) {
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) => self.problems.push(format!("cannot read {shown}, which `{variable}` names: {error}")),
            Ok(_) if result.certs.is_empty() => {
                self.problems.push(format!("{shown}, which `{variable}` names, holds no certificate"));
            }
            Ok(_) if !result.errors.is_empty() => {
                self.problems.push(format!(
                    "{shown}, which `{variable}` names, holds a certificate or a file that cannot be read"
                ));
            }
            Ok(_) => {}
        }
        self.certificates.extend(result.certs);
    }
}

/// Reads the certificates of authorities from a PEM file.
///
/// # Errors
/// A message for a person if the file cannot be read, has no certificate, or has one that cannot be parsed.
pub fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let is_file = std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.is_file();
    if !is_file {
        return Err(format!("cannot read {shown}: it is not a regular file"));
    }
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text));
    read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    parse_authorities(&text, path)
}

/// Parses the certificates of authorities in the text of a PEM file. `path` is for messages.
///
/// # Errors
/// The errors of [`read_authorities`], except those of reading.
pub fn parse_authorities(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let authorities = parse_certificates(text, path)?;
    if authorities.iter().all(|authority| RootCertStore::empty().add(authority.clone()).is_ok()) {
        Ok(authorities)
    } else {
        Err(format!("{} holds a certificate that cannot be parsed", path.display()))
    }
}

/// Parses the certificates in the text of a PEM file. `path` is for messages.
///
/// # Errors
/// A message for a person if the text is no PEM file, or has no certificate.
pub fn parse_certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{shown} is not a PEM file of certificates"))?;
    if certificates.is_empty() {
        return Err(format!("{shown} holds no certificate: expected PEM, `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_variables_name_replaces_the_system_and_problems_are_named() {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let key = rcgen::KeyPair::generate().expect("ring generates keys");
        let params = rcgen::CertificateParams::new(Vec::new()).expect("an empty list of names is valid");
        let certificate = params.self_signed(&key).expect("a certificate signs itself").pem();
        std::fs::write(path("good.pem"), &certificate).expect("the folder is writable");
        std::fs::write(path("empty.pem"), "nothing").expect("the folder is writable");
        std::fs::create_dir(path("empty")).expect("the folder is writable");
        std::fs::create_dir(path("full")).expect("the folder is writable");
        std::fs::write(path("full/a.pem"), &certificate).expect("the folder is writable");

        let check = |file: Option<&str>, directory: Option<&str>, count: usize, problems: &[&str]| {
            let environment = |name: &str| {
                let value = if name == "SSL_CERT_FILE" { file } else { directory };
                value.map(|name| path(name).into())
            };
            let loaded = SystemAuthorities::from_environment(&environment);
            assert_eq!(loaded.certificates.len(), count, "{loaded:?}");
            assert_eq!(loaded.problems.len(), problems.len(), "{:?}", loaded.problems);
            for (problem, expected) in loaded.problems.iter().zip(problems) {
                assert!(problem.contains(expected), "{problem}");
            }
        };
        let none = "no certificate authority is trusted";
        check(Some("good.pem"), None, 1, &[]);
        check(None, Some("full"), 1, &[]);
        check(Some("good.pem"), Some("absent"), 1, &["absent, which `SSL_CERT_DIR` names: No such file or directory"]);
        check(Some("good.pem"), Some("empty"), 1, &["empty, which `SSL_CERT_DIR` names, holds no certificate"]);
        check(Some("absent"), None, 0, &["absent, which `SSL_CERT_FILE` names: No such file or directory", none]);
        check(Some("empty.pem"), None, 0, &["empty.pem, which `SSL_CERT_FILE` names, holds no certificate", none]);
    }
}
