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

    def test_show_names_what_is_sent_beside_the_turn(self):
        """xAI's `citations`, Perplexity's `search_results` with them, `web_search` of Z.ai with whole pages: in a chunk of their own, with a piece, again and again."""
        def beside(choices=(), **lists):
            return f"data: {json.dumps({'choices': list(choices), **lists})}\n\n".encode()

        lists = [({"citations": ["https://x/1", "https://x/2"]}, "https://x/1 https://x/2"),
                 ({"citations": ["https://x/1"], "search_results": [{"title": "One", "url": "https://x/1", "date": "2026-01-01"}]}, "One, https://x/1"),
                 ({"web_search": [{"title": "One", "link": "https://x/1", "content": "a whole page" * 99, "refer": "ref_1"}]}, "One, https://x/1")]
        for place in ("alone", "with a piece", "in one JSON"):
            for found, expected in lists:
                with self.subTest(f"{place}: {expected}"):
                    async def behave(provider, request, reply):
                        if "new_answer" not in reply.tools() or "vote" in reply.tools():
                            return await reply.decide("x")
                        if place == "in one JSON":
                            call = {"id": "c", "type": "function", "function": {"name": "new_answer", "arguments": '{"content": "x"}'}}
                            turn = {"index": 0, "message": {"role": "assistant", "content": "So.", "tool_calls": [call]}, "finish_reason": "tool_calls"}
                            data = beside([turn], object="chat.completion", **found)[6:-2]
                            await reply.head(200, "application/json", Content_Length=len(data))
                            reply.writer.write(data)
                            return await reply.writer.drain()
                        stream = chat_stream("It is so.", [("new_answer", {"content": "x"})])
                        piece = [{"index": 0, "delta": {"content": "."}}] if place == "with a piece" else []
                        await reply.head()
                        for data in (stream[0], beside(piece, **found), beside(piece, **found), *stream[1:]):
                            await reply.chunk(data)
                        await reply.end()

                    self.serve(behave)
                    team = {"agents": [{"id": "ada", "backend": {"type": "chatcompletion", "model": "m", "base_url": self.provider.url + "/v1",
                                                                 "api_key": "sk-0123456789"}}]}
                    r = self.home.run("-c", self.home.write("team.json", team), "q")
                    self.assertEqual(r.returncode, 0, r.stderr)
                    said = self.home.run("show", "last").stdout.split("Sources")[1].split("Final answer")[0]
                    self.assertEqual(said.split(), ["ada:", *expected.split()])
                    for part in ("https://x", "a whole page"):
                        self.assertNotIn(part, json.dumps([r["messages"] for r in self.provider.requests]))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
