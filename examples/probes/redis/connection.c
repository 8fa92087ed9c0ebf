#include "connection.h"

#include <stdlib.h>
#include <string.h>

typedef wasi_sockets_network_error_code_t code;
typedef wasi_sockets_network_ip_address_t address;

// Limits on the bytes of a reply and of a line, and on the number of addresses.
enum { MAX_REPLY_BYTES = 1 << 20, MAX_LINE_BYTES = 64 << 10, MAX_ADDRESSES = 16 };

bool connection_lost(connection *c, const char *reason, string why) {
  c->reason = reason;
  c->why = why;
  return false;
}

// Waits until `ready` is ready, or the deadline has passed.
static bool wait(connection *c, wasi_io_poll_own_pollable_t ready, const char *activity) {
  wasi_io_poll_own_pollable_t late = wasi_clocks_monotonic_clock_subscribe_instant(c->deadline);
  wasi_io_poll_borrow_pollable_t both[] = {wasi_io_poll_borrow_pollable(late), wasi_io_poll_borrow_pollable(ready)};
  wasi_io_poll_list_borrow_pollable_t list = {both, 2};
  probe_list_u32_t which;
  wasi_io_poll_poll(&list, &which);
  // The indexes are in the order of the list: if the deadline has passed, its index 0 comes first.
  bool over = which.ptr[0] == 0;
  probe_list_u32_free(&which);
  wasi_io_poll_pollable_drop_own(late);
  wasi_io_poll_pollable_drop_own(ready);
  if (!over) return true;
  return connection_lost(c, "timeout", JOIN(text("timed out while "), text(activity)));
}

static string error_text(code error) {
  switch (error) {
    case WASI_SOCKETS_NETWORK_ERROR_CODE_TIMEOUT: return text("no response");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_REMOTE_UNREACHABLE: return text("unreachable");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_CONNECTION_REFUSED: return text("connection refused");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_CONNECTION_RESET: return text("connection reset");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE: return text("it has no address");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_INVALID_ARGUMENT: return text("it is neither a name nor an address");
    default: return JOIN(text("error "), format_decimal(error));
  }
}

static bool deny(connection *c, string where) {
  return connection_lost(c, "denied", JOIN(where, text(" is not allowed: the run's log says what to add")));
}

static bool resolve(connection *c, wasi_sockets_network_borrow_network_t network, string host, address *found,
                    size_t *count) {
  wasi_sockets_ip_name_lookup_own_resolve_address_stream_t stream;
  wasi_sockets_ip_name_lookup_option_ip_address_t next;
  code error = 0;
  *count = 0;
  // The call takes ownership of the name.
  string name = JOIN(host);
  bool well = wasi_sockets_ip_name_lookup_resolve_addresses(network, &name, &stream, &error);
  while (well && *count < MAX_ADDRESSES) {
    wasi_sockets_ip_name_lookup_borrow_resolve_address_stream_t names =
        wasi_sockets_ip_name_lookup_borrow_resolve_address_stream(stream);
    if (wasi_sockets_ip_name_lookup_method_resolve_address_stream_resolve_next_address(names, &next, &error)) {
      if (!next.is_some) return true;
      found[(*count)++] = next.val;
    } else if (error != WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK) {
      well = false;
    } else {
      wasi_io_poll_own_pollable_t found = wasi_sockets_ip_name_lookup_method_resolve_address_stream_subscribe(names);
      if (!wait(c, found, "resolving the name")) return false;
    }
  }
  if (well) return true;
  if (error == WASI_SOCKETS_NETWORK_ERROR_CODE_ACCESS_DENIED) return deny(c, host);
  return connection_lost(c, "dns", JOIN(host, text(" does not resolve: "), error_text(error)));
}

static wasi_sockets_network_ip_socket_address_t to_socket_address(address ip, uint16_t port) {
  wasi_sockets_network_ip_socket_address_t both = {.tag = ip.tag};
  if (ip.tag == WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV4) {
    both.val.ipv4 = (wasi_sockets_network_ipv4_socket_address_t){port, ip.val.ipv4};
  } else {
    both.val.ipv6 = (wasi_sockets_network_ipv6_socket_address_t){.port = port, .address = ip.val.ipv6};
  }
  return both;
}

// Tries to connect to one address. Returns false with an `error` of this address, or with `c->reason` set after the
// deadline.
static bool try_connect(connection *c, wasi_sockets_network_borrow_network_t network, address ip, uint16_t port,
                        code *error) {
  wasi_sockets_tcp_own_tcp_socket_t own;
  wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
  wasi_sockets_network_ip_socket_address_t to = to_socket_address(ip, port);
  // The enumerations of address families and of addresses have the same order.
  if (!wasi_sockets_tcp_create_socket_create_tcp_socket(ip.tag, &own, error)) return false;
  wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(own);
  if (!wasi_sockets_tcp_method_tcp_socket_start_connect(socket, network, &to, error)) return false;
  while (!wasi_sockets_tcp_method_tcp_socket_finish_connect(socket, &streams, error)) {
    if (*error != WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK) return false;
    if (!wait(c, wasi_sockets_tcp_method_tcp_socket_subscribe(socket), "connecting")) return false;
  }
  c->input = streams.f0;
  c->output = streams.f1;
  return true;
}

