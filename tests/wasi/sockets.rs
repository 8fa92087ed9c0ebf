//! TCP and the lookup of names.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::support::slow::listen;
use crate::support::{free_port, lasted, spans};
use crate::wasi::script::with;
use crate::wasi::{run, said, told};

/// A server that says back what it hears; its port.
pub fn echo() -> u16 {
    listen(|mut connection| {
        let mut heard = [0; 1000];
        while let Ok(count @ 1..) = connection.read(&mut heard) {
            let _ = connection.write_all(&heard[..count]);
        }
    })
}

pub fn connect(port: u16, then: &str) -> String {
    let address = "(i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)";
    format!("(if (call $connect {address} (i32.const {port})) (then {then} (call $hang-up)))")
}

fn allow(hosts: &str) -> String {
    format!("allow: {{log: true, hosts: [{hosts}]}}")
}

#[test]
fn a_connection_is_in_the_waterfall_with_all_that_went_over_it() {
    let port = echo();
    let run = run("talks-tcp", &connect(port, "(call $talk) (call $talk)"), &allow(&format!("'127.0.0.1:{port}'")));
    assert_eq!(said(&run), ["teapot", "teapot"]);
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
    assert!(lasted(&run, "tcp") >= lasted(&run, "tcp.connect"));
}

#[test]
fn a_name_that_is_allowed_leads_to_a_connection_in_its_name() {
    let port = echo();
    let by_name = with("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let run = run("talks-by-name", &by_name, &allow(&format!("'localhost:{port}'")));
    assert_eq!(said(&run), ["ok", "teapot"]);
    assert_eq!(spans(&run, "dns")[0]["description"], "Resolve localhost");
    let tcp = &spans(&run, "tcp")[0];
    assert_eq!(tcp["description"], format!("localhost:{port}"));
    assert_eq!((&tcp["data"]["server.address"], &tcp["data"]["server.port"]), (&"localhost".into(), &port.into()));
}

#[test]
fn what_is_not_allowed_is_refused_before_anything_is_sent() {
    const DENIED: &str = "01";
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    listener.set_nonblocking(true).expect("a listener can be asked");
    let talk = connect(port, "(call $talk)");
    for hosts in ["", "'*'", "localhost", "'127.0.0.1:1', '[::1]', 10.0.0.0/8"] {
        let run = run("refused-tcp", &talk, &allow(hosts));
        assert_eq!(said(&run), [DENIED], "{hosts}");
        let why = format!("`127.0.0.1:{port}`, a loopback address, is not allowed: add `127.0.0.1:{port}` to");
        assert!(told(&run)[0].starts_with(&why), "{run:#}");
        assert_eq!(spans(&run, "tcp").len(), 0);
    }
    // A name that is allowed at another port is looked up, and leads nowhere else.
    let by_name = with("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let run_by_name = run("refused-by-port", &by_name, &allow("'localhost:1'"));
    assert_eq!(said(&run_by_name), ["ok", DENIED]);
    assert!(told(&run_by_name)[0].contains(&format!("add `localhost:{port}` to `allow.hosts`")), "{run_by_name:#}");
    assert!(listener.accept().is_err(), "somebody has connected");
}

#[test]
fn a_name_that_is_not_allowed_is_not_looked_up() {
    let lookup = |name: &str| with(name, "(call $call-by-name LENGTH (i32.const 1))");
    let refused = run("refused-lookup", &lookup("carried-off.attacker.test"), &allow("'*.shop.test'"));
    assert_eq!(said(&refused), ["01"]);
    let why = "`carried-off.attacker.test` is not allowed: add `carried-off.attacker.test` to `allow.hosts`";
    assert!(told(&refused)[0].starts_with(why), "{refused:#}");
    assert_eq!(spans(&refused, "dns").len(), 0);
    // What is no name: whatever it would be taken for is not asked.
    for wrong in ["fe80::1%lo", "a b", "user@shop.test"] {
        let run = run("refused-no-name", &lookup(wrong), &allow("'*.shop.test'"));
        assert_eq!(said(&run), ["03"], "{wrong}");
    }
}

#[test]
fn a_name_that_is_pointed_to_a_private_address_is_refused() {
    // This machine's own name, which its file of hosts points to one.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a machine has a name");
    let lookup = with(name.trim(), "(call $call-by-name LENGTH (i32.const 1))");
    let run = run("rebound", &lookup, &allow(&format!("'{}', '*'", name.trim())));
    assert_eq!(said(&run), ["ok", "01"]);
    assert!(told(&run)[0].contains(&format!("`{}` leads to `", name.trim())), "{run:#}");
    let dns = &spans(&run, "dns")[0];
    assert_eq!((&dns["status"], &dns["data"]["error.type"]), (&"permission_denied".into(), &"denied".into()));
}

#[test]
fn nobody_listens_there() {
    let port = free_port();
    let run = run("refused-by-peer", &connect(port, ""), &allow("127.0.0.1"));
    assert_eq!(said(&run), ["14"]);
    for op in ["tcp", "tcp.connect"] {
        let span = &spans(&run, op)[0];
        assert_eq!((&span["status"], &span["data"]["error.type"]), (&"unavailable".into(), &"connect".into()));
    }
}

#[test]
fn who_does_not_wait_for_a_connection_has_it_cancelled() {
    let dial = "(drop (call $dial (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const PORT)))
        (call $drop-socket (global.get $socket))";
    let port = echo();
    let run = run("hangs-up", &dial.replace("PORT", &port.to_string()), &allow("127.0.0.1"));
    assert_eq!(said(&run), [""; 0]);
    assert_eq!(spans(&run, "tcp").len(), 1, "{run:#}");
}

#[test]
fn nothing_but_connecting_is_a_probes_to_do() {
    let network = "(call $network) (i32.const 0)";
    let zeros = "(i32.const 0) ".repeat(6);
    let bind = |port: u16, last: u8| {
        format!(
            "(call $new-socket) (call $start-bind (global.get $socket) {network} (i32.const {port}) (i32.const {last})
             (i32.const 0) (i32.const 0) (i32.const {last}) {zeros} (i32.const 1200)) (call $outcome-of-bytes)"
        )
    };
    let udp = "(call $udp (i32.const 0) (i32.const 1200)) (drop (call $outcome))";
    let listen =
        "(call $new-socket) (call $start-listen (global.get $socket) (i32.const 1200)) (call $outcome-of-bytes)";
    let script = [&bind(0, 0), &bind(8080, 0), &bind(0, 127), listen, udp].map(str::to_owned).join("\n");
    let run = run("serves", &script, &allow("'*', 127.0.0.0/8"));
    assert_eq!(said(&run), ["ok", "01", "01", "01", "01"]);
    assert_eq!(
        told(&run),
        [
            "an address of this machine's is no probe's to choose",
            "listening is no probe's to do: it may connect by TCP",
            "UDP is no probe's to use: it may connect by TCP"
        ]
    );
}

#[test]
fn a_socket_keeps_the_options_that_are_chosen() {
    let hops = "(call $hop-limit (global.get $socket) (i32.const 1200)) (call $number (i32.load8_u offset=1 (i32.const 1200)))";
    let choose = "(call $set-hop-limit (global.get $socket) (i32.const 7) (i32.const 1200)) (call $outcome-of-bytes)
        (call $set-hop-limit (global.get $socket) (i32.const 0) (i32.const 1200)) (call $outcome-of-bytes)";
    let script =
        format!("(call $new-socket) {hops} {choose} {hops} {}", connect(echo(), &format!("{hops} {choose} {hops}")));
    assert_eq!(said(&run("chooses", &script, &allow("127.0.0.1"))), ["64", "ok", "03", "07", "64", "ok", "03", "07"]);
}

#[test]
fn what_the_system_does_not_take_at_once_is_written_all_the_same() {
    // 64 KiB at a time, without waiting in between, to a peer that reads late; dropped at once.
    let flood = "(local $n i32) (loop
        (call $check-write (global.get $output) (i32.const 1200))
        (if (i64.eqz (i64.load offset=8 (i32.const 1200))) (then (call $pause (i64.const 1000000))) (else
          (call $write-some (global.get $output) (i32.const 0) (i32.const 65536) (i32.const 1200))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 200))))
        (call $hear)";
    let port = listen(|mut connection| {
        thread::sleep(Duration::from_millis(200));
        let (mut heard, mut all) = (vec![0; 1 << 20], 0);
        while all < 200 << 16 {
            match connection.read(&mut heard) {
                Ok(count @ 1..) => all += count,
                _ => return,
            }
        }
        let _ = connection.write_all(b"all of it");
    });
    let script = connect(port, flood);
    let (locals, rest) = ("(local $n i32)", script.replace("(local $n i32)", ""));
    let run = run("floods", &format!("{locals} {rest}"), &allow("127.0.0.1"));
    assert_eq!(said(&run), ["all of it"]);
    assert_eq!(spans(&run, "tcp")[0]["data"]["tcp.sent.size"], 200 << 16);
}

