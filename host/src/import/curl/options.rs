//! The options of curl: their names, and which take a value.

/// An option.
pub struct OptionName {
    short: Option<char>,
    pub long: &'static str,
    pub takes_value: bool,
    pub use_: Use,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It has an equivalent, at least for some values.
    Carried,
    /// It is about curl's output, or the host does so anyway.
    Ignored,
    /// It has no equivalent.
    LeftOut,
}

macro_rules! options {
    ($($use:ident $kind:ident: $($name:literal)*;)*) => { &[$($(option($name, options!(@ $kind), Use::$use)),*),*] };
    (@ flag) => { false };
    (@ value) => { true };
}

/// Returns an option from `x name`, or `name` for one without a letter.
const fn option(name: &'static str, takes_value: bool, use_: Use) -> OptionName {
    let bytes = name.as_bytes();
    if bytes.len() > 2 && bytes[1] == b' ' {
        let (_, long) = name.split_at(2);
        OptionName { short: Some(bytes[0] as char), long, takes_value, use_ }
    } else {
        OptionName { short: None, long: name, takes_value, use_ }
    }
}

const OPTIONS: &[OptionName] = options! {
    Carried value: "A user-agent" "b cookie" "d data" "data-ascii" "data-binary" "data-raw" "data-urlencode"
        "e referer" "E cert" "H header" "json" "key" "pass" "m max-time" "max-redirs" "x proxy" "U proxy-user"
        "X request" "u user" "url" "url-query" "resolve" "connect-to" "connect-timeout" "cacert" "interface"
        "dns-servers" "oauth2-bearer" "r range" "retry" "max-filesize" "socks5" "socks5-hostname" "cert-type"
        "key-type";
    Carried flag: "G get" "I head" "L location" "location-trusted" "k insecure" "compressed" "f fail"
        "fail-with-body" "0 http1.0" "http1.1" "http2" "http2-prior-knowledge" "4 ipv4" "6 ipv6" "g globoff"
        ": next" "tlsv1.3" "basic";
    Ignored flag: "s silent" "S show-error" "v verbose" "i include" "show-headers" "O remote-name" "remote-name-all"
        "J remote-header-name" "# progress-bar" "no-progress-meter" "N no-buffer" "styled-output" "no-styled-output"
        "R remote-time" "create-dirs" "q disable" "Z parallel" "parallel-immediate" "fail-early" "tcp-nodelay"
        "no-keepalive" "M manual" "V version" "tlsv1" "tlsv1.0" "tlsv1.1" "tlsv1.2" "no-alpn" "no-npn"
        "no-sessionid" "trace-time" "trace-ids" "1 tlsv1" "tr-encoding" "http0.9" "retry-connrefused"
        "retry-all-errors" "happy-eyeballs" "clobber" "no-clobber" "ssl" "ssl-reqd" "suppress-connect-headers" "raw"
        "xattr" "no-remote-name" "skip-existing";
    Ignored value: "o output" "output-dir" "w write-out" "D dump-header" "trace" "trace-ascii" "trace-config"
        "stderr" "libcurl" "parallel-max" "rate" "keepalive-time" "keepalive-cnt" "y speed-time" "Y speed-limit"
        "retry-max-time" "retry-delay" "expect100-timeout" "happy-eyeballs-timeout-ms" "etag-save"
        "create-file-mode" "delegation";
    LeftOut value: "F form" "form-string" "T upload-file" "c cookie-jar" "K config" "z time-cond" "C continue-at"
        "unix-socket" "abstract-unix-socket" "capath" "ciphers" "tls13-ciphers" "curves" "tls-max" "pinnedpubkey"
        "noproxy" "preproxy" "proxy-header" "proxy-cert" "proxy-key" "proxy-cacert" "proxy1.0" "socks4" "socks4a"
        "doh-url" "aws-sigv4" "limit-rate" "local-port" "crlfile" "engine" "hsts" "alt-svc" "dns-interface"
        "dns-ipv4-addr" "dns-ipv6-addr" "etag-compare" "netrc-file" "service-name" "proxy-service-name" "proxy-pass"
        "request-target" "variable" "login-options" "krb" "P ftp-port" "Q quote" "t telnet-option" "mail-from"
        "mail-rcpt" "proto" "proto-default" "proto-redir" "tlsuser" "tlspassword" "tlsauthtype" "sasl-authzid" "ech"
        "signature-algorithms" "ip-tos" "vlan-priority" "haproxy-clientip";
    LeftOut flag: "anyauth" "digest" "negotiate" "ntlm" "ntlm-wb" "n netrc" "netrc-optional" "p proxytunnel"
        "proxy-insecure" "proxy-digest" "proxy-ntlm" "proxy-negotiate" "proxy-anyauth" "proxy-basic" "http3"
        "http3-only" "path-as-is" "j junk-session-cookies" "post301" "post302" "post303" "haproxy-protocol"
        "cert-status" "doh-insecure" "ca-native" "ssl-no-revoke" "a append" "disallow-username-in-url"
        "ignore-content-length" "B use-ascii" "l list-only" "false-start" "tcp-fastopen" "2 sslv2" "3 sslv3"
        "form-escape" "crlf" "ssl-allow-beast" "ssl-revoke-best-effort" "ssl-auto-client-cert";
};

/// Returns the option of a letter.
pub fn by_letter(letter: char) -> Option<&'static OptionName> {
    OPTIONS.iter().find(|option| option.short == Some(letter))
}

/// Returns the option of a long name, which may be shortened if it is the only one that begins so.
pub fn by_name(name: &str) -> Option<&'static OptionName> {
    let exact = OPTIONS.iter().find(|option| option.long == name);
    exact.or_else(|| {
        let mut found = OPTIONS.iter().filter(|option| !name.is_empty() && option.long.starts_with(name));
        let first = found.next()?;
        found.all(|other| other.long == first.long).then_some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_by_letter_and_name() {
        let long = |option: Option<&OptionName>| option.map(|option| (option.long, option.takes_value));
        assert_eq!(long(by_letter('H')), Some(("header", true)));
        assert_eq!(long(by_letter(':')), Some(("next", false)));
        assert_eq!(long(by_letter('?')), None);
        assert_eq!(long(by_name("data")), Some(("data", true)));
        assert_eq!(long(by_name("insec")), Some(("insecure", false)));
        assert_eq!(long(by_name("data-u")), Some(("data-urlencode", true)));
        assert_eq!((long(by_name("http")), long(by_name(""))), (None, None));
        let mut names: Vec<_> = OPTIONS.iter().map(|option| option.long).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len() + 1, OPTIONS.len(), "`tlsv1` alone has two lines");
    }
}
