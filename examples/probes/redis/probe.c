// A probe of Redis: checks that a server responds, accepts the login, and has the expected role, replicas and memory.
// The contract in ../wit has the exports of a probe, and all interfaces that it can import; bindings/probe.h has them
// in C.

#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "settings.h"
#include "text.h"

typedef exports_sentrynet_probe_prober_trouble_t trouble;
typedef sentrynet_probe_types_mismatch_t mismatch;

// The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
static const char SETTINGS[] =
    "{\"type\": \"object\", \"required\": [\"host\"], \"additionalProperties\": false, \"properties\": {"
    "\"host\": {\"type\": \"string\", \"minLength\": 1, \"description\": \"The server: a name or an address.\"},"
    "\"port\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535, \"default\": 6379,"
    " \"description\": \"The TCP port; 6379 unless given.\"},"
    "\"username\": {\"type\": \"string\", \"minLength\": 1,"
    " \"description\": \"The user to log in as; the default user unless given.\"},"
    "\"password\": {\"type\": \"string\", \"minLength\": 1,"
    " \"description\": \"The password to log in with: `${env:NAME}` or `${file:PATH}`, so that it is redacted.\"},"
    "\"role\": {\"enum\": [\"master\", \"replica\"], \"description\": \"The role that the server must have.\"},"
    "\"max_used_memory\": {\"type\": \"string\", \"pattern\": \"^[1-9][0-9]{0,8} (KiB|MiB|GiB)$\","
    " \"description\": \"The most memory that its data may take: `512 MiB`.\"},"
    "\"max_lag\": {\"type\": \"integer\", \"minimum\": 0,"
    " \"description\": \"The greatest lag, in seconds: the time since a replica last received data from its master, or"
    " a master last received an acknowledgement from any of its replicas. A link that is down fails, too.\"},"
    "\"min_replicas\": {\"type\": \"integer\", \"minimum\": 0,"
    " \"description\": \"The least number of connected replicas.\"},"
    "\"timeout\": {\"type\": \"number\", \"exclusiveMinimum\": 0, \"maximum\": 3600, \"default\": 5,"
    " \"description\": \"Seconds for the whole run, 3,600 at most; 5 unless given.\"}}}";

// Reports a failure of the target. `reason` is one of a few fixed words: failures with the same reason belong to the
// same Issue. Returns false.
static bool failed(trouble *err, const char *reason, string message) {
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_FAILED;
  err->val.failed.reason = JOIN(text(reason));
  err->val.failed.message = JOIN(message);
  err->val.failed.mismatches = (sentrynet_probe_types_list_mismatch_t){(mismatch *)sizeof(mismatch), 0};
  return false;
}

// Reports the error of the connection. A refusal by the host is no failure of the target. Returns false.
static bool connection_failed(trouble *err, const connection *c) {
  if (strcmp(c->reason, "denied") != 0) return failed(err, c->reason, c->why);
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_BROKEN;
  err->val.broken = JOIN(c->why);
  return false;
}

// Reports a reply that is not Redis's protocol. `command` is empty, or `to COMMAND `. Returns false.
static bool protocol_failed(trouble *err, const char *command, string answer) {
  string reply = JOIN(text(command), text("it answered `"), printable(answer), text("`"));
  return failed(err, "protocol", JOIN(text("the server does not speak Redis: "), reply));
}

static sentrynet_probe_span_own_span_t begin_span(const char *op, const char *description) {
  string o = JOIN(text(op)), d = JOIN(text(description));
  return sentrynet_probe_span_constructor_span(&o, &d);
}

static bool end_span(sentrynet_probe_span_own_span_t span, bool ok) {
  if (!ok)
    sentrynet_probe_span_method_span_set_status(sentrynet_probe_span_borrow_span(span),
                                                SENTRYNET_PROBE_SPAN_STATUS_INTERNAL_ERROR);
  sentrynet_probe_span_span_drop_own(span);
  return ok;
}

static void set_text(const char *key, string value) {
  string k = JOIN(text(key));
  sentrynet_probe_span_value_t v = {.tag = SENTRYNET_PROBE_TYPES_VALUE_TEXT, .val.text = JOIN(value)};
  sentrynet_probe_span_set_data(&k, &v);
}

static void set_number(const char *key, uint64_t value) {
  string k = JOIN(text(key));
  sentrynet_probe_span_value_t v = {.tag = SENTRYNET_PROBE_TYPES_VALUE_INTEGER, .val.integer = (int64_t)value};
  sentrynet_probe_span_set_data(&k, &v);
}

