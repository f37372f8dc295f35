# SPDX-License-Identifier: Apache-2.0
"""The library as a stranger uses it: installed, found by find_package from a project outside the tree, built and run."""

import re
import unittest

from support import *

PROJECT = """cmake_minimum_required(VERSION 3.20)
project(own CXX)
find_package(conclave REQUIRED)
add_executable(own main.cpp all.cpp)
target_link_libraries(own PRIVATE conclave::conclave)
"""


class Package(unittest.TestCase):
    def call(self, *args, **kw):
        r = subprocess.run(args, capture_output=True, text=True, timeout=300, **kw)
        self.assertEqual(r.returncode, 0, r.stdout[-3000:] + r.stderr[-3000:])
        return r.stdout

    def test_a_project_of_its_own_finds_builds_and_runs_it(self):
        with Home() as home:
            self.call("cmake", "--install", str(BUILD), "--prefix", str(home.path / "prefix"))
            own = home.path / "own"
            own.mkdir()
            (own / "CMakeLists.txt").write_text(PROJECT)
            (own / "main.cpp").write_text((ROOT / "examples" / "embed.cpp").read_text())
            installed = home.path / "prefix" / "include"
            self.assertEqual([p.name for p in installed.iterdir()], ["conclave"], "headers of ours beside those of others")
            headers = sorted(str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file())
            self.assertIn("conclave/app/engine.hpp", headers)
            private = [h for h in headers if re.search(r"/(actors|wire)/|engine_core|http_client|node_link|inspect|interfaces|_parts", h)]
            self.assertEqual(private, [], "private headers were installed")
            # Each may be the first: none leans on what another included, and none on a folder of ours in the search path.
            (own / "all.cpp").write_text("".join(f"#include <{h}>\n" for h in reversed(headers)))
            self.call("cmake", "-S", str(own), "-B", str(own / "b"), f"-DCMAKE_PREFIX_PATH={home.path / 'prefix'}")
            self.call("cmake", "--build", str(own / "b"))
            self.assertEqual(self.call(str(own / "b" / "own"), env=home.env), "writer: 6 x 7 is 42.\n")


if __name__ == "__main__":
    need_binary()
    if re.search(r"CONCLAVE_SANITIZE:STRING=.+", (BUILD / "CMakeCache.txt").read_text()):
        print("skipped: a sanitized library needs a sanitized host")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
