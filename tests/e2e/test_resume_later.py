# SPDX-License-Identifier: Apache-2.0
"""`conclave resume` under other circumstances than before: another clock, a variable or node that is missing, a task that runs or has
ended. And `conclave cancel`."""

import asyncio
import re
import socket
import sqlite3
import unittest

import stored
from provider import Provider
from support import *
from test_resume import Case, Model


class Later(Case):
    """What is different at the resume."""

    async def half(self, provider, request, reply):
        """m0 answers, m1 never does."""
        if request["model"] == "model-1":
            await asyncio.sleep(1000)
        await Model(0.0)(provider, request, reply)

    def cut_off(self, provider, until, **more):
        team = self.team(provider, agents=2, pause=0, **more)
        for a in team["agents"]:
            a["backend"].update(api_key="${SOME_KEY}", mcp_servers=[])
        self.home.env["SOME_KEY"] = "abcdefghijkl"
        p = self.home.start("-c", self.home.write("team.json", team), "--json", "q")
        Lines(p.stdout).until(until)
        p.kill()
        p.stdout.close(), p.stderr.close()
        p.wait()

    def test_a_clock_set_back_puts_no_deadline_off(self):
        provider = Provider(self.half)
        try:
            self.cut_off(provider, '"new_answer"', timeout_settings={"orchestrator_timeout_seconds": 6})
            self.home.damaged = "the events have other times than the states of the runs"
            with stored.opened(self.home) as db:  # the same as a clock an hour behind the log
                events, bodies = stored.read(db)
                later = [(seq, json.loads(text)) for seq, text in events]
                stored.write(db, [(seq, json.dumps({**e, "time": e["time"] + 3600 * 1000})) for seq, e in later], bodies)
            r = self.home.run("resume", "last", "--json", timeout=40)
            self.assertEqual(r.returncode, 0, r.stderr)
            times = [e["time"] for e in self.stored()[0]]
            self.assertEqual(times, sorted(times))
        finally:
            provider.stop()

    def test_a_variable_that_is_not_set_changes_nothing(self):
        provider = Provider(self.half)
        try:
            self.cut_off(provider, '"new_answer"', orchestrator={"straggler_patience_seconds": 1})
            before = self.stored()[0]
            key = self.home.env.pop("SOME_KEY")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("set SOME_KEY", r.stderr)
            self.assertEqual(self.stored()[0], before)
            self.home.env["SOME_KEY"] = key
            self.assertEqual(self.home.run("resume", "last").returncode, 0)
        finally:
            provider.stop()

    def test_a_task_whose_only_node_is_away_waits_for_it(self):
        provider = Provider(self.half)
        node = self.home.start("node", "--listen", "127.0.0.1:0", "--insecure-loopback")
        try:
            address = re.search(r"127\.0\.0\.1:\d+", Lines(node.stdout).until("listening on"))[0]
            team = self.team(provider, agents=1, pause=0, cluster={"nodes": {"far": address}})
            team["agents"][0].update(node="far")
            team["agents"][0]["backend"].update(model="model-1")  # never answers
            p = self.home.start("-c", self.home.write("team.json", team), "--insecure-loopback", "--json", "q")
            Lines(p.stdout).until('"call_started"')
            for x in (p, node):
                x.kill()
                x.communicate()
            before = self.stored()[0]
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn("nothing was changed", r.stderr)
            self.assertEqual(self.stored()[0], before)
        finally:
            provider.stop()
            node.kill()
            node.communicate()

    def test_a_node_that_comes_back_later_than_the_others_keeps_its_agents(self):
        provider = Provider(self.half)
        far = self.home.start("node", "--listen", "127.0.0.1:0", "--insecure-loopback")
        try:
            address = re.search(r"127\.0\.0\.1:\d+", Lines(far.stdout).until("listening on"))[0]
            team = self.team(provider, agents=2, pause=0, cluster={"nodes": {"far": address}})
            team["agents"][0].update(node="far")
            team["agents"][1]["backend"].update(model="model-1")  # never answers
            file = self.home.write("team.json", team)
            p = self.home.start("-c", file, "--insecure-loopback", "--json", "q")
            Lines(p.stdout).until('"new_answer"')
            for x in (p, far):
                x.kill()
                x.communicate()
            p = self.home.start("resume", "last", "--json")
            Lines(p.stderr).until("waiting 20 s at most for node 'far' of agent 'm0'")
            far = self.home.start("node", "--listen", address, "--insecure-loopback")
            Lines(far.stdout).until("listening on")
            lines = Lines(p.stdout)
            lines.until('"task_resumed"')
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=40)
            self.assertNotIn("agent_out", [e["type"] for e in self.stored()[0]])
        finally:
            provider.stop()
            far.kill()
            far.communicate()

    def test_a_signal_while_a_node_is_joined_ends_the_task(self):
        provider = Provider(self.half)
        with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts and says nothing
            try:
                node = "127.0.0.1:%d" % mute.getsockname()[1]
                team = self.team(provider, agents=2, cluster={"nodes": {"far": node}})
                team["agents"][0]["node"] = "far"
                p = self.home.start("-c", self.home.write("team.json", team), "--insecure-loopback", "--json", "q")
                Lines(p.stdout).until(lambda line: '"call_started"' in line)
                p.kill()
                p.stdout.close(), p.stderr.close()
                p.wait()
                mute.settimeout(10)
                mute.accept()[0].close()  # of the run that was killed
                p = self.home.start("resume", "last", "--json")
                joining = mute.accept()[0]
                p.send_signal(signal.SIGINT)
                p.communicate(timeout=20)
                joining.close()
                self.assertEqual(p.returncode, 4)
            finally:
                provider.stop()