// Sends a command, each part preceded by its length, and reads the reply, which must be one string.
static bool send_command(connection *c, const string *parts, string *answer, trouble *err) {
  size_t count = 0;
  while (parts[count].ptr) count++;
  string command = JOIN(text("*"), format_decimal(count), text("\r\n"));
  for (const string *part = parts; part->ptr; part++)
    command = JOIN(command, text("$"), format_decimal(part->len), text("\r\n"), *part, text("\r\n"));
  string line;
  uint64_t length;
  if (!connection_write(c, command) || !connection_line(c, &line)) return connection_failed(err, c);
  string rest = {line.ptr + 1, line.len ? line.len - 1 : 0};
  if (starts_with(line, "$") && parse_whole(rest, &length)) {
    // The length is limited to what `size_t` can hold; `connection_bytes` rejects any length so large.
    size_t bytes = length > UINT32_MAX / 2 ? UINT32_MAX / 2 : (size_t)length;
    return connection_bytes(c, bytes, answer) || connection_failed(err, c);
  }
  if (starts_with(line, "+")) {
    *answer = rest;
    return true;
  }
  if (!starts_with(line, "-")) return protocol_failed(err, "", line);
  bool loading = starts_with(rest, "LOADING");
  bool auth_failed = starts_with(rest, "NOAUTH") || starts_with(rest, "WRONGPASS") || starts_with(rest, "NOPERM") ||
                     starts_with(rest, "DENIED") || equals(*parts, text("AUTH"));
  const char *reason = loading ? "loading" : auth_failed ? "auth" : "error";
  return failed(err, reason, JOIN(text("the server says: "), printable(rest)));
}
#define SEND_COMMAND(c, answer, err, ...) send_command(c, (const string[]){__VA_ARGS__, {0}}, answer, err)

static bool log_in(connection *c, string settings, trouble *err) {
  string username, password, answer;
  if (!setting(settings, "password", &password)) return true;
  sentrynet_probe_span_own_span_t span = begin_span("redis.auth", "Log in");
  bool ok = setting(settings, "username", &username)
                ? SEND_COMMAND(c, &answer, err, text("AUTH"), username, password)
                : SEND_COMMAND(c, &answer, err, text("AUTH"), password);
  return end_span(span, ok);
}

static bool ping(connection *c, trouble *err) {
  string answer;
  sentrynet_probe_span_own_span_t span = begin_span("redis.ping", "PING");
  bool ok = SEND_COMMAND(c, &answer, err, text("PING"));
  if (ok && !equals(answer, text("PONG")))
    ok = protocol_failed(err, "to PING ", answer);
  return end_span(span, ok);
}

static bool info(connection *c, string *reply, trouble *err) {
  sentrynet_probe_span_own_span_t span = begin_span("redis.info", "INFO");
  return end_span(span, SEND_COMMAND(c, reply, err, text("INFO")));
}

// Finds the value of a key in a list of entries, which end with `end`. `equals` separates keys and values.
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

static bool info_field(string info, const char *key, string *value) { return field(info, '\n', ':', key, value); }

static bool info_number(string info, const char *key, uint64_t *number) {
  string value;
  return info_field(info, key, &value) && parse_whole(value, number);
}

// The bounds of the replicas that are checked, and of the mismatches.
enum { MAX_REPLICAS = 100, MAX_MISMATCHES = MAX_REPLICAS + 4 };

typedef struct {
  mismatch *at;
  size_t count;
} mismatch_list;

static void add_mismatch(mismatch_list *all, string subject, string expected, string actual) {
  if (all->count < MAX_MISMATCHES) all->at[all->count++] = (mismatch){JOIN(subject), JOIN(expected), printable(actual)};
}

static string seconds(uint64_t number) { return JOIN(format_decimal(number), text(" s")); }

static string at_most(string limit) { return JOIN(text("at most "), limit); }

static bool parse_bytes(string size, uint64_t *number) {
  string digits = size;
  digits.len = size.len > 4 ? size.len - 4 : 0;
  if (!parse_whole(digits, number)) return false;
  *number <<= size.ptr[size.len - 3] == 'K' ? 10 : size.ptr[size.len - 3] == 'M' ? 20 : 30;
  return true;
}

