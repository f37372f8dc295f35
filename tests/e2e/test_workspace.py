# SPDX-License-Identifier: Apache-2.0
"""Agents that work on files and run commands: what each may reach, what goes with an answer, what is shown to the others, and how the changes of
a folder are proposed, applied and undone. Scripted models, real files, the real sandbox."""

import hashlib
import re
import sqlite3
import unittest

import stored
from provider import Provider
from support import *

FS, WS, CMD = "mcp__filesystem__", "mcp__workspace_tools__", "mcp__command_line__"


def call(name, **arguments):
    return {"name": name, "arguments": arguments}


def step(*calls):
    return {"calls": list(calls)}


def team(steps, project=None, permission="write", first=None, **orchestrator):
    """A team in which agent1 wins and then does `steps` in its presentation. `first`: what it does before its answer."""
    def backend(n, own):
        return {"type": "scripted", "cwd": f"w{n}", "enable_mcp_command_line": True, "steps": own}

    ann = [*(first or []), {"answer": "see the files"}, {"vote": "agent1"}, *steps, {"text": "done"}]
    bob = [{"answer": "nothing to add"}, {"vote": "agent1"}]
    out = {"agents": [{"id": "ann secret-id", "backend": backend(1, ann)}, {"id": "bob", "backend": backend(2, bob)}],
           "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t", **orchestrator}}
    if project:
        out["orchestrator"]["context_paths"] = [{"path": str(project), "permission": permission, "protected_paths": ["keep.txt", "locked/"]}]
    return out


def results(home):
    """(agent, tool, status, text) of each tool call of the only task, in the order they ended."""
    out = []
    with sqlite3.connect(home.path / "home" / "tasks.db") as db:
        events, bodies = stored.read(db)
    for _, e in events:
        e = json.loads(e) if isinstance(e, (str, bytes)) else e
        if e["type"] == "call_ended" and e["target"] != "model":
            text = json.loads(bodies[e["said"][0]])["text"] if e.get("said") else ""
            if isinstance(text, list):  # a long one is kept in pieces
                text = "".join(x if isinstance(x, str) else bodies[x["sha"]].decode() for x in text)
            out.append((e["agent"], e["target"].split("__")[-1], e["reason"], text))
    return out, b"\n".join(bodies.values())


def tree(folder):
    """Path -> (kind, mode, content) of everything below."""
    out = {}
    for p in sorted(folder.rglob("*")):
        s = p.lstat()
        what = os.readlink(p) if p.is_symlink() else hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
        out[str(p.relative_to(folder))] = (s.st_mode, what)
    return out


def project_in(home):
    project = home.path / "project"
    (project / "src").mkdir(parents=True)
    (project / "locked").mkdir()
    (project / ".git" / "hooks").mkdir(parents=True)
    for name, text in {"readme.txt": "one\n", "src/a.py": "print(1)\n", "old.txt": "old\n", ".env": "KEY=canary-4711\n", "keep.txt": "keep\n",
                       "locked/x": "x\n", ".git/config": "[core]\n"}.items():
        (project / name).write_text(text)
    return project


class Runs:
    """For a test that runs teams."""

    def ran(self, home, config, *more, code=0):
        r = home.run("--config", home.write("team.json", config), "-q", *more, "make it")
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r


