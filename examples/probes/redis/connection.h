// A TCP connection over wasi:sockets with a deadline for all operations. The host resolves names, refuses addresses
// that the operator has not allowed, and records the spans of lookups and connections.
#ifndef CONNECTION_H
#define CONNECTION_H

#include "text.h"

typedef struct {
  wasi_io_streams_own_input_stream_t input;
  wasi_io_streams_own_output_stream_t output;
  // The received bytes, the size of the buffer's allocation, and the number of received bytes that callers have taken.
  string buffer;
  size_t capacity, taken;
  // The time limit of all operations, in nanoseconds of the monotonic clock.
  uint64_t deadline;
  // The error, if any: `denied`, `dns`, `connect`, `timeout`, `closed` or `protocol`, and a message.
  const char *reason;
  string why;
} connection;

// Connects to the first address of the host that accepts the connection. `seconds` is the time limit of all operations
// together. Like all functions below, returns false on an error.
bool connection_open(connection *c, string host, uint16_t port, double seconds);

bool connection_write(connection *c, string bytes);

// Reads a line, without its CR LF.
bool connection_line(connection *c, string *line);

// Reads this many bytes, and the CR LF after them.
bool connection_bytes(connection *c, size_t count, string *bytes);

// Sets the error. Returns false.
bool connection_lost(connection *c, const char *reason, string why);

#endif
