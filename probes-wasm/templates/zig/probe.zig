//! Asks a service how it is: expects JSON in which `status` is `ok`, and `queue` no longer than the settings allow.
//! The contract is in wit/: what a probe exports, and all that the host does for it; bindings/probe.h is the same in C.
//! Nothing is freed: each run is an instance of its own, whose memory goes with it.

const std = @import("std");
const c = @import("contract");

const allocator = std.heap.c_allocator;

/// There is no standard error to write to: the host's log takes its place.
pub const panic = std.debug.FullPanic(tell);

fn tell(message: []const u8, _: ?usize) noreturn {
    var line: c.probe_string_t = .{ .ptr = @constCast(message.ptr), .len = message.len };
    c.sentrynet_probe_log_write(c.SENTRYNET_PROBE_LOG_LEVEL_ERROR, &line);
    @trap();
}

const Settings = struct {
    url: []const u8,
    max_queue: i64 = 100,

    /// The host holds settings against this, and shows it to who writes them.
    const schema =
        \\{
        \\  "type": "object",
        \\  "properties": {
        \\    "url": { "type": "string", "description": "Where the service says how it is." },
        \\    "max_queue": {
        \\      "type": "integer",
        \\      "minimum": 0,
        \\      "default": 100,
        \\      "description": "The longest queue that is still well; 100 unless given."
        \\    }
        \\  },
        \\  "required": ["url"],
        \\  "additionalProperties": false
        \\}
    ;

    fn read(json: *c.probe_string_t) Settings {
        // They have passed the schema: what is wrong now is a bug, which a trap tells of.
        return std.json.parseFromSliceLeaky(Settings, allocator, slice(json.*), .{}) catch unreachable;
    }
};

const Health = struct { status: std.json.Value = .null, queue: std.json.Value = .null };

/// Why a run does not pass, and what else a function may stop at.
const Trouble = error{ Failed, Broken } || std.mem.Allocator.Error;

/// Filled in by who returns an error.
var trouble: c.exports_sentrynet_probe_prober_trouble_t = undefined;

export fn exports_sentrynet_probe_prober_describe(ret: *c.exports_sentrynet_probe_prober_description_t) void {
    ret.* = .{
        .name = string("json-health"),
        .version = string("0.1.0"),
        .summary = string("Whether a service says that it is well"),
        .settings_schema = string(Settings.schema),
    };
}

/// What a schema cannot say. Answers with the title of a probe that is given none.
export fn exports_sentrynet_probe_prober_check(
    json: *c.probe_string_t,
    ret: *c.probe_option_string_t,
    err: *c.exports_sentrynet_probe_prober_list_problem_t,
) bool {
    const settings = Settings.read(json);
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
    run(Settings.read(json)) catch {
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

    const health = try step("json.parse", "Parse the answer", parse, .{body.ptr[0..body.len]});
    var line = print("status {f}, queue {f}", .{ shown(health.status), shown(health.queue) });
    c.sentrynet_probe_log_write(c.SENTRYNET_PROBE_LOG_LEVEL_INFO, &line);
    return step("health.check", "Check status and queue", hold, .{ health, settings.max_queue });
}

fn get(url: []const u8) Trouble!c.sentrynet_probe_http_own_response_t {
    // In the order of the error's cases. What the host refuses, the first, is not the target's fault.
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
    // Every case holds one text.
    if (problem.tag == c.SENTRYNET_PROBE_HTTP_ERROR_DENIED) return broken(problem.val.denied);
    return failed(reasons[problem.tag], problem.val.other, &.{});
}

fn parse(body: []const u8) Trouble!Health {
    const options: std.json.ParseOptions = .{ .ignore_unknown_fields = true };
    return std.json.parseFromSliceLeaky(Health, allocator, body, options) catch |problem|
        failed("json", print("the answer is not a JSON object: {t}", .{problem}), &.{});
}

fn hold(health: Health, max_queue: i64) Trouble!void {
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

/// Does a part of the run as a span of its own.
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

/// The target is wrong. `reason` is one of few: outages are grouped by it.
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

/// The probe could not do its work, though the target may be well.
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

/// What is given to the contract is its own to free: a copy. Of nothing there is none, since Zig's would lie nowhere.
fn own(T: type, items: []const T) [*c]T {
    if (items.len == 0) return null;
    return (allocator.dupe(T, items) catch @panic("out of memory")).ptr;
}

fn slice(text: c.probe_string_t) []const u8 {
    return text.ptr[0..text.len];
}
