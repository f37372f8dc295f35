# SPDX-License-Identifier: Apache-2.0
"""What is known of backends and models, as a person sees it: tables, a user's own models, models that ended, servers on this machine, and
the data file that nobody may edit by hand."""

import http.server
import json
import os
import shutil
import subprocess
import threading
import unittest

from support import *


class LocalServer:
    """Answers GET with what stands for a path, 404 otherwise."""

    def __init__(self, pages):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                page = pages.get(handler.path)
                body = (page or "no").encode()
                handler.send_response(200 if page else 404)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Catalogue(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.home.env = {k: v for k, v in self.home.env.items() if not k.startswith("XDG_") and k != "OLLAMA_HOST"}

    def tearDown(self):
        self.home.__exit__()

    def run_ok(self, *args, code=0, env=None):
        r = self.home.run(*args, env=env)
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r

    def own(self, text):
        folder = self.home.path / ".config" / "conclave"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "models.yaml").write_text(text)
        return str(folder / "models.yaml")

    def team(self, **backend):
        return self.home.write("team.json", {"agents": [{"id": "a", "backend": backend}]})


class Tables(Catalogue):
    def test_tables_fit_a_terminal_and_name_keys_but_never_show_them(self):
        for args in (["backends"], ["models"], ["models", "--backend", "claude"], ["backends", "--json"]):
            r = self.run_ok(*args, env={"GROQ_API_KEY": "sk-secret", "ANTHROPIC_API_KEY": " "})
            self.assertNotIn("sk-secret", r.stdout)
            if "--json" not in args:
                self.assertEqual([line for line in r.stdout.splitlines() if len(line) > 80], [])
        out = self.run_ok("backends", env={"GROQ_API_KEY": "sk-secret"}).stdout
        self.assertRegex(out, r"groq +GROQ_API_KEY \(set\)")
        self.assertRegex(out, r"claude +ANTHROPIC_API_KEY \(not set\)")
        self.assertRegex(out, r"claude_code +not available yet")

    def test_json_is_json_and_unknown_is_null(self):
        rows = json.loads(self.run_ok("models", "--json").stdout)
        self.assertGreater(len(rows), 1000)
        known = {(r["provider"], n): r for r in rows for n in r["names"]}
        sonnet = known["claude", "claude-sonnet-4-5"]
        self.assertEqual((sonnet["ends"], sonnet["successor"], sonnet["context_tokens"]), ("2026-11-30", "claude-sonnet-5-5", 200000))
        self.assertEqual(sonnet["usd_per_million_tokens"]["input"], 3)
        self.assertEqual(sonnet["usd_per_million_tokens"]["per_1000_hosted_calls"], 10)
        self.assertIsNone(sonnet["usd_per_million_tokens"]["audio_in"])
        self.assertIsNone(known["gemini", "gemma-4-31b-it"]["usd_per_million_tokens"])
        both = json.loads(self.run_ok("backends", "--json", env={"XAI_API_KEY": "k"}).stdout)
        self.assertTrue(next(b for b in both["backends"] if b["type"] == "grok")["key_set"])

    def test_a_provider_goes_by_any_of_its_names_and_a_slip_is_told(self):
        self.assertEqual(self.run_ok("models", "-b", "groq").stdout, self.run_ok("models", "-b", "api.groq.com").stdout)
        self.assertIn("reached by type 'claude'", self.run_ok("models", "-b", "anthropic", code=1).stderr)
        self.assertIn("conclave backends", self.run_ok("models", "-b", "nosuch", code=1).stderr)
        self.assertIn("models.yaml", self.run_ok("models", "-b", "qwen", code=1).stderr)


class Later(Catalogue):
    def test_types_that_come_later_are_recognised_validated_and_refused_with_code_1(self):
        for backend in ({"type": "claude_code", "permission_mode": "acceptEdits"}, {"type": "ag2", "agent_config": {}}, {"type": "autogen"},
                        {"type": "cli", "command": ["gemini", "-p"], "input": "stdin-text", "output": "json", "json_path": "answer"}):
            with self.subTest(backend["type"]):
                team = self.team(**backend)
                said = f"backend type '{backend['type']}' is not available yet"
                self.assertIn(said, self.run_ok("validate", team).stdout)
                self.assertIn(said, self.run_ok("-c", team, "q", code=1).stderr)
        wrong = self.run_ok("validate", self.team(type="cli", command=["x"], output="xml"), code=1).stdout
        self.assertIn("agents[0].backend.output", wrong)


