"""Whether a PostgreSQL server accepts connections, as pg_isready asks it, and lets its user in.

The contract is in ../wit: what a probe exports, and all that it can import. Sockets are Python's own. There are no
files when it runs: all modules are imported here, at the top, where the build still finds them, and the codec of names.
"""

import encodings.idna  # noqa: F401
import json
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import span
from wit_world.imports.types import (
    Description, Failure, Mismatch, Problem, Trouble_Broken, Trouble_Failed, Value_Boolean, Value_Text)

from server import LET_IN, Rejected, Server, Unable, Unwell

# The host holds settings against this, and shows it to who writes them.
SETTINGS = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "minLength": 1, "description": "A name or an address."},
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 5432,
            "description": "5432 unless given.",
        },
        "user": {
            "type": "string",
            "minLength": 1,
            "default": "postgres",
            "description": "Who to connect as; `postgres` unless given. Without a password it need not be there.",
        },
        "database": {"type": "string", "minLength": 1, "description": "Of the user's name unless given."},
        "password": {
            "type": "string",
            "minLength": 1,
            "description": "The password to log in with (SCRAM-SHA-256): `${env:NAME}` or `${file:PATH}`, so that it "
            "is seen nowhere. Without one the server need only ask for it.",
        },
        "role": {
            "enum": ["primary", "standby"],
            "description": "What the server must be (PostgreSQL 14 or later); to know it takes a login.",
        },
        "tls": {"type": "boolean", "description": "Whether it must offer TLS, or must not; not asked unless given."},
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 3600,
            "default": 5,
            "description": "Seconds for all of it; 5 unless given.",
        },
    },
    "required": ["host"],
    "additionalProperties": False,
}

# How the codes (SQLSTATE) begin of what is wrong with who asks: their login, and there being no such database.
OF_WHO_ASKS = ("28", "3D000")


class Prober(exports.Prober):
    def describe(self):
        about = "Whether a PostgreSQL server accepts connections"
        return Description("postgres", "0.1.0", about, json.dumps(SETTINGS))

    def check(self, settings):
        """What a schema cannot say. Answers with the title of a probe that is given none."""
        settings = json.loads(settings)
        problems = [
            Problem(f"/{key}", "it cannot have a NUL in it")
            for key in ("host", "user", "database")
            if "\0" in settings.get(key, "")
        ]
        if "role" in settings and "password" not in settings:
            problems.append(Problem("/role", "to know it takes a login: add `password`, or leave this out"))
        if problems:
            raise Err(problems)
        return f"PostgreSQL at {settings['host']}:{settings.get('port', 5432)}"

    def run(self, settings):
        settings = json.loads(settings)
        deadline = time.monotonic() + settings.get("timeout", 5)

        def connect():
            return Server(settings["host"], settings.get("port", 5432), deadline)

        if "tls" in settings:
            # On a connection of its own: what comes after the answer would be TLS.
            step("postgres.tls", "Ask for TLS", lambda: hold_tls(connect().offers_tls(), settings["tls"]))
        server = step("postgres.connect", "Connect", connect)
        wanted = step("postgres.startup", "Ask to be let in", lambda: start(server, settings))
        # Whom the server lets in as they are, it tells about itself too.
        if "password" in settings or wanted == LET_IN:
            step("postgres.auth", "Log in", lambda: server.log_in(wanted, settings.get("password", "")))
            step("postgres.check", "Check what the server says of itself", lambda: hold(server, settings))


def start(server, settings):
    """What it takes to be let in. A server that lets nobody in is not ready, and one that minds who asks is."""
    user = settings.get("user", "postgres")
    try:
        return server.start(user, settings.get("database", user))
    except Rejected as error:
        if "password" in settings or not error.code.startswith(OF_WHO_ASKS):
            raise
        span.set_data("postgres.answer", Value_Text(str(error)))


def hold_tls(offered, expected):
    span.set_data("postgres.tls", Value_Boolean(offered))
    if offered != expected:
        told = {True: "offered", False: "not offered"}
        raise failed("tls", f"TLS is {told[offered]}", [Mismatch("tls", told[expected], told[offered])])


def hold(server, settings):
    if "server_version" in server.parameters:
        span.set_data("postgres.version", Value_Text(server.parameters["server_version"]))
    standby = server.parameters.get("in_hot_standby")
    role = {"on": "standby", "off": "primary"}.get(standby, "nothing")
    span.set_data("postgres.role", Value_Text(role))
    if settings.get("role", role) != role:
        wrong = [Mismatch("role", settings["role"], role)]
        raise failed("role", f"the server is no {settings['role']}", wrong)


def step(op, description, work):
    """Does a part of the run as a span of its own."""
    with span.Span(op, description) as opened:
        try:
            return work()
        except Unable as error:
            trouble = Err(Trouble_Broken(str(error)))
        except Unwell as error:
            trouble = failed(error.reason, str(error))
        except Rejected as error:
            reason = "auth" if error.code.startswith("28") else "rejecting"
            trouble = failed(reason, f"the server says: {error}")
        except Err as error:
            trouble = error
        opened.set_status(span.Status.INTERNAL_ERROR)
        raise trouble


def failed(reason, message, mismatches=()):
    """The target is wrong. `reason` is one of few: outages are grouped by it."""
    return Err(Trouble_Failed(Failure(reason, message, list(mismatches))))
