// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Paths in calls of tools that are not ours, on a real disk.

#define CAF_SUITE transports.foreign_calls

#include "transports/foreign_calls.hpp"

#include "caf/test/unit_test.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace conclave;
using path_policy::denial;
using path_policy::root_kind;
using wire::path_use;

namespace fs = std::filesystem;

namespace {

struct fixture {
  conclave::test::scratch_folder folder;
  std::string base = fs::canonical(folder.path).string(), work = base + "/work", project = base + "/project";
  path_policy::rules rules;

  fixture() {
    for (auto& path : {work, project, base + "/out"})
      fs::create_directory(path);
    for (auto& path : {work + "/a", project + "/a", project + "/.env", base + "/out/a"})
      std::ofstream{path} << "x";
    fs::create_symlink(base + "/out", work + "/way");
    fs::create_symlink(base + "/out/a", work + "/link");
    fs::create_symlink(work + "/a", work + "/inner");
    rules.roots = {{work, root_kind::workspace, true}, {project, root_kind::context, false}};
  }

  denial judged(const std::string& text, path_use use, bool by_name = true) {
    std::string where;
    auto v = judge_foreign(rules, work, {{"a", "a", true, path_use::read}, {"x", text, by_name, use}}, where);
    CAF_CHECK_EQUAL(where, v.ok() ? "" : "x");
    return v.code;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(foreign_calls_tests, fixture)

CAF_TEST(in place nothing makes a git repository) {
  rules.roots[1].writable = true;
  for (const auto* name : {"/bare/objects", "/bare/refs"})
    fs::create_directories(project + name);
  std::ofstream{project + "/bare/HEAD"} << "x";
  for (auto use : {path_use::write, path_use::create, path_use::modify}) {
    CAF_CHECK(judged(project + "/HEAD", use) == denial::excluded);
    CAF_CHECK(judged(project + "/bare/hooks/x", use) == denial::excluded);
    CAF_CHECK(judged(project + "/a", use) == denial::none);
    CAF_CHECK(judged(work + "/HEAD", use) == denial::none);
  }
  CAF_CHECK(judged(project + "/bare", path_use::remove) == denial::excluded);
  CAF_CHECK(judged(project + "/bare/HEAD", path_use::read) == denial::none);
}

CAF_TEST(each use is judged as such) {
  CAF_CHECK(judged("a", path_use::write) == denial::none);
  CAF_CHECK(judged("new/b", path_use::write) == denial::none);
  CAF_CHECK(judged("a", path_use::remove) == denial::none);
  CAF_CHECK(judged(work, path_use::remove) == denial::root);
  CAF_CHECK(judged(work, path_use::write) == denial::none); // a folder to work in
  CAF_CHECK(judged(project + "/a", path_use::read) == denial::none);
  for (auto use : {path_use::write, path_use::create, path_use::modify, path_use::remove})
    CAF_CHECK(judged(project + "/a", use) == denial::readonly);
  CAF_CHECK(judged(project + "/.env", path_use::read) == denial::secret);
  for (auto use : {path_use::read, path_use::write, path_use::create, path_use::modify, path_use::remove})
    for (auto text : {base + "/out/a", base + "/out/none", std::string{"../out/a"}, std::string{"~/a"}, std::string{"~root/a"}})
      CAF_CHECK(judged(text, use) == denial::outside);
}

CAF_TEST(links are followed before it is judged) {
  CAF_CHECK(judged("inner", path_use::write) == denial::none);
  for (auto* text : {"link", "way/a", "way/new", "way"})
    CAF_CHECK(judged(text, path_use::read) == denial::outside);
}

CAF_TEST(URLs of files are paths and others are none) {
  CAF_CHECK(judged("file://" + base + "/out/a", path_use::read) == denial::outside);
  CAF_CHECK(judged("FILE://localhost" + base + "/out%2Fa", path_use::read) == denial::outside);
  CAF_CHECK(judged("file:" + project + "/a", path_use::read) == denial::none);
  CAF_CHECK(judged("https://example.org/../../etc/passwd", path_use::write) == denial::none);
  CAF_CHECK(judged("https://example.org/../../../../../../../../etc/passwd", path_use::write) != denial::none);
}

CAF_TEST(what only looks like a path counts where its first folder exists) {
  CAF_CHECK(judged("/api/v1/users", path_use::write, false) == denial::none);
  CAF_CHECK(judged("/api/v1/users", path_use::write, true) == denial::outside);
  CAF_CHECK(judged("/etc/passwd", path_use::read, false) == denial::outside);
  CAF_CHECK(judged("/etc/there-is-none", path_use::read, false) == denial::outside); // the same: nobody learns what is there
  CAF_CHECK(judged(std::string(5'000, 'a'), path_use::read, false) == denial::none);
  CAF_CHECK(judged(std::string(5'000, 'a'), path_use::read, true) == denial::args);
}

CAF_TEST_FIXTURE_SCOPE_END()
