// As much of JSON as a probe needs: whether a text is JSON, and the parts of it.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

// A value: the part of a text that stands for it, within its quotes where it is a text itself.
typedef struct {
  const char *at;
  size_t length;
  bool text;
} json;

// Whether the whole of a text is one value.
bool json_read(const char *text, size_t length, json *value);

// A member of an object; false where the value is none, or has no such member.
bool json_member(json object, const char *key, json *value);

// Whether a value is this text, which has no escapes.
bool json_is(json value, const char *text);

// Whether a value is a number; which one, as near as a double comes to it.
bool json_number(json value, double *number);

#endif
