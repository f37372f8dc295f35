# SPDX-License-Identifier: Apache-2.0
"""Keys, planted wherever a configuration can hold one, and told back by everybody who gets them: the provider in error bodies, headers and
streams, tool servers in results, errors, names and on stderr. None may be in a file of $CONCLAVE_HOME: store, its log, events, stderr."""

import asyncio
import base64
import html
import contextlib
import sqlite3
import unittest
import urllib.parse

import stored
from provider import Provider
from support import *

# Tells what it was given (argv, environment, a key of its own) in the way that argv[1] says.
SERVER = r'''
import base64, html, json, os, sys, urllib.parse
how = sys.argv[1]
def coded(text):  # as pages, addresses and headers hold it
    words = text.split()
    return " ".join([html.escape(text), urllib.parse.quote(text, safe="")]
                    + [base64.b64encode((user + x).encode()).decode() for x in words for user in ("", "u:", "me:")]
                    + [base64.urlsafe_b64encode(x.encode()).decode().rstrip("=") for x in words])
secret = " ".join([os.environ.get(n, "") for n in ("API_KEY", "OPENAPI_MCP_HEADERS", "HOOK", "HDR", "SITE")] + sys.argv[2:])
def send(m): sys.stdout.write(json.dumps(m) + "\n"); sys.stdout.flush()
sys.stderr.write("starting with " + secret + "\n" + json.dumps({"key": secret}) + "\n" + coded(secret) + "\n"); sys.stderr.flush()
if how == "noise": sys.stdout.write("my key is " + secret + "\n"); sys.stdout.flush()
if how == "dies": sys.exit(3)
try: secret += " " + open(os.path.join(os.path.dirname(sys.argv[0]), "bare")).read()  # also what others were given, without what stands around it
except OSError: pass
sys.stderr.write("others have " + secret + "\n"); sys.stderr.flush()
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        if how == "refuses":
            send({"jsonrpc": "2.0", "id": m["id"], "error": {"code": -1, "message": "bad key " + secret, "data": secret}})
            continue
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
              "instructions": secret, "serverInfo": {"name": "s " + (secret if how == "names" else ""), "version": secret}}})
    elif m.get("method") == "tools/list":
        send({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": [{"name": "tell", "description": "Tells " + (secret if how == "names" else ""),
              "inputSchema": {"type": "object", "properties": {"a": {"type": "string", "default": secret if how == "names" else ""}}}}]}})
    elif m.get("method") == "tools/call":
        if how == "call_fails":
            send({"jsonrpc": "2.0", "id": m["id"], "error": {"code": -32000, "message": "denied for " + coded(secret)}})
        elif how == "call_dies":
            sys.exit(4)
        else:
            send({"jsonrpc": "2.0", "id": m["id"], "result": {"content": [{"type": "text", "text": "it is " + secret + json.dumps(secret) + coded(secret)}],
                  "structuredContent": {"key": secret}, "isError": how == "error_result"}})
    elif "id" in m:
        send({"jsonrpc": "2.0", "id": m["id"], "result": {}})
'''

exec(SERVER[SERVER.index("def coded"):SERVER.index("def send")])  # the provider writes it as the server does

ECHOES = ("fine", "body_400", "text_400", "html_500", "stream_error", "mid_json", "header", "redirect", "odd_json")


