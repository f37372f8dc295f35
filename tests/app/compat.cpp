// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The team files that MassGen 0.1.0 ships: each loads as it is, or fails naming its own defect. They are no part of this project:
// they are looked for in $CONCLAVE_COMPAT_DIR, then beside the source tree; without them the test is skipped. They are in the
// package
// (`pip download --no-deps massgen==0.1.0`, folder massgen/configs).

#define CAF_SUITE app.compat

#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_validate.hpp"
#include "support/places.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

using namespace conclave;

namespace {

constexpr std::size_t shipped = 118;

/// What is wrong with the file itself, and where. Anything else that fails is ours.
struct defect {
  const char* file;
  std::vector<std::string> paths;
};

const std::vector<defect>& defects() {
  // `cwd` without an orchestrator section: MassGen refuses these too.
  static const std::vector<defect> all = {
      {"claude_code_flash2.5.yaml", {"agents[0].backend.cwd"}},
      {"claude_code_flash2.5_gptoss.yaml", {"agents[0].backend.cwd"}},
      {"claude_code_discord_mcp_example.yaml", {"agent.backend.cwd"}},
      {"claude_code_simple_mcp.yaml", {"agent.backend.cwd"}},
      {"claude_code_twitter_mcp_example.yaml", {"agent.backend.cwd"}},
      {"gpt5mini_claude_code_discord_mcp_example.yaml", {"agents[0].backend.cwd"}},
  };
  return all;
}

std::vector<std::filesystem::path> files_in(const std::string& folder) {
  std::vector<std::filesystem::path> out;
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator it{folder, code}, end; !code && it != end; it.increment(code))
    if (it->path().extension() == ".yaml")
      out.push_back(it->path());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::filesystem::path> find_files() {
  if (const auto* folder = std::getenv("CONCLAVE_COMPAT_DIR"))
    return files_in(folder); // named: then it must be there
  auto files = files_in(test::source_dir() + "/../shared/compat");
  if (files.empty()) {
    std::puts("skipped: the MassGen 0.1.0 configurations are not here; set CONCLAVE_COMPAT_DIR to a folder that holds them");
    std::exit(77);
  }
  return files;
}

} // namespace

CAF_TEST(every file of MassGen loads or fails by its own defect) {
  auto files = find_files();
  CAF_REQUIRE_EQUAL(files.size(), shipped);
  std::set<std::string> failed;
  for (const auto& file : files) {
    auto r = load_config(file.string());
    auto name = file.filename().string();
    std::vector<std::string> errors;
    for (const auto& p : r.problems) {
      CAF_CHECK(!p.text.empty());
      CAF_CHECK_EQUAL(p.file, file.string());
      CAF_CHECK(p.line > 0);
      if (p.severity == severity::error)
        errors.push_back(p.path);
    }
    auto known = std::find_if(defects().begin(), defects().end(), [&](const defect& d) { return name == d.file; });
    auto expected = known == defects().end() ? std::vector<std::string>{} : known->paths;
    if (errors != expected)
      for (const auto& p : r.problems)
        if (p.severity == severity::error)
          CAF_MESSAGE(to_string(p));
    CAF_CHECK_EQUAL(errors, expected);
    CAF_CHECK(!r.config.agents.empty());
    if (!r.ok())
      failed.insert(name);
    for (const auto& a : r.config.agents)
      CAF_CHECK(find_backend_kind(a.backend.type) != nullptr);
  }
  CAF_CHECK_EQUAL(failed.size(), defects().size());
}

CAF_TEST(files whose needs are all met can run) {
  std::size_t runnable = 0;
  for (const auto& file : find_files())
    runnable += blocking(load_config(file.string()).problems).empty() ? 1 : 0;
  CAF_MESSAGE("files that run in this version: " << runnable);
  CAF_CHECK(runnable >= 10);
}