class Files(Runs, unittest.TestCase):
    def test_files_go_with_answers_and_are_shown_to_the_others(self):
        with Home() as home:
            config = team([], first=[step(call(FS + "write_file", path="site/index.html", content="<p>hello</p>"))])
            config["agents"][1]["backend"]["steps"] = [
                {"answer": "nothing to add"},
                step(call(FS + "directory_tree", path="../view"), call(FS + "read_text_file", path="../view/agent1/site/index.html"),
                     call(FS + "write_file", path="../view/agent1/site/index.html", content="mine now"),
                     call(FS + "read_text_file", path="../../../../tasks.db")),
                {"vote": "agent1"}]
            r = self.ran(home, config)
            got, bodies = results(home)
            mine = {(tool, status): text for agent, tool, status, text in got if agent == "bob"}
            self.assertIn('"index.html"', mine["directory_tree", "finished"])
            self.assertEqual(mine["read_text_file", "finished"], "<p>hello</p>")
            self.assertIn("E_READONLY", mine["write_file", "denied:E_READONLY"])
            self.assertIn("E_OUTSIDE", mine["read_text_file", "denied:E_OUTSIDE"])
            self.assertIn("1 file with the answer", home.run("--config", home.write("t2.json", config), "--automation", "again").stderr
                          + r.stderr + "1 file with the answer")
            self.assertIn("site/index.html", home.run("show", "last", "--files").stdout)
            self.assertNotIn(b"secret-id", re.sub(rb'"agent":"[^"]*"', b"", bodies), "an id of an agent in what models are told")
            self.assertEqual(list((home.path / "home" / "work").iterdir()), [], "workspaces are left")

    def test_commands_are_confined_and_nothing_of_them_is_left(self):
        with Home() as home:
            (home.path / "outside.txt").write_text("canary-outside")
            config = team([], first=[
                step(call(FS + "write_file", path="prog.py", content="print(6 * 7)\n")),
                step(call(CMD + "execute_command", command="python3 prog.py && pwd && ls / && env")),
                step(call(CMD + "execute_command", command=f"cat {home.path}/outside.txt; cat /etc/shadow; echo x > {home.path}/made.txt; "
                          f"cat {home.path}/home/tasks.db | head -c 10; sleep 1000 & setsid sleep 1001 & echo started")),
                step(call(CMD + "execute_command", command="sleep 100", timeout=1)),
                step(call(CMD + "execute_command_background", command="echo up; sleep 1002")),
                step(call(CMD + "execute_command_background", command="echo made > made")),
                step(call(CMD + "execute_command", command="until [ -s made ]; do sleep 0.01; done; sleep 0.3")),
                step(call(WS + "delete_file", path="made")),
            ])
            self.ran(home, config)
            got, _ = results(home)
            deleted, = [status for agent, tool, status, _ in got if tool == "delete_file"]
            self.assertRegex(home.run("show", "last", "--full").stdout,
                             r'\n    call \d+ \(run 1\): mcp__command_line__execute_command finished: \{"command": ?"python3 prog\.py')
            self.assertEqual(deleted, "finished", got)  # what a job of the agent's made need not be read first
            ran = [json.loads(text) for agent, tool, _, text in got if tool == "execute_command"]
            self.assertEqual((ran[0]["exit_code"], ran[0]["stdout"].splitlines()[0]), (0, "42"))
            self.assertNotIn("CONCLAVE_HOME", ran[0]["stdout"])
            self.assertIn("started", ran[1]["stdout"])
            self.assertNotIn("canary-outside", str(ran[1]))
            self.assertNotIn("root:", ran[1]["stdout"])
            self.assertNotIn("SQLite", ran[1]["stdout"])
            self.assertFalse((home.path / "made.txt").exists())
            self.assertTrue(ran[2]["timed_out"])
            left = subprocess.run(["pgrep", "-f", "sleep 100[0-2]"], capture_output=True, text=True).stdout
            self.assertEqual(left, "", "processes of an agent outlive its task")

    def test_changes_are_proposed_applied_and_undone(self):
        with Home() as home:
            project = project_in(home)
            before = tree(project)
            config = team([step(call(FS + "read_text_file", path="../target1/readme.txt"), call(FS + "read_text_file", path="../target1/old.txt")),
                           step(call(FS + "write_file", path="../target1/readme.txt", content="two\n"),
                                call(FS + "write_file", path="../target1/src/b.py", content="print(2)\n"),
                                call(WS + "delete_file", path="../target1/old.txt"),
                                call(FS + "write_file", path="../target1/locked/y", content="no\n"),
                                call(FS + "write_file", path="../target1/.env", content="no\n"),
                                call(FS + "write_file", path=str(project / "c.txt"), content="no\n")),
                           step(call(WS + "deliver_files", source_path="prog.py", destination_path="../target1/src"))],
                          project, first=[step(call(CMD + "execute_command", command=f"cat {project}/.env {project}/readme.txt; ls {project}; "
                                                    f"echo no > {project}/readme.txt; touch made; rm -rf {project}")),
                                          step(call(FS + "write_file", path="made", content="by hand")), step(call(FS + "write_file", path="prog.py", content="print(3)\n"),
                                               call(FS + "read_text_file", path=str(project / ".env")),
                                               call(FS + "write_file", path=str(project / "readme.txt"), content="no\n"))])
            r = self.ran(home, config)
            self.assertEqual(tree(project), before, "a run wrote into the user's folder")
            self.assertIn("conclave apply", r.stderr)
            got, bodies = results(home)
            ran = json.loads(next(text for _, tool, _, text in got if tool == "execute_command"))
            self.assertIn("one", ran["stdout"])
            codes = [re.search(r"E_[A-Z]+", text).group() for _, _, status, text in got if status.startswith("denied:")]
            self.assertEqual(codes, ["E_SECRET", "E_READONLY", "E_PROTECTED", "E_EXCLUDED", "E_READONLY"], got)
            self.assertNotIn(b"canary-4711", bodies)
            shown = home.run("diff", "last", "--name-only").stdout
            self.assertEqual([line.split()[-1] for line in shown.splitlines()[1:]], ["old.txt", "readme.txt", "src/b.py", "src/prog.py"], shown)
            self.assertIn("+two", home.run("diff", "last").stdout)
            replayed, row = home.run("replay", "last").stderr, json.loads(home.run("list", "--json").stdout)
            applied = home.run("apply", "last")
            self.assertEqual((applied.returncode, applied.stderr), (0, ""))
            after = tree(project)
            self.assertEqual({p for p in after if after.get(p) != before.get(p)} | (before.keys() - after.keys()),
                             {"readme.txt", "src/b.py", "src/prog.py", "old.txt"})
            said = f"4 files in {project}, 20"
            self.assertIn("\nApplied\n  " + said, home.run("show", "last").stdout)
            self.assertIn("answered     " , home.run("list").stdout)
            self.assertRegex(home.run("list").stdout, "  applied     make it")
            undone = home.run("undo", "last")
            self.assertEqual((undone.returncode, tree(project)), (0, before), undone.stderr)
            self.assertRegex(home.run("show", "last", "--files").stdout, f"applied: {said}.* UTC, taken back 20.* UTC\n")
            self.assertRegex(home.run("list").stdout, "  taken back  make it")
            listed = json.loads(home.run("list", "--json").stdout)["applied"]
            self.assertEqual([(x["folder"], x["files"], x["undone"] >= x["applied"] > 0) for x in listed], [(str(project), 4, True)])
            self.assertEqual(home.run("apply", "last").returncode, 0)
            self.assertEqual((home.run("apply", "last").stdout, tree(project)), (f"{project}: nothing to write\n", after))
            events = events_of(home.run("show", "last", "--json").stdout)
            self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
            end = next(i for i, e in enumerate(events) if e["type"] == "task_ended")
            self.assertEqual([(e["type"], e["target"], e["number"]) for e in events[end + 1:]],
                             [(f"changes_{x}", str(project), 4) for x in ("applied", "undone", "applied")], "what was done is not in the log, once")
            first, back, second = (e["label"] for e in events[end + 1:])
            self.assertEqual((first == back, first == second), (True, False))
            self.assertIn(f"  4 paths put back in {project}\n", home.run("show", "last").stdout)
            now = json.loads(home.run("list", "--json").stdout)
            for key in ("outcome", "last", "started", "question"):
                self.assertEqual(now[key], row[key])
            self.assertEqual(now["events"], row["events"] + 3)
            again = home.run("replay", "last", "--speed", "1000")
            self.assertEqual((again.returncode, home.run("replay", "last").stderr), (0, replayed), again.stderr)
            verified = home.run("replay", "last", "--verify")
            self.assertIn("no difference", verified.stdout, verified.stderr)
            resumed = home.run("resume", "last", "--json")
            self.assertEqual([e["type"] for e in events_of(resumed.stdout)], ["final_answer", "task_ended"], resumed.stderr)
            logs = next((home.path / "home" / "logs").glob("*"))
            self.assertEqual(json.loads((logs / "events.jsonl").read_text().splitlines()[-1])["type"], "task_ended")
            labels = json.loads((logs / "snapshot_mappings.json").read_text())
            self.assertEqual({k: v["type"] for k, v in labels.items()},
                             {"agent1.1": "answer", "agent1.vote1": "vote", "agent2.vote1": "vote", "agent1.final": "final_answer", "agent2.1": "answer"})
            for v in labels.values():
                self.assertTrue(v["path"] is None or (home.path / "home" / v["path"]).is_file(), v)
            self.assertNotIn("secret-id", json.dumps(labels))
            status = json.loads((logs / "status.json").read_text())["results"]
            self.assertEqual((status["files"]["agent1.final"]["files"], status["changes"]), (2, [{"folder": str(project), "files": 4}]))

    def test_a_file_the_user_changed_meanwhile_stops_an_apply(self):
        with Home() as home:
            project = project_in(home)
            config = team([step(call(FS + "read_text_file", path="../target1/readme.txt")),
                           step(call(FS + "write_file", path="../target1/readme.txt", content="two\n"),
                                call(FS + "write_file", path="../target1/new.txt", content="new\n"))], project)
            self.ran(home, config, "--apply", "no")
            (project / "readme.txt").write_text("the user's own\n")
            stopped = home.run("apply", "last")
            self.assertEqual((stopped.returncode, (project / "new.txt").exists()), (2, False), stopped.stderr)
            self.assertIn("readme.txt", stopped.stderr)
            self.assertEqual(home.run("apply", "last", "--on-drift", "skip").returncode, 0)
            self.assertEqual(((project / "readme.txt").read_text(), (project / "new.txt").read_text()), ("the user's own\n", "new\n"))
            self.assertEqual(home.run("undo", "last").returncode, 0)
            # What the team file said when the task began holds for an apply that says nothing else.
            (project / "readme.txt").write_text("one\n")
            for where in ("backend", "orchestrator"):
                config = team([step(call(FS + "read_text_file", path="../target1/readme.txt")),
                               step(call(FS + "write_file", path="../target1/readme.txt", content="two\n"))], project)
                for holder in [config["orchestrator"]] if where == "orchestrator" else [a["backend"] for a in config["agents"]]:
                    holder["drift_conflict_policy"] = "prefer_presenter"
                self.ran(home, config, "--apply", "no")
                (project / "readme.txt").write_text("the user's own\n")
                self.assertEqual(home.run("apply", "last", "--on-drift", "fail").returncode, 2, where)
                r = home.run("apply", "last")
                self.assertEqual((r.returncode, (project / "readme.txt").read_text()), (0, "two\n"), where + r.stderr)
                self.assertEqual(home.run("undo", "last").returncode, 0)
                (project / "readme.txt").write_text("one\n")
            other = home.path / "other"
            other.mkdir()
            (other / "readme.txt").write_text("one\n")
            self.assertEqual(home.run("apply", "last", "--to", str(other)).returncode, 0)
            self.assertEqual((other / "readme.txt").read_text(), "two\n")

    def test_what_a_killed_apply_left_goes_with_the_next_start_apply_or_undo(self):
        with Home() as home:
            project = project_in(home)
            config = team([step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], project)
            self.ran(home, config, "--apply", "no")
            journals = home.path / "home" / "deliveries"

            def killed():  # before its plan was written: nothing of the user's was touched
                (journals / "of-another-task" / "abcdef" / "old").mkdir(parents=True, exist_ok=True)
                (journals / "of-another-task" / "abcdef" / "target").write_text(f"{os.fsencode(project).hex()} {project.stat().st_ino}\n")
                (project / ".conclave-abcdef").mkdir()
                (project / ".conclave-abcdef" / "0").write_text("half")

            before = tree(project)
            for what in (["undo", "last"], ["apply", "last"], ["undo", "last"], ["--config", home.write("team.json", config), "--apply", "no", "again"]):
                killed()
                r = home.run(*what)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("nothing had been written to", r.stderr)
                self.assertFalse((project / ".conclave-abcdef").exists() or (journals / "of-another-task" / "abcdef").exists(), what)
            self.assertEqual(tree(project), before)

    def test_yes_writes_at_the_end_and_output_dir_makes_a_folder(self):
        with Home() as home:
            project = project_in(home)
            config = team([step(call(FS + "write_file", path="../target1/new.txt", content="new\n"))], project,
                          first=[step(call(FS + "write_file", path="mine.txt", content="mine\n"))])
            r = self.ran(home, config, "--apply", "yes", "--output-dir", str(home.path / "out"))
            self.assertEqual((project / "new.txt").read_text(), "new\n", r.stderr)
            self.assertEqual(tree(home.path / "out").keys(), {"mine.txt"})
            self.assertIn("conclave undo", r.stderr)
            self.assertEqual(events_of(home.run("show", "last", "--json").stdout)[-1]["type"], "changes_applied")
            self.assertEqual(home.run("rm", "last").returncode, 0)
            self.assertEqual([p for p in (home.path / "home" / "snapshots" / "files").rglob("*") if p.is_file()], [], "rm leaves snapshots")

    def test_an_output_dir_that_cannot_be_is_told_before_the_first_call(self):
        with Home() as home:
            files = [step(call(FS + "write_file", path="mine.txt", content="mine\n"))]
            path = home.write("team.json", team([], first=files))
            (home.path / "full").mkdir()
            (home.path / "full" / "x").write_text("x")
            (home.path / "empty").mkdir()
            for out, why in (("full", "is there already and not empty"), ("team.json", "no folder"), ("no/such/out", "is not there; make it first")):
                r = home.run("--config", path, "--output-dir", out, "make it")
                self.assertEqual((r.returncode, r.stdout), (1, ""), out)
                self.assertIn(why, r.stderr)
            plain = home.write("plain.json", {"agents": [{"id": "a", "backend": {"type": "scripted", "steps": [{"answer": "x"}, {"text": "y"}]}}]})
            r = home.run("--config", plain, "--output-dir", "out", "make it")
            self.assertEqual((r.returncode, "no agent has a workspace" in r.stderr), (1, True), r.stderr)
            self.assertEqual(home.run("list", "--json").stdout, "", "a task was begun")
            r = home.run("--config", plain, "Look at @full and ann@full")
            self.assertEqual((r.returncode, r.stderr.count("but no agent has a workspace: it stays text")), (0, 1), r.stderr)
            r = home.run("--config", path, "--output-dir", "empty", "make it")
            self.assertEqual((r.returncode, tree(home.path / "empty").keys()), (0, {"mine.txt"}), r.stderr)
            # One that is filled meanwhile: the answer is there, and so is the way to its files.
            fills = [step(call(CMD + "execute_command", command=f"mkdir {home.path}/late; echo x > {home.path}/late/x; echo mine > mine.txt"))]
            config = team([], first=fills)
            config["sandbox"] = {"mode": "off"}
            r = home.run("--config", home.write("late.json", config), "-q", "--output-dir", "late", "make it")
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertRegex(r.stderr, "not empty. The files are kept: .*conclave apply .* --to DIR")

    def test_a_run_that_was_cut_off_keeps_its_files(self):
        with Home() as home:
            config = team([], first=[step(call(FS + "write_file", path="kept.txt", content="kept\n")),
                                     step(call(CMD + "execute_command", command="echo more >> kept.txt")),
                                     {"text": "", "hang": True, "calls": []}])
            config["agents"][0]["backend"]["steps"][2] = step(call(CMD + "execute_command", command="touch ready; sleep 20", timeout=30))
            path = home.write("team.json", config)
            p = home.start("--config", path, "--json", "make it")
            lines, begun = Lines(p.stdout), []
            lines.until(lambda line: '"call_started"' in line and "execute_command" in line and begun.append(1) is None and len(begun) == 2)
            deadline = time.monotonic() + 30
            while not list((home.path / "home" / "work").glob("*/*/work/ready")):
                self.assertLess(time.monotonic(), deadline, "the command does not begin")
                select_wait()
            p.kill()
            p.wait()
            p.stdout.close(), p.stderr.close()
            work = next((home.path / "home" / "work").glob("*/*/work/ready")).parent
            (work / "sub" / ".conclave-copy-1.tmp").mkdir(parents=True)
            for name in (".conclave-4711-1.tmp", "sub/.conclave-copy-1.tmp/half", "sub/.conclave-mine"):
                (work / name).write_text("half a file")
            r = home.run("resume", "last", "-q")
            self.assertEqual(r.returncode, 0, r.stderr)
            shown = home.run("show", "last", "--files").stdout
            self.assertIn("sub/.conclave-mine", shown)
            self.assertNotIn(".tmp", shown, "what a killed process had half written goes with the answer")
            self.assertIn("kept.txt  10", home.run("show", "last", "--files").stdout)
            self.assertIn("ready", home.run("show", "last", "--files").stdout)
            got, _ = results(home)
            self.assertEqual(sum(1 for g in got if g[1] == "execute_command" and g[2] == "finished"), 1, got)

    def test_what_a_process_left_that_was_killed_at_the_end_of_its_task_goes(self):
        with Home() as home:
            config = team([], first=[step(call(FS + "write_file", path="made.txt", content="made"))])
            again = ["--config", home.write("team.json", config), "-q", "once more"]
            self.ran(home, config)
            ended = json.loads(home.run("list", "--json").stdout)["task"]
            config["agents"][0]["backend"]["steps"] = [{"text": "", "hang": True}]
            p = home.start("--config", home.write("hangs.json", config), "--json", "make it")
            Lines(p.stdout).until('"call_started"')
            p.kill()
            p.stdout.close(), p.stderr.close()
            p.wait()
            cut_off = json.loads(home.run("list", "--json").stdout.splitlines()[0])["task"]
            work = home.path / "home" / "work"
            self.assertTrue((work / cut_off).is_dir())
            for command in (again, ["resume", ended]):
                with self.subTest(command=command):
                    for task in (ended, "of-nobody-here"):
                        (work / task / "01234567" / "work").mkdir(parents=True, exist_ok=True)
                        (work / task / "01234567" / "work" / "made.txt").write_text("made")
                    self.assertEqual(home.run(*command).returncode, 0)
                    self.assertEqual({x.name for x in work.iterdir()}, {cut_off, "of-nobody-here"})

    def test_paths_tells_what_agents_may_do(self):
        with Home() as home:
            project = project_in(home)
            path = home.write("team.json", team([], project))
            r = home.run("paths", "--config", path, str(project / "readme.txt"), str(project / ".env"), "/etc/passwd")
            self.assertEqual(r.returncode, 0, r.stderr)
            readme, env, passwd = r.stdout.splitlines()[1:4]
            self.assertRegex(readme, "readme.txt: read yes, write no .E_READONLY: .*; a copy of it may be changed, which apply writes back$")
            config = team([], project)
            config["orchestrator"]["context_paths"][0]["protected_paths"] = ["readme.txt"]
            protected = home.run("paths", "--config", home.write("p.json", config), str(project / "readme.txt"), str(project / "new")).stdout.splitlines()
            self.assertRegex(protected[1], "; apply writes it: no .E_PROTECTED: readme.txt.$")
            self.assertRegex(protected[2], "which apply writes back$")
            for mode, said in (("read", "write no .E_READONLY: [^;]*$"), ("legacy", "; who presents may write it, in place$")):
                config = team([], project, permission="read" if mode == "read" else "write")
                for a in config["agents"] if mode == "legacy" else []:
                    a["backend"]["write_mode"] = "legacy"
                told = home.run("paths", "--config", home.write("r.json", config), str(project / "readme.txt")).stdout.splitlines()[1]
                self.assertRegex(told, said)
            self.assertRegex(env, "read no .E_SECRET")
            self.assertRegex(passwd, "read no .E_OUTSIDE")

    def test_a_place_that_cannot_be_given_is_refused_before_the_first_call(self):
        with Home() as home:
            (home.path / "r" / ".git" / "hooks").mkdir(parents=True)
            os.mkfifo(home.path / "fifo")
            for path in ("fifo", "/dev/null", "/dev", "/proc", "/proc/self/fd"):
                for permission in ("read", "write"):
                    r = self.ran(home, team([], path, permission), code=1)
                    self.assertRegex(r.stderr, "is neither a file nor a folder|is in /(dev|proc), which is made of no files")
                    r = home.run("validate", "--config", home.write("t.json", team([], path, permission)))
                    self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            r = home.run("--config", home.write("t.json", team([])), "look at @fifo")
            self.assertIn("is neither a file nor a folder", r.stderr)
            for path, said in ((str(home.path), "conclave keeps its own files"), ("/", "whole file system"), ("./nowhere", "is not there"),
                               ("./r/.git", "name the folder that holds .git"), ("./r/.git/hooks", "name the folder that holds .git")):
                r = self.ran(home, team([], path), code=1)
                self.assertIn(said, r.stderr)
            for given in (["--path", "r/.git:w", "make it"], ["look at @r/.git"]):
                r = home.run("--config", home.write("t.json", team([])), *given)
                self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
                self.assertIn("name the folder that holds .git", r.stderr)
            (home.path / "p" / "sub").mkdir(parents=True)
            config = team([], "p")
            config["orchestrator"]["context_paths"].append({"path": "p/sub", "permission": "write"})
            r = self.ran(home, config, code=1)
            self.assertIn(f"'{home.path}/p/sub' lies in '{home.path}/p', and both have permission: write", r.stderr)
            r = home.run("--config", home.write("t.json", team([], "p")), "--path", "p/sub:w", "make it")
            self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            self.assertIn("both have permission: write", r.stderr)
            r = home.run("--config", home.write("t.json", team([])), "--record", str(home.path / "c"), "make it")
            self.assertIn("cannot be recorded", r.stderr)


