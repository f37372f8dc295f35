# SPDX-License-Identifier: Apache-2.0
"""Recorded runs in which a secret stands where nothing hides it: it is in no file, and the run can be played all the same."""

import asyncio
import base64
import re
import unittest
import urllib.parse

import test_cassette as cassette
from provider import messages_stream
from support import *
from test_cassette import KEY, servers, sha


class Told(cassette.Recorded):
    def test_a_folder_that_is_called_like_a_secret(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        self.serve(behave)
        r = self.record([{"id": "a", "backend": self.backend("chatcompletion", "m")}], env={"AUTH_USER": self.home.path.name})
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotIn(self.home.path.name, self.cassette.read_text())
        r, again = self.replay()
        self.assertEqual((r.returncode, "cassette" in again.lower()), (0, True), r.stderr)

    def test_a_key_in_the_question(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        self.serve(behave)
        team = self.home.write("team.json", {"agents": [{"id": "a", "backend": self.backend("chatcompletion", "m")}]})
        r = self.home.run("--config", team, "--record", str(self.cassette), f"is {KEY} a good key?", env={"TEST_KEY": KEY})
        self.assertEqual(r.returncode, 0)
        self.assertIn("recording: the value of a secret stands where nothing hides it: the question", r.stderr)
        self.assertNotIn("planted", self.cassette.read_text())
        r, again = self.replay()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("a good key", again)

    def test_a_secret_that_stands_where_none_belongs(self):
        """It is in no file, the place is named, and the cassette comes to the same but for the stand-in and hashes."""
        hidden = "plantedsecret" + "Value77"
        env = {"MY_API_KEY": hidden}
        answer = "x"

        async def behave(provider, request, reply):
            await reply.decide(answer)

        def agent(name="a", more={}, **backend):
            return {"id": name, "backend": {**self.backend("chatcompletion", "m"), **backend}, **more}

        def server(name="s", **more):
            return {"mcp_servers": {name: {**servers("a")["s"], **more}}}

        self.serve(behave)
        url = self.provider.url
        for place, *agents in (("agents[0].backend.base_url", agent(base_url=f"{url}/{hidden}/v1")),
                               ("agents[0].system_message", agent(more={"system_message": f"say {hidden} {KEY}"}, params={"user": KEY})),
                               ("agents[0].system_message", agent(more={"system_message": "say ${MY_API_KEY}"})),
                               ("agents[0].backend.model", agent(model="m-" + hidden)),
                               ("agents[1].id", agent("zz"), agent(hidden), agent("dd")),
                               ("agents[0].backend.params", agent(params={"user": hidden})),
                               ("agents[0].backend.extra_headers.X-Foo", agent(extra_headers={"X-Foo": hidden})),
                               ("agents[0].backend.mcp_servers[0].env.FOO", agent(**server(env={"FOO": hidden}))),
                               ("agents[0].backend.mcp_servers[0].name", agent(**server(hidden))),
                               ("(new_answer)", agent())):
            with self.subTest(place):
                answer = hidden if place == "(new_answer)" else "x"
                r = self.record(agents, env=env)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("recording: the value of a secret stands where nothing hides it: ", r.stderr)
                self.assertIn(place, r.stderr)
                log = self.shown(self.home)
                for piece in (hidden, KEY, "planted"):
                    self.assertNotIn(piece, self.cassette.read_text())
                    self.assertNotIn(piece, r.stderr)
                r, again = self.replay()
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual([(e["type"], e.get("agent") == hidden or e.get("agent")) for e in map(json.loads, log.splitlines())],
                                 [(e["type"], "assette" in e.get("agent", "") or e.get("agent")) for e in map(json.loads, again.splitlines())])
                os.unlink(self.cassette)

    def test_a_secret_in_the_name_of_a_tool(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        self.serve(behave)
        r = self.record([{"id": "a", "backend": self.backend("chatcompletion", "m", mcp_servers=servers("a", "plantedsecret7"))}],
                        env={"MY_API_KEY": "plantedsecret7"})
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("may end early, as names of tools", r.stderr)
        self.assertNotIn("planted", self.cassette.read_text())

    def test_a_key_that_is_refused(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        self.serve(behave)
        agents = [{"id": f"m{i}", "backend": self.backend("chatcompletion", "m", **({"api_key": "${BAD_KEY}"} if i == 0 else {}))} for i in range(2)]
        for bad in ('a key "with" quotes', "a-key-with-\u00e9", "a key of four words", "Bearer a-key-of-mine", "  a-key-with-blanks-around \n"):
            with self.subTest(bad):
                r = self.record(agents, env={"BAD_KEY": bad})
                self.assertEqual(r.returncode, 0, r.stderr)
                log = self.shown(self.home)
                r, again = self.replay()
                self.assertEqual((r.returncode, sha(again)), (0, sha(log)), r.stderr)
                self.assertNotIn(bad.strip(), self.cassette.read_text())
                os.unlink(self.cassette)

    def test_what_a_header_holds_told_back_alone(self):
        """A password of `Basic`, a token of a cookie, also of one that is a variable: hidden from the log, and again in the replay."""
        password = "planted" + "Password77x"
        basic = base64.b64encode(f"joe:{password}".encode()).decode()
        for headers, env in (({"Authorization": "Basic " + basic}, {}), ({"Cookie": f"a=1; sid={password}"}, {}),
                             ({"Cookie": "${JAR}"}, {"JAR": f"a=1; sid={password}; b"})):
            with self.subTest(headers):
                async def behave(provider, request, reply):
                    await (reply.error(400, f"no: {password}") if len(provider.requests) < 2 else reply.decide("x"))

                self.serve(behave)
                r = self.record([{"id": f"m{i}", "backend": self.backend("chatcompletion", "m", extra_headers=headers)} for i in range(2)], env=env)
                self.assertEqual(r.returncode, 0, r.stderr)
                for piece in (password, basic):
                    self.assertNotIn(piece, self.cassette.read_text())
                log = self.shown(self.home)
                r, again = self.replay()
                self.assertEqual((r.returncode, sha(again)), (0, sha(log)), r.stderr)
                os.unlink(self.cassette)

    def test_a_key_that_everybody_tells_back(self):
        async def behave(provider, request, reply):
            n = len(provider.requests)
            if n == 1:
                return await reply.error(400, "no such key: " + KEY)
            if n == 2:
                await reply.head(Set_Cookie="session=" + KEY, X_Echo=KEY)
                text = json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "your key is " + KEY}}]})
                data = f"data: {text}\n\n".encode()
                at = data.index(b"planted") + 3
                await reply.chunk(data[:at])
                await asyncio.sleep(0.05)
                await reply.chunk(data[at:])
                for x in ({"delta": {}, "finish_reason": "stop"},):
                    await reply.chunk(f"data: {json.dumps({'choices': [{'index': 0, **x}]})}\n\ndata: [DONE]\n\n".encode())
                return await reply.end()
            await reply.decide("x")

        self.serve(behave)
        r = self.record([{"id": f"m{i}", "backend": self.backend("chatcompletion", "m", extra_headers={"X-Api-Token": "${TEST_KEY}"})} for i in range(2)])
        self.assertEqual(r.returncode, 0, r.stderr)
        text = self.cassette.read_bytes()
        for piece in (KEY, json.dumps(KEY)[1:-1], "planted"):
            self.assertNotIn(piece.encode(), text)


