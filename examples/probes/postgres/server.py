"""A client of PostgreSQL's protocol, version 3, up to the login, with a deadline."""

import socket
import struct
import time

from scram import Scram, ScramError

PROTOCOL = 3 << 16
SSL_REQUEST = 80877103

# Limits on the size and the number of messages before the first query.
MAX_MESSAGE_BYTES, MAX_MESSAGES = 64 << 10, 1000

OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
AUTHENTICATED = (OK, b"")
OTHER_METHODS = {2: "Kerberos", 3: "the password in clear text", 5: "the password as MD5", 7: "GSSAPI", 9: "SSPI"}


class ServerError(Exception):
    """A failure of the server; `reason` is one of a few words."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class Unsupported(Exception):
    """A reason why the probe cannot check the server, which is no failure of the server."""


class Rejected(Exception):
    """An error response of the server, with its code (SQLSTATE)."""

    def __init__(self, fields):
        self.code = fields.get("C", "")
        said = f"{fields.get('S', 'ERROR')}: {fields.get('M', 'no message')}"
        super().__init__(f"{said[:300]} ({self.code[:5]})")


class Server:
    def __init__(self, host, port, deadline):
        self.deadline = deadline
        self.parameters = {}
        self.messages = 0
        try:
            self.socket = socket.create_connection((host, port), timeout=self.remaining_seconds("connecting"))
        except PermissionError as error:
            raise Unsupported(f"{host}:{port} is not allowed: the run's log says what to add") from error
        except socket.gaierror as error:
            raise ServerError("dns", f"{host} does not resolve") from error
        except TimeoutError as error:
            raise ServerError("timeout", f"no connection to {host}:{port} in time") from error
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ServerError("connect", f"no connection to {host}:{port}: {why.lower()}") from error

    def offers_tls(self):
        self.send(b"", struct.pack("!I", SSL_REQUEST))
        answer = self.receive(1)
        if answer not in (b"S", b"N"):
            message = f"the server does not speak PostgreSQL: its response to a request for TLS is {answer!r}"
            raise ServerError("protocol", message)
        return answer == b"S"

    def start(self, user, database):
        """Ask to connect. Return the required authentication, which may be `AUTHENTICATED`."""
        options = {"user": user, "database": database, "application_name": "sentrynet"}
        text = "".join(f"{key}\0{value}\0" for key, value in options.items())
        self.send(b"", struct.pack("!I", PROTOCOL) + text.encode() + b"\0")
        return self.receive_authentication()

    def log_in(self, required, password):
        """Authenticate, and store the parameters that the server reports in `parameters`."""
        if required[0] != OK:
            self.prove(required, password)
        while (message := self.read_message())[0] != b"Z":
            kind, body = message
            if kind == b"S":
                key, value, *_ = body.split(b"\0") + [b"", b""]
                self.parameters[decode_text(key)] = decode_text(value)[:100]
        self.send(b"X", b"")

    def prove(self, required, password):
        method, offered = required
        if method != SASL or b"SCRAM-SHA-256" not in offered.split(b"\0"):
            how = OTHER_METHODS.get(method, "an unknown method")
            raise Unsupported(f"the server demands {how}: this probe supports only SCRAM-SHA-256")
        scram = Scram(password)
        try:
            first = scram.begin()
            self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            self.send(b"p", scram.prove(self.expect(SASL_CONTINUE)))
            scram.check(self.expect(SASL_FINAL))
        except ScramError as error:
            raise ServerError("auth", f"the server cannot be trusted: {error}") from error
        self.expect(OK)

    def expect(self, method):
        found, body = self.receive_authentication()
        if found != method:
            raise ServerError("protocol", f"the server sent authentication message {found} instead of {method}")
        return body

    def receive_authentication(self):
        kind, body = self.read_message()
        # The server may first report a minor version of protocol 3 (NegotiateProtocolVersion).
        if kind == b"v":
            kind, body = self.read_message()
        if kind != b"R" or len(body) < 4:
            raise ServerError("protocol", f"the server sent {kind!r} instead of a request for authentication")
        return struct.unpack("!I", body[:4])[0], body[4:]

    def read_message(self):
        """Return type and body of the next message that is no notice."""
        while self.messages < MAX_MESSAGES:
            self.messages += 1
            kind, length = struct.unpack("!cI", self.receive(5))
            if kind not in b"RESKNZv" or not 4 <= length <= MAX_MESSAGE_BYTES:
                begun = kind + struct.pack("!I", length)
                message = f"the server does not speak PostgreSQL: its message begins with {begun!r}"
                raise ServerError("protocol", message)
            body = self.receive(length - 4)
            if kind == b"E":
                fields = [part for part in body.split(b"\0") if part]
                raise Rejected({chr(part[0]): decode_text(part[1:]) for part in fields})
            if kind != b"N":
                return kind, body
        raise ServerError("protocol", f"the server sent {MAX_MESSAGES} messages, and is not ready yet")

    def send(self, kind, body):
        message = kind + struct.pack("!I", len(body) + 4) + body
        self.guard("sending", lambda: self.socket.sendall(message))

    def receive(self, count):
        """Receive exactly this many bytes."""
        received = bytearray()
        while len(received) < count:
            some = self.guard("waiting for the response", lambda: self.socket.recv(count - len(received)))
            if not some:
                raise ServerError("closed", "the server closed the connection")
            received += some
        return bytes(received)

    def guard(self, activity, work):
        self.socket.settimeout(self.remaining_seconds(activity))
        try:
            return work()
        except TimeoutError as error:
            raise timeout_error(activity) from error
        except OSError as error:
            raise ServerError("closed", "the server aborted the connection") from error

    def remaining_seconds(self, activity):
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise timeout_error(activity)
        return remaining


def timeout_error(activity):
    return ServerError("timeout", f"timed out while {activity}")


def decode_text(received):
    return received.decode("utf-8", "replace")
