# SPDX-License-Identifier: Apache-2.0
"""Stored runs under other rules: `conclave replay TASK --rules FILE`. What the models say is scripted, so the winners are computed by hand."""

import random
import signal
import unittest

import stored
from support import Home, Lines, agent, events_of, json, need_binary, sys

NAMES = ["ada", "bob", "cyd", "dan"]


def drawn_team(seed):
    """Agents who answer, some of them twice, and vote as a seed draws; delays keep the order of what they hand in."""
    draw = random.Random(seed)
    n = draw.randint(1, 4)
    team = []
    for i in range(n):
        steps = [{"answer": f"first of {NAMES[i]}", "first_delay_ms": 20 * i}]
        if draw.random() < 0.4:
            steps.append({"answer": f"second of {NAMES[i]}", "first_delay_ms": draw.randint(0, 80)})
        steps += [{"vote": f"agent{draw.randint(1, n)}", "reason": "r", "first_delay_ms": draw.randint(0, 80), "optional": True}
                  for _ in range(6)]
        team.append(agent(NAMES[i], steps + [{"text": "the final words", "optional": True, "repeat": 9}]))
    rules = {"pacing": draw.choice(["barrier", "barrier", "eager"]), "max_new_answers_per_agent": draw.randint(1, 3),
             "final_answer_strategy": "winner_reuse"}
    if draw.random() < 0.3:
        rules["max_new_answers_global"] = draw.randint(1, n + 1)
    return {"agents": team, "orchestrator": rules}


def improving_team(**rules):
    """In round 1 ada is for bob, cyd improves, bob is for ada, too late; in round 2 everybody is for cyd."""
    def votes(*targets):
        return [{"vote": f"agent{t}", "reason": "r", "first_delay_ms": delay} for t, delay in targets]
    return {"agents": [
        agent("ada", [{"answer": "first of ada"}, *votes((2, 0), (3, 0)), {"text": "final", "optional": True}]),
        agent("bob", [{"answer": "first of bob"}, *votes((1, 2500), (3, 0)), {"text": "final", "optional": True}]),
        agent("cyd", [{"answer": "first of cyd"}, {"answer": "second of cyd", "first_delay_ms": 1800}, *votes((3, 0)),
                      {"text": "final", "optional": True}]),
    ], "orchestrator": {"final_answer_strategy": "winner_reuse", **rules}}


