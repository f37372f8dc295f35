# SPDX-License-Identifier: Apache-2.0
"""What agents change of a folder before anybody presents: it goes with the answer, and the answer proposes it. Scripted models, real files, real git."""

import subprocess
import unittest

from support import *
from test_workspace import CMD, FS, call, results, select_wait, step, team, tree


class KeptChanges(unittest.TestCase):
    def ran(self, home, config, *more):
        r = home.run("--config", home.write("team.json", config), *(more or ("--apply", "no")), "make it")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return r

    def folder(self, home):
        p = home.path / "project"
        (p / "locked").mkdir(parents=True)
        for name, text in {"a.txt": "a\n", "keep.txt": "keep\n", "locked/x": "x\n", ".env": "K=canary-4711\n"}.items():
            (p / name).write_text(text)
        return p

    def from_start(self, config):
        for a in config["agents"]:
            a["backend"]["context_write_access_enabled"] = True
        return config

    def names(self, home):
        return home.run("diff", "last", "--name-only").stdout.splitlines()

    def test_a_copy_that_is_changed_from_the_start_goes_with_the_answer_and_is_what_the_presenter_goes_on_from(self):
        with Home() as home:
            project = self.folder(home)
            before = tree(project)
            config = self.from_start(team(
                [step(call(CMD + "execute_command", command="cat target1/early.txt && echo late > target1/late.txt && rm target1/a.txt"))], project,
                first=[step(call(FS + "write_file", path="target1/early.txt", content="early\n"),
                            call(FS + "write_file", path="target1/keep.txt", content="no\n"),
                            call(FS + "write_file", path=str(project / "early.txt"), content="no\n"))]))
            config["agents"][1]["backend"]["steps"] = [
                step(call(CMD + "execute_command", command="ls target1")), {"answer": "nothing to add"},
                step(call(FS + "read_text_file", path="../view/agent1/target1/early.txt")), {"vote": "agent1"}]
            self.ran(home, config)
            got, bodies = results(home)
            said = [json.loads(text)["stdout"] for _, tool, _, text in got if tool == "execute_command"]
            self.assertEqual(said, ["a.txt\nkeep.txt\nlocked\n", "early\n"], got)
            self.assertIn(("bob", "read_text_file", "finished", "early\n"), got)
            self.assertEqual(sorted(status for *_, status, _ in got if status.startswith("denied")), ["denied:E_PROTECTED", "denied:E_READONLY"], got)
            self.assertIn("/work/target1/early.txt instead", next(text for *_, text in got if "E_READONLY" in text))
            self.assertIn(b"Target Path, make changes here: it is your own copy of " + bytes(project), bodies)
            self.assertNotIn(b"canary-4711", bodies)
            self.assertEqual(self.names(home)[1:], ["D  a.txt", "A  early.txt", "A  late.txt"])
            self.assertEqual(tree(project), before)
            self.assertEqual(home.run("apply", "last").returncode, 0)
            self.assertEqual([(project / x).exists() for x in ("a.txt", "early.txt", "late.txt")], [False, True, True])
            self.assertEqual(home.run("undo", "last").returncode, 0)
            self.assertEqual(tree(project), before)

    def test_each_run_goes_on_from_the_copy_of_the_one_before(self):
        with Home() as home:
            look = step(call(CMD + "execute_command", command="cat target1/* 2>/dev/null; echo more >> target1/early.txt"))
            config = self.from_start(team([], self.folder(home)))
            config["agents"][0]["backend"]["steps"] = [look, {"answer": "one"}, look, {"answer": "two"}, look, {"vote": "agent1"}, look, {"text": "done"}]
            config["agents"][1]["backend"]["steps"] = [{"answer": "nothing to add"}, {"vote": "agent1"}, {"vote": "agent1"}]
            self.ran(home, config)
            said = [json.loads(text)["stdout"] for _, tool, _, text in results(home)[0] if tool == "execute_command"]
            # What was made while judging is dropped.
            self.assertEqual(said, ["a\nkeep\n", "a\nmore\nkeep\n", "a\nmore\nmore\nkeep\n", "a\nmore\nmore\nkeep\n"])
            self.assertIn("A  early.txt", self.names(home))

    def test_a_file_alone_can_be_changed_from_the_start(self):
        with Home() as home:
            project = self.folder(home)
            config = self.from_start(team([], project / "a.txt", first=[step(call(CMD + "execute_command", command="ls target1; echo new > target1/a.txt; echo x > target1/beside"))]))
            self.ran(home, config)
            self.assertEqual(json.loads(results(home)[0][0][3])["stdout"], "a.txt\n")
            self.assertEqual(self.names(home), [f"folder {project}", "M  a.txt"])

    def without_a_presenter(self, config, how):
        """The team with `winner_reuse`, or with a winner whose presentation fails."""
        ann = config["agents"][0]["backend"]["steps"]
        del ann[-1]
        if how == "reuse":
            config["orchestrator"]["final_answer_strategy"] = "winner_reuse"
        else:
            ann += [step(call(CMD + "execute_command", command="echo no > $(ls -d target1 ../target1 2>/dev/null)/of_the_presentation")),
                    {"error": "unavailable", "repeat": 9, "optional": True}]
        return config

    def test_a_stored_answer_proposes_what_it_changed_in_a_repository(self):
        for how in ("reuse", "fallback"):
            with self.subTest(how=how), Home() as home:
                project = self.folder(home)
                git = lambda command: subprocess.run("git -c user.name=A -c user.email=a@b.c " + command, shell=True, check=True, cwd=project, env=home.env,
                                                     capture_output=True, text=True).stdout
                git("init -q -b main . && git add a.txt keep.txt locked && git -c user.name=A -c user.email=a@b.c commit -qm first")
                before = tree(project)
                change = "cd target1 && echo two >> a.txt && echo new > new.txt && mkdir __pycache__ && echo K > .env.local && git add -A && git -c user.name=B -c user.email=b@c.d commit -qm x"
                config = self.without_a_presenter(team([], project, first=[step(call(CMD + "execute_command", command=change))]), how)
                config["agents"][1]["backend"]["steps"][:0] = [step(call(CMD + "execute_command", command="echo bob > target1/bob.txt"))]
                r = self.ran(home, config)
                self.assertEqual(self.names(home), [f"folder {project}", "M  a.txt", "A  new.txt"], r.stderr)
                self.assertIn("write them: conclave apply", r.stderr)
                self.assertNotIn("--to DIR", r.stderr)
                self.assertIn(f"not part of the changes of {project}: .env.local", r.stderr)
                shown = home.run("show", "last", "--files").stdout  # the copies that are as they were are nobody's work
                self.assertIn("agent1.1: 2 files, 10 bytes, and 2 of your folders as they were, delivered\n", shown)
                self.assertIn("agent2.1: 1 file, 4 bytes, and 3 of your folders as they were\n", shown)
                kept = next((home.path / "home" / "logs").glob("*/status.json"))
                self.assertEqual({k: (x["files"], x["bytes"]) for k, x in json.loads(kept.read_text())["results"]["files"].items()},
                                 {"agent1.1": (2, 10), "agent2.1": (1, 4)})
                self.assertEqual(home.run("apply", "last").returncode, 0)
                self.assertEqual(((project / "a.txt").read_text(), (project / "new.txt").read_text()), ("a\ntwo\n", "new\n"))
                self.assertEqual(home.run("undo", "last").returncode, 0)
                self.assertEqual(tree(project), before)
                made = home.run("apply", "last", "--branch", "agents/one")
                self.assertEqual(made.returncode, 0, made.stderr)
                self.assertEqual(git("diff --name-status main agents/one").split(), ["M", "a.txt", "A", "new.txt"])

    def test_a_stored_answer_proposes_what_it_changed_in_a_folder(self):
        for how in ("reuse", "fallback"):
            with self.subTest(how=how), Home() as home:
                project = self.folder(home)
                config = self.without_a_presenter(team([], project, first=[step(call(CMD + "execute_command", command="echo early > target1/early.txt"))]), how)
                if how == "fallback":
                    self.from_start(config)  # with winner_reuse it is so by itself: nobody comes who could change it later
                self.ran(home, config, "--apply", "yes")
                self.assertEqual(self.names(home), [f"folder {project}", "A  early.txt"])
                self.assertEqual((project / "early.txt").read_text(), "early\n")
                self.assertEqual(home.run("undo", "last").returncode, 0)
                self.assertFalse((project / "early.txt").exists())

    def test_a_copy_that_is_gone_proposes_nothing(self):
        with Home() as home:
            config = self.without_a_presenter(team([], self.folder(home), first=[
                step(call(CMD + "execute_command", command="rm -rf target1; ln -s /etc target1"))]), "reuse")
            del config["orchestrator"]["context_paths"][0]["protected_paths"]  # they could not be removed
            r = self.ran(home, config)
            self.assertNotIn("changes", r.stderr)
            self.assertNotIn("folder", self.names(home)[0])

    def test_a_team_that_was_cut_off_while_its_winner_presents_proposes_the_stored_answer(self):
        with Home() as home:
            project = self.folder(home)
            config = self.from_start(self.without_a_presenter(team([], project, first=[
                step(call(CMD + "execute_command", command="echo early > target1/early.txt"))]), "fallback"))
            config["agents"][0]["backend"]["steps"][3] = step(call(CMD + "execute_command", command="touch ready; echo no > target1/no; sleep 20"))
            p = home.start("--config", home.write("team.json", config), "--apply", "no", "make it")
            deadline = time.monotonic() + 30
            while not list((home.path / "home" / "work").glob("*/*/work/ready")):
                self.assertLess(time.monotonic(), deadline, "the command does not begin")
                select_wait()
            p.kill()
            p.wait()
            p.stdout.close(), p.stderr.close()
            r = home.run("resume", "last")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(self.names(home), [f"folder {project}", "A  early.txt"], r.stderr)

    def test_a_run_that_was_cut_off_goes_on_in_its_copy(self):
        with Home() as home:
            config = self.from_start(team([], self.folder(home), first=[
                step(call(CMD + "execute_command", command="echo kept > target1/kept.txt")),
                step(call(CMD + "execute_command", command="touch ready; sleep 20")), step(call(CMD + "execute_command", command="cat target1/kept.txt"))]))
            p = home.start("--config", home.write("team.json", config), "--apply", "no", "make it")
            deadline = time.monotonic() + 30
            while not list((home.path / "home" / "work").glob("*/*/work/ready")):
                self.assertLess(time.monotonic(), deadline, "the command does not begin")
                select_wait()
            p.kill()
            p.wait()
            p.stdout.close(), p.stderr.close()
            r = home.run("resume", "last", "-q")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(json.loads(results(home)[0][-1][3])["stdout"], "kept\n")
            self.assertEqual(self.names(home)[1:], ["A  kept.txt"])


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
