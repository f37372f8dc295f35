// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// libFuzzer on the loader: any bytes give a configuration or problems, never a crash, a hang or a contradiction.

#include "app/environment.hpp"
#include "app/load_config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_validate.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace conclave;

namespace {

void require(bool what) {
  if (!what)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  // A folder that does not exist: no script of this machine is read.
  static const std::string value = "a: [b], \"c\" ${HOME}";
  load_options options{{}, [](const std::string& name) { return name.size() % 2 == 0 ? &value : nullptr; }, severity::error};
  auto r = load_config_text(text, "/no/such/folder/fuzz.yaml", options);
  require(r.problems.size() <= 202);
  for (const auto& p : r.problems)
    require(!p.text.empty() && p.line >= 0);
  if (r.ok()) {
    require(!r.config.agents.empty() && r.config.agents.size() <= 64);
    for (const auto& p : validate(r.config))
      require(p.severity != severity::error);
    lookup none = [](const std::string&) -> const std::string* { return nullptr; };
    for (const auto& p : environment_problems(r.config, none))
      require(p.severity == severity::warning);
  }
  auto again = load_config_text(text, "/no/such/folder/fuzz.yaml", options);
  require(again.problems == r.problems && again.config == r.config);
  std::vector<problem> problems;
  for (const auto& [key, text_of_key] : parse_environment(text, ".env", problems))
    require(!key.empty() && text_of_key.find('\0') == std::string::npos);
  return 0;
}
