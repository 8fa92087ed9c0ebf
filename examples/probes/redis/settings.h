// Access to the probe's settings, a JSON object that the host has validated by the schema.
#ifndef SETTINGS_H
#define SETTINGS_H

#include "text.h"

// Look up a text or a number by its key. Return false if there is none.
bool setting(string settings, const char *key, string *value);
bool setting_number(string settings, const char *key, double *value);

#endif