// Checks the replication lag: of a replica to its master, or of each replica of a master.
static void check_lag(string info, bool replica, uint64_t most, mismatch_list *all) {
  string value;
  uint64_t lag, worst = 0;
  if (replica) {
    string link = text("nothing");
    info_field(info, "master_link_status", &link);
    if (!equals(link, text("up"))) add_mismatch(all, text("master_link_status"), text("up"), link);
    if (!info_number(info, "master_last_io_seconds_ago", &lag)) return;
    if (lag > most) add_mismatch(all, text("replication lag"), at_most(seconds(most)), seconds(lag));
    set_number("redis.lag", lag);
    return;
  }
  for (uint64_t i = 0; i < MAX_REPLICAS; i++) {
    string key = JOIN(text("slave"), format_decimal(i), {(uint8_t *)"", 1});
    string ip = text("?"), port = text("?"), state = text("nothing");
    if (!info_field(info, (char *)key.ptr, &value)) break;
    field(value, ',', '=', "ip", &ip);
    field(value, ',', '=', "port", &port);
    field(value, ',', '=', "state", &state);
    string who = printable(JOIN(ip, text(":"), port));
    string lag_text;
    if (!equals(state, text("online"))) {
      add_mismatch(all, JOIN(text("state of "), who), text("online"), state);
    } else if (!field(value, ',', '=', "lag", &lag_text) || !parse_whole(lag_text, &lag)) {
      add_mismatch(all, JOIN(text("replication lag of "), who), at_most(seconds(most)), text("nothing"));
    } else {
      if (lag > most) add_mismatch(all, JOIN(text("replication lag of "), who), at_most(seconds(most)), seconds(lag));
      if (lag > worst) worst = lag;
    }
  }
  set_number("redis.lag", worst);
}

static bool check_info(string settings, string info, trouble *err) {
  mismatch_list all = {calloc(MAX_MISMATCHES, sizeof(mismatch)), 0};
  if (!all.at) abort();
  string value, wanted;
  uint64_t number, limit;
  double most;

  if (info_field(info, "redis_version", &value)) set_text("redis.version", printable(value));
  string role = text("nothing");
  if (info_field(info, "role", &role) && equals(role, text("slave"))) role = text("replica");
  set_text("redis.role", printable(role));
  if (setting(settings, "role", &wanted) && !equals(role, wanted)) add_mismatch(&all, text("role"), wanted, role);

  bool known = info_number(info, "used_memory", &number);
  if (known) set_number("redis.used_memory", number);
  if (setting(settings, "max_used_memory", &wanted) && parse_bytes(wanted, &limit) && !(known && number <= limit))
    add_mismatch(&all, text("used_memory"), at_most(wanted),
                 known ? JOIN(format_decimal(number), text(" bytes")) : text("nothing"));

  known = info_number(info, "connected_slaves", &number);
  if (known) set_number("redis.replicas", number);
  string replicas = known ? format_decimal(number) : text("nothing");
  if (setting_number(settings, "min_replicas", &most) && !(known && (double)number >= most))
    add_mismatch(&all, text("replicas"), JOIN(text("at least "), format_decimal((uint64_t)most)), replicas);

  if (setting_number(settings, "max_lag", &most)) check_lag(info, equals(role, text("replica")), (uint64_t)most, &all);

  if (all.count == 0) return true;
  failed(err, "check", text("the server is not as expected"));
  err->val.failed.mismatches = (sentrynet_probe_types_list_mismatch_t){all.at, all.count};
  return false;
}

void exports_sentrynet_probe_prober_describe(exports_sentrynet_probe_prober_description_t *ret) {
  ret->name = JOIN(text("redis"));
  ret->version = JOIN(text("0.1.0"));
  ret->summary = JOIN(text("Checks that a Redis server responds, and its role, replicas and memory"));
  ret->settings_schema = JOIN(text(SETTINGS));
}

// Returns host and port of the server.
static uint16_t server_address(string settings, string *host) {
  double port = 6379;
  setting(settings, "host", host);
  setting_number(settings, "port", &port);
  return (uint16_t)port;
}

// Checks what the schema cannot express. Returns the title of a probe without one.
bool exports_sentrynet_probe_prober_check(string *settings, probe_option_string_t *ret,
                                          exports_sentrynet_probe_prober_list_problem_t *err) {
  string host = text(""), value;
  uint16_t port = server_address(*settings, &host);
  if (!setting(*settings, "username", &value) || setting(*settings, "password", &value)) {
    *ret = (probe_option_string_t){true, JOIN(text("Redis at "), host, text(":"), format_decimal(port))};
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
  uint16_t port = server_address(*settings, &host);
  setting_number(*settings, "timeout", &timeout);
  if (!connection_open(&c, host, port, timeout)) return connection_failed(err, &c);
  if (!log_in(&c, *settings, err) || !ping(&c, err) || !info(&c, &about, err)) return false;
  sentrynet_probe_span_own_span_t span = begin_span("redis.check", "Check the reply to INFO");
  return end_span(span, check_info(*settings, about, err));
}
