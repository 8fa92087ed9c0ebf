//! `sentrynet import`: files of other programs become configurations that `check` accepts, and what has no equivalent
//! is told. The files of `tests/import` are compared with what they became; `UPDATE=1` writes that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::support::certificates::Certificates;
use crate::support::target::{Target, status_response};
use crate::support::{
    CommandOutput, assert_passed, empty_folder, restrict_to_owner, run_command, run_once_with, sentrynet,
};

/// What every secret in the files begins with.
const SECRET: &str = "s3cret";

/// A folder with the files that the imported files name.
static NAMED_FILES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = empty_folder("import-named-files");
    Certificates::new(&folder).certify("client", &["client"], 2100);
    for file in ["client.key", "token", "body.json"] {
        if file != "client.key" {
            fs::write(folder.join(file), "value").expect("the folder is writable");
        }
        restrict_to_owner(&folder.join(file));
    }
    folder
});

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import")
}

/// Imports files of `tests/import`, or `-` for `stdin`.
fn run_import(arguments: &[&str], stdin: &str) -> CommandOutput {
    run_command(sentrynet().current_dir(folder()).arg("import").args(arguments), stdin)
}

/// Returns the names of the variables that an import asks for.
fn variables(imported: &CommandOutput) -> Vec<String> {
    let names = imported.stderr.lines().filter_map(|line| line.strip_prefix("note: set "));
    names.map(|line| line.split(':').next().expect("a line has a first part").to_owned()).collect()
}

/// Checks a configuration with these variables set.
#[track_caller]
fn check_configuration(configuration: &str, variables: &[String]) {
    let value = |name: &String| match name.as_str() {
        name if name == "API" || name.ends_with("URL") => "https://variable.example",
        "STATUS" => "200",
        _ => "value",
    };
    let mut program = sentrynet();
    program.envs(variables.iter().map(|name| (name, value(name)))).current_dir(&*NAMED_FILES);
    let checked = run_command(program.env("SENTRYNET_LOG", "error").args(["check", "-"]), configuration);
    assert_eq!(checked.code, 0, "{}\n{configuration}", checked.stderr);
}

