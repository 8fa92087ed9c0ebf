// Checks the health of a service: expects JSON in which `status` is `ok` and `queue` is at most `max_queue`.
// The WIT files in wit/ define what a probe exports, and what the host does for it; bindings/probe.h is the same in C.
// Nothing is freed: each run has an instance of its own, whose memory is discarded at the end of the run.

#include <stdlib.h>
#include <string.h>

#include "bindings/probe.h"
#include "json.h"

typedef probe_string_t string;
typedef exports_sentrynet_probe_prober_trouble_t trouble;
typedef sentrynet_probe_types_mismatch_t mismatch;

// The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
static const char SETTINGS[] =
    "{\"type\": \"object\", \"required\": [\"url\"], \"additionalProperties\": false, \"properties\": {"
    "\"url\": {\"type\": \"string\", \"description\": \"The URL at which the service reports its health.\"},"
    "\"max_queue\": {\"type\": \"integer\", \"minimum\": 0, \"default\": 100,"
    " \"description\": \"The longest queue that is still healthy; 100 unless given.\"}}}";

static string text(const char *literal) { return (string){(uint8_t *)literal, strlen(literal)}; }

static string text_of(json value) { return (string){(uint8_t *)value.at, value.length}; }

// Returns a value as it is written in JSON, a text with its quotes.
static string shown(json value) {
  if (!value.at) return text("nothing");
  return value.text ? (string){(uint8_t *)value.at - 1, value.length + 2} : text_of(value);
}

static string join(string a, string b) {
  string joined = {malloc(a.len + b.len), a.len + b.len};
  if (!joined.ptr) abort();
  memcpy(joined.ptr, a.ptr, a.len);
  memcpy(joined.ptr + a.len, b.ptr, b.len);
  return joined;
}

// Returns a copy on the heap. The bindings free a text after it was returned to the host.
static string own(string borrowed) { return join(borrowed, text("")); }

// Reports a failure of the target. `reason` is one of a few fixed words: failures with the same reason belong to the
// same Issue. Returns false.
static bool failed(trouble *err, const char *reason, string message, const mismatch *wrong, size_t count) {
  mismatch *copy = calloc(count + 1, sizeof *copy);
  if (!copy) abort();
  for (size_t i = 0; i < count; i++)
    copy[i] = (mismatch){own(wrong[i].subject), own(wrong[i].expected), own(wrong[i].actual)};
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_FAILED;
  err->val.failed.reason = own(text(reason));
  err->val.failed.message = own(message);
  err->val.failed.mismatches = (sentrynet_probe_types_list_mismatch_t){copy, count};
  return false;
}

// Reports that the probe could not do its work, while the target may be well. Returns false.
static bool broken(trouble *err, string why) {
  err->tag = SENTRYNET_PROBE_TYPES_TROUBLE_BROKEN;
  err->val.broken = own(why);
  return false;
}

// Opens a span for a step of the run.
static sentrynet_probe_span_own_span_t begin(const char *op, const char *description) {
  string o = text(op), d = text(description);
  return sentrynet_probe_span_constructor_span(&o, &d);
}

// Ends a span. Its status is `internal-error` unless `well`. Returns `well`.
static bool end(sentrynet_probe_span_own_span_t span, bool well) {
  if (!well)
    sentrynet_probe_span_method_span_set_status(sentrynet_probe_span_borrow_span(span),
                                                SENTRYNET_PROBE_SPAN_STATUS_INTERNAL_ERROR);
  sentrynet_probe_span_span_drop_own(span);
  return well;
}

static bool get(string url, sentrynet_probe_http_own_response_t *response, trouble *err) {
  // The names of the error's cases, in their order. `denied` means that the host refuses the request, which is no
  // failure of the target.
  static const char *const REASONS[] = {"denied",   "dns",  "connect",  "tls",  "timeout",
                                        "redirect", "auth", "protocol", "other"};
  string method = text("GET"), name = text("accept"), value = text("application/json"), why;
  sentrynet_probe_http_own_request_t request;
  if (!sentrynet_probe_http_static_request_new(&method, &url, &request, &why)) return broken(err, why);
  sentrynet_probe_http_borrow_request_t borrowed = sentrynet_probe_http_borrow_request(request);
  if (!sentrynet_probe_http_method_request_header(borrowed, &name, &value, &why)) return broken(err, why);
  sentrynet_probe_http_error_t error;
  if (sentrynet_probe_http_method_request_send(borrowed, response, &error)) return true;
  // All cases of the error have the same content, one text, so that `other` reads the text of any case.
  if (error.tag == SENTRYNET_PROBE_HTTP_ERROR_DENIED) return broken(err, error.val.denied);
  return failed(err, REASONS[error.tag], error.val.other, NULL, 0);
}

