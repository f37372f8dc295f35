# SPDX-License-Identifier: Apache-2.0
"""What `validate`, `keys` and options say of a configuration, and where."""

import re
import unittest

from support import *
from test_keys import Keys


class Judged(Keys):
    """What `validate` and options say of keys, and where."""

    TEAM = """agents:
  - id: a
    backend:
      type: claude
      model: m
      extra_headers: {X: "${NOPE}"}
  - id: b
    system_message: ${NOTSET}
    backend: {type: local, model_path: /no/such.gguf, mcp_servers: {s: {command: npx, args: ["${T}"]}}}
"""

    def test_a_file_that_comes_through_a_pipe_is_judged_in_full(self):
        name = self.home.write("team.yaml", self.TEAM)
        plain = self.home.run("validate", name)
        self.assertIn("team.yaml:6: agents[0].backend.extra_headers.X: will not run here: the variable NOPE is not set", plain.stdout)
        self.assertIn("team.yaml:8: agents[1].system_message: will not run here: the variable NOTSET", plain.stdout)
        self.assertIn("team.yaml:9: agents[1].backend.mcp_servers.s.args: will not run here: the variable T", plain.stdout)
        piped = self.home.run("validate", "/dev/stdin", stdin=self.TEAM)
        self.assertEqual(piped.stdout.replace("/dev/stdin", str(name)), plain.stdout)
        self.assertEqual((piped.returncode, plain.returncode), (0, 0))
        named = self.home.path / "named"
        os.mkfifo(named)
        writer = subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', str(name), str(named)])
        judged = self.home.run("validate", "--here", named)
        writer.wait(timeout=10)
        self.assertEqual(judged.stdout.replace(str(named), str(name)), plain.stdout)
        self.assertEqual(judged.returncode, 1)

    def test_a_problem_has_a_column_for_programs(self):
        name = self.home.write("team.yaml", self.TEAM)
        found = json.loads(self.home.run("validate", "--json", name).stdout)
        self.assertEqual({(p["line"], p["column"]) for p in found if p["path"].endswith(".X")}, {(6, 23)})

    def judged(self, **team):
        return self.home.run("validate", self.home.write("t.json", team)).stdout

    def test_several_files_are_judged_each_by_its_name(self):
        good = self.home.write("good.yaml", "agent: {backend: {type: scripted, steps: [{answer: x}]}}\n")
        bad = self.home.write("bad.yaml", "agent: {backend: {type: nonsense}}\n")
        for files, code in (((good, good), 0), ((good, bad), 1), ((bad, good), 1), ((good, "/no/such.yaml"), 1)):
            r = self.home.run("validate", *files)
            self.assertEqual(r.returncode, code, r.stdout + r.stderr)
            for file in files:
                self.assertIn(f"{file}: ", r.stdout)
        found = json.loads(self.home.run("validate", "--json", good, bad, "/no/such.yaml").stdout)
        self.assertEqual({p["file"] for p in found}, {str(bad), "/no/such.yaml"})

    def test_an_agent_that_runs_by_failover_was_said_not_to_run(self):
        lost, there = {"type": "openai", "model": "m"}, {"type": "chatcompletion", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
        for backend, failover, code in ((lost, [there], 0), (lost, [lost, there], 0), (there, [lost], 0), (lost, [lost], 1), (lost, [], 1)):
            team = {"agents": [{"id": "a", "backend": backend, "failover": failover}]}
            r = self.home.run("validate", "--here", self.home.write("t.json", team))
            self.assertEqual(r.returncode, code, r.stdout)
            self.assertEqual("will not run here" in r.stdout, code == 1, r.stdout)
            self.assertIn("no key", r.stdout)

    def test_a_budget_that_no_call_fits_into_was_no_problem(self):
        big, small = ({"type": "chatcompletion", "model": "m", "base_url": "http://127.0.0.1:1/v1", "max_tokens": n} for n in (9000, 50))
        for backends, own, budget, where in (((big, big), {}, {"tokens": 9000}, "budget.tokens"), ((big, small), {}, {"tokens": 9000}, None),
                                             ((big, big), {"tokens": 100}, {}, "agents[0].budget.tokens"), ((big,), {}, {"tokens": 20000}, None),
                                             ((big,), {}, {"tokens": 1, "on_exceed": "warn"}, None)):
            text = self.judged(agents=[{"id": f"a{i}", "backend": b, **({"budget": own} if own and i == 0 else {})} for i, b in enumerate(backends)],
                               **({"budget": budget} if budget else {}))
            self.assertEqual(text.count("no call fits"), 1 if where else 0, text)
            if where:
                self.assertRegex(text, re.escape(where) + r": no call fits: the smallest of .* may take 9,\d\d\d tokens")

    def test_keys_as_other_clients_call_them_lead_to_ours(self):
        azure = {"type": "azure_openai"}
        for key, hint in (("azure_deployment", "deployment_name"), ("deployment", "deployment_name"), ("deployment_id", "deployment_name"),
                          ("engine", "deployment_name"), ("api_base", "azure_endpoint"), ("openai_api_base", "azure_endpoint"),
                          ("azureOpenAIEndpoint", "azure_endpoint"), ("host", "azure_endpoint"), ("groq_api_key", "api_key"), ("auth_token", "api_key"), ("xai_base_url", "azure_endpoint"), ("openai_api_version", "api_version"), ("azure_openai_api_key", "api_key")):
            self.assertIn(f"agents[0].backend.{key}: unknown key, and not the provider's; write `{hint}`", self.judged(agents=[{"id": "a", "backend": {**azure, key: "x"}}]))
        for key, hint in (("max_output_tokens", "max_tokens"), ("timeout_seconds", "timeout"), ("system_instruction", "system_message` beside `backend"),
                          ("connection_timeout", "timeout"), ("stream_timeout", "idle_timeout_seconds")):
            self.assertIn(f"agents[0].backend.{key}: unknown key, sent to the provider as it is; write `{hint}`",
                          self.judged(agents=[{"id": "a", "backend": {"type": "openai", key: 5}}]))
        for key, hint in (("retry", "tried again as its server asks, 3 times at most; `failover`"), ("num_ctx", "write `context_tokens`, and set the window where")):
            self.assertIn(f"agents[0].backend.{key}: unknown key, sent to the provider as it is; ", self.judged(agents=[{"id": "a", "backend": {"type": "ollama", "model": "m", key: 5}}]))
            self.assertIn(hint, self.judged(agents=[{"id": "a", "backend": {"type": "ollama", "model": "m", key: 5}}]))
        self.assertIn("write `base_url`", self.judged(agents=[{"id": "a", "backend": {"type": "openai", "api_base": "https://proxy"}}]))
        for key in ("api_version", "azure_endpoint", "deployment_name", "base_url", "model"):
            self.assertIn(f"agents[0].{key}: unknown key; write `{key}` under `agents[].backend`" if key != "model" else "'model' stands in agents[].backend",
                          self.judged(agents=[{"id": "a", "backend": azure, key: "x"}]))

    def test_a_fault_names_the_spelling_that_the_file_has(self):
        azure = "type: azure_openai, deployment_name: d"
        for keys, where in ((f'{azure}, azure_endpoint: "nonsense"', "azure_endpoint: 'nonsense' is no address"),
                            (f'{azure}, base_url: "nonsense"', "base_url: 'nonsense' is no address"),
                            (f'{azure}, azure_endpoint: "http://h.example", api_key: x', "azure_endpoint: http:// sends the key"),
                            ("type: claude, model: m, anthropic_version: foo", "anthropic_version: 'foo' is no version of this API"),
                            ("type: claude, model: m, api_version: foo", "api_version: 'foo' is no version of this API"),
                            ("type: claude, model: m, api_version: foo, anthropic_version: 2023-06-01", "api_version: 'foo' is no version of this API"),
                            ("type: claude, model: m, api_version: 2023-06-01, anthropic_version: 2026-10-21",
                             "anthropic_version: has no effect: `api_version` beside it says something else, and counts")):
            text = f"agent:\n  backend: {{{keys}}}\n"
            r = self.home.run("validate", self.home.write("t.yaml", text))
            self.assertIn(f"t.yaml:2: agent.backend.{where}", r.stdout)
        explained = self.home.run("validate", "--explain", self.home.write("t.yaml", "agent:\n  backend:\n    type: azure_openai\n"
                                  "    deployment_name: d\n    azure_endpoint: https://h.example\n")).stdout
        self.assertIn("backend.model: d (line 4)\n", explained)
        self.assertIn("backend.base_url: https://h.example (line 5)\n", explained)

    def test_an_option_is_named_by_itself_and_not_by_a_key(self):
        name = self.home.write("team.yaml", "agent: {backend: {type: scripted, steps: [{answer: x}, {vote: agent1}, {text: x}]}}\n"
                                            "cluster: {tls: {cert: c, key: k, ca: a}}\n")
        for args, option in ((("--timeout", "8d"), "--timeout: 691200 is outside"), (("--insecure-loopback",), "--insecure-loopback: cannot be combined")):
            r = self.home.run("-c", name, *args, "q")
            self.assertEqual(r.returncode, 1)
            self.assertIn("conclave: " + option, r.stderr)
            for key in ("timeout_settings", "cluster.tls", "team.yaml"):
                self.assertNotIn(key, r.stderr)
        r = self.home.run("--model", "gpt-4o", "--base-url", "http://h/#x", "q")
        self.assertTrue(r.stderr.startswith("conclave: --base-url: "), r.stderr)
        self.assertEqual(r.returncode, 1)

    def test_a_time_with_a_unit_is_a_time(self):
        name = self.home.write("team.yaml", "agent: {backend: {type: scripted, steps: [{hang: true}]}}\norchestrator: {skip_coordination_rounds: true}\n"
                                            "timeout_settings: {presentation_timeout_seconds: 200ms, orchestrator_timeout_seconds: 1m}\n")
        self.assertEqual(self.home.run("-c", name, "--timeout", "0.01m", "q").returncode, 3)
        r = self.home.run("-c", name, "--timeout", "10 minutes", "q")
        self.assertEqual(r.returncode, 1)
        self.assertIn("--timeout takes a time (90 or 90s, 10m, 1.5h)", r.stderr)

    def test_what_holds_is_explained_with_where_it_is_from(self):
        name = self.home.write("team.yaml", """agents:
  - id: a
    backend:
      model: gpt-4o
      api_key: sk-literal
      extra_headers: {X-Auth: "Bearer sk-literal", X-Org: mine}
      idle_timeout_seconds: 2m
timeout_settings: {first_token_timeout_seconds: 7}
orchestrator: {pacing: eager}
""")
        out = self.home.run("validate", "--explain", name).stdout
        for line in ("agents[0].backend.type: openai (from other keys)", "agents[0].backend.model: gpt-4o (line 4)",
                     "agents[0].backend.api_key: *** (line 5)", "agents[0].backend.idle_timeout_seconds: 120 (line 7)",
                     "agents[0].backend.first_token_timeout_seconds: 7 (from other keys)", "agents[0].backend.timeout: 600 (default)",
                     "orchestrator.pacing: eager (line 9)", "orchestrator.on_unknown_outcome: tell (default)",
                     "timeout_settings.orchestrator_timeout_seconds: 1800 (default)"):
            self.assertIn(line + "\n", out)
        self.assertIn("X-Org: mine", out)
        self.assertNotIn("sk-literal", out)

    def test_keys_are_listed_as_the_documentation_has_them(self):
        text = (pathlib.Path(__file__).resolve().parents[2] / "docs/configuration.md").read_text()
        listed = self.home.run("keys", "--markdown")
        self.assertIn("<!-- keys: begin -->\n\n" + listed.stdout + "\n<!-- keys: end -->", text)
        some = self.home.run("keys", "IDLE_timeout")
        self.assertEqual(some.returncode, 0)
        self.assertIn("agents[].backend.idle_timeout_seconds\n    seconds, 0.001 to 604800, default 120\n", some.stdout)
        self.assertNotIn("max_tokens", some.stdout)
        none = self.home.run("keys", "idel_timeout_seconds")
        self.assertEqual((none.returncode, none.stdout), (1, ""))
        self.assertIn("did you mean 'idle_timeout_seconds'?", none.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
