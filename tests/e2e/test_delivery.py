# SPDX-License-Identifier: Apache-2.0
"""What stays as it is when files of a task are written into folders of the user's, and what is told of it. Scripted models, real files."""

import shutil
import sqlite3
import subprocess
import sys
import unittest

from support import *
from test_workspace import CMD, FS, call, step, team, tree


class Delivery(unittest.TestCase):
    def ran(self, home, config, *more, code=0):
        r = home.run("--config", home.write("team.json", config), "-q", *more, "make it")
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r

    def folder(self, home, name="project", **files):
        p = home.path / name
        p.mkdir()
        for path, text in files.items():
            (p / path).parent.mkdir(parents=True, exist_ok=True)
            (p / path).write_text(text)
        return p

    def test_names_that_are_run_or_secret_are_not_in_an_output_dir(self):
        with Home() as home:
            hostile = "mkdir -p .git/hooks .ssh d; echo hook > .git/hooks/post-checkout; echo K=1 > .env; echo k > .ssh/authorized_keys; echo K > d/.envrc; echo site > index.html"
            config = team([], first=[step(call(CMD + "execute_command", command=hostile))])
            out = home.path / "out"
            r = self.ran(home, config, "--apply", "no", "--output-dir", str(out) + "/")
            self.assertEqual(tree(out).keys(), {"index.html", "d"}, r.stderr)
            self.assertIn(f"1 file of the answer: {out}\n", r.stderr)
            for name in (".git", ".env", ".ssh", "d/.envrc"):
                self.assertIn(f"  left out: {name}: ", r.stderr)

    def test_a_folder_to_be_read_stays_so_in_a_folder_that_may_be_changed(self):
        for git in (False, True):
            with self.subTest(git=git), Home() as home:
                project = self.folder(home, **{"sub/a": "a\n", "conf[1]": "c\n", "z": "z\n", "other/sub/a": "a\n"})
                if git:
                    subprocess.run("git init -q . && git add . && git -c user.name=A -c user.email=a@b.c commit -qm 1", shell=True, check=True,
                                   cwd=project, env=home.env)
                copy = "target1" if git else "../target1"
                edits = [step(call(FS + "read_text_file", path=f"{copy}/{f}")) for f in ("sub/a", "conf[1]", "z", "other/sub/a")]
                edits += [step(*[call(FS + "write_file", path=f"{copy}/{f}", content="new\n") for f in ("sub/a", "conf[1]", "z", "other/sub/a")]),
                          step(call(CMD + "execute_command", command=f"cd {copy}; echo hack > sub/a; echo hack > sub/new; rm -rf sub; ls"))]
                config = team(edits, project)
                config["orchestrator"]["context_paths"] += [{"path": str(project / f), "permission": "read"} for f in ("sub", "conf[1]")]
                self.ran(home, config, "--apply", "no")
                names = home.run("diff", "last", "--name-only").stdout
                self.assertEqual([x.split()[-1] for x in names.splitlines()[1:]], ["other/sub/a", "z"], names)
                applied = home.run("apply", "last")
                self.assertEqual(applied.returncode, 0, applied.stderr)
                self.assertEqual([(project / f).read_text() for f in ("sub/a", "conf[1]", "z", "other/sub/a")], ["a\n", "c\n", "new\n", "new\n"])

    def test_what_agents_made_and_is_no_part_of_the_changes_is_told(self):
        for git in (False, True):
            with self.subTest(git=git), Home() as home:
                project = self.folder(home, **{"a": "a\n", ".env": "K=1\n"})
                if git:
                    subprocess.run("git init -q . && git add a && git -c user.name=A -c user.email=a@b.c commit -qm 1", shell=True, check=True,
                                   cwd=project, env=home.env)
                command = "echo b > b; echo K= > .env.example; mkdir certs __pycache__; echo k > certs/server.pem; echo x > __pycache__/x; ln -s /etc/hosts out"
                config = team([step(call(CMD + "execute_command", command=f"cd {'target1' if git else '../target1'} && {command}"))], project)
                r = home.run("--config", home.write("team.json", config), "--apply", "no", "make it")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                told = [x for x in r.stderr.splitlines() if "not part of the changes of" in x]
                self.assertEqual(len(told), 1, r.stderr)
                for name in (".env.example (", "certs/server.pem (", "out ("):
                    self.assertIn(name, told[0])
                for name in ("__pycache__", ".git ", "more"):
                    self.assertNotIn(name, told[0])

    def test_protected_paths_hold_however_the_folder_is_named(self):
        with Home() as home:
            project = self.folder(home, **{"a.txt": "a\n", "LICENSE": "l\n", "sub/a": "a\n"})
            (home.path / "link").symlink_to("project")
            config = team([], first=[step(call(CMD + "execute_command", command="mkdir sub locked; echo no > keep.txt; echo no > locked/x; echo n > sub/a; echo n > n"))])
            config["orchestrator"]["context_paths"] = [{"path": str(project), "permission": "write", "protected_paths": ["keep.txt", "locked/", "/sub/a"]}]
            self.ran(home, config, "--apply", "no")
            for to in ("project", "link"):
                r = home.run("apply", "last", "--to", str(home.path / to))
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual((sorted(p.name for p in project.iterdir()), (project / "sub/a").read_text()), (["LICENSE", "a.txt", "n", "sub"], "a\n"), r.stdout)
                self.assertIn("left as it is: keep.txt: ", r.stdout)
                self.assertEqual(home.run("undo", "last").returncode, 0)
            for to, left in ((project / "sub", "a"), (home.path / "elsewhere", None)):
                to.mkdir(exist_ok=True)
                r = home.run("apply", "last", "--to", str(to), "--on-drift", "skip")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual((to / "keep.txt").exists(), left is None, r.stdout)

    def test_undo_goes_on_where_one_folder_is_gone(self):
        with Home() as home:
            project, other = self.folder(home, a="a\n"), self.folder(home, "other", a="a\n")
            edits = [step(call(FS + "read_text_file", path="../target1/a")), step(call(FS + "write_file", path="../target1/a", content="new\n"))]
            self.ran(home, team(edits, project), "--apply", "no")
            for more in ([], ["--to", str(other)]):
                self.assertEqual(home.run("apply", "last", *more).returncode, 0)
            shutil.rmtree(other)
            for wanted in (f"{project}: 0 paths added, 1 changed", ""):
                r = home.run("undo", "last")
                self.assertEqual((r.returncode, (project / "a").read_text()), (2, "a\n"), r.stdout + r.stderr)
                self.assertIn(wanted, r.stdout)
                self.assertIn(str(other), r.stderr)

    def test_what_was_written_is_told_where_a_later_folder_cannot_be(self):
        with Home() as home:
            one, two = self.folder(home, "one", a="a\n"), self.folder(home, "two", a="a\n")
            edits = [step(call(FS + "write_file", path="../target1/n", content="n\n"), call(FS + "write_file", path="../target2/n", content="n\n")),
                     step(call(CMD + "execute_command", command="true"))]
            config = team(edits, one)
            config["orchestrator"]["context_paths"].append({"path": str(two), "permission": "write"})
            self.ran(home, config, "--apply", "no")
            (two / "n").write_text("the user's own\n")
            r = home.run("apply", "last")
            self.assertEqual((r.returncode, (one / "n").read_text(), (two / "n").read_text()), (2, "n\n", "the user's own\n"), r.stderr)
            self.assertIn(f"{one}: 1 path added", r.stdout)
            self.assertIn("take it back: conclave undo", r.stdout)

    def test_yes_tells_what_was_written_where_a_later_folder_cannot_be(self):
        with Home() as home:
            one, two = self.folder(home, "one", a="a\n"), self.folder(home, "two", a="a\n")
            edits = [step(call(FS + "write_file", path="../target1/n", content="n\n"), call(FS + "write_file", path="../target2/n", content="n\n")),
                     step(call(CMD + "execute_command", command=f"until [ -e {two}/n ]; do sleep 0.02; done"))]
            config = team(edits, one)
            config["orchestrator"]["context_paths"].append({"path": str(two), "permission": "write"})
            p = home.start("--config", home.write("team.json", config), "--json", "--apply", "yes", "make it")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and "execute_command" in line)
            (two / "n").write_text("the user's own\n")
            said = p.communicate(timeout=60)[1]
            said = said if isinstance(said, str) else said.decode()
            self.assertEqual((p.returncode, (one / "n").read_text(), (two / "n").read_text()), (2, "n\n", "the user's own\n"), said)
            self.assertIn(f"{one}: 1 path added", said)
            self.assertIn("take it back: conclave undo", said)
            self.assertEqual(home.run("undo", "last").returncode, 0)
            self.assertFalse((one / "n").exists())

    def behind(self, home, task="last"):
        """What stands behind the end of a task: (type, label)."""
        events = events_of(home.run("show", task, "--json").stdout)
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        end = next(i for i, e in enumerate(events) if e["type"] == "task_ended")
        return [(e["type"], e["label"]) for e in events[end + 1:]]

    def changed(self, home):
        project = self.folder(home, a="a\n")
        edits = [step(call(FS + "read_text_file", path="../target1/a")), step(call(FS + "write_file", path="../target1/a", content="new\n"))]
        return project, team(edits, project)

    def test_a_json_run_that_writes_shows_it_behind_its_end(self):
        with Home() as home:
            project, config = self.changed(home)
            r = self.ran(home, config, "--apply", "yes", "--json")
            events = events_of(r.stdout)
            self.assertEqual([e["type"] for e in events[-2:]], ["task_ended", "changes_applied"])
            self.assertEqual((events[-1]["target"], events[-1]["number"]), (str(project), 1))
            self.assertEqual(events_of(home.run("show", "last", "--json").stdout), events)

    def test_a_log_that_cannot_be_written_is_a_notice_and_the_next_start_tells_it(self):
        with Home() as home:
            project, config = self.changed(home)
            self.ran(home, config, "--apply", "no")
            task = json.loads(home.run("list", "--json").stdout)["task"]
            db = sqlite3.connect(home.path / "home" / "tasks.db", isolation_level=None)
            db.execute("BEGIN IMMEDIATE")
            r = home.run("apply", task)
            self.assertEqual((r.returncode, (project / "a").read_text()), (0, "new\n"), r.stderr)
            notices = [x for x in r.stderr.splitlines() if "notice: " in x]
            self.assertEqual(len(notices), 1, r.stderr)
            self.assertIn("what was written stands", notices[0])
            self.assertIn("the next run, apply or undo adds it", notices[0])
            self.assertIn("Applied", home.run("show", task).stdout)
            db.execute("ROLLBACK")
            self.assertEqual(self.behind(home, task), [])
            self.ran(home, config, "--apply", "no")
            self.assertEqual([x for x, _ in self.behind(home, task)], ["changes_applied"])
            self.assertEqual(self.behind(home), [])

    def test_a_kill_between_the_journal_and_the_log_is_made_good(self):
        with Home() as home:
            project, config = self.changed(home)
            self.ran(home, config, "--apply", "no")
            for what, mark in (("apply", "done"), ("undo", "undo/done")):
                db = sqlite3.connect(home.path / "home" / "tasks.db", isolation_level=None)
                db.execute("BEGIN IMMEDIATE")  # so the log is not written before the kill
                p = home.start(what, "last")
                deadline = time.monotonic() + 60
                while not list((home.path / "home" / "deliveries").glob(f"*/*/{mark}")):
                    self.assertLess(time.monotonic(), deadline, f"{what} wrote nothing")
                    self.assertIsNone(p.poll(), "it ended before it was killed")
                    time.sleep(0.005)
                p.kill()
                p.communicate(timeout=60)
                db.execute("ROLLBACK")
                db.close()
            self.assertEqual((self.behind(home), (project / "a").read_text()), ([], "a\n"))
            r = home.run("undo", "last")
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            (_, one), (_, two) = told = self.behind(home)
            self.assertEqual(told, [("changes_applied", one), ("changes_undone", one)])

    def test_applies_and_undos_at_once_are_each_told_once(self):
        with Home() as home:
            project, config = self.changed(home)
            self.ran(home, config, "--apply", "no")
            for _ in range(3):
                crowd = [home.start(what, "last") for what in ("apply", "undo", "apply", "undo")]
                for p in crowd:
                    said = p.communicate(timeout=60)[1].decode()
                    self.assertNotIn("what was written stands", said)  # each waited for the other's log
                    self.assertNotRegex(said, r"task \S+ is under way")
                self.assertEqual(home.run("undo", "last").returncode, 0)
                journal = {p.name: (p / "undo" / "done").exists() for p in next((home.path / "home" / "deliveries").iterdir()).iterdir()
                           if (p / "done").exists()}
                told = self.behind(home)
                self.assertEqual(len(told), len(set(told)), told)
                self.assertEqual(set(told), {("changes_applied", x) for x in journal} | {("changes_undone", x) for x, undone in journal.items() if undone})
            self.assertEqual((project / "a").read_text(), "a\n")


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
