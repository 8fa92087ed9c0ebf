"""SCRAM-SHA-256 (RFC 5802, RFC 7677): client and server prove that they know a password without sending it."""

import base64
import binascii
import hashlib
import hmac
import os
import unicodedata

# Twelve times PostgreSQL's default of 4096. This many take about a second in a component.
MAX_ITERATIONS = 50_000


class ScramError(Exception):
    """An invalid message of the server, or a proof that it does not know the password."""


class Scram:
    def __init__(self, password):
        # Of SASLprep, only the normalization is applied: the rest does not change passwords that people type.
        self.password = unicodedata.normalize("NFKC", password).encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        # PostgreSQL takes the user name from the startup message.
        self.first = f"n=,r={self.nonce}"

    def begin(self):
        return f"n,,{self.first}".encode()

    def prove(self, challenge):
        """Return the response to the server's challenge."""
        fields = parse(challenge)
        try:
            salt, iterations = base64.b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise ScramError("its challenge has no salt or no iterations") from error
        if not fields.get("r", "").startswith(self.nonce) or fields["r"] == self.nonce:
            raise ScramError("its challenge does not continue the nonce of this probe")
        if not 0 < iterations <= MAX_ITERATIONS:
            raise ScramError(f"its challenge demands {iterations} iterations, which must be from 1 to {MAX_ITERATIONS}")
        salted = pbkdf2(self.password, salt, iterations)
        last = f"c=biws,r={fields['r']}"
        auth_message = f"{self.first},{challenge.decode()},{last}".encode()
        key = digest(salted, b"Client Key")
        signature = digest(hashlib.sha256(key).digest(), auth_message)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.expected = digest(digest(salted, b"Server Key"), auth_message)
        return f"{last},p={base64.b64encode(proof).decode()}".encode()

    def check(self, final):
        """Check the server's proof that it knows the password."""
        try:
            shown = base64.b64decode(parse(final).get("v", ""), validate=True)
        except binascii.Error:
            shown = b""
        if not hmac.compare_digest(shown, self.expected):
            raise ScramError("it does not prove that it knows the password")


def parse(message):
    try:
        return dict(part.split("=", 1) for part in message.decode("ascii").split(","))
    except ValueError as error:
        raise ScramError("its SCRAM message is malformed") from error


def digest(key, text):
    return hmac.digest(key, text, "sha256")


def pbkdf2(password, salt, iterations):
    """Derive the key by PBKDF2-HMAC-SHA-256; hashlib's own function needs OpenSSL, which is not available here."""
    keyed = hmac.new(password, digestmod="sha256")

    def prf(text):
        block_hmac = keyed.copy()
        block_hmac.update(text)
        return block_hmac.digest()

    block = prf(salt + b"\0\0\0\1")
    total = int.from_bytes(block, "big")
    for _ in range(iterations - 1):
        block = prf(block)
        total ^= int.from_bytes(block, "big")
    return total.to_bytes(32, "big")
