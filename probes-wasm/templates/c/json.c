#include "json.h"

#include <stdlib.h>
#include <string.h>

// The deepest nesting of arrays and objects.
enum { MAX_DEPTH = 64 };

typedef struct {
  const char *at, *end;
} cursor;

static void space(cursor *c) {
  while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at) c->at++;
}

static bool take(cursor *c, char expected) {
  if (c->at == c->end || *c->at != expected) return false;
  c->at++;
  return true;
}

static bool literal(cursor *c, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
  c->at += length;
  return true;
}

static bool hexadecimal(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool text(cursor *c, json *value) {
  if (!take(c, '"')) return false;
  const char *start = c->at;
  while (c->at < c->end && *c->at != '"') {
    if ((unsigned char)*c->at < 0x20) return false;
    if (*c->at++ != '\\') continue;
    if (c->at == c->end || !*c->at || !strchr("\"\\/bfnrtu", *c->at)) return false;
    if (*c->at++ == 'u')
      for (int i = 0; i < 4; i++, c->at++)
        if (c->at == c->end || !hexadecimal(*c->at)) return false;
  }
  *value = (json){start, (size_t)(c->at - start), true};
  return take(c, '"');
}

static bool digits(cursor *c) {
  const char *start = c->at;
  while (c->at < c->end && *c->at >= '0' && *c->at <= '9') c->at++;
  return c->at > start;
}

static bool number(cursor *c) {
  take(c, '-');
  if (!take(c, '0') && !digits(c)) return false;
  if (take(c, '.') && !digits(c)) return false;
  if (take(c, 'e') || take(c, 'E')) {
    if (!take(c, '+')) take(c, '-');
    return digits(c);
  }
  return true;
}

// Parses one value. If it is an object, finds its member `key`, unless `key` is NULL.
static bool read(cursor *c, int depth, json *value, const char *key, json *member) {
  space(c);
  const char *start = c->at;
  if (c->at == c->end || depth == MAX_DEPTH) return false;
  char first = *c->at;
  if (first == '"') return text(c, value);
  if (first == '{' || first == '[') {
    char last = first == '{' ? '}' : ']';
    c->at++;
    space(c);
    for (bool more = !take(c, last); more;) {
      json name = {0}, inner;
      space(c);
      if (first == '{') {
        if (!text(c, &name)) return false;
        space(c);
        if (!take(c, ':')) return false;
      }
      if (!read(c, depth + 1, &inner, NULL, NULL)) return false;
      if (key && first == '{' && json_is(name, key)) *member = inner;
      space(c);
      more = take(c, ',');
      if (!more && !take(c, last)) return false;
    }
  } else if (!literal(c, "true") && !literal(c, "false") && !literal(c, "null") && !number(c)) {
    return false;
  }
  *value = (json){start, (size_t)(c->at - start), false};
  return true;
}

bool json_read(const char *text, size_t length, json *value) {
  cursor c = {text, text + length};
  if (!read(&c, 0, value, NULL, NULL)) return false;
  space(&c);
  return c.at == c.end;
}

bool json_member(json object, const char *key, json *value) {
  cursor c = {object.at, object.at + object.length};
  json whole, found = {0};
  if (object.text || !read(&c, 0, &whole, key, &found) || !found.at) return false;
  *value = found;
  return true;
}

bool json_is(json value, const char *text) {
  return value.text && value.length == strlen(text) && memcmp(value.at, text, value.length) == 0;
}

bool json_number(json value, double *number) {
  char digits[64];
  if (value.text || value.length >= sizeof digits || !value.length || !strchr("-0123456789", *value.at)) return false;
  memcpy(digits, value.at, value.length);
  digits[value.length] = 0;
  *number = strtod(digits, NULL);
  return true;
}
