# SPDX-License-Identifier: Apache-2.0
"""`write_mode: legacy`: who presents writes in the user's folder itself, nobody else does, and what is protected stays. Scripted models, real
files, the real sandbox, in each tier."""

import unittest

import attack_support
from support import *
from test_workspace import CMD, FS, WS, call, project_in, results, select_wait, step, team, tree

NAMES = {2: "namespaces", 1: "landlock", 0: "off"}


def legacy(steps, project, tier=2, first=None, **more):
    config = team(steps, project, first=first, coordination={"write_mode": "legacy"}, **more)
    for a in config["agents"]:
        if tier == 0:
            a["backend"]["sandbox"] = {"mode": "off"}
    return config


def run_at(home, tier, *args):
    """With the tier 1, where no user namespace can be made."""
    argv = [str(BIN), *args]
    if tier == 1:
        argv = [sys.executable, attack_support.__file__, *argv]
    return subprocess.run(argv, cwd=home.path, env=home.env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def changed(before, after):
    return {p for p in {**before, **after} if before.get(p) != after.get(p)}


class InPlace(unittest.TestCase):
    def tiers(self, *wanted):
        out = []
        for tier in wanted:
            why = attack_support.tiers_of([], tier) if tier > 0 else ""
            print(f"skipped: {NAMES[tier]}: {why}") if why else out.append(tier)
        if not out:
            self.skipTest("skipped: no tier of these holds here")
        return out

    def test_who_presents_writes_in_the_folder_and_what_is_protected_stays(self):
        for tier in self.tiers(2, 1, 0):
            with self.subTest(tier=NAMES[tier]), Home() as home:
                project = project_in(home)
                (project / "src" / "given").mkdir()
                (project / "src" / "given" / "x").write_text("x\n")
                (project / "sub").mkdir()
                before = tree(project)
                tried = [step(call(FS + "write_file", path="mine.txt", content="mine\n")),
                         step(call(FS + "write_file", path=str(project / "a.txt"), content="no\n"),
                              call(WS + "copy_file", source_path="mine.txt", destination_path=str(project / "sub/b.txt")))]
                if tier > 0:
                    tried.append(step(call(CMD + "execute_command", command=f"cd {project}; echo no > readme.txt; echo no > sub/c.txt; rm -rf src; true")))
                steps = [step(call(FS + "read_text_file", path=str(project / "readme.txt")), call(FS + "read_text_file", path=str(project / "old.txt"))),
                         step(call(FS + "write_file", path=str(project / "readme.txt"), content="two\n"),
                              call(FS + "write_file", path=str(project / "src/b.py"), content="print(2)\n"),
                              call(WS + "delete_file", path=str(project / "old.txt")),
                              call(WS + "deliver_files", source_path="mine.txt", destination_path=str(project / "sub")),
                              call(FS + "write_file", path=str(project / "locked/y"), content="no\n"),
                              call(FS + "write_file", path=str(project / ".env"), content="no\n"),
                              call(FS + "write_file", path=str(project / ".git/config"), content="no\n"),
                              call(FS + "write_file", path=str(project / "src/given/y"), content="no\n"),
                              call(FS + "move_file", source=str(project / "src"), destination=str(project / "src2")),
                              call(FS + "write_file", path=str(home.path / "beside.txt"), content="no\n")),
                         step(call(CMD + "execute_command", command=f"cd {project} && mkdir sub/deep && echo made > sub/deep/made.txt && mkdir sub/.git && ls"))]
                if tier > 0:  # without walls a command may do all of this
                    mischief = (f"cd {project}; cat .env; echo no >> .git/config; touch .git/hooks/post-checkout; echo no >> keep.txt; echo no > locked/y; "
                                "rm -rf .git .env locked keep.txt; mv locked l2; mv .git g2; mv keep.txt k2; echo no > src/given/y; mv src src2; rm -rf src/given; "
                                "chmod 777 keep.txt .git .git/config; ln -f sub/deep/made.txt keep.txt; echo no > ../beside2.txt; true")
                    steps.append(step(call(CMD + "execute_command", command=mischief)))
                config = legacy(steps, project, tier, first=tried)
                config["orchestrator"]["context_paths"].append({"path": str(project / "src/given"), "permission": "read"})
                config["agents"][1]["backend"]["steps"][0:0] = tried
                r = run_at(home, tier, "--config", home.write("team.json", config), "make it")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                got, bodies = results(home)
                codes = [status for _, _, status, _ in got if status.startswith("denied:")]
                self.assertEqual(codes[:4], ["denied:E_READONLY"] * 4, got)
                self.assertEqual(codes[4:], ["denied:" + x for x in ("E_PROTECTED", "E_EXCLUDED", "E_EXCLUDED", "E_PROTECTED", "E_PROTECTED", "E_OUTSIDE")], got)
                for _, _, status, text in got:
                    self.assertIn(str(home.path if status.endswith("OUTSIDE") else project) if status.startswith("denied:") else "", text)
                after = tree(project)
                self.assertEqual(changed(before, after) - {"sub", "src", "."},
                                 {"readme.txt", "src/b.py", "old.txt", "sub/mine.txt", "sub/deep", "sub/deep/made.txt", "sub/.git"}, got)
                self.assertEqual(((project / "readme.txt").read_text(), (project / "sub/mine.txt").read_text()), ("two\n", "mine\n"))
                self.assertFalse((home.path / "beside.txt").exists() or (home.path / "beside2.txt").exists())
                self.assertNotIn(b"canary-4711", bodies)
                self.assertEqual([x for x in r.stderr.splitlines() if "cannot be taken back; without the key" in x][1:], [], "said once a team")
                self.assertIn("cannot be taken back; without the key", r.stderr)
                end = next(x for x in r.stderr.splitlines() if "in place: agent" in x)
                self.assertIn(f"agent 'ann secret-id', who presented, wrote in {project} itself (write_mode: legacy): old.txt, readme.txt, src/b.py, "
                              "sub/mine.txt; ", end)
                self.assertIn(f"{1 if tier == 0 else 2} command", end)
                self.assertRegex(r.stderr, "(?s)under names that are protected or never.*sub/.git")
                self.assertEqual("run unconfined and write in place" in r.stderr, tier == 0, r.stderr)
                diff = home.run("diff", "last")
                self.assertIn(f"{project}/src/b.py", diff.stdout)
                self.assertIn("nothing takes that back", diff.stdout)
                self.assertRegex(home.run("show", "last", "--files").stdout, "in place: .*src/b.py")
                applied = home.run("apply", "last")
                self.assertNotEqual(applied.returncode, 0)
                self.assertIn(f"nothing to apply: its presenter wrote in {project} itself", applied.stderr)
                self.assertIn("nothing to apply", home.run("apply", "last", "--branch", "b").stderr)
                self.assertIn(f"what its presenter wrote in {project} itself (write_mode: legacy) is not taken back", home.run("undo", "last").stdout)
                self.assertEqual(tree(project), after)

    def test_a_presentation_that_fails_tells_what_it_wrote(self):
        with Home() as home:
            project = project_in(home)
            config = legacy([step(call(FS + "write_file", path=str(project / "half.txt"), content="half\n"),
                                  call(CMD + "execute_command_background", command=f"while :; do date +%N > {project}/tick.txt; sleep 0.05; done")),
                             {"text": "", "error": "unauthorized"}], project)
            config["agents"][0]["backend"]["steps"].pop()
            r = home.run("--config", home.write("team.json", config), "-q", "make it")
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            self.assertIn("see the files", r.stdout)
            self.assertEqual((project / "half.txt").read_text(), "half\n")
            self.assertIn(f"wrote in {project} itself (write_mode: legacy): half.txt; 1 command of it", r.stderr)
            last = (project / "tick.txt").read_text() if (project / "tick.txt").exists() else ""
            self.assertEqual(subprocess.run(["pgrep", "-f", "date +%N"], capture_output=True, text=True).stdout, "", "a job outlives the presentation")
            self.assertEqual((project / "tick.txt").read_text() if last else "", last)

    def test_a_presentation_that_was_cut_off_goes_on_and_repeats_no_command(self):
        with Home() as home:
            project = project_in(home)
            config = legacy([step(call(FS + "write_file", path=str(project / "first.txt"), content="first\n")),
                             step(call(CMD + "execute_command", command=f"echo once >> {project}/once.txt; sleep 20", timeout=30)),
                             step(call(FS + "write_file", path=str(project / "second.txt"), content="second\n"))], project)
            p = home.start("--config", home.write("team.json", config), "--json", "make it")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and "execute_command" in line)
            deadline = time.monotonic() + 30
            while not (project / "once.txt").exists():
                self.assertLess(time.monotonic(), deadline, "the command does not begin")
                select_wait()
            p.kill()
            p.wait()
            p.stdout.close(), p.stderr.close()
            (project / "src" / ".conclave-4711-1.tmp").write_text("half a file")
            (project / "src" / ".conclave-mine").write_text("not ours to delete")
            r = home.run("resume", "last", "-q")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual([(project / f"{x}.txt").read_text() for x in ("first", "once", "second")], ["first\n", "once\n", "second\n"])
            self.assertEqual(sorted(x.name for x in (project / "src").iterdir()), [".conclave-mine", "a.py"])
            self.assertIn(f"wrote in {project} itself (write_mode: legacy): first.txt, second.txt; 1 command of it", r.stderr)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
