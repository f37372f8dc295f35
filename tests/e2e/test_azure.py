# SPDX-License-Identifier: Apache-2.0
"""Type `azure_openai` through the real binary against a strict server that speaks as a resource of Azure does: address, version and header, frames of its
content filter around a tool loop, and what it says when something is wrong."""

import unittest

from provider import Provider
from strict import azure as fault, azure_stream as stream
from support import *

ECHO = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}


async def play(reply, **more):
    await reply.head()
    for data in stream(**more):
        await reply.chunk(data)
    await reply.end()


async def decide(reply):
    tools = reply.tools()
    calls = [("vote", {"agent_id": "agent1", "reason": "schön"})] if "vote" in tools else [("new_answer", {"content": "It is 42."})] if "new_answer" in tools else []
    await play(reply, text="" if calls else "It is 42.", calls=calls)


class Azure(unittest.TestCase):
    def serve(self, behave, dated=True):
        self.faults = []

        async def strict(provider, request, reply):
            why = fault(request, dated)
            if why:
                self.faults.append(why)
                return await reply.error(401 if "denied" in why else 404 if "not found" in why else 400, why)
            await behave(provider, request, reply)

        self.provider = Provider(strict)
        self.addCleanup(self.provider.stop)
        self.home = Home()
        self.addCleanup(self.home.__exit__)
        self.home.env.update(AZURE_OPENAI_API_KEY="azure-key", AZURE_OPENAI_ENDPOINT=self.provider.url + "/", AZURE_OPENAI_API_VERSION="2024-10-21")

    def run_file(self, agents, *more):
        r = self.home.run("--config", self.home.write("team.json", {"agents": agents}), *more, "q")
        self.assertEqual(self.faults, [])
        return r

    def test_a_team_of_the_environments_resource_loops_through_tools(self):
        async def behave(provider, request, reply):
            tools = sorted(t for t in reply.tools() if t.startswith("mcp__"))
            results = sum(m["role"] == "tool" for m in request["messages"])
            if tools and "vote" not in reply.tools() and results < 2:
                return await play(reply, text="I look.", calls=[(tools[0], {"text": "größer \U0001f600"}), (tools[0], {"text": "zwei"})])
            await decide(reply)

        self.serve(behave)
        backend = {"type": "azure_openai", "model": "my deployment", "mcp_servers": {"s": ECHO}}
        r = self.run_file([{"id": "a0", "backend": backend}, {"id": "a1", "backend": backend}], "--json")
        self.assertEqual(r.returncode, 0, r.stderr)
        events = events_of(r.stdout)
        use = [e["usage"] for e in events if e["type"] == "call_ended" and e.get("usage")]
        self.assertEqual({(u["input_tokens"], u["cached_input_tokens"], u["output_tokens"]) for u in use}, {(31, 17, 7)})
        self.assertEqual({u.get("unreported", 0) for u in use}, {0})
        self.assertNotIn("azure-key", r.stdout + r.stderr)

    def test_the_newer_addresses_need_no_version(self):
        async def behave(provider, request, reply):
            await decide(reply)

        for more in ({"azure_endpoint": "{}/openai/v1"}, {"azure_endpoint": "{}", "api_version": "v1"}):
            with self.subTest(more):
                self.serve(behave, dated=False)
                backend = {"type": "azure_openai", "deployment_name": "my deployment", "api_key": "${AZURE_OPENAI_API_KEY}",
                           **{k: v.format(self.provider.url) for k, v in more.items()}}
                r = self.run_file([{"backend": backend}])
                self.assertEqual((r.returncode, "It is 42." in r.stdout), (0, True), r.stderr)

    def test_a_prompt_that_the_filter_blocks_is_a_refusal(self):
        body = json.dumps({"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                                     "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {
                                         "code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": {"filtered": True, "severity": "high"}}}}}).encode()

        async def behave(provider, request, reply):
            await reply.head(400, "application/json", Content_Length=len(body))
            reply.writer.write(body)
            await reply.writer.drain()

        self.serve(behave)
        r = self.run_file([{"backend": {"type": "azure_openai", "model": "my deployment"}}])
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("content management policy", r.stdout + r.stderr)
        self.assertLessEqual(len(self.provider.requests), 3)  # an attempt of the run each, as any refusal

    def test_a_wait_in_milliseconds_is_kept(self):
        async def behave(provider, request, reply):
            if len(provider.requests) == 1:
                return await reply.error(429, "Requests to the ChatCompletions_Create Operation have exceeded the call rate limit", Retry_After="1", retry_after_ms="300")
            await decide(reply)

        self.serve(behave)
        r = self.run_file([{"backend": {"type": "azure_openai", "model": "my deployment"}}])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertGreaterEqual(self.provider.requests[1]["at"] - self.provider.requests[0]["at"], 0.3)

    def test_without_an_address_it_is_said_what_to_write(self):
        self.serve(None)
        del self.home.env["AZURE_OPENAI_ENDPOINT"]
        r = self.run_file([{"backend": {"type": "azure_openai", "model": "my deployment"}}])
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("AZURE_OPENAI_ENDPOINT", r.stdout + r.stderr)
        self.assertEqual(self.provider.requests, [])


class Spellings(unittest.TestCase):
    def test_of_two_that_say_different_things_it_is_told_which_counts(self):
        with Home() as home:
            agent = {"type": "azure_openai", "model": "gpt-4o", "deployment_name": "mine", "base_url": "https://b.openai.azure.com",
                     "azure_endpoint": "https://a.openai.azure.com", "api_key": "12345678"}
            r = home.run("validate", "--explain", home.write("t.json", {"agents": [{"id": "a", "backend": agent}]}))
            self.assertIn("backend.base_url: has no effect: `azure_endpoint` beside it says something else, and counts", r.stdout)
            self.assertIn("backend.model: has no effect: `deployment_name` beside it says something else, and counts", r.stdout)
            self.assertIn("backend.model: mine", r.stdout)
            self.assertIn("backend.base_url: https://a.openai.azure.com", r.stdout)
            for same in ({**agent, "model": "mine", "base_url": agent["azure_endpoint"]}, {k: v for k, v in agent.items() if k not in ("model", "base_url")}):
                r = home.run("validate", home.write("t.json", {"agents": [{"id": "a", "backend": same}]}))
                self.assertIn("no problems", r.stdout)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
