// A small JSON parser, which validates a text and finds the members of an object.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

// A value: a slice of the JSON text, without the quotes if `text` is true.
typedef struct {
  const char *at;
  size_t length;
  bool text;
} json;

// Parses a text. Returns false unless it is exactly one value.
bool json_read(const char *text, size_t length, json *value);

// Finds a member of an object. Returns false if the value is no object, or has no such member.
bool json_member(json object, const char *key, json *value);

// Returns true if a value is this text, which must have no escapes.
bool json_is(json value, const char *text);

// Converts a value to a double. Returns false if it is no number.
bool json_number(json value, double *number);

#endif
