# SPDX-License-Identifier: Apache-2.0
"""A part of sandbox_probes.py: limits and priorities of others, what needs no right to write, programs with the rights of their owner."""

import ctypes
import fcntl
import os
import resource
import struct

from __main__ import T, call, done, read


def prlimit(pid):
    """Of another process; the same limit that it has, so that nothing changes."""
    old = ctypes.create_string_buffer(16)
    call(302, pid, resource.RLIMIT_CORE, 0, old)
    return done(call, 302, pid, resource.RLIMIT_CORE, old, 0)


def above():
    """The process above the shell: its end would be nobody's to see."""
    pid = os.getppid()
    while b"conclave" not in read(f"/proc/{pid}/comm"):
        pid = int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])
    return pid


def lease():
    return done(fcntl.fcntl, os.open(T["ro"], os.O_RDONLY), 1024, fcntl.F_RDLCK)


def flags(path):
    """Without a change: those it has are set again."""
    fd = os.open(path, os.O_RDONLY)
    now = bytearray(8)
    fcntl.ioctl(fd, 0x80086601, now)
    return done(fcntl.ioctl, fd, 0x40086602, bytes(now))


def attributes(path):
    now = ctypes.create_string_buffer(24)
    call(468, -100, path.encode(), now, 24, 0)
    return done(call, 469, -100, path.encode(), now, 24, 0)


def watches(path):
    return done(call, 254, call(294, 0), path.encode(), 2)


def setuid_file(make):
    """Whether one stays so; whatever way it is made in."""
    name = f"suid-{make.__name__}"
    make(name)
    return bool(os.stat(name).st_mode & 0o6000)


def by_chmod(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o755))
    os.chmod(name, 0o4755)


def by_fchmod(name):
    os.fchmod(os.open(name, os.O_CREAT | os.O_WRONLY, 0o755), 0o2755)


def by_open(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o6755))


def by_openat2(name):
    how = ctypes.create_string_buffer(struct.pack("<QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0), 24)
    call(437, -100, name.encode(), how, 24)


def by_creat(name):
    call(85, name.encode(), 0o4755)


def by_mknod(name):
    os.mknod(name, 0o100000 | 0o4755)


def by_fchmodat2(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o755))
    call(452, -100, name.encode(), 0o4755, 0)


def by_a_link(name):
    fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)
    call(265, -100, f"/proc/self/fd/{fd}".encode(), -100, name.encode(), 0x400)  # linkat, following that link


def by_a_folder(name):
    os.mkdir(name)
    os.chmod(name, 0o2777)
