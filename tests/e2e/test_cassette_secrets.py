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

BLOBS = r'''{"type": "resource", "resource": {"uri": f"file:///{n}", "mimeType": "application/octet-stream", "blob": __import__("base64").b64encode(
        b"\x00\xff" + b"\x01" * n + said.encode() + b"\x00\xff\x02").decode()}} for n in range(3)
        for said in (key, __import__("urllib.parse").parse.quote("k=" + key, safe=""))'''


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

    def told(self, decide, kind="chatcompletion", model="m", turns=(), early=False, numbers=False, parts=False, **more):
        """`early`: whether a replay ends early, None = either, and the recording says which. `numbers`: the key is told in digits.
        `parts`: no part of it stays, either."""
        async def behave(provider, request, reply):
            await (decide(reply) if len(provider.requests) <= 2 else reply.decide("x"))

        self.serve(behave)
        self.cassette.unlink(missing_ok=True)  # of what failed before
        r = self.record([{"id": f"m{i}", "backend": self.backend(kind, model, **more)} for i in range(2)])
        self.assertEqual(r.returncode, 0, r.stderr)
        for text in texts_of(self.cassette, turns):
            for part in ("planted", KEY[5:13], KEY[-9:]):
                self.assertNotIn(part, text)
        told = self.cassette.read_text()
        if numbers:
            self.assertNotIn("planted", told)
            values = [int(x, 16 if x.startswith("0x") else 10) for x in re.findall(r"(?<![\w.])(?:0x[0-9a-fA-F]{2}|\d{2,3})(?![\w.])", told)]
            digits = "".join(re.findall(r"[0-9a-fA-F]+", re.sub(r"0x|\b[0-9a-f]{8}: ", "", "\n".join([told, *texts_of(self.cassette)]))))
            for part in (KEY[5:13], KEY[-9:]):
                self.assertNotIn(list(part.encode()), [values[i:i + len(part)] for i in range(len(values))])
                self.assertNotIn(part.encode().hex(), digits)
        if parts:
            for part in (KEY[3:11], KEY[-9:], json.dumps(KEY[-9:])[1:-1], json.dumps(json.dumps(KEY[-9:])[1:-1])[1:-1]):
                self.assertNotIn(part, told)
        if early is None:
            early = "ends early" in r.stderr
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

    def test_a_key_that_deltas_spell_in_numbers(self):
        decimal, hexadecimal = [str(x) for x in KEY.encode()], [f"{x:02x}" for x in KEY.encode()]
        for numbers in (decimal, hexadecimal, ["0x" + x for x in hexadecimal]):
            said = "it is " + ", ".join(numbers) + "."
            for size in (1, 5, 9):
                with self.subTest(numbers[0], size=size):
                    self.told(self.stream([said[i:i + size] for i in range(0, len(said), size)], '{"content":@}'), numbers=True)
        self.told(self.events({"delta": {"content": "a"}}, note=[[str(x) for x in KEY.encode()]]), numbers=True)
        self.told(self.events(*[{"delta": {"content": "a"}}] * len(KEY), note=[{"byte": str(x)} for x in KEY.encode()]), numbers=True)

    def test_a_key_in_the_rows_of_a_dump(self):
        """As xxd prints it: in the digits and beside them, with other bytes in front and behind."""
        data = b"KEY=" + KEY.encode() + b" and more of it"
        rows = "".join(f"{i:08x}: {data[i:i + 16].hex(' ', 2):<39}  {''.join(chr(c) for c in data[i:i + 16])}\n" for i in range(0, len(data), 16))
        self.told(self.events({"delta": {"content": rows}}), numbers=True)
        self.told(self.stream([rows[i:i + 7] for i in range(0, len(rows), 7)], '{"content":@}'), numbers=True)

    def test_a_key_in_headers(self):
        """In one as numbers, over several a number each, and in pieces."""
        numbers = [str(x) for x in KEY.encode()]
        for headers in ({"X-A": ", ".join(numbers)}, {f"X-{i:02}": x for i, x in enumerate(numbers)},
                        {f"X-{i:02}": KEY[4 * i:4 * i + 4] for i in range((len(KEY) + 3) // 4)}):
            async def decide(reply, headers=headers):
                await reply.head(**{k.replace("-", "_"): v for k, v in headers.items()})
                for x in ({"delta": {"content": "a"}}, {"delta": {}, "finish_reason": "stop"}):
                    await reply.chunk(f"data: {json.dumps({'choices': [{'index': 0, **x}]})}\n\n".encode())
                await reply.chunk(b"data: [DONE]\n\n")
                await reply.end()
            with self.subTest(len(headers)):
                self.told(decide, numbers=True)

    def test_a_text_that_grows_and_goes_on_behind(self):
        pieces = [KEY[i:i + 4] for i in range(0, len(KEY), 4)]
        growing = [f"it is {KEY[:i + 4]}\u2026 and more" for i in range(0, len(KEY), 4)]
        self.told(self.events(*({"delta": {"content": x}} for x in pieces), snapshot=growing), parts=True)

    def test_a_key_begun_in_a_text_and_ended_in_the_arguments_of_a_call(self):
        """No reader puts that together; it is in no file, and the recording tells where a replay ends."""
        def event(kind, **more):
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()

        arguments = json.dumps({"n": 1, "content": KEY[9:] + " is the rest"})
        for size in (1, 4, 500):
            async def claude(reply, size=size):
                if "new_answer" not in reply.tools():
                    return await reply.decide("x")
                await reply.head()
                await reply.chunk(event("message_start", message={"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}))
                await reply.chunk(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
                await reply.chunk(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "it is " + KEY[:9]}))
                await reply.chunk(event("content_block_stop", index=0))
                await reply.chunk(event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t", "name": "new_answer", "input": {}}))
                for i in range(0, len(arguments), size):
                    await reply.chunk(event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": arguments[i:i + size]}))
                await reply.chunk(event("content_block_stop", index=1))
                await reply.chunk(event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9}))
                await reply.chunk(event("message_stop"))
                await reply.end()
            with self.subTest(size):
                self.told(claude, "claude", early=None, parts=True)

    def test_a_key_in_the_binary_data_of_a_resource(self):
        """The run leaves such data out, and so does a replay: whatever is in front of the key, and however it is told there."""
        server = self.home.write("blob.py", PARTS.replace('{"type": "text", "text": key[i:i + 4]} for i in range(0, len(key), 4)', BLOBS))

        async def behave(provider, request, reply):
            asked = '"tool"' in json.dumps([m["role"] for m in request["messages"]])
            await (reply.decide("x") if asked or tool not in reply.tools() else reply.play("Looking.", [(tool, {})]))

        tool = cassette.tool("t")
        self.serve(behave)
        r = self.record([{"id": "a", "backend": self.backend("chatcompletion", "m", mcp_servers={
            "s": {"command": sys.executable, "args": [server, "${TEST_KEY}"], "security": {"allowed_executables": [sys.executable]}}})}])
        self.assertEqual(r.returncode, 0, r.stderr)
        text = self.cassette.read_text()
        words = re.findall(r"[A-Za-z0-9+/]{16,}", text.replace("\\/", "/"))
        blobs = [base64.b64decode(x + "=" * (-len(x) % 4)) for x in words if len(x) % 4 != 1]
        self.assertGreaterEqual(sum(b"\x00\xff" in x for x in blobs), 6)
        for x in blobs:
            for part in (KEY.encode(), urllib.parse.quote(KEY, safe="").encode(), KEY[4:].encode()):
                self.assertNotIn(part, x)
        self.assertNotIn("ends early", r.stderr)
        log = self.shown(self.home)
        r, again = self.replay()
        self.assertEqual((r.returncode, sha(again)), (0, sha(log)), r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
