"""Checks the health of a service: expects JSON in which `status` is `ok` and `queue` is at most `max_queue`.

The WIT files in wit/ define what a probe exports, and what the host does for it. There are no files during a run: all
modules must be imported here, at the top, where the build finds them. `preload` has those that Python's library imports
by itself.
"""

import json

import preload  # noqa: F401
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http, log, span
from wit_world.imports.types import (
    Description, Failure, Mismatch, Problem, Trouble_Broken, Trouble_Failed, Value_Number)

# The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
SETTINGS = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "description": "The URL at which the service reports its health."},
        "max_queue": {
            "type": "integer",
            "minimum": 0,
            "default": 100,
            "description": "The longest queue that is still healthy; 100 unless given.",
        },
    },
    "required": ["url"],
    "additionalProperties": False,
}


class Prober(exports.Prober):
    def describe(self):
        return Description("json-health", "0.1.0", "Checks that a service reports good health", json.dumps(SETTINGS))

    def check(self, settings):
        """Finds mistakes that the schema does not exclude. Returns the title of the run, if none is configured."""
        url = json.loads(settings)["url"]
        try:
            http.Request.new("GET", url)
        except Err as error:
            raise Err([Problem("/url", error.value)])
        return f"Health of {url}"

    def run(self, settings):
        settings = json.loads(settings)
        response = get(settings["url"])
        if response.status() != 200:
            message = f"expected status 200, got {response.status()}"
            raise failed("status", message, [Mismatch("status", "200", str(response.status()))])
        health = step("json.parse", "Parse the response", lambda: parse(response.body()))
        log.write(log.Level.INFO, f"status {health.get('status')}, queue {health.get('queue')}")
        step("health.check", "Check status and queue", lambda: check_health(health, settings.get("max_queue", 100)))


def get(url):
    try:
        request = http.Request.new("GET", url)
        request.header("accept", "application/json")
    except Err as error:
        raise broken(error.value)
    try:
        return request.send()
    except Err as error:
        # The error `denied` means that the host refuses the request, which is no failure of the target.
        if isinstance(error.value, http.Error_Denied):
            raise broken(error.value.value)
        reason = type(error.value).__name__.removeprefix("Error_").lower()
        raise failed(reason, error.value.value)


def parse(body):
    try:
        health = json.loads(body)
    except ValueError as error:
        raise failed("json", f"the response is not JSON: {error}")
    return health if isinstance(health, dict) else {}


def check_health(health, max_queue):
    wrong = []
    status, queue = health.get("status"), health.get("queue")
    if status != "ok":
        wrong.append(Mismatch("$.status", '"ok"', shown(status)))
    if not isinstance(queue, (int, float)):
        wrong.append(Mismatch("$.queue", f"at most {max_queue}", shown(queue)))
    else:
        span.set_data("queue", Value_Number(float(queue)))
        if queue > max_queue:
            wrong.append(Mismatch("$.queue", f"at most {max_queue}", shown(queue)))
    if wrong:
        raise failed("health", "the service is not well", wrong)


def shown(value):
    return "nothing" if value is None else json.dumps(value)


def step(op, description, work):
    """Runs `work` in a span of its own."""
    with span.Span(op, description) as opened:
        try:
            return work()
        except Err:
            opened.set_status(span.Status.INTERNAL_ERROR)
            raise


def failed(reason, message, mismatches=()):
    """Returns the error for a failure of the target.

    `reason` is one of a few fixed words: failures with the same reason belong to the same Issue.
    """
    return Err(Trouble_Failed(Failure(reason, message, list(mismatches))))


def broken(why):
    """Returns the error for a probe that could not do its work, while the target may be well."""
    return Err(Trouble_Broken(why))