class OwnModels(Catalogue):
    def test_rows_add_and_override(self):
        self.own("models:\n"
                 "  - {provider: gw.example, model: House-1, context_tokens: 32000, price: {input: 0.3, output: 1.25}, tools: true}\n"
                 "  - {provider: claude, model: claude-sonnet-4-5, ends: never, price: {input: 1, output: 2}}\n")
        house = json.loads(self.run_ok("models", "-b", "gw.example", "--json").stdout)
        self.assertEqual([(m["names"], m["context_tokens"], m["tools"], m["images"]) for m in house], [(["house-1"], 32000, True, None)])
        self.assertEqual(house[0]["usd_per_million_tokens"]["input"], 0.3)
        claude = json.loads(self.run_ok("models", "-b", "claude", "--json").stdout)
        sonnet = [m for m in claude if "claude-sonnet-4-5" in m["names"]]
        self.assertEqual([(m["ends"], m["context_tokens"], m["usd_per_million_tokens"]["output"]) for m in sonnet], [(None, 200000, 2)])

    def test_what_is_wrong_is_said_with_file_and_line_and_nothing_runs(self):
        good = "price: {input: 1, output: 1}"
        for text, line, said in [
                ("models:\n  - {model: m, %s}" % good, 2, "needs a provider"),
                ("models:\n  - {provider: groq, %s}" % good, 2, "needs the name of the model"),
                ("models:\n  - provider: groq\n    model: m\n    price: {input: -1, output: 1}", 4, "expected USD"),
                ("models:\n  - provider: groq\n    model: m\n    price: {input: 1}", 4, "needs input and output"),
                ("models:\n  - provider: groq\n    model: m\n    price: {inptu: 1, input: 1, output: 1}", 4, "did you mean 'input'"),
                ("models:\n  - provider: groq\n    model: m\n    price: {input: .nan, output: 1e99}", 4, "expected USD"),
                ("models:\n  - provider: groq\n    model: m\n    price: {input: 0.0000015, output: 1}", 4, "not per token"),
                ("models:\n  - provider: groq\n    model: 'gpt-*'\n    images: true", 3, "names are whole"),
                ("models:\n  - provider: groq\n    model: m\n    ends: 2026-02-30", 4, "expected a day"),
                ("models:\n  - provider: groq\n    model: m\n    context_tokens: 1.5", 4, "expected a whole number"),
                ("models:\n  - provider: groq\n    model: m\n    images: maybe", 4, "expected true or false"),
                ("models:\n  - {provider: groq, model: m}\n  - {provider: groq, model: [x, M]}", 3, "listed twice"),
                ("models:\n  - {provider: groq, model: 'a b'}", 2, "without blanks"),
                ("models:\n  - provider: https://gw.example/v1\n    model: m", 2, "write the host of the base_url alone (gw.example)"),
                ("models:\n  - provider: gw.example:8080\n    model: m", 2, "write the host of the base_url alone"),
                ("models:\n  - provider: gw.example/v1\n    model: m", 2, "write the host of the base_url alone"),
                ("models: 3", 1, "expected a list"), ("- 3", 1, "a model is a map"), ("modles: []", 1, "expected a list"),
                ("models: [", 1, ""), ("models:\n  - &a {provider: *a}", 2, "")]:
            with self.subTest(text):
                path = self.own(text)
                for args in (["models"], ["-c", self.team(type="scripted", steps=[{"text": "x"}]), "q"]):
                    r = self.run_ok(*args, code=1)
                    self.assertIn(f"{path}:{line}", r.stderr)
                    self.assertIn(said, r.stderr)

    def test_hostile_files_end_at_once(self):
        for text in ("models:\n" + "  - {provider: groq, model: m}\n" * 20000, "x" * (2 << 20), "[" * 100000, "\0", "models:\n  - model: " + "a" * 500000):
            self.own(text)
            self.run_ok("models", code=1)


class Endings(Catalogue):
    def test_a_run_and_validate_warn_of_models_that_ended_or_soon_will(self):
        team = self.team(type="claude", model="claude-sonnet-4-20250514")
        said = "model 'claude-sonnet-4-20250514' ended on 2026-06-15; its successor is 'claude-sonnet-5-5'"
        r = self.run_ok("-c", team, "--base-url", "claude=http://127.0.0.1:1", "q", code=2)
        self.assertRegex(r.stderr, "warning: .*agents\\[0\\].backend.model: " + said)
        self.assertIn(said + " [warning]", self.run_ok("validate", team).stdout)
        self.run_ok("validate", "--strict", team, code=1)
        self.assertNotIn("ended", self.run_ok("validate", self.team(type="claude", model="claude-sonnet-5-5")).stdout)
        self.own("- {provider: claude, model: claude-sonnet-4-20250514, ends: never}\n")
        self.assertNotIn("ended", self.run_ok("validate", team).stdout)


