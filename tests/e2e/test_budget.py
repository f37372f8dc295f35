#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Budgets against a provider on loopback: what is sent, what is spent, what a person reads."""

import asyncio
import json
import unittest

from test_real_servers import STREAM, RealServers, call, delta, sse
from support import *

NANO = 1_000_000_000


def with_usage(*events, read=1000, written=100):
    """A reply of which the provider says what it took."""
    return (200, STREAM, sse(*events, {"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}}))


def answer(text="It is 42.", **usage):
    return with_usage(call("new_answer", {"content": text}), delta("tool_calls"), **usage)


def vote(**usage):
    return with_usage(call("vote", {"agent_id": "agent1", "reason": "fine"}), delta("tool_calls"), **usage)


def final(**usage):
    return with_usage(delta(content="It is 42, finally."), delta("stop"), **usage)


class Budgets(RealServers):
    PRICED = {"model": "priced", "max_tokens": 500}

    def setUp(self):
        super().setUp()
        (self.home.path / "config" / "conclave").mkdir(parents=True)
        self.home.write("config/conclave/models.yaml", "models:\n  - {provider: 127.0.0.1, model: priced, "
                        "price: {input: 0.15, cached_input: 0.075, output: 0.6}}\n"
                        "  - {provider: 127.0.0.1, model: free, price: {input: 0, output: 0}}\n")
        self.home.env["XDG_CONFIG_HOME"] = str(self.home.path / "config")

    def spent(self, events, key="input_tokens"):
        return sum(e.get("usage", {}).get(key, 0) for e in events if e["type"] == "call_ended")

    def show(self, *flags):
        r = self.home.run("show", "last", *flags)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def test_money_stands_beside_tokens_everywhere(self):
        self.play(answer(), vote(), final())
        r, _ = self.ask(backend=self.PRICED, flags=())
        self.assertEqual(r.returncode, 0, r.stderr)
        # 3 x (1,000 x 150 + 100 x 600) = 630,000 nano-USD
        self.assertIn("3 calls, 3,000 tokens in, 300 out, $0.0006\n", r.stderr)
        text = self.show()
        self.assertIn("3,000 tokens in, 300 out, $0.0006\n", text)
        self.assertRegex(text, r"run 1, round 0: 1 model call \(1 finished\), 1,000 tokens in, 100 out, \$0\.0002\n")
        events = events_of(self.show("--json"))
        self.assertEqual(self.spent(events, "cost_nano_usd"), 630_000)
        status = json.loads(next(self.home.path.glob("home/logs/*/status.json")).read_text())
        self.assertEqual(status["agents"]["m0"]["cost_usd"], 0.00063)
        self.assertEqual(status["usage"]["cost_usd"], 0.00063)

    def test_a_price_nobody_knows_is_said_to_be_unknown(self):
        self.play(answer(), vote(), final())
        r, _ = self.ask(flags=())
        self.assertIn("300 out, cost unknown\n", r.stderr)

    def test_a_call_beyond_the_budget_is_not_made_and_the_answer_is_delivered(self):
        self.play(answer(), vote(), final())
        r, events = self.ask(backend=self.PRICED, budget={"tokens": 6000})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        reserve = [e["usage"] for e in events if e["type"] == "call_started"]
        self.assertTrue(all(u["output_tokens"] == 500 for u in reserve), reserve)
        # Once more with room for the first call alone.
        need = reserve[0]["input_tokens"] + reserve[0]["output_tokens"]
        for limit, requests in ((need, 1), (need - 1, 0)):
            self.play(answer(), vote(), final())
            r, events = self.ask(backend=self.PRICED, budget={"tokens": limit})
            self.assertEqual(len(self.provider.requests), requests)
            self.assertEqual(r.returncode, 0 if requests else 2, r.stdout + r.stderr)
            out = [e for e in events if e["type"] == "agent_out"]
            self.assertEqual(out[0]["code"], "budget_exceeded")
            self.assertIn("the budget of the task " + ("is used up" if requests else "might be exceeded"), out[0]["reason"])
        self.play(answer(), vote(), final())
        r, _ = self.ask(backend=self.PRICED, budget={"tokens": need}, flags=())
        self.assertEqual(r.stdout, "It is 42.\n")
        self.assertIn("is out", r.stderr)
        self.assertIn(f"1,100 of {need:,} tokens are spent", " ".join(r.stderr.split()))
        self.assertIn(f"budget of the task: 1,100 of {need:,} tokens\n", self.show())
        verified = self.home.run("replay", "last", "--verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_budget_of_one_agent_leaves_the_others_at_work(self):
        self.play(answer(), answer("It is 43."), vote(), final())
        team = [{"id": i, "backend": {"type": "chatcompletion", "base_url": self.provider.url + "/v1", "api_key": "dummy", **self.PRICED},
                 **({"budget": {"tokens": 500}} if i == "poor" else {})} for i in ("rich", "poor")]
        r = self.home.run("--config", self.home.write("t.json", {"agents": team}), "--json", "q")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual([e["agent"] for e in events_of(r.stdout) if e["type"] == "agent_out"], ["poor"])
        self.assertEqual({e["agent"] for e in events_of(r.stdout) if e["type"] == "call_started"}, {"rich"})

    def test_the_budget_of_one_agent_ended_the_task_of_all(self):
        self.play(answer(), answer("It is 43."), vote(), final())
        where = {"type": "chatcompletion", "base_url": self.provider.url + "/v1", "api_key": "dummy", **self.PRICED}
        team = [{"id": "rich", "backend": where}, {"id": "poor", "backend": where, "failover": [{**where, "model": "free"}],
                                                   "budget": {"tokens": 500, "on_exceed": "terminate"}}]
        r = self.home.run("--config", self.home.write("t.json", {"agents": team}), "--json", "q")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        events = events_of(r.stdout)
        self.assertEqual([e["agent"] for e in events if e["type"] == "agent_out"], ["poor"])
        self.assertTrue(any(e["reason"].endswith("; the agent is out") for e in events if e["type"] == "agent_notice"))
        self.assertEqual({q["model"] for q in self.provider.requests}, {"priced"})
        verified = self.home.run("replay", "last", "--verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_warning_comes_once_and_the_task_goes_on(self):
        self.play(answer(), vote(), final())
        r, events = self.ask(backend=self.PRICED, budget={"usd": 0.0005, "on_exceed": "warn", "warn_at": [0.4]})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        notices = [(e["label"], e["number"], e.get("code")) for e in events if e["type"] == "agent_notice"]
        self.assertEqual(sorted(notices, key=lambda n: n[1]), [("usd", 400, None), ("usd", 1001, "budget_exceeded")])
        self.assertIn("It is 42, finally.", [e.get("text") for e in events])

    def test_a_task_ends_with_what_there_is_where_its_budget_says_so(self):
        self.play(answer(), vote(), final())
        _, events = self.ask(backend=self.PRICED)
        first = next(e["usage"] for e in events if e["type"] == "call_started")
        budget = {"tokens": first["input_tokens"] + first["output_tokens"], "on_exceed": "terminate"}
        self.play(answer(), vote(), final())
        r, _ = self.ask(backend=self.PRICED, budget=budget, flags=())
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout, "It is 42.\n")
        self.assertIn("finish reason: budget_exceeded\n", r.stderr)
        self.assertEqual(len(self.provider.requests), 1)

    def test_a_task_that_ends_without_an_answer_says_whose_budget_and_how_much(self):
        self.play(answer(), vote(), final())
        for budget, whose, unit in (({"tokens": 100}, "the budget of the task", "0 of 100 tokens"), ({"usd": 0.0001}, "the budget of the task", "$0.0000 of $0.0001")):
            r, _ = self.ask(backend=self.PRICED, budget={**budget, "on_exceed": "terminate"}, flags=())
            self.assertEqual(r.returncode, 2, r.stdout)
            self.assertIn(f"no answer: {whose} might be exceeded: {unit} are spent, and this call may take", " ".join(r.stderr.split()))
            status = json.loads(max(self.home.path.glob("home/logs/*/status.json"), key=lambda p: p.stat().st_mtime).read_text())
            self.assertIn(unit + " are spent", json.dumps(status))
            verified = self.home.run("replay", "last", "--verify")
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_a_budget_that_is_used_up_was_said_to_be_in_danger(self):
        self.play(answer(read=8000), vote(), final())
        r, _ = self.ask(backend=self.PRICED, budget={"tokens": 8000}, flags=())
        self.assertIn("the budget of the task is used up: 8,100 of 8,000 tokens are spent", " ".join(r.stderr.split()))
        self.assertNotIn("might be exceeded", r.stderr)

    def chained(self, *models, **own):
        """Asks one agent whose backends have these models; returns what the others were gone on with for."""
        one = {"type": "chatcompletion", "base_url": self.provider.url + "/v1", "api_key": "dummy", "max_tokens": 500}
        agent = {"id": "m0", "backend": {**one, "model": models[0]}, "failover": [{**one, "model": m} for m in models[1:]]}
        team = {"agents": [{**agent, **own}]} if own else {"agents": [agent], "budget": {"usd": self.usd}}
        r = self.home.run("--config", self.home.write("team.json", team), "--json", "q")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        verified = self.home.run("replay", "last", "--verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        return [e["reason"] for e in events_of(r.stdout) if e["type"] == "agent_notice" and "goes on with" in e["reason"]]

    def test_a_backend_that_is_too_dear_gives_way_to_a_cheaper_one(self):
        self.usd = 0.0001
        for own in ({"budget": {"usd": self.usd}}, {}):
            for chain, why in ((("priced", "free"), ["might be exceeded"]), (("unknown", "priced", "free"), ["is not known", "might be exceeded"])):
                self.play(answer(), vote(), final())
                moved = self.chained(*chain, **own)
                self.assertEqual([x["model"] for x in self.provider.requests], ["free"] * 3)
                self.assertEqual(len(moved), len(why), moved)
                for text, part in zip(moved, why):
                    self.assertIn(part, text)

    def test_it_gives_way_in_the_middle_of_a_task_and_a_replay_follows(self):
        self.play(answer(), vote(), final())
        _, events = self.ask(backend=self.PRICED)
        first = next(e["usage"]["cost_nano_usd"] for e in events if e["type"] == "call_started")
        self.usd = (first + 100_000) / NANO  # room for the first call
        self.play(with_usage(delta(content="no tool, no verdict"), delta("stop")), answer(), vote(), final())
        self.assertEqual(len(self.chained("priced", "free")), 1)
        self.assertEqual([x["model"] for x in self.provider.requests], ["priced"] + ["free"] * 3)

    def test_what_was_said_with_a_refused_call_was_lost_to_a_resume(self):
        self.play(answer(), vote(), final())
        _, events = self.ask(backend=self.PRICED)
        first = next(e["usage"]["cost_nano_usd"] for e in events if e["type"] == "call_started")

        async def hangs(provider, request, reply):
            await asyncio.sleep(600)

        self.play(with_usage(delta(content="no tool, no verdict"), delta("stop")), hangs, answer(), vote(), final())
        one = {"type": "chatcompletion", "base_url": self.provider.url + "/v1", "api_key": "${TEST_KEY}", "max_tokens": 500}
        team = {"agents": [{"id": "m0", "backend": {**one, "model": "priced"}, "failover": [{**one, "model": "free"}]}],
                "budget": {"usd": (first + 100_000) / NANO}}
        self.home.env["TEST_KEY"] = "sk-of-a-test"
        p = self.home.start("--config", self.home.write("team.json", team), "q")
        self.assertTrue(self.provider.wait(lambda: len(self.provider.requests) == 2))
        p.kill()
        p.communicate()
        r = self.home.run("resume", "last")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        hung, again = self.provider.requests[1], self.provider.requests[2]
        self.assertEqual((again["model"], again["messages"]), ("free", hung["messages"]))
        self.assertIn("no tool, no verdict", json.dumps(again["messages"]))

    def test_fees_of_the_provider_s_tools_are_reserved_or_said_not_to_be(self):
        agent = {"id": "a", "backend": {"type": "claude", "model": "claude-sonnet-5-5", "enable_web_search": True}}
        openai = {"id": "b", "backend": {"type": "openai", "model": "gpt-6-luna", "enable_web_search": True}}
        for team, said in ((agent, "`max_uses` bounds it"), (openai, "`max_tool_calls` bounds it"),
                           ({**agent, "backend": {**agent["backend"], "enable_web_search": {"max_uses": 3}}}, None),
                           ({**openai, "backend": {**openai["backend"], "max_tool_calls": 4}}, None)):
            for more in ({"budget": {"usd": 1}}, {"budget": {"tokens": 1000}}, {}):
                r = self.home.run("validate", self.home.write("t.json", {"agents": [team], **more}))
                wanted = said if "usd" in more.get("budget", {}) else None
                self.assertEqual("counted against `usd` once it is reported" in r.stdout, wanted is not None, r.stdout)
                self.assertIn(wanted or "", r.stdout)
        r = self.home.run("--config", self.home.write("t.json", {"agents": [agent], "budget": {"usd": 1}}), "q")  # no key: it ends at once
        self.assertIn("enable_web_search: what its provider charges for each use", " ".join(r.stderr.split()))

    def test_fees_that_no_key_of_ours_asks_for_were_not_told(self):
        router = {"type": "chatcompletion", "base_url": "https://openrouter.ai/api/v1", "model": "openai/gpt-4o"}
        openai = {"type": "chatcompletion", "base_url": "https://api.openai.com/v1", "model": "gpt-4o"}
        for backend, key in (({**router, "model": "openai/gpt-4o:online"}, "model"), ({**router, "model": "x/y:free:online"}, "model"),
                             ({**router, "model": "perplexity/sonar"}, "model"), ({**openai, "model": "gpt-4o-search-preview"}, "model"),
                             ({**router, "plugins": [{"id": "web"}]}, "plugins"),
                             ({**router, "extra_body": {"plugins": [{"id": "web"}]}}, "extra_body.plugins"),
                             ({**openai, "web_search_options": {}}, "web_search_options"),
                             ({**openai, "extra_body": {"web_search_options": {"search_context_size": "low"}}}, "extra_body.web_search_options"),
                             ({**router, "plugins": [{"id": "web", "enabled": False}]}, None), ({**router, "plugins": []}, None),
                             ({**openai, "extra_body": {"web_search_options": None}}, None), (router, None)):
            for more in ({"budget": {"usd": 1}}, {}):
                r = self.home.run("validate", self.home.write("t.json", {"agents": [{"id": "a", "backend": backend}], **more}))
                told = f"backend.{key}: what its provider charges for each use"
                self.assertEqual(told in r.stdout, bool(more and key), (backend, r.stdout))
                self.assertEqual("what its provider charges" in r.stdout, bool(more and key), (backend, r.stdout))

    def test_what_a_cache_keeps_for_an_hour_has_its_own_price(self):
        use = {"input_tokens": 100, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 0, "output_tokens": 1,
               "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 30}}
        events = [{"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": use}},
                  {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                  {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is 42."}},
                  {"type": "content_block_stop", "index": 0},
                  {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}}, {"type": "message_stop"}]
        self.play((200, STREAM, b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)))
        r, events = self.ask(kind="claude", backend=self.PRICED, orchestrator={"skip_coordination_rounds": True})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        spent = next(e["usage"] for e in events if e["type"] == "call_ended")
        self.assertEqual((spent["cache_write_tokens"], spent["cache_write_1h_tokens"]), (40, 30))
        self.assertEqual(spent["cost_nano_usd"], 30 * 2 * 150 + (10 + 100) * 150 + 10 * 600)
        self.assertIn("140 tokens in (40 written to the cache, 30 of them for an hour)", self.show())

    def test_an_unknown_price_is_refused_under_a_budget_in_dollars(self):
        self.play(answer(), vote(), final())
        r, _ = self.ask(budget={"usd": 1}, flags=())
        self.assertEqual(r.returncode, 2)
        self.assertIn("on_unknown_cost: allow", " ".join(r.stderr.split()))
        self.assertEqual(self.provider.requests, [])
        r, _ = self.ask(budget={"usd": 1, "on_unknown_cost": "allow"})
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_a_stream_that_is_cut_counts_at_its_reserve(self):
        async def cut(provider, request, reply):
            await reply.head()
            reply.writer.write(sse(delta(content="It is"), end=False))
            await reply.writer.drain()
            reply.last = True

        self.play(cut, answer(), vote(), final())
        r, events = self.ask(backend=self.PRICED, budget={"tokens": 1_000_000})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        reserve = next(e["usage"] for e in events if e["type"] == "call_started")
        spent = reserve["input_tokens"] + reserve["output_tokens"] + 3 * 1100
        self.assertIn(f"budget of the task: {spent:,} of 1,000,000 tokens\n", self.show())

    def test_a_try_that_may_have_been_billed_is_the_last_of_its_call_under_a_budget(self):
        async def silent(provider, request, reply):
            await reply.head()
            reply.writer.write(b": nothing yet\n\n")
            await reply.writer.drain()
            reply.last = True

        for budget in ({}, {"tokens": 1_000_000}):
            self.play(silent, answer(), vote(), final())
            r, events = self.ask(backend=self.PRICED, budget=budget)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            tries = [e["usage"]["requests"] for e in events if e["type"] == "call_ended"]
            self.assertEqual(tries, [1, 1, 1, 1] if budget else [2, 1, 1])

    def test_a_call_waits_where_only_a_reserve_is_in_its_way(self):
        async def slow(provider, request, reply):
            await asyncio.sleep(0.3)
            status, content, data = answer(read=10, written=10)
            await reply.head(status, content, Content_Length=len(data))
            reply.writer.write(data)
            await reply.writer.drain()

        self.play(slow, slow, vote(read=10, written=10), vote(read=10, written=10), final())
        r, events = self.ask(agents=2, backend=self.PRICED, budget={"tokens": 6000})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual([e for e in events if e["type"] in ("agent_out", "agent_error")], [])
        spent = reserved = 0
        open_calls = {}
        for e in events:
            key = (e.get("agent"), e.get("number"))
            if e["type"] == "call_started":
                open_calls[key] = e["usage"]["input_tokens"] + e["usage"]["output_tokens"]
            if e["type"] == "call_ended":
                open_calls.pop(key)
                spent += e["usage"]["input_tokens"] + e["usage"]["output_tokens"]
            self.assertLessEqual(spent + sum(open_calls.values()), 6000)

    def test_what_is_wrong_with_a_budget_is_said_with_its_place(self):
        path = self.home.write("bad.yaml", "budget:\n  tokens: 0\n  usd: -1\n  on_exceed: stop\n  warn_at: [2]\n  token: 5\n"
                                           "agents:\n  - backend: {type: scripted, steps: [{text: x}]}\n    budget: {on_exceed: warn}\n")
        r = self.home.run("validate", path)
        self.assertEqual(r.returncode, 1)
        for text in ("budget.tokens: 0 is outside 1 to", "budget.usd: -1 is outside 0.000001 to 1000000 US dollars",
                     "budget.on_exceed: 'stop' is none of block, warn, terminate", "budget.warn_at: expected at most 10 shares",
                     "budget.token: unknown key; did you mean 'tokens'?", "agents[0].budget: limits nothing"):
            self.assertIn(text, r.stdout + r.stderr)

    def test_a_budget_of_a_backend_was_sent_to_the_provider_and_held_nothing(self):
        backend = {"type": "chatcompletion", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
        for key, value in (("budget", {"usd": 1}), ("budget", {}), ("max_budget_usd", 5)):
            wrong = {**backend, key: value}
            for agent, where in (({"backend": wrong}, "agents[0].backend"), ({"backend": backend, "failover": [wrong]}, "agents[0].failover[0]")):
                path = self.home.write("bad.json", {"agents": [agent]})
                for args in (("validate", path), ("--config", path, "q")):
                    r = self.home.run(*args)
                    self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
                    self.assertIn(f"{where}.{key}: unknown key, and not the provider's; a `budget` stands at the top of the file or in agents[]",
                                  r.stdout + r.stderr)

    def test_a_budget_that_says_what_holds_anyway_was_silent(self):
        team = "agents:\n  - backend: {type: scripted, steps: [{answer: x}]}\n"
        for given, warned in (("{}", True), ("{on_exceed: block}", True), ("{on_exceed: terminate}", True), ("{tokens: 5}", False), ("", False)):
            for text, where in ((f"budget: {given}\n{team}", "budget"), (f"{team}    budget: {given}\n", "agents[0].budget")):
                r = self.home.run("validate", self.home.write("t.yaml", text))
                self.assertEqual(r.returncode, 0, r.stdout)
                self.assertEqual(r.stdout.count(f": {where}: limits nothing: it says neither `tokens` nor `usd` [warning]"), int(warned), r.stdout)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=["test_budget"] + sys.argv[2:])
