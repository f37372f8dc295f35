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
    """MCP servers that answer in ways of their own."""


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
