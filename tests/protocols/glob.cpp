// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.glob

#include "protocols/glob.hpp"

#include "caf/test/unit_test.hpp"

#include <string>
#include <vector>

using namespace conclave;

namespace {

bool shell(const std::string& pattern, const std::string& path) {
  auto g = glob::compile(pattern, glob::style::shell);
  return g && g->matches(path);
}

bool ignore(const std::string& pattern, const std::string& path, bool fold = false) {
  auto g = glob::compile(pattern, glob::style::ignore, fold);
  return g && g->matches(path);
}

std::string first(const std::vector<std::string>& lines, const std::string& path) {
  ignore_list list;
  for (auto& l : lines)
    CAF_CHECK(list.add(l));
  auto found = list.match(path);
  return found ? lines[*found] : "";
}

} // namespace

CAF_TEST(a pattern of the shell goes through folders) {
  CAF_CHECK(shell("*.py", "a.py"));
  CAF_CHECK(shell("*.py", "a/b.py"));
  CAF_CHECK(shell("*", ".hidden/x"));
  CAF_CHECK(!shell("*.py", "a.pyc"));
  CAF_CHECK(shell("a?c", "a/c"));
  CAF_CHECK(shell("**/a", "a"));
  CAF_CHECK(shell("**/a", "x/y/a"));
  CAF_CHECK(!shell("**/a", "xa"));
  CAF_CHECK(shell("a/**/b", "a/b"));
  CAF_CHECK(shell("a/**/b", "a/x/y/b"));
  CAF_CHECK(!shell("a/**/b", "a/xb"));
  CAF_CHECK(shell("[a-c]x[!0-9]", "bxz"));
  CAF_CHECK(!shell("[a-c]x[!0-9]", "bx5"));
  CAF_CHECK(shell("[]]", "]"));
  CAF_CHECK(shell("a[b", "a[b"));
  CAF_CHECK(shell("a\\*", "a\\b"));
  CAF_CHECK(shell("?", "\u00FC")); // one character, not one byte
  CAF_CHECK(shell("?", "\xFF"));
  CAF_CHECK(!shell("a", "A"));
  CAF_CHECK(!shell("", ""));
  CAF_CHECK(shell("*", ""));
}

CAF_TEST(a pattern of gitignore stays within a folder) {
  CAF_CHECK(!ignore("*.py", "a/b.py"));
  CAF_CHECK(!ignore("a?c", "a/c"));
  CAF_CHECK(!ignore("a[!b]c", "a/c"));
  CAF_CHECK(ignore("a/*/c", "a/b/c"));
  CAF_CHECK(!ignore("a/*/c", "a/b/b/c"));
  CAF_CHECK(ignore("a/**/c", "a/b/b/c"));
  CAF_CHECK(ignore("a/**", "a/b/c"));
  CAF_CHECK(!ignore("a/**", "a/"));
  CAF_CHECK(!ignore("a**c", "a/c"));
  CAF_CHECK(ignore("\\[x\\]", "[x]"));
  CAF_CHECK(ignore("README", "readme", true));
  CAF_CHECK(ignore("[A-C]", "b", true));
  CAF_CHECK(!ignore("README", "readme"));
}

