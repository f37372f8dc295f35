# SPDX-License-Identifier: Apache-2.0
"""Type `openai` through the real binary against a strict server of the Responses API: a tool loop of two agents whose thoughts are sealed,
and what the server says when something is wrong."""

import unittest

import responses
from provider import Provider
from support import *

ECHO = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}


class Responses(unittest.TestCase):
    def serve(self, behave):
        self.faults = []

        async def strict(provider, request, reply):
            why = responses.fault(request)
            if why:
                self.faults.append(why)
                return await reply.error(400, why)
            await behave(provider, request, reply)

        self.provider = Provider(strict)
        self.addCleanup(self.provider.stop)
        self.home = Home()
        self.addCleanup(self.home.__exit__)
        return self.provider

    def team(self, n=1, **more):
        return self.home.write("team.json", {"agents": [{"id": f"a{i}", "backend": {
            "type": "openai", "model": f"m-{i}", "base_url": self.provider.url + "/v1", "api_key": "dummy", **more}} for i in range(n)]})

    async def play(self, reply, **more):
        await reply.head()
        for data in responses.stream(**more):
            await reply.chunk(data)
        await reply.end()

    def test_two_agents_loop_through_tools_with_sealed_thoughts(self):
        sent = {}  # sealed thoughts, by model

        async def behave(provider, request, reply):
            model, mine = request["model"], sent.setdefault(request["model"], [])
            tools = sorted(t for t in reply.tools() if t.startswith("mcp__"))
            results = [i for i in request["input"] if i.get("type") == "function_call_output"]
            seal = f"{model}{len(mine):02}" + "gAAAA+/=" * 40
            use = responses.usage(31 + len(mine), 17, 5, 3)
            if tools and "new_answer" in reply.tools() and "vote" not in reply.tools() and len(results) < 4:
                mine.append(seal)
                calls = [(tools[0], {"text": f"größer {len(results)} \U0001f600"}), (tools[0], {"text": f"second {len(results)}"})]
                return await self.play(reply, text="I look.", calls=calls, sealed=seal, use=use)
            if "vote" in reply.tools():
                return await self.play(reply, text="", calls=[("vote", {"agent_id": "agent1", "reason": "schön"})], use=use)
            if "new_answer" in reply.tools():
                back = [i["encrypted_content"] for i in request["input"] if i.get("type") == "reasoning"]
                self.assertEqual(back, mine)
                return await self.play(reply, text="", calls=[("new_answer", {"content": f"answer of {model}"})], use=use)
            await self.play(reply, text="the final answer", calls=[], use=use)

        provider = self.serve(behave)
        r = self.home.run("--config", self.team(2, mcp_servers={"bad": ECHO}), "--json", "q", timeout=60)
        self.assertEqual((r.returncode, self.faults), (0, []), r.stderr)
        events = events_of(r.stdout)
        self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["the final answer"])
        self.assertEqual({q["path"] for q in provider.requests}, {"/v1/responses"})
        self.assertEqual({q["headers"]["authorization"] for q in provider.requests}, {"Bearer dummy"})
        self.assertEqual({m: len(s) for m, s in sent.items()}, {"m-0": 2, "m-1": 2})
        loops = [q for q in provider.requests if sum(i.get("type") == "function_call_output" for i in q["input"]) == 4]
        self.assertEqual({q["model"] for q in loops}, {"m-0", "m-1"})
        for q in loops:
            outputs = [json.loads(i["output"])["text"] for i in q["input"] if i.get("type") == "function_call_output"]
            self.assertEqual(outputs, ["größer 0 \U0001f600", "second 0", "größer 2 \U0001f600", "second 2"])
            self.assertEqual([i["encrypted_content"] for i in q["input"] if i.get("type") == "reasoning"], sent[q["model"]][:2])
            self.assertEqual([i.get("type", "message") for i in q["input"]][-12:],
                             ["reasoning", "message", "function_call", "function_call", "function_call_output", "function_call_output"] * 2)
        uses = [e["usage"] for e in events if e["type"] == "call_ended" and e.get("usage")]
        self.assertTrue(uses and all(u["output"] == 17 for u in uses if "output" in u), uses[:2])

    def test_a_model_named_alone_and_keys_of_the_chat_api(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        provider = self.serve(behave)
        env = {"OPENAI_API_KEY": "sk-a", "OPENAI_BASE_URL": provider.url + "/v1"}
        r = self.home.run("--model", "o3-mini-high", "q", env=env)
        self.assertEqual((r.returncode, self.faults), (0, []), r.stderr)
        self.assertEqual({(q["model"], q["reasoning"]["effort"], q["path"]) for q in provider.requests}, {("o3-mini", "high", "/v1/responses")})
        del provider.requests[:]
        r = self.home.run("--config", self.team(max_tokens=77, temperature=0.5, reasoning={"effort": "low"}, text={"verbosity": "low"},
                                                decision="schema"), "q")
        self.assertEqual(self.faults, [], r.stderr)
        first = provider.requests[0]
        self.assertEqual((first["max_output_tokens"], first["temperature"], first["text"]["verbosity"]), (77, 0.5, "low"))
        formats = {(q["text"]["verbosity"], q["text"]["format"]["type"]) for q in provider.requests if "format" in q["text"]}
        self.assertEqual(formats, {("low", "json_schema")})

    def test_a_server_without_sealed_thoughts_is_asked_once_more(self):
        async def behave(provider, request, reply):
            if "include" in request:
                return await reply.error(400, "Encrypted content is not supported with this model.")
            await reply.decide("x")

        provider = self.serve(behave)
        r = self.home.run("--config", self.team(), "q")
        self.assertEqual((r.returncode, sum("include" in q for q in provider.requests)), (0, 1), r.stderr)
        self.assertIn("`include` is left out", r.stderr)

    def test_what_the_server_says_is_told_and_what_may_pass_is_tried_again(self):
        def failed(code, message):
            return [b"data: " + json.dumps({"type": "response.failed", "response": {"object": "response", "status": "failed", "output": [],
                                                                                   "error": {"code": code, "message": message}}}).encode() + b"\n\n"]

        cases = {"server_error": (0, 4), "invalid_prompt": (2, 1), "insufficient_quota": (2, 1), "context_length_exceeded": (2, 1)}
        for code, (status, requests) in cases.items():
            async def behave(provider, request, reply):
                if len(provider.requests) == 1 or status:
                    await reply.head()
                    for data in failed(code, f"It said {code}."):
                        await reply.chunk(data)
                    return await reply.end()
                await reply.decide("x")

            with self.subTest(code):
                provider = self.serve(behave)
                r = self.home.run("--config", self.team(), "q")
                self.assertEqual(r.returncode, status, r.stderr)
                self.assertEqual(len(provider.requests), requests)
                if status:
                    self.assertIn(f"It said {code}.", r.stderr)
        provider = self.serve(lambda provider, request, reply: reply.error(401, "Incorrect API key provided: sk-mine-123."))
        r = self.home.run("--config", self.team(api_key="sk-mine-123"), "q")
        self.assertEqual((r.returncode, len(provider.requests)), (2, 1))
        self.assertIn("check the key", r.stderr)
        self.assertNotIn("sk-mine", r.stdout + r.stderr)

    def test_keys_and_validate_know_the_type(self):
        with Home() as home:
            team = home.write("team.yaml", "agents:\n  - {id: a, backend: {type: openai, model: gpt-5}}\n")
            r = home.run("validate", team, env={"OPENAI_API_KEY": "sk-x"})
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            self.assertNotIn("not available", r.stdout + r.stderr)
            r = home.run("--config", team, "q")
            self.assertEqual(r.returncode, 2)
            self.assertIn("set OPENAI_API_KEY", r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=2)