#[test]
fn ceilings_are_held_while_bytes_flow() {
    #[track_caller]
    fn breaks(name: &str, script: &str, limit: &str, expected: &str) {
        let run = run(name, script, &format!("{}, limits: {{{limit}}}", allow("127.0.0.1, localhost")));
        let message = run["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(expected), "{run:#}");
        assert_eq!(run["outcome"], "broken");
    }
    let port = echo();
    let talk = "(loop (call $talk) (br 0))";
    breaks("sends-on", &connect(port, talk), "sent: 1 KiB", "the probe sent more than its 1 KiB");
    breaks("hears-on", &connect(port, talk), "received: 1 KiB", "the probe received more than its 1 KiB");
    let again = connect(port, "(br 1)");
    breaks("calls-on", &format!("(loop {again})"), "connections: 3", "the probe had more than its 3 connections");
    let anew = connect(port, "(call $hang-up) (br 1)");
    breaks("calls-anew", &format!("(loop {anew})"), "requests: 5", "the probe made more than its 5 requests");
    let lookups =
        with("localhost", "(loop (call $resolve (call $network) (i32.const 1600) LENGTH (i32.const 1200)) (br 0))");
    breaks("looks-up-on", &lookups, "requests: 5", "the probe made more than its 5 requests");
    let sockets = "(loop (call $new-socket) (br 0))";
    breaks("plans-on", sockets, "handles: 50", "the probe held more than its 50 handles");
}
