# SPDX-License-Identifier: Apache-2.0
"""A team of four providers as a user's YAML has it, one strict server each: every agent calls two tools at once, one of an MCP server, one of ours. Then
one of the providers is dead, with and without another backend to go on with; and a breaker that is half open in front of eight agents."""

import asyncio
import concurrent.futures
import re
import unittest

import strict
from provider import Provider
from support import *
from test_resilience import dead_port, hangs, refuses

YAML = """\
agents:
  - id: chat
    backend: {{type: chatcompletion, model: m-chat, base_url: "{chatcompletion}/v1", api_key: chat-key, max_tool_result_chars: 1000, mcp_servers: {tools}{chatcompletion_more}}}
{chatcompletion_failover}\
  - id: responses
    backend: {{type: openai, model: m-responses, base_url: "{openai}/v1", api_key: responses-key, max_tool_result_chars: 1000, mcp_servers: {tools}{openai_more}}}
{openai_failover}\
  - id: messages
    backend: {{type: claude, model: m-messages, base_url: "{claude}", api_key: messages-key, max_tool_result_chars: 1000, mcp_servers: {tools}{claude_more}}}
{claude_failover}\
  - id: gemini
    backend: {{type: gemini, model: gemini-2.5-flash, base_url: "{gemini}", api_key: dummy, max_tool_result_chars: 1000, mcp_servers: {tools}{gemini_more}}}
{gemini_failover}\
"""
NAMES = {"chatcompletion": "chat", "openai": "responses", "claude": "messages", "gemini": "gemini"}
LONG = "Straße, lang: " + "ü€\U0001f600" * 900
DEAD = {"refused": None, "hang": hangs, "500": refuses(500, "down")}


class Vendor(Provider):
    """One strict server that plays a model: a call with a long result, then two calls at once, one of which reads on in it."""

    def __init__(self, kind):
        super().__init__(Vendor.model)
        self.kind, self.faults, self.pairs = kind, [], []

    async def model(self, request, reply):
        why = strict.fault(request, self.kind)
        if why:
            self.faults.append(why)
            return await reply.error(400, str(why))
        tools, back = reply.tools(), strict.results(request, self.kind)
        text, calls = "", []
        if "vote" in tools:
            calls = [("vote", {"agent_id": re.search(r'"enum": ?\["(agent\d)"', json.dumps(request["tools"])).group(1), "reason": "schön"})]
        elif "new_answer" not in tools:
            text = f"the final answer of {NAMES[self.kind]}"
        elif not back:
            calls = [("mcp__s__echo", {"text": LONG})]
        elif len(back) == 1:
            name = re.search(r'read_result \{"id":"([^"]+)"', back[0]).group(1)
            calls = [("mcp__s__echo", {"text": "größer"}), ("read_result", {"id": name, "offset": 1000, "limit": 50})]
        else:
            self.pairs.append(back[1:])
            calls = [("new_answer", {"content": f"It is 42, says {NAMES[self.kind]}."})]
        await reply.head()
        await reply.chunk(b"".join(strict.stream(self.kind, text, calls, f"seal {len(back)}" if calls else None, f"t{len(back)}")))
        await reply.end()


class Case(unittest.TestCase):
    def run_team(self, dead=None, how=None, failover=None):
        """`dead`: the kind that is, `how`; `failover`: the kind whose backend it goes on with."""
        vendors = {k: Vendor(k) for k in NAMES}
        gone = Provider(DEAD[how]) if how and DEAD[how] else None
        more = {f"{k}_{x}": "" for k in NAMES for x in ("more", "failover")}
        urls = {k: v.url for k, v in vendors.items()}
        if dead:
            urls[dead] = gone.url if gone else dead_port()
            more[f"{dead}_more"] = ", first_token_timeout_seconds: 0.5, timeout: 1" if how == "hang" else ""
        if failover:
            more[f"{dead}_failover"] = f"    failover: [{NAMES[failover]}]\n"
        tools = f'{{s: {{command: python3, args: ["{ROOT / "tests" / "support" / "bad_mcp.py"}", echo]}}}}'
        try:
            with Home() as home:
                r = home.run("--config", home.write("team.yaml", YAML.format(**urls, **more, tools=tools)), "--json", "q", timeout=120)
        finally:
            for p in [*vendors.values(), *([gone] if gone else [])]:
                p.stop()
        return r, events_of(r.stdout), vendors, len(gone.requests) if gone else 0

    def answered(self, r, events, vendors, agents):
        whole = f"{[v.faults for v in vendors.values()]}\n{r.stderr}{r.stdout}"
        self.assertEqual(r.returncode, 0, whole)
        self.assertEqual([v.faults for v in vendors.values()], [[]] * 4, whole)
        self.assertEqual({e["agent"] for e in events if e["type"] == "new_answer"}, set(agents), whole)
        self.assertEqual([e["type"] for e in events].count("final_answer"), 1)
        tools = sorted((e["agent"], e["target"]) for e in events if e["type"] == "call_started" and e["target"] != "model")
        self.assertEqual(tools, sorted((a, t) for a in agents for t in ("mcp__s__echo", "mcp__s__echo", "read_result")), whole)
        part = json.dumps({"text": LONG})[1000:1050]
        for back in (b for v in vendors.values() for b in v.pairs):
            self.assertEqual(json.loads(back[0]), {"text": "größer"})
            self.assertIn(part, back[1])