/// Imports files, compares the result with that in `tests/import`, and has `check` accept it.
#[track_caller]
fn check(name: &str, arguments: &[&str], code: i32) {
    let imported = run_import(arguments, "");
    for (extension, text) in [("expected.yaml", &imported.stdout), ("expected.txt", &imported.stderr)] {
        assert!(!text.contains(SECRET), "a secret is printed: {text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "a control character is printed: {text}");
        let file = folder().join(format!("{name}.{extension}"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, text).expect("the folder is writable");
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(*text, expected, "{}: see the difference, and write it with UPDATE=1", file.display());
    }
    assert_eq!(imported.code, code, "{}", imported.stderr);
    check_configuration(&imported.stdout, &variables(&imported));
}

#[test]
fn blackbox_modules_are_joined_with_targets() {
    check("blackbox", &["blackbox", "blackbox.yml", "prometheus.yml", "targets.json"], 4);
}

#[test]
fn blackbox_modules_without_a_job_take_targets_of_the_command_line() {
    let target = ["--target", "https://shop.example/", "--target", "192.0.2.7:22"];
    check("blackbox-nasty", &[&["blackbox", "blackbox-nasty.yml"][..], &target].concat(), 4);
}

#[test]
fn endpoints_and_suites_of_gatus_are_imported() {
    check("gatus", &["gatus", "gatus.yaml"], 4);
    check("gatus-nasty", &["gatus", "gatus-nasty.yaml"], 4);
}

#[test]
fn archives_of_browsers_are_imported() {
    check("har", &["har", "shop.har"], 0);
    check("har-separate", &["har", "shop.har", "--separate", "--all", "--host", "*.example"], 0);
    check("har-nasty", &["har", "nasty.har"], 4);
}

#[test]
fn command_lines_of_curl_are_imported() {
    check("curl", &["curl", "curl.sh"], 4);
    check("curl-nasty", &["curl", "curl-nasty.sh"], 4);
}

/// Imports a text from standard input, and runs the only probe once. Returns the target, which every run has reached.
#[track_caller]
fn run_imported(format: &str, more: &[&str], text: &str, environment: &[(&str, &str)]) {
    let imported = run_import(&[&[format, "-"][..], more].concat(), text);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let mut program = sentrynet();
    program.envs(environment.iter().copied());
    let (code, runs) = run_once_with(&mut program, &imported.stdout);
    assert_eq!(runs.len(), 1, "{}", imported.stdout);
    assert_passed(&runs[0]);
    assert_eq!(code, 0);
}

/// Starts a target that answers with JSON and a header.
fn json_target() -> Target {
    Target::responding(|_| {
        let body = r#"{"status": "UP", "items": [{"id": 1}, {"id": 2}], "name": "shop"}"#;
        let length = body.len();
        let head = format!("200 OK\r\ncontent-type: application/json\r\nx-shop: yes\r\ncontent-length: {length}");
        format!("{head}\r\nconnection: close\r\n\r\n{body}")
    })
}

#[test]
fn an_imported_module_probes_its_target() {
    let target = json_target();
    let module = "
modules:
  http_2xx:
    prober: http
    http:
      method: POST
      headers: {X-Token: t0ken, Host: vhost.example}
      body: 'a${b}'
      basic_auth: {username: ops, password: pass}
      valid_http_versions: [HTTP/1.1]
      fail_if_ssl: true
      fail_if_body_not_matches_regexp: ['{\"status\": \"UP\"']
      fail_if_body_matches_regexp: [DOWN]
      fail_if_header_not_matches: [{header: X-Shop, regexp: ^yes$}]
      fail_if_header_matches: [{header: X-None, regexp: ., allow_missing: true}]
      body_size_limit: 1KB
";
    let url = format!("127.0.0.1:{}/probe", target.port);
    let environment = [("SECRET_127_0_0_1_X_TOKEN", "t0ken"), ("SECRET_127_0_0_1_PASSWORD", "pass")];
    run_imported("blackbox", &["--target", &url], module, &environment);
    let request = target.single_request();
    assert_eq!((request.line.as_str(), request.body.as_str()), ("POST /probe HTTP/1.1", "a${b}"));
    assert_eq!(request.header("x-token"), Some("t0ken"));
    assert_eq!(request.header("host"), Some("vhost.example"));
    assert_eq!(request.header("authorization"), Some("Basic b3BzOnBhc3M="));
}

#[test]
fn an_imported_endpoint_has_its_conditions() {
    let target = json_target();
    let endpoint = format!(
        "endpoints:
  - name: shop
    url: http://127.0.0.1:{}/status
    headers: {{X-Price: 5$$, X-Region: $REGION}}
    conditions:
      - '[STATUS] == 200'
      - '[CONNECTED] == true'
      - '[RESPONSE_TIME] < 60000'
      - '[IP] == 127.0.0.1'
      - '[IP] == pat(127.*)'
      - '[BODY].status == UP'
      - '[BODY].items[1].id == 2'
      - '[BODY].items[1].id > 1'
      - '[BODY].name == pat(sh*)'
      - '[BODY].name != any(a, b)'
      - '[BODY] == pat(*UP*shop*)'
      - 'has([BODY].errors) == false'
      - 'has([BODY].items) == true'
      - 'len([BODY].items) == 2'
      - 'len([BODY].name) >= 4'
      - 'len([BODY].items) > 0'
",
        target.port
    );
    run_imported("gatus", &[], &endpoint, &[("REGION", "eu")]);
    let request = target.single_request();
    assert_eq!((request.header("x-price"), request.header("x-region")), (Some("5$"), Some("eu")));
}

#[test]
fn conditions_that_do_not_hold_fail() {
    let target = json_target();
    for condition in [
        "len([BODY].items) == 3",
        "len([BODY].items) < 2",
        "has([BODY].items) == false",
        "[BODY].name == pat(x*)",
        "[BODY].status != UP",
        "[BODY].items[0].id == 2",
        "[IP] != 127.0.0.1",
        "[BODY] == UP",
    ] {
        let url = format!("http://127.0.0.1:{}/", target.port);
        let endpoint = format!("endpoints: [{{name: a, url: '{url}', conditions: ['{condition}']}}]");
        let imported = run_import(&["gatus", "-"], &endpoint);
        let (code, runs) = run_once_with(&mut sentrynet(), &imported.stdout);
        assert_eq!((code, &runs[0]["outcome"]), (1, &"failed".into()), "{condition}: {}", imported.stdout);
    }
}

#[test]
fn an_imported_suite_passes_values_on() {
    let target = Target::responding(|requests| match requests.len() {
        1 => "201 Created\r\ncontent-length: 27\r\nconnection: close\r\n\r\n{\"id\": 7, \"token\": \"t0ken\"} "
            .to_owned(),
        _ => status_response("204 No Content"),
    });
    let url = format!("http://127.0.0.1:{}", target.port);
    let suite = format!(
        "suites:
  - name: items
    context: {{price: '19.99'}}
    endpoints:
      - {{name: create, url: '{url}/items', method: POST, body: '{{\"price\": \"[CONTEXT].price\"}}',
         store: {{item: '[BODY].id', token: '[BODY].token'}}, conditions: ['[STATUS] == 201']}}
      - {{name: delete, url: '{url}/items/[CONTEXT].item', method: DELETE,
         headers: {{Authorization: 'Bearer [CONTEXT].token'}}, conditions: ['[STATUS] == 204']}}
"
    );
    run_imported("gatus", &[], &suite, &[]);
    let requests = target.requests();
    assert_eq!(requests[0].body, "{\"price\": \"19.99\"}");
    assert_eq!(requests[1].line, "DELETE /items/7 HTTP/1.1");
    assert_eq!(requests[1].header("authorization"), Some("Bearer t0ken"));
}

#[test]
fn an_imported_archive_is_a_chain_with_its_cookies() {
    let target = Target::responding(|requests| match requests.len() {
        1 => "200 OK\r\nset-cookie: id=fresh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        _ => status_response("302 Found"),
    });
    let entry = |method: &str, path: &str, status: u16, more: &str| {
        let url = format!("http://127.0.0.1:{}{path}", target.port);
        format!(
            r#"{{"pageref": "p", "_resourceType": "document",
             "request": {{"method": "{method}", "url": "{url}", {more}}},
             "response": {{"status": {status}, "headers": [{{"name": "Set-Cookie", "value": "id=old"}}]}}}}"#
        )
    };
    let archive = format!(
        r#"{{"log": {{"pages": [{{"id": "p", "title": "Login"}}], "entries": [{}, {}]}}}}"#,
        entry("GET", "/?a={b}", 200, r#""headers": []"#),
        entry(
            "POST",
            "/login",
            302,
            r#""headers": [{"name": "cookie", "value": "id=old"},
                           {"name": "content-type", "value": "application/x-www-form-urlencoded"}],
               "postData": {"mimeType": "application/x-www-form-urlencoded", "text": "user=a%20b&password=p%C3%A4ss"}"#
        ),
    );
    run_imported("har", &[], &archive, &[("SECRET_127_0_0_1_PASSWORD", "p%C3%A4ss")]);
    let requests = target.requests();
    assert_eq!(requests[0].line, "GET /?a={b} HTTP/1.1");
    assert_eq!(requests[1].body, "user=a%20b&password=p%C3%A4ss");
    assert_eq!(requests[1].header("cookie"), Some("id=fresh"));
}

