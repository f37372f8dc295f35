# SPDX-License-Identifier: Apache-2.0
"""A machine that gives no more threads (a small limit of processes): an error that says so, never a hang or an abort."""

import resource
import unittest

from support import *

NOBODY = 65534


class FewThreads(unittest.TestCase):
    def run_with(self, processes, *args):
        def limited():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))

        with Home() as home:
            steps = [{"answer": "x"}, {"vote": "agent1", "optional": True}, {"text": "the end", "optional": True}]
            config = home.write("team.json", {"agents": [agent("one", steps), agent("two", steps)]})
            for p in (home.path, home.path / "home", config):
                os.chown(p, NOBODY, NOBODY)
            p = subprocess.Popen([str(BIN), *(args or ("--config", config, "q"))], cwd=home.path, env=home.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limited)
            try:
                out, err = p.communicate(timeout=20)
            finally:
                p.kill()
            return p.returncode, out, err

    def test_no_thread_to_be_had_is_said(self):
        for n in range(1, 10):
            for args in ((), ("node", "--listen", "127.0.0.1:0")):
                code, out, err = self.run_with(n, *args)
                self.assertEqual((code, out), (2, ""), f"{n} processes {args}: {err}")
                self.assertIn("gives no more threads", err)

    def test_enough_is_enough(self):
        code, _, err = self.run_with(60 + (os.cpu_count() or 2))
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    need_binary()
    if os.getuid() != 0:
        print("skipped: only root can run a program as a user with no other processes")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