class Quick(unittest.TestCase):
    def test_paths_in_a_question_are_given_to_one_model(self):
        async def behave(provider, request, reply):
            text = json.dumps(request["messages"])
            if "Target Path, make changes here" in text and '"tool"' not in text:
                place = re.search(r"(/[^ \"\\]*/target1)", text)
                return await reply.play("", [(FS + "write_file", {"path": place.group(1) + "/new.txt", "content": "new\n"})])
            await reply.decide("done")

        provider = Provider(behave)
        try:
            with Home() as home:
                project = project_in(home)
                ask = ["--backend", "chatcompletion", "--model", "m", "--base-url", provider.url + "/v1", "--apply", "yes"]
                r = home.run(*ask, "Add a file to @project:w, mail ann@project", env={"OPENAI_API_KEY": "k"})
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn(f"agents may change a copy of {project}, which the question names", r.stderr)
                self.assertIn(f"Add a file to {project}, mail ann@project", json.dumps(provider.requests[0]["messages"]))
                self.assertEqual((project / "new.txt").read_text(), "new\n")
                provider.requests.clear()
                for said, question in (("whole file system", "Look at @/ now"), ("keeps its own files", "Look at @./ now")):
                    r = home.run(*ask, question, env={"OPENAI_API_KEY": "k"})
                    self.assertEqual((r.returncode, len(provider.requests)), (1, 0), r.stderr)
                    self.assertIn(said, r.stderr)
                r = home.run(*ask, "Look at @project:w and @project/src:w", env={"OPENAI_API_KEY": "k"})
                self.assertEqual((r.returncode, "conclave: @ in the question: '" in r.stderr), (1, True), r.stderr)
                r = home.run(*ask, "--path", "project", "--path", "project:w", "--path", "project/src:w", "x", env={"OPENAI_API_KEY": "k"})
                self.assertEqual((r.returncode, "conclave: --path: '" in r.stderr), (1, True), r.stderr)  # the second :w counts
                provider.requests.clear()
                r = home.run(*ask, "See @. and go on", env={"OPENAI_API_KEY": "k"})
                self.assertIn("@. in the question stays text", r.stderr)
                provider.requests.clear()
                r = home.run(*ask, stdin="Look at @project", env={"OPENAI_API_KEY": "k"})
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("Look at @project", json.dumps(provider.requests[0]["messages"]), "piped text grants something")
                self.assertNotIn("write_file", json.dumps(provider.requests[0].get("tools", [])))
        finally:
            provider.stop()


def select_wait():
    import select
    select.select([], [], [], 0.02)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