CAF_TEST(classes of characters are those of ASCII) {
  auto taken = [](const std::string& name) {
    std::string out;
    for (int c = 1; c < 128; ++c)
      if (c != '/' && ignore("[[:" + name + ":]]", std::string(1, static_cast<char>(c))))
        out += static_cast<char>(c);
    return out;
  };
  const std::string digits = "0123456789", upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", lower = "abcdefghijklmnopqrstuvwxyz";
  CAF_CHECK_EQUAL(taken("digit"), digits);
  CAF_CHECK_EQUAL(taken("alnum"), digits + upper + lower);
  CAF_CHECK_EQUAL(taken("alpha"), upper + lower);
  CAF_CHECK_EQUAL(taken("upper"), upper);
  CAF_CHECK_EQUAL(taken("lower"), lower);
  CAF_CHECK_EQUAL(taken("xdigit"), digits + "ABCDEFabcdef");
  CAF_CHECK_EQUAL(taken("blank"), "\t ");
  CAF_CHECK_EQUAL(taken("space"), "\t\n\v\f\r ");
  CAF_CHECK_EQUAL(taken("punct"), "!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~"); // and '/', which no set takes
  CAF_CHECK_EQUAL(taken("graph").size(), 93u);
  CAF_CHECK_EQUAL(taken("print").size(), 94u);
  CAF_CHECK_EQUAL(taken("cntrl").size(), 32u);
  CAF_CHECK(ignore("[[:digit:]]*", "1x") && !ignore("[[:digit:]]*", "x1"));
  CAF_CHECK(ignore("[_[:digit:]a-c]", "_") && ignore("[_[:digit:]a-c]", "7") && ignore("[_[:digit:]a-c]", "b"));
  CAF_CHECK(!ignore("[_[:digit:]a-c]", "d"));
  CAF_CHECK(ignore("[![:digit:]]", "a") && !ignore("[^[:digit:]]", "1"));
  CAF_CHECK(ignore("[[:upper:]]", "a", true));
  CAF_CHECK(ignore("[[:x]", ":") && ignore("[[:x]", "["));             // no class
  CAF_CHECK(shell("[[:digit:]]", ":]") && !shell("[[:digit:]]", "1")); // as Python's fnmatch
  CAF_CHECK(!glob::compile("a[[:digits:]]", glob::style::ignore));
  CAF_CHECK_EQUAL(glob::unknown_class("a[[:digits:]]"), "[:digits:]");
  CAF_CHECK_EQUAL(glob::unknown_class("[[:digit:]][:x:]"), "");
}

CAF_TEST(lines overrule each other but not above) {
  CAF_CHECK_EQUAL(first({"*.log", "!keep.log"}, "a/x.log"), "*.log");
  CAF_CHECK_EQUAL(first({"*.log", "!keep.log"}, "a/keep.log"), "");
  CAF_CHECK_EQUAL(first({"!keep.log", "*.log"}, "keep.log"), "*.log");
  CAF_CHECK_EQUAL(first({"a/", "!a/b"}, "a/b"), "a/");
  CAF_CHECK_EQUAL(first({"/a"}, "a/b/c"), "/a");
  CAF_CHECK_EQUAL(first({"/a"}, "b/a"), "");
  CAF_CHECK_EQUAL(first({"a/b"}, "x/a/b"), "");
  CAF_CHECK_EQUAL(first({"b"}, "x/a/b"), "b");
  CAF_CHECK_EQUAL(first({"", "x  "}, "x"), "x  ");
  CAF_CHECK_EQUAL(first({"/"}, ""), "/");
  CAF_CHECK_EQUAL(first({"*"}, ""), "");
  ignore_list list;
  CAF_CHECK(!list.add(std::string(257, 'a')));
  CAF_CHECK(list.add(std::string(256, 'a')));
  CAF_CHECK(list.add("/a/b"));
  CAF_CHECK(!list.add("[[:none:]]"));
  CAF_CHECK_EQUAL(list.literal(1), "a/b");
  CAF_CHECK(list.literal(0).empty());
}

CAF_TEST(a line may also name a path) {
  ignore_list list;
  CAF_CHECK(list.add("d/[id].x ", "d/[id].x "));
  CAF_CHECK(list.add("!y", "!y"));
  CAF_CHECK(list.add("y"));
  CAF_CHECK(list.add("!d/i.x"));
  CAF_CHECK_EQUAL(list.match("d/[id].x ").value_or(9), 0u);
  CAF_CHECK_EQUAL(list.match("d/[id].x /below").value_or(9), 0u);
  CAF_CHECK_EQUAL(list.match("d/d.x").value_or(9), 0u);
  CAF_CHECK_EQUAL(list.match("!y").value_or(9), 1u);
  CAF_CHECK_EQUAL(list.match("y").value_or(9), 2u);
  CAF_CHECK(!list.match("d/[id].x") && !list.match("x/!y") && !list.match("d/i.x"));
}

