# SPDX-License-Identifier: Apache-2.0
"""What a provider's cache can keep, in every dialect: within a run successive requests of one agent are the same, byte for byte, up to what is new, through
parallel calls and refused verdicts; from one run that judges answers to the next, everything up to the answers is. A first run and a presentation have
other instructions and other tools than a run that judges, so that there the question alone stays."""

import asyncio
import concurrent.futures
import unittest

import strict
from provider import Provider
from support import *

ECHO = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}
KINDS = {"chatcompletion": b'"messages":[', "claude": b'"messages":[', "openai": b'"input":[', "gemini": b'"contents":[', "azure_openai": b'"messages":['}
LOOPS = 3  # of a run's parallel calls
ANSWERS = "<CURRENT ANSWERS>"


def end_of_list(body, start):
    depth, quoted, at = 0, False, start
    while at < len(body):
        c = body[at:at + 1]
        if quoted and c == b"\\":
            at += 1
        elif c == b'"':
            quoted = not quoted
        elif not quoted and c == b"[":
            depth += 1
        elif not quoted and c == b"]":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise AssertionError("the list does not end")


def cut_out(body, name):
    """A request without its messages, and these."""
    start = body.index(name) + len(name) - 1
    end = end_of_list(body, start)
    return body[:start] + body[end + 1:], body[start + 1:end]


def first_user_text(messages):
    m = next(m for m in messages if m["role"] == "user")
    content = m.get("content", m.get("parts"))
    return content if isinstance(content, str) else content[0]["text"]


class Prefix(unittest.TestCase):
    def requests_of(self, kind):
        """Two agents, the first of which answers twice: (kind of run, bytes) of the requests of each, in order."""
        asked = {}

        async def behave(provider, request, reply):
            tools, mine = reply.tools(), asked.setdefault(request["model"], [])
            run = "judges" if "vote" in tools else "begins" if "new_answer" in tools else "presents"
            number = len(mine)
            mine.append(run)
            same, back = mine.count(run), strict.results(request, kind)
            echo = next(t for t in tools if t.startswith("mcp__"))
            text, calls = "I look, größer.", [(echo, {"text": f"a {number}"}), (echo, {"text": "b \U0001f600\u2028"})]
            if len(back) >= 2 * LOOPS or (run == "judges" and same > LOOPS + 1 and len(back) >= 2):
                text = "the final answer" if run == "presents" else ""
                first = request["model"].endswith("0") and run == "judges" and mine.count("answered again") == 0
                calls = [] if run == "presents" else [("new_answer", {"content": f"It is 42, says {number}."})] if run == "begins" or first else \
                    [("vote", {"agent_id": "agent1", "reason": "schön"})]
                if run == "judges" and "wrong vote" not in mine:
                    mine.append("wrong vote")
                    calls = [("vote", {"agent_id": "agent9", "reason": "nobody"})]
                elif first:
                    mine.append("answered again")
            sealed = f"seal {number} é" if calls else None
            await reply.head()
            await reply.chunk(b"".join(strict.stream(kind, text, calls, sealed, f"t{number}")))
            await reply.end()

        provider = Provider(behave)
        try:
            with Home() as home:
                url = provider.url + ("" if kind in ("claude", "azure_openai", "gemini") else "/v1")
                team = [{"id": f"a{i}", "backend": {"type": kind, "model": f"gemini-2.5-{i}", "base_url": url, "api_key": "dummy", "mcp_servers": {"s": ECHO}}}
                        for i in range(2)]
                r = home.run("--config", home.write("team.json", {"agents": team}), "--json", "q", timeout=120)
        finally:
            provider.stop()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(sum(e["type"] == "new_answer" for e in events_of(r.stdout)), 3)
        self.assertTrue(any("agent9" in b.decode() for b in provider.bodies))
        out = {}
        for request, body in zip(provider.requests, provider.bodies):
            run = "judges" if b'"vote"' in body else "begins" if b'"new_answer"' in body else "presents"
            out.setdefault(request["model"], []).append((run, body))
        return out

    def compare(self, kind):
        name, seen = KINDS[kind], {}
        for model, requests in self.requests_of(kind).items():
            for (run, before), (next_run, after) in zip(requests, requests[1:]):
                (rest, listed), (next_rest, next_listed) = cut_out(before, name), cut_out(after, name)
                old, new = json.loads(b"[" + listed + b"]"), json.loads(b"[" + next_listed + b"]")
                if first_user_text(old) == first_user_text(new):
                    self.assertTrue(next_listed.startswith(listed + b","), f"{listed[-300:]}\n{next_listed[len(listed) - 300:][:600]}")
                    self.assertEqual(next_rest, rest)
                    seen["a run"] = seen.get("a run", 0) + 1
                elif run == next_run == "judges":
                    self.assertEqual(next_rest, rest)
                    until = next(i for i, m in enumerate(old) if m["role"] == "user")
                    self.assertEqual(old[:until], new[:until])
                    self.assertEqual(*(first_user_text(m).split(ANSWERS)[0] for m in (old, new)))
                    self.assertIn(ANSWERS, first_user_text(old))
                    seen["judges again"] = seen.get("judges again", 0) + 1
                else:
                    self.assertEqual(*(first_user_text(m).split("<END OF QUESTION>")[0] for m in (old, new)))
                    seen[f"{run}, then {next_run}"] = seen.get(f"{run}, then {next_run}", 0) + 1
        return seen

    def test_what_was_sent_is_sent_again_in_front_of_what_is_new(self):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            played = {kind: pool.submit(self.compare, kind) for kind in KINDS}
        for kind, found in played.items():
            with self.subTest(kind):
                if os.environ.get("CONCLAVE_TABLE"):
                    print(kind, found.result(), flush=True)
                self.assertEqual(set(found.result()), {"a run", "judges again", "begins, then judges", "judges, then presents"})