class Refusals(Case):
    def test_of_a_running_task_names_who_works_on_it(self):
        model = Model(0.5)
        provider = Provider(model)
        try:
            p = self.home.start("-c", self.home.write("team.json", self.team(provider)), "--json", "q")
            Lines(p.stdout).until('"type":"run_started"')
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn(str(p.pid), r.stderr)
            self.assertIn(f"it is under way: process {p.pid}", self.home.run("replay", "last").stderr)
            r = self.home.run("cancel", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(p.wait(10), 4)
            p.stdout.close(), p.stderr.close()
        finally:
            provider.stop()

    def test_of_a_literal_key_reads_the_file_again(self):
        key = "sk-literal-1234567890"
        model = Model(0.05)
        provider = Provider(model)
        try:
            team = self.team(provider)
            for a in team["agents"]:
                a["backend"]["api_key"] = key
            path = self.home.write("team.json", team)
            p = self.home.start("-c", path, "--json", "q")
            self.assertIn(b"task_opened", p.stdout.readline())  # it is stored by then
            self.killed(p, 0.5)
            for f in (self.home.path / "home").rglob("*"):
                if f.is_file() and f.suffix != ".env":
                    self.assertNotIn(key.encode(), f.read_bytes(), f)
            os.rename(path, path + ".moved")
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("cannot be opened", r.stderr)
            self.assertIn("agents[0].backend.api_key", r.stderr)
            self.assertIn("--config", r.stderr)
            without = json.loads(pathlib.Path(path + ".moved").read_text())
            del without["agents"][1]["backend"]["api_key"]
            r = self.home.run("resume", "last", "--config", self.home.write("without.json", without))
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("agents[1].backend.api_key ('m1')", r.stderr)
            self.assertNotIn("agents[0]", r.stderr)
            r = self.home.run("show", "last")
            self.assertRegex(r.stdout, r"go on +conclave resume \S+")
            self.assertIn("  cut off  ", self.home.run("list").stdout)
            self.assertIn("it was cut off: conclave resume", self.home.run("replay", "last").stderr)
            r = self.home.run("resume", "last", "--config", path + ".moved")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertTrue(all(q["headers"].get("authorization") == "Bearer " + key for q in provider.requests))
        finally:
            provider.stop()

    def test_of_a_literal_key_that_is_for_another_host_now_sends_it_nowhere(self):
        keys = ["sk-literal-of-the-first", "sk-literal-of-the-second", "sk-literal-of-the-third"]
        first, second, third = Provider(Model(1)), Provider(Model(1)), Provider(Model(1))
        try:
            team = self.team(first, agents=1)
            backend = {k: v for k, v in team["agents"][0]["backend"].items() if k != "mcp_servers"}

            def of(provider, key, **more):
                return {**backend, "base_url": provider.url + "/v1", "api_key": key, **more}

            def file(own, *failover):
                return self.home.write("team.json", {**team, "agents": [{**team["agents"][0], "backend": own, "failover": list(failover)}]})

            p = self.home.start("-c", file(of(first, keys[0]), of(second, keys[1]), of(third, keys[2])), "--json", "q")
            self.assertIn(b"task_opened", p.stdout.readline())
            self.killed(p, 0.5)
            for provider in (first, second, third):
                provider.requests.clear()
            for path, own, *failover in [("backend", of(second, keys[1]), of(second, keys[1]), of(third, keys[2])),
                                         ("backend", of(first, keys[0], type="openai"), of(second, keys[1]), of(third, keys[2])),
                                         ("failover[0]", of(first, keys[0]), of(third, keys[2]), of(second, keys[1]))]:
                file(own, *failover)
                r = self.home.run("resume", "last")
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn(f"agents[0].{path}.api_key ('m0') for type chatcompletion, http://127.0.0.1:", r.stderr)
                self.assertIn("--config", r.stderr)
                self.assertNotIn("sk-literal", r.stderr)
                self.assertEqual([first.requests, second.requests, third.requests], [[], [], []])
            file(of(first, keys[0]), of(second, keys[1]), of(third, keys[2]))
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual({q["headers"].get("authorization") for q in first.requests}, {"Bearer " + keys[0]})
        finally:
            first.stop(), second.stop(), third.stop()

    def test_of_a_team_from_standard_input_names_the_key_and_no_file(self):
        key = "sk-literal-1234567890"
        provider = Provider(Model(0.05))
        try:
            team = self.team(provider, agents=1)
            team["agents"][0]["backend"]["api_key"] = key
            path = self.home.write("team.json", team)
            with open(path) as given:
                p = subprocess.Popen([str(BIN), "-c", "-", "--json", "q"], cwd=self.home.path, env=self.home.env, stdin=given,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            Lines(p.stdout).until('"call_started"')
            p.kill()
            p.communicate()
            r = self.home.run("resume", "last")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("agents[0].backend.api_key ('m0')", r.stderr)
            self.assertIn("standard input", r.stderr)
            self.assertIn("--config", r.stderr)
            self.assertNotIn("/-", r.stderr)
            without = json.loads(json.dumps(team))
            del without["agents"][0]["backend"]["api_key"]
            r = self.home.run("resume", "last", "--config", "-", stdin=json.dumps(without))
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("agents[0].backend.api_key ('m0')", r.stderr)
            r = self.home.run("resume", "last", "--config", "-", stdin=json.dumps(team))
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual({q["headers"].get("authorization") for q in provider.requests}, {"Bearer " + key})
        finally:
            provider.stop()

    def test_of_an_answered_task_costs_nothing(self):
        model = Model(0.0)
        provider = Provider(model)
        try:
            path = self.home.write("team.json", self.team(provider, agents=1))
            self.assertEqual(self.home.run("-c", path, "q").returncode, 0)
            calls = len(model.asked)
            r = self.home.run("resume")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("the final answer", r.stdout)
            j = self.home.run("resume", "--json")
            self.assertEqual([e["text"] + "\n" for e in events_of(j.stdout) if e["type"] == "final_answer"], [r.stdout])
            self.assertEqual(len(model.asked), calls)
        finally:
            provider.stop()

    def test_of_a_cancelled_task_begins_with_its_answers(self):
        model = Model(0.05)
        provider = Provider(model)
        try:
            path = self.home.write("team.json", self.team(provider))
            p = self.home.start("-c", path, "--json", "q")
            Lines(p.stdout).until('"type":"new_answer"')
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=10)
            self.assertEqual(p.returncode, 4)
            r = self.home.run("resume", "last", "--json")
            self.assertEqual(r.returncode, 0, r.stderr)
            events = events_of(r.stdout)
            self.assertEqual(events[0]["type"], "task_opened")
            self.assertTrue(events[0]["detail"]["answers"])
            self.assertEqual(next(e for e in events if e["type"] == "round_started")["round"], 1)
        finally:
            provider.stop()


class Cancelled(Case):
    def test_a_task_whose_process_is_killed_meanwhile_has_not_ended(self):
        async def never(provider, request, reply):
            await asyncio.sleep(1000)

        provider = Provider(never)
        asking = None
        try:
            # One agent: behind its call nothing is written, so the store is not stopped with the lock in its hand.
            p = self.home.start("-c", self.home.write("team.json", self.team(provider, agents=1)), "--json", "q")
            Lines(p.stdout).until('"call_started"')
            p.send_signal(signal.SIGSTOP)
            asking = self.home.start("cancel", "last")
            with sqlite3.connect(self.home.path / "home" / "tasks.db") as db:
                deadline = time.monotonic() + 30
                while db.execute("SELECT count(*) FROM cancels").fetchone() == (0,):
                    self.assertLess(time.monotonic(), deadline, "nobody asked")
                    time.sleep(0.01)  # for a row: nobody tells of it
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            out, err = asking.communicate(timeout=30)
            self.assertEqual((asking.returncode, out), (2, b""), err)
            self.assertRegex(err.decode(), r"task (\S+) was cut off: its process is gone, and the task has not ended; "
                                           r"go on with it: conclave resume \1, or delete it: conclave rm \1\n")
            self.assertIn("cut off", self.home.run("list").stdout)
            task = err.decode().split()[2]
            self.assertEqual(self.home.run("rm", task).returncode, 0)
        finally:
            provider.stop()
            if asking is not None and asking.poll() is None:
                asking.kill()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
