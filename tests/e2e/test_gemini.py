# SPDX-License-Identifier: Apache-2.0
"""Gemini's own API through the real binary, against a strict server: what it refuses, the real one refuses, too."""

import json
import unittest
from urllib.parse import urlsplit

from provider import Provider
from strict import gemini as faults_of
from support import *

ECHO = {"echo": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}}
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
PLACES = ("Köln", "東京")


class Gemini(unittest.TestCase):
    def setUp(self):
        self.home, self.provider, self.faults = Home(), None, []

    def tearDown(self):
        if self.provider:
            self.provider.stop()
        self.home.__exit__()

    def serve(self, behave):
        async def strict(provider, request, reply):
            found = faults_of(request)
            self.faults += found
            if found:
                await reply.error(400, f"Invalid JSON payload received: {found}")
            else:
                await behave(provider, request, reply)

        self.provider = Provider(strict)
        return self.provider

    def ask(self, *args, team=None, **kw):
        r = self.home.run("--config", self.home.write("team.json", team), "--json", *args, timeout=60, **kw) if team else \
            self.home.run("--json", *args, timeout=60, **kw)
        self.assertEqual(self.faults, [])
        return r, events_of(r.stdout)

    def backend(self, model, **more):
        return {"type": "gemini", "model": model, "base_url": self.provider.url, "api_key": "dummy", **more}

    def test_two_agents_with_a_tool_loop(self):
        async def behave(provider, request, reply):
            results = [p["functionResponse"]["response"] for c in request["contents"] for p in c["parts"] if "functionResponse" in p]
            if "new_answer" in reply.tools() and not results and "vote" not in reply.tools():
                await reply.play("I look.", [("mcp__echo__echo", {"ort": place}) for place in PLACES])
            else:
                said = sorted(json.loads(r["result"])["ort"] for r in results if "ort" in r.get("result", ""))
                await reply.decide(f"{request['model']} heard {' '.join(said)}", final="It is Köln.")

        self.serve(behave)
        more = {"mcp_servers": ECHO, "temperature": 0.5, "top_p": 0.9, "max_tokens": 500, "thinking_config": {"include_thoughts": True},
                "safety_settings": {"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"}}
        r, events = self.ask("Wo?", team={"agents": [{"id": "a", "backend": self.backend("gemini-3.1-pro", **more)},
                                                     {"id": "b", "backend": self.backend("models/gemini-2.5-flash", **more)}]})
        self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
        self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["It is Köln."])
        heard = {e["agent"]: e["text"] for e in events if e["type"] == "new_answer"}
        self.assertEqual(heard, {"a": "gemini-3.1-pro heard Köln 東京", "b": "gemini-2.5-flash heard Köln 東京"})
        calls = [e["agent"] for e in events if e["type"] == "call_started" and e.get("target") == "mcp__echo__echo"]
        self.assertEqual(sorted(calls), ["a", "a", "b", "b"])
        self.assertEqual(model_calls(events), 2 * 3 + 1)
        sent = self.provider.requests[0]
        self.assertEqual(sent["generationConfig"], {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 500, "thinkingConfig": {"includeThoughts": True}})
        self.assertEqual(sent["safetySettings"], [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])
        used = [e["usage"] for e in events if e["type"] == "call_ended" and e.get("target") == "model"]
        self.assertEqual({(u.get("input_tokens"), u.get("output_tokens")) for u in used}, {(1, 1)}, used)

    def test_versions_addresses_and_keys(self):
        async def behave(provider, request, reply):
            await reply.play("Fine.") if "new_answer" not in reply.tools() else await reply.decide("x")

        self.serve(behave)
        url = self.provider.url
        cases = [({}, {}, "/v1beta/"), ({"api_version": "v1"}, {}, "/v1/"), ({"base_url": url + "/v1"}, {}, "/v1/"),
                 ({"base_url": url + "/v1beta", "api_version": "v1"}, {}, "/v1/"),
                 ({"base_url": None, "api_key": None}, {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "dummy"}, "/v1beta/"),
                 ({"base_url": None, "api_key": None, "type": None}, {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": "dummy"}, "/v1beta/")]
        for more, env, version in cases:
            with self.subTest(more=more, env=env):
                self.provider.requests.clear()
                made = {k: v for k, v in self.backend("gemini-2.5-flash", **more).items() if v is not None}
                r, _ = self.ask("q", team={"agents": [{"id": "a", "backend": made}]}, env=env)
                self.assertEqual(r.returncode, 0, r.stderr)
                for request in self.provider.requests:
                    self.assertEqual(urlsplit(request["path"]).path, f"{version}models/gemini-2.5-flash:streamGenerateContent")
                    self.assertEqual(urlsplit(request["path"]).query, "alt=sse")

    def test_a_picture_of_a_tool_is_shown_until_the_model_says_that_it_is_blind(self):
        async def behave(provider, request, reply, blind=False):
            if blind and IMAGE in json.dumps(request["contents"]):
                await reply.error(400, "This model does not support image input. (INVALID_ARGUMENT)")
            elif "new_answer" in reply.tools() and not any("functionResponse" in p for c in request["contents"] for p in c["parts"]):
                await reply.play("", [("mcp__echo__echo", {})])
            else:
                await reply.decide("seen")

        result = '{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"a picture"},{"type":"image","mimeType":"image/png","data":"%s"}]}}\n'
        server = {"echo": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "plays",
                                                          json.dumps({"tools/call": result % IMAGE})]}}
        for model, blind in (("gemini-3.1-pro", False), ("gemini-2.5-flash", False), ("gemini-3.1-pro", True)):
            with self.subTest(model=model, blind=blind):
                self.serve(lambda p, q, r, blind=blind: behave(p, q, r, blind))
                r, _ = self.ask("q", team={"agents": [{"id": "a", "backend": self.backend(model, mcp_servers=server)}]})
                self.assertEqual(r.returncode, 0, r.stderr)
                shown = [[bool(p.get("functionResponse", {}).get("parts")), "inlineData" in p] for q in self.provider.requests[1:2]
                         for c in q["contents"] for p in c["parts"]]
                self.assertIn([True, False] if model == "gemini-3.1-pro" else [False, True], shown)
                self.assertEqual("images in tool results are told as text" in r.stderr, blind)
                if blind:
                    self.assertEqual(sum(IMAGE in json.dumps(q) for q in self.provider.requests), 1, "learned once")
                self.provider.stop()
        self.provider = None

    def test_quick_mode_and_what_the_commands_say_of_it(self):
        async def behave(provider, request, reply):
            await reply.decide("x", final="It is 42.")

        self.serve(behave)
        r = self.home.run("--backend", "gemini", "--base-url", self.provider.url, "--api-key-env", "MINE", "q", env={"MINE": "dummy"})
        self.assertEqual((r.returncode, r.stdout), (0, "It is 42.\n"), r.stderr)
        self.assertEqual(self.faults, [])
        self.assertIn("/models/gemini-3.8-flash:", self.provider.requests[0]["path"])
        good = self.home.write("good.yaml", "agents:\n  - backend: {type: gemini, model: gemini-2.5-pro, api_version: v1}\n")
        r = self.home.run("validate", good, env={"GOOGLE_API_KEY": "x"})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        for version in ("latest", "v9"):
            bad = self.home.write("bad.yaml", f"agents:\n  - backend: {{type: gemini, model: gemini-2.5-pro, api_version: {version}}}\n")
            r = self.home.run("validate", bad, env={"GOOGLE_API_KEY": "x"})
            self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            self.assertIn(f"'{version}' is no version of this API: v1beta or v1", r.stdout + r.stderr)
        r = self.home.run("validate", good)
        self.assertIn("set GOOGLE_API_KEY or GEMINI_API_KEY", r.stdout + r.stderr)

    def test_faults_of_the_api(self):
        """Each hits the first call of an agent; what follows is told by the number of requests and the outcome."""
        def error(code, status, message, **more):
            return code, {"error": {"code": code, "status": status, "message": message, **more}}

        wait = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}]
        refusals = {"quota": (error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details=wait), 0, ""),
                    "overloaded": (error(503, "UNAVAILABLE", "The model is overloaded."), 0, ""),
                    "bad key": (error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), 2, "check the key"),
                    "no such model": (error(404, "NOT_FOUND", "models/m is not found for API version v1beta"), 2, "check `model`")}
        for name, ((status, body), code, says) in refusals.items():
            with self.subTest(name):
                async def behave(provider, request, reply, status=status, body=body):
                    if len(provider.requests) > 1:
                        return await reply.decide("x")
                    text = json.dumps([body]).encode()  # in a list, as the real API has it without events
                    await reply.head(status, "application/json", Content_Length=len(text))
                    reply.writer.write(text)
                    await reply.writer.drain()

                self.serve(behave)
                r, _ = self.ask("q", team={"agents": [{"id": "a", "backend": self.backend("m")}]})
                self.assertEqual(r.returncode, code, r.stderr)
                self.assertIn(says, r.stderr)
                self.assertEqual(len(self.provider.requests) == 1, code == 2)
                self.provider.stop()
        replies = {"malformed call": ([{"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "content": {}}]}], 0, ""),
                   "blocked prompt": ([{"promptFeedback": {"blockReason": "SAFETY"}}], 0, ""),
                   "cut": ([{"candidates": [{"content": {"parts": [{"text": "half"}]}}]}], 0, ""),
                   "bare error": ([{"candidates": [{"content": {"parts": [{"text": "half"}]}}]}, error(500, "INTERNAL", "Internal error")[1]], 0, "")}
        for name, (events, code, says) in replies.items():
            with self.subTest(name):
                async def behave(provider, request, reply, events=events, bare=name == "bare error"):
                    if len(provider.requests) > 1:
                        return await reply.decide("x")
                    await reply.head()
                    for e in events:
                        text = json.dumps(e, indent=1) if bare and "error" in e else "data: " + json.dumps(e)
                        await reply.chunk(text.encode() + b"\n\n")
                    await reply.end()

                self.serve(behave)
                r, _ = self.ask("q", team={"agents": [{"id": "a", "backend": self.backend("m")}]})
                self.assertEqual(r.returncode, code, r.stderr)
                self.assertGreater(len(self.provider.requests), 1)
                self.provider.stop()
        self.provider = None


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
