#!/usr/bin/env python3
"""Check envelopes with Relay's normaliser, which Sentry itself runs on what it receives.

    relay.py [FILE...]      one envelope in each, plain or gzipped; without a file, one on standard input

Every event and transaction must be accepted without errors and remarks (`errors`, `_meta`), nothing in it may be
changed or lost, and its spans must form a tree. The normaliser does not process check-ins; they are compared with the
fields that Relay parses and the values that Sentry accepts. Prints a line for each finding. Exits with 0 without
findings, 1 with findings, and 2 if it cannot check.

Needs PyPI's sentry-relay 0.10.1.
"""

import gzip
import json
import re
import sys

try:
    from sentry_relay.exceptions import RelayError
    from sentry_relay.processing import StoreNormalizer
except ImportError:
    print("relay.py: no module sentry_relay: run it in a venv with `pip install sentry-relay==0.10.1`", file=sys.stderr)
    sys.exit(2)

DAY_SECONDS = 86_400

# Relay moves server_name into a tag, and does not return the type. Neither counts as lost.
MOVED_KEYS = {"server_name", "type"}


KINDS = ("event", "transaction", "check_in")

# The fields of a check-in that relay-monitors parses, with Sentry's bounds (sentry/monitors). Each is a pattern of the
# value as JSON, or a range. A name with `?` is optional.
CHECK_IN_FIELDS = {
    "check_in_id": r'"[0-9a-f]{32}"',
    # Sentry rewrites other slugs, so that two of them may become the same.
    "monitor_slug": r'"(?!.{52})(?=.*[a-z])(?!.*--)[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"',
    "status": r'"(in_progress|ok|error)"',
    "duration?": r"[0-9.e-]+",
    "environment": r'"[^\s/]{1,64}"',
    "contexts?": {"trace": {"trace_id": r'"(?!0{32})[0-9a-f]{32}"'}},
    "monitor_config": {
        "schedule": {"type": r'"interval"', "value": r"[1-9][0-9]*", "unit": r'"(minute|hour|day|week|month|year)"'},
        "checkin_margin": (1, 40_320),
        "failure_issue_threshold?": (1, 720),
        "recovery_threshold?": (1, 720),
        "owner?": r'"(user|team):[^"]+"',
    },
}


class Malformed(Exception):
    """The envelope cannot be parsed."""


def main(paths):
    found = False
    for path in paths or ["-"]:
        try:
            findings = list(check_envelope(read(path)))
        except (OSError, EOFError, ValueError, Malformed) as error:
            findings = [f"not an envelope: {error}"]
        for finding in findings:
            print(f"{path}: {finding}")
        found = found or bool(findings)
    return 1 if found else 0


def read(path):
    raw = sys.stdin.buffer.read() if path == "-" else open(path, "rb").read()
    return gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw


def check_envelope(raw):
    """Yield every finding about one envelope."""
    header, items = parse_envelope(raw)
    payloads = [(item["type"], json.loads(body)) for item, body in items if item["type"] in KINDS]
    if len(payloads) > 1:
        yield "more than one event, transaction or check-in: Sentry takes one for each envelope"
    for kind, payload in payloads:
        if kind == "check_in":
            for finding in check_check_in(payload):
                yield f"{kind} {payload.get('check_in_id')}: {finding}"
            continue
        for finding in *check_header(header, payload), *check_with_relay(payload), *check_spans(payload):
            yield f"{kind} {payload.get('event_id')}: {finding}"


def parse_envelope(raw):
    """Return the header, and each item with its header. Strict: items must have a length and end in a line break."""
    first, _, rest = raw.partition(b"\n")
    header, items = json.loads(first), []
    while rest:
        first, _, rest = rest.partition(b"\n")
        item = json.loads(first)
        if "type" not in item or "length" not in item:
            raise Malformed(f"item header {item} lacks type or length")
        body, end, rest = rest[: item["length"]], rest[item["length"] :][:1], rest[item["length"] + 1 :]
        if len(body) != item["length"] or end not in (b"\n", b""):
            raise Malformed(f"{item['type']} is not as long as its header says, {item['length']} bytes")
        items.append((item, body))
    return header, items


def check_check_in(payload, shape=CHECK_IN_FIELDS, path="payload"):
    """Yield the fields of a check-in that Relay and Sentry do not accept, or that they miss."""
    if not isinstance(payload, dict):
        yield f"{path}: {format_value(payload)} is no map"
        return
    known = {key.rstrip("?") for key in shape}
    for key in payload.keys() - known:
        yield f"{path}.{key}: lost {format_value(payload[key])}"
    for key, allowed in shape.items():
        place, value = f"{path}.{key.rstrip('?')}", payload.get(key.rstrip("?"))
        if value is None:
            if not key.endswith("?"):
                yield f"{place}: missing"
        elif isinstance(allowed, dict):
            yield from check_check_in(value, allowed, place)
        elif isinstance(allowed, tuple):
            if type(value) is not int or not allowed[0] <= value <= allowed[1]:
                yield f"{place}: {format_value(value)} is not from {allowed[0]} to {allowed[1]}"
        elif not re.fullmatch(allowed, json.dumps(value)):
            yield f"{place}: {format_value(value)} is not accepted"


