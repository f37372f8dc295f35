# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, then `conclave resume`: nothing decided is lost, nothing paid for is paid for twice, no tool runs twice.

CONCLAVE_RESUME_KILLS=N: how many runs are killed in one process, and as many with agents on two nodes (default 30 and 4), every third
one twice. CONCLAVE_SEED: where the moments come from.
"""

import asyncio
import hashlib
import pty
import random
import unittest

import stored
from provider import Provider
from support import *
from test_cluster import Node

KILLS = int(os.environ.get("CONCLAVE_RESUME_KILLS", "30"))
NODE_KILLS = int(os.environ.get("CONCLAVE_RESUME_KILLS", "4"))
SEED = int(os.environ.get("CONCLAVE_SEED", "1"))

# One append-only file; `append` is neither read-only nor idempotent, `look` is read-only. WHEN: where it is slow, so that kills hit it.
SERVER = r'''
import json, os, sys, time
path, pause = sys.argv[1], float(sys.argv[2])
def send(m): sys.stdout.write(json.dumps(m) + "\n"); sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
              "serverInfo": {"name": "notes", "version": "1"}}})
    elif m.get("method") == "tools/list":
        schema = {"type": "object", "properties": {"line": {"type": "string"}}}
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": [
            {"name": "append", "description": "Appends a line.", "inputSchema": schema},
            {"name": "look", "description": "Reads.", "inputSchema": schema, "annotations": {"readOnlyHint": True}}]}})
    elif m.get("method") == "tools/call":
        name, line = m["params"]["name"], m["params"]["arguments"].get("line", "")
        time.sleep(pause)
        if name == "append":
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(fd, (line + "\n").encode())
            os.close(fd)
        time.sleep(pause)
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"content": [{"type": "text", "text": "did " + name + " " + line}]}})
    elif "id" in m:
        send({"jsonrpc": "2.0", "id": m["id"], "result": {}})
'''


class Model:
    """Looks and appends, hands in an answer, votes for agent1, presents. What it says depends on what it is asked alone; each reply has a
    number of its own, by which it is found in the store."""

    def __init__(self, gap):
        self.gap, self.replies, self.asked = gap, 0, []

    async def __call__(self, provider, request, reply):
        what = json.dumps(request["messages"], sort_keys=True)
        key = hashlib.sha256((request["model"] + what).encode()).hexdigest()[:12]
        self.replies += 1
        token = f"reply-{self.replies}-"
        self.asked.append((key, token))
        results = sum(m["role"] == "tool" for m in request["messages"])
        tools = reply.tools()
        append = next((t for t in tools if t.endswith("append")), None)
        look = next((t for t in tools if t.endswith("look")), None)
        await asyncio.sleep(self.gap)
        if append and results == 0 and "new_answer" in tools:
            calls = [(append, {"line": key + ".a"}), (look, {"line": key + ".l"}), (append, {"line": key + ".b"})]
        elif "vote" in tools:
            calls = [("vote", {"agent_id": "agent1", "reason": "fine"})]
        elif "new_answer" in tools:
            calls = [("new_answer", {"content": "the answer of " + request["model"]})]
        else:
            calls = []
        await reply.play(token + ("the final answer" if not calls else "hm"), calls, self.gap / 4)


class Case(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.file = self.home.path / "notes.txt"
        self.home.write("server.py", SERVER)

    def tearDown(self):
        self.home.__exit__()

    def team(self, provider, agents=3, pause=0.01, **more):
        server = {"name": "notes", "type": "stdio", "command": sys.executable,
                  "args": [str(self.home.path / "server.py"), str(self.file), str(pause)]}
        return {"agents": [{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": f"model-{i}", "base_url": provider.url + "/v1",
                                                      "mcp_servers": [server]}} for i in range(agents)], **more}

    def stored(self):
        """Events of the newest task, and its bodies."""
        shown = self.home.run("show", "last", "--json")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        with stored.opened(self.home) as db:
            newest, = db.execute("SELECT task FROM starts ORDER BY nr DESC LIMIT 1").fetchone()
            return events_of(shown.stdout), stored.read(db, newest)[1]

    def killed(self, process, moment):
        """Lets a run go on until `moment`, then kills it. Returns its events, or None if it was over."""
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        over = process.poll() is not None
        process.kill()
        out, err = process.communicate()
        lines = out.decode(errors="replace").split("\n")[:-1]
        return over, [json.loads(x) for x in lines if x], err.decode(errors="replace")

    def check(self, model, seen, label):
        events, bodies = self.stored()
        by_type = {}
        for e in events:
            by_type.setdefault(e["type"], []).append(e)
        # Whatever was told of is in the log as it was told.
        log = {e["seq"]: e for e in events}
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), label)
        for e in seen:
            self.assertEqual(log.get(e["seq"]), e, label)
        self.assertEqual(len(by_type.get("task_ended", [])), 1, label)
        self.assertEqual(by_type["task_ended"][0]["reason"], "answered", label)
        self.assertEqual(len(by_type.get("presentation_started", [])), 1, label)
        # A reply that is stored was the last one to its question.
        durable = set()
        for e in by_type.get("call_ended", []):
            if e.get("target") == "model" and e.get("said"):
                text = bodies[e["said"][0]].decode()
                durable.update(t for _, t in model.asked if t in text)
        last = {}
        for key, token in model.asked:
            self.assertFalse(last.get(key) in durable, f"{label}: a stored reply ({last.get(key)}) was paid for again ({token})")
            last[key] = token
        # Tools: no line twice; one line for each call that is known to have ended well.
        lines = self.file.read_text().split("\n")[:-1] if self.file.exists() else []
        self.assertEqual(len(lines), len(set(lines)), f"{label}: {lines}")
        begun = {(e["agent"], e["number"]): e for e in by_type.get("call_started", [])}
        for e in by_type.get("call_ended", []):
            if e.get("target", "").endswith("append") and e["reason"] == "finished":
                line = json.loads(bodies[begun[e["agent"], e["number"]]["said"][0]])["line"]
                self.assertIn(line, lines, label)
        # Every call that was begun has an end.
        ended = {(e["agent"], e["number"]) for e in by_type.get("call_ended", [])}
        self.assertEqual(set(begun) - ended, set(), label)
        return events


class Killed(Case):
    def one(self, rng, label, twice, nodes=()):
        model = Model(0.02)
        provider = Provider(model)
        try:
            team = self.team(provider)
            for i, a in enumerate(team["agents"] if nodes else []):
                a["node"] = nodes[i % len(nodes)][0]
            if nodes:
                team["cluster"] = {"nodes": dict(nodes)}
            path = self.home.write("team.json", team)
            self.file.unlink(missing_ok=True)
            seen, tasks = [], len(events_of(self.home.run("list", "--json").stdout))
            over, events, err = self.killed(self.home.start("-c", path, "--json", "q"), rng.uniform(0.05, 1.2))
            seen += events
            while not over:
                if not seen and len(events_of(self.home.run("list", "--json").stdout)) == tasks:
                    return 0  # killed before there was anything
                moment = rng.uniform(0.05, 1.0) if twice else 60
                twice = False
                before = len(seen)
                over, events, err = self.killed(self.home.start("resume", "last", "--json"), moment)
                seen += events
                if over and not events and not err and before == len(seen):
                    break
            shown = self.home.run("resume", "last")
            self.assertEqual(shown.returncode, 0, f"{label}: {shown.stderr} {err}")
            self.assertIn("the final answer", shown.stdout, label)
            events = self.check(model, seen, label)
            return sum(e["type"] == "task_resumed" for e in events)
        finally:
            provider.stop()

    def test_at_random_moments(self):
        rng, resumed = random.Random(SEED), 0
        for i in range(KILLS):
            resumed += self.one(rng, f"kill {i} of seed {SEED}", i % 3 == 0)
        self.assertGreater(resumed, 0, "no kill hit anything")

    def test_at_random_moments_with_agents_and_tools_on_two_nodes(self):
        rng, resumed = random.Random(SEED), 0
        nodes = [Node(self.home), Node(self.home)]
        try:
            for i in range(NODE_KILLS):
                resumed += self.one(rng, f"kill {i} of seed {SEED} with nodes", i % 3 == 0, [("a", nodes[0].address), ("b", nodes[1].address)])
            for node in nodes:
                self.assertIsNone(node.process.poll(), "a node died")
        finally:
            for node in nodes:
                node.stop()
        self.assertGreater(resumed, 0, "no kill hit anything")


class Policies(Case):
    """A tool call that was under way at the kill: before, in and after its write."""

    def run_until_append(self, provider, when):
        server_pause = 0.6
        team = self.team(provider, agents=1, pause=server_pause)
        p = self.home.start("-c", self.home.write("team.json", team), "--json", "q")
        Lines(p.stdout).until(lambda line: '"call_started"' in line and "append" in line)
        time.sleep({"before": 0.1, "in": server_pause, "after": server_pause + 0.3}[when])  # the moment is the point
        p.kill()
        p.stdout.close(), p.stderr.close()
        p.wait()

    def resumed(self, policy, when):
        model = Model(0.0)
        provider = Provider(model)
        try:
            self.file.unlink(missing_ok=True)
            self.run_until_append(provider, when)
            r = self.home.run("resume", "last", "--on-unknown", policy)
            lines = self.file.read_text().split("\n")[:-1] if self.file.exists() else []
            return r, lines, model
        finally:
            provider.stop()

    def test_tell(self):
        for when in ("before", "in", "after"):
            with self.subTest(when=when):
                r, lines, _ = self.resumed("tell", when)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(len(lines), len(set(lines)), lines)

    def test_ask_without_a_terminal_tells(self):
        r, lines, _ = self.resumed("ask", "after")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("nobody can be asked", r.stderr)
        self.assertEqual(len(lines), len(set(lines)), lines)

    def test_ask_at_a_terminal_shows_the_call_and_asks_until_it_understands(self):
        provider = Provider(Model(0.0))
        master, terminal = pty.openpty()
        try:
            self.run_until_append(provider, "after")
            p = subprocess.Popen([str(BIN), "resume", "last", "--on-unknown", "ask"], cwd=self.home.path, env=self.home.env, stdin=terminal,
                                 stdout=subprocess.PIPE, stderr=terminal)
            out = Lines(open(master, "rb", buffering=0, closefd=False))
            out.until('mcp__notes__append {"line": "')
            os.write(master, b"what?\n")
            os.write(master, b"repeat\n")
            answer, _ = p.communicate(timeout=60)
            self.assertEqual((p.returncode, answer.count(b"the final answer")), (0, 1))
            lines = self.file.read_text().split("\n")[:-1]
            self.assertGreater(len(lines), len(set(lines)), lines)
            os.close(terminal)
            terminal = -1
            out.until("goes on after a break")
            self.assertEqual(sum(line.count("[t]ell the model") for line in out.seen), 2, out.seen)
        finally:
            provider.stop()
            os.close(master)
            if terminal >= 0:
                os.close(terminal)

    def test_a_tool_server_that_is_gone_costs_the_call_alone(self):
        provider = Provider(Model(0.0))
        try:
            self.run_until_append(provider, "before")
            os.rename(self.home.path / "server.py", self.home.path / "moved.py")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("the final answer", r.stdout)
            self.assertIn("works without tools", r.stderr)
        finally:
            provider.stop()

    def test_a_tool_that_calls_itself_read_only_after_the_crash_alone_runs_once(self):
        for notes in ({"readOnlyHint": True}, {"idempotentHint": True}, {"readOnlyHint": True, "idempotentHint": True}):
            with self.subTest(notes=notes):
                provider = Provider(Model(0.0))
                try:
                    self.home.write("server.py", SERVER)
                    self.file.unlink(missing_ok=True)
                    self.run_until_append(provider, "after")
                    self.home.write("server.py", SERVER.replace('"inputSchema": schema},', f'"inputSchema": schema, "annotations": {notes}}},'))
                    r = self.home.run("resume", "last")
                    self.assertEqual(r.returncode, 0, r.stderr)
                    lines = self.file.read_text().split("\n")[:-1]
                    self.assertEqual(len(lines), len(set(lines)), lines)
                    self.assertGreater(len(lines), 1)
                finally:
                    provider.stop()

    def test_a_call_that_was_read_only_is_made_again_whatever_its_tool_says_now(self):
        provider = Provider(Model(0.0))
        try:
            self.run_until_append(provider, "before")  # `look` is under way beside it
            self.home.write("server.py", SERVER.replace(', "annotations": {"readOnlyHint": True}', ""))
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            looks = [e for e in self.stored()[0] if e["type"] == "call_started" and e["target"].endswith("look")]
            self.assertEqual([(e.get("flag"), e.get("detail")) for e in looks[:2]], [(True, {"read_only": True}), (None, None)])
        finally:
            provider.stop()

    def test_fail_fails_although_the_tool_server_is_gone(self):
        model = Model(0.0)
        provider = Provider(model)
        try:
            self.run_until_append(provider, "after")
            asked = len(model.asked)
            os.rename(self.home.path / "server.py", self.home.path / "moved.py")
            r = self.home.run("resume", "last", "--on-unknown", "fail")
            self.assertEqual((r.returncode, len(model.asked)), (2, asked), r.stderr)
            self.assertRegex(self.home.run("show", "last").stdout, r"may have had its effect;\s+the tool is gone")
        finally:
            provider.stop()

    def test_a_read_only_call_whose_tool_server_is_gone_is_said_to_have_had_no_effect(self):
        told = []

        async def listening(provider, request, reply):
            told.append([m["content"] for m in request["messages"] if m["role"] == "tool"])
            await Model(0.0)(provider, request, reply)

        provider = Provider(listening)
        try:
            self.run_until_append(provider, "after")  # `append`, and beside it `look`
            del told[:]
            os.rename(self.home.path / "server.py", self.home.path / "moved.py")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            append, look = told[0][:2]
            self.assertIn("may have had its effect", append)
            self.assertIn("had no effect", look)
            self.assertNotIn("may have had", look)
        finally:
            provider.stop()

    def test_repeat(self):
        r, lines, _ = self.resumed("repeat", "after")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertGreater(len(lines), len(set(lines)), lines)

    def test_fail(self):
        r, lines, _ = self.resumed("fail", "after")
        self.assertEqual(r.returncode, 2, r.stderr)  # the only agent is out: asked again, it would append again
        self.assertEqual(len(lines), len(set(lines)), lines)
        shown = self.home.run("show", "last").stdout
        self.assertIn("may have had its effect", shown)


    def test_ask_asks_again_after_a_second_crash(self):
        """Killed once more before the run has gone on: nobody has heard yet what to do about the call."""
        model = Model(0.0)
        provider = Provider(model)
        try:
            self.run_until_append(provider, "before")
            self.home.write("server.py", "import time\ntime.sleep(60)\n")
            p = self.home.start("resume", "last", "--json", "--on-unknown", "ask")
            Lines(p.stdout).until('"task_resumed"')
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            self.home.write("server.py", SERVER)
            r = self.home.run("resume", "last", "--on-unknown", "ask")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("nobody can be asked", r.stderr)
        finally:
            provider.stop()

if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