class WhatIf(unittest.TestCase):
    def setUp(self):
        self.home = Home()

    def tearDown(self):
        self.home.__exit__()

    def told(self, task, rules, code=0):
        """The JSON of `replay task --rules`; the text says the same winner."""
        path = self.home.write("rules.yaml", rules)
        r = self.home.run("replay", task, "--rules", path, "--json")
        self.assertEqual(r.returncode, code, r.stderr)
        x = json.loads(r.stdout)
        self.assertTrue(x["hypothetical"])
        text = self.home.run("replay", task, "--rules", path)
        self.assertEqual(text.returncode, code, text.stderr)
        self.assertTrue(text.stdout.startswith("Hypothetical: "))
        self.assertIn(f"Winner: '{x['winner']}'" if x["winner"] else "No winner: ", text.stdout)
        self.assertEqual(x["complete"], "can tell no more" not in text.stdout)
        return x

    def tasks(self):
        return [json.loads(line)["task"] for line in self.home.run("list", "--json").stdout.splitlines()]

    def stored(self, task):
        return events_of(self.home.run("show", task, "--json").stdout)

    def run_team(self, team):
        r = self.home.run("-c", self.home.write("team.json", team), "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        return self.tasks()[0]

    def test_twenty_tasks_have_the_same_winner_under_their_own_rules(self):
        winners = set()
        for seed in range(20):
            team = drawn_team(seed)
            task = self.run_team(team)
            chosen = next(e for e in self.stored(task) if e["type"] == "final_agent_selected")
            whole = self.told(task, team)
            alone = self.told(task, {"orchestrator": {"max_failed_runs": 3}})
            for x in (whole, alone):
                self.assertEqual((x["winner"], x["how"]), (chosen["agent"], chosen["reason"]), f"seed {seed}: {x}")
                self.assertEqual((x["winner"], x["answer"]), (x["then"]["winner"], x["then"]["answer"]))
                self.assertEqual((x["complete"], x["known_until"], x["notes"], x["rules"]), (True, 0, [], []), f"seed {seed}")
            winners.add(chosen["agent"])
        self.assertGreater(len(winners), 1)

    def test_other_caps_and_deadlines_have_the_winner_computed_by_hand(self):
        task = self.run_team(improving_team())
        log = self.stored(task)
        second = next(e for e in log if e.get("label") == "agent3.2")
        self.assertEqual(next(e for e in log if e["type"] == "final_agent_selected")["agent"], "cyd")
        with stored.opened(self.home) as db:
            before = stored.read(db)

        x = self.told(task, {"orchestrator": {"max_new_answers_per_agent": 1}})
        self.assertEqual((x["winner"], x["answer"], x["known_until"], x["complete"]), ("ada", "agent1.1", second["seq"], False))
        self.assertEqual({a["agent"]: a["voters"] for a in x["answers"]}, {"ada": ["bob"], "bob": ["ada"], "cyd": []})
        self.assertEqual(x["tied"], ["ada", "bob"])
        self.assertEqual(x["rules"], [{"key": "orchestrator.max_new_answers_per_agent", "then": "3", "now": "1"}])
        self.assertEqual(self.told(task, {"orchestrator": {"max_new_answers_global": 3}})["winner"], "ada")
        self.assertEqual(self.told(task, {"orchestrator": {"max_new_answers_global": 4}})["winner"], "cyd")

        team = improving_team(max_new_answers_per_agent=1)
        team["agents"].reverse()  # ties go to the first of the file
        x = self.told(task, team)
        self.assertEqual((x["winner"], x["answer"], x["order"]), ("bob", "agent2.1", ["cyd", "bob", "ada"]))

        x = self.told(task, {"timeout_settings": {"orchestrator_timeout_seconds": "900ms"}})
        self.assertEqual((x["winner"], x["answer"], x["known_until"]), ("bob", "agent2.1", 0))
        x = self.told(task, {"orchestrator": {"skip_coordination_rounds": True}})
        self.assertEqual((x["winner"], x["complete"]), ("ada", True))
        x = self.told(task, {"orchestrator": {"pacing": "eager"}})
        self.assertFalse(x["complete"])
        with stored.opened(self.home) as db:
            self.assertEqual(before, stored.read(db))

    def test_other_budgets_have_the_winner_computed_by_hand(self):
        team = improving_team()
        task = self.run_team(team)
        cyd = [e for e in self.stored(task) if e.get("agent") == "cyd" and e["type"] in ("call_started", "call_ended")]

        def tokens(e):
            return sum(e["usage"].get(x, 0) for x in ("input_tokens", "output_tokens"))
        improves = tokens(cyd[1]) + tokens(cyd[2])  # what its second call needs: what the first used, and its own reserve
        self.assertGreater(improves, tokens(cyd[0]))

        # Without its second call cyd is out: ada is for bob, bob for ada, in time, and ada comes first.
        team["agents"][2]["budget"] = {"tokens": improves - 1}
        x = self.told(task, team)
        self.assertEqual((x["winner"], x["answer"], x["tied"], x["complete"]), ("ada", "agent1.1", ["ada", "bob"], True))
        self.assertEqual([r["key"] for r in x["rules"]], ["agents[2].budget"])
        self.assertIn("call 2 of 'cyd' would not have been made", x["notes"][0]["text"])
        team["agents"][2]["budget"] = {"tokens": 10 * improves}
        self.assertEqual((self.told(task, team)["winner"], self.told(task, team)["notes"]), ("cyd", []))

        for policy in ("block", "terminate"):
            x = self.told(task, {"budget": {"tokens": 1, "on_exceed": policy}})
            self.assertEqual((x["winner"], x["answers"], x["complete"], x["then"]["winner"]), ("", [], True, "cyd"))
        x = self.told(task, {"budget": {"tokens": 1, "on_exceed": "warn"}})
        self.assertEqual((x["winner"], x["notes"]), ("cyd", []))

        # Only what is to be judged otherwise: no backend, no rules, and no order unless all are named.
        for agents in ({"agents": [{"id": "cyd", "budget": {"tokens": improves - 1}}]}, {"agent": {"id": "cyd", "budget": {"tokens": improves - 1}}}):
            x = self.told(task, agents)
            self.assertEqual((x["winner"], x["tied"], x["order"], x["not_judged"]), ("ada", ["ada", "bob"], ["ada", "bob", "cyd"], []))
            self.assertEqual([r["key"] for r in x["rules"]], ["agents[0].budget"])
        x = self.told(task, {"agents": [{"id": "cyd", "budget": {"tokens": improves - 1}}, {"id": "bob"}, {"id": "ada"}]})
        self.assertEqual((x["winner"], x["order"]), ("bob", ["cyd", "bob", "ada"]))
        x = self.told(task, {"agents": [{"id": "ada", "system_message": "another"}], "orchestrator": {"max_new_answers_per_agent": 1}})
        self.assertEqual((x["winner"], x["not_judged"]), ("ada", ["agents[0].system_message"]))
        r = self.home.run("replay", task, "--rules", self.home.write("rules.yaml", {"agents": [{"id": "eve", "budget": {"tokens": 1}}]}))
        self.assertEqual(r.returncode, 1)
        self.assertIn("agents[0].backend: needs a backend: the task has no agent 'eve'", r.stderr)
        r = self.home.run("replay", task, "--rules", self.home.write("rules.yaml", {"orchestrator": {"budget": {"tokens": 1}}}))
        self.assertEqual(r.returncode, 1)
        self.assertIn("orchestrator.budget: unknown key; 'budget' stands at the top of the file or in agents[]", r.stderr)

        # Four runs: the three answers, and ada's vote for bob.
        x = self.told(task, {"orchestrator": {"max_runs": 4}})
        self.assertEqual((x["winner"], x["answer"]), ("bob", "agent2.1"))
        self.assertIn("`max_runs`", x["notes"][0]["text"])

    def test_every_key_that_differs_and_is_not_judged_is_named(self):
        team = improving_team()
        task = self.run_team(team)
        self.assertEqual(self.told(task, team)["not_judged"], [])
        team["agents"][0]["backend"]["rate_limits"] = {"rpm": 5}
        team["agents"][1]["system_message"] = "be kind"
        team["agents"][2]["backend"]["model"] = "another"
        team["orchestrator"] |= {"on_unknown_outcome": "fail", "coordination": {"enable_planning_mode": True}}
        x = self.told(task, team)
        self.assertEqual(sorted(x["not_judged"]),
                         ["agents[0].backend.rate_limits.rpm", "agents[1].system_message", "agents[2].backend.model",
                          "orchestrator.coordination.enable_planning_mode", "orchestrator.on_unknown_outcome"])
        self.assertEqual((x["winner"], x["rules"]), ("cyd", []))
        text = self.home.run("replay", task, "--rules", self.home.write("r.yaml", team)).stdout
        self.assertIn("agents[0].backend.rate_limits.rpm\n", text)
        self.assertIn("By the rules that were judged nothing would have gone another way", text)

    def test_a_key_that_is_not_available_yet_is_named_as_not_judged(self):
        task = self.run_team(improving_team())
        rules = {"orchestrator": {"voting_sensitivity": "strict"}}
        self.assertEqual(self.told(task, rules)["not_judged"], ["orchestrator.voting_sensitivity"])
        rules = {"orchestrator": {"voting_sensitivity": "lenient"}}  # as it is without the key
        self.assertEqual(self.told(task, rules)["not_judged"], [])
        team = improving_team()
        team["agents"][1]["backend"]["voting_sensitivity"] = "strict"
        self.assertEqual(self.told(task, team)["not_judged"], ["agents[1].backend.voting_sensitivity"])

    def test_a_larger_cap_takes_what_the_log_refused(self):
        team = {"agents": [agent("ada", [{"answer": "first of ada"}, {"vote": "agent1", "reason": "r"}]),
                           agent("bob", [{"answer": "first of bob"}, {"answer": "second of bob"}, {"vote": "agent1", "reason": "r"}])],
                "orchestrator": {"max_new_answers_per_agent": 1, "final_answer_strategy": "winner_reuse"}}
        task = self.run_team(team)
        x = self.told(task, {"orchestrator": {"max_new_answers_per_agent": 2}})
        self.assertEqual(x["then"]["winner"], "ada")
        self.assertFalse(x["complete"])
        self.assertGreater(x["known_until"], 0)

    def test_what_cannot_be_asked_is_refused_with_the_reason(self):
        task = self.run_team(improving_team())
        good = self.home.write("good.yaml", {"orchestrator": {"pacing": "eager"}})
        for args, code, part in (
                ((task, "--rules", str(self.home.path / "none.yaml")), 1, "none.yaml"),
                (("nosuchtask", "--rules", good), 1, "nosuchtask"),
                ((task, task, "--rules", good), 1, "one task at a time"),
                (("all", "--rules", good), 1, "one task at a time"),
                ((task, "--rules", good, "--verify"), 1, "--rules"),
                ((task, "--rules", good, "--speed", "1"), 1, "--rules"),
                ((task, "--rules", ""), 1, "--rules"),
                ((task, "--json"), 1, "--rules"),
                ((task, "--rules", self.home.write("bad.yaml", "orchestrator:\n  max_new_answers_per_agent: 0\n")), 1, "bad.yaml:2"),
                ((task, "--rules", self.home.write("word.yaml", "orchestrator:\n  pacing: slow\n")), 1, "word.yaml:2"),
                ((task, "--rules", self.home.write("none.json", {"agents": []})), 1, "no agents"),
                ((task, "--rules", self.home.write("empty.yaml", "")), 1, "empty.yaml"),
                ((task, "--rules", self.home.write("list.yaml", "- 1\n")), 1, "expected a map")):
            r = self.home.run("replay", *args)
            self.assertEqual((r.returncode, r.stdout), (code, ""), (args, r.stderr))
            self.assertIn(part, r.stderr, args)
        r = self.home.run("replay", task, "--rules", self.home.write("odd.yaml", "orchestrator:\n  pacng: eager\n"))
        self.assertIn("pacng", r.stderr)  # as validate tells it

    def test_a_team_whose_keys_are_not_here_has_rules_all_the_same(self):
        task = self.run_team(improving_team())
        x = self.told(task, {"agents": [{"id": "x", "backend": {"type": "claude", "model": "m", "api_key": "${NOT_SET_HERE}"}}],
                             "orchestrator": {"max_new_answers_per_agent": 1}})
        self.assertEqual((x["winner"], x["order"]), ("ada", ["ada", "bob", "cyd"]))

    def test_a_task_under_way_and_one_of_an_older_version_are_refused(self):
        good = self.home.write("good.yaml", {"orchestrator": {"pacing": "eager"}})
        team = {"agents": [agent("ada", [{"answer": "x"}, {"hang": True}]), agent("bob", [{"answer": "y"}, {"hang": True}])]}
        p = self.home.start("-c", self.home.write("team.json", team), "--json", "q")
        lines = Lines(p.stdout)
        lines.until('"label":"agent2.1"')
        r = self.home.run("replay", "last", "--rules", good)
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        self.assertIn("is under way", r.stderr)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=15)
        x = self.told("last", {"orchestrator": {"pacing": "barrier"}})
        self.assertEqual((x["winner"], x["then"]["winner"]), ("", ""))
        self.assertIn("ended from outside", x["no_winner"])
        self.home.damaged = "its version is changed"
        with stored.opened(self.home) as db:
            events, bodies = stored.read(db)
            older = [(seq, x.replace('"task_opened"', '"round_started"').replace('"v":2', '"v":1')) for seq, x in events]
            stored.write(db, older, bodies)
        r = self.home.run("replay", "last", "--rules", good)
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        self.assertIn("cannot tell", r.stderr)

    def test_a_log_without_an_answer_says_so(self):
        team = {"agents": [agent("ada", [{"error": "unauthorized"}])]}
        self.assertEqual(self.home.run("-c", self.home.write("team.json", team), "q").returncode, 2)
        x = self.told("last", {"orchestrator": {"pacing": "eager"}})
        self.assertEqual((x["winner"], x["answers"]), ("", []))
        self.assertIn("no answer", x["no_winner"])


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
