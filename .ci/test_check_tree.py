#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What check_tree says of the one way to the outside."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_tree  # noqa: E402


def problems(path, line):
    found = []
    check_tree.check_outside(pathlib.Path(path), line + "\n", found)
    return found


class Outside(unittest.TestCase):
    def test_clocks_chance_and_threads_are_named_nowhere_else(self):
        for line in (
            "std::minstd_rand random{std::random_device{}()};",
            "auto t = std::chrono::system_clock::now();",
            "std::chrono::steady_clock::time_point since;",
            "using std::chrono::steady_clock;",
            "last.store(clock::now());",
            "push(clock_type::now());",
            "auto now = caf::actor_clock::clock_type::now();",
            "wait(head, std::time(nullptr));",
            "auto t = ::time(NULL);",
            "time(&t);",
            "auto t = time(0);",
            "localtime_r(&t, &tm);",
            "auto* tm = std::localtime(&t);",
            "t = mktime(&tm);",
            "std::thread([] {}).detach();",
            "return std::thread::hardware_concurrency();",
            "std::jthread t;",
            "auto f = std::async(std::launch::async, work);",
            "pthread_create(&t, nullptr, run, nullptr);",
            "::clock_gettime(CLOCK_REALTIME, &t);",
            "::gettimeofday(&t, nullptr);",
            "getrandom(bytes, 16, 0);",
            "n = rand() % 6;",
        ):
            for folder in ("protocols", "actors", "app"):
                self.assertEqual(len(problems(folder + "/x.cpp", line)), 1, line)
            self.assertEqual(len(problems("transports/home.cpp", line)), 1, line)
            self.assertEqual(problems("transports/outside.cpp", line), [], line)

    def test_what_only_speaks_of_them_or_gets_a_value_passes(self):
        for line in (
            "auto now = self->clock().now();",
            "now = clock_.now();",
            "caf::actor_clock::time_point since;",
            'say("std::thread failed");  // std::async would wait',
            "std::this_thread::sleep_for(pause);",
            "random = parts.outside->random(owner);",
            "operand(x);",
            "run_time(0);",
            "set.time(nullptr);",
            "gmtime_r(&t, &tm);",
        ):
            self.assertEqual(problems("actors/x.cpp", line), [], line)

    def test_this_machine_is_asked_for_where_a_program_begins(self):
        line = "auto from = outside::of_machine();"
        for path in ("app/engine_core.cpp", "actors/parts.hpp", "transports/outside.hpp"):
            self.assertEqual(problems(path, line), [], path)
        for path in ("actors/mcp_server.cpp", "transports/mcp_stdio.cpp", "protocols/prompts.cpp"):
            self.assertEqual(len(problems(path, line)), 1, path)


if __name__ == "__main__":
    unittest.main()
