# SPDX-License-Identifier: Apache-2.0
"""Against programs of others: the mock provider aimock (--strict: an unmatched request is an error) and the MCP reference server
`server-everything` over stdio. `scripts/check` installs both from package-lock.json."""

import base64
import concurrent.futures
import shutil
import unittest
import urllib.request

from provider import Provider
from support import *

NPM = pathlib.Path(os.environ.get("CONCLAVE_NPM_DIR", ROOT / "build" / "npm" / "node_modules"))
AIMOCK = NPM / "@copilotkit" / "aimock" / "dist" / "cli.js"
EVERYTHING = NPM / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
SUM = "mcp__everything__get-sum"
ROUNDS = int(os.environ.get("CONCLAVE_PEER_ROUNDS", "1"))


def member(model, answer):
    """What aimock plays for one model: a tool first, then an answer with its result, then a vote, then the presentation."""
    return [{"match": {"model": model, "toolName": "vote"},
             "response": {"reasoning": "Which is best?", "toolCalls": [{"name": "vote", "arguments": {"agent_id": "agent1", "reason": "right"}}]}},
            {"match": {"model": model, "toolName": "new_answer", "hasToolResult": False},
             "response": {"toolCalls": [{"name": SUM, "arguments": {"a": 19, "b": 23}}]}},
            {"match": {"model": model, "toolName": "new_answer", "toolResultContains": "42"},
             "response": {"toolCalls": [{"name": "new_answer", "arguments": {"content": answer}}]}},
            {"match": {"model": model, "systemMessage": "final answer"}, "response": {"content": f"{answer} Presented."}}]


