//! Building blocks of the test guests: WASI's functions under short names, and functions in WAT that combine them.

/// WASI's functions, under the names that [`DEFINE`] uses.
pub const IMPORTS: &str = r#"
  (import "sentrynet:probe/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
  (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.ready" (func $ready (param i32) (result i32)))
  (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
  (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop-pollable (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.read" (func $read-some (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.subscribe" (func $subscribe-input (param i32) (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.check-write" (func $check-write (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write-some (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream" (func $drop-input (param i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
  (import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
  (import "wasi:sockets/ip-name-lookup@0.2.0" "[method]resolve-address-stream.subscribe" (func $subscribe-lookup (param i32) (result i32)))
  (import "wasi:sockets/ip-name-lookup@0.2.0" "[method]resolve-address-stream.resolve-next-address" (func $next-address (param i32 i32)))
  (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))
  (import "wasi:sockets/udp-create-socket@0.2.0" "create-udp-socket" (func $udp (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.start-bind"
    (func $start-bind (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.start-connect"
    (func $start-connect (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.finish-connect" (func $finish-connect (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.local-address" (func $local-address (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.start-listen" (func $start-listen (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.hop-limit" (func $hop-limit (param i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.set-hop-limit" (func $set-hop-limit (param i32 i32 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.subscribe" (func $subscribe-socket (param i32) (result i32)))
  (import "wasi:sockets/tcp@0.2.0" "[resource-drop]tcp-socket" (func $drop-socket (param i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.get" (func $field (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.append" (func $add-field (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $new-request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.body" (func $request-body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-method" (func $set-method (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $set-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme" (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $set-authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]request-options" (func $options (result i32)))
  (import "wasi:http/types@0.2.0" "[method]request-options.set-first-byte-timeout"
    (func $set-first-byte (param i32 i32 i64) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $body-stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish-body (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe-response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get-response (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[resource-drop]future-incoming-response" (func $drop-response (param i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.status" (func $status (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $incoming-stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]incoming-body.finish" (func $finish-incoming (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-trailers.subscribe" (func $subscribe-trailers (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-trailers.get" (func $get-trailers (param i32 i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
"#;

/// Functions of the guests. In the guest's memory, results of WASI's functions are stored at 1200, `teapot` is at 512,
/// and a test's text is at 1600.
pub const DEFINE: &str = r#"
  (global $socket (mut i32) (i32.const 0))
  (global $input (mut i32) (i32.const 0))
  (global $output (mut i32) (i32.const 0))
  (data (i32.const 1310) "okdone")
  (data (i32.const 1320) "content-length")

  (func $log-text (param $at i32) (param $length i32)
    (call $log (i32.const 1) (local.get $at) (local.get $length)))

  ;; logs the last two digits of a number
  (func $log-number (param $number i32)
    (i32.store8 (i32.const 1300) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $number) (i32.const 10)) (i32.const 10))))
    (i32.store8 (i32.const 1301) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
    (call $log-text (i32.const 1300) (i32.const 2)))

  ;; logs a result whose error, an enum, is at offset 4, as `ok` or the error's number; returns 1 if the result is ok
  (func $log-result (result i32)
    (if (i32.load8_u (i32.const 1200))
      (then (call $log-number (i32.load8_u offset=4 (i32.const 1200))))
      (else (call $log-text (i32.const 1310) (i32.const 2))))
    (i32.eqz (i32.load8_u (i32.const 1200))))

  ;; logs a result whose error, an enum, is at offset 1, as `ok` or the error's number
  (func $log-byte-result
    (i32.store8 (i32.const 1204) (i32.load8_u offset=1 (i32.const 1200)))
    (drop (call $log-result)))

  (func $wait (param $pollable i32)
    (call $block (local.get $pollable))
    (call $drop-pollable (local.get $pollable)))

  (func $pause (param $nanoseconds i64)
    (call $wait (call $timer (local.get $nanoseconds))))

  (func $new-socket
    (call $tcp (i32.const 0) (i32.const 1200))
    (global.set $socket (i32.load offset=4 (i32.const 1200))))

  (func $start-connecting (param $a i32) (param $b i32) (param $c i32) (param $d i32) (param $port i32) (result i32)
    (call $new-socket)
    (call $start-connect (global.get $socket) (call $network) (i32.const 0) (local.get $port)
      (local.get $a) (local.get $b) (local.get $c) (local.get $d)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1200))
    (i32.eqz (i32.load8_u (i32.const 1200))))

  ;; returns 1 when connected, and 0 after logging the error
  (func $connect (param $a i32) (param $b i32) (param $c i32) (param $d i32) (param $port i32) (result i32)
    (if (call $start-connecting (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $port))
      (then
        (call $wait (call $subscribe-socket (global.get $socket)))
        (call $finish-connect (global.get $socket) (i32.const 1200))
        (global.set $input (i32.load offset=4 (i32.const 1200)))
        (global.set $output (i32.load offset=8 (i32.const 1200)))
        (if (i32.load8_u (i32.const 1200))
          (then (call $log-number (i32.load8_u offset=4 (i32.const 1200))) (return (i32.const 0))))
        (return (i32.const 1)))
      (else (call $log-byte-result)))
    (i32.const 0))

  (func $close-connection
    (call $drop-input (global.get $input))
    (call $drop-output (global.get $output))
    (call $drop-socket (global.get $socket)))

  ;; reads once, and logs the bytes or the error
  (func $read-and-log
    (call $read (global.get $input) (i64.const 1000) (i32.const 1200))
    (if (i32.load8_u (i32.const 1200))
      (then (call $log-number (i32.load8_u offset=4 (i32.const 1200))))
      (else (call $log-text (i32.load offset=4 (i32.const 1200)) (i32.load offset=8 (i32.const 1200))))))

  ;; writes `teapot`, and logs the response
  (func $write-and-read
    (call $write (global.get $output) (i32.const 512) (i32.const 6) (i32.const 1200))
    (call $read-and-log))

  ;; resolves the name at 1600, and logs the error, or connects to its first IPv4 address and calls $write-and-read
  (func $call-by-name (param $length i32) (param $port i32)
    (local $lookup i32)
    (call $resolve (call $network) (i32.const 1600) (local.get $length) (i32.const 1200))
    (if (i32.eqz (call $log-result)) (then (return)))
    (local.set $lookup (i32.load offset=4 (i32.const 1200)))
    (call $wait (call $subscribe-lookup (local.get $lookup)))
    (call $next-address (local.get $lookup) (i32.const 1200))
    (if (i32.load8_u (i32.const 1200))
      (then (call $log-number (i32.load8_u offset=2 (i32.const 1200))) (return)))
    ;; skips an IPv6 address
    (if (i32.load8_u offset=4 (i32.const 1200)) (then
      (call $next-address (local.get $lookup) (i32.const 1200))))
    (if (call $connect
          (i32.load8_u offset=6 (i32.const 1200)) (i32.load8_u offset=7 (i32.const 1200))
          (i32.load8_u offset=8 (i32.const 1200)) (i32.load8_u offset=9 (i32.const 1200)) (local.get $port))
      (then (call $write-and-read) (call $close-connection))))

  ;; creates a request for `/tea` with the authority at 1600
  (func $request (param $length i32) (result i32)
    (call $request-with (call $fields) (local.get $length)))

  (func $request-with (param $fields i32) (param $length i32) (result i32)
    (local $request i32)
    (local.set $request (call $new-request (local.get $fields)))
    (i32.store (i32.const 1400) (i32.const 0x6165742f))
    (drop (call $set-path (local.get $request) (i32.const 1) (i32.const 1400) (i32.const 4)))
    (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $set-authority (local.get $request) (i32.const 1) (i32.const 1600) (local.get $length)))
    (local.get $request))

  ;; sends a request; returns the future of the response
  (func $send (param $request i32) (result i32)
    (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1200))
    (i32.load offset=8 (i32.const 1200)))

  ;; sends a POST request whose body is written later; returns the future of the response
  (func $send-body (param $request i32) (result i32)
    (drop (call $set-method (local.get $request) (i32.const 2) (i32.const 0) (i32.const 0)))
    (call $request-body (local.get $request) (i32.const 1200))
    (global.set $socket (i32.load offset=4 (i32.const 1200)))
    (local.set $request (call $send (local.get $request)))
    (call $body-stream (global.get $socket) (i32.const 1200))
    (global.set $output (i32.load offset=4 (i32.const 1200)))
    (local.get $request))

  (func $write-body (param $at i32) (param $length i32)
    (call $write (global.get $output) (local.get $at) (local.get $length) (i32.const 1200)))

  (func $end-body
    (call $drop-output (global.get $output))
    (call $finish-body (global.get $socket) (i32.const 0) (i32.const 0) (i32.const 1200)))

  ;; logs the status and two reads of the body, or the error
  (func $receive (param $future i32)
    (drop (call $receive-body (local.get $future))))

  ;; logs the same as $receive, and then the trailer `done`, or `ok` if there are no trailers
  (func $receive-all (param $future i32)
    (local.set $future (call $receive-body (local.get $future)))
    (call $drop-input (global.get $input))
    (local.set $future (call $finish-incoming (local.get $future)))
    (call $wait (call $subscribe-trailers (local.get $future)))
    (call $get-trailers (local.get $future) (i32.const 1200))
    (if (i32.eqz (i32.load8_u offset=24 (i32.const 1200)))
      (then (call $log-text (i32.const 1310) (i32.const 2)) (return)))
    (call $field (i32.load offset=28 (i32.const 1200)) (i32.const 1312) (i32.const 4) (i32.const 1200))
    (local.set $future (i32.load (i32.const 1200)))
    (call $log-text (i32.load (local.get $future)) (i32.load offset=4 (local.get $future))))

  (func $receive-body (param $future i32) (result i32)
    (local $body i32)
    (call $wait (call $subscribe-response (local.get $future)))
    (call $get-response (local.get $future) (i32.const 1200))
    (if (i32.load8_u offset=16 (i32.const 1200))
      (then (call $log-number (i32.load8_u offset=24 (i32.const 1200))) (return (i32.const 0))))
    (local.set $body (i32.load offset=24 (i32.const 1200)))
    (call $log-number (call $status (local.get $body)))
    (call $consume (local.get $body) (i32.const 1200))
    (local.set $body (i32.load offset=4 (i32.const 1200)))
    (call $incoming-stream (local.get $body) (i32.const 1200))
    (global.set $input (i32.load offset=4 (i32.const 1200)))
    (call $read-and-log)
    (call $read-and-log)
    (local.get $body))
"#;

/// Returns a script that stores a text at 1600, and then runs `script`, in which `LENGTH` stands for the text's length.
pub fn script_with_text(text: &str, script: &str) -> String {
    let stores = text.bytes().enumerate().map(|(index, byte)| {
        let at = 1600 + index;
        format!("(i32.store8 (i32.const {at}) (i32.const {byte}))")
    });
    format!("{}{}", stores.collect::<String>(), script.replace("LENGTH", &format!("(i32.const {})", text.len())))
}
