//! Keys and certificates of kinds that rcgen does not make, by OpenSSL's program.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `openssl` in a folder, with arguments that are separated by spaces. Spaces in an argument are written as `~`.
#[track_caller]
pub fn run(folder: &Path, arguments: &str) {
    let arguments = arguments.split_whitespace().map(|argument| argument.replace('~', " "));
    let output = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run openssl ({error}): install it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Creates a self-signed certificate for `localhost`, which is also that of an authority: `NAME.pem` and `NAME.key`.
/// `key` are the options for its key.
#[track_caller]
pub fn self_sign(folder: &Path, name: &str, key: &str) {
    let subject = format!("-subj /CN={name} -addext subjectAltName=DNS:localhost");
    run(folder, &format!("req -x509 -nodes -days 3650 -newkey {key} -keyout {name}.key -out {name}.pem {subject}"));
}

/// Creates a certificate for `localhost`, signed by another one: `NAME.pem` and `NAME.key`. `how` are more options for
/// the signature.
#[track_caller]
pub fn sign(folder: &Path, name: &str, key: &str, issuer: &str, how: &str) {
    std::fs::write(folder.join("names.ext"), "subjectAltName=DNS:localhost\n").expect("the folder is writable");
    run(folder, &format!("req -new -nodes -newkey {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    let signer = format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial");
    run(folder, &format!("x509 -req -in {name}.csr {signer} -days 3650 -out {name}.pem {how}"));
}
