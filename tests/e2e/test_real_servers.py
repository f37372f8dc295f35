# SPDX-License-Identifier: Apache-2.0
"""Replies of real servers, played byte for byte against the binary: what a person and the next request then see."""

import asyncio
import json
import time
import unittest

from provider import Provider, messages_stream
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


def sse(*events, end=True):
    return b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events) + (b"data: [DONE]\n\n" if end else b"")


def delta(reason=None, **members):
    return {"choices": [{"index": 0, "delta": members, **({"finish_reason": reason} if reason else {})}]}


def call(name, arguments, id="c1", **more):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return delta(tool_calls=[{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": text}, **more}])


STREAM = "text/event-stream"
VOTE = (200, STREAM, sse(call("vote", {"agent_id": "agent1", "reason": "fine"}), delta("tool_calls")))
FINAL = (200, STREAM, sse(delta(content="It is 42."), delta("stop")))


class Replies(RealServers):
    """What is read from a reply that came."""

    def answered(self, *replies, text="It is 42.", requests=None, **how):
        """A run that ends well with `text` on stdout; returns its events."""
        self.play(*replies)
        r, events = self.ask(**how)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], [text])
        if requests:
            self.assertEqual(len(self.provider.requests), requests)
        return events

    def first_answer(self, *replies, **how):
        """The first accepted answer of a run whose model then votes for it and presents."""
        events = self.answered(*replies, VOTE, FINAL, **how)
        return next(e["text"] for e in events if e["type"] == "new_answer")

    def test_provider_data_of_a_turn_with_calls_goes_back(self):
        """A thought signature on a call, reasoning under the field it came in: the next request of the run holds them."""
        first = sse(delta(reasoning="Hm", reasoning_details=[{"type": "reasoning.text", "index": 0, "text": "Hm"}]),
                    call("nonsense", {}, "f1", extra_content={"google": {"thought_signature": "Ej"}}), delta("tool_calls"))
        answer = (200, STREAM, sse(call("new_answer", {"content": "42"}), delta("tool_calls")))
        self.answered((200, STREAM, first), answer, VOTE, FINAL)
        turn = next(m for m in self.provider.requests[1]["messages"] if m["role"] == "assistant")
        self.assertEqual(turn["tool_calls"][0]["extra_content"], {"google": {"thought_signature": "Ej"}})
        self.assertEqual(turn["reasoning"], "Hm")
        self.assertEqual(turn["reasoning_details"], [{"type": "reasoning.text", "index": 0, "text": "Hm"}])

    def test_a_bad_finish_reason_is_no_success(self):
        for reason in ("network_error", "insufficient_system_resource", "solar_flare", "content_filter"):
            self.play((200, STREAM, sse(delta(content="Half a"), delta(reason))))
            r, events = self.ask(backend={"decision": "text"})
            self.assertEqual(r.returncode, 2, r.stdout + r.stderr)
            self.assertIn(reason, r.stdout + r.stderr)

    def test_content_as_a_list(self):
        parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "secret"}]}, {"type": "text", "text": "The answer "}]
        how = {"backend": {"decision": "text"}}
        self.answered((200, STREAM, sse(delta(content=parts), delta(content="is 42."), delta("stop"))),
                      (200, STREAM, sse(delta(content="VOTE: agent1"), delta("stop"))), FINAL, **how)
        self.assertIn("The answer is 42.", json.dumps(self.provider.requests[1]))
        self.assertNotIn("secret", json.dumps(self.provider.requests[1:]))

    def test_an_answer_that_is_not_quite_json_costs_no_further_call(self):
        for arguments in ('{"content":"one\ntwo"}', '{}{"content":"one\\ntwo"}', '{"content":"one\\ntwo"}{"content":"one\\ntwo"}',
                          json.dumps(json.dumps({"content": "one\ntwo"})), '```json\n{"content":"one\\ntwo"}\n```'):
            got = self.first_answer((200, STREAM, sse(call("new_answer", arguments), delta("tool_calls"))), requests=3)
            self.assertEqual(got, "one\ntwo")

    def test_half_a_surrogate_pair_loses_no_reply(self):
        events = b"".join(b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,%s"function":{%s"arguments":"%s"}}]}}]}\n\n' % x for x in (
            (b'"id":"a",', b'"name":"new_answer",', rb'{\"content\":\"ok \ud83d'), (b"", b"", rb'\ude00 \\ud83d tail\"}')))
        got = self.first_answer((200, STREAM, events + sse(delta("tool_calls"))), requests=3)
        self.assertEqual(got, "ok \U0001f600 \ufffd tail")

    def test_decorated_names_resolve(self):
        vote = (200, STREAM, sse(call("functions.vote:0", {"agent_id": "Agent 1", "reason": "x"}), delta("tool_calls")))
        self.answered((200, STREAM, sse(call("new_answer<|channel|>commentary", {"content": "42"}), delta("tool_calls"))), vote, FINAL,
                      requests=3)

    def test_thinking_in_the_text_reaches_nobody(self):
        def said(text):
            return (200, STREAM, sse(*[delta(content=text[i:i + 5]) for i in range(0, len(text), 5)], delta("stop")))

        for before in ("<think>secret\nVOTE: agent1</think>\n\n", "[THINK]secret\nVOTE: agent1[/THINK]", "secret\nVOTE: agent1\n</think>\n\n"):
            events = self.answered(said(before + "It is 41."), said("<think>secret</think>VOTE: agent1"), said(before + "It is 42."),
                                   backend={"decision": "text"}, requests=3)
            self.assertNotIn("secret", json.dumps(events))
            self.assertNotIn("secret", json.dumps(self.provider.requests))

    def test_a_claude_reply_cut_before_message_stop_is_complete(self):
        def cut(name, arguments, text=""):
            return (200, STREAM, b"".join(messages_stream(text, [(name, arguments)] if name else [])[:-1]))

        self.answered(cut("new_answer", {"content": "42"}), cut("vote", {"agent_id": "agent1", "reason": "x"}), cut("", {}, "It is 42."),
                      kind="claude", requests=3)

    def test_pings_hold_no_finished_stream(self):
        async def never_ending(provider, request, reply):
            await reply.head()
            for data in (sse(call("new_answer", {"content": "42"}), delta("tool_calls"), end=False),) + (b": ping\n\n",) * 300:
                await reply.chunk(data)
                await asyncio.sleep(0.2)

        started = time.monotonic()
        self.answered(never_ending, VOTE, FINAL, requests=3)
        self.assertLess(time.monotonic() - started, 30)

    def test_the_reason_is_seen_in_whatever_form_it_comes(self):
        error = b'{"error":{"message":"the moon is in the way","code":400}}'
        pretty = json.dumps(json.loads(error), indent=2).encode()
        for content, data in ((STREAM, error), (STREAM, pretty + b"\n"), ("text/plain", error), ("application/json", b"data: " + error + b"\n\n"),
                              (STREAM, b"error: " + error + b"\n\n"), ("text/html", pretty), (STREAM, b"event: error\ndata: " + error + b"\n\n")):
            for kind in ("chatcompletion", "claude"):
                self.play((200, content, data))
                r, _ = self.ask(kind=kind)
                self.assertEqual(r.returncode, 2, r.stdout + r.stderr)
                self.assertIn("the moon is in the way", r.stdout + r.stderr)

    def test_choices_are_merged(self):
        counted = [{"choices": [{"index": i, "delta": {"content": t}}]} for i, t in enumerate(("It ", "is ", "42."))]
        second = {"choices": [{"index": 0, "delta": {"content": "Calling."}, "finish_reason": "stop"},
                              {"index": 1, **call("new_answer", {"content": "42"})["choices"][0], "finish_reason": "tool_calls"}]}
        second["choices"][1]["index"] = 1
        self.answered((200, STREAM, sse(second)), VOTE, (200, STREAM, sse(*counted, delta("stop"))), requests=3)


class Refusals(RealServers):
    """What becomes of a request that a server refuses."""


class Tools(RealServers):
    """MCP servers that answer in ways of their own."""


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