#[test]
fn an_imported_command_sends_the_same_request() {
    let target = Target::new();
    let url = format!("http://127.0.0.1:{}", target.port);
    let command = format!(
        "curl '{url}/a?b={{c}}' -g -H 'X-A: 1' -H \"Authorization: Bearer $TOKEN\" \\\n \
         --data-raw $'{{\"x\":\"it\\'s\"}}' -b 'id=7' -A probe\n"
    );
    run_imported("curl", &[], &command, &[("TOKEN", "t0ken"), ("SECRET_127_0_0_1_COOKIE", "id=7")]);
    let request = target.single_request();
    assert_eq!((request.line.as_str(), request.body.as_str()), ("POST /a?b={c} HTTP/1.1", "{\"x\":\"it's\"}"));
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let found = ["x-a", "authorization", "cookie", "user-agent", "content-type"].map(header);
    assert_eq!(found, ["1", "Bearer t0ken", "id=7", "probe", "application/x-www-form-urlencoded"]);
}

#[test]
fn a_file_is_overwritten_only_on_demand() {
    let output = empty_folder("import-output").join("probes.yaml");
    let path = output.display().to_string();
    let import =
        |more: &[&str]| run_import(&[&["curl", "-", "--output", &path][..], more].concat(), "curl https://a.example/");
    let written = import(&[]);
    assert_eq!((written.code, written.stdout.as_str()), (0, ""), "{}", written.stderr);
    let text = fs::read_to_string(&output).expect("the file was written");
    check_configuration(&text, &[]);
    fs::write(&output, "mine").expect("the file is writable");
    let refused = import(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("probes.yaml exists") && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&output).expect("the file exists"), "mine");
    assert_eq!(import(&["--force"]).code, 0);
    assert_eq!(fs::read_to_string(&output).expect("the file exists"), text);
}

