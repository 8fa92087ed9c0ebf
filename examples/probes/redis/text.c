#include "text.h"

#include <stdlib.h>
#include <string.h>

string text(const char *literal) { return (string){(uint8_t *)literal, strlen(literal)}; }

string join(const string *parts) {
  size_t length = 0;
  for (const string *part = parts; part->ptr; part++) length += part->len;
  string joined = {malloc(length + 1), 0};
  if (!joined.ptr) abort();
  for (const string *part = parts; part->ptr; part++) {
    memcpy(joined.ptr + joined.len, part->ptr, part->len);
    joined.len += part->len;
  }
  return joined;
}

bool equals(string a, string b) { return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0; }

bool starts_with(string a, const char *with) {
  size_t length = strlen(with);
  return a.len >= length && memcmp(a.ptr, with, length) == 0;
}

string format_decimal(uint64_t number) {
  uint8_t digits[20], *at = digits + sizeof digits;
  do *--at = (uint8_t)('0' + number % 10);
  while (number /= 10);
  return JOIN({at, (size_t)(digits + sizeof digits - at)});
}

bool parse_whole(string digits, uint64_t *number) {
  *number = 0;
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.ptr[i] < '0' || digits.ptr[i] > '9') return false;
    *number = *number * 10 + (digits.ptr[i] - '0');
  }
  // 18 digits cannot overflow.
  return digits.len > 0 && digits.len < 19;
}

string printable(string said) {
  enum { MOST = 200 };
  bool cut = said.len > MOST;
  string copy = JOIN({said.ptr ? said.ptr : (uint8_t *)"", cut ? MOST : said.len});
  for (size_t i = 0; i < copy.len; i++)
    if (copy.ptr[i] < 0x20 || copy.ptr[i] > 0x7e) copy.ptr[i] = '?';
  return cut ? JOIN(copy, text("...")) : copy;
}
