# SPDX-License-Identifier: Apache-2.0
"""Where keys go, seen by the servers that get them, and what a person is told: base URLs of the environment, certificate authorities of
one's own, keys that were copied badly, .env files with faults, homes written with a tilde."""

import os
import ssl
import subprocess
import unittest

from provider import Provider
from support import *


class Keys(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        for name in list(self.home.env):
            if name.lower().endswith("_proxy") or name.startswith(("SSL_", "XDG_")) or name.endswith(("_BASE_URL", "_API_BASE", "_CA_BUNDLE")):
                del self.home.env[name]
        self.refuse = 0
        self.providers = []
        self.provider = self.serve()

    def tearDown(self):
        for p in self.providers:
            p.stop()
        self.home.__exit__()

    def serve(self, tls=None):
        async def behave(provider, request, reply):
            if self.refuse:
                return await reply.error(self.refuse, "invalid api key")
            await reply.decide("42")

        self.providers.append(Provider(behave, tls))
        return self.providers[-1]

    def seen(self, provider=None):
        """The keys a server got, in whatever header."""
        places = ("authorization", "x-api-key", "x-goog-api-key")
        return {next((r["headers"][p] for p in places if p in r["headers"]), None) for r in (provider or self.provider).requests}

    def ask(self, *args, env=None, code=0, flags=("--json",)):
        r = self.home.run(*args, *flags, "q", env=env)
        self.assertEqual(r.returncode, code, r.stderr)
        return r

    def team(self, **backend):
        return self.home.write("team.json", {"agents": [{"id": "a", "backend": {"type": "chatcompletion", "model": "m", **backend}}]})


class Routes(Keys):
    """Base URLs of the environment."""

    def test_a_gateway_of_the_environment_gets_its_own_key(self):
        url = self.provider.url + "/v1"
        for model, env, key in [("gpt-4o", {"OPENAI_API_KEY": "gw", "OPENAI_BASE_URL": url}, "Bearer gw"),
                                ("gpt-4o", {"OPENAI_API_KEY": "gw", "OPENAI_API_BASE": url + "/"}, "Bearer gw"),
                                ("claude-x", {"ANTHROPIC_API_KEY": "gw", "ANTHROPIC_BASE_URL": self.provider.url}, "Bearer gw"),
                                ("grok-4", {"XAI_API_KEY": "gw", "XAI_BASE_URL": url}, "Bearer gw"),
                                ("glm-4.5", {"ZAI_API_KEY": "gw", "ZAI_BASE_URL": url}, "Bearer gw"),
                                ("gemini-2.5-flash", {"GEMINI_API_KEY": "gw", "GOOGLE_GEMINI_BASE_URL": self.provider.url}, "gw")]:
            with self.subTest(env):
                self.provider.requests.clear()
                r = self.ask("--model", model, env=env)
                self.assertEqual(self.seen(), {key})
                name = next(n for n in env if "_BASE" in n)
                notice = [e for e in events_of(r.stdout) if e["type"] == "agent_notice" and name in e["reason"]]
                self.assertEqual(len(notice), 1)
                self.assertIn(f"127.0.0.1:{self.provider.port}", notice[0]["reason"])
                calls = [e["seq"] for e in events_of(r.stdout) if e["type"] == "call_started"]
                self.assertLess(notice[0]["seq"], calls[0])  # said before the first call
                self.assertIn(name, r.stderr)

    def test_a_quiet_run_says_where_it_goes(self):
        r = self.ask("--model", "gpt-4o", flags=("--quiet",), env={"OPENAI_API_KEY": "gw", "OPENAI_BASE_URL": self.provider.url + "/v1"})
        self.assertIn("OPENAI_BASE_URL (the environment)", r.stderr)

    def test_a_pair_in_one_env_file_belongs_together(self):
        self.home.write(".env", f"OPENAI_API_KEY=gw\nOPENAI_BASE_URL={self.provider.url}/v1\n")
        r = self.ask("--model", "gpt-4o")
        self.assertEqual(self.seen(), {"Bearer gw"})
        self.assertIn("OPENAI_BASE_URL (./.env)", r.stderr)

    def test_a_project_does_not_redirect_a_key_from_elsewhere(self):
        self.home.write(".env", f"OPENAI_BASE_URL={self.provider.url}/v1\n")
        r = self.ask("--model", "gpt-4o", code=2, env={"OPENAI_API_KEY": "sk-mine"})
        self.assertEqual(self.provider.requests, [])
        for part in ("OPENAI_BASE_URL (./.env)", "OPENAI_API_KEY (the environment)", "nothing is sent"):
            self.assertIn(part, r.stderr)
        self.assertNotIn("sk-mine", r.stderr + r.stdout)
        # Nor with headers of one's own, nor by a variable in base_url.
        self.home.write(".env", f"OPENAI_API_KEY=x\nURL={self.provider.url}/v1\nOPENAI_BASE_URL={self.provider.url}/v1\n")
        self.ask("-c", self.team(extra_headers={"X-Auth": "${MINE}"}), code=2, env={"MINE": "sk-mine"})
        self.ask("-c", self.team(base_url="${URL}", api_key_env="MINE"), code=2, env={"MINE": "sk-mine"})
        self.assertEqual(self.provider.requests, [])

    def test_a_project_does_not_collect_a_secret_within_a_url(self):
        self.home.write(".env", f"GW={self.provider.url}/v1\n")
        for url in ("${GW}?key=${MINE}", "${GW}/${MY_TOKEN}", "${GW}?v=${MY_TOKEN:-1}"):
            team = self.team(base_url=url)
            mine = {"MINE": "sk-mine", "MY_TOKEN": "sk-mine"}
            r = self.ask("-c", team, code=1, env=mine)
            self.assertIn("a project's .env does not send a key somewhere else", r.stderr)
            self.assertNotIn("sk-mine", r.stderr)
            self.assertEqual(self.home.run("validate", team, env=mine).returncode, 0)
            self.assertEqual(self.home.run("validate", "--here", team, env=mine).returncode, 1)
        self.assertEqual(self.provider.requests, [])
        self.ask("-c", self.team(base_url="${GW}?v=${VERSION:-1}"))
        self.assertTrue(self.provider.requests)

    def test_a_provider_key_that_a_configuration_sends_elsewhere_is_said(self):
        for backend in ({"api_key": "${OPENAI_API_KEY}"}, {"api_key_env": "OPENAI_API_KEY"}, {"extra_headers": {"X-Auth": "${OPENAI_API_KEY}"}}):
            for flags in ((), ("--quiet",), ("--automation",)):
                os.replace(self.team(base_url=self.provider.url + "/v1", **backend), self.home.path / "conclave.yaml")
                r = self.ask(flags=flags, env={"OPENAI_API_KEY": "sk-mine"})
                self.assertIn(f"OPENAI_API_KEY (the environment) goes to {self.provider.url}, not to openai.com", r.stderr)
        r = self.ask("-c", self.team(base_url=self.provider.url + "/v1", api_key="${K}"), flags=("--quiet",), env={"K": "k"})
        self.assertEqual(r.stderr, "")

    def test_a_scheme_in_capitals_is_the_same_scheme(self):
        url = self.provider.url.replace("http", "HTTP")
        r = self.ask("--model", "gpt-4o", flags=("--quiet",), env={"OPENAI_API_KEY": "gw", "OPENAI_BASE_URL": url + "/v1"})
        self.assertIn(f"sends the calls to {self.provider.url} ", r.stderr)
        self.ask("--model", "gpt-4o", code=2, env={"OPENAI_API_KEY": "gw", "OPENAI_BASE_URL": url + "/v1#x"})

    def test_base_url_of_the_file_wins(self):
        self.ask("-c", self.team(base_url=self.provider.url + "/v1", api_key="${K}"), env={"K": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
        self.assertEqual(self.seen(), {"Bearer k"})

    def test_ollama_is_found_by_its_own_variable(self):
        self.ask("--backend", "ollama", "--model", "m", env={"OLLAMA_HOST": f"127.0.0.1:{self.provider.port}"})
        self.assertIn("/v1/chat/completions", [r["path"] for r in self.provider.requests])

    def test_upper_case_http_proxy_counts_and_that_of_a_file_does_not(self):
        proxy = f"http://127.0.0.1:{self.provider.port}"
        team = self.team(base_url="http://llm.invalid/v1", api_key="${K}")
        self.ask("-c", team, env={"K": "k", "HTTP_PROXY": proxy})
        self.assertEqual({r["path"] for r in self.provider.requests}, {"http://llm.invalid/v1/chat/completions"})
        self.provider.requests.clear()
        self.home.write(".env", f"HTTP_PROXY={proxy}\nhttp_proxy={proxy}\nALL_PROXY={proxy}\n")
        r = self.ask("-c", team, code=2, env={"K": "k"})
        self.assertEqual(self.provider.requests, [])
        self.assertIn("proxies are taken from the environment of the process alone", r.stderr)


    def test_a_redirect_is_not_followed_with_a_key_and_is_said(self):
        async def send_away(provider, request, reply):
            await reply.head(307, "text/plain", Location=self.provider.url + "/v1/chat/completions", Content_Length=0)

        other = Provider(send_away)
        self.providers.append(other)
        r = self.ask("-c", self.team(base_url=other.url + "/v1", api_key="${K}"), code=2, env={"K": "k"})
        self.assertEqual(self.provider.requests, [])
        self.assertIn("sends the call elsewhere, which is not followed", r.stderr)


class Withheld(Keys):
    """Hosts no key is bound to."""

    def test_a_withheld_key_is_said_and_never_blamed(self):
        self.refuse = 401
        r = self.ask("--model", "m", "--base-url", self.provider.url + "/v1", code=2, env={"OPENAI_API_KEY": "sk-mine"})
        self.assertEqual(self.seen(), {None})
        self.assertIn("no key is bound to 127.0.0.1", r.stderr)
        self.assertIn("--api-key-env", r.stderr)
        self.assertIn("no key was sent", r.stderr)
        self.assertNotIn("check the key", r.stderr)

    def test_a_quiet_run_says_it_too(self):
        for flag in ("--quiet", "--automation"):
            r = self.ask("--model", "m", "--base-url", self.provider.url + "/v1", flags=(flag,), env={"OPENAI_API_KEY": "sk-mine"})
            self.assertIn("no key is bound to 127.0.0.1", r.stderr)

    def test_the_quick_mode_names_a_variable(self):
        self.ask("--model", "m", "--base-url", self.provider.url + "/v1", "--api-key-env", "MINE", env={"MINE": "sk-mine"})
        self.assertEqual(self.seen(), {"Bearer sk-mine"})
        r = self.home.run("--model", "m", "--api-key-env", "sk-mine-1", "q")
        self.assertEqual(r.returncode, 1)
        self.assertNotIn("sk-mine-1", r.stderr)


class Faults(Keys):
    """Keys and files that were copied badly."""

    def test_what_stands_around_a_key_is_taken_off(self):
        for text in ("sk-1\n", " sk-1 ", '"sk-1"', "'sk-1'\r\n"):
            self.provider.requests.clear()
            r = self.ask("--model", "m", "--base-url", self.provider.url + "/v1", "--api-key-env", "MINE", env={"MINE": text})
            self.assertEqual(self.seen(), {"Bearer sk-1"})
            self.assertIn("MINE (the environment)", r.stderr)

    def test_what_stands_around_a_key_in_a_header_or_a_tool_server_is_taken_off(self):
        for text in ("sk-1\n", '"sk-1"', " 'sk-1'\r\n"):
            self.provider.requests.clear()
            self.home.write("server.py", "import os\nopen('got', 'w').write(os.environ['API_TOKEN'])\n")
            server = {"command": "python3", "args": [str(self.home.path / "server.py")], "cwd": str(self.home.path), "env": {"API_TOKEN": "${MY_KEY}"}}
            team = self.team(base_url=self.provider.url, extra_headers={"Authorization": "Token ${MY_KEY}"}, mcp_servers={"s": server})
            self.ask("-c", team, env={"MY_KEY": text})
            self.assertEqual(self.seen(), {"Token sk-1"})
            self.assertEqual((self.home.path / "got").read_text(), "sk-1")

    def test_what_stands_inside_a_key_names_the_variable(self):
        for text in ("sk-1\nsk-2", "sk 1", "sk-\u00e4", "\u201csk-1\u201d"):
            r = self.ask("--model", "m", "--base-url", self.provider.url + "/v1", "--api-key-env", "MINE", env={"MINE": text}, code=2)
            self.assertIn("MINE (the environment) holds", r.stderr)
        self.assertEqual(self.provider.requests, [])

    def test_faults_of_env_files_are_said_in_a_run_as_in_validate(self):
        team = self.home.write("offline.json", calm_team(1))
        for data, said in ((b"\xff\xfeA\0=\x001\0", "UTF-16"), (b"OPENAI_API_KEY: sk-1\n", "as in YAML"), (b'K="sk-1\n', "not closed"),
                           (b"A=1\nA=2\n", "the last, counts")):
            (self.home.path / ".env").write_bytes(data)
            for r in (self.home.run("-c", team, "q"), self.home.run("validate", team)):
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn(said, r.stderr + r.stdout)
                self.assertNotIn("sk-1", r.stderr + r.stdout)
        (self.home.path / ".env").unlink()
        (self.home.path / ".env").mkdir()
        self.assertIn("is a folder", self.home.run("-c", team, "q").stderr)
        (self.home.path / ".env").rmdir()
        self.home.write(".env", "MY_TOKEN=x1y2z3\n")
        os.chmod(self.home.path / ".env", 0o644)
        self.assertIn("chmod 600", self.home.run("-c", team, "q").stderr)

    def test_lines_that_end_with_cr_alone_are_lines(self):
        (self.home.path / ".env").write_bytes(f"A=1\rOPENAI_API_KEY=k\rOPENAI_BASE_URL={self.provider.url}/v1\r".encode())
        self.ask("--model", "gpt-4o")
        self.assertEqual(self.seen(), {"Bearer k"})

    def test_a_reference_in_an_env_file_is_not_sent_as_the_key(self):
        self.home.write(".env", f"OPENAI_API_KEY=${{OTHER}}\nOPENAI_BASE_URL={self.provider.url}/v1\n")
        r = self.ask("--model", "gpt-4o", code=2)
        self.assertIn("OPENAI_API_KEY (./.env) holds ${...}", r.stderr)
        self.assertEqual(self.provider.requests, [])

    def test_an_empty_variable_does_not_hide_a_file(self):
        self.home.write(".env", f"OPENAI_API_KEY=first\nOPENAI_API_KEY=last\nOPENAI_BASE_URL={self.provider.url}/v1\n")
        self.ask("--model", "gpt-4o", env={"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""})
        self.assertEqual(self.seen(), {"Bearer last"})


class Trust(Keys):
    """A server whose certificate a private authority signed."""

    def setUp(self):
        super().setUp()
        try:
            self.make_authority()
        except FileNotFoundError:
            self.skipTest("no openssl program")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.home.path / "server.pem", self.home.path / "server.key")
        self.server = self.serve(context)
        self.url = self.server.url + "/v1"

    def make_authority(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.home.path, check=True, capture_output=True)

        self.home.write("ext", "subjectAltName=IP:127.0.0.1\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=private authority", "-keyout", "ca.key", "-out", "ca.pem")
        openssl("req", *new, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-days", "2", "-extfile", "ext",
                "-out", "server.pem")

    def test_a_private_authority_is_trusted_where_it_is_named(self):
        ca = str(self.home.path / "ca.pem")
        (self.home.path / "hashed").mkdir()
        name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", ca], capture_output=True, text=True).stdout.strip()
        (self.home.path / "hashed" / f"{name}.0").symlink_to(ca)
        hashed = str(self.home.path / "hashed")
        for env in ({"SSL_CERT_FILE": ca}, {"REQUESTS_CA_BUNDLE": ca}, {"CURL_CA_BUNDLE": ca}, {"NODE_EXTRA_CA_CERTS": ca}, {"SSL_CERT_DIR": hashed},
                    {"SSL_CERT_FILE": "~/ca.pem"}):
            with self.subTest(env):
                self.server.requests.clear()
                self.ask("-c", self.team(base_url=self.url, api_key="${K}"), env={"K": "k", **env})
                self.assertEqual(self.seen(self.server), {"Bearer k"})
        for path in (ca, "~/ca.pem", "${CA}"):
            self.server.requests.clear()
            self.ask("-c", self.team(base_url=self.url, api_key="${K}", ca_bundle=path), env={"K": "k", "CA": ca})
            self.assertEqual(self.seen(self.server), {"Bearer k"})

    def test_without_it_nothing_is_sent(self):
        r = self.ask("-c", self.team(base_url=self.url, api_key="${K}"), env={"K": "k"}, code=2)
        self.assertIn("TLS", r.stderr)
        self.home.write(".env", f"SSL_CERT_FILE={self.home.path}/ca.pem\n")  # a project does not say whom to trust with my key
        r = self.ask("-c", self.team(base_url=self.url, api_key="${K}"), env={"K": "k"}, code=2)
        self.assertIn("SSL_CERT_FILE (./.env) is not used with K (the environment)", r.stderr)
        self.assertEqual(self.server.requests, [])
        self.home.write(".env", f"SSL_CERT_FILE={self.home.path}/ca.pem\nK=k\n")
        self.ask("-c", self.team(base_url=self.url, api_key="${K}"))
        self.assertEqual(self.seen(self.server), {"Bearer k"})

    def test_a_bad_path_names_the_variable_before_the_first_call(self):
        self.home.write("no.pem", "no certificate")
        self.home.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR", "ca_bundle"):
            for path in ("/no/such/file", str(self.home.path / "no.pem"), str(self.home.path / "broken.pem")):
                with self.subTest(name=name, path=path):
                    more, env = ({"ca_bundle": path}, {}) if name == "ca_bundle" else ({}, {name: path})
                    team = self.team(base_url=self.url, api_key="${K}", **more)
                    r = self.ask("-c", team, env={"K": "k", **env}, code=2)
                    self.assertIn(name, r.stderr)
                    self.assertIn(path, r.stderr)
                    self.assertEqual(self.home.run("validate", "--here", team, env={"K": "k", **env}).returncode, 1)
        self.assertEqual(self.server.requests, [])


class Here(Keys):
    """`validate`: what would not run on this machine."""

    def test_what_would_not_run_here_is_said_and_counts_with_here(self):
        none = {"command": "npx-none", "security": {"allowed_executables": ["npx-none"]}}
        url = self.provider.url
        for backend, said in (({}, "no key: set OPENAI_API_KEY"),
                              ({"base_url": url, "mcp_servers": {"s": none}}, "'npx-none' is not installed"),
                              ({"base_url": url, "extra_headers": {"X-A": "${NONE}"}}, "the variable NONE is not set"),
                              ({"base_url": "${NONE}"}, "the variable NONE is not set"),
                              ({"base_url": "https://x.example", "api_key": "k", "ca_bundle": "/none"}, "ca_bundle: '/none' cannot be read"),
                              ({"base_url": url, "custom_tools": ["x"]}, "not available yet")):
            with self.subTest(said):
                team = self.team(**backend)
                r = self.home.run("validate", team)
                self.assertEqual(r.returncode, 0)
                line = next(x for x in r.stdout.splitlines() if said in x)
                self.assertIn("will not run here: ", line)
                self.assertEqual(self.home.run("validate", "--here", team).returncode, 1)
        (self.home.path / "a-file").write_text("x")
        file = str(self.home.path / "a-file")
        cwd = {"command": "python3", "args": ["x.py"], "cwd": file}
        self.assertIn("is no folder", self.home.run("validate", self.team(base_url=url, mcp_servers={"s": cwd})).stdout)
        tls = self.home.write("tls.json", {**calm_team(1), "cluster": {"nodes": {"m": "127.0.0.1:1"}, "tls": {"cert": file, "key": file, "ca": file}}})
        self.assertEqual(self.home.run("validate", "--here", tls).returncode, 1)
        for home in (file, file + "/x", "~somebody/x"):
            r = self.home.run("validate", "--here", self.team(base_url=url), env={"CONCLAVE_HOME": home})
            self.assertEqual(r.returncode, 1)
            self.assertIn("will not run here: ", r.stdout)
        fine = self.team(base_url=self.provider.url)
        r = self.home.run("validate", "--here", fine)
        self.assertEqual((r.returncode, "will not run here" in r.stdout), (0, False), r.stdout)


class Folders(Keys):
    def test_a_home_with_a_tilde_makes_no_folder_of_that_name(self):
        for value, made in (("~/own", "own"), ("rel/own", "rel/own"), (" ", ".local/state/conclave")):
            r = self.home.run("-c", self.home.write("t.json", calm_team(1)), "q", env={"CONCLAVE_HOME": value})
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertTrue((self.home.path / made / "tasks.db").exists())
        r = self.home.run("list", env={"CONCLAVE_HOME": "~somebody/own"})
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("CONCLAVE_HOME", r.stderr)
        self.assertFalse([p for p in os.listdir(self.home.path) if p.startswith("~")])

    def test_a_script_with_a_tilde_is_found(self):
        self.home.write("steps.yaml", '- {answer: "x"}\n- {vote: agent1, reason: fine}\n- {text: done, optional: true}\n')
        team = self.home.write("t.json", {"agents": [{"id": "a", "backend": {"type": "scripted", "script": "~/steps.yaml"}}]})
        self.assertEqual(self.home.run("-c", team, "q").returncode, 0)
        team = self.home.write("t.json", {"agents": [{"id": "a", "backend": {"type": "scripted", "script": "~somebody/steps.yaml"}}]})
        r = self.home.run("-c", team, "q")
        self.assertEqual(r.returncode, 1)
        self.assertIn("'~somebody'", r.stderr)

    def test_a_tool_server_starts_in_a_folder_with_a_tilde(self):
        (self.home.path / "tools").mkdir()
        (self.home.path / "tools" / "server.py").write_text("import os\nopen('started', 'w').write(os.getcwd())\n")
        (self.home.path / "tools" / "python3").symlink_to(sys.executable)
        server = {"command": "~/tools/python3", "args": ["server.py"], "cwd": "~/tools"}
        team = self.team(base_url=self.provider.url, mcp_servers={"s": server})
        self.assertEqual(self.home.run("validate", "--here", team).returncode, 0)
        self.ask("-c", team)
        self.assertEqual((self.home.path / "tools" / "started").read_text(), os.path.realpath(self.home.path / "tools"))
        self.assertFalse((self.home.path / "~").exists())

    def test_settings_are_found_under_xdg_config_home(self):
        (self.home.path / "xdg" / "conclave").mkdir(parents=True)
        self.home.write("xdg/conclave/config.yaml", calm_team(1))
        self.home.write("xdg/conclave/.env", f"OPENAI_API_KEY=k\nOPENAI_BASE_URL={self.provider.url}/v1\n")
        xdg = {"XDG_CONFIG_HOME": str(self.home.path / "xdg")}
        self.assertEqual(self.home.run("q", env=xdg).returncode, 0)
        self.ask("--model", "gpt-4o", env=xdg)
        self.assertEqual(self.seen(), {"Bearer k"})


class Nodes(Keys):
    """Keys of another machine."""

    def test_no_literal_secret_travels_under_another_name(self):
        def validate(**backend):
            team = {"agents": [{"id": "a", "node": "m", "backend": {"type": "chatcompletion", "model": "m", "base_url": self.provider.url, **backend}}],
                    "cluster": {"nodes": {"m": "127.0.0.1:1"}}}
            return self.home.run("validate", self.home.write("team.json", team), "--json").stdout

        def command(*args, **more):
            return {"mcp_servers": {"s": {"command": "npx", "args": ["x", *args], **more}}}

        for backend in ({"extra_headers": {"X-Foo": "Bearer sk-1234567"}}, {"extra_headers": {"X-Creds": "a1b2c3d4"}},
                        {"extra_headers": {"X-Passcode": "a1b2c3d4"}}, command("-e", "GITHUB_TOKEN=a1b2c3d4"),
                        command("--header", "Authorization: Bearer a1b2c3d4"), command("postgres://me:a1b2c3d4@host/db"),
                        command("https://host.example/mcp?api_key=a1b2c3d4"), command(env={"DATABASE_URL": "postgres://me:a1b2c3d4@host/db"}),
                        command("--api-key", "a1b2c3d4"), command("--token=a1b2c3d4")):
            with self.subTest(backend):
                said = validate(**backend)
                self.assertIn("a literal secret would have to travel", said)
                self.assertNotIn("a1b2c3d4", said)
        for backend in ({"extra_headers": {"X-Foo": "Bearer ${K:-}", "X-Title": "my: app"}}, command("-e", "GITHUB_TOKEN", "-e", "A=1", "--port", "80"),
                        command("--header", "Authorization: Bearer ${K}", "postgres://me:${K}@host/db", "file:///tmp", "C:/x", "a@b:c"),
                        command("https://host.example/mcp?api_key=${K}&page=2", "--api-key", "${K}", "--token=${K}")):
            with self.subTest(backend):
                self.assertNotIn("a literal secret", validate(**backend))

    def node(self, **env):
        p = subprocess.Popen([str(BIN), "node", "--listen", "127.0.0.1:0", "--insecure-loopback"], cwd=self.home.path, stdin=subprocess.DEVNULL,
                             env={**self.home.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.terminate)
        return Lines(p.stdout).until("listening on").split()[-1]

    def test_a_key_missing_on_a_node_says_which_node(self):
        mars = self.node()
        r = self.ask("-c", self.team(), "--node", f"mars={mars}", "--insecure-loopback", code=2, env={"OPENAI_API_KEY": "here"})
        self.assertIn("on node 'mars': OpenAI: no key: set OPENAI_API_KEY", r.stderr)

    def test_what_a_node_redirects_comes_back_as_a_notice(self):
        mars = self.node(OPENAI_API_KEY="of-mars", OPENAI_BASE_URL=self.provider.url + "/v1")
        r = self.ask("-c", self.team(), "--node", f"mars={mars}", "--insecure-loopback", env={"OPENAI_API_KEY": "here"})
        self.assertEqual(self.seen(), {"Bearer of-mars"})
        self.assertTrue([e for e in events_of(r.stdout) if e["type"] == "agent_notice" and "OPENAI_BASE_URL (the environment)" in e["reason"]])

    def test_a_host_that_only_looks_like_loopback_is_not_dialled_without_tls(self):
        for host in ("127.evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "0x7f.1", "2130706433"):
            r = self.home.run("-c", self.home.write("t.json", calm_team(1)), "--node", f"mars={host}:{self.provider.port}", "--insecure-loopback", "q")
            self.assertIn("without TLS only loopback addresses may be used", r.stderr)

if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
