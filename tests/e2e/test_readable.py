# SPDX-License-Identifier: Apache-2.0
"""`sandbox.readable` with places of the system: each is shown to commands, or is an error of the configuration that says why. Scripted models, the
real sandbox in both tiers."""

import stat
import unittest

from support import *
from test_workspace import CMD, call, results, step


def team(readable, commands):
    ann = {"type": "scripted", "cwd": "w1", "enable_mcp_command_line": True, "sandbox": {"readable": [str(x) for x in readable]},
           "steps": [step(*[call(CMD + "execute_command", command=c) for c in commands]), {"answer": "see"}, {"vote": "agent1"}, {"text": "done"}]}
    bob = {"type": "scripted", "steps": [{"answer": "nothing"}, {"vote": "agent1"}]}
    return {"agents": [{"id": "ann", "backend": ann}, {"id": "bob", "backend": bob}],
            "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}}


class Readable(unittest.TestCase):
    def weaker(self, home):
        weak = home.path / "weak"  # no further user namespaces: the tier below is left
        weak.write_text(f"#!/bin/sh\necho 0 >/proc/sys/user/max_user_namespaces || exit 99\nexec {BIN} \"$@\"\n")
        weak.chmod(0o755)
        return ["unshare", "-Ur", str(weak)]

    def ran(self, home, tier, readable, *commands):
        config = home.write("team.json", team(readable, commands))
        start = [str(BIN)] if tier == "namespaces" else self.weaker(home)
        r = subprocess.run([*start, "--config", config, "-q", "make it"], env=home.env, cwd=home.path, capture_output=True, text=True, timeout=120)
        self.assertEqual(r.returncode, 0, f"{tier} {readable}: {r.stdout}{r.stderr}")
        said = [json.loads(text) for _, tool, _, text in results(home)[0] if tool == "execute_command" and text.startswith("{")]
        self.assertEqual(home.run("rm", "last").returncode, 0)
        return said

    def tiers(self, home):
        yield "namespaces"
        tier = subprocess.run([*self.weaker(home), "sandbox"], env=home.env, cwd=home.path, capture_output=True, text=True)
        if "landlock" in tier.stdout.splitlines()[0] if tier.stdout else False:
            yield "landlock"
        else:
            print("skipped: the weaker tier cannot be had here: " + tier.stdout + tier.stderr)

    def test_places_of_the_system_are_shown(self):
        with Home() as home:
            one = home.path / "one.txt"
            blanks = home.path / "a folder with blanks"
            blanks.mkdir()
            one.write_text("one")
            (blanks / "two.txt").write_text("two")
            shown = {"/etc": "cat /etc/passwd >/dev/null && ls -L /etc/localtime /etc/os-release", "/usr": "ls /usr/bin/env", "/var": "ls /var/lib",
                     "/home": "ls -d /home", "/run": "ls -d /run", "/etc/ssl": "ls /etc/ssl", "/etc/passwd": "cat /etc/passwd >/dev/null",
                     one: f"cat {one}", blanks: f"cat '{blanks}/two.txt'"}
            for tier in self.tiers(home):
                for ran in self.ran(home, tier, ["/etc"], shown["/etc"], "echo x >$TMPDIR/x && cat $TMPDIR/x"):
                    self.assertEqual(ran["exit_code"], 0, f"{tier}: {ran}")
                everything = [str(x) for x in shown if os.path.exists(x)]
                for ran in self.ran(home, tier, everything, *[shown[x] for x in shown if str(x) in everything]):
                    self.assertEqual(ran["exit_code"], 0, f"{tier}: {ran}")

    def test_what_the_system_keeps_from_its_users_is_not_shown(self):
        private = next((p for p in (pathlib.Path("/etc/shadow"), pathlib.Path("/etc/gshadow")) if p.exists() and not p.stat().st_mode & stat.S_IROTH), None)
        if private is None:
            self.skipTest("skipped: this machine has no /etc/shadow")
        with Home() as home:
            for tier in self.tiers(home):
                ran = self.ran(home, tier, ["/etc"], f"cat {private}; ls /etc/passwd")[0]
                self.assertNotIn("root:", ran["stdout"], tier)
                self.assertIn("/etc/passwd", ran["stdout"], tier)

    def test_what_the_sandbox_makes_itself_is_an_error_that_says_so(self):
        with Home() as home:
            for place, why in (("/", "whole file system"), ("/proc", "their own processes"), ("/proc/1", "their own processes"),
                               ("/dev", "null, zero"), (str(home.path), "where conclave keeps"), (str(home.path / "home"), "where conclave keeps")):
                for args in (["validate", home.write("team.json", team([place], ["true"]))], ["--config", str(home.path / "team.json"), "-q", "make it"]):
                    r = home.run(*args)
                    self.assertNotEqual(r.returncode, 0, place)
                    self.assertIn("sandbox.readable", r.stdout + r.stderr, place)
                    self.assertIn(why, r.stdout + r.stderr, place)
            if not str(home.path).startswith("/tmp/"):  # it would hold the folder of conclave
                self.assertIn("each command's own", home.run("validate", home.write("team.json", team(["/tmp"], ["true"]))).stdout)
            r = home.run("--config", home.write("team.json", team([home.path / "not there"], ["true"])), "-q", "make it")
            self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
            self.assertIn("not there of agent 'ann' is not there", r.stderr)

    def test_few_descriptors_are_enough(self):
        with Home() as home:
            run = [str(BIN), "--config", home.write("team.json", team([], ["echo here"])), "-q", "make it"]
            r = subprocess.run(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *run], env=home.env, cwd=home.path, capture_output=True, text=True, timeout=120)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_a_folder_to_write_that_may_not_be_read_is_told_before_the_first_call(self):
        if os.getuid() != 0:
            self.skipTest("skipped: root makes the folder of somebody else")
        with Home() as home:
            for p in (home.path, home.path / "home"):
                os.chown(p, 65534, 65534)
                p.chmod(0o755)
            closed = home.path / "closed"
            closed.mkdir(mode=0o711)
            closed.chmod(0o711)
            with_folder = team([], ["true"])
            with_folder["orchestrator"]["context_paths"] = [{"path": str(closed), "permission": "write"}]
            r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(BIN), "--config", home.write("team.json", with_folder), "-q",
                                "make it"], env=home.env, cwd=home.path, capture_output=True, text=True, timeout=60)
            if "exec" in r.stderr and "Permission denied" in r.stderr:
                self.skipTest("skipped: an ordinary user cannot reach the build: " + r.stderr)
            self.assertEqual((r.returncode, r.stdout), (1, ""), r.stderr)
            self.assertIn(f"{closed} may be written, so agents get a copy of it, and this process may not read it. Give it the permission", r.stderr)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
