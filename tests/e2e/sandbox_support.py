# SPDX-License-Identifier: Apache-2.0
"""A place for sandboxes: folders that are granted or not, a process of the host to get at, and the runner (tests/sandbox)."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from support import BUILD

RUNNER = BUILD / "tests" / "sandbox_runner"
LAUNCHER = BUILD / "conclave-sandbox"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PYTHON = "/usr/bin/python3"

# A process of the same user as the commands: with a secret in its environment, and listening wherever one can.
HOST = r'''
import ctypes, json, os, socket, sys
base = sys.argv[1]
def listening(family, kind, address):
    s = socket.socket(family, kind)
    s.bind(address)
    if kind == socket.SOCK_STREAM:
        s.listen(8)
    s.setblocking(False)
    return s
os.setpgid(0, 0)
abstract = f"conclave-probe-{os.getpid()}"
s = {"abstract": listening(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract),
     "socket": listening(socket.AF_UNIX, socket.SOCK_STREAM, base + "/outside/socket"),
     "dgram": listening(socket.AF_UNIX, socket.SOCK_DGRAM, base + "/outside/dgram"),
     "tcp": listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
     "udp": listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))}
libc = ctypes.CDLL(None)
shm = libc.shmget(0, 4096, 0o1600)
print(json.dumps({"pid": os.getpid(), "abstract": "@" + abstract, "socket": base + "/outside/socket", "dgram": base + "/outside/dgram",
                  "tcp": s["tcp"].getsockname()[1], "udp": s["udp"].getsockname()[1], "shm": shm}), flush=True)
sys.stdin.read()
came = []
for name, one in s.items():
    try:
        one.accept() if one.type == socket.SOCK_STREAM else one.recv(10)
        came.append(name)
    except BlockingIOError:
        pass
libc.shmctl(shm, 0, None)
print(json.dumps(came), flush=True)
'''


def need_sandbox():
    if not BUILD.is_dir():
        print(f"skipped: {BUILD} is not built")
        sys.exit(77)
    if not RUNNER.exists() or not LAUNCHER.exists():
        print(f"skipped: {RUNNER} or {LAUNCHER} is not built")
        sys.exit(77)


def users():
    """Whom the tests run as: a root also as nobody."""
    return {"root": [], "nobody": NOBODY} if os.geteuid() == 0 and shutil.which("setpriv") else {"user": []}


class Place:
    """Folders below /var/tmp (a /tmp of its own must not be what hides them), all of one user."""

    def __init__(self, who):
        self.who = who
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="conclave-sandbox-", dir="/var/tmp"))
        self.bin = self.base / "bin"
        for name in ("bin", "outside", "read", "work", "work/open", "work/sub", "work/keys", "read/deep", "read/deep/keys", "home", "tmp"):
            (self.base / name).mkdir()
        for binary in (RUNNER, LAUNCHER):
            shutil.copy(binary, self.bin / binary.name)
        for name in ("outside/secret", "outside/second", "outside/third", "read/file", "read/second", "work/sub/protected", "work/.env",
                     "work/keys/key", "read/.env", "read/deep/keys/key"):
            (self.base / name).write_text("SECRET")
        self.tmp_file, self.shm_file = pathlib.Path(f"/tmp/{self.base.name}"), pathlib.Path(f"/dev/shm/{self.base.name}")
        for extra in (self.tmp_file, self.shm_file):
            extra.write_text("SECRET")
        for name in ("outside/secret", "read/file"):
            try:
                os.setxattr(self.base / name, "user.secret", b"SECRET")
            except OSError:
                pass  # a file system without them
        if who:
            for root, folders, files in os.walk(self.base):
                for name in [root] + [os.path.join(root, f) for f in files]:
                    os.chown(name, 65534, 65534)
            for extra in (self.tmp_file, self.shm_file):
                os.chown(extra, 65534, 65534)
        self.env = {"PATH": "/usr/bin:/bin", "CANARY": "1", "LANG": "C.UTF-8"}
        self.host = subprocess.Popen([*who, PYTHON, "-c", HOST, str(self.base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env=self.env, cwd="/")
        self.targets = json.loads(self.host.stdout.readline())
        self.targets.update(outside=f"{self.base}/outside/secret", outside_2=f"{self.base}/outside/second",
                            outside_3=f"{self.base}/outside/third", ro=f"{self.base}/read/file", ro_2=f"{self.base}/read/second",
                            protected=f"{self.base}/work/sub/protected", hidden=f"{self.base}/work/.env",
                            hidden_folder=f"{self.base}/work/keys", tmp=str(self.tmp_file), dev_shm=str(self.shm_file))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.host.poll() is None:
            self.end_host()
        for extra in (self.tmp_file, self.shm_file):
            extra.unlink(missing_ok=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def end_host(self):
        """Ends the process of the host; returns which of its sockets was reached."""
        out, _ = self.host.communicate(timeout=20)
        return json.loads(out)

    def options(self, tier, **more):
        b = self.base
        hidden = [x for name in ("work/.env", "work/keys", "read/.env") for x in ("--hidden", f"{b}/{name}")]
        out = [str(tier), "--work", f"{b}/work/open", "--readable", f"{b}/read", "--writable", f"{b}/work", "--protected",
               f"{b}/work/sub/protected", *hidden, "--home", f"{b}/home", "--tmp", f"{b}/tmp", "--env", "PATH=/usr/bin:/bin", "--env",
               f"HOME={b}/home", "--env", "LANG=C.UTF-8", "--env", f"TMPDIR={'/tmp' if tier == 2 else str(b) + '/tmp'}"]
        for name, value in more.items():
            out += [f"--{name}"] + ([] if value is True else [str(value)])
        return out

    def start(self, tier, *commands, **more):
        """`readable`: another such path."""
        return subprocess.Popen([*self.who, str(self.bin / "sandbox_runner"), *self.options(tier, **more), "--", *commands],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, cwd="/")

    def run(self, tier, *commands, limit=120, **more):
        """Runs commands one after another; returns how each ended."""
        r = self.start(tier, *commands, **more)
        out, err = r.communicate(timeout=limit)
        if r.returncode != 0:
            raise AssertionError(f"sandbox_runner: {r.returncode}\n{out}{err}")
        return [json.loads(line) for line in out.splitlines()]


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def processes_with(mark):
    """All that live and have this text in their command line, but the runner, which is told what to run."""
    out = []
    for p in os.listdir("/proc"):
        if p.isdigit() and alive(p):
            try:
                line = pathlib.Path(f"/proc/{p}/cmdline").read_bytes()
                if mark.encode() in line and b"sandbox_runner" not in line:
                    out.append(int(p))
            except OSError:
                pass
    return out


def comes(what, seconds=20, pause=0.02):
    end = time.monotonic() + seconds
    while not (value := what()) and time.monotonic() < end:
        time.sleep(pause)
    return value
