# SPDX-License-Identifier: Apache-2.0
"""What a task takes in the store, against what was said in it: at most 1.5 times the new messages of each call, the completions, and the
arguments and results of tools, and 64 KiB. It is measured as the size of the file of a store with that task alone, its log written back:
so the empty tables count too."""

import contextlib
import sqlite3
import unittest

from provider import Provider
from support import *

LONG = bool(os.environ.get("CONCLAVE_LONG"))
MANY = 300 if LONG else 100  # calls in one run: each sends all before it, so three times as many take nine times as long

SERVER = r'''
import base64, hashlib, json, sys
size, like = int(sys.argv[1]), sys.argv[2]
def bytes_of(part):
    return b"".join(hashlib.sha256(f"{part} {i}".encode()).digest() for i in range(size // 32 + 1))
def result(part):
    if like == "plain":
        return ((part + " ") * (size // (len(part) + 1) + 1))[:size]
    if like == "base64":
        return base64.b64encode(bytes_of(part)).decode()[:size]
    return bytes_of(part).hex()[:size]
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
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"content": [{"type": "text", "text": result(part)}]}})
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
    """Counts what is said: `said` bytes. A tool's result has `result` bytes."""

    def __init__(self, say, result):
        self.say, self.said, self.before, self.result = say, 0, {}, result

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
                self.said += size(arguments) + self.result
        await reply.play(text, calls)


class StoredSize(unittest.TestCase):
    def play(self, agents, say, result=0, like="plain", calls=50, **orchestrator):
        """`result`: bytes of what the tool gives, 0 = no tool; `like`: what it looks like; see SERVER."""
        with Home() as home:
            home.write("server.py", SERVER)
            server = {"name": "s", "type": "stdio", "command": sys.executable, "args": [str(home.path / "server.py"), str(result), like]}
            model = Model(say, result)
            provider = Provider(model)
            try:
                team = {"agents": [{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": f"m{i}", "base_url": provider.url + "/v1",
                                                               "mcp_servers": [server] if result else [],
                                                               "max_tool_iterations": calls}} for i in range(agents)],
                        "orchestrator": orchestrator}
                home.run("list")
                r = home.run("-c", home.write("team.json", team), "--quiet", "q", timeout=120)
                self.assertEqual(r.returncode, 0, r.stderr)
            finally:
                provider.stop()
            path = home.path / "home" / "tasks.db"
            with contextlib.closing(sqlite3.connect(path)) as db:
                records = db.execute("SELECT count(*), sum(length(data)) FROM records").fetchone()
                bodies, = db.execute("SELECT sum(length(bytes)) FROM pieces").fetchone()
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            limit = 1.5 * model.said + 65536
            took = path.stat().st_size
            self.assertLessEqual(took, limit, f"said {model.said}, records {records}, bodies {bodies}, file {took}")

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

        self.play(1, say, 2048)

    def reads(self, times, beside=1):
        """A model that calls the tool so many times, so many calls beside each other, then answers and votes."""
        def say(who, messages, tools):
            results = sum(m["role"] == "tool" for m in messages)
            read = next((t for t in tools if t.endswith("read")), None)
            if read and "new_answer" in tools and "vote" not in tools and results < times:
                return "", [(read, {"part": f"{results + i}"}) for i in range(beside)]
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            return "here", [("new_answer", {"content": "it is read"})] if "new_answer" in tools else []

        return say

    def test_of_forty_nine_tiny_calls(self):
        self.play(1, self.reads(49), 20)

    def test_of_many_tiny_calls(self):
        self.play(1, self.reads(MANY), 20, calls=1000)

    def test_of_many_tiny_calls_five_beside_each_other(self):
        self.play(1, self.reads(MANY, 5), 20, calls=1000)

    def test_of_many_small_calls_of_noise(self):
        self.play(1, self.reads(MANY), 300, "noise", calls=1000)

    def test_of_calls_of_noise_a_bit_below_and_above_what_lies_in_records(self):
        for size in (3900, 4000, 4200):
            with self.subTest(size):
                self.play(1, self.reads(MANY // 3), size, "noise", calls=1000)

    def test_of_large_results_that_hardly_become_shorter(self):
        self.play(1, self.reads(3), 300000, "base64", calls=1000)

    def test_of_answers_that_json_escapes(self):
        def say(who, messages, tools):
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            return ("here", [("new_answer", {"content": words})]) if "new_answer" in tools else (words, [])

        # Control characters, and what programs write to a terminal.
        for name, words in (("controls", "".join(chr(1 + i * i * 7919 % 104729 % 31) for i in range(100000))),
                            ("colours", "".join(f"\x1b[{30 + i % 8}m{'.x+-'[i * 7919 % 4]}" for i in range(20000)))):
            with self.subTest(name):
                self.play(1, say)

    def test_of_sixteen_agents_with_small_calls(self):
        self.play(16, self.reads(45), 300)

    def test_of_sixty_four_agents_with_short_answers(self):
        def say(who, messages, tools):
            if "vote" in tools:
                return "fine", [("vote", {"agent_id": "agent1", "reason": "fine"})]
            return "42", [("new_answer", {"content": "42 " + who})] if "new_answer" in tools else []

        self.play(64, say)

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
