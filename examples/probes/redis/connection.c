#include "connection.h"

#include <stdlib.h>
#include <string.h>

typedef wasi_sockets_network_error_code_t code;
typedef wasi_sockets_network_ip_address_t address;

// More than a server has to say; a line has far less.
enum { MOST = 1 << 20, LONGEST_LINE = 64 << 10, MOST_ADDRESSES = 16 };

bool connection_lost(connection *c, const char *reason, string why) {
  c->reason = reason;
  c->why = why;
  return false;
}

// Waits for something to be ready.
static bool wait(connection *c, wasi_io_poll_own_pollable_t ready, const char *doing) {
  wasi_io_poll_own_pollable_t late = wasi_clocks_monotonic_clock_subscribe_instant(c->deadline);
  wasi_io_poll_borrow_pollable_t both[] = {wasi_io_poll_borrow_pollable(late), wasi_io_poll_borrow_pollable(ready)};
  wasi_io_poll_list_borrow_pollable_t list = {both, 2};
  probe_list_u32_t which;
  wasi_io_poll_poll(&list, &which);
  // In the order of asking.
  bool over = which.ptr[0] == 0;
  probe_list_u32_free(&which);
  wasi_io_poll_pollable_drop_own(late);
  wasi_io_poll_pollable_drop_own(ready);
  if (!over) return true;
  return connection_lost(c, "timeout", JOIN(text("not done in time: the time was over while "), text(doing)));
}

static string words(code error) {
  switch (error) {
    case WASI_SOCKETS_NETWORK_ERROR_CODE_TIMEOUT: return text("nobody answers");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_REMOTE_UNREACHABLE: return text("it cannot be reached");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_CONNECTION_REFUSED: return text("connection refused");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_CONNECTION_RESET: return text("connection reset");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE: return text("it has no address");
    case WASI_SOCKETS_NETWORK_ERROR_CODE_INVALID_ARGUMENT: return text("it cannot be a name or an address");
    default: return JOIN(text("error "), decimal(error));
  }
}

static bool refused(connection *c, string where) {
  return connection_lost(c, "denied", JOIN(where, text(" is not allowed: the run's log says what to add")));
}

static bool resolve(connection *c, wasi_sockets_network_borrow_network_t network, string host, address *found,
                    size_t *count) {
  wasi_sockets_ip_name_lookup_own_resolve_address_stream_t stream;
  wasi_sockets_ip_name_lookup_option_ip_address_t next;
  code error = 0;
  *count = 0;
  // The name is given away.
  string name = JOIN(host);
  bool well = wasi_sockets_ip_name_lookup_resolve_addresses(network, &name, &stream, &error);
  while (well && *count < MOST_ADDRESSES) {
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
  if (error == WASI_SOCKETS_NETWORK_ERROR_CODE_ACCESS_DENIED) return refused(c, host);
  return connection_lost(c, "dns", JOIN(host, text(" does not resolve: "), words(error)));
}

static wasi_sockets_network_ip_socket_address_t at(address ip, uint16_t port) {
  wasi_sockets_network_ip_socket_address_t both = {.tag = ip.tag};
  if (ip.tag == WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV4) {
    both.val.ipv4 = (wasi_sockets_network_ipv4_socket_address_t){port, ip.val.ipv4};
  } else {
    both.val.ipv6 = (wasi_sockets_network_ipv6_socket_address_t){.port = port, .address = ip.val.ipv6};
  }
  return both;
}

// Tries one address. What is wrong with that alone is in `error`; false without one where there is no time for others.
static bool dial(connection *c, wasi_sockets_network_borrow_network_t network, address ip, uint16_t port, code *error) {
  wasi_sockets_tcp_own_tcp_socket_t own;
  wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
  wasi_sockets_network_ip_socket_address_t to = at(ip, port);
  // Families and addresses have their cases in one order.
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
  address found[MOST_ADDRESSES];
  size_t count;
  if (!resolve(c, network, host, found, &count)) return false;
  code first = WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE, error = 0;
  bool denied = false;
  string where = JOIN(host, text(":"), decimal(port));
  for (size_t i = 0; i < count; i++) {
    if (dial(c, network, found[i], port, &error)) return true;
    if (c->reason) return false;
    if (i == 0) first = error;
    denied |= error == WASI_SOCKETS_NETWORK_ERROR_CODE_ACCESS_DENIED;
  }
  // One that the host refuses says more than one that nobody answers at.
  if (denied) return refused(c, where);
  return connection_lost(c, "connect", JOIN(text("no connection to "), where, text(": "), words(first)));
}

static bool broken_off(connection *c, const wasi_io_streams_stream_error_t *error) {
  bool closed = error->tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
  return connection_lost(c, "closed",
                         text(closed ? "the server closed the connection" : "the server broke off the connection"));
}

bool connection_write(connection *c, string bytes) {
  wasi_io_streams_borrow_output_stream_t output = wasi_io_streams_borrow_output_stream(c->output);
  wasi_io_streams_stream_error_t error;
  while (bytes.len > 0) {
    uint64_t room;
    if (!wasi_io_streams_method_output_stream_check_write(output, &room, &error)) return broken_off(c, &error);
    if (room == 0 && !wait(c, wasi_io_streams_method_output_stream_subscribe(output), "sending")) return false;
    probe_list_u8_t some = {bytes.ptr, room < bytes.len ? (size_t)room : bytes.len};
    if (!wasi_io_streams_method_output_stream_write(output, &some, &error)) return broken_off(c, &error);
    bytes.ptr += some.len;
    bytes.len -= some.len;
  }
  return true;
}

// Waits for more to come.
static bool hear(connection *c) {
  wasi_io_streams_borrow_input_stream_t input = wasi_io_streams_borrow_input_stream(c->input);
  wasi_io_streams_stream_error_t error;
  probe_list_u8_t some = {0};
  while (some.len == 0) {
    if (!wait(c, wasi_io_streams_method_input_stream_subscribe(input), "waiting for the answer")) return false;
    if (!wasi_io_streams_method_input_stream_read(input, LONGEST_LINE, &some, &error)) return broken_off(c, &error);
  }
  while (c->buffer.len + some.len > c->room) {
    c->room = c->room ? 2 * c->room : 4096;
    c->buffer.ptr = realloc(c->buffer.ptr, c->room);
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
      // What comes later may move the buffer.
      *line = JOIN({c->buffer.ptr + c->taken, from - c->taken});
      c->taken = from + 2;
      return true;
    }
    if (c->buffer.len - c->taken > LONGEST_LINE) {
      string start = shown((string){c->buffer.ptr + c->taken, 40});
      return connection_lost(c, "protocol", JOIN(text("the server sent a line without an end: `"), start, text("`")));
    }
    if (!hear(c)) return false;
  }
}

bool connection_bytes(connection *c, size_t count, string *bytes) {
  if (count > MOST)
    return connection_lost(c, "protocol", JOIN(text("the server announced "), decimal(count), text(" bytes")));
  while (c->buffer.len - c->taken < count + 2)
    if (!hear(c)) return false;
  uint8_t *start = c->buffer.ptr + c->taken;
  if (start[count] != '\r' || start[count + 1] != '\n')
    return connection_lost(c, "protocol", text("the server sent more bytes than it announced"));
  *bytes = JOIN({start, count});
  c->taken += count + 2;
  return true;
}
