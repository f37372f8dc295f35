# SPDX-License-Identifier: Apache-2.0
"""What a hostile command tries, one function each; run within a sandbox with a JSON object of targets as argument. Prints for each
whether it got through. Nothing here does harm where it does: files of the system are opened, not written to."""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys

T = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
PID = T["pid"]
INHERITED = [f for f in os.listdir("/proc/self/fd") if int(f) > 2 and os.path.exists(f"/proc/self/fd/{f}")]


def call(number, *args):
    """A system call; raises if it fails."""
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    r = libc.syscall(ctypes.c_long(number), *args)
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def read(path):
    with open(path, "rb") as f:
        return f.read(65536)


def opens(path, flags=os.O_WRONLY):
    os.close(os.open(path, flags))
    return True


def fails_with(wanted, do):
    """Whether it fails in another way than the filter does."""
    try:
        do()
    except OSError as e:
        return e.errno not in wanted
    return True


def secret(path):
    return b"SECRET" in read(path)


def via_link():
    os.symlink(T["outside"], "l1")
    return secret("l1")


def via_folder_link():
    os.symlink(os.path.dirname(T["outside"]), "l2")
    return secret("l2/" + os.path.basename(T["outside"]))


def hard_link():
    os.link(T["outside"], "h1")
    return secret("h1")


def link_of_read_only():
    os.link(T["ro"], "h2")
    return opens("h2")


def reopen_writable():
    fd = os.open(T["ro"], os.O_RDONLY)
    return opens(f"/proc/self/fd/{fd}")


def fchmod_read_only():
    os.fchmod(os.open(T["ro"], os.O_RDONLY), 0o777)
    return True


def chmod_by_link():
    os.symlink(T["ro"], "l3")
    os.chmod("l3", 0o777)
    return True


def futimens_read_only():
    os.utime(os.open(T["ro"], os.O_RDONLY), (1, 1))
    return True


def chown_read_only():
    """To whom it belongs already; it is changed by that all the same."""
    before = os.stat(T["ro"]).st_ctime_ns
    os.chown(T["ro"], os.getuid(), os.getgid())
    return os.stat(T["ro"]).st_ctime_ns != before


def map_shared():
    import mmap
    fd = os.open(T["ro"], os.O_RDONLY)
    mmap.mmap(fd, 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    return True


def replace_protected():
    open("new", "w").write("new")
    os.rename("new", T["protected"])
    return True


def replace_parent():
    parent = os.path.dirname(T["protected"])
    os.rename(parent, parent + ".away")
    os.mkdir(parent)
    open(T["protected"], "w").write("new")
    return True


def done(do, *args):
    do(*args)
    return True


def unshare(flag):
    return done(call, 272, flag)


def clone(flag):
    pid = call(56, flag | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return True


def clone3():
    args = ctypes.create_string_buffer(struct.pack("<8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)
    pid = call(435, args, 64)
    if pid == 0:
        os._exit(0)
    return True


def mounts(kind, where):
    """Of a kind that is not there, which the kernel says only to whom it would let mount."""
    if libc.mount(b"none", where.encode(), kind.encode(), 0, None) != 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        raise OSError(ctypes.get_errno(), "mount")
    return True


def makes(folder):
    """A file without a name."""
    os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600))
    return True


def setns(what):
    return done(call, 308, os.open(f"/proc/{PID}/ns/{what}", os.O_RDONLY), 0)


def ptrace_attach():
    return done(call, 101, 0x4206, PID, 0, 0)  # PTRACE_SEIZE


def ptrace_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return done(call, 101, 0x4206, pid, 0, 0)
    finally:
        os.kill(pid, 9)


def vm_read():
    buffer = ctypes.create_string_buffer(16)
    iov = struct.pack("<QQ", ctypes.addressof(buffer), 16)
    remote = struct.pack("<QQ", 0x400000, 16)
    return fails_with((errno.EPERM, errno.ESRCH, errno.ENOSYS), lambda: call(310, PID, iov, 1, remote, 1, 0))


def any_environ():
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                if b"CANARY=" in read(f"/proc/{p}/environ") and int(p) != os.getpid():
                    return True
            except OSError:
                pass
    return b"CANARY" in read("/proc/self/environ")


def pidfd_steal():
    return done(call, 438, call(434, PID, 0), 0, 0)


def pidfd_signal():
    return done(call, 424, call(434, PID, 0), 0, 0, 0)


def connects(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(3)
        s.connect(address)
    return True


def sends(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(b"hello", address)
    return True


def pair_sends():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b"hello", T["dgram"])
    return True


def sockets(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()
    return True


def http():
    return connects(socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80))


def resolves():
    return bool(socket.getaddrinfo("example.com", 80))


def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    return True


def descriptors():
    return INHERITED != []


def shm():
    libc.shmat.restype = ctypes.c_long
    return libc.shmat(T["shm"], None, 0) != -1


def makes_setuid():
    """Whether a program with the mark of another user would be run as that one."""
    return "NoNewPrivs:\t1" not in open("/proc/self/status").read()


def has_capabilities():
    return any(line.split()[1].strip("0") for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff", "CapBnd")) and
               (os.getuid() == 0 or not line.startswith("CapBnd")))


def steals_input():
    return fails_with((errno.EPERM,), lambda: fcntl.ioctl(0, 0x5412, b"x"))  # TIOCSTI


def steals_console():
    return fails_with((errno.EPERM,), lambda: fcntl.ioctl(0, 0x541C, b"\x03"))  # TIOCLINUX


def listener_of_own():
    prog = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000), 8)
    fprog = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(prog)), 16)
    return done(call, 317, 1, 8, fprog)


