# SPDX-License-Identifier: Apache-2.0
"""What becomes of tool servers when their process ends, in every way it can: no descendant stays, and what has to save something may.

CONCLAVE_TEARDOWN=N repeats each way N times.
"""

import unittest

from support import *

REPEAT = int(os.environ.get("CONCLAVE_TEARDOWN", "1"))

# A tool server that saves its state 0.3 s after the end of its input and does not die of a signal meanwhile.
SERVER = r'''
import json, os, signal, sys, time
for s in (signal.SIGINT, signal.SIGHUP):
    signal.signal(s, signal.SIG_IGN)
folder = sys.argv[1]
open(f"{folder}/pid", "w").write(str(os.getpid()))
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        r = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    elif m.get("method") == "tools/list":
        r = {"tools": [{"name": "t", "description": "", "inputSchema": {"type": "object"}}]}
        open(f"{folder}/listed", "w").write("yes")
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
time.sleep(0.3)
open(f"{folder}/saved", "w").write("state")
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
'''


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid):
    out = []
    for c in children_of(pid):
        out += [c, *descendants(c)]
    return out


def pipes(pid, numbers=None):
    out = set()
    try:
        for n in numbers or os.listdir(f"/proc/{pid}/fd"):
            out.add(os.readlink(f"/proc/{pid}/fd/{n}"))
    except OSError:
        pass
    return {x for x in out if x.startswith("pipe:")}


def readers_of(pid):
    """The shells that are no children of `pid` and read what it writes."""
    own, near = pipes(pid), {pid, *descendants(pid)}
    everyone = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]
    return [x for x in everyone if x not in near and pipes(x, "0") & own]


def wait_until(what, seconds):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Teardown(unittest.TestCase):
    def team(self, home, folder, wrapped, deaf, node=None, wait=60_000):
        argv = [sys.executable, home.write("server.py", SERVER), str(folder), *(["deaf"] if deaf else [])]
        if wrapped:  # as npx does it: the child is not the server
            argv = ["sh", "-c", 'exec 3<&0; "$@" <&3 3<&- & exec 3<&-; wait', "sh", *argv]
        one = agent("one", [{"answer": "x", "first_delay_ms": wait}, {"vote": "agent1", "optional": True}, {"text": "end", "optional": True}])
        one["backend"]["mcp_servers"] = {"s": {"command": argv[0], "args": argv[1:], "security": {"allowed_executables": [argv[0]]}}}
        if node:
            one["node"] = "n"
        two = agent("two", [{"answer": "y"}, {"vote": "agent1", "optional": True}, {"text": "end", "optional": True}])
        return home.write("team.json", {"agents": [one, two], **({"cluster": {"nodes": {"n": node}}} if node else {})})

    def one(self, way, wrapped, deaf=False):
        with Home() as home:
            folder = home.path / "state"
            folder.mkdir()
            node = address = None
            if way in ("node SIGTERM", "engine lost"):
                node = home.start("node", "--listen", "127.0.0.1:0", "--grace", "0")
                address = Lines(node.stdout).until("listening on").split("listening on ")[1].strip()
            p = home.start("--config", self.team(home, folder, wrapped, deaf, address, 500 if way == "normal" else 60_000), "--json", "q")
            host = node or p
            self.assertTrue(wait_until(lambda: (folder / "listed").exists() or p.poll() is not None, 30) and p.poll() is None,
                            "the server did not start")
            family = descendants(host.pid)
            server = int((folder / "pid").read_text())
            self.assertIn(server, family)
            self.assertTrue(wait_until(lambda: len(readers_of(host.pid)) == 1, 30), "one reaper")  # it may be on its way still
            reapers = readers_of(host.pid)
            if way != "engine lost":  # the node lives on, and so does its reaper
                family += reapers
            end = time.monotonic
            t = end()
            if way == "normal":
                p.communicate(timeout=60)
                t = end()
            elif way == "twice SIGINT":
                p.send_signal(signal.SIGINT)
                time.sleep(0.05)
                p.send_signal(signal.SIGINT)
            elif way in ("SIGINT", "SIGTERM", "SIGKILL"):
                p.send_signal(getattr(signal, way))
            elif way == "node SIGTERM":
                node.terminate()
            else:
                p.kill()
            gone = wait_until(lambda: not any(map(alive, family)), 6.5 - (end() - t))
            self.assertTrue(gone, f"{way}: left behind {[x for x in family if alive(x)]} of {family}, server {server}")
            if way != "SIGKILL" or wrapped:
                self.assertTrue((folder / "saved").exists(), f"{way}: the server could not save its state")
            for q in (p, node):
                if q:
                    q.kill()
                    q.communicate(timeout=10)

    def wrapper_first(self, sig, way, deaf=False):
        """The wrapper is killed, then the engine ends in this way, or goes on."""
        with Home() as home:
            folder = home.path / "state"
            folder.mkdir()
            p = home.start("--config", self.team(home, folder, True, deaf), "--json", "q")
            self.assertTrue(wait_until(lambda: (folder / "listed").exists() or p.poll() is not None, 30) and p.poll() is None,
                            "the server did not start")
            family = descendants(p.pid) + readers_of(p.pid)
            server = int((folder / "pid").read_text())
            wrapper = int(pathlib.Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[1])
            self.assertIn(wrapper, family)
            os.kill(wrapper, sig)
            if way == "goes on":
                self.assertTrue(wait_until(lambda: not alive(server), 6.5), "the server stays")
                self.assertIsNone(p.poll())
                p.terminate()
            else:
                p.send_signal(getattr(signal, way))
            self.assertTrue(wait_until(lambda: not any(map(alive, family)), 6.5), f"left behind {[x for x in family if alive(x)]}")
            self.assertTrue((folder / "saved").exists(), "the server could not save its state")
            p.kill()
            p.communicate(timeout=10)

    def test_a_server_whose_wrapper_is_killed_saves_its_state_and_goes(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for way in ("goes on", "SIGINT", "SIGTERM", "SIGKILL"):
                for _ in range(REPEAT):
                    with self.subTest(sig=sig, way=way):
                        self.wrapper_first(sig, way)

    def test_a_deaf_server_whose_wrapper_is_killed_goes_too(self):
        for way in ("goes on", "SIGTERM", "SIGKILL"):
            with self.subTest(way=way):
                self.wrapper_first(signal.SIGTERM, way, True)

    def every(self, *args):
        for way in ("normal", "SIGINT", "twice SIGINT", "SIGTERM", "SIGKILL", "node SIGTERM", "engine lost"):
            for _ in range(REPEAT):
                with self.subTest(way=way):
                    self.one(way, *args)

    def test_a_direct_server_saves_its_state_and_goes(self):
        self.every(False)

    def test_a_wrapped_server_saves_its_state_and_goes(self):
        self.every(True)

    def test_a_wrapped_server_that_is_deaf_goes_too(self):
        self.every(True, True)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