static bool parse(probe_list_u8_t body, json *health, trouble *err) {
  if (json_read((const char *)body.ptr, body.len, health)) return true;
  return failed(err, "json", text("the response is not JSON"), NULL, 0);
}

static bool check_health(json status, json queue, json limit, trouble *err) {
  mismatch wrong[2];
  size_t count = 0;
  double length, most;
  if (!json_is(status, "ok")) wrong[count++] = (mismatch){text("$.status"), text("\"ok\""), shown(status)};
  bool known = json_number(queue, &length);
  if (known) {
    string key = text("queue");
    sentrynet_probe_span_value_t value = {.tag = SENTRYNET_PROBE_TYPES_VALUE_NUMBER, .val.number = length};
    sentrynet_probe_span_set_data(&key, &value);
  }
  if (!known || !json_number(limit, &most) || length > most)
    wrong[count++] = (mismatch){text("$.queue"), join(text("at most "), shown(limit)), shown(queue)};
  return count == 0 || failed(err, "health", text("the service is not well"), wrong, count);
}

void exports_sentrynet_probe_prober_describe(exports_sentrynet_probe_prober_description_t *ret) {
  ret->name = own(text("json-health"));
  ret->version = own(text("0.1.0"));
  ret->summary = own(text("Checks that a service reports good health"));
  ret->settings_schema = own(text(SETTINGS));
}

// Finds mistakes that the schema does not exclude. Returns the title of the run, if the configuration gives none.
bool exports_sentrynet_probe_prober_check(string *settings, probe_option_string_t *ret,
                                          exports_sentrynet_probe_prober_list_problem_t *err) {
  json all = {0}, url = {0};
  json_read((const char *)settings->ptr, settings->len, &all);
  json_member(all, "url", &url);
  string method = text("GET"), address = text_of(url), why;
  sentrynet_probe_http_own_request_t request;
  if (sentrynet_probe_http_static_request_new(&method, &address, &request, &why)) {
    *ret = (probe_option_string_t){true, join(text("Health of "), address)};
    return true;
  }
  exports_sentrynet_probe_prober_problem_t *problem = malloc(sizeof *problem);
  if (!problem) abort();
  *problem = (exports_sentrynet_probe_prober_problem_t){own(text("/url")), own(why)};
  *err = (exports_sentrynet_probe_prober_list_problem_t){problem, 1};
  return false;
}

bool exports_sentrynet_probe_prober_run(string *settings, trouble *err) {
  json all = {0}, url = {0}, limit = {"100", 3, false}, health = {0}, status = {0}, queue = {0};
  json_read((const char *)settings->ptr, settings->len, &all);
  json_member(all, "url", &url);
  json_member(all, "max_queue", &limit);

  sentrynet_probe_http_own_response_t response;
  if (!get(text_of(url), &response, err)) return false;
  sentrynet_probe_http_borrow_response_t borrowed = sentrynet_probe_http_borrow_response(response);
  unsigned code = sentrynet_probe_http_method_response_status(borrowed);
  if (code != 200) {
    char digits[] = {'0' + code / 100 % 10, '0' + code / 10 % 10, '0' + code % 10, 0};
    mismatch wrong = {text("status"), text("200"), text(digits)};
    return failed(err, "status", join(text("expected status 200, got "), text(digits)), &wrong, 1);
  }
  probe_list_u8_t body;
  sentrynet_probe_http_method_response_body(borrowed, &body);

  sentrynet_probe_span_own_span_t span = begin("json.parse", "Parse the response");
  if (!end(span, parse(body, &health, err))) return false;
  json_member(health, "status", &status);
  json_member(health, "queue", &queue);
  string line = join(join(text("status "), shown(status)), join(text(", queue "), shown(queue)));
  sentrynet_probe_log_write(SENTRYNET_PROBE_LOG_LEVEL_INFO, &line);

  span = begin("health.check", "Check status and queue");
  return end(span, check_health(status, queue, limit, err));
}
