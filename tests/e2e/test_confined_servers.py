# SPDX-License-Identifier: Apache-2.0
"""Tool servers of agents with a workspace: confined by the kernel, with a network, and behind the path policy. A Python server and the reference
server `server-everything` (npm), scripted models, the real sandbox in both tiers."""

import http.server
import re
import shutil
import threading
import time
import unittest

from support import *
from test_workspace import results, step, call

PROBE = ROOT / "tests" / "support" / "probe_mcp.py"
NPM = pathlib.Path(os.environ.get("CONCLAVE_NPM_DIR", ROOT / "build" / "npm" / "node_modules"))
EVERYTHING = NPM / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
PYTHON = shutil.which("python3", path="/usr/bin:/bin")
TIERS = ("namespaces", "landlock")


def server(**more):
    return {"command": PYTHON, "args": [str(PROBE)], "env": {"PYTHONDONTWRITEBYTECODE": "1"}, **more}


def team(steps, servers, project=None, readable=(), commands=False, sandbox=None, presenting=(), permission="write"):
    ann = {"type": "scripted", "cwd": "w1", "mcp_servers": servers, "sandbox": {"readable": [str(PROBE.parent), *map(str, readable)], **(sandbox or {})},
           "enable_mcp_command_line": commands, "steps": [*steps, {"answer": "see"}, {"vote": "agent1"}, *presenting, {"text": "done"}]}
    bob = {"type": "scripted", "steps": [{"answer": "nothing"}, {"vote": "agent1"}]}
    out = {"agents": [{"id": "ann", "backend": ann}, {"id": "bob", "backend": bob}],
           "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}}
    if project:
        out["orchestrator"]["context_paths"] = [{"path": str(project), "permission": permission, "protected_paths": ["keep.txt"]}]
    return out


def processes(*parts):
    """Command lines that hold one of these; of processes that still run."""
    out = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (p / "cmdline").read_bytes().decode(errors="replace")
            state = (p / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if line and state != "Z" and any(x in line for x in parts) and str(os.getpid()) != p.name and "test_confined" not in line:
            out.append(line)
    return out


def until(true, what):
    end = time.monotonic() + 20
    while not true():
        if time.monotonic() > end:
            raise AssertionError("not within 20 s: " + what)
        time.sleep(0.02)


def do(tool, name="probe", **arguments):
    """One call of the probe server, see tests/support/probe_mcp.py."""
    return step(call(f"mcp__{name}__{tool}", **arguments))


class Web:
    """A server on the loopback device of this machine."""

    def __enter__(self):
        class quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@unittest.skipUnless(PYTHON, "skipped: there is no Python below /usr")
class Confined(unittest.TestCase):
    def ran(self, home, config, code=0, env=None):
        r = home.run("--config", home.write("team.json", config), "-q", "make it", **({"env": env} if env else {}))
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r

    def texts(self, home):
        """tool -> [(status, text)]"""
        out = {}
        for _, tool, status, text in results(home)[0]:
            out.setdefault(tool, []).append((status, text))
        return out

    def test_a_server_sees_its_workspace_and_nothing_else(self):
        with Home() as home:
            project = home.path / "project"
            project.mkdir()
            (project / "a.txt").write_text("of the project")
            (project / "keep.txt").write_text("kept")
            (project / ".ssh").mkdir()
            (project / ".ssh" / "id_rsa").write_text("canary-key")
            (home.path / "secret.txt").write_text("canary-outside")
            with Web() as url:
                # `at` is no name of a path, and what is behind "x:" looks like none: the policy lets it pass, and the kernel decides.
                self.ran(home, team([do("put", at="x:made.txt", what="by the server"), do("get", at="x:made.txt"), do("get", at=f"x:{project}/a.txt"),
                                     do("get", at=f"x:{project}/.ssh/id_rsa"), do("get", at=f"x:{home.path}/secret.txt"),
                                     do("get", at=f"x:{home.path}/home/tasks.db"), do("put", at=f"x:{project}/a.txt", what="mine"),
                                     do("put", at=f"x:{home.path}/new.txt", what="mine"), do("fetch", url=url),
                                     do("look")], {"probe": server()}, project))
            got = self.texts(home)
            puts, gets = [t for _, t in got["put"]], [t for _, t in got["get"]]
            self.assertEqual(puts[0], "written")
            self.assertEqual(gets[:2], ["by the server", "of the project"])
            self.assertFalse((home.path / "new.txt").exists())  # in the sandbox's own /tmp it may be made
            for text in gets[2:] + puts[1:2]:
                self.assertRegex(text, "denied|No such file|Read-only", text)
            self.assertNotIn("canary", str(got))
            self.assertEqual(got["fetch"][0][1], "200")
            look = json.loads(got["look"][0][1])
            self.assertTrue(look["cwd"].endswith("/work"), look)
            self.assertTrue(look["home"].endswith("/servers/probe"), look)
            self.assertNotIn("CONCLAVE_HOME", look["env"])
            self.assertEqual((project / "a.txt").read_text(), "of the project")
            self.assertEqual(look["uid"], os.getuid())
            self.assertIn("made.txt", home.run("show", "last", "--files").stdout)
            self.assertEqual(list((home.path / "home" / "work").iterdir()), [], "workspaces are left")


    def test_a_relative_script_counts_from_where_conclave_is_started(self):
        with Home() as home:
            tools = home.path / "tools"
            tools.mkdir()
            shutil.copy(PROBE, tools / "notes.py")
            config = team([do("look", name="notes")], {"notes": {"command": PYTHON, "args": ["./tools/notes.py", "--dir", "${cwd}/notes"]}})
            config["agents"][0]["backend"]["sandbox"] = {"readable": ["./tools"]}
            path = home.write("team.json", config)
            r = home.run("validate", "--explain", path)
            self.assertIn(f"{tools.resolve()}/notes.py", r.stdout)
            self.assertIn("no problems", r.stdout)
            self.ran(home, config)
            status, text = self.texts(home)["look"][0]
            self.assertEqual(status, "finished", text)
            self.assertTrue(json.loads(text)["cwd"].endswith("/work"), text)
            del config["agents"][0]["backend"]["sandbox"]
            r = home.run("validate", home.write("hidden.json", config))
            self.assertRegex(r.stdout, "notes.py' is outside of what the sandbox shows this server: name its folder in")

    def test_the_weaker_tier_has_the_internet_and_no_other_socket(self):
        with Home() as home:
            (home.path / "secret.txt").write_text("canary-outside")
            weak = home.path / "weak"  # no further user namespaces: the tier below is left
            weak.write_text(f"#!/bin/sh\necho 0 >/proc/sys/user/max_user_namespaces || exit 99\nexec {BIN} \"$@\"\n")
            weak.chmod(0o755)
            weaker = lambda *a: subprocess.run(["unshare", "-Ur", str(weak), *a], env=home.env, cwd=home.path, capture_output=True, text=True, timeout=60)
            tier = weaker("sandbox")
            if "landlock" not in tier.stdout.splitlines()[0] if tier.stdout else True:
                self.skipTest("skipped: the weaker tier cannot be had here: " + tier.stdout + tier.stderr)
            with Web() as url:
                r = weaker("--config", home.write("team.json", team([
                    do("fetch", url=url), do("get", at=f"x:{home.path}/secret.txt"), do("put", at=f"x:{home.path}/new.txt", what="mine"),
                    do("put", at="x:made.txt", what="by the server"), do("remember", what="one"), do("sockets")], {"probe": server()})), "-q", "make it")
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            got = self.texts(home)
            self.assertEqual(got["fetch"], [("finished", "200")])
            self.assertRegex(got["get"][0][1], "denied")
            self.assertRegex(got["put"][0][1], "denied")
            self.assertEqual(got["put"][1], ("finished", "written"))
            self.assertEqual(got["remember"][0][1], "one\n")
            self.assertEqual(json.loads(got["sockets"][0][1]), {"AF_INET": "made", "AF_INET6": "made", "AF_UNIX": "refused", "AF_PACKET": "refused"})

    def test_nothing_is_left_after_a_kill(self):
        """Of the engine, in the midst of a call: server, what it started and the launcher are gone at once."""
        with Home() as home:
            p = home.start("--config", home.write("team.json", team([do("write_on"), do("stay", seconds=60)], {"probe": server()})), "-q", "make it")
            try:
                until(lambda: len(processes(str(home.path), str(PROBE))) >= 2, "the server works")
            finally:
                p.kill()
                p.communicate()
            until(lambda: not processes(str(home.path), str(PROBE)), "the server is gone")
            shutil.rmtree(home.path / "home" / "work", ignore_errors=True)

    def test_memory_is_bounded(self):
        free = next(int(x.split()[1]) for x in pathlib.Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable")) >> 20
        if free < 8:
            self.skipTest(f"skipped: needs 8 GiB of memory, {free} are free")
        with Home() as home:
            self.ran(home, team([do("eat", mib=6000), do("remember", what="again")], {"probe": server()}), env={"PYTHONMALLOC": "malloc"})
            got = self.texts(home)
            self.assertRegex(got["eat"][0][1], "too much memory|ended with status 137|MemoryError")
            self.assertEqual(got["remember"][0][0], "finished")

    def test_a_server_that_fills_the_workspace_within_one_call_is_ended(self):
        with Home() as home:
            began = time.monotonic()
            self.ran(home, team([do("fill"), do("look"), do("starts"), step(call("mcp__command_line__execute_command", command="rm one two")), do("starts")],
                                {"probe": server()}, commands=True))
            got = self.texts(home)
            self.assertIn("E_SIZE: ended because", got["fill"][0][1])
            self.assertIn("are allowed", got["fill"][0][1])
            self.assertIn("Delete what is not needed", got["fill"][0][1])
            self.assertEqual(got["look"][0][0], "finished")  # it is started again, and what only reads may be asked
            self.assertEqual([status for status, _ in got["starts"]], ["denied:E_SIZE", "finished"])
            self.assertLess(time.monotonic() - began, 55, "the call came to its own end")

    def test_a_policy_of_a_tool_that_is_not_there_is_told(self):
        with Home() as home:
            r = home.run("--config", home.write("team.json", team([do("look")], {"probe": server(tool_policies={"looks": {"access": "read"}, "get": {"access": "read"}})})),
                         "make it")
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            self.assertEqual(r.stderr.count("tool_policies names the tool 'looks', which it does not offer (is 'look' meant?)"), 1, r.stderr)
            self.assertEqual(r.stderr.count("tool_policies names"), 1, r.stderr)

    def test_as_an_ordinary_user(self):
        if os.getuid() != 0:
            self.skipTest("skipped: it is one that runs this")
        with Home() as home:
            os.chmod(home.path, 0o755)
            for p in (home.path, home.path / "home"):
                os.chown(p, 65534, 65534)
            config = home.write("team.json", team([do("put", at="x:a.txt", what="by nobody"), do("look")], {"probe": server()}))
            r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(BIN), "--config", config, "-q", "make it"],
                               env=home.env, cwd=home.path, capture_output=True, text=True, timeout=60)
            if "Permission denied" in r.stderr and not r.stdout:
                self.skipTest("skipped: an ordinary user cannot reach the build: " + r.stderr)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            got = self.texts(home)
            self.assertEqual(got["put"], [("finished", "written")])
            self.assertEqual(json.loads(got["look"][0][1])["uid"], 65534)

    def test_its_home_lasts_from_run_to_run_and_is_its_own(self):
        with Home() as home:
            first = [do("remember", what="one"), do("remember", what="two"),
                     step(call("mcp__command_line__execute_command", command="cat ../servers/probe/memory.txt; ls -d ../servers; echo evil > ../servers/probe/.npmrc"))]
            self.ran(home, team(first, {"probe": server()}, commands=True, presenting=[do("remember", what="three")]))
            got = self.texts(home)
            self.assertEqual([t for _, t in got["remember"]], ["one\n", "one\ntwo\n", "one\ntwo\nthree\n"])
            ran = json.loads(got["execute_command"][0][1])
            self.assertNotIn("one", ran["stdout"], "a command reads what is a server's")
            self.assertNotEqual(ran["exit_code"], 0)

    def test_no_server_outlives_the_answer_it_worked_for(self):
        """What writes without end into the workspace is gone when the snapshot is taken, and nothing of it is left at the end."""
        with Home() as home:
            self.ran(home, team([do("write_on"), do("starts")], {"probe": server()}, presenting=[do("starts")]))
            got = self.texts(home)
            self.assertEqual([t for _, t in got["starts"]], ["1", "2"])  # for the run that answers, and for the presentation
            self.assertEqual(subprocess.run(["pgrep", "-f", str(PROBE)], capture_output=True, text=True).stdout, "")
            self.assertEqual(list((home.path / "home" / "work").iterdir()), [])

    def test_a_server_that_cannot_start_says_why_and_what_helps(self):
        with Home() as home:
            (home.path / "bin").mkdir()
            shutil.copy(PYTHON, home.path / "bin" / "python3")
            needed = home.path / "needed.txt"
            needed.write_text("x")
            for entry, says in ((server(args=[str(PROBE), "refuse"]), ["this server does not want to", "status 3"]),
                                (server(args=[str(PROBE), "need", str(needed)]), ["needed.txt", "readable", "sandbox: off"]),
                                (server(command=str(home.path / "bin" / "python3")), ["outside of what the sandbox shows", "readable", "sandbox: off"]),
                                (server(cwd=str(home.path / "bin")), ["cannot enter the folder"])):
                r = home.run("--config", home.write("team.json", team([], {"probe": entry})), "--json", "make it")
                for text in says:
                    self.assertIn(text, (r.stdout + r.stderr).replace('\\"', '"'))
            # and with what was named it starts
            fine = team([do("look")], {"probe": server(args=[str(PROBE), "need", str(needed)])}, readable=[needed])
            self.ran(home, fine)

    def test_a_server_that_dies_says_its_own_reason(self):
        with Home() as home:
            self.ran(home, team([do("end", how="by itself"), do("end", how="kill"), do("remember", what="again")], {"probe": server()}))
            got = self.texts(home)
            self.assertIn("ended with status 7", got["end"][0][1])
            self.assertIn("told to end: by itself", got["end"][0][1])
            self.assertIn("told to end: kill", got["end"][1][1])
            self.assertEqual(got["remember"][0][0], "finished")

    def test_the_workspace_in_arguments_and_variables(self):
        with Home() as home:
            r = self.ran(home, team([do("look")], {"probe": server(args=[str(PROBE), "--in", "${cwd}/sub", "$${cwd}"], env={"PLACE": "${cwd}"}, cwd="${cwd}")}))
            look = json.loads(self.texts(home)["look"][0][1])
            self.assertEqual(look["args"], ["--in", look["cwd"] + "/sub", "${cwd}"])
            self.assertEqual(look["place"], look["cwd"])

    def test_paths_are_judged_before_a_server_sees_them(self):
        with Home() as home:
            project = home.path / "project"
            project.mkdir()
            (project / "a.txt").write_text("of the project")
            (home.path / "secret.txt").write_text("canary-outside")
            policies = {"get": {"paths": {"at": "read"}}, "put": {"access": "none"}, "touch_path": {"paths": {"path": "none"}}}
            steps = [do("read_path", path=f"{project}/a.txt"), do("read_path", path=f"{home.path}/secret.txt"), do("read_path", path=f"file://{home.path}/secret.txt"),
                     do("read_path", path="~/secret.txt"), do("touch_path", path=f"{project}/a.txt"), do("touch_path", path="mine.txt"),
                     do("put", at=f"{project}/a.txt", what="x"), do("get", at="nothing/../../../etc/passwd")]
            self.ran(home, team(steps, {"probe": server()}, project))
            got = self.texts(home)
            self.assertEqual([s for s, _ in got["read_path"]], ["finished", "denied:E_OUTSIDE", "denied:E_OUTSIDE", "denied:E_OUTSIDE"])
            self.assertEqual([s for s, _ in got["touch_path"]], ["denied:E_READONLY", "finished"])
            self.assertIn("tool_policies", got["touch_path"][0][1])
            self.assertEqual(got["put"][0][0], "denied:E_READONLY")  # looks like a path
            self.assertEqual(got["get"][0][0], "denied:E_OUTSIDE")
            self.assertNotIn("canary", str(got))
        with Home() as home:
            project = home.path / "project"
            project.mkdir()
            (project / "a.txt").write_text("of the project")
            steps = [do("get", at=f"{project}/a.txt"), do("get", at="/etc/passwd"), do("put", at=f"{project}/a.txt", what="x"),
                     do("touch_path", path=f"{project}/a.txt")]
            self.ran(home, team(steps, {"probe": server(tool_policies=policies)}, project))
            got = self.texts(home)
            self.assertEqual([s for s, _ in got["get"]], ["finished", "denied:E_OUTSIDE"])
            for tool in ("put", "touch_path"):  # not judged, as the user says; the kernel has the last word
                self.assertEqual(got[tool][0][0], "error")
                self.assertIn("Read-only file system", got[tool][0][1])

    def test_off_is_as_before(self):
        with Home() as home:
            (home.path / "open.txt").write_text("readable")
            self.ran(home, team([do("get", at=f"x:{home.path}/open.txt"), do("look"), do("read_path", path=f"{home.path}/open.txt"),
                                 do("read_path", path="open.txt")], {"probe": server(sandbox="off")}, presenting=[do("look")]))
            got = self.texts(home)
            self.assertEqual(got["get"], [("finished", "readable")])
            first, second = [json.loads(t) for _, t in got["look"]]
            self.assertEqual(first["pid"], second["pid"], "it lasts as long as the task")
            self.assertEqual(first["home"], str(home.path))
            # The policy holds all the same, and a relative path is one of the folder that the server stands in.
            self.assertEqual([status for status, _ in got["read_path"]], ["denied:E_OUTSIDE"] * 2)

    def test_a_readable_folder_shows_certificates_and_no_secrets(self):
        with Home() as home:
            tool = home.path / "tool"
            tool.mkdir()
            certificate = "-----BEGIN CERTIFICATE-----\n"
            for name, text in (("cacert.pem", certificate), ("own.pem", certificate + "-----BEGIN PRIVATE KEY-----\n"), ("x.pem", "x"), (".env", "x")):
                (tool / name).write_text(text)
            names = ["cacert.pem", "own.pem", "x.pem", ".env"]
            self.ran(home, team([do("get", at=f"x:{tool}/{name}") for name in names], {"probe": server()}, readable=[tool]))
            got = self.texts(home)["get"]
            self.assertIn("CERTIFICATE", got[0][1])
            for name, (_, text) in list(zip(names, got))[1:]:
                self.assertFalse("PRIVATE" in text or text == "x", f"{name}: {text}")

    def test_one_of_our_names_takes_the_place_of_ours(self):
        with Home() as home:
            r = self.ran(home, team([step(call("mcp__filesystem__read_path", path="../none")), do("put", name="filesystem", at="x:a", what="x"),
                                     step(call("mcp__workspace_tools__compare_files", file1="a", file2="a"))], {"filesystem": server()}))
            got = self.texts(home)
            self.assertEqual(got["put"], [("finished", "written")])
            self.assertIn("compare_files", got)
            r = home.run("--config", home.write("team.json", team([step(call("mcp__filesystem__write_file", path="a", content="x"))], {"filesystem": server()})),
                         "--json", "make it")
            self.assertIn("stands in the place of the built-in tools", r.stdout + r.stderr)

    @unittest.skipUnless(EVERYTHING.exists() and shutil.which("node", path="/usr/bin:/bin"), "skipped: no server-everything in build/npm, or no node below /usr")
    def test_the_reference_server_runs_inside(self):
        with Home() as home:
            everything = {"command": "node", "args": [str(EVERYTHING), "stdio"], "startup_timeout_seconds": 30}
            self.ran(home, team([step(call("mcp__everything__get-sum", a=19, b=23)), step(call("mcp__everything__echo", message="hello"))],
                                {"everything": everything}, readable=[NPM]))
            got = self.texts(home)
            self.assertEqual(got["get-sum"][0][0], "finished")
            self.assertIn("42", got["get-sum"][0][1])


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
