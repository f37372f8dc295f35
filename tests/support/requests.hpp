// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Requests, and what a dialect makes of them. To be included behind the test framework.

#include "protocols/wire/dialect.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace conclave::test {

using nlohmann::json;

inline const std::string base = "http://127.0.0.1:1/v1";

inline message say(role from, std::string text) {
  message m;
  m.from = from;
  m.text = std::move(text);
  return m;
}

inline message asks(std::string text, std::vector<tool_call> calls, std::string opaque = "", std::string dialect = "") {
  auto m = say(role::assistant, std::move(text));
  m.calls = std::move(calls);
  m.opaque = std::move(opaque);
  m.opaque_dialect = std::move(dialect);
  return m;
}

inline message answers(std::string id, std::string text, bool is_error = false) {
  auto m = say(role::tool, std::move(text));
  m.tool_call_id = std::move(id);
  m.is_error = is_error;
  return m;
}

inline model_request plain() {
  model_request r;
  r.agent = "real_id_of_the_agent";
  r.model = "test-model";
  r.messages = {say(role::system, "Be brief."), say(role::user, "Wie viel ist 2 + 2? \xE2\x82\xAC")};
  return r;
}

inline model_request tools() {
  auto r = plain();
  r.tools = {{"new_answer", "Hand in.", R"({"type":"object","properties":{"content":{"type":"string"}},"required":["content"]})"},
             {"odd", "", "no schema"}};
  r.params = R"({"temperature":0.5,"top_p":null,"tool_choice":"auto","betas":["b-1","b-2"]})";
  r.max_output_tokens = 256;
  return r;
}

inline http_request encode(const char* dialect, const model_request& r,
                           wire::endpoint to = {base, "", "", "", "", {}, {}, false, false}) {
  std::string error;
  auto out = wire::find_dialect(dialect)->encode(r, to, {}, error);
  CAF_CHECK_EQUAL(error, "");
  return out;
}

inline json body_of(const char* dialect, const model_request& r) {
  return json::parse(encode(dialect, r).body);
}

inline std::string header(const http_request& r, std::string name) {
  std::string out;
  for (auto& [key, value] : r.headers)
    if (key == name)
      out += out.empty() ? value : " AND " + value;
  return out;
}

} // namespace conclave::test
