# SPDX-License-Identifier: Apache-2.0
"""Recorded runs in which a secret stands where nothing hides it: it is in no file, and the run can be played all the same."""

import asyncio
import unittest

import test_cassette as cassette
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


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