CAF_TEST(with a name brackets may be characters of it where wildcards stand beside them) {
  ignore_list list;
  for (const auto* line : {"[...slug]/*.ts", "/a/[id]/**", "*.[x]", "![b]/*.c"})
    CAF_CHECK(list.add(line, line));
  CAF_CHECK_EQUAL(list.match("[...slug]/a.ts").value_or(9), 0u);
  CAF_CHECK_EQUAL(list.match("s/a.ts").value_or(9), 0u);
  CAF_CHECK_EQUAL(list.match("a/[id]/deep/x").value_or(9), 1u);
  CAF_CHECK_EQUAL(list.match("a/d/x").value_or(9), 1u);
  CAF_CHECK_EQUAL(list.match("d/name.[x]").value_or(9), 2u);
  CAF_CHECK_EQUAL(list.match("d/name.x").value_or(9), 2u);
  CAF_CHECK(!list.match("[...slug]/a.js") && !list.match("[b]/x.c") && !list.match("name.[y]"));
  ignore_list plain; // as in a .gitignore
  CAF_CHECK(plain.add("[...slug]/*.ts"));
  CAF_CHECK(!plain.match("[...slug]/a.ts") && plain.match("s/a.ts"));
}

CAF_TEST(lists of a call are checked) {
  std::string bad;
  for (auto* p : {"../*", "/etc/*", "a/../b", "..", "a/..", ""}) {
    glob_list list;
    CAF_CHECK(!list.add_all({"*", p}, bad));
    CAF_CHECK_EQUAL(bad, p);
  }
  glob_list list;
  CAF_CHECK(!list.matches("a")); // an empty list selects nothing
  CAF_CHECK(list.add_all({"*.a", "..b"}, bad));
  CAF_CHECK(list.matches("x/y.a") && list.matches("..b") && !list.matches("c"));
}

CAF_TEST(no pattern takes long) {
  std::string worst;
  for (int i = 0; i < 120; ++i)
    worst += "*a";
  auto g = glob::compile(worst + "b", glob::style::shell);
  CAF_REQUIRE(g);
  std::string name(240, 'a');
  auto found = 0;
  for (int i = 0; i < 10'000; ++i) // a matcher that goes back would not come to its end
    found += g->matches(name) ? 1 : 0;
  CAF_CHECK_EQUAL(found, 0);
  CAF_CHECK(g->matches(name + "b"));
  // One that keeps all its places at once does as much for each character as one that keeps few.
  g = glob::compile("*" + std::string(254, 'a') + "b", glob::style::shell);
  CAF_REQUIRE(g);
  for (int i = 0; i < 100'000; ++i)
    found += g->matches(name) ? 1 : 0;
  CAF_CHECK_EQUAL(found, 0);
  CAF_CHECK(g->matches(name + name + "b"));
}

CAF_TEST(what lies in a deep folder costs its name alone) {
  std::string bad, deep;
  for (int i = 0; i < 12; ++i)
    deep += std::string(200, 'x') + "/";
  std::vector<std::string> patterns;
  for (std::size_t i = 0; i < 50; ++i)
    patterns.push_back("*" + std::string(200 + i, 'x') + "y");
  glob_list list;
  CAF_REQUIRE(list.add_all(patterns, bad));
  glob_walk walk(std::move(list));
  std::size_t names = 0;
  for (int i = 0; i < 1000; ++i) {
    auto name = std::string(240, 'x') + std::to_string(i);
    names += name.size();
    CAF_CHECK(!walk.matches(deep + name));
  }
  CAF_CHECK_EQUAL(walk.bytes_read(), deep.size() + names);
  CAF_CHECK(walk.matches(deep + std::string(201, 'x') + "y"));
  CAF_CHECK(!walk.matches("xy") && !walk.matches(deep) && walk.matches(std::string(205, 'x') + "y"));
}
