# SPDX-License-Identifier: Apache-2.0
"""Replies of real servers, played byte for byte against the binary: what a person and the next request then see."""

import asyncio
import unittest

from provider import Provider
from support import *


class RealServers(unittest.TestCase):
    """`play(*replies)` serves the i-th request the i-th reply, later ones the last; a reply is (status, content type, bytes) or a
    coroutine of (provider, request, reply)."""

    kind = "chatcompletion"

    def setUp(self):
        self.home = Home()
        self.provider = None

    def tearDown(self):
        if self.provider:
            self.provider.stop()
        self.home.__exit__()

    def play(self, *replies):
        async def behave(provider, request, reply):
            how = replies[min(len(provider.requests), len(replies)) - 1]
            if callable(how):
                return await how(provider, request, reply)
            status, content, data = how
            await reply.head(status, content, Content_Length=len(data))
            reply.writer.write(data)
            await reply.writer.drain()

        if self.provider:
            self.provider.stop()
        self.provider = Provider(behave)
        return self.provider

    def ask(self, question="q", kind=None, agents=1, timeout=60, flags=("--json",), backend=None, **more):
        """Runs a team of `agents` on the provider; returns the finished process and its events."""
        kind = kind or self.kind
        url = self.provider.url + ("" if kind == "claude" else "/v1")
        team = [{"id": f"m{i}", "backend": {"type": kind, "model": "m", "base_url": url, "api_key": "dummy", **(backend or {})}}
                for i in range(agents)]
        r = self.home.run("--config", self.home.write("team.json", {"agents": team, **more}), *flags, question, timeout=timeout)
        return r, events_of(r.stdout) if "--json" in flags else []


class Replies(RealServers):
    """What is read from a reply that came."""


class Refusals(RealServers):
    """What becomes of a request that a server refuses."""


