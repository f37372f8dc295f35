# SPDX-License-Identifier: Apache-2.0
"""Providers that are slow, limited or gone, and teams that go on all the same: rate limits of a shared key, breaker, failover."""

import asyncio
import socket
import threading
import unittest

from provider import Provider
from support import *


async def well(provider, request, reply):
    await reply.decide(f"by {request['model']}", f"the final answer of {request['model']}")


def refuses(status, message="no", **headers):
    async def behave(provider, request, reply):
        await reply.error(status, message, **headers)
    return behave


async def hangs(provider, request, reply):
    await asyncio.sleep(600)


def dead_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}"


class Case(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__)

    def serve(self, behave):
        p = Provider(behave)
        self.addCleanup(p.stop)
        return p

    def backend(self, where, model="m", kind="chatcompletion", **more):
        url = where if isinstance(where, str) else where.url
        return {"type": kind, "model": model, "base_url": url + ("" if kind == "claude" else "/v1"), "api_key": "one-key", **more}

    def ask(self, agents, *flags, timeout=120, **more):
        team = [{"id": f"m{i}", **a} for i, a in enumerate(agents)]
        r = self.home.run("--config", self.home.write("team.json", {"agents": team, **more}), "--json", *flags, "q", timeout=timeout)
        return r, events_of(r.stdout)

    def answered(self, *args, **how):
        r, events = self.ask(*args, **how)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return events

    def failed(self, *args, **how):
        r, events = self.ask(*args, **how)
        self.assertNotEqual(r.returncode, 0, r.stdout + r.stderr)
        return events


class OneKey(Case):
    """What agents share that use one key."""

    def limited(self, backends, wait=3):
        """The first request is told to wait; returns the times of all requests."""
        lock = threading.Lock()
        first = []

        async def behave(provider, request, reply):
            with lock:
                limited = not first
                first.append(request)
            if limited:
                return await reply.error(429, "slow down", Retry_After=wait)
            await well(provider, request, reply)

        p = self.serve(behave)
        self.answered([{"backend": self.backend(p, **b)} for b in backends])
        refused = first[0]["at"]
        # Those that were under way with it had left before anybody knew.
        return [r["at"] - refused for r in p.requests if r is not first[0] and r["at"] - refused > 0.5], p

    def test_nobody_asks_before_the_wait_is_over(self):
        # One agent first, so that all others come while it waits: they begin their later rounds.
        later, p = self.limited([{}] * 4)
        self.assertGreaterEqual(min(later), 3.0)
        self.assertEqual(len(p.requests), 1 + 4 + 4 + 1)

    def test_neither_extra_body_nor_decision_nor_a_header_makes_another_key(self):
        ways = [{}, {"extra_body": {"x": 1}}, {"decision": "tools"}, {"extra_headers": {"X-Team": "a"}}, {"extra_query": {"v": "1"}}]
        later, p = self.limited(ways)
        self.assertGreaterEqual(min(later), 3.0)
        self.assertTrue(any(r.get("x") for r in p.requests))

    def test_nor_does_another_type(self):
        later, p = self.limited([{"kind": k} for k in ("chatcompletion", "claude", "openai", "gemini")] * 2, wait=2)
        self.assertGreaterEqual(min(later), 2.0)
        self.assertEqual(len({q["path"] for q in p.requests}), 4)

    def test_requests_a_minute_are_counted_together(self):
        """Two agents with 3 requests a minute: the fourth is refused to those whose deadline is sooner, and told to wait to others."""
        p = self.serve(well)
        ways = [{"rate_limits": {"rpm": 3}}, {"rate_limits": {"rpm": 50}, "extra_body": {"x": 1}}]
        r = self.home.start("--config", self.home.write("team.json", {"agents": [
            {"id": f"m{i}", "backend": self.backend(p, **w)} for i, w in enumerate(ways)]}), "-v", "q")
        try:
            Lines(r.stderr).until("waiting")
            self.assertEqual(len(p.requests), 3)
        finally:
            r.send_signal(signal.SIGINT)
            r.communicate(timeout=20)
        self.assertEqual(len(p.requests), 3)
        self.assertEqual(r.returncode, 4)

    def test_another_key_is_another_limit(self):
        p = self.serve(well)
        start = time.monotonic()
        self.answered([{"backend": self.backend(p, rate_limits={"rpm": 4}, api_key=f"key-{i}")} for i in range(2)])
        self.assertEqual(len(p.requests), 5)
        self.assertLess(time.monotonic() - start, 40)


