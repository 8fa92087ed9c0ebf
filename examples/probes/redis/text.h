// Texts, as the bindings have them. Nothing is freed: each run is an instance of its own, whose memory goes with it.
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "bindings/probe.h"

typedef probe_string_t string;

// Of a literal, which stays where it is.
string text(const char *literal);

// A copy on the heap of texts after one another, of which the last is followed by one without a `ptr`. What a function
// of ours returns to the host is freed by the bindings, and has to be such a copy.
string join(const string *parts);
#define JOIN(...) join((const string[]){__VA_ARGS__, {0}})

bool same(string a, string b);
bool starts(string a, const char *with);

// Whole numbers, and back: false where a text is none.
string decimal(uint64_t number);
bool whole(string digits, uint64_t *number);

// What a server said, for a person to read: the beginning of it, in ASCII, since the host takes nothing but UTF-8.
string shown(string said);

#endif
