# SPDX-License-Identifier: Apache-2.0
"""Teams over HTTP: what a run costs at any pace, and providers that hang, dribble, or ask for patience."""

import asyncio
import concurrent.futures
import unittest

from provider import Provider, Served
from support import *

ROUNDS = int(os.environ.get("CONCLAVE_PROVIDER_ROUNDS", "1"))
DIALECTS = ("chatcompletion", "claude", "openai", "gemini")


def backend(kind, url, model):
    return {"type": kind, "model": model, "base_url": url + ("" if kind == "claude" else "/v1"), "api_key": "dummy"}


class OverHttp(Served):
    def run_team(self, agents, timeout=90, **more):
        r = self.home.run("--config", self.home.write("team.json", {"agents": agents, **more}), "--json", "q", timeout=timeout)
        return r, events_of(r.stdout)

    def test_any_pace_costs_two_a_plus_one(self):
        async def behave(provider, request, reply):
            i = int(request["model"].rsplit("-", 1)[1])
            await asyncio.sleep(0.02 * (i % 7) + 0.01 * i)
            await reply.decide(f"answer {i}", gap=0.001 * (i % 5))

        for _ in range(ROUNDS):
            for n in (1, 3, 10, 30):
                provider = self.serve(behave)
                r, events = self.run_team([{"id": f"m{i}", "backend": backend(DIALECTS[i % len(DIALECTS)], provider.url, f"m-{i}")} for i in range(n)])
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual((len(provider.requests), model_calls(events)), (2 * n + 1, 2 * n + 1))
                self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["the final answer"])

    def test_a_short_outage_ends_no_team(self):
        async def behave(provider, request, reply):
            if provider.loop.time() - provider.requests[0]["at"] < 0.7:
                await reply.error(503, "overloaded")
            else:
                await reply.decide("x")

        for kind in DIALECTS:
            provider = self.serve(behave)
            r, events = self.run_team([{"id": f"m{i}", "backend": backend(kind, provider.url, "m")} for i in range(6)])
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertFalse([e for e in events if e["type"] == "agent_out"])

    def test_retry_after_is_kept_and_counts_as_no_failure(self):
        for kind in DIALECTS:
            async def behave(provider, request, reply):
                if len(provider.requests) == 1:
                    await reply.error(429, "slow down", Retry_After="2")
                else:
                    await reply.decide("x")
            provider = self.serve(behave)
            r, events = self.run_team([{"id": "a", "backend": backend(kind, provider.url, "m")}])
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertGreaterEqual(provider.requests[1]["at"] - provider.requests[0]["at"], 2.0)
            self.assertFalse([e for e in events if e["type"] == "run_failed"])

    def test_silence_of_every_kind_meets_its_deadline(self):
        async def nothing(provider, request, reply):
            await asyncio.sleep(1000)

        async def headers_only(provider, request, reply):
            await reply.head()
            await asyncio.sleep(1000)

        async def comments(provider, request, reply):
            await reply.head()
            while True:
                await reply.chunk(b": keep-alive\n\n")
                await asyncio.sleep(0.05)

        async def half(provider, request, reply):
            await reply.head()
            text = b'data: {"choices":[{"index":0,"delta":{"content":"half a sent"}}]}\n\n'
            if reply.messages:
                text = (b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{}}}\n\n'
                        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
                        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
                        b'"text":"half a sent"}}\n\n')
            if reply.gemini:
                text = b'data: {"candidates":[{"content":{"parts":[{"text":"half a sent"}],"role":"model"}}]}\n\n'
            if reply.responses:
                text = b'data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"half a sent"}\n\n'
            await reply.chunk(text)
            if request["model"] == "quiet":
                await asyncio.sleep(1000)
            while True:  # keep-alives are life (OpenRouter sends them for minutes): the run's own deadline ends this
                await asyncio.sleep(0.05)
                await reply.chunk(b": still here\n\n")

        cases = [(kind, name, behave) for kind in DIALECTS for name, behave in
                 (("quiet", nothing), ("headers only", headers_only), ("comments", comments), ("quiet", half), ("half, then comments", half))]

        def run(case):
            kind, name, behave = case
            provider = Provider(behave)
            with Home() as home:
                start = time.monotonic()
                team = {"agents": [{"id": "a", "backend": backend(kind, provider.url, name)}],
                        "timeout_settings": {"first_token_timeout_seconds": 1, "idle_timeout_seconds": 1, "initial_round_timeout_seconds": 3}}
                r = home.run("--config", home.write("team.json", team), "--json", "q", timeout=60)
                took = time.monotonic() - start
                closed = provider.wait(lambda: len(provider.closed) == len(provider.requests))
                shown = home.run("show", "last").stdout
            provider.stop()
            return r, took, len(provider.requests), closed, shown

        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            for (kind, name, behave), (r, took, requests, closed, shown) in zip(cases, pool.map(run, cases)):
                with self.subTest(f"{kind}: {name}, {behave.__name__}"):
                    events = events_of(r.stdout)
                    self.assertEqual(r.returncode, 2, r.stderr)
                    self.assertFalse([e for e in events if e["type"] == "final_answer"])
                    out = [e for e in events if e["type"] == "agent_out"]
                    self.assertEqual(len(out), 1)
                    self.assertLess(requests, 10)
                    self.assertTrue(closed, "a call was left on the wire")
                    if behave is half:
                        self.assertIn("half a sent", shown)
                    print(f"{kind}, {behave.__name__}, {name}: {requests} requests, {took:.1f} s, {out[0]['reason']}", flush=True)

    def test_interruption_cancels_on_the_wire_and_keeps_partial_text(self):
        plain = {"content": "line\nI was about to sa"}
        call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "new_answer", "arguments": '{"content":"line\\nI was about to sa'}}]}
        for number, delta in ((signal.SIGINT, plain), (signal.SIGTERM, call)):
            async def behave(provider, request, reply):
                if "vote" in reply.tools() or request["model"] == "fast":
                    return await reply.decide("a fast answer")
                await reply.head()
                await reply.chunk(b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n")
                await asyncio.sleep(1000)

            provider = self.serve(behave)
            team = [{"id": m, "backend": backend("chatcompletion", provider.url, m)} for m in ("fast", "slow")]
            p = self.home.start("--config", self.home.write("team.json", {"agents": team}), "-v", "--json", "q")
            lines = Lines(p.stdout)
            lines.until("new_answer")
            Lines(p.stderr).until("line")
            p.send_signal(number)
            p.communicate(timeout=15)
            self.assertEqual(p.returncode, 4)
            self.assertTrue(provider.wait(lambda: len(provider.closed) == 1, 3), "the call went on")
            shown = self.home.run("show", "last").stdout
            self.assertIn("a fast answer", shown)
            self.assertIn("I was about to sa", shown)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
