# SPDX-License-Identifier: Apache-2.0
"""Replies of real servers, played byte for byte against the binary: what a person and the next request then see."""

import asyncio
import json
import socket
import threading
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
            self.assertNotIn("secret", json.dumps([e for e in events if e["type"] != "task_opened"]))  # whose mark for keys is called so
            self.assertNotIn("secret", json.dumps(self.provider.requests))

    def test_a_claude_reply_cut_before_message_stop_is_complete(self):
        def cut(name, arguments, text=""):
            return (200, STREAM, b"".join(messages_stream(text, [(name, arguments)] if name else [])[:-1]))

        self.answered(cut("new_answer", {"content": "42"}), cut("vote", {"agent_id": "agent1", "reason": "x"}), cut("", {}, "It is 42."),
                      kind="claude", requests=3)

    def test_pings_hold_no_finished_stream(self):
        for ping in (b": ping\n\n", b"data: [HEARTBEAT]\n\n", sse(delta(content="", reasoning_details=[], node=7), end=False)):
            async def never_ending(provider, request, reply):
                await reply.head()
                for data in (sse(call("new_answer", {"content": "42"}), delta("tool_calls"), end=False),) + (ping,) * 300:
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


def refusal(message, status=400, **more):
    """A reply of (status, content type, bytes): a refusal in the shape of Chat Completions."""
    return status, "application/json", json.dumps({"error": {"message": message, **more}}).encode()


async def decides(provider, request, reply):
    await reply.decide("42")


