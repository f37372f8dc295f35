# SPDX-License-Identifier: Apache-2.0
"""`conclave resume` of a task that ended without an answer: the files of its answers go on with the new task, which works in the sandbox as every
task does. Real files, the real sandbox, real git."""

import asyncio
import shutil
import unittest

from provider import Provider
from support import *
from test_workspace import CMD, FS, call, results, step, team

LOOK = [(FS + "directory_tree", {"path": "../view"}), (FS + "read_text_file", {"path": "../view/agent1/report.txt"}),
        (CMD + "execute_command", {"command": "cat report.txt; pwd"})]


class Carried(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.waiting = True
        self.provider = Provider(self.behave)

    def tearDown(self):
        self.provider.stop()
        self.home.__exit__()

    async def behave(self, provider, request, reply):
        """ann hands in a file, bob is not there yet when the task is ended. In the next one both look at it and vote for it."""
        tools, looked = reply.tools(), any(m.get("role") == "tool" for m in request["messages"])
        if "new_answer" in tools and "vote" not in tools:
            if request["model"] == "bob":
                await asyncio.sleep(1000 if self.waiting else 0)
            elif not looked:
                return await reply.play("", [(FS + "write_file", {"path": "report.txt", "content": "42\n"})])
        elif "vote" in tools and not looked:
            return await reply.play("", LOOK)
        await reply.decide("the result is in report.txt")

    def interrupted(self, how=signal.SIGINT, **more):
        """Ends a task once ann has answered. Returns its name."""
        team = {"agents": [{"id": x, "backend": {"type": "chatcompletion", "model": x, "base_url": self.provider.url + "/v1", "cwd": x,
                                                 "enable_mcp_command_line": True}} for x in ("ann", "bob")],
                "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}, **more}
        p = self.home.start("--config", self.home.write("team.json", team), "make it")
        Lines(p.stderr).until("with the answer")
        p.send_signal(how)
        p.communicate(timeout=30)
        self.waiting = False
        self.assertIn("report.txt", self.home.run("show", "last", "--files").stdout)
        return self.newest()

    def tasks(self):
        return events_of(self.home.run("list", "--json").stdout)

    def newest(self):
        return self.tasks()[0]["task"]

    def resumed(self, *more):
        r = self.home.run("resume", *more)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r

    def test_files_of_the_answers_go_on_with_the_new_task(self):
        old = self.interrupted()
        r = self.resumed("--output-dir", "out")
        self.assertIn("a new task begins with 1 answer of it", r.stderr)
        self.assertEqual((self.home.path / "out" / "report.txt").read_text(), "42\n")
        new = self.newest()
        self.assertNotEqual(new, old)
        seen = {}
        for agent, tool, status, text in results(self.home)[0]:
            seen.setdefault((agent, tool), []).append((status, text))
        for who in ("ann", "bob"):
            self.assertIn("report.txt", seen[who, "directory_tree"][-1][1])
            self.assertEqual(seen[who, "read_text_file"][-1], ("finished", "42\n"))
            self.assertEqual(seen[who, "execute_command"][-1][0], "finished", seen)
        self.assertIn('"stdout":"42', seen["ann", "execute_command"][-1][1], "a run starts from the newest answer of its agent")
        self.assertNotIn('"stdout":"42', seen["bob", "execute_command"][-1][1], "others have it in their view alone")
        files = self.home.run("show", new, "--files").stdout
        self.assertIn(f"agent1.1: 1 file, 3 bytes, of task {old}\n  report.txt  3\n", files)
        self.assertIn("agent1.final: 1 file, 3 bytes, delivered\n", files)
        status = json.loads((self.home.path / "home" / "logs" / new / "status.json").read_text())
        self.assertEqual(status["results"]["files"]["agent1.1"], {"files": 1, "bytes": 3})

    def test_the_old_task_may_go(self):
        for way in ("rm", "prune"):
            with self.subTest(way):
                self.waiting = True
                old = self.interrupted(signal.SIGTERM)
                time.sleep(4 if way == "prune" else 0)
                self.resumed()
                started = {x["task"]: x["started"] for x in self.tasks()}
                new = self.newest()
                age = ["rm", old] if way == "rm" else ["prune", "--older-than", f"{time.time() - started[new] / 1000 + 2:.1f}s"]
                self.assertEqual(self.home.run(*age).returncode, 0)
                self.assertIn(new, [x["task"] for x in self.tasks()])
                self.assertNotIn(old, [x["task"] for x in self.tasks()])
                self.assertIn("  report.txt  3\n", self.home.run("show", new, "--files").stdout)
                to = self.home.path / way
                to.mkdir()
                r = self.home.run("apply", new, "--to", str(to))
                self.assertEqual((to / "report.txt").read_text(), "42\n", r.stderr)
        # What nobody holds any more is freed.
        self.assertEqual(self.home.run("rm", *[x["task"] for x in self.tasks()]).returncode, 0)
        self.assertEqual([p for p in (self.home.path / "home" / "snapshots" / "files").rglob("*") if p.is_file()], [])

    def test_files_that_are_gone_are_told(self):
        old = self.interrupted()
        shutil.rmtree(self.home.path / "home" / "snapshots")
        r = self.resumed()
        self.assertIn("the files of 'ann' (agent1.1) are not there any more: of that answer the new task has the text alone", r.stderr)
        self.assertIn(f"agent1.1: 1 file, 3 bytes, of task {old}, gone before this task began\n", self.home.run("show", "last", "--files").stdout)

    def test_files_that_are_damaged_stop_it_before_the_first_call(self):
        old = self.interrupted()
        files = self.home.path / "home" / "snapshots" / "files"
        kept, = [p for p in files.rglob("*") if p.is_file() and p.read_bytes() == b"42\n"]
        asked = len(self.provider.requests)
        for damage in ("missing", "longer"):
            with self.subTest(damage):
                kept.unlink(missing_ok=True)
                if damage == "longer":
                    kept.write_bytes(b"42\n\n")
                r = self.home.run("resume", old)
                self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
                self.assertIn(f"conclave: the files of 'ann' (agent1.1) are damaged: the snapshot store is damaged: {kept}, which holds report.txt, is missing or "
                              "altered; put that back, ", r.stderr)
                self.assertNotIn("begins", r.stderr)
                self.assertEqual([x["task"] for x in self.tasks()], [old])
                self.assertEqual(list((self.home.path / "home" / "work").iterdir()), [])
        self.assertEqual(len(self.provider.requests), asked)
        kept.unlink()
        kept.write_bytes(b"42\n")
        snapshots = self.home.path / "home" / "snapshots"
        top = next(t for h in (snapshots / "held" / old).iterdir() for t in (snapshots / "trees").rglob(h.name))
        top.rename(self.home.path / "top")  # the task is there, so that is no snapshot that went with its task
        r = self.home.run("resume", old)
        self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
        self.assertIn(f"conclave: the files of 'ann' (agent1.1) are gone: there is no snapshot {top.name}; put that back, ", r.stderr)
        self.assertEqual(len(self.provider.requests), asked)
        (self.home.path / "top").rename(top)
        self.resumed()

    def test_damaged_files_of_a_task_that_was_cut_off_stop_it_before_the_first_call(self):
        self.interrupted(signal.SIGKILL)
        kept, = [p for p in (self.home.path / "home" / "snapshots" / "files").rglob("*") if p.is_file()]
        kept.rename(self.home.path / "kept")
        asked = len(self.provider.requests)
        for _ in range(2):  # it can be tried again
            r = self.home.run("resume")
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertRegex(r.stderr, r"^conclave: the files of 'ann' \(agent1.1\) are damaged: [^\n]*\n$")
        self.assertEqual(len(self.provider.requests), asked)
        (self.home.path / "kept").rename(kept)
        self.resumed()

    def test_only_one_process_at_a_time_goes_on_from_it(self):
        old = self.interrupted()

        async def wait(provider, request, reply):
            await asyncio.sleep(1000)
        self.provider.behave = wait
        for end in (signal.SIGINT, signal.SIGKILL):
            asked = len(self.provider.requests)
            first = self.home.start("resume", old)
            self.assertTrue(self.provider.wait(lambda: len(self.provider.requests) == asked + 2))
            tasks, asked = len(self.tasks()), len(self.provider.requests)
            for command in ("resume", "rm") * 2:
                r = self.home.run(command, old)
                self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
                self.assertRegex(r.stderr, rf"^conclave: task {old} is in use: process {first.pid} on \S+ \(begun .* UTC\) works on it; [^\n]*\n$")
            self.assertEqual((len(self.tasks()), len(self.provider.requests)), (tasks, asked))
            first.send_signal(end)
            first.communicate(timeout=30)
        self.provider.behave = self.behave
        self.resumed(old)
        self.assertEqual(self.home.run("rm", old).returncode, 0)

    def test_a_second_end_loses_nothing(self):
        self.interrupted()
        self.waiting = True

        async def wait(provider, request, reply):
            await asyncio.sleep(1000)
        self.provider.behave = wait
        p = self.home.start("resume")
        Lines(p.stderr).until("start")
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=30)
        self.provider.behave = self.behave
        self.resumed("--output-dir", "out")
        self.assertEqual((self.home.path / "out" / "report.txt").read_text(), "42\n")

    def test_a_kill_of_the_new_task_loses_nothing(self):
        self.interrupted()

        async def wait(provider, request, reply):
            await asyncio.sleep(1000)
        self.provider.behave = wait
        p = self.home.start("resume")
        Lines(p.stderr).until("start")
        p.kill()
        p.communicate(timeout=30)
        self.provider.behave = self.behave
        self.resumed("--output-dir", "out")
        self.assertEqual((self.home.path / "out" / "report.txt").read_text(), "42\n")


class Folders(unittest.TestCase):
    """What an answer had changed in a folder of the user's that went on meanwhile."""

    def run_and_end(self, home, config):
        config["agents"][1]["backend"]["steps"] = [{"answer": "nothing to add", "first_delay_ms": 1500}, {"vote": "agent1"}]
        p = home.start("--config", home.write("team.json", config), "--apply", "no", "make it")
        Lines(p.stderr).until("with the answer")
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=30)

    def project(self, home):
        project = home.path / "project"
        project.mkdir()
        self.sh(project, "git init -q -b main . && git config user.name Ann && git config user.email a@example.org && echo one > a && echo two > b "
                         "&& git add . && git commit -qm first")
        return project

    def sh(self, where, command):
        r = subprocess.run(["sh", "-ec", command], cwd=where, capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def test_what_the_user_did_meanwhile_is_not_taken_back(self):
        for own in ("target1/n", "notes"):  # the answer changed the folder, and it did not
            with self.subTest(own), Home() as home:
                project = self.project(home)
                config = team([], project, first=[step(call(FS + "write_file", path=own, content="n\n"))])
                self.run_and_end(home, config)
                self.sh(project, "echo later >> a && git commit -qam later && git rm -q b && git commit -qm gone")
                config["agents"][0]["backend"]["steps"] = []
                r = home.run("resume", "--apply", "no")
                self.assertEqual(r.returncode, 0, r.stderr)
                shown = home.run("show", "last", "--files").stdout
                self.assertIn("agent1.1: 1 file, 2 bytes", shown)
                diff = home.run("diff", "last").stdout
                if own == "notes":  # its checkout is made anew
                    self.assertNotIn("folder ", diff)
                    self.assertIn("+later", diff)
                    continue
                self.assertIn(f"folder {project}\nA  n\n", diff)
                self.assertNotIn("later", diff)
                self.assertNotIn("  b\n", diff)
                r = home.run("apply", "last")
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(self.sh(project, "cat a n; ls"), "one\nlater\nn\na\nn\n")

    def test_a_folder_that_is_no_repository_any_more_gets_what_the_answer_changed(self):
        with Home() as home:
            project = self.project(home)
            config = team([], project, first=[step(call(FS + "write_file", path="target1/n", content="n\n"))])
            self.run_and_end(home, config)
            shutil.rmtree(project / ".git")
            r = home.run("resume", "--apply", "no")
            self.assertEqual(home.run("diff", "last", "--name-only").stdout, f"folder {project}\nA  n\n", r.stderr)
            self.assertEqual(home.run("apply", "last").returncode, 0)
            self.assertEqual(self.sh(project, "ls"), "a\nb\nn\n")

    def test_a_folder_that_is_gone_is_refused(self):
        with Home() as home:
            project = self.project(home)
            self.run_and_end(home, team([], project, first=[step(call(FS + "write_file", path="x", content="x"))]))
            project.rename(home.path / "elsewhere")
            r = home.run("resume")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn(f"context_paths: {project} of agent 'ann secret-id' is not there", r.stderr)

    def test_only_what_the_winner_handed_in_is_delivered(self):
        with Home() as home:
            config = team([], first=[step(call(FS + "write_file", path="x", content="same"))])
            config["agents"][1]["backend"]["steps"] = [step(call(FS + "write_file", path="x", content="same")), {"answer": "other"}, {"vote": "agent1"}]
            self.assertEqual(home.run("--config", home.write("team.json", config), "-q", "make it").returncode, 0)
            lines = home.run("show", "last", "--files").stdout.splitlines()
            self.assertEqual([x for x in lines if "delivered" in x], ["agent1.final: 1 file, 4 bytes, delivered"])


if __name__ == "__main__":
    need_sandbox()
    if not shutil.which("git"):
        print("skipped: git is not there")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
