// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Openings of tasks: what was read is written and reads back equal, and masking leaves nothing to mask.

#include "protocols/opening.hpp"

#include "fuzz/fuzz.hpp"

using namespace conclave;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  opening o;
  std::string error;
  if (!from_json(text, o, error)) {
    FUZZ_REQUIRE(o == opening{} && !error.empty() && fuzz::is_clean_line(error));
    // Texts of a configuration may be anything: as parameters, URLs, arguments and variables.
    backend_config b;
    b.params = b.extra_body = b.base_url = b.api_key = text;
    b.extra_headers = {{"Authorization", text}, {text.substr(0, 20), text}};
    b.mcp_servers.emplace_back();
    b.mcp_servers.back().command = {"x", "--token", text, text};
    b.mcp_servers.back().env = {{"A", text}, {"A_KEY", text}, {"HEADERS", text}};
    b.mcp_servers.back().url = text;
    o.agents.push_back({"a", "", "", std::move(b)});
  } else {
    auto written = to_json(o);
    opening back;
    FUZZ_REQUIRE(from_json(written, back, error));
    FUZZ_REQUIRE(back == o);
    FUZZ_REQUIRE(to_json(back) == written);
  }
  run_config file;
  file.agents = o.agents;
  auto masked = o;
  mask_secrets(masked);
  auto twice = masked;
  mask_secrets(twice);
  FUZZ_REQUIRE(twice == masked);
  if (text.find(secret_mark) == std::string::npos) {
    FUZZ_REQUIRE(restore_secrets(masked, file, error));
    FUZZ_REQUIRE(masked == o);
  }
  return 0;
}
