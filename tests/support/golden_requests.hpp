// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The requests whose bodies are in tests/golden/<dialect>/<case>.request.json. To be included behind the test framework.

#include "support/requests.hpp"

namespace conclave::test {

inline model_request tool_loop() {
  auto r = plain();
  r.messages.push_back(asks("I look.", {{"c1", "f", R"({"a":1})"}, {"c:2", "g", "not json"}, {"c3", "h", "{}"}}));
  r.messages.push_back(answers("c1", "one"));
  r.messages.push_back(answers("c:2", "Error: bad arguments", true));
  r.messages.push_back(answers("orphan", "of nobody"));
  r.messages.push_back(say(role::user, "Finish now."));
  return r;
}

inline model_request thinking() {
  auto r = plain();
  r.messages.push_back(asks("", {{"call:0", "f", R"({"z":1,"a":2})"}},
                            R"([{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"eA=="},)"
                            R"({"type":"tool_use","id":"call:0","name":"f","input":{"z":1,"a":2}}])",
                            "anthropic"));
  r.messages.push_back(answers("call:0", "done"));
  return r;
}

inline model_request decision() {
  auto r = plain();
  r.messages = {say(role::user, "Which?")};
  r.schema = R"({"type":"object","properties":{"action":{"enum":["vote"]}}})";
  return r;
}

/// What a tool gave that took a picture, recorded a sound and lists a file.
inline model_request tool_images() {
  auto r = plain();
  r.messages.push_back(asks("", {{"c1", "f", "{}"}, {"c2", "f", "{}"}}));
  r.messages.push_back(answers("c1", "before\n[image image/png, 70 bytes, not shown]\n[image image/x, 3 bytes, not shown]\n"
                                     "[audio audio/wav, 3 bytes, not shown]\n[resource a: file:///a]\ninside"));
  r.messages.back().parts = {
      {content_kind::text, "before", "", "", ""},
      {content_kind::image, "[image image/png, 70 bytes, not shown]", "image/jpeg",
       "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==", ""},
      {content_kind::image, "[image image/x, 3 bytes, not shown]", "image/x", "AAAA", ""},
      {content_kind::audio, "[audio audio/wav, 3 bytes, not shown]", "audio/wav", "iVBO", ""},
      {content_kind::resource, "[resource a: file:///a]", "image/png", "", "file:///a"},
      {content_kind::resource, "inside", "text/x", "", "file:///b"},
      {content_kind::json, R"({"a":1})", "", "", ""},
      {content_kind::text, " ", "", "", ""}};
  r.messages.push_back(answers("c2", "[image image/gif, 6 bytes, not shown]"));
  r.messages.back().parts = {{content_kind::image, "[image image/gif, 6 bytes, not shown]", "image/gif", "R0lGODlh", ""}};
  return r;
}

/// A turn of the Responses API, with calls that are answered in two ways.
inline model_request sealed() {
  auto r = plain();
  r.messages.push_back(asks("I look.", {{"call:1", "f", R"({ "z":1 })"}, {"call_2", "patch", "*** x"}},
                            R"([{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA+/=="},{"type":"message",)"
                            R"("id":"msg_1","role":"assistant","status":"completed","phase":"commentary","content":[{"type":)"
                            R"("output_text","text":"I look.","annotations":[]}]},{"type":"function_call","id":"fc_1","call_id":)"
                            R"("call:1","name":"f","arguments":"{ \"z\":1 }","caller":{"type":"program","caller_id":"p"}},{"type":)"
                            R"("custom_tool_call","id":"ctc_1","call_id":"call_2","name":"patch","input":"*** x"}])",
                            "openai_responses"));
  r.messages.push_back(answers("call:1", "one"));
  r.messages.push_back(answers("call_2", "two"));
  return r;
}

struct golden_case {
  const char* name;
  model_request (*make)();
};
inline constexpr golden_case golden_cases[] = {{"plain", plain},       {"tools", tools},       {"tool_loop", tool_loop},
                                               {"thinking", thinking}, {"decision", decision}, {"tool_images", tool_images}};

} // namespace conclave::test
