"""Starts a program that ends when whoever started it ends, even by SIGKILL, and that may be another user.

Run as a file, with the standard library only: leash.py PARENT SIGNAL UID GID CAPABILITIES PROGRAM ARGUMENT…
UID and GID -1 keep the user. CAPABILITIES (a bit mask) are kept across the change of user: what root could reach, a
server that refuses to be root can then reach as well. Linux only; elsewhere the program starts without a leash.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
KEEP_CAPABILITIES, EVEN_FOR_ACCESS = 1 << 4, 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
PARENT_GONE = 3


def main() -> None:
    parent, signal, uid, gid, capabilities = map(int, sys.argv[1:6])
    program = sys.argv[6:]
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid >= 0:
        # access(2), by which initdb looks for its sibling, heeds capabilities only if told so; not every root may.
        if libc and capabilities and libc.prctl(PR_SET_SECUREBITS, KEEP_CAPABILITIES | EVEN_FOR_ACCESS, 0, 0, 0) < 0:
            call(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if libc and capabilities:
            keep(libc, capabilities)
    if libc:
        call(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0))  # After the change of user, which clears it.
        if os.getppid() != parent:
            sys.exit(PARENT_GONE)
    os.execv(program[0], program)  # noqa: S606  # No shell is wanted.


def keep(libc: ctypes.CDLL, capabilities: int) -> None:
    """Makes them inheritable by a program that knows nothing of them: in every set, the ambient one too."""
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    call(libc.capset(header, data))
    for bit in range(64):
        if capabilities >> bit & 1:
            call(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0))


def call(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


main()