class Team(Case):
    def test_each_calls_two_tools_at_once(self):
        r, events, vendors, _ = self.run_team()
        self.answered(r, events, vendors, NAMES.values())
        self.assertEqual([len(v.pairs) for v in vendors.values()], [1] * 4)

    def each(self, failover):
        """Every kind in every way; without CONCLAVE_LONG=1 every kind in one, and every way."""
        kinds, long = list(NAMES), os.environ.get("CONCLAVE_LONG")
        cases = [(k, how, kinds[(i + 1) % 4] if failover else None) for i, k in enumerate(kinds) for n, how in enumerate(DEAD)
                 if long or n == (i + failover) % len(DEAD)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            return list(zip(cases, pool.map(lambda c: self.run_team(*c), cases)))

    def test_without_one_of_them_the_others_answer(self):
        for case, (r, events, vendors, asked) in self.each(failover=False):
            with self.subTest(case):
                dead = NAMES[case[0]]
                self.answered(r, events, vendors, [n for n in NAMES.values() if n != dead])
                self.assertEqual([e["agent"] for e in events if e["type"] == "agent_out"], [dead])
                self.assertLessEqual(asked, 10)

    def test_the_one_that_is_dead_goes_on_with_another(self):
        for case, (r, events, vendors, asked) in self.each(failover=True):
            with self.subTest(case):
                self.answered(r, events, vendors, NAMES.values())
                self.assertFalse([e for e in events if e["type"] == "agent_out"])
                moved = [e["agent"] for e in events if e["type"] == "agent_notice" and e["reason"].startswith("goes on with")]
                self.assertEqual(moved, [NAMES[case[0]]])
                self.assertEqual(len(vendors[case[2]].pairs), 2)
                self.assertLessEqual(asked, 10)


# What a server says of a seal that it cannot open, or of a member that it does not know.
SAYS = {"openai": "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
        "claude": "messages.1.content.0: Invalid `signature` in `thinking` block", "gemini": "Thought signature is not valid.",
        "chatcompletion": "Unknown parameter: 'messages[2].reasoning_details'.", "azure_openai": "Unrecognized request argument supplied: reasoning_details"}


class Elsewhere(unittest.TestCase):
    """A backend that is out in the middle of a tool loop: the next goes on with its sealed turn, its calls under odd ids, and their results, or says
    that it cannot open the seal."""

    def run_pair(self, pair):
        faults, sent = [], []

        def strictly(kind, model):
            async def behave(provider, request, reply):
                why = strict.fault(request, kind)
                if why:
                    faults.append(f"{kind}: {why}")
                    return await reply.error(400, str(why))
                await model(kind, request, reply)
            return behave

        async def play(kind, reply, *what):
            await reply.head()
            await reply.chunk(b"".join(strict.stream(kind, *what)))
            await reply.end()

        async def first(kind, request, reply):
            if strict.results(request, kind):
                return await reply.error(401, "this key has ended")
            calls = [("mcp__s__echo", {"text": "größer"}), ("mcp__s__echo", {"text": "zwei"})]
            await play(kind, reply, "I look.", calls, "the seal of another é", "x" if kind == "claude" else "functions.x:")

        async def second(kind, request, reply):
            tools, text, calls, back = reply.tools(), "", [], strict.results(request, kind)
            if back:
                sent.append([json.loads(b)["text"] for b in back])
            if "the seal of another é" in strict.seals(request, kind):
                return await reply.error(400, SAYS[kind])
            if "vote" in tools:
                calls = [("vote", {"agent_id": "agent1", "reason": "schön"})]
            elif "new_answer" in tools:
                calls = [("new_answer", {"content": "It is 42."})]
            else:
                text = "the final answer"
            await play(kind, reply, text, calls, "my seal" if calls else None, "z")

        def backend(kind, provider):
            key = {"azure_openai": "azure-key", "gemini": "dummy"}.get(kind, "one-key")
            return {"type": kind, "model": {"azure_openai": "my deployment", "gemini": "gemini-3.1-pro"}.get(kind, "m"), "api_key": key,
                    "base_url": provider.url + ("/v1" if kind in ("chatcompletion", "openai") else ""),
                    **({"thinking": {"type": "enabled", "budget_tokens": 2000}} if kind == "claude" else {})}

        one, two = (Provider(strictly(kind, model)) for kind, model in zip(pair, (first, second)))
        tools = {"s": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}}
        try:
            with Home() as home:
                team = [{"id": "a", "backend": {**backend(pair[0], one), "mcp_servers": tools}, "failover": [backend(pair[1], two)]}]
                r = home.run("--config", home.write("team.json", {"agents": team}), "--json", "q", timeout=60)
        finally:
            one.stop()
            two.stop()
        return r, faults, sent

    def test_a_sealed_turn_goes_on_with_any_other(self):
        pairs = [(a, b) for a in SAYS for b in SAYS]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for pair, (r, faults, sent) in zip(pairs, list(pool.map(self.run_pair, pairs))):
                with self.subTest(pair):
                    whole = f"{faults}{r.stderr}{r.stdout}"
                    self.assertEqual((r.returncode, faults), (0, []), whole)
                    events = events_of(r.stdout)
                    self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["the final answer"], whole)
                    self.assertLessEqual(len(sent), 2, whole)
                    self.assertTrue(sent and all(s == ["größer", "zwei"] for s in sent), whole)
                    self.assertEqual(sum(e["type"] == "call_started" and e["target"] == "mcp__s__echo" for e in events), 2)


