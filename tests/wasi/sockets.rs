//! TCP sockets and name lookups.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::support::tcp_server::listen;
use crate::support::{free_port, span_duration_ms, spans};
use crate::wasi::script::script_with_text;
use crate::wasi::{guest_log, host_warnings, run_script};

/// Starts a server that echoes what it receives. Returns its port.
pub fn start_echo_server() -> u16 {
    listen(|mut connection| {
        let mut received = [0; 1000];
        while let Ok(count @ 1..) = connection.read(&mut received) {
            let _ = connection.write_all(&received[..count]);
        }
    })
}

/// Returns a script that connects to this port of 127.0.0.1, runs `then`, and closes the connection.
pub fn connect_script(port: u16, then: &str) -> String {
    let address = "(i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)";
    format!("(if (call $connect {address} (i32.const {port})) (then {then} (call $close-connection)))")
}

fn allow_hosts(hosts: &str) -> String {
    format!("allow: {{log: true, hosts: [{hosts}]}}")
}

#[test]
fn a_connection_has_spans_with_the_size_of_its_traffic() {
    let port = start_echo_server();
    let run = run_script(
        "talks-tcp",
        &connect_script(port, "(call $write-and-read) (call $write-and-read)"),
        &allow_hosts(&format!("'127.0.0.1:{port}'")),
    );
    assert_eq!(guest_log(&run), ["teapot", "teapot"]);
    let spans = |op| spans(&run, op);
    let (tcp, connect) = (spans("tcp"), spans("tcp.connect"));
    assert_eq!((tcp.len(), connect.len()), (1, 1), "{run:#}");
    assert_eq!(tcp[0]["description"], format!("127.0.0.1:{port}"));
    assert_eq!(connect[0]["description"], format!("Connect to 127.0.0.1:{port}"));
    assert_eq!(connect[0]["parent_span_id"], tcp[0]["span_id"]);
    let data = &tcp[0]["data"];
    assert_eq!((&data["tcp.sent.size"], &data["tcp.received.size"]), (&12.into(), &12.into()), "{run:#}");
    assert_eq!((&data["network.peer.address"], &data["network.peer.port"]), (&"127.0.0.1".into(), &port.into()));
    assert_eq!((&tcp[0]["status"], &connect[0]["status"]), (&"ok".into(), &"ok".into()));
    assert!(span_duration_ms(&run, "tcp") >= span_duration_ms(&run, "tcp.connect"));
}