class LocalServers(Catalogue):
    def setUp(self):
        super().setUp()
        self.server = LocalServer({"/v1/models": '{"data":[{"id":"qwen3"},{"id":"glm"}]}', "/api/version": '{"version":"0.20.0"}',
                                   "/api/tags": '{"models":[{"name":"llama3.2:latest"}]}'})

    def tearDown(self):
        self.server.stop()
        super().tearDown()

    def test_one_that_is_absent_is_told_with_how_to_start_it(self):
        for kind, start in (("lmstudio", "lms server start"), ("vllm", "vllm serve"), ("sglang", "python -m sglang.launch_server"), ("ollama", "ollama serve")):
            with self.subTest(kind):
                team = self.team(type=kind, model="m", base_url="http://127.0.0.1:1/v1")
                r = self.run_ok("validate", "--here", team, code=1)
                self.assertRegex(r.stdout, f"no .* answers at http://127.0.0.1:1: start it \\({start}")
                self.run_ok("validate", team)
        self.assertIn("no Ollama answers at http://127.0.0.1:1", self.run_ok("-c", team, "-t", "3", "q", code=3).stderr)

    def test_a_model_it_does_not_have_is_told(self):
        url = f"http://{self.server.place}/v1"
        for kind, model, said in (("lmstudio", "gpt-oss", "does not have the model 'gpt-oss'; get it: lms get gpt-oss; it has qwen3 and 1 more"),
                                  ("vllm", "qwen3", ""), ("ollama", "llama3.2", ""), ("ollama", "phi4", "get it: ollama pull phi4; it has llama3.2:latest")):
            with self.subTest((kind, model)):
                out = self.run_ok("validate", self.team(type=kind, model=model, base_url=url)).stdout
                self.assertIn(said or "no problems", out)

    def test_ollama_as_a_chat_api_is_known_by_its_port(self):
        team = self.team(type="chatcompletion", model="m", base_url="http://127.0.0.1:11434/v1")
        self.assertIn("no Ollama answers", self.run_ok("validate", team).stdout)

    def test_what_a_running_one_has_is_listed(self):
        env = {"OLLAMA_HOST": self.server.place}
        self.assertRegex(self.run_ok("backends", env=env).stdout, f"ollama +running at {self.server.place}")
        self.assertIn("llama3.2:latest", self.run_ok("models", "-b", "ollama", env=env).stdout)
        self.assertEqual(json.loads(self.run_ok("models", "-b", "ollama", "--json", env=env).stdout)[0]["names"], ["llama3.2:latest"])
        self.assertIn("no Ollama answers", self.run_ok("models", "-b", "ollama", env={"OLLAMA_HOST": "127.0.0.1:1"}, code=2).stderr)


class DataFile(Catalogue):
    def test_a_row_edited_by_hand_is_found_and_no_network_is_no_failure(self):
        tree = self.home.path / "tree"
        (tree / "scripts").mkdir(parents=True)
        (tree / "protocols").mkdir()
        shutil.copy(ROOT / "scripts/update_catalogue", tree / "scripts")
        data = tree / "protocols/catalogue_data.inc"
        text = (ROOT / "protocols/catalogue_data.inc").read_text()
        empty = self.home.path / "wheels"
        empty.mkdir()

        def check():
            return subprocess.run([sys.executable, tree / "scripts/update_catalogue", "--check", "--wheels", empty], capture_output=True, text=True,
                                  env={**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0", "PIP_NO_INDEX": "1"}, timeout=120)

        data.write_text(text)
        self.assertEqual(check().returncode, 0)
        self.assertIn("skipped: ", check().stdout)
        for edited in (text.replace("{3000, 300, 3750, 15000", "{1, 300, 3750, 15000", 1), text.rsplit("\n", 2)[0] + "\n", text + "// more\n",
                       text.replace("genai-prices 0", "genai-prices 9", 1)):
            self.assertNotEqual(edited, text)
            data.write_text(edited)
            self.assertEqual(check().returncode, 1)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
