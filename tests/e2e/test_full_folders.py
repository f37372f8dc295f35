# SPDX-License-Identifier: Apache-2.0
"""Commands of agents that fill their folders, or the disk they lie on: ended with the reason, and what the agent is told to do then works."""

import json
import sys
import unittest

from support import *
from test_workspace import CMD, FS, WS, Runs, call, results, step, team


class FullFolders(Runs, unittest.TestCase):
    def test_a_command_that_fills_its_workspace_is_ended(self):
        with Home() as home:
            over = "truncate -s 1500M a b; ls; sleep 600"  # sparse, but a snapshot counts them in full
            config = team([], first=[step(call(CMD + "execute_command", command=over, timeout=60)),
                                     step(call(FS + "write_file", path="more.txt", content="more")),
                                     step(call(CMD + "execute_command", command="rm b; ls")),
                                     step(call(CMD + "execute_command", command="d=x; for i in $(seq 66); do d=$d/x; done; mkdir -p $d; sleep 600", timeout=60)),
                                     step(call(CMD + "execute_command", command="rm -r a x")),
                                     step(call(FS + "write_file", path="more.txt", content="more")),
                                     step(call(CMD + "execute_command", command=over, timeout=60)),
                                     step(call(CMD + "execute_command", command="truncate -s 1500M c; sleep 600", timeout=60)),
                                     step(call(CMD + "execute_command", command="rm c")),
                                     step(call(FS + "read_text_file", path="c")),
                                     step(call(WS + "delete_file", path="c")),
                                     step(call(FS + "read_text_file", path="b")),
                                     step(call(WS + "delete_file", path="b")),
                                     step(call(CMD + "execute_command", command="rm a"))])
            self.ran(home, config)
            got = [g for g in results(home)[0] if g[0] == "ann secret-id"]
            full = [json.loads(got[i][3]) for i in (0, 3)]
            for r in full:
                self.assertIn("E_SIZE: ended because", r["note"])
                self.assertFalse(r["success"] or "timed_out" in r)
            self.assertIn("holds 3145728000 bytes, and 2147483648 are allowed", full[0]["note"])
            self.assertIn("nested deeper than 64", full[1]["note"])
            self.assertIn("E_SIZE", got[1][3])
            self.assertEqual([g[2] for g in got[:6]], ["error", "denied:E_SIZE", "finished", "error", "finished", "finished"], got)
            # Filled twice: what it is told to do then works.
            self.assertEqual([g[2] for g in got[6:]], ["error", "error", "denied:E_SIZE", "error", "finished", "error", "finished", "finished"], got)
            self.assertIn("with delete_file or delete_files_batch: commands filled", got[8][3])
            self.assertIn("more.txt  4", home.run("show", "last", "--files").stdout)
            print("ended after", [r["execution_time"] for r in full], "s")

    def test_a_command_that_takes_the_last_of_a_small_disk_is_ended(self):
        with Home() as home:
            disk = home.path / "home"
            disk.mkdir(exist_ok=True)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1100m", "conclave-test", str(disk)], capture_output=True).returncode != 0:
                self.skipTest("skipped: no file system can be mounted here")
            try:
                config = team([], first=[step(call(CMD + "execute_command", command="head -c 200M /dev/zero > big; sleep 600", timeout=60)),
                                         step(call(CMD + "execute_command", command="rm big")),
                                         step(call(CMD + "execute_command", command="seq 200001 | xargs touch; sleep 600", timeout=60)),
                                         step(call(CMD + "execute_command", command="find . -type f -delete"))])
                self.ran(home, config)
                got = [g for g in results(home)[0] if g[0] == "ann secret-id"]
                full = [json.loads(got[i][3]) for i in (0, 2)]
                self.assertIn("E_SIZE: ended because less than 1024 MiB are free", full[0]["note"])
                self.assertRegex(full[1]["note"], "E_SIZE: ended because .* holds 20.* and 200000 are allowed")
                self.assertEqual([g[2] for g in got], ["error", "finished", "error", "finished"], got)
                print("ended after", [r["execution_time"] for r in full], "s")
            finally:
                subprocess.run(["umount", "-l", str(disk)], check=True)


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=[sys.argv[0], "-v"])
