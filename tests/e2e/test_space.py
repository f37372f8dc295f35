# SPDX-License-Identifier: Apache-2.0
"""The store on disks that are full, read-only or locked, and what deleting gives back.

CONCLAVE_TEST_PRUNE_MIB=N: how much is deleted (default 60).
"""

import base64
import sqlite3
import unittest

import stored
from support import *
from test_faults import Case, select_for, team


class Space(Case):
    def ask(self, n=1, **more):
        for _ in range(n):
            r = self.home.run("--config", self.config({**team(), **more}), "-q", "q")
            self.assertEqual(r.returncode, 0, r.stderr)

    def grow(self, tasks, kib, per=8):
        """Puts tasks of `kib` KiB each into the store and the logs, as runs would."""
        db = sqlite3.connect(self.db)
        old = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone()
        first = db.execute("SELECT task, seq, started_ms, last_ms FROM tasks LIMIT 1").fetchone()
        for i in range(tasks):
            task = f"20200101-000000-{i:06x}"
            db.execute("INSERT INTO tasks(task, fence, seq, started_ms, last_ms, question, outcome) VALUES(?, 1, ?, ?, ?, 'q', 'answered')", (task, per, first[2] - 1000 + i, first[3]))
            text = json.dumps({"v": 1, "type": "agent_error", "reason": "x" * (kib * 1024 // per)})
            if old:
                db.executemany("INSERT INTO events VALUES(?, ?, ?)", [(task, n + 1, text) for n in range(per)])
            else:
                nr = db.execute("INSERT INTO starts(task) VALUES(?)", (task,)).lastrowid
                stored.put_events(db, nr, [(n + 1, text) for n in range(per)])
            folder = self.logs / task
            folder.mkdir(parents=True)
            (folder / "events.jsonl").write_text((text + "\n") * per)
        db.commit()
        db.close()

    def size(self):
        return sum(f.stat().st_size for f in (self.home.path / "home").rglob("*") if f.is_file() and f.name != "filler")

    def prune(self, age="0s"):
        return self.home.run("prune", "--older-than", age)

    def test_prune_gives_the_space_back(self):
        self.ask()
        megabytes = int(os.environ.get("CONCLAVE_TEST_PRUNE_MIB", "60"))
        self.grow(megabytes, 1024)
        self.assertGreater(self.size(), megabytes << 20)
        r = self.prune()
        self.assertEqual((r.returncode, r.stdout), (0, f"deleted {megabytes + 1} tasks\n"), r.stderr)
        self.assertLess(self.db.stat().st_size, 1 << 20)
        self.assertLess(self.size(), 5 << 20)
        self.assertEqual(list(self.logs.iterdir()), [])
        self.store_is_sound()
        self.ask()

    def test_rm_gives_the_space_back_and_leaves_the_rest(self):
        self.ask()
        self.grow(20, 1024)
        keep = f"20200101-000000-{19:06x}"
        before = self.home.run("show", "--json", keep).stdout
        r = self.home.run("rm", *[f"20200101-000000-{i:06x}" for i in range(19)])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertLess(self.db.stat().st_size, 3 << 20)
        self.assertEqual(self.home.run("show", "--json", keep).stdout, before)
        self.store_is_sound()

    def old_store(self):
        """Makes the store one of schema 1, as the first programs made it: no vacuum, no order of its own."""
        self.ask()
        db = sqlite3.connect(self.db, isolation_level=None)
        db.execute("CREATE TABLE events(task TEXT NOT NULL, seq INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(task, seq)) WITHOUT ROWID")
        for seq, text in stored.read(db)[0]:
            db.execute("INSERT INTO events SELECT task, ?, ? FROM tasks", (seq, text))
        for table in ("starts", "bodies", "pieces", "cancels", "records"):
            db.execute(f"DROP TABLE {table}")
        for column in ("short_bytes", "log_version", "owner_host", "owner_pid", "owner_started_ms"):
            db.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
        self.assertEqual(db.execute("PRAGMA auto_vacuum").fetchone()[0], 0)
        db.close()

    def test_a_store_of_before_is_converted_once(self):
        self.old_store()
        self.grow(20, 1024)
        self.assertEqual(len(self.home.run("list").stdout.splitlines()), 22)
        self.ask()
        self.assertEqual(self.home.run("rm", f"20200101-000000-{3:06x}").returncode, 0)
        db = sqlite3.connect(self.db)
        self.assertEqual(db.execute("PRAGMA auto_vacuum").fetchone()[0], 2)
        self.assertEqual(db.execute("PRAGMA freelist_count").fetchone()[0], 0)
        db.close()
        self.store_is_sound()
        self.assertEqual(self.prune().stdout, "deleted 21 tasks\n")
        self.assertLess(self.size(), 5 << 20)

    def test_prune_on_a_full_disk(self):
        for name, logs, old in (("with logs", True, False), ("without logs", False, False), ("old", True, True)):
            with self.subTest(name):
                self.setUp()
                self.disk(90)
                self.old_store() if old else self.ask()
                self.grow(12, 1024)
                if not logs:
                    for f in self.logs.rglob("*.json*"):
                        f.unlink()
                self.fill()
                listed = self.home.run("list")
                self.assertEqual(len(listed.stdout.splitlines()), 14, listed.stderr)
                self.assertEqual(self.home.run("show", "last").returncode, 0)
                r = self.prune()
                self.assertEqual((r.returncode, r.stdout), (0, "deleted 13 tasks\n"), r.stderr)
                self.assertLess(self.size(), 5 << 20)
                self.store_is_sound()

    def test_the_last_task_on_a_full_disk_can_go(self):
        for mib in (6, 80):
            with self.subTest(mib):
                self.setUp()
                self.disk(mib)
                self.ask()
                self.fill()
                r = self.home.run("rm", "last")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(self.home.run("list").stdout, "no tasks are stored yet\n")
                self.store_is_sound()

    def test_a_run_on_a_full_disk_says_so_and_is_not_called_killed(self):
        self.disk(80)
        self.ask()
        self.fill()
        text = base64.b64encode(os.urandom(195_000)).decode()  # compressed to about as many bytes
        big = {"agents": [agent("a", [{"answer": text}, {"vote": "agent1", "reason": "fine"}, {"text": "y"}])]}
        filler = self.home.path / "home" / "filler"
        os.truncate(filler, filler.stat().st_size - (420 << 10))  # room for a beginning, which holds the script
        r = self.home.run("--config", self.config(big), "-q", "q")
        self.assertEqual((r.returncode, r.stdout), (2, ""))
        self.assertIn("the disk is full: free some space", r.stderr)
        filler.unlink()
        shown = self.home.run("show", "last").stdout
        self.assertNotIn("it was killed)", shown)
        self.assertIn("no end was recorded", shown)

    def test_a_read_only_store_can_be_read(self):
        remount = self.disk(80)
        self.ask(2)
        for name in ("closed", "killed"):
            with self.subTest(name):
                if name == "killed":
                    p = self.launch("--config", self.config({"agents": [agent("a", [{"answer": "x", "first_delay_ms": 60000}])]}), "--json", "q")
                    Lines(p.stdout).until("call_started")
                    p.kill()
                    p.wait()
                remount(0x21)  # MS_REMOUNT | MS_RDONLY
                r = self.home.run("list", "--json")
                self.assertEqual((r.returncode, len(events_of(r.stdout))), (0, 2 + (name == "killed")), r.stderr)
                r = self.home.run("show", "last")
                self.assertEqual(r.returncode, 0, r.stderr)
                for command in (("rm", "last"), ("prune", "--older-than", "0s"), ("-q", "--config", self.config(team()), "q")):
                    r = self.home.run(*command)
                    self.assertEqual((r.returncode, r.stdout), (2, ""), command)
                    self.assertIn("read-only", r.stderr.lower())
                remount(0x20)
        self.assertEqual(len(list(self.logs.iterdir())), 3)

    def test_list_makes_no_store(self):
        r = self.home.run("list")
        self.assertEqual((r.returncode, r.stdout), (0, "no tasks are stored yet\n"))
        self.assertFalse(self.db.exists())

    def test_a_prune_that_was_killed_is_finished_by_the_next(self):
        self.ask()
        self.grow(200, 64)
        for i in range(1, 12):
            p = self.launch("prune", "--older-than", "0s")
            select_for(0.004 * i)
            p.kill()
            p.wait()
            listed = {e["task"] for e in events_of(self.home.run("list", "--json").stdout)}
            left = {d.name for d in self.logs.iterdir()}
            self.assertLessEqual(left, listed)  # no folder whose task is forgotten
        r = self.prune()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertLess(self.size(), 5 << 20)
        self.assertEqual(list(self.logs.iterdir()), [])
        self.store_is_sound()

    def test_last_is_the_newest_although_the_clock_jumped(self):
        self.ask()
        db = sqlite3.connect(self.db)
        db.execute("UPDATE tasks SET started_ms = started_ms + 86400000000")  # as if the clock had been years ahead
        db.commit()
        db.close()
        r = self.home.run("--config", self.config(team()), "--json", "the newer one")
        task = question_of(r.stdout)
        self.assertEqual(task, "the newer one")
        listed = events_of(self.home.run("list", "--json").stdout)
        self.assertEqual([e["question"] for e in listed], ["the newer one", "q"])
        self.assertIn("the newer one", self.home.run("show", "last").stdout)

    def test_a_locked_store_is_waited_for_as_long_as_the_text_says(self):
        self.ask()
        db = sqlite3.connect(self.db, isolation_level=None)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("UPDATE tasks SET fence = fence")
        for command in (("list",), ("rm", "last"), ("-q", "--config", self.config(team()), "q")):
            began = time.monotonic()
            r = self.home.run(*command)
            took = time.monotonic() - began
            self.assertEqual(r.returncode, 2, command)
            self.assertIn("it stayed locked for 5 s", r.stderr)
            self.assertTrue(4.5 < took < 6.5, (command, took))
        db.close()

    def test_a_store_that_is_locked_for_writing_is_waited_for_once(self):
        self.ask()
        db = sqlite3.connect(self.db, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        for command in (("rm", "last"), ("-q", "--config", self.config(team()), "q")):
            began = time.monotonic()
            r = self.home.run(*command)
            took = time.monotonic() - began
            self.assertEqual(r.returncode, 2, command)
            self.assertIn("it stayed locked for 5 s", r.stderr)
            self.assertTrue(4.5 < took < 7.5, (command, took))
        # What can never be shown is not named, and leaves nothing behind.
        self.assertIn("nothing of it is in the store", self.home.run("--config", self.config(team()), "q").stderr)
        self.assertEqual(list(self.logs.iterdir()), [])  # `rm` deletes them first
        db.close()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
