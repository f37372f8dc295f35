# SPDX-License-Identifier: Apache-2.0
"""Stores that earlier builds made (tests/golden/README.md): what they hold is listed, shown, verified, and gone on with."""

import contextlib
import pathlib
import shutil
import sqlite3
import unittest

import stored
from provider import Provider
from support import *

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "store"
DONE, CUT_OFF = "20261126-173536-1ce725", "20261126-173536-b4b81b"


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

    def test_of_schema_2_is_shown_verified_and_gone_on_with(self):
        self.take("schema2.db")
        self.assertEqual(len(self.shown(DONE)), 41)
        r = self.home.run("replay", DONE, "--verify")
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        before = self.shown(CUT_OFF)
        provider = Provider(model)
        try:
            # The port that was free then may not be now.
            with contextlib.closing(sqlite3.connect(self.home.path / "home" / "tasks.db")) as db, db:
                db.execute("UPDATE events SET json = replace(json, 'http://127.0.0.1:43093', ?)", (provider.url,))
            r = self.home.run("resume", "last")
            self.assertEqual((r.returncode, r.stdout), (0, "It is 42.\n"), r.stderr)
        finally:
            provider.stop()
        after = self.shown(CUT_OFF)
        self.assertEqual(after[1:len(before)], before[1:])
        with stored.opened(self.home) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM events WHERE task = ?", (CUT_OFF,)).fetchone(), (len(before),))
            self.assertEqual([seq for seq, _ in stored.read(db, CUT_OFF)[0]], [e["seq"] for e in after[len(before):]])
        r = self.home.run("replay", CUT_OFF, "--verify")
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        self.assertEqual(self.home.run("rm", CUT_OFF).returncode, 0)
        self.assertEqual(len(self.shown(DONE)), 41)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
