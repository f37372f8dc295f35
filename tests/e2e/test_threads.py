# SPDX-License-Identifier: Apache-2.0
"""A machine that gives no more threads (a small limit of processes): an error that says so, never a hang or an abort."""

import ctypes
import resource
import unittest

from support import *

NOBODY = 65534
NEW_USER_NAMESPACE = 0x10000000


def alone():
    """Makes this process one whose limit counts nobody else: root becomes another user, any other enters a user namespace of its own."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    elif ctypes.CDLL(None, use_errno=True).unshare(NEW_USER_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def limit(processes):
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def why_not():
    """Whether a limit binds here, and only us: with 1 no child can be made, with 8 one can. Returns the reason if not."""
    for processes, wanted in ((1, "none"), (8, "one")):
        pid = os.fork()
        if pid == 0:
            got = 2
            try:
                alone()
                limit(processes)
                try:
                    child = os.fork()
                    if child == 0:
                        os._exit(0)
                    os.waitpid(child, 0)
                    got = 1
                except BlockingIOError:
                    got = 0
            finally:
                os._exit(got)
        got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if got == 2:
            return "neither root nor allowed to make a user namespace, so that the limit would count the user's other processes"
        if (got == 0) != (wanted == "none"):
            return f"a limit of {processes} processes is not kept here"
    return ""


class FewThreads(unittest.TestCase):
    def run_with(self, processes, *args):
        def limited():
            alone()
            limit(processes)

        with Home() as home:
            steps = [{"answer": "x"}, {"vote": "agent1", "optional": True}, {"text": "the end", "optional": True}]
            config = home.write("team.json", {"agents": [agent("one", steps), agent("two", steps)]})
            if os.getuid() == 0:
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
    if reason := why_not():
        print("skipped:", reason)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
