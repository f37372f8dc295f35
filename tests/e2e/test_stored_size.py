# SPDX-License-Identifier: Apache-2.0
"""What a task takes in the store, against what was said in it: at most 1.5 times the new messages of each call, the completions, and the
arguments and results of tools, and 64 KiB."""

import contextlib
import sqlite3
import unittest

from provider import Provider
from support import *

SERVER = r'''
import json, sys
def send(m): sys.stdout.write(json.dumps(m) + "\n"); sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
              "serverInfo": {"name": "s", "version": "1"}}})
    elif m.get("method") == "tools/list":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": [{"name": "read", "description": "Reads.",
              "inputSchema": {"type": "object", "properties": {"part": {"type": "string"}}}, "annotations": {"readOnlyHint": True}}]}})
    elif m.get("method") == "tools/call":
        part = m["params"]["arguments"]["part"]
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"content": [{"type": "text", "text": (part + " ") * (2048 // (len(part) + 1))}]}})
    elif "id" in m:
        send({"jsonrpc": "2.0", "id": m["id"], "result": {}})
'''


def size(x):
    """As it is sent, without JSON's own characters: texts, names and values."""
    if isinstance(x, str):
        return len(x.encode())
    if isinstance(x, dict):
        return sum(len(k) + size(v) for k, v in x.items())
    if isinstance(x, list):
        return sum(size(v) for v in x)
    return len(json.dumps(x))


class Model:
    """Counts what is said: `said` bytes."""

    def __init__(self, say):
        self.say, self.said, self.before = say, 0, {}

    async def __call__(self, provider, request, reply):
        messages, who = request["messages"], request["model"]
        before = self.before.get(who, [])
        known = len(before) if messages[:len(before)] == before else 0
        self.before[who] = messages
        self.said += size(messages[known:])
        text, calls = self.say(who, messages, reply.tools())
        self.said += size(text) + sum(size(name) + size(arguments) for name, arguments in calls)
        for name, arguments in calls:
            if name.endswith("read"):
                self.said += size(arguments) + 2048
        await reply.play(text, calls)


class StoredSize(unittest.TestCase):
    def play(self, agents, say, servers=(), **orchestrator):
        with Home() as home:
            home.write("server.py", SERVER)
            server = {"name": "s", "type": "stdio", "command": sys.executable, "args": [str(home.path / "server.py")]}
            model = Model(say)
            provider = Provider(model)
            try:
                team = {"agents": [{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": f"m{i}", "base_url": provider.url + "/v1",
                                                               "mcp_servers": [server] if servers else []}} for i in range(agents)],
                        "orchestrator": orchestrator}
                home.run("list")
                r = home.run("-c", home.write("team.json", team), "--quiet", "q", timeout=120)
                self.assertEqual(r.returncode, 0, r.stderr)
            finally:
                provider.stop()
            path = home.path / "home" / "tasks.db"
            with contextlib.closing(sqlite3.connect(path)) as db:
                events, = db.execute("SELECT sum(length(CAST(json AS BLOB))) FROM events").fetchone()
                bodies, = db.execute("SELECT sum(length(bytes)) FROM pieces").fetchone()
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            limit = 1.5 * model.said + 65536
            took = path.stat().st_size
            what = f"said {model.said}, events {events}, bodies {bodies}, file {took}"
            self.assertLessEqual(events + bodies, limit, what)
            self.assertLessEqual(took, limit, what)

    def test_of_three_rounds_of_long_answers(self):
        def say(who, messages, tools):
            if "vote" in tools and "new_answer" not in tools or len(self.given[who]) == 3:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            if "new_answer" not in tools:
                return "the final answer", []
            self.given[who].append(1)
            n = len(self.given[who])
            words = " ".join(f"{who}-{n}-{i * 7919 % 104729}" for i in range(20000))
            return "here", [("new_answer", {"content": words[:102400]})]

        self.given = {f"m{i}": [] for i in range(3)}
        self.play(3, say)

    def test_of_fifty_rounds_of_tools(self):
        def say(who, messages, tools):
            results = sum(m["role"] == "tool" for m in messages)
            read = next((t for t in tools if t.endswith("read")), None)
            if read and "new_answer" in tools and "vote" not in tools and results < 200:
                return "next", [(read, {"part": f"{results + i}"}) for i in range(4)]
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            return "here", [("new_answer", {"content": "it is read"})] if "new_answer" in tools else []

        self.play(1, say, ["s"])

    def test_of_sixty_four_agents(self):
        def say(who, messages, tools):
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            if "new_answer" not in tools:
                return "the final answer", []
            return "here", [("new_answer", {"content": " ".join(f"{who}-{i * 7919 % 104729}" for i in range(1000))[:4096]})]

        self.play(64, say)

    def test_of_one_agent_and_a_long_answer(self):
        def say(who, messages, tools):
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            words = " ".join(f"{len(tools)}-{i * 7919 % 104729}" for i in range(30000))[:200000]
            return ("here", [("new_answer", {"content": words})]) if "new_answer" in tools else (words, [])

        self.play(1, say)

    def test_of_a_short_question(self):
        def say(who, messages, tools):
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            return "42", [("new_answer", {"content": "42"})] if "new_answer" in tools else []

        self.play(3, say)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
