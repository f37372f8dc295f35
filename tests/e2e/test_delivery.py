# SPDX-License-Identifier: Apache-2.0
"""What stays as it is when files of a task are written into folders of the user's, and what is told of it. Scripted models, real files."""

import os
import pty
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import unittest

from support import *
from sandbox_support import NOBODY
from test_workspace import CMD, FS, Runs, call, step, team, tree


class Delivery(Runs, unittest.TestCase):
    def folder(self, home, name="project", **files):
        p = home.path / name
        p.mkdir()
        for path, text in files.items():
            (p / path).parent.mkdir(parents=True, exist_ok=True)
            (p / path).write_text(text)
        return p

    def test_modes_and_kinds_that_an_agent_changes_delete_nothing(self):
        as_user = NOBODY if os.geteuid() == 0 else []
        for git in (False, True):
            with self.subTest(git=git), Home() as home:
                project = self.folder(home, **{"a.txt": "a\n", "fifo": "f\n", "out": "o\n", "d/b": "b\n", "d/e/c": "c\n"})
                if git:
                    subprocess.run("git init -q . && git add . && git -c user.name=A -c user.email=a@b.c commit -qm 1", shell=True, check=True,
                                   cwd=project, env=home.env)
                command = f"cd {'target1' if git else '../target1'}; chmod 0 a.txt d/e; chmod 0 d; rm fifo out; mkfifo fifo; ln -s /etc out; echo n > new"
                config = home.write("team.json", team([step(call(CMD + "execute_command", command=command))], project,
                                                      first=[step(call(CMD + "execute_command", command="echo x > f; chmod 0 f; mkfifo p"))]))
                subprocess.run(["chmod", "755", str(home.path)], check=True)
                if as_user:
                    subprocess.run(["chown", "-hR", "65534:65534", str(home.path)], check=True)
                run = lambda *args: subprocess.run([*as_user, str(BIN), *args], cwd=home.path, env=home.env, capture_output=True, text=True,
                                                   stdin=subprocess.DEVNULL, timeout=120)
                before = tree(project)
                r = run("--config", config, "--apply", "yes", "make it")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("not part of the files of the answer: p (a FIFO)", r.stderr)
                self.assertRegex(r.stderr, "not part of the changes of .*fifo \\(a FIFO\\), out \\(a link to an absolute path\\)")
                self.assertNotIn("not readable", r.stderr)
                after = tree(project)
                self.assertEqual({p: x for p, x in after.items() if p != "new"}, before)
                self.assertIn("new", after)
                self.assertIn("  f  ", run("show", "last", "--files").stdout.replace("\n", "  \n"))
                if as_user:
                    subprocess.run(["chown", "-hR", "0:0", str(home.path)], check=True)

    def test_names_that_are_run_or_secret_are_not_in_an_output_dir(self):
        with Home() as home:
            hostile = "mkdir -p .git/hooks .ssh d bare; echo x > bare/HEAD; echo hook > .git/hooks/post-checkout; echo K=1 > .env; echo k > .ssh/authorized_keys; echo K > d/.envrc; echo site > index.html"
            config = team([], first=[step(call(CMD + "execute_command", command=hostile))])
            out = home.path / "out"
            r = self.ran(home, config, "--apply", "no", "--output-dir", str(out) + "/")
            self.assertEqual(tree(out).keys(), {"index.html", "d", "bare"}, r.stderr)
            self.assertIn(f"1 file of the answer: {out}\n", r.stderr)
            for name in (".git", ".env", ".ssh", "d/.envrc", "bare/HEAD"):
                self.assertIn(f"  left out: {name}: ", r.stderr)

    def test_no_folder_becomes_a_repository_and_none_that_is_one_is_written(self):
        make = ("mkdir -p {0}refs/heads {0}objects; echo 'ref: refs/heads/main' > {0}HEAD; "
                "printf '[core]\\nrepositoryformatversion = 0\\nbare = false\\nworktree = .\\nfsmonitor = \"touch /tmp/$$; false\"\\n' > {0}config; "
                "echo k > {0}refs/heads/k; echo k > {0}objects/k; mkdir -p fixture.git/hooks; echo run > fixture.git/hooks/post-receive; echo f > f")
        for git in (False, True):
            with self.subTest(git=git), Home() as home:
                project = self.folder(home, a="a\n")
                shell = lambda c: subprocess.run(c, shell=True, check=True, cwd=project, env=home.env, capture_output=True, text=True).stdout
                if git:
                    shell("git init -q . && git add . && git -c user.name=A -c user.email=a@b.c commit -qm 1")
                shell("git init -q --bare fixture.git")
                before = tree(project / "fixture.git")
                command = f"cd {'target1' if git else '../target1'} && {make.format('')}; mkdir d; {make.format('d/').split(' mkdir -p fixture')[0]}"
                config = team([step(call(CMD + "execute_command", command=command))], project)
                asked = [project, project / "a", *(project / name for name in ("HEAD", "d/HEAD", "fixture.git/hooks/post-receive"))]
                said = home.run("paths", "--config", home.write("p.json", config), *map(str, asked)).stdout.splitlines()[1:6]
                self.assertEqual([x.endswith("which apply writes back") for x in said], [True, True, False, False, False], said)
                self.assertRegex(said[2], "; apply writes it: no .a folder with HEAD, objects and refs is a git repository, and ")
                for a in config["agents"]:
                    a["backend"]["write_mode"] = "legacy"
                said = home.run("paths", "--config", home.write("p.json", config), *map(str, asked)).stdout.splitlines()[1:6]
                self.assertEqual([x.endswith("who presents may write it, in place") for x in said], [True, True, False, False, False], said)
                self.assertRegex(said[2], "; in the presentation: no .a folder with HEAD, objects and refs is a git repository, and ")
                for a in config["agents"]:
                    del a["backend"]["write_mode"]
                alone = home.write("p.json", team([], project / "a"))
                self.assertIn("which apply writes back\n", home.run("paths", "--config", alone, str(project / "a")).stdout)
                r = self.ran(home, config, "--apply", "yes")
                for name in ("HEAD", "d/HEAD", "fixture.git/hooks/post-receive"):
                    self.assertIn(f"left as it is: {name}: ", r.stderr)
                self.assertEqual((tree(project / "fixture.git"), (project / "f").read_text()), (before, "f\n"))
                self.assertFalse((project / "HEAD").exists() or (project / "d/HEAD").exists())
                asked = subprocess.run(["git", "rev-parse", "--absolute-git-dir"], cwd=project / "d", env=home.env, capture_output=True, text=True)
                self.assertEqual(asked.stdout.strip(), str(project / ".git") if git else "")
                self.assertEqual(home.run("undo", "last").returncode, 0)
                if git:
                    r = home.run("apply", "last", "--branch", "theirs")
                    self.assertEqual(r.returncode, 0, r.stderr)
                    names = shell("git ls-tree -r --name-only theirs").split()
                    self.assertIn("f", names)
                    self.assertFalse([n for n in names if n.endswith("HEAD") or n.startswith("fixture.git")], names)
                (home.path / "other").mkdir()
                r = home.run("apply", "last", "--to", str(home.path / "other"), "--on-drift", "skip")
                self.assertFalse((home.path / "other/HEAD").exists(), r.stdout + r.stderr)

    def test_no_output_dir_where_git_or_conclave_keep_their_files(self):
        with Home() as home:
            config = team([], first=[step(call(CMD + "execute_command", command="echo '#!/bin/sh' > post-receive; chmod +x post-receive"))])
            for make in ("git init -q --bare bare && rm -r bare/hooks && mkdir bare/hooks", "git init -q tree && mkdir tree/.git/new"):
                subprocess.run(make, shell=True, check=True, cwd=home.path, env=home.env)
            before = tree(home.path / "bare"), tree(home.path / "tree")
            self.assertIn("has too long a name: at most 248 bytes", self.ran(home, config, "--output-dir", "n" * 252, code=1).stderr)
            for where in ("bare/hooks", "bare/hooks/new", "tree/.git/new", "home/out"):
                r = self.ran(home, config, "--output-dir", where, code=1)
                self.assertIn("--output-dir", r.stderr)
                self.assertRegex(r.stderr, "; name (another folder|the folder that holds .git)")
            self.ran(home, config, "--apply", "no")
            for to in ("bare/hooks", "tree/.git/new", "."):
                r = home.run("apply", "last", "--to", str(home.path / to))
                self.assertEqual(r.returncode, 2, r.stdout + r.stderr)
            self.assertEqual((tree(home.path / "bare"), tree(home.path / "tree")), before)
            mine = home.path / "mine"
            mine.mkdir(mode=0o700)
            self.ran(home, config, "--output-dir", "mine")
            self.assertEqual((mine.stat().st_mode & 0o7777, (mine / "post-receive").exists()), (0o700, True))

    @unittest.skipIf(os.geteuid() != 0, "skipped: another user's folders take root")
    def test_an_output_dir_is_refused_at_the_start_where_nothing_can_be_made(self):
        with Home() as home:
            config = home.write("team.json", team([], first=[step(call(FS + "write_file", path="f", content="f"))]))
            for name, mode in (("closed", 0o555), ("sticky", 0o1777)):
                (home.path / name / "empty").mkdir(parents=True)
                (home.path / name / "empty").chmod(0o777)
                (home.path / name).chmod(mode)
            (home.path / "mounted").mkdir()
            subprocess.run(["chown", "-hR", "65534:65534", str(home.path / "home"), str(home.path / "closed")], check=True)
            subprocess.run(["chmod", "755", str(home.path)], check=True)
            mount = subprocess.run(["mount", "-t", "tmpfs", "none", str(home.path / "mounted")], capture_output=True, text=True)
            try:
                cases = [(NOBODY, "closed/new", "nothing can be made in "), (NOBODY, "closed/empty", "nothing can be made in "),
                         (NOBODY, "sticky/empty", "is another user's, in a folder where only its owner may replace it")]
                if mount.returncode == 0:
                    cases.append(([], "mounted", "is a mount point"))
                else:
                    print("skipped: no mount here:", mount.stderr.strip())
                for user, out, why in cases:
                    r = subprocess.run([*user, str(BIN), "--config", config, "--output-dir", str(home.path / out), "make it"], cwd=home.path, env=home.env,
                                       capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
                    self.assertEqual((r.returncode, r.stdout), (1, ""), out)
                    self.assertIn(why, r.stderr)
            finally:
                subprocess.run(["umount", "-l", str(home.path / "mounted")], capture_output=True)
                subprocess.run(["chown", "-hR", "0:0", str(home.path)], check=True)

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
                # Whoever looks later is told, too: nothing of it is kept anywhere.
                later = [home.run(*x) for x in (("diff", "last"), ("show", "last"), ("apply", "last"), ("diff", "last", "--name-only"))]
                for said in (told[0], *(x.stdout for x in later[:3]), later[3].stderr):
                    self.assertRegex(said, r"\.env\.example \(.*certs/server\.pem \(.*out \(.*what programs make again \(__pycache__\)")
                self.assertNotRegex(told[0], r"\.git |more")
                self.assertEqual(later[3].stdout.splitlines()[1:], ["A  b", "A  certs/"])

    def test_what_takes_the_place_of_something_else_is_shown_before_it_is_approved(self):
        with Home() as home:
            project = self.folder(home, **{"sub/c": "c\n", "a.txt": "old text\n"})
            change = "cd ../target1; rm -r sub; echo HIDDEN-1 > sub; rm a.txt; mkdir a.txt; echo inner > a.txt/in"
            config = home.write("team.json", team([step(call(CMD + "execute_command", command=change))], project))
            said = self.on_terminal(home, ["--config", config, "make it"], ["d\n", "n\n"])
            names, text = said.split("Write this?")[:2]
            for piped in (home.run("diff", "last", "--name-only").stdout, names):
                self.assertEqual([x for x in piped.splitlines() if x[:3] in ("A  ", "M  ", "D  ")], ["M  a.txt/", "A  a.txt/in", "M  sub", "D  sub/c"], said)
            self.assertIn(f"changes 4 files in {project}", names)
            for piped in (home.run("diff", "last").stdout, text):
                self.assertEqual([x for x in piped.splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")],
                                 ["-old text", "+inner", "+HIDDEN-1", "-c"], piped)

    def on_terminal(self, home, arguments, answers, code=0):
        """Runs it on a terminal, types one of `answers` at each question (or sends it, a signal), and returns what is on the screen."""
        master, slave = pty.openpty()
        p = subprocess.Popen(["setsid", "-c", str(BIN), *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=home.path,
                             env={**home.env, "TERM": "dumb"})
        os.close(slave)
        said, seen = "", 0
        deadline = time.monotonic() + 60
        while True:
            self.assertLess(time.monotonic(), deadline, said)
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                more = os.read(master, 65536)
            except OSError:
                more = b""
            if not more:
                break
            said += more.decode(errors="replace").replace("\r", "")
            if answers and said.find("[d]iff ", seen) >= 0:
                seen = len(said)
                answer = answers.pop(0)
                p.send_signal(answer) if isinstance(answer, signal.Signals) else os.write(master, answer.encode())
        os.close(master)
        self.assertEqual(p.wait(), code, said)
        return said

    def test_a_signal_at_the_question_means_no(self):
        with Home() as home:
            project = self.folder(home, a="a\n")
            write = step(call(CMD + "execute_command", command="echo b >> ../target1/a"))
            config = home.write("team.json", team([write], project))
            for answers, code in ((["\x03"], 4), ([signal.SIGINT], 4), ([signal.SIGTERM], 4), (["d\n", "\x03"], 4), (["\x04"], 0), (["n\n"], 0)):
                with self.subTest(answers=answers):
                    said = self.on_terminal(home, ["--config", config, "--apply", "ask", "make it"], list(answers), code)
                    self.assertIn("nothing was written into your folders. See the changes: conclave diff", said)
                    self.assertEqual((project / "a").read_text(), "a\n")
            self.on_terminal(home, ["--config", config, "--apply", "ask", "make it"], ["d\n", "y\n"])
            self.assertEqual((project / "a").read_text(), "a\nb\n")

    def test_names_are_shown_escaped_and_no_two_look_the_same(self):
        names = {"a\nb": "a\\nb", "a?b": "a?b", "a\\nb": "a\\\\nb", "e\x1b[31m": "e\\u{1b}[31m", "rtl\u202etxt": "rtl\\u{202e}txt",
                 "z\u200bw": "z\\u{200b}w", "zw": "zw", "tag\U000e0041": "tag\\u{e0041}", "no\xa0break": "no\\u{a0}break", "end ": "end\\u{20}",
                 "h\xe4user": "h\xe4user", "r\udcff": "r\\xff"}
        make = ";".join(f"open({os.fsencode(n)!r}, 'w')" for n in names)
        with Home() as home:
            project = self.folder(home, a="a\n")
            config = team([step(call(FS + "write_file", path="make.py", content=f"import os;os.chdir('../target1');{make}\n")),
                           step(call(CMD + "execute_command", command="python3 make.py"))], project)
            r = self.ran(home, config, "--apply", "no")
            expected = sorted(names.values())
            listed = home.run("diff", "last", "--name-only").stdout.splitlines()[1:]
            self.assertEqual(sorted(x.removeprefix("A  ") for x in listed), expected, r.stderr)
            for command in ("apply", "undo"):
                done = home.run(command, "last")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(sorted(x.removeprefix("  ") for x in done.stdout.splitlines() if x.startswith("  ")), expected)

    def test_places_that_are_nobodys_folder_are_refused(self):
        with Home() as home:
            project = self.folder(home, a="a\n")
            (project / ".git" / "hooks").mkdir(parents=True)
            bare = home.path / "bare"
            for inside in ("objects", "refs"):
                (bare / inside).mkdir(parents=True)
            (bare / "HEAD").write_text("ref: refs/heads/main\n")
            (home.path / "link").symlink_to(home.path / "home")
            self.ran(home, team([step(call(FS + "write_file", path="../target1/n", content="n\n"))], project), "--apply", "no")
            before = tree(home.path / "home").keys()
            for place, why in (("/", "is the whole file system"), (home.path / "home", "conclave keeps its own files"), (home.path / "home" / "logs", "conclave keeps"),
                               (home.path / "link", "conclave keeps"), (project / ".git" / "hooks", "git runs"), ("/proc/self", "made of no files"), (bare, "is a git repository itself")):
                r = home.run("apply", "last", "--to", str(place))
                self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
                self.assertIn(why, r.stderr)
                self.assertRegex(r.stderr, "; name (another folder|a folder below it.*|the folder that holds .git)\\. Nothing was written")
            self.assertEqual({x for x in tree(home.path / "home") if x.endswith("/n") or x == "n"} - before, set())

    def test_who_deletes_a_task_is_told_what_cannot_be_taken_back_any_more(self):
        for command in (["rm", "last"], ["prune", "--older-than", "0"]):
            with self.subTest(command=command), Home() as home:
                project = self.folder(home, a="a\n")
                config = team([step(call(FS + "write_file", path="../target1/n", content="n\n"))], project)
                self.ran(home, config, "--apply", "yes")
                r = home.run(*command)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertRegex(r.stderr, f"wrote stays and cannot be taken back any more: 1 file in {project}, ")
                self.ran(home, config, "--apply", "no")  # of this one nothing is there to be taken back
                self.ran(home, team([]), "--apply", "no")
                self.assertEqual(home.run(*command).stderr, "")

    def test_names_of_the_files_of_an_answer_are_shown_escaped(self):
        with Home() as home:
            make = "open('a\\nb', 'w'); open('rtl\\u202etxt', 'w')"
            self.ran(home, team([], first=[step(call(FS + "write_file", path="m.py", content=make)), step(call(CMD + "execute_command", command="python3 m.py; rm m.py"))]))
            for shown in (home.run("show", "last", "--files").stdout, home.run("diff", "last").stdout):
                self.assertIn("  a\\nb", shown)
                self.assertIn("  rtl\\u{202e}txt", shown)

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

    def test_a_task_that_resume_ends_is_delivered_as_that_of_a_run(self):
        # Killed when a model is about to reply, and when the task has ended and nothing is written yet.
        for last in ("call_started", "task_ended"):
            with self.subTest(last=last), Home() as home:
                project = self.folder(home, a="a\n")
                config = home.write("team.json", team([step(call(CMD + "execute_command", command="cd ../target1; echo more >> a; echo n > n"))], project,
                                                      first=[{**step(call(CMD + "execute_command", command="echo own > own")), "first_delay_ms": 1500}]))
                run = home.start("--config", config, "--json", "--apply", "yes", "--output-dir", str(home.path / "first"), "make it")
                for line in run.stdout:
                    if f'"{last}"'.encode() in line:
                        break
                run.kill()
                run.communicate()
                if (project / "n").exists() or (home.path / "first").exists():
                    print("it was quicker than the kill")
                    continue
                r = home.run("resume", "last", "-q")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("nothing was written into your folders", r.stderr)
                self.assertRegex(r.stderr, "write them: conclave apply 2")
                self.assertEqual((project / "a").read_text(), "a\n")
                r = home.run("resume", "last", "-q", "--apply", "yes", "--output-dir", str(home.path / "out"))
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("take it back: conclave undo", r.stderr)
                self.assertEqual((project / "a").read_text(), "a\nmore\n")
                self.assertEqual((home.path / "out" / "own").read_text(), "own\n")
                r = home.run("resume", "last", "-q")
                self.assertEqual((r.returncode, r.stderr), (0, ""))  # it is written
                r = home.run("resume", "last", "-q", "--output-dir", str(home.path / "out"))
                self.assertEqual(r.returncode, 2, r.stderr)

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
                journal = {p.name: (p / "undo" / "done").exists() for p in next(d for d in (home.path / "home" / "deliveries").iterdir() if d.name[0] != ".").iterdir()
                           if (p / "done").exists()}
                told = self.behind(home)
                self.assertEqual(len(told), len(set(told)), told)
                self.assertEqual(set(told), {("changes_applied", x) for x in journal} | {("changes_undone", x) for x, undone in journal.items() if undone})
            self.assertEqual((project / "a").read_text(), "a\n")


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
