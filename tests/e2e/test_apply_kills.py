# SPDX-License-Identifier: Apache-2.0
"""`conclave apply` and `undo` of many files, killed at random moments: the next of them ends what was begun, and the folder is as it was
before, or as it should be after, to the byte. At each change of the disk: tests/transports/delivery_kills.cpp."""

import os
import random
import shutil
import signal
import sys
import time
import unittest

from support import *
from test_workspace import CMD, call, step, team, tree

LONG = "CONCLAVE_LONG" in os.environ
FILES, KILLS = (1000, 100) if LONG else (200, 6)
MAKE = r"""import os
os.chdir('../target1')
for i in range(FILES):
 p=f'd{i%13}/f{i}'
 if i%5==4: os.unlink(p)
 else: open(p+('.new' if i%5==3 else ''),'w').write(f'changed {i}')
""".replace("FILES", str(FILES))


class Kills(unittest.TestCase):
    def test_a_killed_apply_is_the_old_folder_or_the_new(self):
        with Home() as home:
            project = home.path / "project"
            for i in range(FILES):
                p = project / f"d{i % 13}" / f"f{i}"
                p.parent.mkdir(parents=True, exist_ok=True)
                p.write_text(f"base {i}")
            (project / ".git").mkdir()
            (project / ".git" / "index").write_text("index")
            (project / ".env").write_text("KEY=1")
            old = tree(project)
            config = team([step(call(CMD + "execute_command", command=f"python3 -c {chr(34)}{MAKE}{chr(34)}"))], project)
            r = home.run("--config", home.write("team.json", config), "-q", "--apply", "no", "make it")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(tree(project), old)
            contents = lambda t: {p: what for p, (_, what) in t.items()}
            begun = time.monotonic()
            r = home.run("apply", "last")
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            took = time.monotonic() - begun
            new = contents(tree(project))
            self.assertEqual(len([p for p in new if p not in old]), FILES // 5)
            self.assertEqual(home.run("undo", "last").returncode, 0)
            self.assertEqual(tree(project), old)
            chance, ended, between = random.Random(7), 0, 0
            for i in range(KILLS):
                undoing = i % 3 == 2
                if undoing:
                    self.assertEqual(home.run("apply", "last").returncode, 0)
                p = home.start("undo" if undoing else "apply", "last")
                try:
                    p.communicate(timeout=chance.uniform(0, took))
                    ended += 1
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.communicate()
                now = contents(tree(project))
                between += now != new and now != contents(old)
                # The next one ends what was begun; what it is asked for itself may be nothing any more.
                r = home.run("undo" if i % 2 else "apply", "last")
                now = tree(project)
                self.assertIn(contents(now), (contents(old), new), f"{i}: {r.stdout}{r.stderr}")
                if contents(now) == new:
                    r = home.run("undo", "last")
                    self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(tree(project), old, f"{i}: {r.stdout}{r.stderr}")
            # A signal is heard: all is as it was, with nothing beside it, or all was done.
            heard = 0
            for name in (signal.SIGINT, signal.SIGTERM) * 3:
                p = home.start("apply", "last")
                while p.poll() is None and not any(x.name.startswith(".conclave-") for x in project.iterdir()):
                    time.sleep(0.001)
                p.send_signal(name)
                err = p.communicate(timeout=60)[1].decode()
                now = tree(project)
                self.assertIn((p.returncode, contents(now)), ((4, contents(old)), (0, new)), err)
                if p.returncode == 0:
                    self.assertEqual(home.run("undo", "last").returncode, 0)
                else:
                    heard += 1
                    self.assertIn(f"interrupted by {name.name}; for what is not told as done: conclave apply ", err)
                self.assertEqual(tree(project), old)
            self.assertGreater(heard, 0)
            # Whenever each was killed, the log has what the journal has: once, and in order.
            events = events_of(home.run("show", "last", "--json").stdout)
            told = [(e["type"], e["label"]) for e in events[[e["type"] for e in events].index("task_ended") + 1:]]
            journal, = (d for d in (home.path / "home" / "deliveries").iterdir() if not d.name.startswith("."))
            done = {p.name for p in journal.iterdir() if (p / "undo" / "done").exists()}
            self.assertEqual(told, [(what, x) for _, x in told[::2] for what in ("changes_applied", "changes_undone")])
            self.assertEqual((len(told), {x for _, x in told}), (2 * len(done), done))
            print(f"{KILLS} kills within {took:.2f} s: {ended} had ended, {between} left it between the two")
            self.assertLess(ended, KILLS)

    def test_a_signal_while_a_new_folder_is_written_leaves_none_or_all_of_it(self):
        make = "mkdir m; cd m; python3 -c \"for i in range(3000): open(f'f{i}', 'w').write(f'x{i}')\""
        with Home() as home:
            config = home.write("team.json", team([], first=[step(call(CMD + "execute_command", command=make))]))
            heard = 0
            for name in (signal.SIGINT, signal.SIGTERM) * 2:
                out = home.path / "out"
                p = home.start("--config", config, "-q", "--output-dir", str(out), "make it")
                while p.poll() is None and not any(x.name.startswith("out.") for x in home.path.iterdir()):
                    time.sleep(0.001)
                p.send_signal(name)
                err = p.communicate(timeout=60)[1].decode()
                beside = [x.name for x in home.path.iterdir() if x.name.startswith("out.")]
                self.assertEqual(beside, [], err)
                if p.returncode == 0:
                    self.assertEqual(len(list((out / "m").iterdir())), 3000)
                    shutil.rmtree(out)
                    continue
                heard += 1
                self.assertEqual((p.returncode, out.exists()), (4, False), err)
                self.assertIn(f"interrupted by {name.name}", err)
                self.assertIn("write them: conclave apply ", err)
            self.assertGreater(heard, 0)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
