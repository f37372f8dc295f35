# SPDX-License-Identifier: Apache-2.0
"""An agent that attacks: a scripted model on loopback whose next tool calls a test decides, one after another, with a look at the disk in
between. The run around it is the real binary with the real sandbox, at the tier and as the user that the test names."""

import asyncio
import ctypes
import hashlib
import json
import os
import pathlib
import platform
import queue
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile

from provider import Provider
from support import BIN, BUILD

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PYTHON = "/usr/bin/python3"
FS, WS, CMD = "mcp__filesystem__", "mcp__workspace_tools__", "mcp__command_line__"
FILE_TOOLS = {"read_text_file", "read_file", "read_multiple_files", "write_file", "edit_file", "create_directory", "list_directory",
              "list_directory_with_sizes", "directory_tree", "move_file", "search_files", "get_file_info", "list_allowed_directories"}
COMMAND_TOOLS = {"execute_command", "execute_command_background", "read_output", "kill"}
CANARY = "canary-4711-"  # stands in every file and variable that no agent may learn
CODE = re.compile(r"E_[A-Z]+(?:_[A-Z]+)*")


class Skip(Exception):
    """What the platform lacks."""


class Deviation(Exception):
    """What is known not to hold yet, and why."""


def no_namespaces(argv):
    """Runs argv where no user namespace can be made: a filter of system calls refuses. So the sandbox is left with its weaker tier."""
    numbers = {"x86_64": (0xC000003E, 56, 435, 272), "aarch64": (0xC00000B7, 220, 435, 97)}.get(platform.machine())
    if numbers is None:
        raise SystemExit(f"no numbers of system calls for {platform.machine()}")
    arch, clone, clone3, unshare = numbers
    new_user, allow, refuse, absent = 0x10000000, 0x7FFF0000, 0x00050001, 0x00050026
    program = [(0x20, 0, 0, 4), (0x15, 0, 7, arch), (0x20, 0, 0, 0), (0x15, 6, 0, clone3), (0x15, 1, 0, clone), (0x15, 0, 3, unshare),
               (0x20, 0, 0, 16), (0x45, 0, 1, new_user), (0x06, 0, 0, refuse), (0x06, 0, 0, allow), (0x06, 0, 0, absent)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:  # root needs no promise for it, and a promise would hide whether the sandbox makes it
        libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, filters, 0, 0) != 0:
        raise SystemExit(f"the filter cannot be set: {os.strerror(ctypes.get_errno())}")
    os.execvp(argv[0], argv)


def tree(folder):
    """Path -> (mode, size or where it leads, hash, time of change) of everything below."""
    out = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            p = os.path.join(base, name)
            s = os.lstat(p)
            what = os.readlink(p) if stat.S_ISLNK(s.st_mode) else ""
            if stat.S_ISREG(s.st_mode):
                what = hashlib.sha256(pathlib.Path(p).read_bytes()).hexdigest()
            out[os.path.relpath(p, folder)] = (s.st_mode, s.st_uid, what, s.st_mtime_ns, 0 if stat.S_ISDIR(s.st_mode) else s.st_nlink)
    return out


class Agent:
    """A model whose replies a test decides."""

    def __init__(self, name):
        self.name, self.asked, self.orders, self.request, self.rig = name, queue.Queue(), None, None, None

    def wait(self, seconds=60):
        """Waits for the next request: what came of the reply before."""
        for _ in range(seconds * 5):
            try:
                self.request = self.asked.get(timeout=0.2)
                return self.request
            except queue.Empty:
                if self.rig.process.poll() is not None:
                    raise EOFError(f"conclave ended: {self.rig.process.returncode}: {self.rig.said()}") from None
        raise TimeoutError(f"no request of {self.name}: {self.rig.said()}")

    def say(self, text="", calls=()):
        self.loop.call_soon_threadsafe(self.orders.put_nowait, (text, list(calls)))

    def tools(self):
        return [t["function"]["name"] for t in self.request.get("tools", [])]

    def calls(self, *calls):
        """Makes tool calls in one reply; returns the text of each result."""
        self.say("", [(public(name), arguments) for name, arguments in calls])
        messages = self.wait()["messages"]
        last = max((i for i, m in enumerate(messages) if m.get("tool_calls")), default=0)  # a new run shows none
        asked = [t["id"] for t in messages[last].get("tool_calls", [])]
        if len(asked) != len(calls):
            raise EOFError(f"another run began: {self.rig.said()}")
        told = {m["tool_call_id"]: m["content"] for m in messages[last:] if m["role"] == "tool"}
        told = [told[a] for a in asked]
        return [t if isinstance(t, str) else "".join(p.get("text", "") for p in t) for t in told]

    def call(self, tool, raw=None, **arguments):
        return self.calls((tool, raw if raw is not None else arguments))[0]

    def answer(self, text):
        self.say("", [("new_answer", {"content": text})])

    def vote(self):
        self.say("", [("vote", {"agent_id": "agent1", "reason": "fine"})])


def public(name):
    return FS + name if name in FILE_TOOLS else CMD + name if name in COMMAND_TOOLS else name if name.startswith("=") else \
        name if "__" in name or name in ("vote", "new_answer") else WS + name


