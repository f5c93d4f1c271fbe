"""What schemathesis is told beside its settings.

It guesses passwords, and an address that guessed wrong too often has to wait, with the right
password too. So each request comes from an address of its own, by a proxy that the server trusts.
A server without a password serves this machine's addresses alone, and one with a password counts
those together: so it is told of which network they are.
"""

import itertools
import os

import schemathesis

NETWORK = os.environ["CONFORMANCE_NETWORK"]
ADDRESSES = itertools.count(1)


@schemathesis.hook
def before_call(_context, case, _kwargs):
    number = next(ADDRESSES)
    address = f"{NETWORK}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    case.headers["X-Forwarded-For"] = address
