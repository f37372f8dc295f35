// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The golden replies of a dialect, see tests/golden/README.md. To be included behind the test framework.

#include "support/decode.hpp"
#include "support/places.hpp"

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace conclave::test {

using nlohmann::json;

inline std::string read_file(const std::filesystem::path& p) {
  std::ifstream in(p, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline json shown(const completion& c) {
  json v = {{"status", to_string(c.status)}};
  auto text = [&](const char* key, const std::string& x) {
    if (!x.empty())
      v[key] = x;
  };
  text("text", c.text);
  text("reasoning", c.reasoning);
  for (auto& call : c.calls)
    v["calls"].push_back({call.id, call.name, call.arguments});
  if (auto& u = c.usage; u.unreported == 0) {
    v["usage"] = {u.input_tokens, u.cached_input_tokens, u.output_tokens, u.reasoning_tokens};
    json more = {u.cache_write_tokens, u.audio_input_tokens, u.audio_output_tokens, u.hosted_calls};
    if (more != json{0, 0, 0, 0})
      v["usage"].insert(v["usage"].end(), more.begin(), more.end());
  }
  if (c.code != ec::none)
    v["code"] = to_string(c.code);
  text("error", c.error);
  text("finish", c.finish);
  if (c.semantic)
    v["semantic"] = true;
  if (!c.opaque.empty())
    v["opaque"] = json::parse(c.opaque);
  return v;
}

inline json shown(const std::vector<chunk>& chunks) {
  json v = json::array();
  for (auto& c : chunks)
    v.push_back({to_string(c.kind), c.text});
  return v;
}

/// Each place of a reply with CONCLAVE_LONG; else some, and never the same in two neighbouring events.
inline std::size_t cuts_apart() {
  return std::getenv("CONCLAVE_LONG") != nullptr ? 1 : 7;
}

/// Reads every case whose name begins from `first` to `last` whole, byte by byte and cut in two at such places; returns how many
/// there are.
inline int run_golden(const std::string& dialect, char first = '\0', char last = '\x7F') {
  auto folder = std::filesystem::path(source_dir()) / "tests/golden" / dialect;
  int cases = 0;
  for (auto& entry : std::filesystem::directory_iterator(folder)) {
    auto name = entry.path().filename().string();
    if (name.size() < 10 || name[0] < first || name[0] > last || name.substr(name.size() - 10) != ".reply.sse")
      continue;
    ++cases;
    auto stem = name.substr(0, name.size() - 10);
    auto bytes = read_file(entry.path());
    auto expected = json::parse(read_file(folder / (stem + ".chunks.json")));
    http_end end;
    if (expected.contains("end"))
      end = {ec_from_string(expected["end"][0].get<std::string>()), expected["end"][1].get<std::string>(), 200, true};
    auto head = head_of(200, "text/event-stream");
    auto whole = decode(dialect.c_str(), head, bytes, {}, end);
    CAF_CHECK_EQUAL(stem + " " + shown(whole.chunks).dump(), stem + " " + expected["chunks"].dump());
    CAF_CHECK_EQUAL(stem + " " + shown(whole.completion).dump(), stem + " " + expected["completion"].dump());
    CAF_CHECK_EQUAL(whole.completion.opaque_dialect, whole.completion.opaque.empty() ? "" : dialect);
    CAF_CHECK(decode(dialect.c_str(), head, bytes, {1}, end) == whole);
    CAF_CHECK(decode(dialect.c_str(), head, slowed(bytes), {}, end) == whole);
    for (std::size_t cut = 1; cut < bytes.size(); cut += cuts_apart())
      if (!(decode(dialect.c_str(), head, bytes, {cut, bytes.size()}, end) == whole))
        CAF_FAIL(stem << ": cut at " << cut << " gives another result");
  }
  return cases;
}

} // namespace conclave::test