class Tools(RealServers):
    """MCP servers that answer in ways of their own: `server` is what tests/support/bad_mcp.py plays."""

    def server(self, script, **more):
        return {"bad": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "plays", json.dumps(script)], **more}}

    def use(self, servers, flags=("--json",), agents=1, tool="mcp__bad__echo", arguments=None):
        """A scripted team that calls the tool once; returns the finished process, its events and the lines of all servers' logs."""
        steps = [{"calls": [{"name": tool, "arguments": {} if arguments is None else arguments}]}, {"answer": "an answer"},
                 {"vote": "agent1", "reason": "fine"}, {"text": "the end", "optional": True}]
        team = [agent(f"m{i}", [dict(s) for s in steps]) for i in range(agents)]
        for a in team:
            a["backend"]["mcp_servers"] = servers
        r = self.home.run("--config", self.home.write("team.json", {"agents": team}), *flags, "q", timeout=90)
        self.assertEqual(r.returncode, 0, r.stderr)
        logs = [p.read_text(errors="replace") for p in sorted((self.home.path / "home" / "logs").glob("*/mcp_*.log"))]
        return r, events_of(r.stdout) if "--json" in flags else [], "".join(logs)

    @staticmethod
    def ended(events):
        return [e["reason"] for e in events if e["type"] == "call_ended" and e["target"] != "model"]

    @staticmethod
    def notices(events):
        return [e["reason"] for e in events if e["type"] == "agent_error" and e.get("flag")]

    def test_replies_that_can_be_understood_are_taken(self):
        head = '{"jsonrpc":"2.0","id":ID,'
        fine = '"result":{"content":[{"type":"text","text":"fine"}]'
        for name, reply in {"latin-1": head + '"result":{"content":"caf\xe9"}}', "NaN": head + fine + ',"structuredContent":{"x":NaN}}}',
                            "id as text": '{"jsonrpc":"2.0","id":"ID",' + fine + "}}", "id as float": '{"jsonrpc":"2.0","id":ID.0,' + fine + "}}",
                            "batch": "[" + head + fine + "}}]", "null error": head + '"error":null,' + fine + "}}",
                            "banner": "Server running on stdio" + head + fine + "}}", "BOM and CRLF": "\xef\xbb\xbf" + head + fine + "}}\r",
                            "text": head + '"result":{"content":"fine"}}', "one item": head + '"result":{"content":{"type":"text","text":"fine"}}}',
                            "half a surrogate pair": head + '"result":{"content":"a \\ud83d b"}}', "no id": '{"jsonrpc":"2.0",' + fine + "}}"}.items():
            with self.subTest(name):
                _, events, _ = self.use(self.server({"tools/call": reply + "\n"}))
                self.assertEqual((self.ended(events), self.notices(events)), (["finished"], []))

    def test_replies_that_cannot_be_used_end_the_call_at_once(self):
        head = '{"jsonrpc":"2.0","id":ID,'
        for name, (reply, status) in {"cut": (head + '"result":{"content":[{"type":"te', "bad_reply"), "empty": (head[:-1] + "}", "bad_reply"),
                                      "id last": ('{"result":{"content":[{"ty', "bad_reply"), "one word": ('{"jsonrpc": ', "bad_reply"),
                                      "pretty": ('{\n  "jsonrpc": "2.0",\n  "id": ID,\n  "result": {}\n}', "bad_reply"),
                                      "id null": ('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}', "error"),
                                      "null result": (head + '"result":null,"error":{"code":1,"message":"no"}}', "error")}.items():
            with self.subTest(name):
                began = time.monotonic()
                _, events, log = self.use(self.server({"tools/call": reply + "\n"}))
                self.assertLess(time.monotonic() - began, 30)
                self.assertEqual(self.ended(events), [status])
                if status == "bad_reply":
                    self.assertIn("[conclave] what may be a reply cannot be read", log)
                    self.assertIn("sent a reply that cannot be read", self.notices(events)[0])

    def test_arguments_as_deep_as_a_block_of_notion_are_sent(self):
        deep = 1
        for _ in range(20):
            deep = {"children": [deep]}
        _, events, _ = self.use(self.server({}), arguments=deep)
        self.assertEqual(self.ended(events), ["finished"])

    def test_a_cursor_that_repeats_is_said_once(self):
        page = '{"jsonrpc":"2.0","id":ID,"result":{"nextCursor":"x","tools":[{"name":"say it"},{"name":"gr\xc3\xbc\xc3\x9f"}]}}\n'
        reply = '{"jsonrpc":"2.0","id":ID,"result":{"content":"fine"}}\n'
        _, events, _ = self.use(self.server({"tools/list": page, "tools/call": reply}), tool="mcp__bad__say_it")
        self.assertEqual(self.ended(events), ["finished"])
        self.assertEqual(self.notices(events), ["MCP server 'bad': its list of tools has no end: it repeats itself (the same cursor came "
                                                "twice); the 2 so far are used"])

    def test_a_start_and_a_list_that_are_slow_fit_into_their_limits(self):
        r, _, _ = self.use(self.server({"delay": {"initialize": 6, "tools/list": 5}}, startup_timeout_seconds=8), flags=())
        self.assertIn("MCP server 'bad' is still starting, 5 s so far (at most 8 s, startup_timeout_seconds)", r.stderr)
        self.assertNotIn("notice", r.stderr)

    def test_a_dead_server_is_told_with_its_last_words(self):
        self.home.env["MY_TOKEN"] = "s3cret-of-many-letters"
        script = {"initialize": "exit", "stderr": "npm warn\n"}
        words = "ended with status 3; its last words: \"RuntimeError: no more paper\"; log: "
        _, events, log = self.use(self.server(script, env={"API_TOKEN": "${MY_TOKEN}"}))
        self.assertIn("works without tools: MCP server 'bad' " + words, self.notices(events)[0])
        self.assertTrue(pathlib.Path(self.notices(events)[0].split("log: ")[1]).is_file())
        self.assertIn("RuntimeError", log)
        self.assertIn(words, self.home.run("show", "last").stdout)
        for flag in ("--quiet", "--automation"):
            r, _, _ = self.use(self.server(script), flags=(flag,), agents=2)
            said = [line for line in r.stderr.splitlines() if "tools of" in line]
            self.assertEqual(len(said), 1, r.stderr)
            self.assertIn("tools of MCP server 'bad' were missing for m0, m1: " + words, said[0])
        r, _, _ = self.use(self.server({"tools/call": "exit", "stderr": "token s3cret-of-many-letters\n" * 9}, env={"API_TOKEN": "${MY_TOKEN}"}),
                           flags=("--quiet",))
        self.assertIn("tools of MCP server 'bad' failed for m0: " + words, r.stderr)
        self.assertNotIn("s3cret", r.stderr)
        r, _, _ = self.use({"bad": {"command": "no-such-program", "security": {"allowed_executables": ["no-such-program"]}}}, flags=("--quiet",))
        self.assertIn("tools of MCP server 'bad' were missing for m0: could not be started: no program 'no-such-program' on the PATH", r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
