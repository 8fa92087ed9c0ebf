// Whether a Redis server answers, lets its client in, and is as it should be by what it says of itself.
// The contract is in ../wit: what a probe exports, and all that it can import; bindings/probe.h is the same in C.

#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "settings.h"
#include "text.h"

typedef exports_sentrynet_probe_prober_trouble_t trouble;
typedef sentrynet_probe_types_mismatch_t mismatch;

// The host holds settings against this, and shows it to who writes them.
static const char SETTINGS[] =
    "{\"type\": \"object\", \"required\": [\"host\"], \"additionalProperties\": false, \"properties\": {"
    "\"host\": {\"type\": \"string\", \"minLength\": 1, \"description\": \"A name or an address.\"},"
    "\"port\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535, \"default\": 6379,"
    " \"description\": \"6379 unless given.\"},"
    "\"username\": {\"type\": \"string\", \"minLength\": 1,"
    " \"description\": \"Who to log in as; the default user unless given.\"},"
    "\"password\": {\"type\": \"string\", \"minLength\": 1,"
    " \"description\": \"The password to log in with: `${env:NAME}` or `${file:PATH}`, so that it is seen nowhere.\"},"
    "\"role\": {\"enum\": [\"master\", \"replica\"], \"description\": \"What the server must be.\"},"
    "\"max_used_memory\": {\"type\": \"string\", \"pattern\": \"^[1-9][0-9]{0,8} (KiB|MiB|GiB)$\","
    " \"description\": \"The most memory that its data may take: `512 MiB`.\"},"
    "\"max_lag\": {\"type\": \"integer\", \"minimum\": 0,"
    " \"description\": \"Seconds since a replica last heard of its master, or the master of any of its replicas; a link"
    " that is down is too long.\"},"
    "\"min_replicas\": {\"type\": \"integer\", \"minimum\": 0,"
    " \"description\": \"How many replicas must be connected, at least.\"},"
    "\"timeout\": {\"type\": \"number\", \"exclusiveMinimum\": 0, \"maximum\": 3600, \"default\": 5,"
    " \"description\": \"Seconds for all of it; 5 unless given.\"}}}";

// The target is wrong. `reason` is one of few: outages are grouped by it. False, as a run that does not pass is.
static bool failed(trouble *err, const char *reason, string message) {
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_FAILED;
  err->val.failed.reason = JOIN(text(reason));
  err->val.failed.message = JOIN(message);
  err->val.failed.mismatches = (sentrynet_probe_types_list_mismatch_t){(mismatch *)sizeof(mismatch), 0};
  return false;
}

// There is no more of the connection. What the host refuses, the server is not to blame for.
static bool lost(trouble *err, const connection *c) {
  if (strcmp(c->reason, "denied") != 0) return failed(err, c->reason, c->why);
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_BROKEN;
  err->val.broken = JOIN(c->why);
  return false;
}

static bool no_redis(trouble *err, const char *asked, string answer) {
  string it = JOIN(text("the server does not speak Redis: "), text(asked), text("it answered `"), shown(answer));
  return failed(err, "protocol", JOIN(it, text("`")));
}

static sentrynet_probe_span_own_span_t begin(const char *op, const char *description) {
  string o = JOIN(text(op)), d = JOIN(text(description));
  return sentrynet_probe_span_constructor_span(&o, &d);
}

static bool end(sentrynet_probe_span_own_span_t span, bool well) {
  if (!well)
    sentrynet_probe_span_method_span_set_status(sentrynet_probe_span_borrow_span(span),
                                                SENTRYNET_PROBE_SPAN_STATUS_INTERNAL_ERROR);
  sentrynet_probe_span_span_drop_own(span);
  return well;
}

static void tell_text(const char *key, string value) {
  string k = JOIN(text(key));
  sentrynet_probe_span_value_t v = {.tag = SENTRYNET_PROBE_TYPES_VALUE_TEXT, .val.text = JOIN(value)};
  sentrynet_probe_span_set_data(&k, &v);
}

static void tell_number(const char *key, uint64_t value) {
  string k = JOIN(text(key));
  sentrynet_probe_span_value_t v = {.tag = SENTRYNET_PROBE_TYPES_VALUE_INTEGER, .val.integer = (int64_t)value};
  sentrynet_probe_span_set_data(&k, &v);
}

