"""A network of our own without a way out, in which the kernel counts every attempt to reach an address (Linux)."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h
NOWHERE = ("192.0.2.1", 9)  # reserved for examples (RFC 5737)

# what left through any interface (there is only the loopback), and what had no route; TCP, UDP and names are all in it
COUNTERS = {"snmp": ("Ip:OutRequests", "Ip:OutNoRoutes"), "snmp6": ("Ip6OutRequests", "Ip6OutNoRoutes")}


class NoOwnNetworkError(Exception):
    """This system gives us no network namespace, or one that counts nothing; the text says which."""


def enter_own_network() -> None:
    """Move this process, which must have one thread only, into a network with a loopback and nothing else.

    As root directly, otherwise as root of a new user namespace.

    Raises:
        NoOwnNetworkError: the system refuses, or a deliberate attempt was not counted; no figure beats a false 0.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNET) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            raise NoOwnNetworkError(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    before = num_attempts()
    try_to_leave()
    if num_attempts() <= before:
        raise NoOwnNetworkError("a deliberate attempt to connect was not counted")


def try_to_leave() -> None:
    """One attempt to connect that must fail."""
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.settimeout(0.5)
        sock.connect(NOWHERE)
        raise AssertionError("this network has a way out")


def num_attempts(pid: int | str = "self") -> int:
    """Attempts to send anything anywhere, since it was made, in the network of a process.

    A connection over the loopback counts more than once.
    """
    total = 0
    for file, names in COUNTERS.items():
        path = Path(f"/proc/{pid}/net/{file}")
        if path.exists():  # a kernel without IPv6 has no snmp6
            found = _numbers(path.read_text())
            total += sum(found[name] for name in names)
    return total


def _numbers(text: str) -> dict[str, int]:
    """The values of /proc/net/snmp (a line of names, then one of numbers) or snmp6 (a name and a number a line)."""
    found, names = {}, [""]
    for words in map(str.split, text.splitlines()):
        if not words[0].endswith(":"):
            found[words[0]] = int(words[1])
        elif words[1].lstrip("-").isdigit():
            found |= {words[0] + name: int(number) for name, number in zip(names[1:], words[1:], strict=True)}
        else:
            names = words
    return found
