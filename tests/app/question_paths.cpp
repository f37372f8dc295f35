// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.question_paths

// Which words of a question are paths.

#include "app/question_paths.hpp"

#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <filesystem>
#include <fstream>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

struct question_fixture {
  test::scratch_folder folder;
  std::string here = fs::canonical(folder.path).string(), before = fs::current_path().string();

  question_fixture() {
    fs::create_directories(here + "/src/a b");
    std::ofstream{here + "/read.me"} << "x";
    fs::create_directory_symlink("src", here + "/link");
    fs::create_directories(here + "/conclave-home");
    ::setenv("CONCLAVE_HOME", (here + "/conclave-home/.c").c_str(), 1);
    fs::current_path(here);
  }
  ~question_fixture() { fs::current_path(before); }

  /// The text with the scratch folder as "/X", and behind it what is granted.
  std::string of(const std::string& question) const {
    auto got = paths_in(question);
    auto text = got.error.empty() ? got.text : "! " + got.error;
    for (auto& x : got.paths)
      text += "|" + x.path + (x.write ? ":w" : "");
    for (std::size_t at; (at = text.find(here)) != std::string::npos;)
      text.replace(at, here.size(), "/X");
    return text;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(question_path_tests, question_fixture)

CAF_TEST(words that name what is there are paths) {
  CAF_CHECK_EQUAL(of("@src"), "/X/src|/X/src");
  CAF_CHECK_EQUAL(of("Mend @src:w please"), "Mend /X/src please|/X/src:w");
  CAF_CHECK_EQUAL(of("see @read.me and\n@./src"), "see /X/read.me and\n/X/src|/X/read.me|/X/src");
  CAF_CHECK_EQUAL(of("(@src/)"), "(/X/src)|/X/src");
  CAF_CHECK_EQUAL(of("@" + here + "/src"), "/X/src|/X/src");
  CAF_CHECK_EQUAL(of("@link/../link:w"), "/X/src|/X/src:w"); // links resolved
  CAF_CHECK_EQUAL(of("@\"src/a b\":w, @'src/a b'"), "/X/src/a b, /X/src/a b|/X/src/a b:w");
}

CAF_TEST(punctuation behind a path is none of it) {
  CAF_CHECK_EQUAL(of("What is in @src?"), "What is in /X/src?|/X/src");
  CAF_CHECK_EQUAL(of("Change @src:w, then @read.me."), "Change /X/src, then /X/read.me.|/X/src:w|/X/read.me");
  CAF_CHECK_EQUAL(of("[\"@read.me\"]!"), "[\"/X/read.me\"]!|/X/read.me");
}

CAF_TEST(one grant for a path and writing wins) {
  CAF_CHECK_EQUAL(of("@src @link:w @src"), "/X/src /X/src /X/src|/X/src:w");
}

CAF_TEST(everything else stays text) {
  for (auto text : {"ann@src",     "mail ann@src.example, bob@read.me",
                    "@nothing",    "@nothing:w",
                    "@",           "@ src",
                    "a @",         "@@src",
                    "@:w",         "at the end @.",
                    "@..",         "@...",
                    "@\"src/a b",  "\\@ifnextchar",
                    "\\@",         "x\\@src",
                    "\\",          "",
                    "@src\\",      "@\"\"",
                    "\xff@src\xff"})
    CAF_CHECK_EQUAL(of(text), text);
}

CAF_TEST(a backslash keeps a path as text and goes) {
  CAF_CHECK_EQUAL(of("\\@src is a word"), "@src is a word");
  CAF_CHECK_EQUAL(of("\\@src:w, @src"), "@src:w, /X/src|/X/src");
}

CAF_TEST(what cannot be given is an error that says how to go on) {
  CAF_CHECK_EQUAL(of("look at @/"),
                  "! @/ in the question: is the whole file system; name a folder below it; \\@ leaves it as text");
  CAF_CHECK(of("@conclave-home").starts_with("! @conclave-home in the question: holds the folder where conclave keeps"));
  CAF_CHECK(of("@./").starts_with("! ")); // it holds that, too
  std::string error;
  read_path("nowhere", error);
  CAF_CHECK_EQUAL(error, "No such file or directory");
  read_path("src:rw", error);
  CAF_CHECK_EQUAL(error, "No such file or directory; ':w' is the suffix for writing: src:w");
  read_path("src:r", error);
  CAF_CHECK_EQUAL(error, "No such file or directory; what has no suffix is read: src");
}

CAF_TEST(of a path the team has too the stricter permission counts) {
  std::vector<context_path> all;
  add_context(all, {"/a", true, {"keep"}});
  add_context(all, {"/b", false, {}});
  add_context(all, {"/a", false, {"keep", "too"}});
  add_context(all, {"/b", true, {}});
  CAF_REQUIRE_EQUAL(all.size(), 2u);
  CAF_CHECK(!all[0].write);
  CAF_CHECK_EQUAL(all[0].protected_paths, (std::vector<std::string>{"keep", "too"}));
  CAF_CHECK(!all[1].write);
}

CAF_TEST(words that look meant as paths and name nothing are told) {
  auto missing = [](const char* question) {
    std::string out;
    for (auto& x : paths_in(question).missing)
      out += x + "|";
    return out;
  };
  CAF_CHECK_EQUAL(missing("change @srk:w, please, and @./no or @/no/such"), "@srk:w,|@./no|@/no/such|");
  CAF_CHECK_EQUAL(missing("change @src:rw"), "@src:rw|");
  CAF_CHECK_EQUAL(missing("see @. and @.., not @..., nor @./src"), "@.|@..,|");
  CAF_CHECK_EQUAL(missing("ask @anna, me@host:w, @types/node or \\@srk:w about @src:w"), "");
}

CAF_TEST_FIXTURE_SCOPE_END()
