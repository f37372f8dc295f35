# SPDX-License-Identifier: Apache-2.0
"""What a user is told of paths that the command line gives agents, and of those it does not. Scripted models, real files."""

import subprocess
import sys
import unittest

from support import *
from test_workspace import team


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