// Sends a command, each part after its length, and reads the answer, which is one text.
static bool ask(connection *c, const string *parts, string *answer, trouble *err) {
  size_t count = 0;
  while (parts[count].ptr) count++;
  string command = JOIN(text("*"), decimal(count), text("\r\n"));
  for (const string *part = parts; part->ptr; part++)
    command = JOIN(command, text("$"), decimal(part->len), text("\r\n"), *part, text("\r\n"));
  string line;
  uint64_t length;
  if (!connection_write(c, command) || !connection_line(c, &line)) return lost(err, c);
  string rest = {line.ptr + 1, line.len ? line.len - 1 : 0};
  if (starts(line, "$") && whole(rest, &length)) {
    // What is too long for this machine to count is too long anyway.
    return connection_bytes(c, length > UINT32_MAX / 2 ? UINT32_MAX / 2 : (size_t)length, answer) || lost(err, c);
  }
  if (starts(line, "+")) {
    *answer = rest;
    return true;
  }
  if (!starts(line, "-")) return no_redis(err, "", line);
  bool loading = starts(rest, "LOADING");
  bool out = starts(rest, "NOAUTH") || starts(rest, "WRONGPASS") || starts(rest, "NOPERM") || starts(rest, "DENIED") ||
             same(*parts, text("AUTH"));
  return failed(err, loading ? "loading" : out ? "auth" : "error", JOIN(text("the server says: "), shown(rest)));
}
#define ASK(c, answer, err, ...) ask(c, (const string[]){__VA_ARGS__, {0}}, answer, err)

static bool log_in(connection *c, string settings, trouble *err) {
  string username, password, answer;
  if (!setting(settings, "password", &password)) return true;
  sentrynet_probe_span_own_span_t span = begin("redis.auth", "Log in");
  bool well = setting(settings, "username", &username)
                  ? ASK(c, &answer, err, text("AUTH"), username, password)
                  : ASK(c, &answer, err, text("AUTH"), password);
  return end(span, well);
}

static bool ping(connection *c, trouble *err) {
  string answer;
  sentrynet_probe_span_own_span_t span = begin("redis.ping", "PING");
  bool well = ASK(c, &answer, err, text("PING"));
  if (well && !same(answer, text("PONG")))
    well = no_redis(err, "to PING ", answer);
  return end(span, well);
}

static bool info(connection *c, string *said, trouble *err) {
  sentrynet_probe_span_own_span_t span = begin("redis.info", "INFO");
  return end(span, ASK(c, said, err, text("INFO")));
}

// Of lines or of fields, each a key and its value: the value of a key.
static bool field(string all, char end, char equals, const char *key, string *value) {
  string name = JOIN(text(key), {(uint8_t *)&equals, 1});
  for (size_t at = 0; at < all.len;) {
    string line = {all.ptr + at, 0};
    while (at + line.len < all.len && line.ptr[line.len] != (uint8_t)end) line.len++;
    at += line.len + 1;
    if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    if (line.len < name.len || memcmp(line.ptr, name.ptr, name.len) != 0) continue;
    *value = (string){line.ptr + name.len, line.len - name.len};
    return true;
  }
  return false;
}

static bool said(string info, const char *key, string *value) { return field(info, '\n', ':', key, value); }

static bool said_number(string info, const char *key, uint64_t *number) {
  string value;
  return said(info, key, &value) && whole(value, number);
}

// What did not hold, as many as there can be: the replicas that are looked at are so many at most.
enum { MOST_REPLICAS = 100, MOST_WRONG = MOST_REPLICAS + 4 };

typedef struct {
  mismatch *at;
  size_t count;
} wrongs;

static void wrong(wrongs *all, string subject, string expected, string actual) {
  if (all->count < MOST_WRONG) all->at[all->count++] = (mismatch){JOIN(subject), JOIN(expected), shown(actual)};
}

static string seconds(uint64_t number) { return JOIN(decimal(number), text(" s")); }

static string at_most(string limit) { return JOIN(text("at most "), limit); }

static bool bytes(string size, uint64_t *number) {
  string digits = size;
  digits.len = size.len > 4 ? size.len - 4 : 0;
  if (!whole(digits, number)) return false;
  *number <<= size.ptr[size.len - 3] == 'K' ? 10 : size.ptr[size.len - 3] == 'M' ? 20 : 30;
  return true;
}