def handle():
    handle_ = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + b"\0" * 128, 136)
    mount = ctypes.c_int()
    return fails_with((errno.EPERM, errno.ENOSYS), lambda: call(303, -100, T["ro"].encode(), handle_, ctypes.byref(mount), 0))


def lowers_nice():
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True


def reads_key():
    return fails_with((errno.EPERM, errno.ENOSYS), lambda: call(250, 0, -3, 0, 0, 0))


from sandbox_probes_rights import *  # its file lies beside this one; needs what is above

PROBES = {
    # reading
    "read_outside": lambda: secret(T["outside"]),
    "read_by_link": via_link,
    "read_by_folder_link": via_folder_link,
    "read_by_proc_root": lambda: secret("/proc/self/root" + T["outside"]),
    "read_by_proc_of_host": lambda: secret(f"/proc/{PID}/root" + T["outside"]),
    "read_by_proc_one": lambda: secret("/proc/1/root" + T["outside"]),
    "read_by_dots": lambda: secret("../../" * 9 + T["outside"][1:]),
    "read_by_hard_link": hard_link,
    "read_hidden": lambda: secret(T["hidden"]),
    "read_in_hidden_folder": lambda: secret(T["hidden_folder"] + "/key"),
    "list_outside": lambda: bool(os.listdir(os.path.dirname(T["outside"]))),
    "list_hidden_folder": lambda: bool(os.listdir(T["hidden_folder"])),
    "read_shadow": lambda: bool(read("/etc/shadow")),
    "read_passwd_of_host": lambda: b"daemon" in read("/etc/passwd"),
    "read_root_home": lambda: bool(os.listdir("/root")),
    "read_host_tmp": lambda: secret(T["tmp"]),
    "read_host_shm": lambda: secret(T["dev_shm"]),
    "read_run": lambda: bool(os.listdir("/run")),
    "read_sys": lambda: bool(os.listdir("/sys")),
    # writing
    "write_outside": lambda: opens(T["outside"]),
    "create_outside": lambda: done(os.mkdir, os.path.dirname(T["outside"]) + "/new"),
    "delete_outside": lambda: done(os.unlink, T["outside_2"]),
    "rename_outside": lambda: done(os.rename, T["outside_3"], "taken"),
    "write_read_only": lambda: opens(T["ro"]),
    "append_read_only": lambda: opens(T["ro"], os.O_WRONLY | os.O_APPEND),
    "open_truncating": lambda: opens(T["ro"], os.O_RDONLY | os.O_TRUNC),
    "truncate_read_only": lambda: done(os.truncate, T["ro"], 0),
    "chmod_read_only": lambda: done(os.chmod, T["ro"], 0o777),
    "fchmod_read_only": fchmod_read_only,
    "chmod_by_link": chmod_by_link,
    "chmod_outside": lambda: done(os.chmod, T["outside"], 0o777),
    "chown_read_only": chown_read_only,
    "times_read_only": lambda: done(os.utime, T["ro"], (1, 1)),
    "times_by_descriptor": futimens_read_only,
    "xattr_read_only": lambda: done(os.setxattr, T["ro"], "user.x", b"1"),
    "xattr_of_outside": lambda: os.getxattr(T["outside"], "user.secret") == b"SECRET",
    "xattrs_of_outside": lambda: done(os.listxattr, T["outside"]),
    "watch_outside": lambda: watches(os.path.dirname(T["outside"])),
    "flags_of_read_only": lambda: flags(T["ro"]),
    "flags_of_protected": lambda: flags(T["protected"]),
    "attributes_of_outside": lambda: attributes(T["outside"]),
    "lease": lease,
    "rename_read_only": lambda: done(os.rename, T["ro_2"], "taken"),
    "delete_read_only": lambda: done(os.unlink, T["ro_2"]),
    "create_in_read_only": lambda: done(os.symlink, "x", os.path.dirname(T["ro"]) + "/new"),
    "link_of_read_only": link_of_read_only,
    "reopen_writable": reopen_writable,
    "map_shared": map_shared,
    "write_protected": lambda: opens(T["protected"]),
    "delete_protected": lambda: done(os.unlink, T["protected"]),
    "chmod_protected": lambda: done(os.chmod, T["protected"], 0o777),
    "replace_protected": replace_protected,
    "replace_parent": replace_parent,
    "write_hidden": lambda: opens(T["hidden"]),
    "write_usr": lambda: makes("/usr"),
    "write_etc": lambda: makes("/etc"),
    "device": lambda: done(os.mknod, "dev", 0o600 | 0o020000, os.makedev(1, 1)),
    # kernel settings
    "core_pattern": lambda: opens("/proc/sys/kernel/core_pattern"),
    "sysrq": lambda: opens("/proc/sysrq-trigger"),
    "vm_settings": lambda: opens("/proc/sys/vm/overcommit_memory"),
    "modprobe_path": lambda: opens("/proc/sys/kernel/modprobe"),
    "host_pid_max": lambda: opens("/proc/sys/kernel/pid_max"),
    "uevent_helper": lambda: opens("/sys/kernel/uevent_helper"),
    "kmsg": lambda: opens("/dev/kmsg"),
    "memory_device": lambda: opens("/dev/mem", os.O_RDONLY),
    "kcore": lambda: opens("/proc/kcore", os.O_RDONLY),
    "terminal": lambda: opens("/dev/ptmx", os.O_RDWR),
    # processes
    "signal_host": lambda: done(os.kill, PID, 0),
    "signal_group_of_host": lambda: done(os.killpg, PID, 0),
    "environ_of_host": lambda: b"CANARY" in read(f"/proc/{PID}/environ"),
    "any_environ": any_environ,
    "memory_of_host": lambda: opens(f"/proc/{PID}/mem", os.O_RDONLY),
    "descriptors_of_host": lambda: bool(os.readlink(f"/proc/{PID}/fd/0")),
    "cwd_of_host": lambda: bool(os.listdir(f"/proc/{PID}/cwd/")),
    "ptrace_host": ptrace_attach,
    "ptrace_child": ptrace_child,
    "vm_read_host": vm_read,
    "pidfd_steal": pidfd_steal,
    "pidfd_signal": pidfd_signal,
    "shared_memory": shm,
    "inherited_descriptors": descriptors,
    "input": lambda: bool(os.read(0, 1)),
    "lower_nice": lowers_nice,
    "raise_limit": raise_limit,
    "new_privileges": makes_setuid,
    **{f"setuid_{make.__name__}": (lambda m: lambda: setuid_file(m))(make)
       for make in (by_chmod, by_fchmod, by_open, by_openat2, by_creat, by_mknod, by_fchmodat2, by_a_link, by_a_folder)},
    "limit_of_host": lambda: prlimit(PID),
    "limit_of_the_one_above": lambda: T["tier"] != 2 and prlimit(above()),
    "priority_of_host": lambda: done(os.setpriority, os.PRIO_PROCESS, PID, 19),
    "priority_of_group_of_host": lambda: done(os.setpriority, os.PRIO_PGRP, PID, 19),
    "processors_of_host": lambda: done(os.sched_setaffinity, PID, os.sched_getaffinity(0)),
    "scheduler_of_host": lambda: done(os.sched_setscheduler, PID, os.SCHED_BATCH, os.sched_param(0)),
    "io_priority_of_host": lambda: done(call, 251, 1, PID, 3 << 13),
    "capabilities": has_capabilities,
    # network
    "abstract_socket": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, T["abstract"].replace("@", "\0")),
    "pathname_socket": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, T["socket"]),
    "pathname_datagram": lambda: sends(socket.AF_UNIX, T["dgram"]),
    "pair_to_pathname": pair_sends,
    "host_loopback_tcp": lambda: connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", T["tcp"])),
    "metadata_service": http,
    "resolve_names": resolves,
    "packet_socket": lambda: sockets(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "raw_socket": lambda: sockets(socket.AF_INET, socket.SOCK_RAW, 1),
    "crypto_socket": lambda: sockets(38, socket.SOCK_SEQPACKET),
    "vm_socket": lambda: sockets(40, socket.SOCK_STREAM),
    "audit_socket": lambda: sockets(socket.AF_NETLINK, socket.SOCK_RAW, 9),
    # what no command needs of the kernel
    "unshare_user": lambda: unshare(0x10000000),
    "unshare_mount": lambda: unshare(0x00020000),
    "unshare_net": lambda: unshare(0x40000000),
    "unshare_time": lambda: unshare(0x00000080),
    "clone_user": lambda: clone(0x10000000),
    "clone3_user": clone3,
    "setns_mount": lambda: setns("mnt"),
    "setns_net": lambda: setns("net"),
    "mount": lambda: mounts("none-such", "."),
    "mount_on_proc": lambda: mounts("none-such", "/proc"),
    "new_mount_api": lambda: done(call, 430, b"tmpfs", 0),
    "unmount_proc": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(166, b"/proc", 0xFF00)),
    "chroot": lambda: done(os.chroot, "."),
    "io_uring": lambda: done(call, 425, 1, ctypes.create_string_buffer(120)),
    "bpf": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(321, 0, ctypes.create_string_buffer(64), 64)),
    "perf": lambda: fails_with((errno.EPERM, errno.EACCES, errno.ENOSYS), lambda: call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)),
    "keyctl": reads_key,
    "add_key": lambda: done(call, 248, b"user", b"conclave-probe", b"x", 1, -3),
    "userfaultfd": lambda: done(call, 323, 1),
    "tiocsti": steals_input,
    "tioclinux": steals_console,
    "file_handle": handle,
    "fanotify": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(300, 0x200, 0)),
    "seccomp_listener": listener_of_own,
    "load_module": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(175, 0, 0, b"")),
    "swap": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(167, b"/nonexistent", 0)),
    "reboot": lambda: fails_with((errno.EPERM, errno.ENOSYS), lambda: call(169, 0, 0, 0, 0)),
}


def attempt(do):
    """In a process of its own: what one changes must not help the next."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = "open" if do() else "held"
        except BaseException as e:
            said = f"held {type(e).__name__} {e}"
        os.write(into, said.encode()[:200])
        os._exit(0)
    os.close(into)
    said = os.read(out, 200).decode()
    os.close(out)
    os.waitpid(pid, 0)
    return said or "held (killed)"


only = sys.argv[2:]
print(json.dumps({name: attempt(do) for name, do in PROBES.items() if not only or name in only}))
# What only the other side can see: whether a datagram came.
if not only:
    try:
        sends(socket.AF_INET, ("127.0.0.1", T["udp"]))
    except OSError:
        pass
