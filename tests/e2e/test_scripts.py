# SPDX-License-Identifier: Apache-2.0
"""What the scripts refuse before they install or build anything. What they would call stands in for itself."""

import shutil
import unittest

from support import *


class Scripts(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.root, tools = self.home.path / "clone", self.home.path / "bin"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        tools.mkdir()
        for name in ("dpkg-query", "cmake", "ninja", "python3", "git", "clang-format", "npm", "ctest", "apt-get", "sudo"):
            (tools / name).write_text(f"#!/bin/sh\necho {name} >> {self.home.path}/called\n[ {name} != dpkg-query ] || echo installed\n")
            (tools / name).chmod(0o755)
        self.path = {"PATH": f"{tools}:/usr/bin:/bin"}

    def tearDown(self):
        self.home.__exit__()

    def called(self, name, *args):
        """Returns its exit code, what it said, and whether it called anything."""
        if (self.home.path / "called").exists():
            (self.home.path / "called").unlink()
        r = subprocess.run([str(self.root / "scripts" / name), *args], env={**self.home.env, **self.path}, capture_output=True, text=True,
                           timeout=60, stdin=subprocess.DEVNULL)
        return r.returncode, r.stderr, (self.home.path / "called").exists()

    def test_arguments_that_mean_nothing_are_refused(self):
        for name, args, usage in (("build", ["foo"], ""), ("build", ["--help"], ""), ("check", ["--long", "foo"], " [--long]"),
                                  ("check", ["foo"], " [--long]"), ("bench", ["--callgrind", "foo"], " [--callgrind]")):
            with self.subTest(name=name, args=args):
                self.assertEqual(self.called(name, *args), (1, f"error: usage: scripts/{name}{usage}\n", False))
        python = subprocess.run([sys.executable, str(self.root / "scripts/update_name_fold"), "foo"], capture_output=True, text=True, timeout=60)
        self.assertEqual((python.returncode, python.stderr), (1, "usage: scripts/update_name_fold\n"))

    def test_a_build_folder_of_another_clone_is_to_be_deleted(self):
        build = self.root / "build/release"
        build.mkdir(parents=True)
        cache = build / "CMakeCache.txt"
        cache.write_text(f"CMAKE_HOME_DIRECTORY:INTERNAL={self.root}\n")
        self.assertEqual(self.called("build"), (0, "configuring\nbuilding (the first time takes a few minutes)\n", True))
        (self.home.path / "other").mkdir()
        for other in ("other", "gone"):
            cache.write_text(f"CMAKE_HOME_DIRECTORY:INTERNAL={self.home.path / other}\n")
            self.assertEqual(self.called("build"), (1, f"error: build/release was made for the sources in {self.home.path / other}: "
                                                    f"delete that folder and try again: rm -r {build}\n", False))
        for name, preset in (("check", "asan"), ("fuzz", "fuzz"), ("bench", "bench")):
            (self.root / "build" / preset).mkdir()
            shutil.copy(cache, self.root / "build" / preset)
            code, said, called = self.called(name)
            self.assertEqual((code, called), (1, False))
            self.assertIn(f"rm -r {self.root}/build/{preset}\n", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
