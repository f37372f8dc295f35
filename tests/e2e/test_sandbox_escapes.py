# SPDX-License-Identifier: Apache-2.0
"""What a hostile command tries (sandbox_probes.py): none of it works in a sandbox, as root and as nobody, at both tiers. Without one
it does, so the probes can fail; bubblewrap is the referee."""

import json
import pathlib
import shutil
import subprocess
import sys
import unittest

from sandbox_support import *

PROBES = pathlib.Path(__file__).resolve().parent / "sandbox_probes.py"


def copy_probes(place):
    shutil.copy(PROBES, place.base / "read" / "probes.py")
    shutil.copy(PROBES.with_name("sandbox_probes_rights.py"), place.base / "read")


# What must work where nothing confines: else a probe that holds would say nothing.
PLANTED = {"read_outside", "read_by_link", "read_by_proc_root", "read_hidden", "list_outside", "read_host_tmp", "read_host_shm",
           "write_outside", "create_outside", "write_read_only", "append_read_only", "open_truncating", "truncate_read_only",
           "chmod_read_only", "fchmod_read_only", "chmod_by_link", "chmod_outside", "times_read_only", "times_by_descriptor",
           "chown_read_only", "write_protected", "reopen_writable", "signal_host", "signal_group_of_host",
           "environ_of_host", "any_environ", "memory_of_host", "descriptors_of_host", "cwd_of_host", "pidfd_steal", "pidfd_signal",
           "shared_memory", "abstract_socket", "pathname_socket", "pathname_datagram", "pair_to_pathname", "host_loopback_tcp",
           "unshare_user", "clone_user", "clone3_user", "io_uring", "tiocsti", "new_privileges", "ptrace_child", "userfaultfd", "keyctl",
           "file_handle", "delete_outside", "rename_outside", "limit_of_host", "limit_of_the_one_above", "priority_of_host", "priority_of_group_of_host",
           "processors_of_host", "scheduler_of_host", "io_priority_of_host", "watch_outside", "lease", "setuid_by_chmod", "setuid_by_fchmod",
           "setuid_by_open", "setuid_by_openat2", "setuid_by_creat", "setuid_by_mknod", "setuid_by_a_link", "setuid_by_a_folder"}


def tries(place, tier):
    copy_probes(place)
    command = f"{PYTHON} {place.base}/read/probes.py {quoted(json.dumps({**place.targets, 'tier': tier}))}"
    [end] = place.run(tier, command, limit=200, timeout=120_000)
    if end["why"] != "exited" or end["status"] != 0:
        raise AssertionError(f"the probes did not run: {end}")
    return json.loads(end["out"]), place.end_host()


class Escapes(unittest.TestCase):
    def held(self, tier):
        for user, who in users().items():
            with self.subTest(user=user, tier=tier), Place(who) as place:
                before = {name: (place.base / name).stat() for name in ("read/file", "outside/secret", "work/sub/protected")}
                result, reached = tries(place, tier)
                self.assertGreaterEqual(len(result), 100)
                through = {name for name, said in result.items() if said == "open"}
                self.assertEqual(through, set())
                self.assertEqual(reached, [])
                for name, was in before.items():
                    now = (place.base / name).stat()
                    self.assertEqual((now.st_mode, now.st_mtime_ns, now.st_ino, now.st_size),
                                     (was.st_mode, was.st_mtime_ns, was.st_ino, was.st_size), name)
                    self.assertEqual((place.base / name).read_text(), "SECRET")
                for name in ("outside/second", "outside/third", "read/second", "work/.env", "work/keys/key"):
                    self.assertEqual((place.base / name).read_text(), "SECRET", name)

    def test_nothing_gets_out_of_namespaces(self):
        self.held(2)

    def test_nothing_gets_out_of_landlock(self):
        self.held(1)

    def test_without_a_sandbox_it_works(self):
        for user, who in users().items():
            with self.subTest(user=user), Place(who) as place:
                result, reached = tries(place, 0)
                held = {name for name in PLANTED if result[name] != "open"}
                self.assertEqual(held, set(), {name: result[name] for name in held})
                self.assertIn("tcp", reached)

    def test_bubblewrap_as_referee(self):
        if not shutil.which("bwrap"):
            self.skipTest("skipped: bubblewrap is not installed")
        for user, who in users().items():
            with Place(who) as place:
                ours, _ = tries(place, 2)
            with Place(who) as place:
                copy_probes(place)
                b = place.base
                r = subprocess.run([*who, "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind",
                                    "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink",
                                    "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind",
                                    f"{b}/read", f"{b}/read", "--bind", f"{b}/work", f"{b}/work", "--ro-bind",
                                    f"{b}/work/sub/protected", f"{b}/work/sub/protected", "--ro-bind", "/dev/null", f"{b}/work/.env",
                                    "--tmpfs", f"{b}/work/keys", "--chdir", f"{b}/work/open", PYTHON, f"{b}/read/probes.py",
                                    json.dumps({**place.targets, "tier": 2})], capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL,
                                   env={"PATH": "/usr/bin:/bin"})
                if r.returncode != 0:
                    self.skipTest("skipped: bubblewrap does not run here: " + r.stderr[:200])
                theirs = json.loads(r.stdout)
            ours, theirs = ({n for n, said in x.items() if said == "open"} for x in (ours, theirs))
            print(f"{user}: open to us alone: {sorted(ours - theirs)}; to bubblewrap alone: {sorted(theirs - ours)}")
            self.assertEqual(ours - theirs, set())


if __name__ == "__main__":
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