#[test]
fn strict_imports_write_nothing_if_something_is_left_out() {
    let strict = run_import(&["curl", "-", "--strict"], "curl --http3 https://a.example/");
    assert_eq!((strict.code, strict.stdout.as_str()), (4, ""));
    assert!(strict.stderr.contains("<stdin>:1: left out: `--http3` has no equivalent"), "{}", strict.stderr);
    let strict = run_import(&["curl", "-", "--strict"], "curl https://a.example/");
    assert!(strict.code == 0 && strict.stdout.contains("url: https://a.example/"), "{}", strict.stderr);
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let folder = empty_folder("import-unreadable");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("the folder is writable");
        path.display().to_string()
    };
    let bomb: String =
        (1..40).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
    let check = |format: &str, file: &str, message: &str| {
        let refused = run_import(&[format, file], "");
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{file}");
        assert!(refused.stderr.starts_with("error: ") && refused.stderr.contains(message), "{}", refused.stderr);
    };
    check("gatus", "no-such-file", "cannot read `no-such-file`");
    check("gatus", &folder.display().to_string(), "cannot read");
    check("curl", &file("binary", b"a\n\xff"), "binary:2: not UTF-8");
    check("gatus", &file("bomb.yaml", format!("a0: &a0 [x, x]\n{bomb}").as_bytes()), "too large");
    check("gatus", &file("deep.yaml", "[".repeat(100_000).as_bytes()), "nested too deeply");
    check("gatus", &file("bad.yaml", b"a: b: c"), "bad.yaml:1: ");
    check("gatus", &file("empty.yaml", b"# none\n"), "the file is empty");
    check("blackbox", &file("other.yml", b"a: 1"), "neither `modules`");
    check("har", &file("a.har", b"{\"log\": {\"entries\":\n 1}}"), "a.har:2: not an HTTP archive");
    check("har", &file("b.har", b"{\"log\": "), "not JSON");
    check("har", &file("deep.har", "[".repeat(100_000).as_bytes()), "not an HTTP archive");
    let many = format!(
        "{{\"log\": {{\"entries\": [{}0]}}}}",
        "{\"request\": {\"method\": \"\", \"url\": \"\"}},".repeat(20_001)
    );
    check("har", &file("many.har", many.as_bytes()), "more than 20,000 requests");
    let secret = file("unreadable.sh", b"curl https://a.example/");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("the test owns the file");
    assert_eq!(run_import(&["curl", &secret], "").code, 0);
}

#[test]
fn messages_can_be_json() {
    let imported = run_import(&["curl", "-", "--log-format", "json"], "curl --http3 https://a.example/");
    let levels = imported.stderr.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        line["level"].as_str().expect("a line has a level").to_owned()
    });
    assert_eq!(levels.collect::<Vec<_>>(), ["WARN", "INFO"]);
}
