// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.sandbox_canary

#include "transports/sandbox_canary.hpp"

#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <filesystem>
#include <fstream>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

CAF_TEST(what a killed test left is removed and what one is at stays) {
  scratch_folder place;
  auto left = place.path + "/conclave-canary-AAAAAA", other = place.path + "/conclave-canaryAAAAAA";
  for (auto& folder : {left, other}) {
    fs::create_directories(folder + "/test");
    std::ofstream{folder + "/test/f"} << "x";
  }
  canary first{place.path, "conclave-canary"};
  CAF_CHECK(first.path().starts_with(place.path + "/conclave-canary-"));
  CAF_CHECK(fs::is_directory(first.path()));
  CAF_CHECK(!fs::exists(left));
  CAF_CHECK(fs::exists(other + "/test/f"));
  canary second{place.path, "conclave-canary"};
  CAF_CHECK(fs::is_directory(first.path()));
  CAF_CHECK_NOT_EQUAL(first.path(), second.path());
  first.remove();
  CAF_CHECK(!fs::exists(first.path()));
  CAF_CHECK(fs::is_directory(second.path()));
}
