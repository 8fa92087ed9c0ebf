//! Checks the health of a service: expects JSON in which `status` is `ok` and `queue` is at most `max_queue`. The WIT
//! files in wit/ define what a probe exports, and what the host does for it; bindings/probe.zig is the same in Zig.
//! Nothing is freed: each run has an instance of its own, whose memory is discarded at the end of the run.

const std = @import("std");
const c = @import("contract");

const allocator = std.heap.c_allocator;

/// Writes the message of a panic to the run's log, since there is no standard error.
pub const panic = std.debug.FullPanic(logPanic);

fn logPanic(message: []const u8, _: ?usize) noreturn {
    var line: c.probe_string_t = .{ .ptr = @constCast(message.ptr), .len = message.len };
    c.sentrynet_probe_log_write(c.SENTRYNET_PROBE_LOG_LEVEL_ERROR, &line);
    @trap();
}

const Settings = struct {
    url: []const u8,
    max_queue: i64 = 100,

    /// The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
    const schema =
        \\{
        \\  "type": "object",
        \\  "properties": {
        \\    "url": { "type": "string", "description": "The URL at which the service reports its health." },
        \\    "max_queue": {
        \\      "type": "integer",
        \\      "minimum": 0,
        \\      "default": 100,
        \\      "description": "The longest queue that is still healthy; 100 unless given."
        \\    }
        \\  },
        \\  "required": ["url"],
        \\  "additionalProperties": false
        \\}
    ;

    fn parse(json: *c.probe_string_t) Settings {
        // The host has validated the settings with the schema. An error here is a bug, which a trap reports.
        return std.json.parseFromSliceLeaky(Settings, allocator, slice(json.*), .{}) catch unreachable;
    }
};

const Health = struct { status: std.json.Value = .null, queue: std.json.Value = .null };

/// The errors of a run: those of the contract, whose details are in `trouble`, and a failed allocation.
const Trouble = error{ Failed, Broken } || std.mem.Allocator.Error;

/// The details of the error, set by the function that returns it.
var trouble: c.exports_sentrynet_probe_prober_trouble_t = undefined;

export fn exports_sentrynet_probe_prober_describe(ret: *c.exports_sentrynet_probe_prober_description_t) void {
    ret.* = .{
        .name = string("json-health"),
        .version = string("0.1.0"),
        .summary = string("Checks that a service reports good health"),
        .settings_schema = string(Settings.schema),
    };
}

/// Finds mistakes that the schema does not exclude. Returns the title of the run, if the configuration gives none.
export fn exports_sentrynet_probe_prober_check(
    json: *c.probe_string_t,
    ret: *c.probe_option_string_t,
    err: *c.exports_sentrynet_probe_prober_list_problem_t,
) bool {
    const settings = Settings.parse(json);
    var method = string("GET");
    var url = string(settings.url);
    var request: c.sentrynet_probe_http_own_request_t = undefined;
    var why: c.probe_string_t = undefined;
    if (c.sentrynet_probe_http_static_request_new(&method, &url, &request, &why)) {
        ret.* = .{ .is_some = true, .val = print("Health of {s}", .{settings.url}) };
        return true;
    }
    const problems = [_]c.exports_sentrynet_probe_prober_problem_t{.{ .pointer = string("/url"), .message = why }};
    err.* = .{ .ptr = own(c.exports_sentrynet_probe_prober_problem_t, &problems), .len = problems.len };
    return false;
}

export fn exports_sentrynet_probe_prober_run(
    json: *c.probe_string_t,
    err: *c.exports_sentrynet_probe_prober_trouble_t,
) bool {
    run(Settings.parse(json)) catch {
        err.* = trouble;
        return false;
    };
    return true;
}

fn run(settings: Settings) Trouble!void {
    const response = c.sentrynet_probe_http_borrow_response(try get(settings.url));
    const status = c.sentrynet_probe_http_method_response_status(response);
    if (status != 200) return failed("status", print("expected status 200, got {d}", .{status}), &.{
        mismatch("status", string("200"), print("{d}", .{status})),
    });
    var body: c.probe_list_u8_t = undefined;
    c.sentrynet_probe_http_method_response_body(response, &body);

    const health = try step("json.parse", "Parse the response", parse, .{body.ptr[0..body.len]});
    var line = print("status {f}, queue {f}", .{ shown(health.status), shown(health.queue) });
    c.sentrynet_probe_log_write(c.SENTRYNET_PROBE_LOG_LEVEL_INFO, &line);
    return step("health.check", "Check status and queue", checkHealth, .{ health, settings.max_queue });
}

