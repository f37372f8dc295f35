// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.git_folders

// What git itself takes for a repository is what nothing is written into.

#include "transports/git_folders.hpp"

#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

struct fixture {
  scratch_folder scratch;
  std::string root = fs::canonical(scratch.path).string();

  void make(const std::string& path) {
    fs::create_directories(fs::path{root + "/" + path}.parent_path());
    std::ofstream{root + "/" + path} << "x";
  }
  bool writes(const std::string& path) { return git::repository_folders{root}.judge(path, false).empty(); }
  bool removes(const std::string& path) { return git::repository_folders{root}.judge(path, true).empty(); }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(git_folders_tests, fixture)

CAF_TEST(no folder becomes a repository) {
  make("src/a.c");
  for (const auto* path : {"HEAD", "src/HEAD", "new/deep/HEAD", "HEAD/x"})
    CAF_CHECK(!writes(path));
  for (const auto* path : {"config", "hooks/post-receive", "objects/x", "refs/heads/x", "src/head", "HEAD.md", "src/a.c"})
    CAF_CHECK(writes(path));
  CAF_CHECK(removes("HEAD"));
  make("half/HEAD"); // the user's own
  for (const auto* path : {"half/objects/x", "half/refs/heads/x", "half/commondir"})
    CAF_CHECK(!writes(path));
  CAF_CHECK(writes("half/config"));
  CAF_CHECK(writes("half/readme"));
}

CAF_TEST(nothing is written into one that is there) {
  CAF_REQUIRE_EQUAL(std::system(("git init -q --bare '" + root + "/odd name'").c_str()), 0);
  make("other/a");
  for (const auto* path : {"odd name/config", "odd name/hooks/post-receive", "odd name/new/file", "odd name/objects/pack/x"}) {
    CAF_CHECK(!writes(path));
    CAF_CHECK(!removes(path));
  }
  CAF_CHECK(removes("odd name")); // what is in it stays, so it does
  CAF_CHECK(writes("other/b"));
  git::repository_folders itself{root + "/odd name"};
  CAF_CHECK(!itself.judge("config", false).empty());
  CAF_CHECK_EQUAL(itself.judge("config", false).substr(0, 10), "the folder");
  for (const auto* in : {"/odd name", "/odd name/hooks", "/odd name/new/deep"})
    CAF_CHECK(git::repository_folders::lies_in_repository(root + in));
  for (const auto* out : {"", "/other", "/other/new"})
    CAF_CHECK(!git::repository_folders::lies_in_repository(root + out));
}

CAF_TEST(one whose data lie elsewhere is one as well) {
  CAF_REQUIRE_EQUAL(std::system(("git init -q --bare '" + root + "/main'").c_str()), 0);
  make("side/HEAD");
  std::ofstream{root + "/side/commondir"} << "../main";
  CAF_CHECK(!writes("side/config"));
  fs::create_directories(root + "/links");
  make("links/HEAD");
  fs::create_directory_symlink(root + "/main/objects", root + "/links/objects");
  fs::create_directory_symlink(root + "/main/refs", root + "/links/refs");
  CAF_CHECK(!writes("links/config"));
}

CAF_TEST_FIXTURE_SCOPE_END()
