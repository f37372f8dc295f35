# SPDX-License-Identifier: Apache-2.0
"""Stores that earlier builds made (tests/golden/README.md): what they hold is listed, shown, verified, and gone on with."""

import hashlib
import pathlib
import shutil
import unittest

import stored
from provider import Provider
from support import *

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "store"
DONE, CUT_OFF = "20261126-173536-1ce725", "20261126-173536-b4b81b"
DONE_3, CUT_OFF_3 = "20261126-213310-fe9588", "20261126-213310-b34cd7"


async def model(provider, request, reply):
    if "vote" in reply.tools():
        return await reply.play("", [("vote", {"agent_id": "agent1", "reason": ""})])
    await reply.play("", [("new_answer", {"content": "forty-two"})])


class OldStores(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__)
        (self.home.path / "home").mkdir(exist_ok=True)

    def take(self, name):
        shutil.copy(GOLDEN / name, self.home.path / "home" / "tasks.db")

    def shown(self, task):
        r = self.home.run("show", task, "--json")
        self.assertEqual(r.returncode, 0, r.stderr)
        events = events_of(r.stdout)
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
        return events

    def test_of_schema_1_is_listed_and_shown(self):
        self.take("schema1.db")
        self.home.damaged = "its logs are of version 1"
        self.assertEqual(self.home.run("list").returncode, 0)
        self.assertEqual(len(self.shown("20261126-065704-409f03")), 38)

    def gone_on_with(self, done, cut_off, table, port):
        """Shows and verifies the tasks of a store, and resumes the one that was cut off; `table` and `port`: where its first event is, and
        the provider that it names."""
        self.assertEqual(len(self.shown(done)), 41)
        r = self.home.run("replay", done, "--verify")
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        before = self.shown(cut_off)
        provider = Provider(model)
        try:
            # The port that was free then may not be now.
            self.move(cut_off, table, f"http://127.0.0.1:{port}", provider.url)
            r = self.home.run("resume", "last")
            self.assertEqual((r.returncode, r.stdout), (0, "It is 42.\n"), r.stderr)
        finally:
            provider.stop()
        after = self.shown(cut_off)
        self.assertEqual(after[1:len(before)], before[1:])
        r = self.home.run("replay", cut_off, "--verify")
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        return before, after

    def move(self, task, table, old, new):
        with stored.opened(self.home) as db:
            if table == "events":
                return db.execute("UPDATE events SET json = replace(json, ?, ?)", (old, new))
            # The records of one task are compressed on each other: they are all written anew.
            events, _ = stored.read(db, task)
            nr, = db.execute("SELECT nr FROM starts WHERE task = ?", (task,)).fetchone()
            bodies = {hashlib.sha256(parts[0]).hexdigest(): parts[0] for _, text in stored.records(db, task)
                      for body, parts in stored.items(text) if body}
            db.execute("DELETE FROM records WHERE id >> 32 = ?", (nr,))
            stored.put_events(db, nr, [(seq, x.replace(old, new)) for seq, x in events])
            stored.put_bodies(db, task, bodies.items())

    def test_of_schema_2_is_shown_verified_and_gone_on_with(self):
        self.take("schema2.db")
        before, after = self.gone_on_with(DONE, CUT_OFF, "events", 43093)
        with stored.opened(self.home) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM events WHERE task = ?", (CUT_OFF,)).fetchone(), (len(before),))
            self.assertEqual([seq for seq, _ in stored.read(db, CUT_OFF)[0]], [e["seq"] for e in after[len(before):]])
        self.assertEqual(self.home.run("rm", CUT_OFF).returncode, 0)
        self.assertEqual(len(self.shown(DONE)), 41)

    def told_as_damaged(self, change):
        """After a change of the compressed bodies."""
        with stored.opened(self.home) as db:
            kept = db.execute("SELECT * FROM bodies").fetchall(), db.execute("SELECT * FROM pieces").fetchall()
            db.execute(change)
        r = self.home.run("replay", CUT_OFF_3, "--verify")
        self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        self.assertRegex(r.stderr, f"the body [0-9a-f]{{64}} of task {CUT_OFF_3} is damaged: other tasks can still be read")
        self.assertEqual(self.home.run("replay", DONE_3, "--verify").returncode, 0)
        with stored.opened(self.home) as db:
            for table, rows in zip(("bodies", "pieces"), kept):
                db.execute(f"DELETE FROM {table}")
                db.executemany(f"INSERT INTO {table} VALUES({', '.join('?' * len(rows[0]))})", rows)

    def test_of_schema_3_is_shown_verified_and_gone_on_with(self):
        self.take("schema3.db")
        with stored.opened(self.home) as db:
            long, = db.execute("SELECT count(*) FROM bodies").fetchone()
        self.gone_on_with(DONE_3, CUT_OFF_3, "records", 43095)
        with stored.opened(self.home) as db:
            self.assertEqual(db.execute("PRAGMA user_version").fetchone(), (4,))
            self.assertGreater(long, 2)
            # What lay there lies as it did; what came is compressed.
            self.assertEqual(db.execute("SELECT count(*) FROM bodies WHERE task = ? AND size > 0", (DONE_3,)).fetchone(), (0,))
            self.assertGreater(db.execute("SELECT count(*) FROM bodies WHERE task = ? AND size > 4096", (CUT_OFF_3,)).fetchone(), (0,))
        for change in ("UPDATE bodies SET size = size + 1 WHERE size > 0", "UPDATE bodies SET size = 1 << 50 WHERE size > 0",
                       "UPDATE pieces SET bytes = zeroblob(length(bytes)) WHERE nr IN (SELECT last FROM bodies WHERE size > 0)"):
            self.told_as_damaged(change)
        self.assertEqual(self.home.run("replay", CUT_OFF_3, "--verify").returncode, 0)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
