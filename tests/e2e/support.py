# SPDX-License-Identifier: Apache-2.0
"""Runs the real binary in a home of its own. Waits are bounded and wait for something: a line, an event, an exit."""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "dev").resolve()
BIN = BUILD / "conclave"


def need_binary():
    if not BIN.exists():
        print(f"skipped: {BIN} is not built")
        sys.exit(77)


def need_sandbox():
    """Ends a test, as skipped, where commands and tool servers of agents cannot be confined."""
    need_binary()
    if not (BUILD / "conclave-sandbox").exists():
        print("skipped: conclave-sandbox is not built")
        sys.exit(77)
    probe = subprocess.run([str(BIN), "sandbox"], capture_output=True, text=True)
    if probe.returncode != 0:
        print("skipped: commands cannot be confined on this machine: " + (probe.stdout.splitlines() or ["no answer"])[0])
        sys.exit(77)


def verify_stores(folder, env=None):
    """Every task of every store below `folder` is played again by this build: no decision and no prompt may differ. One process a store."""
    for store in folder.rglob("tasks.db"):
        r = subprocess.run([str(BIN), "replay", "all", "--verify"], cwd=folder, capture_output=True, text=True, timeout=300,
                           stdin=subprocess.DEVNULL, env={**(env or os.environ), "CONCLAVE_HOME": str(store.parent), "NO_COLOR": "1"})
        if r.returncode != 0:
            raise AssertionError(f"replay all --verify: {r.returncode}\n{r.stdout}{r.stderr}")


class Home:
    """A $CONCLAVE_HOME that goes away, once what is stored in it is verified. `damaged`: why that would say nothing about the product,
    of a test that alters its store, or whose store is of another version."""

    damaged = ""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="conclave-e2e-"))
        self.env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        self.env.update(CONCLAVE_HOME=str(self.path / "home"), NO_COLOR="1", HOME=str(self.path))
        (self.path / "home").mkdir(mode=0o700)

    def __enter__(self):
        return self

    def __exit__(self, problem=None, *_):
        try:
            if problem is None and not self.damaged:
                verify_stores(self.path, self.env)
        finally:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name, text):
        p = self.path / name
        p.write_text(text if isinstance(text, str) else json.dumps(text))
        return str(p)

    def run(self, *args, timeout=60, stdin=None, env=None, cwd=None, **kw):
        """`stdin`: text that is piped in, or a file; without it there is nothing to read, whatever the caller's input is."""
        given = {"input": stdin} if isinstance(stdin, str) else {"stdin": subprocess.DEVNULL if stdin is None else stdin}
        return subprocess.run([str(BIN), *args], cwd=cwd or self.path, env={**self.env, **(env or {})}, capture_output=True, text=True,
                              timeout=timeout, **given, **kw)

    def start(self, *args, **kw):
        return subprocess.Popen([str(BIN), *args], cwd=self.path, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, **kw)


def agent(name, steps, **more):
    return {"id": name, "backend": {"type": "scripted", "steps": steps}, **more}


def calm_team(n, delay=lambda i: 0, chunk=None):
    """n scripted agents of which nobody improves: everybody votes for agent1."""
    team = []
    for i in range(n):
        first = {"answer": f"answer of member {i}", "first_delay_ms": delay(i)}
        if chunk:
            first.update(chunk)
        team.append(agent(f"member{i}", [first,
                                         {"vote": "agent1", "reason": "fine", "first_delay_ms": delay(i)},
                                         {"text": "the final answer", "optional": True}]))
    return {"agents": team}


def events_of(text):
    return [json.loads(line) for line in text.split("\n") if line.strip()]  # what splitlines() splits at may stand in a string


def question_of(text):
    """The question as the session begins with it."""
    return next(e["text"] for e in events_of(text) if e["type"] == "session_start")


def model_calls(events):
    return sum(1 for e in events if e["type"] == "call_started" and e.get("target") == "model")


class Lines:
    """Reads a pipe line by line with a deadline."""

    def __init__(self, pipe):
        self.pipe, self.buffer, self.seen = pipe, b"", []
        os.set_blocking(pipe.fileno(), False)

    def next(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
                raise TimeoutError(f"no line in time; so far {self.seen[-3:]}")
            data = self.pipe.read(65536)
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.seen.append(line.decode(errors="replace"))
        return self.seen[-1]

    def until(self, what, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            line = self.next(deadline)
            if line is None:
                raise EOFError(f"the stream ended before {what!r}")
            if what(line) if callable(what) else what in line:
                return line


def children_of(pid):
    out = []
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                if int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    out.append(int(p.name))
            except (OSError, IndexError, ValueError):
                pass
    return out


__all__ = ["BIN", "BUILD", "ROOT", "Home", "Lines", "agent", "calm_team", "children_of", "events_of", "json", "model_calls", "need_binary", "need_sandbox",
           "os", "pathlib", "question_of", "signal", "subprocess", "sys", "time", "verify_stores"]