class Case(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.home.write("server.py", SERVER)
        self.cores = {}
        self.env = {}
        self.gap = 0
        self.provider = Provider(self.behave)

    def tearDown(self):
        self.provider.stop()
        self.home.__exit__()

    def key(self, where):
        """One that has to be escaped in JSON and in URLs. Of a provider's key a quote would be taken for a bad copy."""
        core = f"planted{len(self.cores)}x" + os.urandom(5).hex()
        self.cores[where] = core
        if where.endswith("base_url"):
            return f"sk-{core}/+=end"
        if where.endswith("within a text"):
            return f"{core}=Zq"
        return f"sk-{core}\\/+=end" if where.endswith("api_key") else f"sk-{core}\\\"/+=end"

    def variable(self, where):
        name = f"PLANTED_{len(self.cores)}_KEY"
        self.env[name] = self.key(where)
        return "${" + name + "}"

    async def behave(self, provider, request, reply):
        how = request["model"]
        got = " ".join([*(v for k, v in request["headers"].items() if k not in ("content-length", "host")), request["path"],
                        *(v.split()[-1] for v in request.get("default_headers", {}).values())])
        tools = reply.tools()
        await asyncio.sleep(self.gap)
        if how == "body_400":
            return await reply.error(400, "invalid request with " + got)
        if how == "text_400":
            body = ("no: " + got + "\n" + json.dumps({"you": request["headers"]})).encode()
            await reply.head(400, "text/plain", Content_Length=len(body))
            reply.writer.write(body)
            return await reply.writer.drain()
        if how == "html_500":
            body = f"<html><h1>{coded(got)}</h1>{got}</html>".encode()
            await reply.head(400, "text/html", Content_Length=len(body))
            reply.writer.write(body)
            return await reply.writer.drain()
        if how == "odd_json":
            body = json.dumps({"detail": [{"input": got, "headers": request["headers"]}], "code": got}).encode()
            await reply.head(422, "application/json", Content_Length=len(body))
            reply.writer.write(body)
            return await reply.writer.drain()
        if how == "stream_error":
            await reply.head()
            await reply.chunk(b"data: " + json.dumps({"error": {"message": "stop: " + got, "type": got, "code": got}}).encode() + b"\n\n")
            return await reply.end()
        if how == "mid_json":
            await reply.head()
            await reply.chunk(b"data: {broken " + got.encode() + b"\n\n")
            return await reply.end()
        if how == "header":
            await reply.head(429, "application/json", X_Request_Id=got, Retry_After=got, Content_Length=2)
            reply.writer.write(b"{}")
            return await reply.writer.drain()
        if how == "redirect":
            await reply.head(302, "text/plain", Location="http://127.0.0.1:1/?" + got.replace(" ", "&"), Content_Length=0)
            return
        results = sum(m["role"] == "tool" for m in request["messages"])
        mine = [t for t in tools if t.endswith("tell")]
        if mine and results == 0 and "new_answer" in tools:
            return await reply.play("hm", [(t, {"a": "x"}) for t in mine])
        await reply.decide("the answer of " + how)

    def server(self, how, where, literal=True):
        give = self.key if literal else self.variable
        return {"name": f"{how}{len(self.cores)}", "type": "stdio", "command": sys.executable,
                "args": [str(self.home.path / "server.py"), how, "--token", give(f"{where}: args of a server that {how}"),
                         "https://" + give(f"{where}: user of a URL in args of a server that {how}, within a text") + "@host.example/x",
                         "--config", json.dumps({"headers": {"X-Foo": "Token " + give(f"{where}: JSON in args of a server that {how}, within a text")}})],
                "env": {"API_KEY": give(f"{where}: env of a server that {how}"),
                        "OPENAPI_MCP_HEADERS": json.dumps({"Authorization": "Bearer " + give(f"{where}: JSON in env of a server that {how}, within a text"),
                                                           "Notion-Version": "2022-06-28"}),
                        "HOOK": "https://host.example/x?page=2&token=" + give(f"{where}: query in env of a server that {how}, within a text"),
                        "HDR": "Bearer " + give(f"{where}: scheme in env of a server that {how}, within a text"),
                        "SITE": "https://" + give(f"{where}: user of a URL in env of a server that {how}, within a text") + "@host.example/1"}}

    def backend(self, model, where, literal=True):
        give = self.key if literal else self.variable
        url = self.provider.url + "/v1?api-version=2&key=" + give(f"{where}: query of base_url")
        return {"type": "chatcompletion", "model": model, "base_url": url, "api_key": give(f"{where}: api_key"),
                "extra_headers": {"x-auth-token": give(f"{where}: extra_headers"), "x-other": "Bearer " + give(f"{where}: bearer header")},
                "extra_query": {"access_token": give(f"{where}: extra_query")},
                "default_headers": {"Authorization": "Bearer " + give(f"{where}: headers of the body, within a text")},
                "extra_body": {"headers": {"Authorization": "Bearer " + give(f"{where}: headers of extra_body, within a text"),
                                           "X-Foo": "Token " + give(f"{where}: another header of extra_body, within a text")}}}

    def leaks(self, cores=None):
        """Where each key is, by file."""
        out = {}
        for f in sorted((self.home.path / "home").rglob("*")):
            if not f.is_file():
                continue
            data = f.read_bytes()
            if f.name == "tasks.db":  # records and long bodies are compressed; a text may lie on two pages
                with contextlib.closing(sqlite3.connect(f)) as db:
                    self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                    for table, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                        for row in db.execute(f"SELECT * FROM {table}"):
                            data += b"".join(x if isinstance(x, bytes) else str(x).encode() for x in row)
                    data += b"".join(text for _, text in stored.records(db)) + b"".join(stored.read(db)[1].values())
            for where, core in (cores or self.cores).items():
                forms = [core.encode()] + [base64.b64encode(b"\0" * i + core.encode())[4 if i else 0:-4] for i in range(3)]
                if any(x in data for x in forms):
                    at = next(data.index(x) for x in forms if x in data)
                    out.setdefault(where, []).append(f"{f.relative_to(self.home.path)}: ...{data[max(0, at - 150):at + 60]!r}")
        return out

    def assert_nowhere(self, label):
        found = self.leaks()
        self.assertEqual(sorted(found), [], label + "\n" + "\n".join(f"{k}: {v[0]}" for k, v in found.items()))


class Planted(Case):
    def team(self, servers, literal, models=("fine",)):
        how = "literal" if literal else "variable"
        agents = []
        for i, model in enumerate(models):
            b = self.backend(model, f"{how}, provider that answers {model}", literal)
            if i == 0:
                b["mcp_servers"] = [self.server(s, how, literal) for s in servers]
            agents.append({"id": f"m{i}", "backend": b})
        if literal:
            self.home.write("bare", " ".join(core + "=Zq" for where, core in self.cores.items() if where.endswith("within a text")))
        return self.home.write("team.json", {"agents": agents})

    def answered(self, servers, literal, models=("fine",)):
        r = self.home.run("-c", self.team(servers, literal, models), "q", env=self.env)
        self.assertEqual(r.returncode, 0, r.stderr)
        for core in self.cores.values():
            self.assertNotIn(core, r.stdout + r.stderr)
        self.assert_nowhere("after an answered run")

    def test_literals_told_back_by_providers(self):
        self.answered([], True, ECHOES)

    def test_variables_told_back_by_providers(self):
        self.answered([], False, ECHOES)

    def test_literals_told_back_by_tool_servers(self):
        for how in ("noise", "dies", "refuses", "names", "call_fails", "call_dies", "error_result", "result"):
            with self.subTest(how):
                self.cores.clear()
                self.answered([how], True)

    def test_variables_told_back_by_tool_servers(self):
        for how in ("noise", "dies", "refuses", "names", "call_fails", "call_dies", "error_result", "result"):
            with self.subTest(how):
                self.cores.clear()
                self.answered([how], False)

    def test_keys_in_addresses_that_are_refused(self):
        key = self.key("address")
        core = self.cores["address"]
        for url in ("https://user:{}@127.0.0.1:1/v1", "https://{}@127.0.0.1:1/v1", "https://{}:@127.0.0.1:1/v1", "ftp://127.0.0.1:1/v1?key={}",
                    "https://127.0.0.1:1/v1?key={}#x", "https://127.0.0.1:1/v1#key={}", "https://127.0.0.1:1/v1#key={}?x", "//h?{}", "https://[::1?key={}",
                    "user:{}@127.0.0.1:1/v1", "https://127.0.0.1:1/v1?next=https://u:{}@h#"):
            for given in (core, key):
                at = url.format(given)
                with self.subTest(at):
                    team = self.home.write("team.json", {"agents": [{"id": "a", "backend": {"type": "chatcompletion", "model": "m", "base_url": at}}]})
                    for args in (("validate", team), ("-c", team, "q"), ("--backend", "chatcompletion", "--model", "m", "--base-url", at, "q")):
                        r = self.home.run(*args, env={"API": at})
                        self.assertNotEqual(r.returncode, 0, args)
                        self.assertNotIn(core, r.stdout + r.stderr, args)
                    self.assert_nowhere(at)

    def test_keys_in_an_address_where_nobody_listens(self):
        key = self.key("address, base_url")
        for at in (f"http://127.0.0.1:1/v1?key={key}", f"https://127.0.0.1:1/v1?x=1&token={key}", f"http://127.0.0.1:1/v1?next=https://u:{self.cores['address, base_url']}@h"):
            with self.subTest(at):
                team = self.home.write("team.json", {"agents": [{"id": "a", "backend": {"type": "chatcompletion", "model": "m", "base_url": at}}],
                                                     "timeout_settings": {"orchestrator_timeout_seconds": 1}})
                r = self.home.run("-c", team, "q")
                self.assertIn("127.0.0.1:1", r.stderr)
                self.assertNotIn(self.cores["address, base_url"], r.stdout + r.stderr)
                self.assert_nowhere(at)

    def killed(self, literal, models, servers=()):
        self.gap = 0.1
        self.home.env.update(self.env)
        path = self.team(servers, literal, models)
        self.home.env.update(self.env)
        p = self.home.start("-c", path, "--json", "q")
        Lines(p.stdout).until('"call_ended"')
        p.kill()
        p.stdout.close(), p.stderr.close()
        p.wait()
        self.assert_nowhere("after the kill")
        r = self.home.run("resume", "last")
        self.assertEqual(r.returncode, 0, r.stderr)
        for core in self.cores.values():
            self.assertNotIn(core, r.stdout + r.stderr)
        self.assert_nowhere("after the resume")
        asked = [q["headers"].get("authorization", "") for q in self.provider.requests]
        for where, core in self.cores.items():
            if where.endswith("api_key"):
                self.assertTrue(any(core in a for a in asked), f"{where} was lost")

    def test_literals_over_a_kill(self):
        self.killed(True, ("fine", "fine-too", "body_400", "mid_json"))

    def test_variables_over_a_kill(self):
        self.killed(False, ("fine", "fine-too", "body_400", "mid_json"))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