// Of a replica: how long ago it heard of its master. Of a master: how long ago it heard of each replica.
static void hold_lag(string info, bool replica, uint64_t most, wrongs *all) {
  string value;
  uint64_t lag, worst = 0;
  if (replica) {
    string link = text("nothing");
    said(info, "master_link_status", &link);
    if (!same(link, text("up"))) wrong(all, text("master_link_status"), text("up"), link);
    if (!said_number(info, "master_last_io_seconds_ago", &lag)) return;
    if (lag > most) wrong(all, text("replication lag"), at_most(seconds(most)), seconds(lag));
    tell_number("redis.lag", lag);
    return;
  }
  for (uint64_t i = 0; i < MOST_REPLICAS; i++) {
    string key = JOIN(text("slave"), decimal(i), {(uint8_t *)"", 1});
    string ip = text("?"), port = text("?"), state = text("nothing");
    if (!said(info, (char *)key.ptr, &value)) break;
    field(value, ',', '=', "ip", &ip);
    field(value, ',', '=', "port", &port);
    field(value, ',', '=', "state", &state);
    string who = shown(JOIN(ip, text(":"), port));
    string lag_text;
    if (!same(state, text("online"))) {
      wrong(all, JOIN(text("state of "), who), text("online"), state);
    } else if (!field(value, ',', '=', "lag", &lag_text) || !whole(lag_text, &lag)) {
      wrong(all, JOIN(text("replication lag of "), who), at_most(seconds(most)), text("nothing"));
    } else {
      if (lag > most) wrong(all, JOIN(text("replication lag of "), who), at_most(seconds(most)), seconds(lag));
      if (lag > worst) worst = lag;
    }
  }
  tell_number("redis.lag", worst);
}

static bool hold(string settings, string info, trouble *err) {
  wrongs all = {calloc(MOST_WRONG, sizeof(mismatch)), 0};
  if (!all.at) abort();
  string value, wanted;
  uint64_t number, limit;
  double most;

  if (said(info, "redis_version", &value)) tell_text("redis.version", shown(value));
  string role = text("nothing");
  if (said(info, "role", &role) && same(role, text("slave"))) role = text("replica");
  tell_text("redis.role", shown(role));
  if (setting(settings, "role", &wanted) && !same(role, wanted)) wrong(&all, text("role"), wanted, role);

  bool known = said_number(info, "used_memory", &number);
  if (known) tell_number("redis.used_memory", number);
  if (setting(settings, "max_used_memory", &wanted) && bytes(wanted, &limit) && !(known && number <= limit))
    wrong(&all, text("used_memory"), at_most(wanted), known ? JOIN(decimal(number), text(" bytes")) : text("nothing"));

  known = said_number(info, "connected_slaves", &number);
  if (known) tell_number("redis.replicas", number);
  string replicas = known ? decimal(number) : text("nothing");
  if (setting_number(settings, "min_replicas", &most) && !(known && (double)number >= most))
    wrong(&all, text("replicas"), JOIN(text("at least "), decimal((uint64_t)most)), replicas);

  if (setting_number(settings, "max_lag", &most)) hold_lag(info, same(role, text("replica")), (uint64_t)most, &all);

  if (all.count == 0) return true;
  failed(err, "check", text("the server is not as it should be"));
  err->val.failed.mismatches = (sentrynet_probe_types_list_mismatch_t){all.at, all.count};
  return false;
}

void exports_sentrynet_probe_prober_describe(exports_sentrynet_probe_prober_description_t *ret) {
  ret->name = JOIN(text("redis"));
  ret->version = JOIN(text("0.1.0"));
  ret->summary = JOIN(text("Whether a Redis server answers, and is as it should be"));
  ret->settings_schema = JOIN(text(SETTINGS));
}

// Where the server is.
static uint16_t place(string settings, string *host) {
  double port = 6379;
  setting(settings, "host", host);
  setting_number(settings, "port", &port);
  return (uint16_t)port;
}

// What a schema cannot say. Answers with the title of a probe that is given none.
bool exports_sentrynet_probe_prober_check(string *settings, probe_option_string_t *ret,
                                          exports_sentrynet_probe_prober_list_problem_t *err) {
  string host = text(""), value;
  uint16_t port = place(*settings, &host);
  if (!setting(*settings, "username", &value) || setting(*settings, "password", &value)) {
    *ret = (probe_option_string_t){true, JOIN(text("Redis at "), host, text(":"), decimal(port))};
    return true;
  }
  exports_sentrynet_probe_prober_problem_t *problem = malloc(sizeof *problem);
  if (!problem) abort();
  *problem = (exports_sentrynet_probe_prober_problem_t){
      JOIN(text("/username")), JOIN(text("a user logs in with a password: add `password`, or leave this out"))};
  *err = (exports_sentrynet_probe_prober_list_problem_t){problem, 1};
  return false;
}

bool exports_sentrynet_probe_prober_run(string *settings, trouble *err) {
  connection c;
  string host = text(""), about;
  double timeout = 5;
  uint16_t port = place(*settings, &host);
  setting_number(*settings, "timeout", &timeout);
  if (!connection_open(&c, host, port, timeout)) return lost(err, &c);
  if (!log_in(&c, *settings, err) || !ping(&c, err) || !info(&c, &about, err)) return false;
  sentrynet_probe_span_own_span_t span = begin("redis.check", "Check what the server says of itself");
  return end(span, hold(*settings, about, err));
}
