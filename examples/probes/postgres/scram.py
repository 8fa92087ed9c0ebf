"""SCRAM-SHA-256 (RFC 5802, RFC 7677): how client and server show each other a password without saying it."""

import base64
import binascii
import hashlib
import hmac
import os
import unicodedata

# Ten times as many as PostgreSQL asks for, and a second or so of computing here.
MOST_ITERATIONS = 50_000


class Wrong(Exception):
    """What the server says makes no sense, or is not said by who has the password."""


class Scram:
    def __init__(self, password):
        # As much of SASLprep as passwords that people type need.
        self.password = unicodedata.normalize("NFKC", password).encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        # PostgreSQL has the user's name from elsewhere.
        self.first = f"n=,r={self.nonce}"

    def begin(self):
        return f"n,,{self.first}".encode()

    def prove(self, challenge):
        """The answer to the server's challenge."""
        fields = parse(challenge)
        try:
            salt, iterations = base64.b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise Wrong("its challenge has no salt or no iterations") from error
        if not fields.get("r", "").startswith(self.nonce) or fields["r"] == self.nonce:
            raise Wrong("its challenge is not for us")
        if not 0 < iterations <= MOST_ITERATIONS:
            raise Wrong(f"its challenge wants {iterations} iterations: at most {MOST_ITERATIONS} are done here")
        salted = pbkdf2(self.password, salt, iterations)
        last = f"c=biws,r={fields['r']}"
        said = f"{self.first},{challenge.decode()},{last}".encode()
        key = digest(salted, b"Client Key")
        signature = digest(hashlib.sha256(key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.expected = digest(digest(salted, b"Server Key"), said)
        return f"{last},p={base64.b64encode(proof).decode()}".encode()

    def check(self, final):
        """Whether the server has the password too."""
        try:
            shown = base64.b64decode(parse(final).get("v", ""), validate=True)
        except binascii.Error:
            shown = b""
        if not hmac.compare_digest(shown, self.expected):
            raise Wrong("it does not know the password itself")


def parse(message):
    try:
        return dict(part.split("=", 1) for part in message.decode("ascii").split(","))
    except ValueError as error:
        raise Wrong("its part of SCRAM cannot be read") from error


def digest(key, text):
    return hmac.digest(key, text, "sha256")


def pbkdf2(password, salt, iterations):
    """There is no OpenSSL here, which hashlib has it from."""
    begun = hmac.new(password, digestmod="sha256")

    def prf(text):
        more = begun.copy()
        more.update(text)
        return more.digest()

    block = prf(salt + b"\0\0\0\1")
    total = int.from_bytes(block, "big")
    for _ in range(iterations - 1):
        block = prf(block)
        total ^= int.from_bytes(block, "big")
    return total.to_bytes(32, "big")
