# SPDX-License-Identifier: Apache-2.0
"""What a provider's own search has read is named by `conclave show`, as the display named it while the run was under way."""

import unittest

from provider import Served, chat_stream, messages_stream
from support import *


class Sources(Served):
    def test_show_names_what_the_display_named(self):
        async def behave(provider, request, reply):
            if "new_answer" not in reply.tools():
                return await reply.decide("x")
            stream = messages_stream("It is so.", [("new_answer", {"content": "x"})])
            for title in ("First page", "Second page"):
                cited = {"type": "web_search_result_location", "title": title, "url": "https://example.org/" + title[0], "cited_text": "so"}
                event = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": cited}}
                stream.insert(3, f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode())
            await reply.head()
            for data in stream:
                await reply.chunk(data)
            await reply.end()

        self.serve(behave)
        team = {"agents": [{"id": "ada", "backend": {"type": "claude", "model": "m", "base_url": self.provider.url, "api_key": "sk-0123456789"}}]}
        r = self.home.run("-c", self.home.write("team.json", team), "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        said = self.home.run("show", "last")
        self.assertEqual(said.returncode, 0, said.stderr)
        for source in ("First page, https://example.org/F", "Second page, https://example.org/S"):
            self.assertIn("source: " + source, r.stderr)
            self.assertIn(source, said.stdout.split("Sources")[1].split("Final answer")[0])

    def test_show_names_what_a_chat_completion_cites(self):
        def cites(*names):
            cited = [{"type": "url_citation", "url_citation": {"title": n, "url": "https://example.org/" + n}} for n in names]
            return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'annotations': cited}}]})}\n\n".encode()

        async def behave(provider, request, reply):
            if "new_answer" not in reply.tools() or "vote" in reply.tools():
                return await reply.decide("x")
            stream = chat_stream("It is so.", [("new_answer", {"content": "x"})])
            await reply.head()
            for data in (stream[0], cites("A"), cites("B"), cites("A", "B", "C"), *stream[1:]):
                await reply.chunk(data)
            await reply.end()

        self.serve(behave)
        team = {"agents": [{"id": "ada", "backend": {"type": "chatcompletion", "model": "m", "base_url": self.provider.url + "/v1",
                                                     "api_key": "sk-0123456789"}}]}
        r = self.home.run("-c", self.home.write("team.json", team), "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        said = self.home.run("show", "last").stdout.split("Sources")[1].split("Final answer")[0]
        self.assertEqual(said.split(), ["ada:", *(x for n in "ABC" for x in (n + ",", "https://example.org/" + n))])
        self.assertNotIn("annotations", json.dumps([r["messages"] for r in self.provider.requests]))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
