"""A server that speaks PostgreSQL's protocol, version 3: as far as the login, until a deadline."""

import socket
import struct
import time

from scram import Scram, Wrong

PROTOCOL = 3 << 16
SSL_REQUEST = 80877103

# More than any message before the first query has, and more messages than come before it.
LARGEST, MOST_MESSAGES = 64 << 10, 1000

OK, SASL, SASL_CONTINUE, SASL_FINAL = 0, 10, 11, 12
LET_IN = (OK, b"")
OTHERS = {2: "Kerberos", 3: "the password in clear text", 5: "the password as MD5", 7: "GSSAPI", 9: "SSPI"}


class Unwell(Exception):
    """What is wrong with the server; `reason` is one of few."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class Unable(Exception):
    """What the server is not to blame for."""


class Rejected(Exception):
    """The server's own error: its code (SQLSTATE) and what it says."""

    def __init__(self, fields):
        self.code = fields.get("C", "")
        said = f"{fields.get('S', 'ERROR')}: {fields.get('M', 'nothing more')}"
        super().__init__(f"{said[:300]} ({self.code[:5]})")


class Server:
    def __init__(self, host, port, deadline):
        self.deadline = deadline
        self.parameters = {}
        self.messages = 0
        try:
            self.socket = socket.create_connection((host, port), timeout=self.left("connecting"))
        except PermissionError as error:
            raise Unable(f"{host}:{port} is not allowed: the run's log says what to add") from error
        except socket.gaierror as error:
            raise Unwell("dns", f"{host} does not resolve") from error
        except TimeoutError as error:
            raise Unwell("timeout", f"no connection to {host}:{port} in time") from error
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise Unwell("connect", f"no connection to {host}:{port}: {why.lower()}") from error

    def offers_tls(self):
        self.send(b"", struct.pack("!I", SSL_REQUEST))
        answer = self.receive(1)
        if answer not in (b"S", b"N"):
            raise Unwell("protocol", f"the server does not speak PostgreSQL: asked for TLS it answered {answer!r}")
        return answer == b"S"

    def start(self, user, database):
        """Asks to connect. What it takes to be let in, which may be nothing."""
        options = {"user": user, "database": database, "application_name": "sentrynet"}
        text = "".join(f"{key}\0{value}\0" for key, value in options.items())
        self.send(b"", struct.pack("!I", PROTOCOL) + text.encode() + b"\0")
        return self.asked()

    def log_in(self, wanted, password):
        """Does what it takes to be let in; then the server says of itself what it likes to, in `parameters`."""
        if wanted[0] != OK:
            self.prove(wanted, password)
        while (said := self.message())[0] != b"Z":
            kind, body = said
            if kind == b"S":
                key, value, *_ = body.split(b"\0") + [b"", b""]
                self.parameters[text_of(key)] = text_of(value)[:100]
        self.send(b"X", b"")

    def prove(self, wanted, password):
        method, offered = wanted
        if method != SASL or b"SCRAM-SHA-256" not in offered.split(b"\0"):
            how = OTHERS.get(method, "a method that it does not speak")
            raise Unable(f"the server wants {how}: this probe logs in by SCRAM-SHA-256 alone")
        scram = Scram(password)
        try:
            first = scram.begin()
            self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
            self.send(b"p", scram.prove(self.expect(SASL_CONTINUE)))
            scram.check(self.expect(SASL_FINAL))
        except Wrong as error:
            raise Unwell("auth", f"the server cannot be trusted: {error}") from error
        self.expect(OK)

    def expect(self, method):
        found, body = self.asked()
        if found != method:
            raise Unwell("protocol", f"the server went on with {found} where {method} is due in a login")
        return body

    def asked(self):
        kind, body = self.message()
        # It may say first that it does not know all that there is to version 3.
        if kind == b"v":
            kind, body = self.message()
        if kind != b"R" or len(body) < 4:
            raise Unwell("protocol", f"the server sent {kind!r} where a login is due")
        return struct.unpack("!I", body[:4])[0], body[4:]

    def message(self):
        """The next one that is no notice: its kind and its body."""
        while self.messages < MOST_MESSAGES:
            self.messages += 1
            kind, length = struct.unpack("!cI", self.receive(5))
            if kind not in b"RESKNZv" or not 4 <= length <= LARGEST:
                begun = kind + struct.pack("!I", length)
                raise Unwell("protocol", f"the server does not speak PostgreSQL: its answer begins with {begun!r}")
            body = self.receive(length - 4)
            if kind == b"E":
                fields = [part for part in body.split(b"\0") if part]
                raise Rejected({chr(part[0]): text_of(part[1:]) for part in fields})
            if kind != b"N":
                return kind, body
        raise Unwell("protocol", f"the server sent {MOST_MESSAGES} messages, and was not ready then")

    def send(self, kind, body):
        message = kind + struct.pack("!I", len(body) + 4) + body
        self.guard("sending", lambda: self.socket.sendall(message))

    def receive(self, count):
        """Just so many bytes."""
        received = bytearray()
        while len(received) < count:
            some = self.guard("waiting for the answer", lambda: self.socket.recv(count - len(received)))
            if not some:
                raise Unwell("closed", "the server closed the connection")
            received += some
        return bytes(received)

    def guard(self, doing, work):
        self.socket.settimeout(self.left(doing))
        try:
            return work()
        except TimeoutError as error:
            raise late(doing) from error
        except OSError as error:
            raise Unwell("closed", "the server broke off the connection") from error

    def left(self, doing):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise late(doing)
        return left


def late(doing):
    return Unwell("timeout", f"not done in time: the time was over while {doing}")


def text_of(received):
    return received.decode("utf-8", "replace")
