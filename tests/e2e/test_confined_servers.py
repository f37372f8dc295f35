# SPDX-License-Identifier: Apache-2.0
"""Tool servers of agents with a workspace: confined by the kernel, with a network, and behind the path policy. A Python server and the reference
server `server-everything` (npm), scripted models, the real sandbox in both tiers."""

import http.server
import re
import shutil
import threading
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


if __name__ == "__main__":
    need_binary()
    probe = subprocess.run([str(BIN), "sandbox"], capture_output=True, text=True)
    if probe.returncode != 0:
        print("skipped: servers cannot be confined on this machine: " + (probe.stdout.splitlines() or ["?"])[0])
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v"])
