#include "settings.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *at, *end;
} cursor;

static bool has_more(const cursor *c) { return c->at < c->end; }

static void skip_space(cursor *c) {
  while (has_more(c) && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n')) c->at++;
}

// Reads a JSON string in its escaped form, without the quotes.
static string read_quoted(cursor *c) {
  const uint8_t *start = ++c->at;
  while (has_more(c) && *c->at != '"') c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
  string raw = {(uint8_t *)start, (size_t)(c->at - start)};
  if (has_more(c)) c->at++;
  return raw;
}

// Reads any JSON value in its source form.
static string read_value(cursor *c) {
  const uint8_t *start = c->at;
  int depth = 0;
  while (has_more(c)) {
    if (*c->at == '"') {
      read_quoted(c);
      continue;
    }
    if ((*c->at == ',' || *c->at == '}') && depth == 0) break;
    if (*c->at == '{' || *c->at == '[') depth++;
    if (*c->at == '}' || *c->at == ']') depth--;
    c->at++;
  }
  return (string){(uint8_t *)start, (size_t)(c->at - start)};
}

static bool find(string settings, const char *key, string *found) {
  cursor c = {settings.ptr, settings.ptr + settings.len};
  skip_space(&c);
  if (has_more(&c)) c.at++;
  for (;;) {
    skip_space(&c);
    if (!has_more(&c) || *c.at != '"') return false;
    string name = read_quoted(&c);
    skip_space(&c);
    if (has_more(&c)) c.at++;
    skip_space(&c);
    *found = read_value(&c);
    if (equals(name, text(key))) return true;
    if (has_more(&c)) c.at++;
  }
}

static uint32_t hexadecimal(const uint8_t *digits) {
  uint32_t number = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = digits[i];
    number = number * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return number;
}

static uint8_t *append_utf8(uint8_t *to, uint32_t point) {
  if (point < 0x80) {
    *to++ = (uint8_t)point;
    return to;
  }
  int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  *to++ = (uint8_t)((0xf00 >> more) | (point >> (6 * more)));
  while (more--) *to++ = (uint8_t)(0x80 | ((point >> (6 * more)) & 0x3f));
  return to;
}

// Unescapes a string; the result is never longer.
static string unescape(string raw) {
  string plain = {malloc(raw.len + 1), 0};
  if (!plain.ptr) abort();
  uint8_t *to = plain.ptr;
  for (const uint8_t *at = raw.ptr, *end = raw.ptr + raw.len; at < end;) {
    if (*at != '\\' || end - at < 2) {
      *to++ = *at++;
      continue;
    }
    static const char LETTERS[] = "bfnrt", CHARACTERS[] = "\b\f\n\r\t";
    const char *letter = strchr(LETTERS, at[1]);
    if (at[1] == 'u' && end - at >= 6) {
      uint32_t point = hexadecimal(at + 2);
      at += 6;
      if (point >= 0xd800 && point < 0xdc00 && end - at >= 6) {
        point = 0x10000 + ((point - 0xd800) << 10) + (hexadecimal(at + 2) - 0xdc00);
        at += 6;
      }
      to = append_utf8(to, point);
    } else {
      *to++ = letter ? (uint8_t)CHARACTERS[letter - LETTERS] : at[1];
      at += 2;
    }
  }
  plain.len = (size_t)(to - plain.ptr);
  return plain;
}

bool setting(string settings, const char *key, string *value) {
  string raw;
  if (!find(settings, key, &raw) || raw.len < 2 || *raw.ptr != '"') return false;
  *value = unescape((string){raw.ptr + 1, raw.len - 2});
  return true;
}

bool setting_number(string settings, const char *key, double *value) {
  string raw;
  if (!find(settings, key, &raw) || raw.len == 0 || *raw.ptr == '"') return false;
  string ended = JOIN(raw, {(uint8_t *)"", 1});
  char *end;
  *value = strtod((char *)ended.ptr, &end);
  return end > (char *)ended.ptr;
}