def check_header(header, payload):
    """Yield differences between the envelope's header and its payload."""
    if header.get("event_id") != payload.get("event_id"):
        yield f"the header has event_id {header.get('event_id')}"
    sampling = header.get("trace", {})
    if sampling.get("trace_id") != payload.get("contexts", {}).get("trace", {}).get("trace_id"):
        yield f"the header has trace_id {sampling.get('trace_id')}"
    for key, value in sampling.items():
        if not isinstance(value, str) or not value:
            yield f"trace.{key} in the header is {value!r}: Relay reads only texts that are not empty"
    missing = {"public_key", "sample_rate", "sample_rand", "sampled"} - sampling.keys()
    for key in missing:
        yield f"the header lacks trace.{key}"
    if not missing:
        rate, rand = float(sampling["sample_rate"]), float(sampling["sample_rand"])
        if not 0 <= rand < rate <= 1 or sampling["sampled"] != "true":
            found = f"sampled {sampling['sampled']} at the rate {rate}, with {rand}"
            yield f"{found}: a run that is sent must be sampled, with a sample_rand below the rate"


def check_with_relay(payload):
    """Yield Relay's errors and remarks about the payload, and its silent changes."""
    relay = StoreNormalizer(
        project_id=1,
        protocol_version="7",
        remove_other=True,
        enable_trimming=True,
        normalize_user_agent=False,
        is_renormalize=False,
        max_secs_in_future=60,
        max_secs_in_past=30 * DAY_SECONDS,
    )
    try:
        taken = relay.normalize_event(json.loads(json.dumps(payload)))
    except RelayError as error:
        yield f"refused: {str(error).splitlines()[0]}"
        return
    for error in taken.get("errors") or []:
        yield f"error: {json.dumps(error)}"
    yield from find_remarks(taken.get("_meta") or {})
    yield from find_changes({key: value for key, value in payload.items() if key not in MOVED_KEYS}, taken)


def find_remarks(meta, path="payload"):
    """Yield the remarks in `_meta`, which mirrors the payload; an empty key has the remarks about a value."""
    for key, below in meta.items():
        if key == "":
            yield f"{path}: {json.dumps(below)}"
        elif isinstance(below, dict):
            yield from find_remarks(below, f"{path}.{key}")


def find_changes(sent, taken, path="payload"):
    """Yield what was changed or lost in `taken`. What Relay adds is ignored."""
    if isinstance(sent, dict) and isinstance(taken, list):
        taken = dict(pair for pair in taken if pair)  # tags come back as pairs
    if isinstance(sent, dict) and isinstance(taken, dict):
        for key, value in sent.items():
            if key in taken:
                yield from find_changes(value, taken[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: lost {format_value(value)}"
    elif isinstance(sent, list) and isinstance(taken, list) and len(sent) == len(taken):
        for index, pair in enumerate(zip(sent, taken)):
            yield from find_changes(*pair, f"{path}.{index}")
    elif isinstance(sent, float) and isinstance(taken, (int, float)):
        if abs(sent - taken) > 1e-5:  # Relay rounds times to microseconds
            yield f"{path}: {sent} became {taken}"
    elif sent != taken:
        yield f"{path}: {format_value(sent)} became {format_value(taken)}"


def check_spans(payload):
    """Yield mistakes in the spans that Relay accepts, but that break the waterfall."""
    trace = payload.get("contexts", {}).get("trace", {})
    begin, end, known = payload.get("start_timestamp", 0), payload.get("timestamp", 0), {trace.get("span_id")}
    for index, span in enumerate(payload.get("spans", [])):
        place = f"spans.{index}"
        if span.get("trace_id") != trace.get("trace_id"):
            yield f"{place}: it belongs to another trace, {span.get('trace_id')}"
        if span.get("parent_span_id") not in known:
            yield f"{place}: its parent {span.get('parent_span_id')} is none of the spans before it"
        if span.get("span_id") in known:
            yield f"{place}: another span has its id {span.get('span_id')}"
        if not begin <= span.get("start_timestamp", 0) <= span.get("timestamp", 0) <= end:
            yield f"{place}: it is not within the time of the transaction"
        known.add(span.get("span_id"))


def format_value(value):
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
