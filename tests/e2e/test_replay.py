# SPDX-License-Identifier: Apache-2.0
"""`conclave replay`: a stored run is shown again, and made again and compared."""

import hashlib
import re
import unittest

import stored
from provider import Provider
from support import *
from test_resume import Case, Model


class Replay(Case):
    def test_a_stored_run_is_shown_and_verified(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(3)), "q").returncode, 0)
            r = home.run("replay", "last")
            self.assertEqual((r.returncode, r.stdout), (0, "the final answer\n"), r.stderr)
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("no difference", r.stdout)
            home.damaged = "its log is meddled with"
            with stored.opened(home) as db:
                events, bodies = stored.read(db)
                other = lambda x: x.replace('"target_label":"agent1.1"', '"target_label":"agent2.1"') if "vote_cast" in x else x
                stored.write(db, [(seq, other(x)) for seq, x in events], bodies)
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertRegex(r.stderr, r"event \d+")

    def meddled(self, home, old, new, what="events"):
        """Replaces a text in the events, or in the bodies; both are of the same length. Bodies keep names that fit."""
        home.damaged = "it is meddled with"
        with stored.opened(home) as db:
            events, bodies = stored.read(db)
            if what == "events":
                n = sum(old in x for _, x in events)
                events = [(seq, x.replace(old, new)) for seq, x in events]
            else:
                n = sum(old.encode() in x for x in bodies.values())
                bodies = {sha: x.replace(old.encode(), new.encode()) for sha, x in bodies.items()}
                events, bodies = self.named_again(events, bodies)
            stored.write(db, events, bodies)
        self.assertGreater(n, 0, f"nothing holds {old}")

    def named_again(self, events, bodies):
        """Names each body by what it holds now, wherever it is named; so those that name it have other names, too."""
        while True:
            others = {sha: hashlib.sha256(x).hexdigest() for sha, x in bodies.items() if hashlib.sha256(x).hexdigest() != sha}
            if not others:
                return events, bodies
            again = lambda x: re.sub("[0-9a-f]{64}", lambda m: others.get(m[0], m[0]), x)
            events = [(seq, again(x)) for seq, x in events]
            bodies = {others.get(sha, sha): again(x.decode()).encode() for sha, x in bodies.items()}

    def killed_and_resumed(self):
        """Two agents with tools, cut off in a tool's call. Returns the events as (seq, JSON)."""
        provider = Provider(Model(0.0))
        try:
            p = self.home.start("-c", self.home.write("team.json", self.team(provider, agents=2, pause=0.05)), "--json", "q")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and "append" in line)
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
        finally:
            provider.stop()
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, r"[1-9]\d* run states and [1-9]\d* prompts compared, no difference")
        self.home.damaged = "it is meddled with"
        with stored.opened(self.home) as db:
            return stored.read(db)[0]

    def verified_with(self, seq, text):
        """Verifies with another event in that place."""
        def put(x):
            with stored.opened(self.home) as db:
                events, bodies = stored.read(db)
                stored.write(db, [(n, x if n == seq else text) for n, text in events], bodies)
                return dict(events)[seq]

        before = put(text)
        r = self.home.run("replay", "last", "--verify")
        put(before)
        return r

    def test_a_state_of_a_run_that_is_none_or_another_is_a_difference(self):
        events = self.killed_and_resumed()
        states = [(seq, json.loads(text)) for seq, text in events if '"state":' in text]
        self.assertGreater(len(states), 8)
        for seq, e in states:
            other = next(x["state"] for _, x in states if x["state"] != e["state"])
            for state, why in (("0" * 64, "is not in the store"), (other, "in this build")):
                r = self.verified_with(seq, json.dumps({**e, "state": state}))
                self.assertEqual((r.returncode, r.stdout), (1, ""), (e, r.stderr))
                self.assertRegex(r.stderr, rf"event {seq}: .*{why}")

    def test_states_that_differ_are_an_error_of_the_same_build_and_a_note_of_another(self):
        self.killed_and_resumed()
        self.meddled(self.home, '"repeats":1', '"repeats":0', "bodies")
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        what = r"\d+ of \d+ run states (is|are) not what this build makes; event \d+: the state of the run at [^\n]*'repeats' is as by default in the log, 1 in this build"
        self.assertRegex(r.stderr, what)
        self.meddled(self.home, '"build":"', '"build":"not-')
        r = self.home.run("replay", "last", "--verify")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, what)

    def test_a_bit_of_a_body_that_flipped_is_a_difference(self):
        self.killed_and_resumed()
        with stored.opened(self.home) as db:
            stored.write(db, *stored.read(db))
            pieces = db.execute("SELECT nr, bytes FROM pieces").fetchall()
        for nr, good in pieces:
            bad = bytearray(good)
            bad[len(bad) // 2] ^= 1
            with stored.opened(self.home) as db:
                db.execute("UPDATE pieces SET bytes = ? WHERE nr = ?", (bytes(bad), nr))
            r = self.home.run("replay", "last", "--verify")
            self.assertEqual((r.returncode, r.stdout), (1, ""), (good, r.stderr))
            self.assertRegex(r.stderr, r"event \d+: .*the body [0-9a-f]{64} that it names holds other bytes than its name says")
            with stored.opened(self.home) as db:
                db.execute("UPDATE pieces SET bytes = ? WHERE nr = ?", (good, nr))
        self.assertGreater(len(pieces), 30)

    def test_a_bit_of_a_record_that_flipped_is_an_error_that_names_it(self):
        self.killed_and_resumed()
        with stored.opened(self.home) as db:
            rows = db.execute("SELECT id, data FROM records ORDER BY id").fetchall()
        for row, good in rows[:3] + rows[-3:]:
            bad = bytearray(good)
            bad[len(bad) // 3] ^= 1
            with stored.opened(self.home) as db:
                db.execute("UPDATE records SET data = ? WHERE id = ?", (bytes(bad), row))
            for command in ("show", "replay", "resume"):
                r = self.home.run(command, "last", *(["--verify"] if command == "replay" else []))
                self.assertEqual((r.returncode, r.stdout), (2, ""), (command, r.stderr))
                self.assertIn(f"the record that begins with event {row & 0xFFFFFFFF} of task ", r.stderr)
            self.assertEqual(self.home.run("list").returncode, 0)
            with stored.opened(self.home) as db:
                db.execute("UPDATE records SET data = ? WHERE id = ?", (good, row))
        self.assertEqual(self.home.run("replay", "last", "--verify").returncode, 0)

    def test_a_usage_or_a_place_that_the_log_tells_twice_and_otherwise_is_a_difference(self):
        events = self.killed_and_resumed()
        for seq, text in events:
            e = json.loads(text)
            if e["type"] == "call_ended":
                r = self.verified_with(seq, json.dumps({**e, "usage": {**e.get("usage", {}), "output_tokens": 4711}}))
                self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
                self.assertRegex(r.stderr, rf"event {seq}: the log .*4711")
        first = json.loads(events[0][1])
        for nodes in ([], ["local"], ["local", "elsewhere"]):
            r = self.verified_with(1, json.dumps({**first, "detail": {**first["detail"], "nodes": nodes}}))
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertRegex(r.stderr, r"event \d+: the agent is placed on node 'local'")

    def test_prompts_that_differ_are_an_error_of_the_same_build_and_a_note_of_another(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(3)), "q").returncode, 0)
            r = home.run("replay", "last", "--verify")
            self.assertRegex(r.stdout, r"[1-9]\d* prompts compared, no difference")
            self.meddled(home, "several independent agents", "several  dependent agents", "bodies")
            r = home.run("replay", "last", "--verify")
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertRegex(r.stderr, r"\d+ of \d+ prompts are not what this build makes; event \d+: the prompt of call 1 of 'member\d'")
            self.assertIn("several  dependent", r.stderr)
            self.meddled(home, '"build":"', '"build":"not-')
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertRegex(r.stdout, r"\d+ of \d+ prompts are not what this build makes; event \d+: [^\n]*build not-")
            self.meddled(home, '"target_label":"agent1.1"', '"target_label":"agent2.1"')
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)

    def test_a_stored_reply_that_does_not_lead_to_what_was_handed_in_is_a_difference(self):
        with Home() as home:
            self.assertEqual(home.run("-c", home.write("team.json", calm_team(2)), "q").returncode, 0)
            self.meddled(home, "answer of member 1", "Answer of Member 1", "bodies")
            r = home.run("replay", "last", "--verify")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertRegex(r.stderr, r"event \d+: the log says the run hands in \"answer of member 1\"; in this build")

    def test_all_tasks_are_verified_at_once(self):
        with Home() as home:
            path = home.write("team.json", calm_team(2))
            for question in ("one", "two"):
                self.assertEqual(home.run("-c", path, question).returncode, 0)
            r = home.run("replay", "all", "--verify")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("verified: 2 tasks of 2, ", r.stdout)
            r = home.run("replay", "all")
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn("only with --verify", r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
