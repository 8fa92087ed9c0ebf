// A TCP connection over wasi:sockets with a deadline for all operations. The host resolves names, refuses addresses
// that the operator has not allowed, and records the spans of lookups and connections.
#ifndef CONNECTION_H
#define CONNECTION_H

#include "text.h"

typedef struct {
  wasi_io_streams_own_input_stream_t input;
  wasi_io_streams_own_output_stream_t output;
  // Received bytes, the size of their allocation, and the number of bytes that have been read from them.
  string buffer;
  size_t room, taken;
  uint64_t deadline;
  // The error, if any: `denied`, `dns`, `connect`, `timeout`, `closed` or `protocol`, and a message.
  const char *reason;
  string why;
} connection;

// Connects to the first of the host's addresses that responds. `seconds` is the time limit of all operations together.
// Returns false on an error, as all functions below do.
bool connection_open(connection *c, string host, uint16_t port, double seconds);

bool connection_write(connection *c, string bytes);

// Reads a line, without its CR LF.
bool connection_line(connection *c, string *line);

// Reads this many bytes, and the CR LF after them.
bool connection_bytes(connection *c, size_t count, string *bytes);

// Sets the error. Returns false.
bool connection_lost(connection *c, const char *reason, string why);

#endif
