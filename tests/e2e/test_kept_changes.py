# SPDX-License-Identifier: Apache-2.0
"""What agents change of a folder before anybody presents: it goes with the answer, and the answer proposes it. Scripted models, real files, real git."""

import unittest

from support import *
from test_workspace import CMD, FS, call, results, select_wait, step, team, tree


class KeptChanges(unittest.TestCase):
    def ran(self, home, config, *more):
        r = home.run("--config", home.write("team.json", config), "--apply", "no", *more, "make it")
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
