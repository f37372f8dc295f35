# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments, then `conclave resume`: nothing decided is lost, nothing paid for is paid for twice, no tool runs twice.

CONCLAVE_RESUME_KILLS=N: how many runs are killed in one process, and as many with agents on two nodes (default 30 and 4), every third
one twice. CONCLAVE_SEED: where the moments come from.
"""

import asyncio
import hashlib
import pty
import random
import re
import socket
import sqlite3
import unittest

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
        with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
            bodies = {}
            for sha, first, last in db.execute("SELECT sha, first, last FROM bodies WHERE task = (SELECT task FROM starts ORDER BY nr DESC LIMIT 1)"):
                bodies[sha.hex()] = b"".join(x for x, in db.execute("SELECT bytes FROM pieces WHERE nr BETWEEN ? AND ? ORDER BY nr", (first, last)))
        return events_of(shown.stdout), bodies

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


class Later(Case):
    """What is different at the resume."""

    async def half(self, provider, request, reply):
        """m0 answers, m1 never does."""
        if request["model"] == "model-1":
            await asyncio.sleep(1000)
        await Model(0.0)(provider, request, reply)

    def cut_off(self, provider, until, **more):
        team = self.team(provider, agents=2, pause=0, **more)
        for a in team["agents"]:
            a["backend"].update(api_key="${SOME_KEY}", mcp_servers=[])
        self.home.env["SOME_KEY"] = "abcdefghijkl"
        p = self.home.start("-c", self.home.write("team.json", team), "--json", "q")
        Lines(p.stdout).until(until)
        p.kill()
        p.stdout.close(), p.stderr.close()
        p.wait()

    def test_a_clock_set_back_puts_no_deadline_off(self):
        provider = Provider(self.half)
        try:
            self.cut_off(provider, '"new_answer"', timeout_settings={"orchestrator_timeout_seconds": 6})
            self.home.damaged = "the events have other times than the states of the runs"
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:  # the same as a clock an hour behind the log
                for seq, text in db.execute("SELECT seq, json FROM events").fetchall():
                    e = json.loads(text)
                    e["time"] += 3600 * 1000
                    db.execute("UPDATE events SET json = ? WHERE seq = ?", (json.dumps(e), seq))
            r = self.home.run("resume", "last", "--json", timeout=40)
            self.assertEqual(r.returncode, 0, r.stderr)
            times = [e["time"] for e in self.stored()[0]]
            self.assertEqual(times, sorted(times))
        finally:
            provider.stop()

    def test_a_variable_that_is_not_set_changes_nothing(self):
        provider = Provider(self.half)
        try:
            self.cut_off(provider, '"new_answer"', orchestrator={"straggler_patience_seconds": 1})
            before = self.stored()[0]
            key = self.home.env.pop("SOME_KEY")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("set SOME_KEY", r.stderr)
            self.assertEqual(self.stored()[0], before)
            self.home.env["SOME_KEY"] = key
            self.assertEqual(self.home.run("resume", "last").returncode, 0)
        finally:
            provider.stop()

    def test_a_task_whose_only_node_is_away_waits_for_it(self):
        provider = Provider(self.half)
        node = self.home.start("node", "--listen", "127.0.0.1:0", "--insecure-loopback")
        try:
            address = re.search(r"127\.0\.0\.1:\d+", Lines(node.stdout).until("listening on"))[0]
            team = self.team(provider, agents=1, pause=0, cluster={"nodes": {"far": address}})
            team["agents"][0].update(node="far")
            team["agents"][0]["backend"].update(model="model-1")  # never answers
            p = self.home.start("-c", self.home.write("team.json", team), "--insecure-loopback", "--json", "q")
            Lines(p.stdout).until('"call_started"')
            for x in (p, node):
                x.kill()
                x.communicate()
            before = self.stored()[0]
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn("nothing was changed", r.stderr)
            self.assertEqual(self.stored()[0], before)
        finally:
            provider.stop()
            node.kill()
            node.communicate()

    def test_a_signal_while_a_node_is_joined_ends_the_task(self):
        provider = Provider(self.half)
        with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts and says nothing
            try:
                node = "127.0.0.1:%d" % mute.getsockname()[1]
                team = self.team(provider, agents=2, cluster={"nodes": {"far": node}})
                team["agents"][0]["node"] = "far"
                p = self.home.start("-c", self.home.write("team.json", team), "--insecure-loopback", "--json", "q")
                Lines(p.stdout).until(lambda line: '"call_started"' in line)
                p.kill()
                p.stdout.close(), p.stderr.close()
                p.wait()
                mute.settimeout(10)
                mute.accept()[0].close()  # of the run that was killed
                p = self.home.start("resume", "last", "--json")
                joining = mute.accept()[0]
                p.send_signal(signal.SIGINT)
                p.communicate(timeout=20)
                joining.close()
                self.assertEqual(p.returncode, 4)
            finally:
                provider.stop()


class Refusals(Case):
    def test_of_a_running_task_names_who_works_on_it(self):
        model = Model(0.5)
        provider = Provider(model)
        try:
            p = self.home.start("-c", self.home.write("team.json", self.team(provider)), "--json", "q")
            Lines(p.stdout).until('"type":"run_started"')
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn(str(p.pid), r.stderr)
            self.assertIn(f"it is under way: process {p.pid}", self.home.run("replay", "last").stderr)
            r = self.home.run("cancel", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(p.wait(10), 4)
            p.stdout.close(), p.stderr.close()
        finally:
            provider.stop()

    def test_of_a_literal_key_reads_the_file_again(self):
        key = "sk-literal-1234567890"
        model = Model(0.05)
        provider = Provider(model)
        try:
            team = self.team(provider)
            for a in team["agents"]:
                a["backend"]["api_key"] = key
            path = self.home.write("team.json", team)
            self.killed(self.home.start("-c", path, "--json", "q"), 0.5)
            for f in (self.home.path / "home").rglob("*"):
                if f.is_file() and f.suffix != ".env":
                    self.assertNotIn(key.encode(), f.read_bytes(), f)
            os.rename(path, path + ".moved")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("cannot be opened", r.stderr)
            self.assertIn("--config", r.stderr)
            without = json.loads(pathlib.Path(path + ".moved").read_text())
            del without["agents"][1]["backend"]["api_key"]
            r = self.home.run("resume", "last", "--config", self.home.write("without.json", without))
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("agents[1] ('m1'): backend.api_key", r.stderr)
            r = self.home.run("show", "last")
            self.assertRegex(r.stdout, r"go on +conclave resume \S+")
            self.assertIn("  cut off  ", self.home.run("list").stdout)
            self.assertIn("it was cut off: conclave resume", self.home.run("replay", "last").stderr)
            r = self.home.run("resume", "last", "--config", path + ".moved")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertTrue(all(q["headers"].get("authorization") == "Bearer " + key for q in provider.requests))
        finally:
            provider.stop()

    def test_of_an_answered_task_costs_nothing(self):
        model = Model(0.0)
        provider = Provider(model)
        try:
            path = self.home.write("team.json", self.team(provider, agents=1))
            self.assertEqual(self.home.run("-c", path, "q").returncode, 0)
            calls = len(model.asked)
            r = self.home.run("resume")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("the final answer", r.stdout)
            j = self.home.run("resume", "--json")
            self.assertEqual([e["text"] + "\n" for e in events_of(j.stdout) if e["type"] == "final_answer"], [r.stdout])
            self.assertEqual(len(model.asked), calls)
        finally:
            provider.stop()

    def test_of_a_cancelled_task_begins_with_its_answers(self):
        model = Model(0.05)
        provider = Provider(model)
        try:
            path = self.home.write("team.json", self.team(provider))
            p = self.home.start("-c", path, "--json", "q")
            Lines(p.stdout).until('"type":"new_answer"')
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=10)
            self.assertEqual(p.returncode, 4)
            r = self.home.run("resume", "last", "--json")
            self.assertEqual(r.returncode, 0, r.stderr)
            events = events_of(r.stdout)
            self.assertEqual(events[0]["type"], "task_opened")
            self.assertTrue(events[0]["detail"]["answers"])
            self.assertEqual(next(e for e in events if e["type"] == "round_started")["round"], 1)
        finally:
            provider.stop()


class Replay(Case):
    def test_a_stored_run_is_shown_and_verified(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(3)), "q").returncode, 0)
            r = home.run("replay", "last")
            self.assertEqual((r.returncode, r.stdout), (0, "the final answer\n"), r.stderr)
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("no difference", r.stdout)
            home.damaged = "its log is meddled with"
            with sqlite3.connect(home.path / "home" / "tasks.db") as db:
                db.execute("UPDATE events SET json = replace(json, '\"target_label\":\"agent1.1\"', '\"target_label\":\"agent2.1\"')"
                           " WHERE json LIKE '%vote_cast%'")
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertRegex(r.stderr, r"event \d+")

    def meddled(self, home, old, new, what="events"):
        """Replaces a text in the events, or in the bodies; both are of the same length. Bodies keep names that fit."""
        home.damaged = "it is meddled with"
        with sqlite3.connect(home.path / "home" / "tasks.db") as db:
            if what == "events":
                n = db.execute("UPDATE events SET json = replace(json, ?1, ?2) WHERE instr(json, ?1) > 0", (old, new)).rowcount
            else:
                n = self.replaced_in_bodies(db, old, new)
                self.name_again(db)
        self.assertGreater(n, 0, f"nothing holds {old}")

    def replaced_in_bodies(self, db, old, new):
        rows = [(b.replace(old.encode(), new.encode()), nr) for nr, b in db.execute("SELECT nr, bytes FROM pieces") if old.encode() in b]
        db.executemany("UPDATE pieces SET bytes = ? WHERE nr = ?", rows)
        return len(rows)

    def name_again(self, db):
        """Names each body by what it holds now, wherever it is named; so those that name it have other names, too."""
        while True:
            others = {}
            for sha, first, last in db.execute("SELECT sha, first, last FROM bodies").fetchall():
                held = b"".join(x for x, in db.execute("SELECT bytes FROM pieces WHERE nr BETWEEN ? AND ? ORDER BY nr", (first, last)))
                if hashlib.sha256(held).digest() != sha:
                    others[sha.hex()] = hashlib.sha256(held).hexdigest()
            if not others:
                return
            for old, new in others.items():
                db.execute("UPDATE bodies SET sha = ? WHERE sha = ?", (bytes.fromhex(new), bytes.fromhex(old)))
                db.execute("UPDATE events SET json = replace(json, ?1, ?2)", (old, new))
                self.replaced_in_bodies(db, old, new)

    def killed_and_resumed(self):
        """Two agents with tools, cut off in a tool's call. Returns the events as (seq, JSON)."""
        provider = Provider(Model(0.0))
        try:
            p = self.home.start("-c", self.home.write("team.json", self.team(provider, agents=2, pause=0.05)), "--json", "q")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and "append" in line)
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
        finally:
            provider.stop()
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, r"[1-9]\d* run states and [1-9]\d* prompts compared, no difference")
        self.home.damaged = "it is meddled with"
        with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
            return db.execute("SELECT seq, json FROM events ORDER BY seq").fetchall()

    def verified_with(self, seq, text):
        """Verifies with another event in that place."""
        def put(x):
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
                before, = db.execute("SELECT json FROM events WHERE seq = ?", (seq,)).fetchone()
                db.execute("UPDATE events SET json = ? WHERE seq = ?", (x, seq))
                return before

        before = put(text)
        r = self.home.run("replay", "last", "--verify")
        put(before)
        return r

    def test_a_state_of_a_run_that_is_none_or_another_is_a_difference(self):
        events = self.killed_and_resumed()
        states = [(seq, json.loads(text)) for seq, text in events if '"state":' in text]
        self.assertGreater(len(states), 8)
        for seq, e in states:
            other = next(x["state"] for _, x in states if x["state"] != e["state"])
            for state, why in (("0" * 64, "is not in the store"), (other, "in this build")):
                r = self.verified_with(seq, json.dumps({**e, "state": state}))
                self.assertEqual((r.returncode, r.stdout), (1, ""), (e, r.stderr))
                self.assertRegex(r.stderr, rf"event {seq}: .*{why}")

    def test_states_that_differ_are_an_error_of_the_same_build_and_a_note_of_another(self):
        self.killed_and_resumed()
        self.meddled(self.home, '"repeats":1', '"repeats":0', "bodies")
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        what = r"\d+ of \d+ run states (is|are) not what this build makes; event \d+: the state of the run at [^\n]*'repeats' is as by default in the log, 1 in this build"
        self.assertRegex(r.stderr, what)
        self.meddled(self.home, '"build":"', '"build":"not-')
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, what)

    def test_a_bit_of_a_body_that_flipped_is_a_difference(self):
        self.killed_and_resumed()
        with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
            pieces = db.execute("SELECT nr, bytes FROM pieces").fetchall()
        for nr, good in pieces:
            bad = bytearray(good)
            bad[len(bad) // 2] ^= 1
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
                db.execute("UPDATE pieces SET bytes = ? WHERE nr = ?", (bytes(bad), nr))
            r = self.home.run("replay", "last", "--verify")
            self.assertEqual((r.returncode, r.stdout), (1, ""), (good, r.stderr))
            self.assertRegex(r.stderr, r"event \d+: .*the body [0-9a-f]{64} that it names holds other bytes than its name says")
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
                db.execute("UPDATE pieces SET bytes = ? WHERE nr = ?", (good, nr))
        self.assertGreater(len(pieces), 30)

    def test_a_usage_or_a_place_that_the_log_tells_twice_and_otherwise_is_a_difference(self):
        events = self.killed_and_resumed()
        for seq, text in events:
            e = json.loads(text)
            if e["type"] == "call_ended":
                r = self.verified_with(seq, json.dumps({**e, "usage": {**e.get("usage", {}), "output_tokens": 4711}}))
                self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
                self.assertRegex(r.stderr, rf"event {seq}: the log .*4711")
        first = json.loads(events[0][1])
        for nodes in ([], ["local"], ["local", "elsewhere"]):
            r = self.verified_with(1, json.dumps({**first, "detail": {**first["detail"], "nodes": nodes}}))
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertRegex(r.stderr, r"event \d+: the agent is placed on node 'local'")

    def test_prompts_that_differ_are_an_error_of_the_same_build_and_a_note_of_another(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(3)), "q").returncode, 0)
            r = home.run("replay", "last", "--verify")
            self.assertRegex(r.stdout, r"[1-9]\d* prompts compared, no difference")
            self.meddled(home, "several independent agents", "several  dependent agents", "bodies")
            r = home.run("replay", "last", "--verify")
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertRegex(r.stderr, r"\d+ of \d+ prompts are not what this build makes; event \d+: the prompt of call 1 of 'member\d'")
            self.assertIn("several  dependent", r.stderr)
            self.meddled(home, '"build":"', '"build":"not-')
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertRegex(r.stdout, r"\d+ of \d+ prompts are not what this build makes; event \d+: [^\n]*build not-")
            self.meddled(home, '"target_label":"agent1.1"', '"target_label":"agent2.1"')
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)

    def test_a_stored_reply_that_does_not_lead_to_what_was_handed_in_is_a_difference(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(2)), "q").returncode, 0)
            self.meddled(home, "answer of member 1", "Answer of Member 1", "bodies")
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertRegex(r.stderr, r"event \d+: the log says the run hands in \"answer of member 1\"; in this build")

    def test_all_tasks_are_verified_at_once(self):
        with Home() as home:
            path = home.write("team.json", calm_team(2))
            for question in ("one", "two"):
                self.assertEqual(home.run("-c", path, question).returncode, 0)
            r = home.run("replay", "all", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("verified: 2 tasks of 2, ", r.stdout)
            r = home.run("replay", "all")
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn("only with --verify", r.stderr)


class Cancelled(Case):
    def test_a_task_whose_process_is_killed_meanwhile_has_not_ended(self):
        async def never(provider, request, reply):
            await asyncio.sleep(1000)

        provider = Provider(never)
        asking = None
        try:
            p = self.home.start("-c", self.home.write("team.json", self.team(provider, agents=2)), "--json", "q")
            Lines(p.stdout).until('"call_started"')
            p.send_signal(signal.SIGSTOP)
            asking = self.home.start("cancel", "last")
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
                deadline = time.monotonic() + 30
                while db.execute("SELECT count(*) FROM cancels").fetchone() == (0,):
                    self.assertLess(time.monotonic(), deadline, "nobody asked")
                    time.sleep(0.01)  # for a row: nobody tells of it
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            out, err = asking.communicate(timeout=30)
            self.assertEqual((asking.returncode, out), (2, b""), err)
            self.assertRegex(err.decode(), r"task (\S+) was cut off: its process is gone, and the task has not ended; "
                                           r"go on with it: conclave resume \1, or delete it: conclave rm \1\n")
            self.assertIn("cut off", self.home.run("list").stdout)
            task = err.decode().split()[2]
            self.assertEqual(self.home.run("rm", task).returncode, 0)
        finally:
            provider.stop()
            if asking is not None and asking.poll() is None:
                asking.kill()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
