# SPDX-License-Identifier: Apache-2.0
"""Sockets and FIFOs as files at the tier of namespaces: a command reaches those of its sandbox and none of the host's, also where
those are put into granted folders once it is there."""

import os
import pathlib
import shutil
import socket
import sys
import threading
import time
import unittest

from sandbox_support import *

OWN = pathlib.Path(__file__).resolve().parent / "sandbox_sockets.py"

# Prints for each path how connect() and writing to a FIFO end.
KNOCK = r'''
import errno, os, socket, sys
def name(e):
    return errno.errorcode.get(e.errno, str(e))
def knock(path, kind, blocking=True):
    try:
        with socket.socket(socket.AF_UNIX, kind) as s:
            s.settimeout(5) if not blocking else s.setblocking(True)
            s.connect(path)
            s.send(b"from the sandbox")
            return "open"
    except OSError as e:
        return name(e)
def push(path, flags):
    try:
        fd = os.open(path, flags | os.O_NONBLOCK)
        os.write(fd, b"from the sandbox")
        return "open"
    except OSError as e:
        return name(e)
for folder in sys.argv[1:]:
    os.chdir("/")
    said = [knock(f"{folder}/s.sock", socket.SOCK_STREAM), knock(f"{folder}/s.sock", socket.SOCK_STREAM, False),
            knock(f"{folder}/q.sock", socket.SOCK_SEQPACKET)]
    link = f"/tmp/link-{abs(hash(folder))}"
    os.symlink(f"{folder}/s.sock", link)
    said.append(knock(link, socket.SOCK_STREAM))
    fd = os.open(folder, os.O_PATH)
    said.append(knock(f"/proc/self/fd/{fd}/s.sock", socket.SOCK_STREAM))
    said.append(knock(f"/dev/fd/{fd}/s.sock", socket.SOCK_STREAM))
    os.chdir(folder)
    said.append(knock("/proc/self/cwd/s.sock", socket.SOCK_STREAM))
    said.append(knock("s.sock", socket.SOCK_STREAM))
    said.append(knock("./../" + os.path.basename(folder) + "/s.sock", socket.SOCK_STREAM))
    print(folder, *said, "fifo", push(f"{folder}/pipe", os.O_WRONLY), push(f"{folder}/pipe", os.O_RDWR))
'''

DATAGRAMS = r'''
import errno, socket, sys
for make in (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), lambda: socket.socket(socket.AF_UNIX, socket.SOCK_RAW),
             lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK),
             lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM), lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)):
    try:
        make()
        print("open")
    except OSError as e:
        print(errno.errorcode[e.errno])
import syslog
syslog.syslog("goes on")
socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.socketpair()
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))
socket.if_nameindex(), socket.if_nametoindex("lo")
'''

SERVER = r'''
import http.server, os, socket, sys, threading
class Say(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"served")
    def log_message(self, *_):
        pass
threading.Thread(target=http.server.HTTPServer(("127.0.0.1", 8099), Say).serve_forever, daemon=True).start()
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(8)
    def serve(s=s):
        while True:
            s.accept()[0].send(b"served")
    threading.Thread(target=serve, daemon=True).start()
open("up", "w").close()
threading.Event().wait()
'''

ASK = r'''
import socket, sys, urllib.request
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(path)
        print(c.recv(10).decode())
print(urllib.request.urlopen("http://127.0.0.1:8099", timeout=10).read().decode())
'''


def script(place, name, text):
    path = place.base / "read" / name
    path.write_text(text)
    path.chmod(0o644)
    return f"{PYTHON} {path}"


class Host:
    """Listens in folders, and reads a FIFO there."""

    def __init__(self, folders):
        self.came, self.open = [], []
        for folder in folders:
            for name, kind in (("s.sock", socket.SOCK_STREAM), ("q.sock", socket.SOCK_SEQPACKET)):
                s = socket.socket(socket.AF_UNIX, kind)
                s.bind(str(folder / name))
                s.listen(16)
                s.setblocking(False)
                self.open.append((f"{folder.name}/{name}", s))
            os.mkfifo(folder / "pipe")
            self.open.append((f"{folder.name}/pipe", os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)))
            for name in ("s.sock", "q.sock", "pipe"):
                os.chmod(folder / name, 0o777)

    def reached(self):
        out = []
        for name, one in self.open:
            try:
                if isinstance(one, int):
                    out += [name] if os.read(one, 100) else []
                    os.close(one)
                else:
                    one.accept()
                    out.append(name)
            except BlockingIOError:
                pass
            if not isinstance(one, int):
                one.close()
        return out


