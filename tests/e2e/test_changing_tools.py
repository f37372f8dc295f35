# SPDX-License-Identifier: Apache-2.0
"""A tool server whose tools change while its agent works: what the model is offered, what a person reads, what a replay makes of it."""

import unittest

from support import *
from test_real_servers import FINAL, STREAM, VOTE, RealServers, call, delta, sse

SERVER = str(ROOT / "tests" / "support" / "changing_mcp.py")


def tool(name):
    return "mcp__s__" + name


def servers(*tools):
    return {"s": {"command": sys.executable, "args": [SERVER, *tools], "security": {"allowed_executables": [sys.executable]}}}


class Offered(RealServers):
    """Each home is replayed and compared as it goes (`Home` in support.py)."""

    def test_a_model_is_offered_the_tools_of_now(self):
        def calls(name, **arguments):
            return (200, STREAM, sse(call(tool(name), arguments), delta("tool_calls")))

        answer = (200, STREAM, sse(call("new_answer", {"content": "42"}), delta("tool_calls")))
        self.play(calls("a", tools=["a", "c"]), calls("b"), calls("c", tools=["b", "c"], say=200), calls("a"), calls("b"), answer, VOTE, FINAL)
        r, events = self.ask(backend={"mcp_servers": servers("a", "b")})
        self.assertEqual(r.returncode, 0, r.stderr)
        asked = self.provider.requests
        offered = [sorted(t["function"]["name"][-1] for t in q["tools"] if t["function"]["name"].startswith("mcp__")) for q in asked[:6]]
        self.assertEqual(offered, [["a", "b"], ["a", "c"], ["a", "c"], ["b", "c"], ["b", "c"], ["b", "c"]])
        results = [m["content"] for m in asked[5]["messages"] if m["role"] == "tool"]
        self.assertEqual(results, ["seen a, listed 1 times", f"Error: there is no tool named '{tool('b')}' any more.",
                                   "seen c, listed 2 times", f"Error: there is no tool named '{tool('a')}' any more.",
                                   "seen b, listed 3 times"])
        self.assertEqual([e["target"][-1] for e in events if e["type"] == "call_started" and e["target"] != "model"], ["a", "c", "b"])


    def test_a_server_that_is_late_with_its_list_keeps_nobody_waiting(self):
        def calls(name, **arguments):
            return (200, STREAM, sse(call(tool(name), arguments), delta("tool_calls")))

        answer = (200, STREAM, sse(call("new_answer", {"content": "42"}), delta("tool_calls")))
        self.play(calls("a", tools=["a", "c"], late=True), calls("a"), answer, VOTE, FINAL)
        r, events = self.ask(backend={"mcp_servers": servers("a", "b")})
        self.assertEqual(r.returncode, 0, r.stderr)
        offered = [sorted(t["function"]["name"][-1] for t in q["tools"] if t["function"]["name"].startswith("mcp__"))
                   for q in self.provider.requests[:3]]
        self.assertEqual(offered, [["a", "b"], ["a", "b"], ["a", "c"]])


class Seen(unittest.TestCase):
    def run_with(self, tools, steps, *flags):
        with Home() as home:
            a = agent("m", [*steps, {"answer": "42"}, {"vote": "agent1", "reason": "fine"}, {"text": "the end", "optional": True}])
            a["backend"]["mcp_servers"] = servers(*tools)
            r = home.run("--config", home.write("team.json", {"agents": [a]}), *flags, "q", timeout=60)
            self.assertEqual(r.returncode, 0, r.stderr)
            return r.stderr

    def test_a_person_reads_of_each_change_once(self):
        said = self.run_with(["a", "b"], [{"calls": [{"name": tool("a"), "arguments": {"tools": ["a", "c"], "say": 50}}]},
                                          {"calls": [{"name": tool("c"), "arguments": {}}]}])
        changes = [x for x in said.splitlines() if "offers other tools" in x]
        self.assertEqual(len(changes), 1, said)
        self.assertIn(f"MCP server 's' offers other tools now: 1 new ({tool('c')}), 1 gone ({tool('b')})", changes[0])

    def test_a_person_reads_that_a_list_is_late(self):
        said = self.run_with(["a", "b"], [{"calls": [{"name": tool("a"), "arguments": {"tools": ["a", "c"], "late": True}}]},
                                          {"calls": [{"name": tool("a"), "arguments": {}}]}, {"calls": [{"name": tool("c"), "arguments": {}}]}])
        self.assertEqual(said.count("as they were, MCP server 's' has not listed them again within 5 s"), 1, said)
        self.assertEqual(said.count("offers other tools now: 1 new"), 1, said)

    def test_calls_side_by_side_with_one_that_is_gone(self):
        said = self.run_with(["a", "b"], [{"calls": [{"name": tool("a"), "arguments": {"tools": ["a"]}}, {"name": tool("b"), "arguments": {}}]},
                                          {"calls": [{"name": tool("b"), "arguments": {}}, {"name": tool("a"), "arguments": {}}]},
                                          {"calls": [{"name": tool("z"), "arguments": {}}, {"name": tool("b"), "arguments": {"n": 1}}]}])
        self.assertEqual(said.count("is gone: its call got an error result"), 2, said)

    def test_the_last_tool_goes_and_comes_back(self):
        self.run_with(["a"], [{"calls": [{"name": tool("a"), "arguments": {"tools": []}}]}, {"calls": [{"name": tool("a"), "arguments": {}}]}])
        self.run_with(["a"], [{"calls": [{"name": tool("b"), "arguments": {}}]}, {"calls": [{"name": tool("a"), "arguments": {"tools": ["b"]}}]},
                              {"calls": [{"name": tool("b"), "arguments": {}}]}])

    def test_progress_is_shown_now_and_then_and_safe_for_a_terminal(self):
        params = [{"progress": 1, "total": 3, "message": "copying\x1b[2J\u202e files " + "x" * 500}] + [{"progress": i} for i in range(300)]
        said = self.run_with(["a"], [{"calls": [{"name": tool("a"), "arguments": {"progress": params}}]}])
        shown = [x for x in said.splitlines() if "is at work on" in x]
        self.assertTrue(1 <= len(shown) <= 3, said)
        self.assertIn(f"MCP server 's' is at work on '{tool('a')}': 1 of 3: copying", shown[0])
        self.assertLess(len(shown[0]), 300)
        self.assertNotIn("\x1b[2J", said)
        self.assertNotIn("\u202e", said)

    def test_progress_of_nothing_or_of_another_shape_is_not_shown(self):
        params = [{"progressToken": "zzz", "progress": 1}, {"progress": None}, {"progress": [1], "message": {}}, {"progressToken": 1, "progress": 5}]
        said = self.run_with(["a"], [{"calls": [{"name": tool("a"), "arguments": {"progress": params}}]}])
        self.assertNotIn("is at work on", said)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