class Crash(unittest.TestCase):
    """The engine is killed while the model is asked in the middle of a tool loop."""

    def run_again(self, kind):
        alive = []

        async def behave(provider, request, reply):
            back, tools = strict.results(request, kind), reply.tools()
            if len(back) == 4 and not alive:
                return await asyncio.sleep(600)
            if "vote" in tools or "new_answer" not in tools or len(back) == 4:
                return await reply.decide("x")
            calls = [("mcp__s__echo", {"text": "größer\u2028"}), ("mcp__s__echo", {"text": "b \U0001f600"})]
            await reply.head()
            await reply.chunk(b"".join(strict.stream(kind, "I look.", calls, f"seal {len(back)} é", f"t{len(back)}")))
            await reply.end()

        provider = Provider(behave)
        try:
            with Home() as home:
                url = provider.url + ("" if kind in ("claude", "azure_openai", "gemini") else "/v1")
                team = [{"id": "a", "backend": {"type": kind, "model": "gemini-2.5", "base_url": url, "api_key": "dummy", "mcp_servers": {"s": ECHO}}}]
                p = home.start("--config", home.write("team.json", {"agents": team}), "--json", "q")
                self.assertTrue(provider.wait(lambda: len(provider.bodies) == 3))
                p.kill()
                p.communicate()
                alive.append(True)
                r = home.run("resume", "last", "--json", timeout=60)
        finally:
            provider.stop()
        return r, provider

    def test_what_was_said_is_sent_again_byte_for_byte(self):
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            played = {kind: pool.submit(self.run_again, kind) for kind in KINDS}
        for kind, found in played.items():
            with self.subTest(kind):
                r, provider = found.result()
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                (rest, listed), (next_rest, next_listed) = (cut_out(b, KINDS[kind]) for b in provider.bodies[2:4])
                self.assertEqual(next_rest, rest)
                self.assertTrue(next_listed.startswith(listed.rstrip(b"]}")), next_listed)  # then it is told of the interruption
                self.assertEqual(strict.seals(provider.requests[3], kind), ["seal 0 é", "seal 2 é"])


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
