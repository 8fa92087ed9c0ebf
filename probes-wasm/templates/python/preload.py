"""Imports what Python's library imports only when it needs it. During a run that is too late: there are no files.

Add what your probe needs. A module that is missing during a run is a `ModuleNotFoundError`, a codec that is missing is a
`LookupError: unknown encoding`.
"""

# Host names: `socket` encodes them with `idna`.
import encodings.idna  # noqa: F401
import encodings.punycode  # noqa: F401

# The charsets of responses. `ascii`, `latin-1`, `utf-8`, `utf-16` and `utf-32` need no import.
import encodings.cp1252  # noqa: F401
import encodings.iso8859_15  # noqa: F401
import encodings.utf_8_sig  # noqa: F401

# `datetime.strptime` and `time.strptime`.
import _strptime  # noqa: F401