#[test]
fn a_connection_by_name_has_the_name_in_its_span() {
    let port = start_echo_server();
    let by_name = script_with_text("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let run = run_script("talks-by-name", &by_name, &allow_hosts(&format!("'localhost:{port}'")));
    assert_eq!(guest_log(&run), ["ok", "teapot"]);
    assert_eq!(spans(&run, "dns")[0]["description"], "Resolve localhost");
    let tcp = &spans(&run, "tcp")[0];
    assert_eq!(tcp["description"], format!("localhost:{port}"));
    assert_eq!((&tcp["data"]["server.address"], &tcp["data"]["server.port"]), (&"localhost".into(), &port.into()));
}

#[test]
fn connections_that_are_not_allowed_are_refused_before_they_are_made() {
    const DENIED: &str = "01";
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    listener.set_nonblocking(true).expect("a listener can be nonblocking");
    let talk = connect_script(port, "(call $write-and-read)");
    for hosts in ["", "'*'", "localhost", "'127.0.0.1:1', '[::1]', 10.0.0.0/8"] {
        let run = run_script("refused-tcp", &talk, &allow_hosts(hosts));
        assert_eq!(guest_log(&run), [DENIED], "{hosts}");
        let why = format!("`127.0.0.1:{port}`, a loopback address, is not allowed: add `127.0.0.1:{port}` to");
        assert!(host_warnings(&run)[0].starts_with(&why), "{run:#}");
        assert_eq!(spans(&run, "tcp").len(), 0);
    }
    // A name that is allowed at another port is resolved, and its addresses are refused.
    let by_name = script_with_text("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let run_by_name = run_script("refused-by-port", &by_name, &allow_hosts("'localhost:1'"));
    assert_eq!(guest_log(&run_by_name), ["ok", DENIED]);
    assert!(
        host_warnings(&run_by_name)[0].contains(&format!("add `localhost:{port}` to `allow.hosts`")),
        "{run_by_name:#}"
    );
    assert!(listener.accept().is_err(), "a guest has connected");
}

#[test]
fn a_name_that_is_not_allowed_is_not_looked_up() {
    let lookup = |name: &str| script_with_text(name, "(call $call-by-name LENGTH (i32.const 1))");
    let refused = run_script("refused-lookup", &lookup("carried-off.attacker.test"), &allow_hosts("'*.shop.test'"));
    assert_eq!(guest_log(&refused), ["01"]);
    let why = "`carried-off.attacker.test` is not allowed: add `carried-off.attacker.test` to `allow.hosts`";
    assert!(host_warnings(&refused)[0].starts_with(why), "{refused:#}");
    assert_eq!(spans(&refused, "dns").len(), 0);
    // Invalid names are refused without a lookup.
    for wrong in ["fe80::1%lo", "a b", "user@shop.test"] {
        let run = run_script("refused-no-name", &lookup(wrong), &allow_hosts("'*.shop.test'"));
        assert_eq!(guest_log(&run), ["03"], "{wrong}");
    }
}

#[test]
fn a_name_that_resolves_to_a_private_address_is_refused() {
    // On most machines, `/etc/hosts` maps the host name to a loopback or private address.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a machine has a name");
    let lookup = script_with_text(name.trim(), "(call $call-by-name LENGTH (i32.const 1))");
    let run = run_script("rebound", &lookup, &allow_hosts(&format!("'{}', '*'", name.trim())));
    assert_eq!(guest_log(&run), ["ok", "01"]);
    assert!(host_warnings(&run)[0].contains(&format!("`{}` leads to `", name.trim())), "{run:#}");
    let dns = &spans(&run, "dns")[0];
    assert_eq!((&dns["status"], &dns["data"]["error.type"]), (&"permission_denied".into(), &"denied".into()));
}

#[test]
fn the_local_address_of_a_connection_is_masked() {
    let byte = |offset: u32| format!("(call $log-number (i32.load8_u offset={offset} (i32.const 1200)))");
    let bytes: String = [0, 10, 11, 12, 13].map(byte).concat();
    let port = start_echo_server();
    let script = format!("(call $local-address (global.get $socket) (i32.const 1200)) {bytes}");
    let run = run_script("local-address", &connect_script(port, &script), &allow_hosts("127.0.0.1"));
    // The first byte says that the result is no error, the other four are the address.
    assert_eq!(guest_log(&run), ["00"; 5]);
}

#[test]
fn a_refused_connection_is_reported() {
    let port = free_port();
    let run = run_script("refused-by-peer", &connect_script(port, ""), &allow_hosts("127.0.0.1"));
    assert_eq!(guest_log(&run), ["14"]);
    for op in ["tcp", "tcp.connect"] {
        let span = &spans(&run, op)[0];
        assert_eq!((&span["status"], &span["data"]["error.type"]), (&"unavailable".into(), &"connect".into()));
    }
}

#[test]
fn a_connection_that_is_dropped_while_connecting_is_cancelled() {
    let dial =
        "(drop (call $start-connecting (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const PORT)))
        (call $drop-socket (global.get $socket))";
    let port = start_echo_server();
    let run = run_script("hangs-up", &dial.replace("PORT", &port.to_string()), &allow_hosts("127.0.0.1"));
    assert_eq!(guest_log(&run), [""; 0]);
    assert_eq!(spans(&run, "tcp").len(), 1, "{run:#}");
}

#[test]
fn binding_listening_and_udp_are_refused() {
    let network = "(call $network) (i32.const 0)";
    let zeros = "(i32.const 0) ".repeat(6);
    let bind = |port: u16, last: u8| {
        format!(
            "(call $new-socket) (call $start-bind (global.get $socket) {network} (i32.const {port}) (i32.const {last})
             (i32.const 0) (i32.const 0) (i32.const {last}) {zeros} (i32.const 1200)) (call $log-byte-result)"
        )
    };
    let udp = "(call $udp (i32.const 0) (i32.const 1200)) (drop (call $log-result))";
    let listen =
        "(call $new-socket) (call $start-listen (global.get $socket) (i32.const 1200)) (call $log-byte-result)";
    let script = [&bind(0, 0), &bind(8080, 0), &bind(0, 127), listen, udp].map(str::to_owned).join("\n");
    let run = run_script("serves", &script, &allow_hosts("'*', 127.0.0.0/8"));
    assert_eq!(guest_log(&run), ["ok", "01", "01", "01", "01"]);
    assert_eq!(
        host_warnings(&run),
        [
            "probes cannot bind to a local address or port",
            "probes cannot listen: they can only connect by TCP",
            "probes cannot use UDP: they can only connect by TCP"
        ]
    );
}

#[test]
fn socket_options_are_applied_and_read_back() {
    let hops = "(call $hop-limit (global.get $socket) (i32.const 1200)) (call $log-number (i32.load8_u offset=1 (i32.const 1200)))";
    let choose = "(call $set-hop-limit (global.get $socket) (i32.const 7) (i32.const 1200)) (call $log-byte-result)
        (call $set-hop-limit (global.get $socket) (i32.const 0) (i32.const 1200)) (call $log-byte-result)";
    let script = format!(
        "(call $new-socket) {hops} {choose} {hops} {}",
        connect_script(start_echo_server(), &format!("{hops} {choose} {hops}"))
    );
    assert_eq!(
        guest_log(&run_script("chooses", &script, &allow_hosts("127.0.0.1"))),
        ["64", "ok", "03", "07", "64", "ok", "03", "07"]
    );
}

#[test]
fn writes_beyond_the_socket_buffer_are_completed() {
    // The guest writes 64 KiB at a time without waiting, to a server that reads late. Then it reads once, and closes
    // the connection.
    let flood = "(local $n i32) (loop
        (call $check-write (global.get $output) (i32.const 1200))
        (if (i64.eqz (i64.load offset=8 (i32.const 1200))) (then (call $pause (i64.const 1000000))) (else
          (call $write-some (global.get $output) (i32.const 0) (i32.const 65536) (i32.const 1200))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 200))))
        (call $read-and-log)";
    let port = listen(|mut connection| {
        thread::sleep(Duration::from_millis(200));
        let (mut received, mut all) = (vec![0; 1 << 20], 0);
        while all < 200 << 16 {
            match connection.read(&mut received) {
                Ok(count @ 1..) => all += count,
                _ => return,
            }
        }
        let _ = connection.write_all(b"all of it");
    });
    let script = connect_script(port, flood);
    let (locals, rest) = ("(local $n i32)", script.replace("(local $n i32)", ""));
    let run = run_script("floods", &format!("{locals} {rest}"), &allow_hosts("127.0.0.1"));
    assert_eq!(guest_log(&run), ["all of it"]);
    assert_eq!(spans(&run, "tcp")[0]["data"]["tcp.sent.size"], 200 << 16);
}

