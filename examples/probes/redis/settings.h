// The probe's settings: a JSON object that the host has held against the schema.
#ifndef SETTINGS_H
#define SETTINGS_H

#include "text.h"

// A text or a number by its key; false where there is none.
bool setting(string settings, const char *key, string *value);
bool setting_number(string settings, const char *key, double *value);

#endif