class Refusals(RealServers):
    """What becomes of a request that a server refuses."""

    def guard(self, refuse, then=decides):
        """Serves `then`, but refuses each request for which `refuse` returns a reply."""
        async def behave(provider, request, reply):
            how = refuse(request)
            if how is None:
                return await then(provider, request, reply)
            status, content, data = how
            await reply.head(status, content, Content_Length=len(data))
            reply.writer.write(data)
            await reply.writer.drain()

        return self.play(behave)

    def fine(self, r, events):
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertFalse([e for e in events if e["type"] == "agent_out"], r.stdout)

    def test_provider_data_of_a_turn_with_calls_goes_back(self):
        """Gemini: 400 unless the thought signature comes back; others: their reasoning."""
        def first(provider, request):
            return not any(m["role"] == "tool" for m in request["messages"])

        async def model(provider, request, reply):
            if not first(provider, request) or "vote" in reply.tools() or not reply.tools():
                return await reply.decide("42")
            delta = {"role": "assistant", "reasoning_content": "hm", "tool_calls": [
                {"index": 0, "id": "f1", "type": "function", "function": {"name": "nobody", "arguments": "{}"},
                 "extra_content": {"google": {"thought_signature": "Ej"}}}]}
            await reply.head()
            for d, end in ((delta, None), ({}, "tool_calls")):
                await reply.chunk(b"data: " + json.dumps({"choices": [{"index": 0, "delta": d, "finish_reason": end}]}).encode() + b"\n\n")
            await reply.chunk(b"data: [DONE]\n\n")
            await reply.end()

        def refuse(request):
            for m in request["messages"]:
                for c in m.get("tool_calls", []):
                    if c["function"]["name"] == "nobody" and "extra_content" not in c:
                        return refusal("Function call is missing a thought_signature in functionCall parts.")
            return None

        self.guard(refuse, model)
        r, events = self.ask()
        self.fine(r, events)
        turns = [m for q in self.provider.requests for m in q["messages"] if m["role"] == "assistant"]
        self.assertTrue(any(m.get("reasoning_content") == "hm" for m in turns), turns)

    def test_a_refused_system_role_is_folded_once_and_told_once(self):
        self.guard(lambda q: refusal("System role not supported", 500) if q["messages"][0]["role"] == "system" else None)
        r, events = self.ask(flags=())
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(sum(q["messages"][0]["role"] == "system" for q in self.provider.requests), 1)
        self.assertEqual(r.stderr.count("System role not supported"), 1, r.stderr)

    def test_a_refused_schema_of_a_workflow_tool_steps_down_and_does_not_end_the_agent(self):
        async def model(provider, request, reply):
            if "response_format" in request:
                return await reply.play(json.dumps({"action": "vote", "agent_id": "agent1"}))
            await reply.play("42")

        self.guard(lambda q: refusal("Invalid schema for function 'new_answer'") if q.get("tools") else None, model)
        r, events = self.ask()
        self.fine(r, events)
        r, _ = self.ask(flags=())
        self.assertEqual(r.stderr.count("from now on it works without tools (model m): the server refused the request, \"Invalid schema"), 1)

    def test_a_tool_whose_schema_is_refused_is_left_out_and_the_others_stay(self):
        """In both dialects, by index and by name; the agent is not out, and keeps the workflow tools."""
        command = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}

        def refuse_with(text):
            def refuse(request):
                names = [t.get("name") or t["function"]["name"] for t in request.get("tools", [])]
                if "mcp__bad__echo" not in names:
                    return None
                text_now = text % (names.index("mcp__bad__echo") if "%d" in text else "mcp__bad__echo")
                return (400, "application/json", json.dumps(
                    {"type": "error", "error": {"type": "invalid_request_error", "message": text_now}}).encode())
            return refuse

        for kind, text in (("chatcompletion", "Invalid schema for function '%s': schema must not have 'anyOf' at the top level"),
                           ("claude", "tools.%d.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")):
            with self.subTest(kind=kind):
                self.guard(refuse_with(text))
                r, _ = self.ask(kind=kind, flags=(), backend={"mcp_servers": {"bad": command}})
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("`mcp__bad__echo` is left out", r.stderr)
                self.assertEqual(len(self.provider.requests), 5)
                self.assertIn("new_answer", json.dumps(self.provider.requests[2]["tools"]))

    def test_what_the_model_spoilt_is_asked_again(self):
        spoilt = {"code": "tool_use_failed", "type": "invalid_request_error", "failed_generation": "<function"}
        for bad in (refusal("Failed to call a function. Please adjust your prompt.", **spoilt),
                    (200, "text/event-stream", b"event: error\ndata: " + json.dumps(
                        {"error": {"message": "Failed to call a function.", **spoilt}}).encode() + b"\n\n"),
                    refusal("Failed to parse tool call arguments as JSON", 500)):
            with self.subTest(bad=bad[2]):
                self.play(bad, bad, decides)
                r, events = self.ask()
                self.fine(r, events)
                self.assertEqual(len(self.provider.requests), 5)

    def test_a_question_that_alone_is_too_long_fails_once(self):
        for body in (refusal("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193"),
                     (400, "application/json", b'{"object":"error","message":"maximum context length is 8"}'),
                     (400, "text/plain", b"prompt is too long"), (500, "application/json", b'{"error":"input length exceeds the context length"}')):
            with self.subTest(body=body[2]):
                self.play(body)
                r, events = self.ask(flags=())
                self.assertEqual(r.returncode, 2)
                self.assertEqual(len(self.provider.requests), 1, self.provider.requests)
                self.assertIn("shorten it", r.stderr)

    def test_the_servers_own_sentence_reaches_the_person(self):
        raw = json.dumps({"error": {"message": "the inner cause"}})
        for body in (refusal("Provider returned error", 400, metadata={"raw": raw, "provider_name": "Some"}),
                     (400, "application/json", b'{"base_resp":{"status_code":2013,"status_msg":"the inner cause"}}'),
                     (422, "application/json", b'{"detail":[{"loc":["body","x"],"msg":"the inner cause"}]}'),
                     (400, "application/json", b'{"errors":[{"message":"the inner cause"}]}'),
                     (400, "text/html", b"<html><style>p{x:y}</style><title>the inner cause</title></html>")):
            with self.subTest(body=body[2]):
                self.play(body)
                r, _ = self.ask(flags=())
                self.assertEqual(r.returncode, 2)
                self.assertIn("the inner cause", r.stderr)
                self.assertNotIn("p{x", r.stderr)

    def test_an_empty_account_is_not_a_wrong_key(self):
        self.play(refusal("You exceeded your current quota", 429, code="insufficient_quota"))
        r, _ = self.ask(flags=())
        self.assertEqual((r.returncode, len(self.provider.requests)), (2, 1))
        self.assertIn("plan and billing", r.stderr)
        self.assertNotIn("check the key", r.stderr)

    def test_a_wait_in_the_body_is_kept(self):
        slow = refusal("Quota exceeded", 429, details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}])
        self.play(slow, decides)
        r, events = self.ask()
        self.fine(r, events)
        self.assertGreaterEqual(self.provider.requests[1]["at"] - self.provider.requests[0]["at"], 1.4)

    def test_a_model_that_is_being_loaded_is_waited_for(self):
        self.play(*[(503, "application/json", b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}')] * 4, decides)
        r, events = self.ask(flags=())
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("waiting until the model is loaded", r.stderr)

    def test_the_wrong_scheme_for_a_port_is_tried_once(self):
        for scheme, said, right in (("https", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "`http://`"),
                                    ("http", b"\x15\x03\x01\x00\x02\x02\x0a", "`https://`")):
            with self.subTest(scheme=scheme):
                self.try_once(scheme, said, right)

    def try_once(self, scheme, said, right):
        server = socket.create_server(("127.0.0.1", 0))
        seen = []

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                seen.append(peer.recv(4096))
                peer.sendall(said)
                peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.play(decides)
        self.provider.url = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        r, _ = self.ask(flags=())
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        self.assertEqual((r.returncode, len(seen)), (2, 1), r.stderr)
        self.assertIn(right, r.stderr)


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
        return [e["reason"] for e in events if e["type"] == "agent_notice"]

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

    def test_replies_with_an_id_that_was_never_sent_are_matched_or_end_the_call(self):
        fine = '"result":{"content":[{"type":"text","text":"fine"}]}}'
        for number in ('"call-ID"', "0", "99", "-1", "[ID]", '"ID.0"', "1"):  # 1: that of the start, for everything
            with self.subTest(number):
                _, events, _ = self.use(self.server({"tools/call": '{"jsonrpc":"2.0","id":' + number + "," + fine + "\n"}))
                self.assertEqual((self.ended(events), self.notices(events)), (["finished"], []))
        for reply, said in (('{"jsonrpc":"2.0","id":0,"error":{"code":-1,"message":"no paper"}}', "no paper"),
                            ("{'jsonrpc': '2.0', 'id': ID, 'result': {'content': 'fine'}}", "it is no JSON-RPC message")):
            with self.subTest(reply):
                began = time.monotonic()
                _, events, _ = self.use(self.server({"tools/call": reply + "\n"}))
                self.assertLess(time.monotonic() - began, 30)
                self.assertEqual(self.ended(events), ["bad_reply"])
                self.assertIn(said, self.notices(events)[0])

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
        says = self.home.write("says.py", "print('Error: port 3000 is taken')\n")
        r, _, _ = self.use({"bad": {"command": "python3", "args": [says]}}, flags=("--quiet",))
        self.assertIn('the last line of its stdout is "Error: port 3000 is taken"', r.stderr)
        self.home.write("says.py", "import sys\nsys.stderr.write('x' * 100000)\n")
        r, _, _ = self.use({"bad": {"command": "python3", "args": [says]}}, flags=("--quiet",))
        self.assertNotIn("it wrote nothing to stderr", r.stderr)
        r, _, _ = self.use({"bad": {"command": "no-such-program", "security": {"allowed_executables": ["no-such-program"]}}}, flags=("--quiet",))
        self.assertIn("tools of MCP server 'bad' were missing for m0: could not be started: no program 'no-such-program' on the PATH", r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
