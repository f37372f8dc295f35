# SPDX-License-Identifier: Apache-2.0
"""A process that was killed between the durable end of its task and the end of its log files: whoever comes next brings them up to date."""

import unittest

from support import *


class LeftLogs(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.team = self.home.write("t.json", calm_team(2))

    def tearDown(self):
        self.home.__exit__()

    def left_behind(self, lines):
        """A task that ended, with the files as its process leaves them when it is killed: the end is missing, and half a line is there."""
        r = self.home.run("-c", self.team, "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.task = json.loads(self.home.run("list", "--json").stdout.split("\n")[0])["task"]
        self.logs = self.home.path / "home" / "logs" / self.task
        self.whole = (self.logs / "events.jsonl").read_text()
        status = json.loads((self.logs / "status.json").read_text())
        kept = self.whole.split("\n")[:-1][:-lines]
        (self.logs / "events.jsonl").write_text("\n".join(kept) + '\n{"seq":')
        (self.logs / "status.json").write_text(json.dumps({**status, "is_complete": False, "finish_reason": "in_progress", "outcome": None}))

    def check(self):
        self.assertEqual((self.logs / "events.jsonl").read_text(), self.whole)
        status = json.loads((self.logs / "status.json").read_text())
        self.assertEqual((status["is_complete"], status["finish_reason"], status["outcome"]), (True, "completed", "answered"))
        self.assertEqual(status["meta"]["log_dir"], str(self.logs))

    def test_whoever_comes_next_brings_them_up_to_date(self):
        for command in (["resume"], ["resume", "--json"], ["show", "last"], ["show", "last", "--json"], ["-c", self.team, "another"]):
            for lines in (1, 5):
                with self.subTest(command=command, lines=lines):
                    self.left_behind(lines)
                    r = self.home.run(*command)
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.check()

    def test_what_has_its_end_is_left_alone(self):
        self.left_behind(2)
        self.home.run("show", "last")
        before = [(self.logs / name).stat() for name in ("events.jsonl", "status.json")]
        self.assertEqual(self.home.run("resume").returncode, 0)
        after = [(self.logs / name).stat() for name in ("events.jsonl", "status.json")]
        self.assertEqual([(s.st_ino, s.st_mtime_ns) for s in after], [(s.st_ino, s.st_mtime_ns) for s in before])

    def test_what_cannot_be_mended_is_said(self):
        self.left_behind(1)
        (self.logs / "events.jsonl").write_text("no event\n")
        r = self.home.run("show", "last")
        self.assertEqual(r.returncode, 0)
        self.assertIn(f"the log files of task {self.task} lack its end, and cannot be brought up to date", r.stderr)

    def test_two_at_once_write_it_once(self):
        self.left_behind(5)
        all_at_once = [self.home.start("show", "last") for _ in range(6)]
        for p in all_at_once:
            p.communicate(timeout=60)
        self.assertEqual([p.returncode for p in all_at_once], [0] * 6)
        self.check()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
