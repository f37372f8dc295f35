# SPDX-License-Identifier: Apache-2.0
"""--base-url TYPE=URL and CONCLAVE_BASE_URL_<TYPE>: only the bytes go elsewhere, seen by the server that gets them."""

import json
import unittest

from provider import Provider
from support import *


class BaseUrl(unittest.TestCase):
    def setUp(self):
        self.home = Home()

        async def behave(provider, request, reply):
            await reply.decide("42")

        self.provider = Provider(behave)

    def tearDown(self):
        self.provider.stop()
        self.home.__exit__()

    def team(self, *backends):
        agents = [{"id": f"a{i}", "backend": b} for i, b in enumerate(backends)]
        return self.home.write("team.json", {"agents": agents, "orchestrator": {"skip_coordination_rounds": True}})

    def ask(self, *args, env=None, code=0):
        r = self.home.run(*args, "q", env=env)
        self.assertEqual(r.returncode, code, r.stderr)
        return r

    def sent(self):
        places = ("authorization", "x-api-key", "x-goog-api-key")
        return [(r["path"].split("?")[0], next((r["headers"][p] for p in places if p in r["headers"]), None)) for r in self.provider.requests]

    def test_each_type_goes_elsewhere_with_a_placeholder(self):
        keys = {"OPENAI_API_KEY": "sk-real", "ANTHROPIC_API_KEY": "sk-real", "GEMINI_API_KEY": "sk-real", "XAI_API_KEY": "sk-real"}
        for kind, url, path in [("openai", "/v1", "/v1/responses"), ("claude", "", "/v1/messages"), ("grok", "/v1", "/v1/chat/completions"),
                                ("gemini", "", "/v1beta/models/m:streamGenerateContent"),
                                ("chatcompletion", "/v1", "/v1/chat/completions")]:
            with self.subTest(kind):
                self.provider.requests.clear()
                r = self.ask("-c", self.team({"type": kind, "model": "m"}), "--base-url", f"{kind}={self.provider.url}{url}", env=keys)
                self.assertIn("with a placeholder for the key", r.stderr)
                paths = {p for p, _ in self.sent()}
                self.assertEqual(paths, {path})
                self.assertNotIn("sk-real", json.dumps(self.provider.requests))
                for _, key in self.sent():
                    self.assertTrue(key.endswith("conclave-placeholder-key"), key)

    def test_what_a_provider_needs_goes_by_the_file_and_not_by_where_the_bytes_go(self):
        self.ask("-c", self.team({"type": "chatcompletion", "model": "gpt-5", "max_tokens": 7}), env={
            "CONCLAVE_BASE_URL_CHATCOMPLETION": self.provider.url + "/v1"})
        self.assertEqual(self.provider.requests[0].get("max_completion_tokens"), 7)
        self.assertNotIn("max_tokens", self.provider.requests[0])

    def test_the_real_key_goes_along_when_that_is_said(self):
        self.ask("-c", self.team({"type": "claude", "model": "m"}), "--base-url", f"claude={self.provider.url}", "--send-keys",
                 env={"ANTHROPIC_API_KEY": "sk-real"})
        self.assertEqual({k for _, k in self.sent()}, {"Bearer sk-real"})

    def test_a_type_nobody_has_is_said(self):
        r = self.ask("-c", self.team({"type": "claude", "model": "m"}), "--base-url", f"claude={self.provider.url}", "--base-url",
                     "grok=http://127.0.0.1:1")
        self.assertIn("grok=...: no agent has this backend type", r.stderr)

    def test_a_variable_of_no_type_left_the_calls_and_the_key_with_the_vendor(self):
        team = self.team({"type": "claude", "model": "m", "base_url": self.provider.url})
        for name, said in (("CLAUD", "'CLAUD' is no backend type, so nothing would go there; did you mean 'claude'?"),
                           ("claude", "the name of a backend type stands in capitals here: write CONCLAVE_BASE_URL_CLAUDE"),
                           ("AZURE", "'AZURE' is no backend type, so nothing would go there; its models are reached by type 'azure_openai'"),
                           ("", "'' is no backend type"),
                           ("XYZZY", "'XYZZY' is no backend type, so nothing would go there; all of them: conclave backends")):
            name = "CONCLAVE_BASE_URL_" + name
            env = {name: "http://user:secret@127.0.0.1:1", "ANTHROPIC_API_KEY": "sk-real"}
            for args in (("validate", team), ("-c", team, "q"), ("-c", team, "--quiet", "q"), ("--model", "claude-x", "--base-url", self.provider.url, "q"),
                         ("node", "--insecure-loopback", "--listen", "127.0.0.1:0")):
                r = self.home.run(*args, env=env)
                self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
                self.assertIn(f"{name} (the environment): {said}", r.stdout + r.stderr)
                self.assertNotIn("secret", r.stdout + r.stderr)
        (self.home.path / ".env").write_text("CONCLAVE_BASE_URL_GEMIN=http://127.0.0.1:1\n")
        r = self.ask("-c", team, code=1)
        self.assertIn("CONCLAVE_BASE_URL_GEMIN (./.env): 'GEMIN' is no backend type, so nothing would go there; did you mean 'gemini'?", r.stderr)
        self.assertEqual(self.provider.requests, [])
        (self.home.path / ".env").write_text("CONCLAVE_BASE_URL_GEMIN=\nCONCLAVE_BASE_URL_LOCAL=http://127.0.0.1:1\n")
        self.ask("-c", team, env={"ANTHROPIC_API_KEY": "sk-real"})  # a blank one is not set, and one without effect redirects nothing

    def test_a_task_does_not_go_on_under_a_variable_of_no_type(self):
        team = self.home.write("t.yaml", "agent: {backend: {type: scripted, steps: [{hang: true}]}}\norchestrator: {skip_coordination_rounds: true}\n"
                                         "timeout_settings: {presentation_timeout_seconds: 200ms, orchestrator_timeout_seconds: 100ms}\n")
        self.ask("-c", team, code=3)
        r = self.home.run("resume", env={"CONCLAVE_BASE_URL_CLAUD": "http://127.0.0.1:1"})
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn("CONCLAVE_BASE_URL_CLAUD (the environment): 'CLAUD' is no backend type", r.stderr)

    def test_usage(self):
        team = self.team({"type": "claude", "model": "m"})
        for args, said in [(["nosuch=http://h"], "'nosuch' is no backend type"), (["scripted=http://h"], "'scripted' is no backend type"),
                           (["claude=h"], "is no address of an API"), (["claude=http://h", "claude=http://h"], "given twice"),
                           (["http://h", "http://g"], "given twice"), (["http://h"], "--config stands alone")]:
            with self.subTest(args):
                flags = [f for a in args for f in ("--base-url", a)]
                self.assertIn(said, self.ask("-c", team, *flags, code=1).stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