def for_each_user(test):
    def run(self):
        for user, who in users().items():
            with self.subTest(user=user), Place(who) as place:
                test(self, place)
    return run


class Sockets(unittest.TestCase):
    @for_each_user
    def test_none_of_the_host_that_come_later(self, place):
        knock = script(place, "knock.py", KNOCK)
        shared = place.base / "shared"
        more = [place.base / "given", shared, shared / "deep"]
        for folder in more:
            folder.mkdir()
            folder.chmod(0o777)
        granted = [place.base / "read", place.base / "read/deep", *more]
        go = place.base / "work/open/go"
        r = place.start(2, "touch ready; until test -e go; do sleep 0.05; done",
                        f"{knock} {' '.join(map(str, granted))}", readable=more[0], shared=shared)
        self.assertTrue(comes((place.base / "work/open/ready").exists))
        host = Host(granted)
        go.touch()
        out, err = r.communicate(timeout=120)
        self.assertEqual(r.returncode, 0, out + err)
        end = json.loads(out.splitlines()[1])
        lines = {line.split(" ", 1)[0]: line.split()[1:] for line in end["out"].splitlines()}
        self.assertEqual(len(lines), len(granted), end)
        for folder in granted:
            fifo = ["open", "open"] if folder in more[1:] else ["EACCES", "EACCES"] # what others and we write in
            self.assertEqual(lines[str(folder)], ["EACCES"] * 9 + ["fifo"] + fifo, folder)
        self.assertEqual([name for name in host.reached() if not name.startswith(("shared/pipe", "deep/pipe"))], [])

    @for_each_user
    def test_datagrams_are_refused(self, place):
        for more in ({}, {"network": True}):
            [end] = place.run(2, script(place, "datagrams.py", DATAGRAMS), **more)
            self.assertEqual((end["status"], end["out"].split()), (0, ["EACCES"] * 5), end)

    @for_each_user
    def test_those_of_the_sandbox_are_reached(self, place):
        [end] = place.run(2, script(place, "own.py", OWN.read_text()))
        said = dict(line.split(" ", 1) for line in end["out"].splitlines())
        self.assertEqual(len(said), 14, end)
        self.assertEqual({name: what for name, what in said.items() if what != "True"}, {}, end["err"])

    @for_each_user
    def test_the_next_command_reaches_a_server(self, place):
        b = place.base
        paths = f"/tmp/s {b}/work/open/s {b}/home/s"
        _, end, *_ = place.run(2, f"bg:{script(place, 'server.py', SERVER)} {paths}", "until test -e up; do sleep 0.05; done",
                               f"{script(place, 'ask.py', ASK)} {paths}", "kill:0")
        self.assertEqual((end["status"], end["out"].split()), (0, ["served"] * 4), end)

    @for_each_user
    def test_network_of_the_machine(self, place):
        ask = script(place, "connect.py", "import socket, sys\n"
                     "for t in (None, 5):\n"
                     "  with socket.create_connection(('127.0.0.1', int(sys.argv[1])), t) as c:\n"
                     "    print(c.recv(10).decode())\n"
                     "try:\n"
                     "  with socket.socket(socket.AF_UNIX) as c:\n"
                     "    c.connect(sys.argv[2].replace('@', chr(0)))\n"
                     "    print('open')\n"
                     "except OSError as e:\n"
                     "  print(type(e).__name__)\n")
        with socket.create_server(("127.0.0.1", 0)) as s:
            def serve():
                for _ in range(2):
                    s.accept()[0].send(b"served")
            threading.Thread(target=serve, daemon=True).start()
            [end] = place.run(2, f"{ask} {s.getsockname()[1]} {place.targets['abstract']}", network=True)
        self.assertEqual((end["status"], end["out"].split()), (0, ["served", "served", "PermissionError"]), end)
        self.assertEqual(place.end_host(), [])


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
