# SPDX-License-Identifier: Apache-2.0
"""What programs do with sockets of their own, one function each; run within a sandbox. Prints for each whether it works."""

import ctypes
import errno
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time


def echo(family, address, n=1):
    s = socket.socket(family)
    s.bind(address)
    s.listen(8)
    def serve():
        for _ in range(n):
            c, _ = s.accept()
            c.sendall(c.recv(100).upper())
            c.close()
    threading.Thread(target=serve, daemon=True).start()
    return s


def ask(family, address, timeout=None):
    with socket.socket(family) as c:
        c.settimeout(timeout)
        c.connect(address)
        c.sendall(b"hello")
        return c.recv(100) == b"HELLO"


def unix(folder):
    path = tempfile.mkdtemp(dir=os.path.abspath(folder)) + "/a"
    with echo(socket.AF_UNIX, path, 6):
        os.chdir(os.path.dirname(path))
        here = os.open(".", os.O_PATH)
        return all(ask(socket.AF_UNIX, name, wait) for name, wait in (
            (path, None), ("a", 5), ("./a", None), (f"/dev/fd/{here}/a", 5), (f"/proc/self/fd/{here}/a", None), ("/proc/self/cwd/a", 5)))


def abstract():
    with echo(socket.AF_UNIX, "\0mine"):
        return ask(socket.AF_UNIX, "\0mine")


def manager():
    with multiprocessing.Manager() as m:
        d = m.dict(a=1)
        pool = [multiprocessing.Process(target=d.update, args=({i: i},)) for i in range(4)]
        [p.start() for p in pool]
        [p.join() for p in pool]
        return len(d) == 5


def tcp(family, host):
    with echo(family, (host, 0), 2) as s:
        return ask(family, s.getsockname()[:2]) and ask(family, s.getsockname()[:2], 5)


def from_threads():
    with echo(socket.AF_UNIX, "/tmp/threads", 8):
        said = []
        all = [threading.Thread(target=lambda: said.append(ask(socket.AF_UNIX, "/tmp/threads"))) for _ in range(8)]
        [t.start() for t in all]
        [t.join() for t in all]
        return said == [True] * 8


def is_error(wanted, family, address, timeout=None):
    try:
        with socket.socket(family) as c:
            c.settimeout(timeout)
            c.connect(address)
    except OSError as e:
        return e.errno == wanted or errno.errorcode[e.errno]
    return "open"


def refused():
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("/tmp/deaf")
    open("/tmp/plain", "w").close()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    said = [is_error(errno.ECONNREFUSED, socket.AF_UNIX, p, t) for p in ("/tmp/deaf", "/tmp/plain") for t in (None, 3)]
    said += [is_error(errno.ECONNREFUSED, socket.AF_INET, ("127.0.0.1", port), t) for t in (None, 3)]
    said += [is_error(errno.ENOENT, socket.AF_UNIX, "/tmp/none"), is_error(errno.ENOTDIR, socket.AF_UNIX, "/tmp/plain/x")]
    said += [is_error(errno.ECONNREFUSED, socket.AF_UNIX, "\0nobody")]
    with echo(socket.AF_UNIX, "/tmp/twice", 2):
        c = socket.socket(socket.AF_UNIX)
        c.connect("/tmp/twice")
        try:
            c.connect("/tmp/twice")
        except OSError as e:
            said.append(e.errno == errno.EISCONN)
    libc = ctypes.CDLL(None, use_errno=True)
    for fd, size, wanted in ((99, 16, errno.EBADF), (0, 16, errno.ENOTSOCK), (c.fileno(), 129, errno.EINVAL), (c.fileno(), -1, errno.EINVAL)):
        ctypes.set_errno(0)
        said.append(libc.connect(fd, b"\1\0/tmp/twice" + bytes(200), size) == -1 and ctypes.get_errno() == wanted or ctypes.get_errno())
    libc.connect(c.fileno(), ctypes.c_void_p(8), 16)
    said.append(ctypes.get_errno() == errno.EFAULT)
    return set(said) == {True} or said


def in_progress():
    with socket.socket() as s, socket.socket() as c:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        c.setblocking(False)
        p = select.epoll()
        p.register(c, select.EPOLLOUT)
        e = c.connect_ex(s.getsockname())
        ready = p.poll(5)
        return e == errno.EINPROGRESS and len(ready) == 1 and c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and c.getpeername() == s.getsockname()


def full(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect(path)
    late = socket.socket(socket.AF_UNIX)
    late.setblocking(False)
    return s, first, late.connect_ex(path) == errno.EAGAIN


def waits_alone():
    """One that waits keeps no other call that is handed on."""
    s, first, again = full("/tmp/full")
    c = subprocess.Popen([sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/tmp/full'); print('through', flush=True)"],
                         stdout=subprocess.PIPE)
    time.sleep(0.3)
    begin = time.monotonic()
    open("/tmp/mode", "w").close()
    os.chmod("/tmp/mode", 0o4755)
    subprocess.run(["setsid", "true"], check=True)
    quick = time.monotonic() - begin < 2 and c.poll() is None and tcp(socket.AF_INET, "127.0.0.1")
    s.accept()
    return again and quick and c.communicate(timeout=10)[0] == b"through\n"


def interrupted():
    """As a signal without SA_RESTART ends it, and one with it does not."""
    s, first, _ = full("/tmp/alarm")
    class Woken(Exception):
        pass
    def wake(*_):
        raise Woken
    signal.signal(signal.SIGALRM, wake)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    begin = time.monotonic()
    try:
        socket.socket(socket.AF_UNIX).connect("/tmp/alarm")
        return "open"
    except Woken:
        ended = time.monotonic() - begin < 2
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3) # each begins the call anew, which takes its time on a loaded machine
    timer = threading.Timer(1, s.accept)
    c = socket.socket(socket.AF_UNIX)
    timer.start()
    c.connect("/tmp/alarm")
    signal.setitimer(signal.ITIMER_REAL, 0)
    return ended


def gone():
    """Whoever waits for a caller that was killed ends, too."""
    s, first, _ = full("/tmp/gone")
    def count():
        return sum(1 for p in os.listdir("/proc") if p.isdigit())
    before = count()
    c = subprocess.Popen([sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/tmp/gone')"])
    time.sleep(0.5)
    between = count()
    c.kill()
    c.wait()
    time.sleep(2.5)
    return (between, count()) == (before + 2, before) or (before, between, count())


def shielded():
    """A caller that lets nobody look at it."""
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    with echo(socket.AF_UNIX, "/tmp/shielded", 2):
        os.chdir("/tmp")
        return ask(socket.AF_UNIX, "/tmp/shielded") and ask(socket.AF_UNIX, "shielded")

for name, do in dict(work=lambda: unix("."), tmp=lambda: unix("/tmp"), shm=lambda: unix("/dev/shm"), home=lambda: unix(os.environ["HOME"]),
                     abstract=abstract, manager=manager, tcp=lambda: tcp(socket.AF_INET, "127.0.0.1"), threads=from_threads, refused=refused,
                     in_progress=in_progress, waits_alone=waits_alone, interrupted=interrupted, gone=gone, shielded=shielded).items():
    here = os.getcwd()
    try:
        said = do()
    except Exception as e:
        said = repr(e)
    os.chdir(here)
    print(name, said, flush=True)
