// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// An agent deletes and overwrites only what it has read, as it is, or made.

#define CAF_SUITE protocols.operation_tracker

#include "protocols/operation_tracker.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;
using path_policy::denial;

namespace {

constexpr file_identity one{10, 1000}, two{10, 2000}, three{11, 1000};

present_file file(const std::string& relative, const file_identity& now = one) {
  return {"/w/" + relative, relative, now};
}

std::string text(const std::optional<workspace_tools::tool_fault>& fault) {
  if (fault)
    CAF_CHECK(fault->code == denial::unread);
  return fault ? fault->text : "";
}

bool has(const std::string& all, const std::string& part) {
  return all.find(part) != std::string::npos;
}

} // namespace

CAF_TEST(what was not read is not deleted) {
  operation_tracker t;
  CAF_CHECK(has(text(t.judge_removal("a", {file("a")})), "a must be read before deletion"));
  t.read("/w/a", one);
  CAF_CHECK(!t.judge_removal("a", {file("a")}));
  CAF_CHECK(t.judge_removal("a", {file("a", two)}));   // touched since
  CAF_CHECK(t.judge_removal("a", {file("a", three)})); // changed since
  CAF_CHECK(t.judge_removal("b", {file("b")}));
  t.created("/w/b", two);
  CAF_CHECK(!t.judge_removal("b", {file("b", two)}));
  CAF_CHECK(!t.judge_removal("d", {}));
}

CAF_TEST(unread files are counted and three are named) {
  operation_tracker t;
  t.read("/w/d/b", one);
  auto said = text(t.judge_removal("d", {file("d/a"), file("d/b"), file("d/c"), file("d/x\n"), file("d/y"), file("d/z.log")}));
  CAF_CHECK(has(said, "4 unread files"));
  CAF_CHECK(has(said, "(d/a, d/c, d/x\\n, ...)"));
  CAF_CHECK(has(text(t.judge_removal("d", {file("d/a"), file("d/b")})), "1 unread file (d/a)"));
}

CAF_TEST(an existing file is overwritten only when it was read) {
  operation_tracker t(false); // whatever holds for deletions
  CAF_CHECK(has(text(t.judge_overwrite("a", file("a"))), "read before it is overwritten"));
  t.read("/w/a", one);
  CAF_CHECK(!t.judge_overwrite("a", file("a")));
  t.wrote("/w/a", two);
  CAF_CHECK(t.judge_overwrite("a", file("a")));
  CAF_CHECK(!t.judge_overwrite("a", file("a", two)));
  CAF_CHECK(t.judge_overwrite("x.log", file("x.log"))); // no name excuses it
}

CAF_TEST(what tools make again needs no reading) {
  for (auto* name : {"__pycache__/x", "a/__pycache__", "a.pyc",        "x/a.pyo",   "node_modules/a/b", ".next/x",
                     "dist/a",        "build/a",       ".DS_Store",    "Thumbs.db", "x.egg-info/PKG",   "a.log",
                     "a.swp",         "a.swo",         "a~",           ".coverage", "x.coverage",       ".tox/a",
                     ".nox/a",        ".nuxt/a",       ".mypy_cache/a"})
    if (!operation_tracker::auto_generated(name))
      CAF_ERROR(name);
  for (auto* name :
       {"a.py", "distance", "builds/x", "a.log/x", "log", "a.logx", "xnode_modules", "a~b", "src/main.c", "thumbs.db", ""})
    if (operation_tracker::auto_generated(name))
      CAF_ERROR(name);
  operation_tracker t;
  auto tracked = file("build/a");
  CAF_CHECK(!t.judge_removal("build", {tracked}));
  tracked.tracked = true;
  CAF_CHECK(t.judge_removal("build", {tracked}));
  CAF_CHECK(!operation_tracker(false).judge_removal("a", {file("a")}));
}

CAF_TEST(names move with their files) {
  operation_tracker t;
  t.read("/w/d/a", one);
  t.created("/w/d/s/b", one);
  t.read("/w/dd", one);
  t.read("/w/d0", one);
  t.moved("/w/d", "/w/e");
  CAF_CHECK(!t.knows("/w/d/a", one));
  CAF_CHECK(t.knows("/w/e/a", one) && t.knows("/w/e/s/b", one) && t.knows("/w/dd", one) && t.knows("/w/d0", one));
  t.moved("/w/e/a", "/w/f", two);
  CAF_CHECK(t.knows("/w/f", two) && !t.knows("/w/f", one));
  t.moved("/w/none", "/w/f"); // an unread file took its place
  CAF_CHECK(!t.knows("/w/f", two));
  t.removed("/w/e");
  CAF_CHECK(!t.knows("/w/e/s/b", one));
  t.moved("/w/dd", "/w/dd");
  CAF_CHECK(t.knows("/w/dd", one));
}

CAF_TEST(files are counted and bounded) {
  operation_tracker t;
  t.read("/w/a", one);
  t.read("/w/b", one);
  t.created("/w/b", two);
  t.created("/w/c", one);
  CAF_CHECK_EQUAL(t.count().read, 1u);
  CAF_CHECK_EQUAL(t.count().created, 2u);
  CAF_CHECK_EQUAL(t.count().total, 3u);
  for (std::size_t i = 0; i < operation_tracker::max_files + 10; ++i)
    t.read("/w/x" + std::to_string(i), one);
  CAF_CHECK_EQUAL(t.count().total, operation_tracker::max_files);
  CAF_CHECK(!t.knows("/w/x" + std::to_string(operation_tracker::max_files + 5), one));
  t.read("/w/a", two);
  CAF_CHECK(t.knows("/w/a", two));
}
