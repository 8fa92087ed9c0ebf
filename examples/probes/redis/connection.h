// A TCP connection over wasi:sockets: opened, written to and read from until a deadline. The host resolves names, asks
// what the operator allows, and writes the spans of it all.
#ifndef CONNECTION_H
#define CONNECTION_H

#include "text.h"

typedef struct {
  wasi_io_streams_own_input_stream_t input;
  wasi_io_streams_own_output_stream_t output;
  // What has come, the room for it, and how much of it has been taken.
  string buffer;
  size_t room, taken;
  uint64_t deadline;
  // Why there is no connection, or no more of it: `denied`, `dns`, `connect`, `timeout`, `closed` or `protocol`; the
  // same for a person.
  const char *reason;
  string why;
} connection;

// To the first of the host's addresses that answers within so many seconds, which are for all that follows too.
bool connection_open(connection *c, string host, uint16_t port, double seconds);

bool connection_write(connection *c, string bytes);

// A line without its end (CR LF).
bool connection_line(connection *c, string *line);

// So many bytes, and the end of a line.
bool connection_bytes(connection *c, size_t count, string *bytes);

// Says why there is no more of it; false.
bool connection_lost(connection *c, const char *reason, string why);

#endif