fn get(url: []const u8) Trouble!c.sentrynet_probe_http_own_response_t {
    // The names of the error's cases, in their order. `denied` means that the host refuses the request, which is no
    // failure of the target.
    const reasons = [_][]const u8{ "denied", "dns", "connect", "tls", "timeout", "redirect", "auth", "protocol", "other" };
    var method = string("GET");
    var address = string(url);
    var name = string("accept");
    var value = string("application/json");
    var why: c.probe_string_t = undefined;
    var request: c.sentrynet_probe_http_own_request_t = undefined;
    if (!c.sentrynet_probe_http_static_request_new(&method, &address, &request, &why)) return broken(why);
    const borrowed = c.sentrynet_probe_http_borrow_request(request);
    if (!c.sentrynet_probe_http_method_request_header(borrowed, &name, &value, &why)) return broken(why);
    var response: c.sentrynet_probe_http_own_response_t = undefined;
    var problem: c.sentrynet_probe_http_error_t = undefined;
    if (c.sentrynet_probe_http_method_request_send(borrowed, &response, &problem)) return response;
    // All cases of the error have the same content, one text, so that `other` reads the text of any case.
    if (problem.tag == c.SENTRYNET_PROBE_HTTP_ERROR_DENIED) return broken(problem.val.denied);
    return failed(reasons[problem.tag], problem.val.other, &.{});
}

fn parse(body: []const u8) Trouble!Health {
    const options: std.json.ParseOptions = .{ .ignore_unknown_fields = true };
    return std.json.parseFromSliceLeaky(Health, allocator, body, options) catch |problem|
        failed("json", print("the response is not a JSON object: {t}", .{problem}), &.{});
}

fn checkHealth(health: Health, max_queue: i64) Trouble!void {
    var wrong: std.ArrayList(c.sentrynet_probe_types_mismatch_t) = .empty;
    const well = health.status == .string and std.mem.eql(u8, health.status.string, "ok");
    if (!well) try wrong.append(allocator, mismatch("$.status", string("\"ok\""), print("{f}", .{shown(health.status)})));
    const queue: f64 = switch (health.queue) {
        .integer => |integer| @floatFromInt(integer),
        .float => |float| float,
        else => std.math.nan(f64),
    };
    if (!std.math.isNan(queue)) {
        var key = string("queue");
        var value: c.sentrynet_probe_span_value_t = .{
            .tag = c.SENTRYNET_PROBE_TYPES_VALUE_NUMBER,
            .val = .{ .number = queue },
        };
        c.sentrynet_probe_span_set_data(&key, &value);
    }
    if (!(queue <= @as(f64, @floatFromInt(max_queue)))) {
        const expected = print("at most {d}", .{max_queue});
        try wrong.append(allocator, mismatch("$.queue", expected, print("{f}", .{shown(health.queue)})));
    }
    if (wrong.items.len > 0) return failed("health", string("the service is not well"), wrong.items);
}

/// Runs `work` in a span of its own.
fn step(op: []const u8, description: []const u8, comptime work: anytype, arguments: anytype) @TypeOf(@call(.auto, work, arguments)) {
    var o = string(op);
    var d = string(description);
    const span = c.sentrynet_probe_span_constructor_span(&o, &d);
    defer c.sentrynet_probe_span_span_drop_own(span);
    errdefer c.sentrynet_probe_span_method_span_set_status(
        c.sentrynet_probe_span_borrow_span(span),
        c.SENTRYNET_PROBE_SPAN_STATUS_INTERNAL_ERROR,
    );
    return @call(.auto, work, arguments);
}

/// Reports a failure of the target. `reason` is one of a few fixed words: failures with the same reason belong to the
/// same Issue.
fn failed(reason: []const u8, message: c.probe_string_t, wrong: []const c.sentrynet_probe_types_mismatch_t) Trouble {
    const copy = own(c.sentrynet_probe_types_mismatch_t, wrong);
    trouble = .{
        .tag = c.SENTRYNET_PROBE_TYPES_TROUBLE_FAILED,
        .val = .{ .failed = .{
            .reason = string(reason),
            .message = message,
            .mismatches = .{ .ptr = copy, .len = wrong.len },
        } },
    };
    return error.Failed;
}

/// Reports that the probe could not do its work, while the target may be well.
fn broken(why: c.probe_string_t) Trouble {
    trouble = .{ .tag = c.SENTRYNET_PROBE_TYPES_TROUBLE_BROKEN, .val = .{ .broken = why } };
    return error.Broken;
}

fn mismatch(subject: []const u8, expected: c.probe_string_t, actual: c.probe_string_t) c.sentrynet_probe_types_mismatch_t {
    return .{ .subject = string(subject), .expected = expected, .actual = actual };
}

fn shown(value: std.json.Value) std.json.Formatter(std.json.Value) {
    return std.json.fmt(value, .{});
}

fn string(text: []const u8) c.probe_string_t {
    return .{ .ptr = own(u8, text), .len = text.len };
}

fn print(comptime format: []const u8, arguments: anytype) c.probe_string_t {
    return string(std.fmt.allocPrint(allocator, format, arguments) catch @panic("out of memory"));
}

/// Returns a copy on the heap, since the bindings free values that were returned to the host. Returns null for an empty
/// slice: the address that Zig gives to an empty slice is not valid for `free`.
fn own(T: type, items: []const T) [*c]T {
    if (items.len == 0) return null;
    return (allocator.dupe(T, items) catch @panic("out of memory")).ptr;
}

fn slice(text: c.probe_string_t) []const u8 {
    return text.ptr[0..text.len];
}
