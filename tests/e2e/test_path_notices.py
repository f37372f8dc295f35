# SPDX-License-Identifier: Apache-2.0
"""What a user is told of paths that the command line gives agents, and of those it does not. Scripted models, real files."""

import shutil
import subprocess
import sys
import unittest

from attack_support import NOBODY
from support import *
from test_workspace import CMD, call, step, team


class PathNotices(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__, None, None, None)
        self.project = self.home.path / "project"
        self.project.mkdir()
        (self.project / "a").write_text("a\n")

    def told(self, config, *given, quiet=()):
        r = self.home.run("--config", self.home.write("team.json", config), *quiet, "--apply", "no", *given)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stderr

    def test_paths_tells_what_git_ignores(self):
        with Home() as home:
            project = home.path / "project"
            (project / "build").mkdir(parents=True)
            (project / ".gitignore").write_text("build/\n*.o\n")
            (project / "forced.o").write_text("o\n")
            for command in (["init", "-q"], ["add", ".gitignore"], ["add", "-f", "forced.o"]):
                subprocess.run(["git", *command], cwd=project, env=home.env, check=True)
            config = home.write("t.json", team([], project, "write"))
            asked = ["build", "build/new", "x.o", "forced.o", "a"]
            told = home.run("paths", "--config", config, *[str(project / x) for x in asked]).stdout.splitlines()[1:6]
            self.assertEqual([line.endswith("git ignores it: it is not in the copy, and nothing of it is written back") for line in told],
                             [True, True, True, False, False], told)

    def test_a_permission_that_the_team_file_says_otherwise_is_told_once(self):
        write, read = "`:w` here, but the team file gives it to be read alone", "but by the team file with `permission: write`"
        for permission, given, said in (("read", ["--path", "project:w", "make it"], write), ("read", ["make it in @project:w"], write),
                                        ("write", ["--path", "project", "make it"], read), ("write", ["see @project"], read)):
            with self.subTest(given=given):
                err = self.told(team([], self.project, permission), *given)
                self.assertEqual(err.count(f"{self.project}: "), 1, err)
                self.assertIn(said, err)
                self.assertIn(": it is read alone; ", err)
                self.assertNotIn("agents may change a copy", err)
                self.assertNotIn(said, self.told(team([], self.project, permission), *given, quiet=["-q"]))
        one = team([])
        one["agents"][1]["backend"]["context_paths"] = [{"path": str(self.project), "permission": "read"}]
        err = self.told(one, "make it in @project:w")
        self.assertIn("agents may change a copy of", err)
        self.assertIn("to be read alone, to 'bob': it is read alone", err)
        for permission, given in (("write", "project:w"), ("read", "project")):
            self.assertNotIn("the team file", self.told(team([], self.project, permission), "--path", given, "make it"))

    def test_a_folder_that_this_user_may_not_write_is_warned_of_before_the_first_call(self):
        os.chmod(self.project, 0o555)
        os.chmod(self.home.path, 0o755)
        file = self.home.write("team.json", team([], self.project, "write"))
        who = NOBODY if os.geteuid() == 0 else []  # root may write everywhere
        if who and shutil.which("setpriv") is None:
            self.skipTest("root may write everywhere, and there is no setpriv")
        os.chmod(file, 0o644)
        said = subprocess.run([*who, str(BIN), "validate", file], env=self.home.env, cwd="/", capture_output=True, text=True)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        self.assertEqual((said.stdout + said.stderr).count("has `permission: write`, and this user may not write there"), 1, said.stdout)
        self.assertIn("--to DIR", said.stdout + said.stderr)

    def test_commands_that_nothing_confines_are_in_the_log(self):
        config = team([])
        for a in config["agents"]:
            a["backend"]["sandbox"] = {"mode": "off"}
        self.assertEqual(self.told(config, "make it", quiet=["-q"]), "")  # it was asked for
        log = events_of(self.home.run("show", "last", "--json").stdout)
        said = [x["reason"] for x in log if x["type"] == "agent_notice"]
        self.assertEqual(said, ["the sandbox is off: commands of agents can do whatever you may"] * 2)

    def test_what_apply_leaves_is_not_counted_among_the_changes(self):
        command = ("cd ../target1; echo x > new.lock; mkdir d.lock .conclave-x; echo x > d.lock/in; echo x > .conclave-x/in; echo x > sub/later")
        (self.project / "sub").mkdir()
        for more, files in (("", 0), ("; echo b > a; echo n > new", 2)):
            with self.subTest(files=files):
                config = team([step(call(CMD + "execute_command", command=command + more))], self.project)
                config["orchestrator"]["context_paths"][0]["protected_paths"] = ["*.lock", "later"]
                err = self.told(config, "make it")
                self.assertIn(f"not part of the changes of {self.project}: ", err)
                self.assertIn(f"changes {files} files in" if files else "final answer", err)
                names = self.home.run("diff", "last", "--name-only").stdout.splitlines()
                applied = self.home.run("apply", "last")
                if not files:
                    self.assertNotIn("once you apply that", err)
                    self.assertEqual((applied.returncode, len(names)), (1, 1), names)
                    self.assertIn("changes nothing", names[0])
                    continue
                self.assertEqual(names[1:3], ["M  a", "A  new"], names)
                self.assertEqual(names[3], "not part of the changes, apply leaves it as it is:")
                left = [line.split(":")[0].strip() for line in names[4:]]
                self.assertEqual(left, [".conclave-x/", "d.lock/", "new.lock", "sub/later"])
                said = applied.stdout.splitlines()
                self.assertIn("1 path added, 1 changed, 0 removed", said[0])
                kept = [line.split(": ")[1] for line in said if "left as it is" in line]
                self.assertEqual(kept, [".conclave-x", ".conclave-x/in", "d.lock", "d.lock/in", "new.lock", "sub/later"])

    def test_a_folder_that_is_too_much_for_a_copy_is_told_before_the_first_call(self):
        subprocess.run(["truncate", "-s", "3G", self.project / "big.img"], check=True)
        for git, more in ((False, {}), (True, {}), (False, {"context_write_access_enabled": True})):
            with self.subTest(git=git, more=more):
                if git:
                    subprocess.run(["git", "init", "-q", "."], cwd=self.project, env=self.home.env, check=True)
                config = team([step(call(CMD + "execute_command", command="true"))], self.project, "write")
                for a in config["agents"]:
                    a["backend"].update(more)
                r = self.home.run("--config", self.home.write("team.json", config), "--apply", "no", "make it")
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn("context_paths: " + str(self.project), r.stderr)
                self.assertIn("Largest: big.img (3221225472 bytes)", r.stderr)
                self.assertNotIn("asks for a vote", r.stderr)
                shutil.rmtree(self.project / ".git", ignore_errors=True)
        # To be read it may be as large as it is, and what git ignores is in no copy.
        self.told(team([], self.project, "read"), "make it")
        subprocess.run(["git", "init", "-q", "."], cwd=self.project, env=self.home.env, check=True)
        (self.project / ".gitignore").write_text("*.img\n")
        self.told(team([], self.project, "write"), "make it")

    def test_a_file_that_is_never_written_is_no_file_to_write(self):
        for name in (".env", "id_rsa", ".git"):
            with self.subTest(name=name):
                (self.project / name).write_text("K=1\n")
                r = self.home.run("validate", self.home.write("team.json", team([], self.project / name, "write")))
                self.assertEqual(r.returncode, 1, r.stdout)
                self.assertIn("nothing is ever written there; let agents only read it (`permission: read`)", r.stdout)
                r = self.home.run("--config", self.home.write("team.json", team([])), "--path", f"project/{name}:w", "make it")
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn("nothing is ever written there", r.stderr)

    def test_a_word_that_names_nothing_is_told_without_a_workspace_too(self):
        plain = {"agents": [{"id": "a", "backend": {"type": "scripted", "steps": [{"answer": "x"}, {"text": "y"}]}}]}
        err = self.told(plain, "look at @nope:w and @./none; mail ann@nope, @anna. See @. and go on")
        for word in ("@nope:w", "@./none;"):
            self.assertIn(f"{word} in the question names no file or folder here, and no agent has a workspace", err)
        self.assertEqual(err.count("in the question"), 2, err)
        self.assertNotIn("in the question", self.told(plain, "look at @nope:w", quiet=["-q"]))


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
