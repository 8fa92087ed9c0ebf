// Strings, as in the bindings. Nothing is freed: each run has an instance of its own, whose memory is discarded at the
// end of the run.
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "bindings/probe.h"

typedef probe_string_t string;

// Returns a string that refers to a literal, without a copy.
string text(const char *literal);

// Returns a concatenation on the heap. A part without a `ptr` ends the list. Results for the host must be such copies,
// since the bindings free them.
string join(const string *parts);
#define JOIN(...) join((const string[]){__VA_ARGS__, {0}})

bool equals(string a, string b);
bool starts_with(string a, const char *with);

// Format and parse whole numbers. Parsing returns false for other texts, and for more than 18 digits.
string format_decimal(uint64_t number);
bool parse_whole(string digits, uint64_t *number);

// Returns the first 200 bytes of a server's text for a message. Bytes that are not printable ASCII are replaced by `?`,
// since the host accepts only UTF-8.
string printable(string said);

#endif
