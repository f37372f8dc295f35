# SPDX-License-Identifier: Apache-2.0
"""Tool servers that say one thing without end: the engine or the node they work for stays small, others are served meanwhile, and a signal
ends it in time.

CONCLAVE_FLOOD_SECONDS=N plays all kinds, for N seconds (default: some of them, for 2 seconds); CONCLAVE_FLOOD_KIND=NAME one alone.
"""

import threading
import unittest

from support import *
from test_teardown import alive, descendants, wait_until

LONG = "CONCLAVE_FLOOD_SECONDS" in os.environ
SECONDS = float(os.environ.get("CONCLAVE_FLOOD_SECONDS", "2"))
MOST = 64 << 20  # bytes that may be resident beyond what was before the flood
ANSWER = 15  # seconds for the other, at the most; a fraction of one where the machine has nothing else to do
END = 6  # seconds from SIGTERM to the end
SERVER = str(ROOT / "tests" / "support" / "flood_mcp.py")

KINDS = [("notifications", "listed"), ("results", "listed"), ("log", "call"), ("progress", "call"), ("stderr", "call"), ("list_changed", "listed"),
         ("calm", "changing"),
         ("small", "start"), ("results", "call"), ("results-nameless", "call"), ("results-of-the-start", "call"), ("errors", "call"),
         ("errors-nameless", "call"), ("large-results", "call"), ("large-lists", "listed"), ("ping", "call"), ("sampling", "listed"),
         ("large-ids", "call"), ("batches", "listed"), ("blank", "call"), ("text", "listed"), ("unreadable", "call"), ("brackets", "listed"),
         ("one-line", "call"), ("one-line-json", "call"), ("stderr-one-line", "listed"), ("slow", "call")]
FEW = [k for k in KINDS[:7]] + [k for k in KINDS if k[0] in ("ping", "large-lists", "one-line", "unreadable", "results-nameless")]
ALONE = {"large-results", "large-lists", "large-ids", "one-line", "one-line-json"}  # one of these is near the limit: its bytes are its own
GROUP = 4  # floods at once, of the others; in the long form, the first seven each by itself


