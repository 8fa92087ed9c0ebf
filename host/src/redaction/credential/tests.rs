use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(redact(text), expected);
    assert_eq!(redact(expected), expected, "redacting a redacted text changes nothing");
}

#[test]
fn credentials_are_recognised_by_their_name() {
    for name in [
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "x-api-key",
        "X-Auth",
        "X-CSRF-Token",
        "password",
        "accessToken",
        "client_secret",
        "PHPSESSID",
        "connect.sid",
        "refresh_token",
        "apiKey",
        "X-Amz-Signature",
        "pwd",
        "user[password]",
        "db.mysql_pwd",
        "ocp-apim-subscription-key",
        "AUTH",
        "otp",
        "x-sso",
    ] {
        assert!(is_name(name), "{name}");
    }
    for name in [
        "content-type",
        "www-authenticate",
        "author",
        "authority",
        "keyboard",
        "keep-alive",
        "status",
        "monkey",
        "opinion",
        "x-request-id",
        "compass",
        "design",
        "insider",
        "",
    ] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn credentials_in_json_are_redacted() {
    check(r#"{"token": "abc", "status": "down"}"#, r#"{"token": "[Filtered]", "status": "down"}"#);
    check(r#"{"pin":1234,"a":1}"#, r#"{"pin":"[Filtered]","a":1}"#);
    check(r#"{"pin":1234}"#, r#"{"pin":"[Filtered]"}"#);
    check(r#"{"tokens":["a","b]"],"a":1}"#, r#"{"tokens":"[Filtered]","a":1}"#);
    check(r#"{"credentials":{"user":"u","x":{"y":"}"}},"a":1}"#, r#"{"credentials":"[Filtered]","a":1}"#);
    check(r#"{"password":"a\"b","a":1}"#, r#"{"password":"[Filtered]","a":1}"#);
    check(r#"{"token":null,"session":false,"secret":""}"#, r#"{"token":null,"session":false,"secret":""}"#);
    check(r#"{"a":{"b":[{"api_key":"x"}]}}"#, r#"{"a":{"b":[{"api_key":"[Filtered]"}]}}"#);
    // A value that is JSON itself.
    check(r#"{"raw":"{\"token\":\"abc\",\"n\":1}"}"#, r#"{"raw":"{\"token\":\"[Filtered]\",\"n\":1}"}"#);
    check(r#"{"raw":"{\"pin\":12,\"n\":1}"}"#, r#"{"raw":"{\"pin\":\"[Filtered]\",\"n\":1}"}"#);
    check(
        r#"[{"name": "Authorization", "value": "hunter2"}, {"name": "a", "value": "b"}]"#,
        r#"[{"name": "Authorization", "value": "[Filtered]"}, {"name": "a", "value": "b"}]"#,
    );
    // JSON that is cut off.
    check(r#"{"a":1,"token":"abc de"#, r#"{"a":1,"token":"[Filtered]"#);
    check(r#"{"a":1,"token":{"x":"#, r#"{"a":1,"token":"[Filtered]""#);
    check(r#"{"a":1,"token""#, r#"{"a":1,"token""#);
}

#[test]
fn credentials_in_forms_queries_and_headers_are_redacted() {
    check("user=ada&password=open+sesame&x=1", "user=ada&password=[Filtered]&x=1");
    check("/login?next=%2Fa&access_token=abc#top", "/login?next=%2Fa&access_token=[Filtered]");
    check("/go?to=https%3A%2F%2Fa%2F%3Ftoken%3Dabc%26x%3D1", "/go?to=https%3A%2F%2Fa%2F%3Ftoken%3D[Filtered]%26x%3D1");
    check("Authorization: Basic YWRhOm9wZW4=\r\nHost: a\r\n", "Authorization: [Filtered]\r\nHost: a\r\n");
    check("Cookie: a=b; c=d\nX: y", "Cookie: [Filtered]\nX: y");
    check("{'Authorization': 'Digest username=\"a\"', 'b': 1}", "{'Authorization': '[Filtered]', 'b': 1}");
    check("auth=Bearer abc, x=1", "auth=[Filtered], x=1");
    check("password: my long phrase\nuser: ada", "password: [Filtered]\nuser: ada");
    check("$config['password'] = 'hunter2';", "$config['password'] = '[Filtered]';");
    check("'secret' => 'hunter2'", "'secret' => '[Filtered]'");
    check("[\"pwd\"]=>\n  string(7) \"hunter2\"\n", "[\"pwd\"]=>\n  string(7) \"[Filtered]\"\n");
    check("{'token': b'abc', 'n': 1}", "{'token': b'[Filtered]', 'n': 1}");
}

#[test]
fn credentials_in_markup_are_redacted() {
    check(
        r#"<form><input type="hidden" name="csrf_token" value="abc"><input name="q" value="text"></form>"#,
        r#"<form><input type="hidden" name="csrf_token" value="[Filtered]"><input name="q" value="text"></form>"#,
    );
    check(r"<input value='abc' name='authenticity_token'/>", r"<input value='[Filtered]' name='authenticity_token'/>");
    check(r#"<meta name="csrf-token" content="abc" />"#, r#"<meta name="csrf-token" content="[Filtered]" />"#);
    check(r#"<input name="csrf" value="abc"#, r#"<input name="csrf" value="[Filtered]"#);
    check("<a:Password t='x'>hunter2</a:Password><b>c</b>", "<a:Password t='x'>[Filtered]</a:Password><b>c</b>");
    check("<th>APP_KEY</th> <td><pre>base64:x</pre></td>", "<th>APP_KEY</th> <td><pre>[Filtered]</pre></td>");
    check("<td>Host</td><td>shop.example</td>", "<td>Host</td><td>shop.example</td>");
    check("<title>502 Bad Gateway</title>", "<title>502 Bad Gateway</title>");
}

#[test]
fn credentials_are_recognised_by_their_format() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
    check(&format!("got {jwt}!"), "got [Filtered]!");
    check(&format!("got {}", &jwt[..30]), "got [Filtered]");
    check("sent Bearer hunter2 to it", "sent Bearer [Filtered] to it");
    check("you said Basic YWRhOm9wZW4gc2VzYW1l", "you said Basic [Filtered]");
    check("key ghp_0123456789abcdef0123 and AKIAIOSFODNN7EXAMPLE", "key [Filtered] and [Filtered]");
    check("see https://ada:open@shop.example/a@b", "see https://[Filtered]@shop.example/a@b");
    check(r"see https:\/\/ada:open@shop.example", r"see https:\/\/[Filtered]@shop.example");
    check("x -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- y", "x [Filtered] y");
    check("x -----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "x [Filtered]");
    check("curl -s -u ada:hunter2 https://a/", "curl -s -u ada:[Filtered] https://a/");
    check("curl --user='ada:open sesame' b", "curl --user='ada:[Filtered]' b");
    check(
        "sshpass -p hunter2 ssh a; mysql -u root -phunter2 b",
        "sshpass -p [Filtered] ssh a; mysql -u root -p[Filtered] b",
    );
    // Texts that explain a refusal contain no secret.
    for harmless in [
        r#"Basic realm="Restricted""#,
        r#"Bearer error="invalid_token", error_description="The token expired""#,
        "Basic authentication is required",
        "the token expired 3 minutes ago",
        r#"{"error":"invalid_token","code":401}"#,
        "https://example.org/@user",
        "https://auth.example.org:8443/login",
        "502 Bad Gateway: upstream key=",
        "date -u; mkdir -p a; mysql -u root -p shop; ssh -p 22 a",
    ] {
        check(harmless, harmless);
    }
}

#[test]
fn unquoted_values_in_sentences_remain() {
    assert_eq!(redact_sentence("token: expected text, got nothing"), "token: expected text, got nothing");
    assert_eq!(
        redact_sentence("token: expected text, got \"Bearer x1y2z3\""),
        "token: expected text, got \"Bearer [Filtered]\""
    );
}

#[test]
fn names_and_attributes_of_cookies_remain() {
    assert_eq!(redact_cookies("sid=abc; theme=dark; junk", false), "sid=[Filtered]; theme=[Filtered];[Filtered]");
    assert_eq!(redact_cookies("sid=a=b; Path=/; HttpOnly", true), "sid=[Filtered]; Path=/; HttpOnly");
    assert_eq!(redact_cookies("abc", true), "[Filtered]");
}

#[test]
fn values_are_returned_without_quotes() {
    let text = r#"{"user":"ada","password":"open sesame","token":"abc"}"#;
    assert_eq!(values(text).collect::<Vec<_>>(), ["open sesame", "abc"]);
}

#[test]
fn hostile_texts_are_searched_in_time() {
    let start = std::time::Instant::now();
    for text in [
        "token=".repeat(400),
        "\"token\":{".repeat(250),
        "<input ".repeat(300),
        "<td>a</td>".repeat(200),
        "key</b> <b>".repeat(200),
        "\\".repeat(2048),
        "eyJ".repeat(700),
    ] {
        redact(&text);
    }
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}
