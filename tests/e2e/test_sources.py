# SPDX-License-Identifier: Apache-2.0
"""What a provider's own search has read is named by `conclave show`, as the display named it while the run was under way."""

import unittest

from provider import Served, chat_stream, messages_stream
from support import *


class Sources(Served):
    def asked(self, kind, stream):
        """Runs one agent whose first answer is `stream`. Returns what the display and `show` said."""
        async def behave(provider, request, reply):
            if "new_answer" not in reply.tools() or "vote" in reply.tools():
                return await reply.decide("x")
            await stream(reply)

        self.serve(behave)
        url = self.provider.url + ("" if kind == "claude" else "/v1")
        team = {"agents": [{"id": "ada", "backend": {"type": kind, "model": "m", "base_url": url, "api_key": "sk-0123456789"}}]}
        r = self.home.run("-c", self.home.write("team.json", team), "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        shown = self.home.run("show", "last")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        return r.stderr, shown.stdout.split("Sources")[1].split("Final answer")[0]

    @staticmethod
    async def play(reply, events):
        await reply.head()
        for data in events:
            await reply.chunk(data)
        await reply.end()

    def test_show_names_what_the_display_named(self):
        async def stream(reply):
            events = messages_stream("It is so.", [("new_answer", {"content": "x"})])
            for title in ("First page", "Second page"):
                cited = {"type": "web_search_result_location", "title": title, "url": "https://example.org/" + title[0], "cited_text": "so"}
                event = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": cited}}
                events.insert(3, f"event: content_block_delta\ndata: {json.dumps(event)}\n\n".encode())
            await self.play(reply, events)

        display, shown = self.asked("claude", stream)
        for source in ("First page, https://example.org/F", "Second page, https://example.org/S"):
            self.assertIn("source: " + source, display)
            self.assertIn(source, shown)

    def test_show_names_what_a_chat_completion_cites(self):
        def cites(*names):
            cited = [{"type": "url_citation", "url_citation": {"title": n, "url": "https://example.org/" + n}} for n in names]
            return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'annotations': cited}}]})}\n\n".encode()

        async def stream(reply):
            events = chat_stream("It is so.", [("new_answer", {"content": "x"})])
            await self.play(reply, (events[0], cites("A"), cites("B"), cites("A", "B", "C"), *events[1:]))

        _, shown = self.asked("chatcompletion", stream)
        self.assertEqual(shown.split(), ["ada:", *(x for n in "ABC" for x in (n + ",", "https://example.org/" + n))])
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
                    async def stream(reply):
                        if place == "in one JSON":
                            call = {"id": "c", "type": "function", "function": {"name": "new_answer", "arguments": '{"content": "x"}'}}
                            turn = {"index": 0, "message": {"role": "assistant", "content": "So.", "tool_calls": [call]}, "finish_reason": "tool_calls"}
                            data = beside([turn], object="chat.completion", **found)[6:-2]
                            await reply.head(200, "application/json", Content_Length=len(data))
                            reply.writer.write(data)
                            return await reply.writer.drain()
                        events = chat_stream("It is so.", [("new_answer", {"content": "x"})])
                        piece = [{"index": 0, "delta": {"content": "."}}] if place == "with a piece" else []
                        await self.play(reply, (events[0], beside(piece, **found), beside(piece, **found), *events[1:]))

                    _, shown = self.asked("chatcompletion", stream)
                    self.assertEqual(shown.split(), ["ada:", *expected.split()])
                    for part in ("https://x", "a whole page"):
                        self.assertNotIn(part, json.dumps([r["messages"] for r in self.provider.requests]))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