#[test]
fn limits_hold_while_bytes_are_transferred() {
    #[track_caller]
    fn assert_breaks(name: &str, script: &str, limit: &str, expected: &str) {
        let run = run_script(name, script, &format!("{}, limits: {{{limit}}}", allow_hosts("127.0.0.1, localhost")));
        let message = run["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(expected), "{run:#}");
        assert_eq!(run["outcome"], "broken");
    }
    let port = start_echo_server();
    let talk = "(loop (call $write-and-read) (br 0))";
    assert_breaks("sends-on", &connect_script(port, talk), "sent: 1 KiB", "the probe sent more than its 1 KiB");
    assert_breaks("hears-on", &connect_script(port, talk), "received: 1 KiB", "the probe received more than its 1 KiB");
    let again = connect_script(port, "(br 1)");
    assert_breaks(
        "calls-on",
        &format!("(loop {again})"),
        "connections: 3",
        "the probe had more than its 3 connections",
    );
    let anew = connect_script(port, "(call $close-connection) (br 1)");
    assert_breaks("calls-anew", &format!("(loop {anew})"), "requests: 5", "the probe made more than its 5 requests");
    let lookups = script_with_text(
        "localhost",
        "(loop (call $resolve (call $network) (i32.const 1600) LENGTH (i32.const 1200)) (br 0))",
    );
    assert_breaks("looks-up-on", &lookups, "requests: 5", "the probe made more than its 5 requests");
    let sockets = "(loop (call $new-socket) (br 0))";
    assert_breaks("plans-on", sockets, "handles: 50", "the probe held more than its 50 handles");
}
