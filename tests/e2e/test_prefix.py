# SPDX-License-Identifier: Apache-2.0
"""What a provider's cache can keep: successive requests of one agent in one run are the same, byte for byte, up to what is new. In every dialect,
through a tool loop with parallel calls."""

import unittest

from provider import Provider
from support import *

ECHO = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}
KINDS = {"chatcompletion": b'"messages":[', "claude": b'"messages":[', "openai": b'"input":[', "gemini": b'"contents":[', "azure_openai": b'"messages":['}
ROUNDS = 4


def end_of_list(body, start):
    depth, quoted, at = 0, False, start
    while at < len(body):
        c = body[at:at + 1]
        if quoted and c == b"\\":
            at += 1
        elif c == b'"':
            quoted = not quoted
        elif not quoted and c == b"[":
            depth += 1
        elif not quoted and c == b"]":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise AssertionError("the list does not end")


class Prefix(unittest.TestCase):
    def test_what_was_sent_is_sent_again_in_front_of_what_is_new(self):
        for kind, name in KINDS.items():
            with self.subTest(kind), Home() as home:
                rounds = [0]

                async def behave(provider, request, reply):
                    tools = sorted(t for t in reply.tools() if t.startswith("mcp__"))
                    if tools and "vote" not in reply.tools() and rounds[0] < ROUNDS:
                        rounds[0] += 1
                        return await reply.play("I look, größer.", [(tools[0], {"text": f"a {rounds[0]}"}), (tools[0], {"text": "b \U0001f600"})])
                    await reply.decide("It is 42.")

                provider = Provider(behave)
                try:
                    backend = {"type": kind, "model": "m", "base_url": provider.url + ("" if kind in ("claude", "azure_openai") else "/v1"), "api_key": "dummy",
                               "mcp_servers": {"s": ECHO}}
                    r = home.run("--config", home.write("team.json", {"agents": [{"backend": backend}]}), "q")
                    self.assertEqual(r.returncode, 0, r.stderr)
                finally:
                    provider.stop()
                self.assertGreater(len(provider.bodies), ROUNDS)
                for before, after in list(zip(provider.bodies, provider.bodies[1:]))[:ROUNDS]:
                    end = end_of_list(before, before.index(name))
                    while before[end - 1:end] in (b"]", b"}", b'"'):
                        end -= 1
                    self.assertEqual(after[:end], before[:end])
                    self.assertGreater(end, before.index(name) + 100)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