bool connection_open(connection *c, string host, uint16_t port, double seconds) {
  *c = (connection){.deadline = wasi_clocks_monotonic_clock_now() + (uint64_t)(seconds * 1e9)};
  wasi_sockets_network_borrow_network_t network =
      wasi_sockets_network_borrow_network(wasi_sockets_instance_network_instance_network());
  address found[MAX_ADDRESSES];
  size_t count;
  if (!resolve(c, network, host, found, &count)) return false;
  code first = WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE, error = 0;
  bool denied = false;
  string where = JOIN(host, text(":"), format_decimal(port));
  for (size_t i = 0; i < count; i++) {
    if (try_connect(c, network, found[i], port, &error)) return true;
    if (c->reason) return false;
    if (i == 0) first = error;
    denied |= error == WASI_SOCKETS_NETWORK_ERROR_CODE_ACCESS_DENIED;
  }
  // If the host refuses one address, this is reported, whatever the errors of the other addresses.
  if (denied) return deny(c, where);
  return connection_lost(c, "connect", JOIN(text("no connection to "), where, text(": "), error_text(first)));
}

static bool stream_failed(connection *c, const wasi_io_streams_stream_error_t *error) {
  bool closed = error->tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
  return connection_lost(c, "closed",
                         text(closed ? "the server closed the connection" : "the server aborted the connection"));
}

bool connection_write(connection *c, string bytes) {
  wasi_io_streams_borrow_output_stream_t output = wasi_io_streams_borrow_output_stream(c->output);
  wasi_io_streams_stream_error_t error;
  while (bytes.len > 0) {
    uint64_t writable;
    if (!wasi_io_streams_method_output_stream_check_write(output, &writable, &error)) return stream_failed(c, &error);
    if (writable == 0 && !wait(c, wasi_io_streams_method_output_stream_subscribe(output), "sending")) return false;
    probe_list_u8_t some = {bytes.ptr, writable < bytes.len ? (size_t)writable : bytes.len};
    if (!wasi_io_streams_method_output_stream_write(output, &some, &error)) return stream_failed(c, &error);
    bytes.ptr += some.len;
    bytes.len -= some.len;
  }
  return true;
}

// Waits for more bytes, and reads them into the buffer.
static bool read_more(connection *c) {
  wasi_io_streams_borrow_input_stream_t input = wasi_io_streams_borrow_input_stream(c->input);
  wasi_io_streams_stream_error_t error;
  probe_list_u8_t some = {0};
  while (some.len == 0) {
    if (!wait(c, wasi_io_streams_method_input_stream_subscribe(input), "waiting for the response")) return false;
    if (!wasi_io_streams_method_input_stream_read(input, MAX_LINE_BYTES, &some, &error))
      return stream_failed(c, &error);
  }
  while (c->buffer.len + some.len > c->capacity) {
    c->capacity = c->capacity ? 2 * c->capacity : 4096;
    c->buffer.ptr = realloc(c->buffer.ptr, c->capacity);
    if (!c->buffer.ptr) abort();
  }
  memcpy(c->buffer.ptr + c->buffer.len, some.ptr, some.len);
  c->buffer.len += some.len;
  probe_list_u8_free(&some);
  return true;
}

bool connection_line(connection *c, string *line) {
  for (size_t from = c->taken;;) {
    for (; from + 1 < c->buffer.len; from++) {
      if (c->buffer.ptr[from] != '\r' || c->buffer.ptr[from + 1] != '\n') continue;
      // Returns a copy, since later reads may move the buffer.
      *line = JOIN({c->buffer.ptr + c->taken, from - c->taken});
      c->taken = from + 2;
      return true;
    }
    if (c->buffer.len - c->taken > MAX_LINE_BYTES) {
      string start = printable((string){c->buffer.ptr + c->taken, 40});
      return connection_lost(c, "protocol", JOIN(text("the server sent a line without an end: `"), start, text("`")));
    }
    if (!read_more(c)) return false;
  }
}

bool connection_bytes(connection *c, size_t count, string *bytes) {
  if (count > MAX_REPLY_BYTES)
    return connection_lost(c, "protocol", JOIN(text("the server announced "), format_decimal(count), text(" bytes")));
  while (c->buffer.len - c->taken < count + 2)
    if (!read_more(c)) return false;
  uint8_t *start = c->buffer.ptr + c->taken;
  if (start[count] != '\r' || start[count + 1] != '\n')
    return connection_lost(c, "protocol", text("the server sent more bytes than it announced"));
  *bytes = JOIN({start, count});
  c->taken += count + 2;
  return true;
}