class Mock:
    def __init__(self, home, fixtures):
        self.process = subprocess.Popen(["node", str(AIMOCK), "-p", "0", "-f", home.write("fixtures.json", {"fixtures": fixtures}), "--strict",
                                         "--log-level", "info"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=home.env)
        line = Lines(self.process.stdout).until("http://127.0.0.1:")
        self.url = "http://127.0.0.1:" + "".join(c for c in line.split("http://127.0.0.1:")[1].split()[0] if c.isdigit())

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as r:
            return json.loads(r.read() or b"null")

    def journal(self):
        got = self.ask("/__aimock/journal?limit=1000")
        return got["entries"] if isinstance(got, dict) else got

    def stop(self):
        self.process.kill()
        self.process.communicate()


def backend(kind, model, url, tools=True):
    b = {"type": kind, "model": model, "base_url": url + ("" if kind in ("claude", "gemini") else "/v1"), "api_key": "dummy"}
    if tools:
        b["mcp_servers"] = {"everything": {"command": "node", "args": [str(EVERYTHING), "stdio"]}}
    return b


class Peers(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.mock = None

    def tearDown(self):
        if self.mock:
            self.mock.stop()
        self.home.__exit__()

    def run_team(self, agents, **more):
        return self.home.run("--config", self.home.write("team.json", {"agents": agents, **more}), "--json", "What is 19 plus 23?", timeout=120)

    def test_a_team_of_five_kinds_uses_tools_and_answers(self):
        self.mock = Mock(self.home, member("gpt-mock", "It is 42, says chat.") + member("claude-mock", "It is 42, says messages.")
                         + member("o4-mock", "It is 42, say responses.")
                         + member("gemini-mock", "It is 42, says gemini."))
        for _ in range(ROUNDS):
            scripted = agent("script", [{"calls": [{"name": SUM, "arguments": {"a": 19, "b": 23}}], "first_delay_ms": 200},
                                        {"answer": "It is 42, says the script."}, {"vote": "agent1", "reason": "right"},
                                        {"text": "It is 42.", "optional": True}])
            scripted["backend"]["mcp_servers"] = backend("", "", "")["mcp_servers"]
            r = self.run_team([{"id": "chat", "backend": backend("chatcompletion", "gpt-mock", self.mock.url)},
                               {"id": "messages", "backend": backend("claude", "claude-mock", self.mock.url)},
                               {"id": "responses", "backend": backend("openai", "o4-mock", self.mock.url)},
                               {"id": "gemini", "backend": backend("gemini", "gemini-mock", self.mock.url)}, scripted])
            self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
            events = events_of(r.stdout)
            tools = [(e["agent"], e["target"]) for e in events if e["type"] == "call_started" and e.get("target") != "model"]
            self.assertEqual(sorted(tools), [(a, SUM) for a in ("chat", "gemini", "messages", "responses", "script")])
            answers = {e["agent"]: e["text"] for e in events if e["type"] == "new_answer"}
            self.assertEqual(answers, {"chat": "It is 42, says chat.", "messages": "It is 42, says messages.",
                                       "responses": "It is 42, say responses.",
                                       "gemini": "It is 42, says gemini.", "script": "It is 42, says the script."})
            self.assertEqual([e["target"] for e in events if e["type"] == "vote_cast"], ["chat"] * 5)
            self.assertEqual([(e["agent"], e["text"]) for e in events if e["type"] == "final_answer"],
                             [("chat", "It is 42, says chat. Presented.")])
            self.assertEqual([e["type"] for e in events].count("task_ended"), 1)
            self.assertEqual(model_calls(events), 2 * 5 + 1 + 5)
        journal = self.mock.journal()
        self.assertEqual(len(journal), (3 * 4 + 1) * ROUNDS)
        self.assertEqual({e["response"]["status"] for e in journal}, {200})
        self.assertFalse(subprocess.run(["pgrep", "-f", str(EVERYTHING)], capture_output=True).stdout, "a tool server was left behind")

    def test_faults_of_a_provider(self):
        """Each fault hits one of two agents; the other's answer is delivered, and the run ends well within its deadlines."""
        good = {"match": {"model": "gpt-good", "toolName": "vote"},
                "response": {"toolCalls": [{"name": "vote", "arguments": {"agent_id": "agent1", "reason": "r"}}]}}
        rest = [{"match": {"model": "gpt-good", "toolName": "new_answer"},
                 "response": {"toolCalls": [{"name": "new_answer", "arguments": {"content": "good"}}]}},
                {"match": {"model": "gpt-good"}, "response": {"content": "good, presented"}}]
        faults = {"rate limited": {"response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429}},
                  "refused key": {"response": {"error": {"message": "bad key", "type": "authentication_error"}, "status": 401}},
                  "broken server": {"response": {"error": {"message": "boom", "type": "server_error"}, "status": 500}},
                  "cut": {"response": {"content": "This sentence is long enough to be cut before its end."}, "chunkSize": 5, "latency": 30,
                          "truncateAfterChunks": 4},
                  "malformed": {"response": {"content": "x"}, "chaos": {"malformedRate": 1}},
                  "disconnect": {"response": {"content": "x"}, "chaos": {"disconnectRate": 1}}}
        cases = [(kind, name, what) for kind, name in (("chatcompletion", "gpt-bad"), ("claude", "claude-bad"), ("openai", "o4-bad"), ("gemini", "gemini-bad")) for what in faults]

        def run(case):
            kind, name, what = case
            with Home() as home:
                mock = Mock(home, [good, *rest, {"match": {"model": name}, **faults[what]}])
                start = time.monotonic()
                # A connection (type, address, key) has one gate for all its models: another spelling is another connection.
                team = [{"id": "good", "backend": backend("chatcompletion", "gpt-good", mock.url, tools=False)},
                        {"id": "bad", "backend": backend(kind, name, mock.url.replace("127.0.0.1", "localhost"), tools=False)}]
                r = home.run("--config", home.write("team.json", {"agents": team}), "--json", "q", timeout=120)
                took = time.monotonic() - start
                asked = sum(1 for e in mock.journal() if e["body"]["model"] == name)
                mock.stop()
            return r, took, asked

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for (kind, name, what), (r, took, asked) in zip(cases, pool.map(run, cases)):
                with self.subTest(f"{kind}: {what}"):
                    events = events_of(r.stdout)
                    self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
                    self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["good, presented"])
                    out = [e for e in events if e["type"] == "agent_out"]
                    self.assertEqual([e["agent"] for e in out], ["bad"])
                    self.assertLess(asked, 10, "a dead provider costs at most 9 requests")
                    if what == "refused key":
                        self.assertEqual(asked, 1)
                    print(f"{kind}, {what}: {asked} requests, {took:.1f} s, out: {out[0]['reason']}", flush=True)

    def test_all_providers_down(self):
        self.mock = Mock(self.home, [{"match": {}, "response": {"error": {"message": "boom", "type": "server_error"}, "status": 500}}])
        team = {"agents": [{"id": "a", "backend": backend("chatcompletion", "gpt-mock", self.mock.url, tools=False)},
                           {"id": "b", "backend": backend("claude", "claude-mock", self.mock.url, tools=False)},
                           {"id": "c", "backend": backend("openai", "o4-mock", self.mock.url, tools=False)}]}
        r = self.home.run("--config", self.home.write("team.json", team), "q", timeout=120)
        self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        cause = [line for line in r.stderr.splitlines() if "no answer" in line]
        self.assertEqual(len(cause), 1, r.stderr)
        self.assertIn("boom", cause[0])
        for model in ("gpt-mock", "claude-mock", "o4-mock"):
            self.assertLess(sum(1 for e in self.mock.journal() if e["body"]["model"] == model), 10)


CONTENT = [("get-tiny-image", {}), ("get-annotated-message", {"messageType": "success", "includeImage": True}),
           ("get-resource-links", {"count": 2}), ("get-resource-reference", {"resourceType": "Blob", "resourceId": 1}),
           ("get-structured-content", {"location": "Chicago"}), ("get-env", {})]


class Content(unittest.TestCase):
    """What tools give besides text, and what they must not give, as it stands in the model's next request."""

    def results(self, kind, sight=True):
        async def behave(provider, request, reply):
            if len(provider.requests) == 1:
                await reply.play("", [(f"mcp__everything__{name}", arguments) for name, arguments in CONTENT])
            elif not sight and '"image"' in json.dumps(request["messages"]):
                await reply.error(400, "messages.2.content.0: this model does not support image input")
            else:
                await reply.decide("seen")

        provider = Provider(behave)
        try:
            with Home() as home:
                made = backend(kind, "m", provider.url)
                made["mcp_servers"]["everything"]["env"] = {"PLANTED_TOKEN": "planted/in-the-file", "PLACE": "plain-and-simple"}
                team = home.write("team.json", {"agents": [{"id": "a", "backend": made}]})
                r = home.run("--config", team, "--json", "q", timeout=120)
                self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
        finally:
            provider.stop()
        if not sight:
            self.assertIn("images in tool results are told as text", r.stderr)
            blind = provider.requests.pop(1)
            self.assertIn(self.picture(), json.dumps(blind))
            self.assertFalse([q for q in provider.requests if self.picture() in json.dumps(q)], "learned once")
        messages = provider.requests[1]["messages"]
        if kind == "claude":
            found = [b["content"] for m in messages for b in m["content"] if isinstance(b, dict) and b["type"] == "tool_result"]
        else:
            found = [m["content"] for m in messages if m["role"] == "tool"]
        self.assertEqual(len(found), len(CONTENT))
        return found

    def picture(self):
        source = (EVERYTHING.parent / "tools" / "get-tiny-image.js").read_text()
        return source.split('MCP_TINY_IMAGE = "')[1].split('"')[0]

    def test_a_picture_reaches_messages_byte_for_byte(self):
        tiny, annotated, links, blob, weather, env = self.results("claude")
        block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": self.picture()}}
        self.assertEqual(tiny, [{"type": "text", "text": "Here's the image you requested:"}, block,
                                {"type": "text", "text": "The image above is the MCP logo."}])
        self.assertEqual(annotated, [{"type": "text", "text": "Operation completed successfully"}, block])
        self.plain(links, blob, weather, env)

    def test_a_model_without_sight_gets_the_note(self):
        tiny, annotated, *_ = self.results("claude", sight=False)
        self.assertIn("[image image/png, ", tiny)
        self.assertTrue(annotated.startswith("Operation completed successfully\n[image image/png, "))

    def test_a_picture_is_a_note_in_chat_completions(self):
        tiny, annotated, links, blob, weather, env = self.results("chatcompletion")
        size = len(base64.b64decode(self.picture()))
        note = f"[image image/png, {size} bytes, not shown]"
        self.assertEqual(tiny, f"Here's the image you requested:\n{note}\nThe image above is the MCP logo.")
        self.assertEqual(annotated, f"Operation completed successfully\n{note}")
        self.plain(links, blob, weather, env)

    def plain(self, links, blob, weather, env):
        self.assertIn("[resource Blob Resource 1: demo://", links)
        self.assertIn("[resource Text Resource 2: demo://", links)
        self.assertIn("Resource 2: plaintext resource", links)
        self.assertIn("[resource demo://", blob)
        self.assertEqual(json.loads(weather)["temperature"], 36)
        self.assertIn('"PLACE": "plain-and-simple"', env)
        self.assertIn('"PLANTED_TOKEN": "***"', env)


if __name__ == "__main__":
    need_binary()
    for peer in (AIMOCK, EVERYTHING):
        if not peer.exists():
            print(f"skipped: {peer} is not installed; scripts/check installs it where npm is")
            sys.exit(77)
    if not shutil.which("node"):
        print("skipped: node is not installed")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
