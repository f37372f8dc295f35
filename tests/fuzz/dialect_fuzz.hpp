// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What holds for any dialect and any bytes: no crash, the same result for any split, a completion that contradicts nothing, and a
/// next request that every server can read.

#include "fuzz/fuzz.hpp"
#include "support/decode.hpp"

#include <nlohmann/json.hpp>

#include <set>

namespace conclave::fuzz {

inline void check_completion(const completion& c) {
  std::set<std::string> ids;
  for (auto& call : c.calls) {
    FUZZ_REQUIRE(!call.id.empty() && !call.name.empty());
    FUZZ_REQUIRE(ids.insert(call.id).second);
    FUZZ_REQUIRE(call.arguments.find_first_not_of(" \t\r\n") != std::string::npos);
  }
  auto failed = c.status == completion_status::broken || c.status == completion_status::cancelled;
  FUZZ_REQUIRE(failed == (c.code != ec::none));
  FUZZ_REQUIRE(!failed || !c.error.empty());
  FUZZ_REQUIRE(!failed || c.calls.empty());
  FUZZ_REQUIRE(is_clean_line(c.error) && c.error.size() < 1000);
  for (auto n : {c.usage.input_tokens, c.usage.cached_input_tokens, c.usage.output_tokens, c.usage.reasoning_tokens})
    FUZZ_REQUIRE(n >= 0 && n < std::int64_t{1} << 50);
}

/// The reply, its results and a correction go back: what a next request of all dialects must look like.
inline void check_replay(const completion& c) {
  model_request req;
  req.model = "m";
  req.messages.push_back({role::user, "question", "", {}, "", false, "", ""});
  req.messages.push_back({role::assistant, c.text, c.reasoning, c.calls, "", false, c.opaque, c.opaque_dialect});
  for (auto& call : c.calls)
    req.messages.push_back({role::tool, "result", "", {}, call.id, false, "", ""});
  req.messages.push_back({role::user, "go on", "", {}, "", false, "", ""});
  for (auto* name : {"openai_chat", "anthropic", "openai_responses", "gemini"}) {
    std::string error;
    wire::endpoint to{"http://127.0.0.1:1", "", "", "", "", {}, {}, false, false};
    auto http = wire::find_dialect(name)->encode(req, to, {}, error);
    FUZZ_REQUIRE(error.empty());
    auto body = nlohmann::json::parse(http.body, nullptr, false);
    FUZZ_REQUIRE(body.is_object());
    if (body.contains("contents")) { // Gemini, whose calls may have no id
      std::size_t calls = 0, results = 0;
      for (auto& content : body["contents"])
        for (auto& part : content["parts"]) {
          calls += part.contains("functionCall") ? 1 : 0;
          results += part.contains("functionResponse") ? 1 : 0;
        }
      FUZZ_REQUIRE(calls == c.calls.size() && results == calls);
      continue;
    }
    std::set<std::string> asked, answered;
    for (auto& item : body["input"]) {
      auto type = item.contains("type") ? item["type"].get<std::string>() : std::string("message");
      if (type == "function_call" || type == "custom_tool_call")
        FUZZ_REQUIRE(asked.insert(item["call_id"].get<std::string>()).second);
      if (type == "function_call_output" || type == "custom_tool_call_output")
        FUZZ_REQUIRE(answered.insert(item["call_id"].get<std::string>()).second);
    }
    for (auto& m : body["messages"]) {
      if (m.contains("tool_calls"))
        for (auto& t : m["tool_calls"])
          asked.insert(t["id"].get<std::string>());
      if (m.contains("tool_call_id"))
        answered.insert(m["tool_call_id"].get<std::string>());
      if (m["content"].is_array())
        for (auto& b : m["content"]) {
          if (!b.is_object())
            continue;
          if (b.value("type", nlohmann::json()) == "tool_use")
            asked.insert(b["id"].get<std::string>());
          if (b.value("type", nlohmann::json()) == "tool_result")
            answered.insert(b["tool_use_id"].get<std::string>());
        }
    }
    FUZZ_REQUIRE(asked == answered);
    FUZZ_REQUIRE(asked.size() == c.calls.size());
  }
}

inline void check_reply(const char* dialect, const http_head& head, std::string_view bytes) {
  auto whole = test::decode(dialect, head, bytes);
  check_completion(whole.completion);
  FUZZ_REQUIRE(whole == test::decode(dialect, head, bytes, pieces_of(bytes)));
  FUZZ_REQUIRE(test::same_but_words(whole, test::decode(dialect, head, test::slowed(bytes))));
  if (bytes.size() < 2000)
    FUZZ_REQUIRE(whole == test::decode(dialect, head, bytes, {1}));
  auto& c = whole.completion;
  if (head.status < 300) {
    // Eyes see a beginning of what the completion holds; text before a lone closing tag turns out to be reasoning, and the text of
    // an answer stays in its call.
    auto text = test::joined(whole.chunks, chunk_kind::text), thought = test::joined(whole.chunks, chunk_kind::reasoning);
    FUZZ_REQUIRE(c.reasoning.rfind(thought, 0) == 0);
    auto moved = c.reasoning.substr(thought.size());
    auto answers = !test::joined(whole.chunks, chunk_kind::tool_call).empty();
    FUZZ_REQUIRE(answers || c.text.rfind(text, 0) == 0 || text.rfind(moved, 0) == 0 || moved.rfind(text, 0) == 0);
    FUZZ_REQUIRE(c.semantic || (c.text.empty() && c.reasoning.empty() && c.calls.empty()));
  }
  if (c.status == completion_status::finished || c.status == completion_status::truncated)
    check_replay(c);
  for (auto code : {ec::cancelled, ec::unavailable, ec::timeout}) {
    auto cut =
        test::decode(dialect, head, bytes.substr(0, bytes.size() / 2), {}, {code, "the connection was cut", head.status, true});
    check_completion(cut.completion);
  }
}

inline int run_dialect(const char* dialect, const std::uint8_t* data, std::size_t size) {
  auto bytes = text_of(data, size);
  check_reply(dialect, test::head_of(200, "text/event-stream"), bytes);
  check_reply(dialect, test::head_of(200, "application/json; charset=utf-8"), bytes);
  check_reply(dialect, test::head_of(200, ""), bytes);
  check_reply(dialect, test::head_of(400, "text/html"), bytes);
  return 0;
}

} // namespace conclave::fuzz