def resident(pid, what="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) << 10
    return 0


def forget_peak(pid):
    """VmHWM counts from now on."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def calls(n):
    return [{"calls": [{"name": "mcp__s__t", "arguments": {"n": i}}]} for i in range(n)]


class Flood(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__)
        self.started = []
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for p in self.started:
            p.kill()
            p.communicate()

    def start(self, *args):
        out = open(self.home.path / f"out.{len(self.started)}", "w+b")
        self.addCleanup(out.close)
        p = subprocess.Popen([str(BIN), *args], cwd=self.home.path, env=self.home.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        p.shown = lambda: pathlib.Path(out.name).read_text(errors="replace")
        self.started.append(p)
        return p

    def member(self, name, kind, when, folder, steps, node):
        a = agent(name, steps, **({"node": "n"} if node else {}))
        a["backend"]["mcp_servers"] = {"s": {"command": sys.executable, "args": [SERVER, kind, when, str(folder)],
                                             "security": {"allowed_executables": [sys.executable]}}}
        return a

    def team(self, name, agents, node):
        return self.home.write(name, {"agents": agents, **({"cluster": {"nodes": {"n": node}}} if node else {})})

    def flood(self, kinds, node=None):
        """Starts a task whose members have servers that flood, and one that has a calm one. Returns its process and the folder."""
        folder = self.home.path / f"f{len(self.started)}"
        folder.mkdir()
        # It calls while the flood goes on, and once it has seen what came of it, it is busy until the end.
        steps = lambda n: [*calls(n), {"text": "busy", "hang": True}]
        agents = [self.member(f"{kind}-{when}", kind, when, folder, steps(8 if when == "call" else 0), node) for kind, when in kinds]
        agents.append(self.member("calm", "calm", "call", folder, [*calls(1), {"answer": "served"}, {"hang": True}], node))
        p = self.start("--config", self.team(f"flood{len(self.started)}.json", agents, node), "--json", "q")
        ready = lambda: len(list(folder.glob("ready.*"))) > len(kinds) or p.poll() is not None
        self.assertTrue(wait_until(ready, 60) and p.poll() is None, p.shown()[-3000:])
        return p, folder

    def watch(self, pids, seconds, served):
        """The most that was resident at any moment, and when `served()` came true."""
        t, at = time.monotonic(), None
        while time.monotonic() - t < seconds or (at is None and time.monotonic() - t < seconds + 20):
            if at is None and served():
                at = time.monotonic() - t
            time.sleep(0.01)
        return [resident(p, "VmHWM") for p in pids], at

    def end(self, p):
        family = descendants(p.pid)
        t = time.monotonic()
        p.terminate()
        self.assertTrue(wait_until(lambda: p.poll() is not None, END), f"lives {END} s after SIGTERM")
        took = time.monotonic() - t
        self.assertTrue(wait_until(lambda: not any(map(alive, family)), END - took), f"left behind {[x for x in family if alive(x)]}")
        return took

    def report(self, where, kinds, before, most, at, took):
        print(f"{where:6} {' '.join(f'{k}/{w}' for k, w in kinds)}: grown {[(m - b) >> 20 for m, b in zip(most, before)]} MiB, "
              f"the other answered after {-1 if at is None else at:.2f} s, ended {took:.2f} s after SIGTERM", file=sys.stderr)

    def every(self, one):
        wanted = [k for k in (KINDS if LONG else FEW) if os.environ.get("CONCLAVE_FLOOD_KIND", k[0]) == k[0]]
        alone = [k for k in wanted if k[0] in ALONE or LONG and k in KINDS[:7]]
        others = [k for k in wanted if k not in alone]
        groups = [[k] for k in alone] + [others[i:i + GROUP] for i in range(0, len(others), GROUP)]
        for kinds in groups:
            with self.subTest(kinds=kinds):
                one(kinds)

    def test_an_engine_whose_servers_flood(self):
        def one(kinds):
            p, folder = self.flood(kinds)
            before = [resident(p.pid)]
            forget_peak(p.pid)
            (folder / "go").touch()
            most, at = self.watch([p.pid], SECONDS, lambda: '"served"' in p.shown())
            took = self.end(p)
            self.report("engine", kinds, before, most, at, took)
            self.assertIsNotNone(at, p.shown()[-3000:])
            self.assertLess(at, ANSWER)
            self.assertLessEqual(most[0] - before[0], MOST)
        self.every(one)

    def test_a_node_whose_servers_flood(self):
        def one(kinds):
            node = self.start("node", "--listen", "127.0.0.1:0", "-v", "--grace", "0")
            self.assertTrue(wait_until(lambda: "listening on " in node.shown(), 20))
            address = node.shown().split("listening on ")[1].split()[0]
            p, folder = self.flood(kinds, address)
            before = [resident(node.pid), resident(p.pid)]
            forget_peak(node.pid)
            forget_peak(p.pid)
            other = {}

            def task():  # of another engine, from its start to its end
                t = time.monotonic()
                steps = [*calls(1), {"answer": "x"}, {"vote": "agent1", "optional": True}, {"text": "the end", "optional": True}]
                a = self.member("other", "calm", "call", folder, steps, address)
                r = self.home.run("--config", self.team("other.json", [a], address), "q")
                other.update(code=r.returncode, text=r.stdout + r.stderr, seconds=time.monotonic() - t)

            thread = threading.Thread(target=task)
            (folder / "go").touch()
            thread.start()
            most, at = self.watch([node.pid, p.pid], SECONDS, lambda: bool(other))
            thread.join()
            took = self.end(node)
            self.report("node", kinds, before, most, at, took)
            self.assertEqual(other["code"], 0, other["text"])
            self.assertLess(other["seconds"], ANSWER)
            self.assertIn('"served"', p.shown())
            for b, m in zip(before, most):
                self.assertLessEqual(m - b, MOST)
            p.kill()
            p.wait()
        self.every(one)

    def test_a_node_that_lets_its_tasks_end_goes_at_the_second_signal(self):
        node = self.start("node", "--listen", "127.0.0.1:0", "-v")
        self.assertTrue(wait_until(lambda: "listening on " in node.shown(), 20))
        _, folder = self.flood([("stderr", "call"), ("slow", "listed"), ("log", "call")], node.shown().split("listening on ")[1].split()[0])
        (folder / "go").touch()
        self.assertTrue(wait_until(lambda: "tools_lost" in node.shown(), 30), node.shown())
        said = [x for x in node.shown().splitlines() if "tools_lost" in x]
        self.assertEqual(len(said), 1, said)
        self.assertRegex(said[0], "agent=log-call why=\"MCP server 's' was ended: it sent .* nobody asked for .* 'notifications/message'; .*mend it")
        node.terminate()
        self.assertTrue(wait_until(lambda: "node_ending" in node.shown(), 5))
        self.end(node)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