class Breaker(Case):
    keys = {"llm_circuit_breaker_max_failures": 1, "llm_circuit_breaker_reset_time_seconds": 2}

    def test_an_open_breaker_asks_nothing_and_then_exactly_once(self):
        p = self.serve(refuses(500, "down"))
        events = self.failed([{"backend": self.backend(p, **self.keys)}])  # three runs: a failure, an open breaker, a probe
        self.assertEqual([e["code"] for e in events if e["type"] == "agent_error"], ["unavailable", "breaker_open", "unavailable"])
        self.assertEqual(len(p.requests), 3 + 0 + 1)

    def test_a_probe_that_succeeds_closes_it(self):
        async def behave(provider, request, reply):
            if len(provider.requests) <= 3:
                return await reply.error(500, "down")
            await well(provider, request, reply)

        p = self.serve(behave)
        events = self.answered([{"backend": self.backend(p, **self.keys)}])
        self.assertIn("breaker_open", [e["code"] for e in events if e["type"] == "agent_error"])
        self.assertEqual(len(p.requests), 3 + 3)

    def test_who_may_go_elsewhere_does_not_wait_for_a_breaker(self):
        first, second = self.serve(refuses(500)), self.serve(well)
        a = {"backend": self.backend(first, "one", **{**self.keys, "llm_circuit_breaker_reset_time_seconds": 60})}
        start = time.monotonic()
        self.answered([{**a, "failover": [self.backend(second, "two")]}, {"backend": self.backend(second, "three")}])
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual(len(first.requests), 3)

    def test_a_call_with_a_short_timeout_waited_for_no_rate_window(self):
        """`timeout` is of the call, not of the wait before it."""
        p = self.serve(well)
        r = self.home.start("--config", self.home.write("team.json", {"agents": [
            {"id": "m", "backend": self.backend(p, timeout=5, rate_limits={"rpm": 1})}]}), "-v", "q")
        try:
            Lines(r.stderr).until("waiting: `rpm: 1`")
        finally:
            r.send_signal(signal.SIGINT)
            out, err = r.communicate(timeout=20)
        self.assertEqual((r.returncode, len(p.requests)), (4, 1), err)

    def test_switched_off_it_never_opens(self):
        p = self.serve(refuses(500))
        events = self.failed([{"backend": self.backend(p, llm_circuit_breaker_enabled=False, llm_circuit_breaker_max_failures=1)}])
        self.assertEqual(len(p.requests), 9)
        self.assertFalse([e for e in events if e.get("code") == "breaker_open"])

    def test_a_day_that_is_used_up_is_told_once_with_its_end(self):
        p = self.serve(refuses(500))
        r = self.home.run("--config", self.home.write("team.json", {"agents": [{"id": "m", "backend": self.backend(p, rate_limits={"rpd": 1})}]}), "-v", "q",
                          timeout=120)
        text = " ".join(r.stderr.split())
        self.assertRegex(text, r"`rpd: 1` of `rate_limits` \(127\.0\.0\.1\): the next request goes at 20\d\d-\d\d-\d\d \d\d:\d\d")
        self.assertEqual(len(p.requests), 1)
        lines = [line for line in r.stderr.splitlines() if " failed, " in line and "rpd" in line]
        self.assertLessEqual(len(lines), 1, r.stderr)

    def test_a_wait_beyond_the_threshold_fails_at_once(self):
        p = self.serve(refuses(429, Retry_After=30))
        start = time.monotonic()
        self.failed([{"backend": self.backend(p, llm_circuit_breaker_retry_after_threshold_seconds=5)}])
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(len(p.requests), 1)


class Deadline(Case):
    def test_no_try_and_no_wait_goes_beyond_the_deadline_of_the_call(self):
        for behave in (refuses(429, Retry_After=60), hangs, refuses(503, Retry_After=9)):
            p = self.serve(behave)
            events = self.failed([{"backend": self.backend(p, timeout=2)}], orchestrator={"max_failed_runs": 1})
            ended = [e for e in events if e["type"] == "call_ended"]
            started = [e for e in events if e["type"] == "call_started"]
            self.assertEqual(len(ended), 1)
            self.assertLess(ended[0]["time"] - started[0]["time"], 6_000)  # 2 s, and what a busy machine adds


