"""A probe of PostgreSQL: checks that a server accepts connections, as pg_isready does, and that a user can log in.

The contract in ../wit has the exports of a probe, and all interfaces that it can import. Sockets are Python's own. The
component has no files at run time: all modules are imported at the top, during the build. So is the codec of host
names, which `socket` would otherwise import during the run.
"""

import encodings.idna  # noqa: F401
import json
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import span
from wit_world.imports.types import (
    Description, Failure, Mismatch, Problem, Trouble_Broken, Trouble_Failed, Value_Boolean, Value_Text)

from server import AUTHENTICATED, Rejected, Server, ServerError, Unsupported

# The JSON Schema of the settings. The host validates them with it, and shows its descriptions to operators.
SETTINGS = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "minLength": 1, "description": "The server: a name or an address."},
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 5432,
            "description": "The TCP port; 5432 unless given.",
        },
        "user": {
            "type": "string",
            "minLength": 1,
            "default": "postgres",
            "description": "The user; `postgres` unless given. Without `password`, this user need not exist.",
        },
        "database": {
            "type": "string",
            "minLength": 1,
            "description": "The database; the one named like the user unless given.",
        },
        "password": {
            "type": "string",
            "minLength": 1,
            "description": "The password to log in with (SCRAM-SHA-256): `${env:NAME}` or `${file:PATH}`, so that it "
            "is redacted. Without it, the server need only ask for a password.",
        },
        "role": {
            "enum": ["primary", "standby"],
            "description": "The role that the server must have (PostgreSQL 14 or later); needs `password`.",
        },
        "tls": {"type": "boolean", "description": "True if the server must offer TLS, false if it must not."},
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 3600,
            "default": 5,
            "description": "Seconds for the whole run, 3,600 at most; 5 unless given.",
        },
    },
    "required": ["host"],
    "additionalProperties": False,
}

# Prefixes of the error codes (SQLSTATE) for a refused user and a missing database. Such errors show that the server is
# ready.
CLIENT_ERRORS = ("28", "3D000")


class Prober(exports.Prober):
    def describe(self):
        about = "Checks that a PostgreSQL server accepts connections"
        return Description("postgres", "0.1.0", about, json.dumps(SETTINGS))

    def check(self, settings):
        """Check what the schema cannot express. Return the title of a probe without one."""
        settings = json.loads(settings)
        problems = [
            Problem(f"/{key}", "it must not contain a NUL character")
            for key in ("host", "user", "database")
            if "\0" in settings.get(key, "")
        ]
        if "role" in settings and "password" not in settings:
            problems.append(Problem("/role", "the role is known only after a login: add `password`, or leave this out"))
        if problems:
            raise Err(problems)
        return f"PostgreSQL at {settings['host']}:{settings.get('port', 5432)}"

    def run(self, settings):
        settings = json.loads(settings)
        deadline = time.monotonic() + settings.get("timeout", 5)

        def connect():
            return Server(settings["host"], settings.get("port", 5432), deadline)

        if "tls" in settings:
            # Has a connection of its own: after a positive response, the server expects a TLS handshake.
            run_step("postgres.tls", "Ask for TLS", lambda: check_tls(connect().offers_tls(), settings["tls"]))
        server = run_step("postgres.connect", "Connect", connect)
        required = run_step("postgres.startup", "Start the session", lambda: start(server, settings))
        # A server without a password for this user reports its parameters too.
        if "password" in settings or required == AUTHENTICATED:
            run_step("postgres.auth", "Log in", lambda: server.log_in(required, settings.get("password", "")))
            about = "Check the parameters of the server"
            run_step("postgres.check", about, lambda: check_parameters(server, settings))


def start(server, settings):
    """Start the session. Return the required authentication, or None if only the user or the database is refused."""
    user = settings.get("user", "postgres")
    try:
        return server.start(user, settings.get("database", user))
    except Rejected as error:
        if "password" in settings or not error.code.startswith(CLIENT_ERRORS):
            raise
        span.set_data("postgres.answer", Value_Text(str(error)))


def check_tls(offered, expected):
    span.set_data("postgres.tls", Value_Boolean(offered))
    if offered != expected:
        words = {True: "offered", False: "not offered"}
        raise failed("tls", f"TLS is {words[offered]}", [Mismatch("tls", words[expected], words[offered])])


def check_parameters(server, settings):
    if "server_version" in server.parameters:
        span.set_data("postgres.version", Value_Text(server.parameters["server_version"]))
    standby = server.parameters.get("in_hot_standby")
    role = {"on": "standby", "off": "primary"}.get(standby, "nothing")
    span.set_data("postgres.role", Value_Text(role))
    if settings.get("role", role) != role:
        wrong = [Mismatch("role", settings["role"], role)]
        raise failed("role", f"the server is no {settings['role']}", wrong)


def run_step(op, description, work):
    """Run a part of the probe in a span of its own."""
    with span.Span(op, description) as opened:
        try:
            return work()
        except Unsupported as error:
            trouble = Err(Trouble_Broken(str(error)))
        except ServerError as error:
            trouble = failed(error.reason, str(error))
        except Rejected as error:
            reason = "auth" if error.code.startswith("28") else "rejecting"
            trouble = failed(reason, f"the server says: {error}")
        except Err as error:
            trouble = error
        opened.set_status(span.Status.INTERNAL_ERROR)
        raise trouble


def failed(reason, message, mismatches=()):
    """Return a failure of the target. Failures with the same `reason` are one Issue: it is one of a few words."""
    return Err(Trouble_Failed(Failure(reason, message, list(mismatches))))