class Thoughtless(unittest.TestCase):
    """A tool loop that began without thoughts goes on with Claude and a budget of them: to the API it is one turn, with a thought in front or none at all."""

    def run_first(self, kind, blocks=None):
        """`blocks`: what the first backend, of the Messages API, says before its call. Returns how it went and whether each request was to think."""
        asked = []

        def stream(*blocks):
            events = [{"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 9}}}]
            for i, b in enumerate(blocks):
                events += [{"type": "content_block_start", "index": i, "content_block": b}, {"type": "content_block_stop", "index": i}]
            stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
            events += [{"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]
            return "".join(f"data: {json.dumps(e)}\n\n" for e in events).encode()

        def call(n, name, **arguments):
            return {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": arguments}

        async def put(reply, data):
            await reply.head()
            await reply.chunk(data)
            await reply.end()

        async def first(provider, request, reply):
            if strict.results(request, kind):
                return await reply.error(401, "this key has ended")
            await put(reply, stream(*blocks, call(0, "mcp__s__echo", text="a")) if blocks is not None else
                      b"".join(strict.stream(kind, "I look.", [("mcp__s__echo", {"text": "a"})], None, "x")))

        async def second(provider, request, reply):
            thinks = request["thinking"]["type"] == "enabled"
            asked.append(thinks)
            loop = None
            for m in request["messages"]:
                said = m["content"] if isinstance(m["content"], list) else [{"type": "text"}]
                if any(b["type"] == "thinking" and b.get("signature") != "mine" for b in said):
                    return await reply.error(400, "messages.1.content.0.thinking.signature: Field required")
                if m["role"] == "user" and all(b["type"] != "tool_result" for b in said):
                    loop = None
                elif m["role"] == "assistant":
                    loop = loop or said
            if thinks and loop and loop[0]["type"] != "thinking":
                return await reply.error(400, f"Expected `thinking` or `redacted_thinking`, but found `{loop[0]['type']}`.")
            tools, back = reply.tools(), len(strict.results(request, "claude"))
            last = (call(9, "vote", agent_id="agent1", reason="x") if "vote" in tools else {"type": "text", "text": "the final answer"} if
                    "new_answer" not in tools else call(back, "mcp__s__echo", text="b") if back < 3 else call(9, "new_answer", content="It is 42."))
            await put(reply, stream(*([{"type": "thinking", "thinking": "h", "signature": "mine"}] if thinks else []), last))

        one, two = Provider(first), Provider(second)
        tools = {"s": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}}
        try:
            with Home() as home:
                team = [{"id": "a", "backend": {"type": kind, "model": "gemini-3.1-pro" if kind == "gemini" else "m", "api_key": "one-key", "mcp_servers": tools,
                                                "base_url": one.url + ("/v1" if kind in ("chatcompletion", "openai") else "")},
                         "failover": [{"type": "claude", "model": "m", "api_key": "one-key", "base_url": two.url,
                                       "thinking": {"type": "enabled", "budget_tokens": 2000}}]}]
                r = home.run("--config", home.write("team.json", {"agents": team}), "--json", "q", timeout=60)
        finally:
            one.stop()
            two.stop()
        return r, asked

    def test_a_loop_that_began_without_a_thought_went_on_with_a_budget_of_them(self):
        for kind in NAMES:
            with self.subTest(kind):
                r, asked = self.run_first(kind)
                self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
                self.assertEqual(asked, [False] * 3 + [True] * 2)

    def test_thoughts_without_a_seal_left_the_next_backend_out(self):
        r, asked = self.run_first("claude", [{"type": "thinking", "thinking": "hm"}])
        self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
        self.assertEqual(asked, [True] + [False] * 3 + [True] * 2)


class HalfOpen(unittest.TestCase):
    """Eight agents on one key whose breaker opens once the first of them has failed, and then lets one probe through at a time."""

    def run_probes(self, outcomes):
        """`outcomes`: whether each probe finds the provider well. Returns when the breaker opened, and when each probe began and ended."""
        opened, probes = [], []

        async def behave(provider, request, reply):
            if not opened or request["at"] < opened[0] + 0.4:  # or was on its way by then
                await reply.error(500, "down")
                if not opened and sum(q["model"] == request["model"] for q in provider.requests) == 3:
                    opened.append(provider.loop.time())
            elif len(probes) < len(outcomes):
                well = outcomes[len(probes)]
                probes.append([request["at"], request["at"] + 0.7])
                await asyncio.sleep(0.7)  # long enough for everybody else to come
                await (reply.decide("x") if well else reply.error(500, "still down"))
            else:
                await reply.decide("x")

        provider = Provider(behave)
        try:
            with Home() as home:
                team = [{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": f"m{i}", "base_url": provider.url + "/v1", "api_key": "one-key",
                                                    "llm_circuit_breaker_max_failures": 1, "llm_circuit_breaker_reset_time_seconds": 1,
                                                    "llm_circuit_breaker_max_backoff_seconds": 1}} for i in range(8)]
                r = home.run("--config", home.write("team.json", {"agents": team, "orchestrator": {"max_failed_runs": 9}}), "--json", "q", timeout=120)
        finally:
            provider.stop()
        return r, events_of(r.stdout), sorted(q["at"] for q in provider.requests), opened[0], probes

    def test_one_probe_at_a_time_whoever_waits(self):
        cases = ([True], [False, True])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            played = list(pool.map(self.run_probes, cases))
        for outcomes, (r, events, times, opened, probes) in zip(cases, played):
            with self.subTest(outcomes):
                self.assertEqual(r.returncode, 0, r.stderr + r.stdout)
                self.assertEqual(len(probes), len(outcomes))
                for begin, end in probes:
                    self.assertGreaterEqual(begin - opened, 0.95)
                    self.assertEqual([t for t in times if opened + 0.4 < t < begin], [], "an open breaker lets nobody through")
                    self.assertEqual([t for t in times if begin < t < end], [], "nor does a probe")
                    opened = end
                refused = {e["agent"] for e in events if e["type"] == "agent_error" and e["code"] == "breaker_open"}
                self.assertGreaterEqual(len(refused), 7, "the others came meanwhile")
                self.assertFalse([e for e in events if e["type"] == "agent_out"])
                self.assertEqual(sum(e["type"] == "new_answer" for e in events), 8)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