def stream(text, calls):
    """A reply as of a chat completion; arguments that are text go out as they stand."""
    yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}
    for i, (name, a) in enumerate(calls):
        yield {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": i, "id": f"c{i}", "type": "function", "function": {
            "name": name.lstrip("="), "arguments": a if isinstance(a, str) else json.dumps(a)}}]}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}


class Rig:
    """A run of a team of such agents, and folders around it that they must not get at. Below /var/tmp: a /tmp of a sandbox's own must not
    be what hides them."""

    def __init__(self, tier, user, who, names=("ann", "bob", "cat")):
        self.tier, self.user, self.who = tier, user, who
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="conclave-attack-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.agents = {n: Agent(n) for n in names}
        self.process = None
        for name in ("bin", "home"):
            (self.base / name).mkdir(mode=0o700)
        for binary in (BIN, BUILD / "conclave-sandbox"):
            try:
                os.link(binary, self.base / "bin" / binary.name)
            except OSError:
                shutil.copy(binary, self.base / "bin" / binary.name)
        (self.base / "bin").chmod(0o755)
        # Programs of the system alone: what lies in a home is not granted.
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": str(self.base), "NO_COLOR": "1",
                    "CONCLAVE_HOME": str(self.base / "home"), "TEST_KEY": "sk-of-a-test", "OF_THE_HOST": CANARY + "variable"}
        self.provider = Provider(self.behave)
        for a in self.agents.values():
            a.rig, a.loop = self, self.provider.loop
            a.orders = asyncio.run_coroutine_threadsafe(self.queue(), self.provider.loop).result(10)

    @staticmethod
    async def queue():
        return asyncio.Queue()

    async def behave(self, provider, request, reply):
        agent = self.agents[request["model"]]
        agent.asked.put(request)
        text, calls = await agent.orders.get()
        await reply.head()
        for e in stream(text, calls):
            await reply.chunk(f"data: {json.dumps(e)}\n\n".encode(errors="surrogateescape"))
        await reply.chunk(b"data: [DONE]\n\n")
        await reply.end()

    def write(self, files):
        """Path below the base -> text; a path that ends in '/' is a folder."""
        for name, text in files.items():
            p = self.base / name
            (p if name.endswith("/") else p.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                p.write_text(text)

    def own(self, *paths):
        """Everything belongs to whom the run is of."""
        if not self.who:
            return
        for top in paths or (self.base,):
            os.chown(top, 65534, 65534, follow_symlinks=False)
            for base, folders, files in os.walk(top):
                for name in [*folders, *files]:
                    p = os.path.join(base, name)
                    if not (os.path.dirname(p) == str(self.base / "bin")):
                        os.chown(p, 65534, 65534, follow_symlinks=False)

    def argv(self, *args):
        inner = [*self.who, str(self.base / "bin" / "conclave"), *args]
        return inner if self.tier == 2 else [sys.executable, os.path.abspath(__file__), *inner]

    def run(self, *args, timeout=120, **kw):
        return subprocess.run(self.argv(*args), cwd=self.base, env=self.env, capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, **kw)

    def backend(self, name, **more):
        return {"type": "chatcompletion", "model": name, "api_key": "${TEST_KEY}", "base_url": self.provider.url + "/v1", "cwd": name,
                "enable_mcp_command_line": True, "max_tool_iterations": 1000, **more}

    def start(self, config, *args):
        path = self.base / "team.json"
        path.write_text(json.dumps(config))
        with open(self.base / "stdout.txt", "w") as out, open(self.base / "stderr.txt", "w") as err:
            self.process = subprocess.Popen(self.argv("--config", str(path), *args, "make it"), cwd=self.base, env=self.env, stdout=out,
                                            stderr=err, stdin=subprocess.DEVNULL)

    def said(self):
        """What it printed; for messages of faults."""
        return "".join((self.base / n).read_text(errors="replace") for n in ("stdout.txt", "stderr.txt"))[-2000:]

    def workspaces(self):
        return [pathlib.Path(p) for p in self.base.glob("home/work/*/*/work")]

    def workspace_of(self, agent):
        """Where this agent works: found by what it writes there."""
        mark = f"here-{agent.name}"
        agent.call("write_file", path=mark, content=mark)
        return next(w for w in self.workspaces() if (w / mark).exists())

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait(30)
        if self.provider:
            self.provider.stop()
        self.provider = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        subprocess.run(["chmod", "-R", "u+rwX", str(self.base)], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)


def tiers_of(who, tier):
    """"" if this tier holds here for this user, else why not: as the product tells, with and without user namespaces."""
    name = {2: "namespaces", 1: "landlock"}[tier]
    inner = [*who, str(BIN), "sandbox", "--json"]
    argv = inner if tier == 2 else [sys.executable, os.path.abspath(__file__), *inner]
    r = subprocess.run(argv, capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL)
    try:
        told = json.loads(r.stdout)
    except ValueError:
        return (r.stderr or r.stdout)[-200:] or "no answer"
    if told["tier"] == name:
        return ""
    return next((t["why"] for t in told["tiers"] if t["tier"] == name), "") or f"it is {told['tier']} that is used"


if __name__ == "__main__":
    no_namespaces(sys.argv[1:])