PARTS = r'''
import json, sys
key = sys.argv[1]
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m: continue
    if m["method"] == "initialize": r = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    elif m["method"] == "tools/list": r = {"tools": [{"name": "t", "description": "d", "inputSchema": {"type": "object"}}]}
    else: r = {"content": [{"type": "text", "text": key[i:i + 4]} for i in range(0, len(key), 4)]}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
'''


def texts_of(cassette, turns=()):
    """What can be put together of the strings of one name in the lines of a cassette: of what came in by transfer and by child;
    of the names that take turns as of one, of bytes that are told as numbers, and of base64."""
    streams, out = {}, []
    for line in map(json.loads, cassette.read_text().splitlines()[1:]):
        if line["kind"] in ("data", "lines"):
            streams.setdefault((line["kind"] == "lines", line["id"]), []).append(line.get("text", "") + "".join(line.get("texts", [])))
    for pieces in streams.values():
        runs, told = {}, "".join(pieces)
        for name, text in re.findall(r'"(\w+)"\s*:\s*("(?:[^"\\\n]|\\.)*")', told):
            runs.setdefault(name, []).append(json.loads(text))
            if name in turns:
                runs.setdefault("turns", []).append(json.loads(text))
        for name, row in re.findall(r'"(\w+)"\s*:\s*\[([\d, ]+)\]', told):
            runs.setdefault(name + " in numbers", []).append("".join(map(chr, map(int, row.split(",")))))
        for row in re.findall(r"(?:\d{1,3}, ?){7,}\d{1,3}", told):
            out.append("".join(map(chr, map(int, row.split(",")))))
        out += ["".join(x) for x in runs.values()]
    for text in list(out):
        for word in re.findall(r"[A-Za-z0-9+/]{16,}", text):
            said = base64.b64decode(word[:len(word) // 4 * 4]).decode("latin1")
            out += [said, urllib.parse.unquote(said)]
    return out + [json.loads(f'"{x}"', strict=False) for x in out if re.fullmatch(r'(?:[^"\\\n]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*', x)]


class InPieces(cassette.Recorded):
    """A secret of which no piece of a stream has all: nothing in the cassette makes it up, and the replay comes to its end."""

    def told(self, decide, kind="chatcompletion", model="m", turns=(), early=False, **more):
        async def behave(provider, request, reply):
            await (decide(reply) if len(provider.requests) <= 2 else reply.decide("x"))

        self.serve(behave)
        r = self.record([{"id": f"m{i}", "backend": self.backend(kind, model, **more)} for i in range(2)])
        self.assertEqual(r.returncode, 0, r.stderr)
        for text in texts_of(self.cassette, turns):
            for part in ("planted", KEY[5:13], KEY[-9:]):
                self.assertNotIn(part, text)
        self.assertEqual("ends early" in r.stderr, early, r.stderr)
        log = self.shown(self.home)
        r, again = self.replay()
        self.assertEqual(r.returncode, 1 if early else 0, r.stderr)
        self.assertEqual([] if early else [json.loads(x)["type"] for x in log.splitlines()], [json.loads(x)["type"] for x in again.splitlines()])
        os.unlink(self.cassette)
        self.provider.requests.clear()

    @staticmethod
    def stream(pieces, field, ending="stop"):
        """Deltas of a field, which may be within a call's function; the text of a field may be escaped already."""
        async def decide(reply):
            await reply.head()
            for x in pieces:
                x = x if x.startswith('"') else json.dumps(x)
                await reply.chunk(('data: {"choices":[{"index":0,"delta":' + field.replace("@", x) + "}]}\n\n").encode())
            done = {"choices": [{"index": 0, "delta": {}, "finish_reason": ending}]}
            await reply.chunk(f"data: {json.dumps(done)}\n\ndata: [DONE]\n\n".encode())
            await reply.end()
        return decide

    def test_a_key_over_deltas(self):
        for size in (1, 3, 7):
            pieces = [KEY[i:i + size] for i in range(0, len(KEY), size)]
            with self.subTest(size):
                self.told(self.stream(["your key is ", *pieces, " ok"], '{"content":@}'))
        self.told(self.stream(["my key is ", *pieces, " ok"], '{"reasoning_content":@}'))
        letters = ['"' + "".join(f"\\u{ord(c):04{x}}" for c in KEY[i:i + 5]) + '"' for i, x in zip(range(0, len(KEY), 5), "xXxXx")]
        self.told(self.stream(["your key is ", *letters], '{"content":@}'))

    def test_a_key_over_pieces_that_go_back_as_pieces(self):
        """Parts of Gemini's, each as it came, and two blocks of text of Claude's."""
        pieces = [KEY[i:i + 5] for i in range(0, len(KEY), 5)]

        async def gemini(reply):
            await reply.head()
            for x in (*pieces, " ok"):
                part = {"content": {"role": "model", "parts": [{"text": x, "thoughtSignature": "c2ln"}]}, "index": 0}
                await reply.chunk(f"data: {json.dumps({'candidates': [part]})}\r\n\r\n".encode())
            await reply.chunk(b'data: {"candidates":[{"content":{"parts":[{"text":""}]},"index":0,"finishReason":"STOP"}]}\r\n\r\n')
            await reply.end()
        self.told(gemini, "gemini", "gemini-2.5-pro")

        async def claude(reply):
            await reply.head()
            stream = messages_stream("it is " + KEY[:7], [])
            other = [x.replace(b'"index": 0', b'"index": 1').replace(b"it is ", b"") for x in messages_stream(KEY[7:], [])[1:4]]
            for x in stream[:4] + other + stream[4:]:
                await reply.chunk(x)
            await reply.end()
        self.told(claude, "claude")

    def test_a_key_over_pieces_of_a_calls_arguments(self):
        escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
        for said in (json.dumps(KEY), f'"{escaped}"'):
            arguments = '{"content":' + said + "}"
            for size in (1, 4):
                pieces = [arguments[i:i + size] for i in range(0, len(arguments), size)]

                async def decide(reply, pieces=pieces):
                    if "new_answer" not in reply.tools():
                        return await reply.decide("x")
                    await reply.head()
                    for i, x in enumerate(pieces):
                        start = {"id": "c", "type": "function"} if i == 0 else {}
                        call = {"index": 0, **start, "function": {**({"name": "new_answer"} if i == 0 else {}), "arguments": x}}
                        await reply.chunk(f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'tool_calls': [call]}}]})}\n\n".encode())
                    done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
                    await reply.chunk(f"data: {json.dumps(done)}\n\ndata: [DONE]\n\n".encode())
                    await reply.end()
                with self.subTest(f"{said[:8]} {size}"):
                    self.told(decide)

    @staticmethod
    def events(*choices, **more):
        """A reply of these choices, an event each, with members beside them."""
        async def decide(reply):
            await reply.head()
            for i, x in enumerate((*choices, {"delta": {}, "finish_reason": "stop"})):
                beside = {k: v[i] for k, v in more.items() if i < len(v)}
                await reply.chunk(f"data: {json.dumps({'choices': [{'index': 0, **x}], **beside})}\n\n".encode())
            await reply.chunk(b"data: [DONE]\n\n")
            await reply.end()
        return decide

    def test_a_key_under_names_that_take_turns(self):
        pieces = [KEY[i:i + 4] for i in range(0, len(KEY), 4)]
        names = ("reasoning", "reasoning_content", "content")
        for some in (names[:2], names):  # of the latter the log of the run has two texts with parts of it
            with self.subTest(some):
                self.told(self.events(*({"delta": {some[i % len(some)]: x}} for i, x in enumerate(pieces))), turns=some, early=some != names[:2])
        self.told(self.events({"delta": {"content": "it is " + KEY[:9]}}, {"delta": {"refusal": KEY[9:] + "."}}), turns=("content", "refusal"), early=True)
        self.told(self.events(*({"delta": {"content": x}} for x in pieces), snapshot=[KEY[:i + 4] for i in range(0, len(KEY), 4)]))

    def test_a_key_that_is_told_as_numbers(self):
        pieces = [KEY[i:i + 3] for i in range(0, len(KEY), 3)]

        def token(x):
            return {"token": x, "logprob": -0.5, "bytes": list(x.encode())}

        def likely(x):
            return {"logprobs": {"content": [{**token(x), "top_logprobs": [token("qq"), token(x)]}]}}
        self.told(self.events(*({"delta": {"content": x}, **likely(x)} for x in pieces)))
        self.told(self.events(*({"delta": {"content": "a"}, **likely(x)} for x in pieces)))
        self.told(self.events(*({"delta": {"content": "a"}, "logprobs": {"content": [{"bytes": list(x.encode())}]}} for x in pieces)))
        self.told(self.events({"delta": {"content": f"it is {list(KEY.encode())}"}}))
        self.told(self.events({"delta": {"content": "a"}}, note=[{"type": "Buffer", "data": list(KEY.encode())}]))

    def test_a_key_that_is_escaped_within_base64(self):
        address = "https://x.example/?key=" + urllib.parse.quote(KEY, safe="") + "&page=1"
        for before in ("", "a", "ab"):
            said = base64.b64encode((before + address).encode()).decode()
            self.told(self.events({"delta": {"content": "see " + said}}))
            self.told(self.events(*({"delta": {"content": said[i:i + 9]}} for i in range(0, len(said), 9))))

    def test_a_key_over_parts_of_a_tools_result(self):
        """The parts are not one text to the model: a replay ends there, and the recording says so at once."""
        server = self.home.write("parts.py", PARTS)

        async def behave(provider, request, reply):
            asked = '"tool"' in json.dumps([m["role"] for m in request["messages"]])
            await (reply.decide("x") if asked or tool not in reply.tools() else reply.play("Looking.", [(tool, {})]))

        tool = cassette.tool("t")
        self.serve(behave)
        r = self.record([{"id": "a", "backend": self.backend("chatcompletion", "m", mcp_servers={
            "s": {"command": sys.executable, "args": [server, "${TEST_KEY}"], "security": {"allowed_executables": [sys.executable]}}})}])
        self.assertEqual(r.returncode, 0, r.stderr)
        for text in texts_of(self.cassette):
            self.assertNotIn("planted", text)
        self.assertIn("recording: the value of a secret came in parts", r.stderr)
        place = re.search(r"ends early, with exit code 1, .*(line \d+: .*)", r.stderr)
        self.assertTrue(place, r.stderr)
        r, _ = self.replay()
        self.assertEqual(r.returncode, 1)
        self.assertIn(place[1], r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
