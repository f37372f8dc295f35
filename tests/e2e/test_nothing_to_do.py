# SPDX-License-Identifier: Apache-2.0
"""What commands for files of a task say where there is nothing for them to do, or no folder to do it in. Scripted models, real files."""

import unittest

from support import *
from test_workspace import FS, call, step, team


class NothingToDo(unittest.TestCase):
    def ran(self, home, config, *more):
        r = home.run("--config", home.write("team.json", config), "-q", "--apply", "no", *more, "make it")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return json.loads(home.run("list", "--json").stdout.splitlines()[0])["task"]

    def said(self, home, code, *args):
        r = home.run(*args)
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r.stdout + r.stderr

    def changed(self, home):
        project = home.path / "project"
        project.mkdir()
        config = team([step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], project)
        return project, config, self.ran(home, config)

    def test_a_second_undo_says_that_it_is_done(self):
        with Home() as home:
            project, _, task = self.changed(home)
            self.assertEqual(self.said(home, 0, "undo", "last"), f"nothing of task {task} was applied\n")
            self.said(home, 0, "apply", "last")
            self.said(home, 0, "undo", "last")
            self.assertRegex(self.said(home, 0, "undo", "last"),
                             f"^what was applied of task {task} is taken back already:\n  1 file in {project}, .* UTC, taken back .* UTC\n$")

    def test_a_folder_that_is_gone_is_named_once_with_what_to_do(self):
        with Home() as home:
            project, config, task = self.changed(home)
            self.said(home, 0, "apply", "last")
            project.rename(home.path / "moved")
            for make, how in ((lambda: None, "is not there any more"), (lambda: project.write_text(""), "is no folder any more")):
                make()
                self.assertEqual(self.said(home, 2, "apply", "last"), f"conclave: {project} {how}; nothing was written there. "
                                 f"Put it back, or write elsewhere: conclave apply {task} --to DIR\n")
                self.assertEqual(self.said(home, 2, "undo", "last"), f"conclave: {project} {how}; nothing was undone there. "
                                 f"Put it back, then try again: conclave undo {task}\n")
            project.unlink()
            self.assertEqual(self.said(home, 2, "apply", "last", "--to", "team.json"), "conclave: 'team.json' is a file: name a folder\n")
            self.assertEqual(self.said(home, 2, "apply", "last", "--to", "none"), "conclave: 'none' is no folder; make it, then try again\n")
            paths = self.said(home, 0, "paths", "--config", "team.json").splitlines()
            listed = [x for x in paths if f"  {project}: " in x]
            self.assertEqual(listed, [f"  {project}: read; a copy is changed by who presents; it is not there, and no run begins without it"] * 2)
            self.assertEqual([x for x in paths if "/work/TASK/" in x and "not there" in x], [])
            (home.path / "moved").rename(project)
            self.assertNotIn("not there", self.said(home, 0, "paths", "--config", "team.json"))
            self.said(home, 0, "undo", "last")

    def test_an_answer_without_files_has_none(self):
        with Home() as home:
            task = self.ran(home, team([]))
            self.assertEqual(self.said(home, 1, "apply", "last"),
                             f"conclave: task {task} proposes no changes to a folder, and its answer has no files\n")


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
