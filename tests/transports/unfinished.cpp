// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.unfinished

#include "transports/unfinished.hpp"

#include <caf/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

using namespace conclave;

CAF_TEST(a process that ends at once leaves nothing half done and takes nothing that is done) {
  std::string folder = "/tmp/conclave-unfinished-XXXXXX";
  CAF_REQUIRE(::mkdtemp(folder.data()) != nullptr);
  auto file = [&](const std::string& name) {
    std::ofstream(folder + "/" + name) << "x";
    return folder + "/" + name;
  };
  unfinished begun{file("begun")};
  auto done = std::make_unique<unfinished>(file("done"));
  done.reset();
  std::filesystem::create_directory(folder + "/scratch");
  unfinished scratch{folder + "/scratch"};
  file("scratch/inside");
  unfinished never_made{folder + "/never"};
  unfinished::remove_all();
  CAF_CHECK(!std::filesystem::exists(folder + "/begun"));
  CAF_CHECK(!std::filesystem::exists(folder + "/scratch"));
  CAF_CHECK(std::filesystem::exists(folder + "/done"));
  std::filesystem::remove_all(folder);
}