class Failover(Case):
    causes = {
        "unauthorized": refuses(401, "bad key"),
        "no credit": refuses(429, "insufficient_quota"),
        "not found": refuses(404, "no such model"),
        "500s": refuses(500, "down"),
        "a wait of 500 s": refuses(429, "slow down", Retry_After=500),
        "a hang": hangs,
    }

    def moved(self, events):
        return [e["reason"] for e in events if e["type"] == "agent_notice" and e["reason"].startswith("goes on with")]

    def check(self, first, most=3, **more):
        second = self.serve(well)
        start = time.monotonic()
        events = self.answered([{"backend": self.backend(first, "one", **more), "failover": [self.backend(second, "two", "claude")]}])
        self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], ["the final answer of two"])
        self.assertEqual(len(self.moved(events)), 1, events)
        self.assertIn("goes on with claude two at 127.0.0.1 instead of chatcompletion one: ", self.moved(events)[0])
        self.assertEqual([e["detail"]["model"] for e in events if e["type"] == "agent_placed"], ["one", "two"])
        self.assertEqual({r["model"] for r in second.requests}, {"two"})
        self.assertFalse([e for e in events if e["type"] == "agent_error"])
        if not isinstance(first, str):
            self.assertLessEqual(len(first.requests), most)
        shown = self.home.run("show", "last").stdout
        self.assertIn("claude two, before that chatcompletion one", shown)
        return time.monotonic() - start

    def test_each_cause_leads_to_the_next_backend(self):
        for name, behave in self.causes.items():
            with self.subTest(name):
                more = {"first_token_timeout_seconds": 1} if name == "a hang" else {}
                self.check(self.serve(behave), **more)

    def test_a_refused_connection_leads_to_the_next_backend(self):
        self.check(dead_port())

    def test_a_long_wait_leads_there_at_once(self):
        p = self.serve(self.causes["a wait of 500 s"])
        self.assertLess(self.check(p, most=1), 8)

    def test_after_the_first_word_nobody_else_is_asked(self):
        async def breaks(provider, request, reply):
            await reply.head()
            await reply.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"half of it"}}]}\n\n')
            reply.writer.close()

        first, second = self.serve(breaks), self.serve(well)
        self.failed([{"backend": self.backend(first), "failover": [self.backend(second)]}], orchestrator={"max_failed_runs": 1})
        self.assertEqual((len(first.requests), len(second.requests)), (1, 0))

    def test_a_missing_key_is_told_at_the_start_and_passed_over(self):
        second = self.serve(well)
        lost = {"type": "openai", "model": "gpt-5"}
        events = self.answered([{"backend": self.backend(second, "two"), "failover": [lost]}])
        told = [e["reason"] for e in events if e["type"] == "agent_notice"]
        self.assertTrue(any("backend 1 of its failover list cannot be used" in t and "OPENAI_API_KEY" in t for t in told), told)
        events = self.answered([{"backend": lost, "failover": [lost, self.backend(second, "two")]}])
        self.assertEqual([e["detail"]["model"] for e in events if e["type"] == "agent_placed"], ["gpt-5", "gpt-5", "two"])

    def test_an_entry_without_a_key_hid_why_the_first_one_was_out(self):
        first = self.serve(refuses(401, "bad key"))
        r, events = self.ask([{"backend": self.backend(first, "one"), "failover": [{"type": "openai", "model": "gpt-5"}]}])
        self.assertEqual(r.returncode, 2, r.stdout + r.stderr)
        out = next(e["reason"] for e in events if e["type"] == "agent_out")
        self.assertRegex(out, r"^chatcompletion one: .*bad key.*; openai gpt-5: .*no key: set OPENAI_API_KEY")
        self.assertEqual((out.count("bad key"), out.count("no key")), (1, 1))
        self.assertEqual(self.moved(events), [])
        self.assertEqual(len([e for e in events if e["type"] == "agent_notice"]), 1)
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_each_backend_that_is_out_is_named_once(self):
        first, second, third = self.serve(refuses(401, "bad key")), self.serve(refuses(404, "no such model")), self.serve(refuses(400, "odd"))
        r, events = self.ask([{"backend": self.backend(first, "one"), "failover": [
            self.backend(second, "two"), {"type": "openai", "model": "gpt-5"}, self.backend(third, "three")]}])
        self.assertEqual(r.returncode, 2, r.stdout + r.stderr)
        out = next(e["reason"] for e in events if e["type"] == "agent_out")
        self.assertRegex(out, "^chatcompletion one: .*bad key.*; chatcompletion two: .*no such model.*; openai gpt-5: .*no key.*; chatcompletion three: .*odd")
        self.assertEqual(len(self.moved(events)), 2)
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_a_variable_in_the_key_of_an_entry_was_expanded_when_the_file_was_read(self):
        """It is a secret as that of `backend` is: looked up by who uses it, announced where it goes, and kept nowhere."""
        second = self.serve(well)
        self.home.env["OPENAI_API_KEY"] = "sk-a-key-that-nobody-may-keep"
        team = [{"backend": self.backend(dead_port(), "one"), "failover": [self.backend(second, "two", api_key="${OPENAI_API_KEY}")]}]
        events = self.answered(team)
        self.assertEqual({r["headers"]["authorization"] for r in second.requests}, {"Bearer sk-a-key-that-nobody-may-keep"})
        told = "OPENAI_API_KEY (the environment) goes to " + second.url + ", not to openai.com: the configuration says so"
        self.assertEqual([e["reason"] for e in events if e["type"] == "agent_notice" and "goes to" in e["reason"]], [told])
        r = self.home.run("validate", self.home.path / "team.json")
        self.assertIn(told, r.stdout + r.stderr)
        kept = b"".join(p.read_bytes() for p in (self.home.path / "home").rglob("*") if p.is_file())
        self.assertNotIn(b"nobody-may-keep", kept)
        del self.home.env["OPENAI_API_KEY"]
        r = self.home.run("validate", self.home.path / "team.json")
        self.assertEqual((r.stdout + r.stderr).count("OPENAI_API_KEY"), 1, r.stdout + r.stderr)

    def test_what_has_no_effect_in_an_entry_is_said(self):
        good = self.backend("http://127.0.0.1:1")
        team = {"agents": [{"id": "a", "backend": good, "failover": [{**good, "max_tool_iterations": 3, "exclude_tools": ["x"]}]}]}
        r = self.home.run("validate", self.home.write("odd.json", team))
        for key in ("max_tool_iterations", "exclude_tools"):
            self.assertIn(f"failover[0].{key}: has no effect in `failover`", r.stdout + r.stderr)

    def test_the_names_of_agents_stand_for_their_backends(self):
        first, second = self.serve(refuses(401)), self.serve(well)
        team = [{"backend": self.backend(first, "one"), "failover": ["m1"]}, {"backend": self.backend(second, "two")}]
        events = self.answered(team)
        self.assertFalse([e for e in events if e["type"] == "agent_out"])
        self.assertEqual(len({e["agent"] for e in events if e["type"] == "new_answer"}), 2)

    def test_a_task_that_was_killed_goes_on_with_the_backend_in_use(self):
        first = self.serve(refuses(401))
        gate = threading.Event()

        async def slow(provider, request, reply):
            if len(provider.requests) == 2 and not gate.is_set():
                await hangs(provider, request, reply)
            await well(provider, request, reply)

        second = self.serve(slow)
        team = {"agents": [{"id": "a", "backend": self.backend(first, "one"), "failover": [self.backend(second, "two")]}]}
        p = self.home.start("--config", self.home.write("team.json", team), "--json", "q")
        self.assertTrue(second.wait(lambda: len(second.requests) == 2))
        p.kill()
        p.communicate()
        gate.set()
        before = len(first.requests)
        r = self.home.run("resume", "last", "--json")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual(len(first.requests), before)

    def test_what_is_wrong_with_the_list_is_said(self):
        good = {"type": "chatcompletion", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
        for entry, part in [("nobody", "neither the id of another agent nor a model"), ({"type": "nonsense", "model": "m"}, "unknown backend type"),
                            ({"type": "scripted", "steps": [{"answer": "x"}]}, "a script cannot take over"), ([], "expected a map as"),
                            ({**good, "mcp_servers": {"s": {"command": ["true"]}}}, "the tools of an agent stand in its `backend`"),
                            ({**good, "rate_limits": {"rpm": 0}}, "rate_limits.rpm"), ({**good, "rate_limits": {"rps": 1}}, "unknown key")]:
            team = {"agents": [{"id": "a", "backend": good, "failover": [good, entry]}]}
            r = self.home.run("validate", self.home.write("bad.json", team))
            self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            self.assertIn("failover[1]", r.stdout + r.stderr)
            self.assertIn(part, r.stdout + r.stderr)
        team = {"agents": [{"id": "a", "backend": {**good, "failover": ["x"]}}]}
        r = self.home.run("validate", self.home.write("bad.json", team))
        self.assertIn("stands beside `backend`", r.stdout + r.stderr)


class DeadMember(Case):
    """One provider of four is dead: the others answer."""

    def check(self, dead, **more):
        alive = [self.serve(well) for _ in range(3)]
        events = self.answered([{"backend": self.backend(p, f"m{i}")} for i, p in enumerate(alive)] + [{"backend": self.backend(dead, **more)}])
        self.assertEqual([e["agent"] for e in events if e["type"] == "agent_out"], ["m3"])
        if not isinstance(dead, str):
            self.assertLessEqual(len(dead.requests), 10)

    def test_refused(self):
        self.check(dead_port())

    def test_500(self):
        self.check(self.serve(refuses(500)))

    def test_529(self):
        self.check(self.serve(refuses(529)))

    def test_hang(self):
        self.check(self.serve(hangs), first_token_timeout_seconds=1)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
