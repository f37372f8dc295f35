# SPDX-License-Identifier: Apache-2.0
"""A stored task that a process has in its hands after the end, as it asks about its files, writes them or goes on from its answers: others can
look at it, and nobody deletes it, writes its changes or goes on with it until that process has ended, however it ends."""

import contextlib
import pty
import select
import sqlite3
import unittest

from support import *
from test_workspace import CMD, call, step, team


class AtTheQuestion:
    """A run that waits at its question whether changes are written, on a terminal of its own."""

    def __init__(self, home, *arguments):
        self.master, slave = pty.openpty()
        self.p = subprocess.Popen(["setsid", "-c", str(BIN), *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=home.path,
                                  env={**home.env, "TERM": "dumb"})
        os.close(slave)
        self.said = ""
        self.read("[d]iff ")

    def read(self, until=None):
        deadline = time.monotonic() + 60
        while until is None or until not in self.said:
            if time.monotonic() > deadline:
                raise TimeoutError(self.said)
            if not select.select([self.master], [], [], 1)[0]:
                continue
            try:
                more = os.read(self.master, 65536)
            except OSError:
                more = b""
            if not more:
                break
            self.said += more.decode(errors="replace").replace("\r", "")

    def end(self, answer):
        """Types it, or sends it, a signal. Returns the exit code."""
        self.p.send_signal(answer) if isinstance(answer, signal.Signals) else os.write(self.master, answer.encode())
        self.read()
        os.close(self.master)
        return self.p.wait()


class Held(unittest.TestCase):
    def changing(self, home):
        project = home.path / "project"
        project.mkdir()
        (project / "a").write_text("a\n")
        return project, home.write("team.json", team([step(call(CMD + "execute_command", command="echo b >> ../target1/a"))], project))

    def refused(self, r, p, code=2):
        self.assertEqual((r.returncode, r.stdout), (code, ""), r.stderr)
        self.assertRegex(r.stderr, rf"^conclave: task \S+ is in use: process {p.pid} on \S+ \(begun .* UTC\) works on it; .*\n$")
        self.assertNotIn("still running", r.stderr)

    def test_a_task_that_is_being_delivered_is_neither_deleted_nor_delivered_by_others(self):
        for end, code, text in (("y\n", 0, "a\nb\n"), ("n\n", 0, "a\n"), (signal.SIGKILL, -9, "a\n")):
            with self.subTest(end=end), Home() as home:
                project, config = self.changing(home)
                asked = AtTheQuestion(home, "--config", config, "--apply", "ask", "make it")
                self.refused(home.run("rm", "last"), asked.p)
                r = home.run("prune", "--older-than", "0")
                self.assertEqual((r.returncode, r.stdout), (0, "deleted 0 tasks\n"), r.stderr)
                self.assertRegex(r.stderr, r"^conclave: notice: 1 task left alone, as a process works on it: \S+\n$")
                self.refused(home.run("apply", "last"), asked.p)
                self.refused(home.run("undo", "last"), asked.p)
                self.assertEqual((project / "a").read_text(), "a\n")
                # Who reads needs no hold.
                self.assertIn("+b\n", home.run("diff", "last").stdout)
                self.assertIn("agent1.final: ", home.run("show", "last", "--files").stdout)
                self.assertNotIn("running", home.run("show", "last").stdout)
                self.assertEqual([x["outcome"] for x in events_of(home.run("list", "--json").stdout)], ["answered"])
                r = home.run("replay", "last", "--verify")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                self.assertEqual(asked.end(end), code, asked.said)
                self.assertEqual((project / "a").read_text(), text, asked.said)
                r = home.run("diff", "last")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                r = home.run("rm", "last")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual([x for x in (home.path / "home" / "snapshots" / "files").rglob("*") if x.is_file()], [])

    def test_between_the_end_of_a_task_and_its_delivery_nobody_gets_it(self):
        for n in range(2):
            with self.subTest(n=n), Home() as home:
                project, config = self.changing(home)
                more = ("--output-dir", "out") if n % 2 else ()
                p = home.start("--config", config, "-q", "--apply", "yes", *more, "make it")
                ended = False
                while not ended and p.poll() is None:
                    try:
                        with contextlib.closing(sqlite3.connect(f"file:{home.path}/home/tasks.db?mode=ro", uri=True)) as db:
                            ended = db.execute("SELECT count(*) FROM tasks WHERE outcome = 'answered'").fetchone()[0] > 0
                    except sqlite3.OperationalError:
                        time.sleep(0.01)  # there is none yet
                p.send_signal(signal.SIGSTOP)
                try:
                    self.refused(home.run("rm", "last"), p)
                    self.refused(home.run("apply", "last"), p)
                finally:
                    p.send_signal(signal.SIGCONT)
                self.assertEqual((p.communicate(timeout=60), p.returncode)[1], 0)
                self.assertEqual((project / "a").read_text(), "a\nb\n")
                self.assertEqual(events_of(home.run("show", "last", "--json").stdout)[-1]["type"], "changes_applied")
                self.assertEqual(home.run("rm", "last").returncode, 0)

    def test_who_asks_again_about_an_answered_task_holds_it_too(self):
        with Home() as home:
            project, config = self.changing(home)
            self.assertEqual(home.run("--config", config, "-q", "--apply", "no", "make it").returncode, 0)
            asked = AtTheQuestion(home, "resume", "last")
            self.refused(home.run("rm", "last"), asked.p)
            r = home.run("resume", "last", "--apply", "yes")  # it is shown, and not written
            self.assertEqual((r.returncode, r.stdout, (project / "a").read_text()), (2, "done\n", "a\n"), r.stderr)
            self.assertRegex(r.stderr, f"is in use: process {asked.p.pid} on")
            r = home.run("resume", "last", "--apply", "no")
            self.assertEqual((r.returncode, r.stdout), (0, "done\n"), r.stderr)
            self.assertEqual(asked.end("y\n"), 0, asked.said)
            self.assertEqual((project / "a").read_text(), "a\nb\n")
            self.assertEqual(home.run("undo", "last").returncode, 0)
            told = [x["type"] for x in events_of(home.run("show", "last", "--json").stdout)][-2:]
            self.assertEqual(told, ["changes_applied", "changes_undone"])


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
