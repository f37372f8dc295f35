# SPDX-License-Identifier: Apache-2.0
"""`conclave resume` typed in another folder than the task was started in, or where something the task needs is not there now: what is
relative means what it meant, and what is missing is named before anything changes."""

import asyncio
import ssl
import unittest

from provider import Provider
from support import *

SERVER = """import json, sys
def send(m): sys.stdout.write(json.dumps(m) + "\\n"); sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "n", "version": "1"}}})
    elif m.get("method") == "tools/list":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": [{"name": NAME, "description": "d", "inputSchema": {"type": "object"}}]}})
    elif "id" in m:
        send({"jsonrpc": "2.0", "id": m["id"], "result": {}})
"""


class Places(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.project, self.other = self.home.path / "project", self.home.path / "other"
        self.project.mkdir(), self.other.mkdir()
        self.hang, self.tools = True, []

    def tearDown(self):
        self.home.__exit__()

    async def behave(self, provider, request, reply):
        self.tools.append(sorted(reply.tools()))
        if self.hang:
            await reply.head()
            await reply.chunk(b": x\n\n")
            await asyncio.sleep(1000)
        await reply.decide("x")

    def backend(self, provider, **more):
        return {"type": "chatcompletion", "model": "m", "base_url": provider.url + "/v1", "api_key": "${TEST_KEY}", **more}

    def cut_off(self, backend, env=None):
        self.home.env["TEST_KEY"] = "sk-12345678xx"
        (self.project / "t.json").write_text(json.dumps({"agents": [{"id": "a", "backend": backend}]}))
        p = subprocess.Popen([str(BIN), "-c", "t.json", "--json", "q"], cwd=self.project, env={**self.home.env, **(env or {})},
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        Lines(p.stdout).until(lambda line: '"call_started"' in line and '"target":"model"' in line)
        p.kill()
        p.wait()
        p.stdout.close()
        self.hang = False

    def log(self):
        return self.home.run("show", "last", "--json").stdout

    def test_a_tool_server_begins_where_the_task_was_started(self):
        (self.project / "mcp.py").write_text(SERVER.replace("NAME", '"mine"'))
        (self.other / "mcp.py").write_text(SERVER.replace("NAME", '"foreign"'))
        provider = Provider(self.behave)
        try:
            self.cut_off(self.backend(provider, mcp_servers=[{"name": "n", "command": "python3", "args": ["mcp.py"]}]))
            for folder in ("/", self.other):
                with self.subTest(folder=folder):
                    self.hang = folder == "/"
                    if self.hang:  # goes on there and is cut off again
                        p = subprocess.Popen([str(BIN), "resume", "--json"], cwd=folder, env=self.home.env, stdout=subprocess.PIPE,
                                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
                        Lines(p.stdout).until(lambda line: '"call_started"' in line and '"target":"model"' in line)
                        p.kill()
                        p.wait()
                        p.stdout.close()
                    else:
                        r = self.home.run("resume", cwd=folder)
                        self.assertEqual(r.returncode, 0, r.stderr)
                        self.assertNotIn("without tools", r.stderr)
            self.assertTrue(self.tools)
            decided = [t for t in self.tools if "new_answer" in t or "vote" in t]
            self.assertEqual({"mcp__n__mine" in t for t in decided}, {True}, self.tools)
            self.assertFalse([t for t in self.tools if "mcp__n__foreign" in t])
        finally:
            provider.stop()

    def test_a_folder_that_is_gone_is_named_and_nothing_changes(self):
        (self.project / "mcp.py").write_text(SERVER.replace("NAME", '"mine"'))
        provider = Provider(self.behave)
        try:
            self.cut_off(self.backend(provider, mcp_servers=[{"name": "n", "command": "python3", "args": ["mcp.py"]}]))
            before = self.log()
            os.rename(self.project, self.home.path / "moved")
            r = self.home.run("resume")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn(f"agent 'a' cannot go on: MCP server 'n': it begins in the folder the task was started in, {self.project}", r.stderr)
            self.assertEqual(self.log(), before)
            os.rename(self.home.path / "moved", self.project)
            self.assertEqual(self.home.run("resume").returncode, 0)
        finally:
            provider.stop()

    def test_a_variable_of_a_tool_server_that_is_not_set_changes_nothing(self):
        provider = Provider(self.behave)
        try:
            for more in ({"args": ["mcp.py"], "env": {"T": "${TOKEN_OF_IT}"}}, {"args": ["mcp.py", "${TOKEN_OF_IT}"]}):
                with self.subTest(more=more):
                    (self.project / "mcp.py").write_text(SERVER.replace("NAME", '"mine"'))
                    self.hang = True
                    self.cut_off(self.backend(provider, mcp_servers=[{"name": "n", "command": "python3", **more}]), {"TOKEN_OF_IT": "abcdefgh1234"})
                    before = self.log()
                    r = self.home.run("resume")
                    self.assertEqual(r.returncode, 1, r.stderr)
                    self.assertIn("agent 'a' cannot go on: MCP server 'n': variable TOKEN_OF_IT is not set", r.stderr)
                    self.assertEqual(self.log(), before)
                    r = self.home.run("resume", env={"TOKEN_OF_IT": "abcdefgh1234"})
                    self.assertEqual(r.returncode, 0, r.stderr)
        finally:
            provider.stop()

    def test_authorities_are_those_of_the_start_and_missed_before_anything_changes(self):
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem",
                               "-out", "c.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                              cwd=self.project, capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.project / "c.pem", self.project / "k.pem")
        provider = Provider(self.behave, tls=tls)
        try:
            self.cut_off(self.backend(provider, ca_bundle="c.pem"))
            before = self.log()
            os.rename(self.project / "c.pem", self.project / "away.pem")
            r = self.home.run("resume", cwd=self.other)
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn(f"agent 'a' cannot go on: ca_bundle: '{self.project}/c.pem' cannot be read", r.stderr)
            self.assertEqual(self.log(), before)
            os.rename(self.project / "away.pem", self.project / "c.pem")
            r = self.home.run("resume", cwd=self.other)
            self.assertEqual((r.returncode, r.stdout), (0, "the final answer\n"), r.stderr)
        finally:
            provider.stop()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
