// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a reply may be at most: the same in every dialect, exact at each bound, and whatever the pieces it comes in.

#define CAF_SUITE protocols.reply_bounds

#include "caf/test/unit_test.hpp"
#include "protocols/wire/bounds.hpp"
#include "protocols/wire/json_util.hpp"
#include "support/decode.hpp"

#include <span>

using namespace conclave;
using namespace conclave::test;

namespace {

using events = std::vector<std::string>;

std::string stream_of(const events& list) {
  std::string out;
  for (auto& e : list)
    out += "data: " + e + "\n\n";
  return out;
}

std::string numbered(const std::string& prefix, int i) {
  return prefix + std::to_string(i);
}

/// How each dialect says the same. `unknown`: an event with a member that no dialect knows.
struct voice {
  const char* dialect;
  events (*text)(const std::string& text);
  events (*calls)(int count);
  std::string (*unknown)(const std::string& value);
};

events chat_text(const std::string& text) {
  return {R"({"choices":[{"index":0,"delta":{"content":")" + text + R"("},"finish_reason":"stop"}]})"};
}

events chat_calls(int count) {
  events out;
  for (int i = 0; i < count; ++i)
    out.push_back(R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":)" + std::to_string(i) + R"(,"id":")" + numbered("c", i)
                  + R"(","function":{"name":"f","arguments":"{}"}}]}}]})");
  out.push_back(R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})");
  return out;
}

events claude_text(const std::string& text) {
  return {R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
          R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" + text + "\"}}",
          R"({"type":"message_delta","delta":{"stop_reason":"end_turn"}})", R"({"type":"message_stop"})"};
}

events claude_calls(int count) {
  events out;
  for (int i = 0; i < count; ++i)
    out.push_back(R"({"type":"content_block_start","index":)" + std::to_string(i) + R"(,"content_block":{"type":"tool_use","id":")"
                  + numbered("c", i) + R"(","name":"f","input":{}}})");
  out.push_back(R"({"type":"message_delta","delta":{"stop_reason":"tool_use"}})");
  out.push_back(R"({"type":"message_stop"})");
  return out;
}

events responses_text(const std::string& text) {
  return {R"({"type":"response.output_text.delta","output_index":0,"item_id":"m","delta":")" + text + "\"}",
          R"({"type":"response.completed","response":{"status":"completed","output":[]}})"};
}

events responses_calls(int count) {
  events out;
  for (int i = 0; i < count; ++i)
    out.push_back(R"({"type":"response.output_item.done","output_index":)" + std::to_string(i)
                  + R"(,"item":{"type":"function_call","id":")" + numbered("f", i) + R"(","call_id":")" + numbered("c", i)
                  + R"(","name":"f","arguments":"{}"}})");
  out.push_back(R"({"type":"response.completed","response":{"status":"completed"}})");
  return out;
}

events gemini_text(const std::string& text) {
  return {R"({"candidates":[{"content":{"parts":[{"text":")" + text + R"("}]},"finishReason":"STOP"}]})"};
}

events gemini_calls(int count) {
  events out;
  for (int i = 0; i < count; ++i)
    out.push_back(R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]})");
  out.push_back(R"({"candidates":[{"content":{},"finishReason":"STOP"}]})");
  return out;
}

template <int Which>
std::string unknown_in(const std::string& value) {
  static constexpr const char* begin[] = {R"({"choices":[],"x":)", R"({"type":"ping","x":)", R"({"type":"response.x","x":)",
                                          R"({"candidates":[],"x":)"};
  return begin[Which] + value + "}";
}

const voice voices[] = {{"openai_chat", chat_text, chat_calls, unknown_in<0>},
                        {"azure_openai", chat_text, chat_calls, unknown_in<0>},
                        {"anthropic", claude_text, claude_calls, unknown_in<1>},
                        {"openai_responses", responses_text, responses_calls, unknown_in<2>},
                        {"gemini", gemini_text, gemini_calls, unknown_in<3>}};

// With the address sanitizer a MiB takes ten times as long: one dialect there is asked for what is large.
#ifdef __SANITIZE_ADDRESS__
const auto for_large = std::span{voices}.first(1);
#else
const auto for_large = std::span{voices};
#endif

completion read(const voice& v, const std::string& bytes, std::size_t piece = 1u << 20) {
  return decode(v.dialect, head_of(200, "text/event-stream"), bytes, {piece}).completion;
}

} // namespace

CAF_TEST(a reply of 64 MiB is read and one byte more is refused in every dialect) {
  for (auto& v : for_large) {
    auto reply = stream_of(v.text("It is 42."));
    std::string comments(wire::max_reply_bytes - reply.size(), 'x'); // many lines, none too long
    for (std::size_t at = 0; at < comments.size(); at += 1u << 20)
      comments.replace(at, 1, ":");
    for (std::size_t at = (1u << 20) - 1; at < comments.size(); at += 1u << 20)
      comments.replace(at, 1, "\n");
    comments.back() = '\n';
    CAF_REQUIRE_EQUAL(comments.size() + reply.size(), wire::max_reply_bytes);
    CAF_CHECK_EQUAL(read(v, comments + reply).text, "It is 42.");
    for (auto piece : {std::size_t{1} << 20, std::size_t{100} << 20, std::size_t{65'537}}) {
      auto c = read(v, ":" + comments + reply, piece);
      CAF_CHECK(c.status == completion_status::broken && c.code == ec::bad_reply);
      CAF_CHECK_EQUAL(c.error, "the reply is larger than 64 MiB");
    }
  }
}

CAF_TEST(a body of 16 MiB that is no stream is read and one byte more is refused) {
  std::string body = R"({"choices":[{"message":{"content":"It is 42."},"finish_reason":"stop"}]})";
  auto filled = [&](std::size_t size) { return "{" + std::string(size - body.size(), ' ') + body.substr(1); };
  auto whole = [&](std::size_t size) {
    return decode("openai_chat", head_of(200, "application/json"), filled(size), {1u << 20}).completion;
  };
  CAF_CHECK_EQUAL(whole(wire::max_line_bytes).text, "It is 42.");
  auto c = whole(wire::max_line_bytes + 1);
  CAF_CHECK(c.status == completion_status::broken && c.code == ec::bad_reply);
  CAF_CHECK_EQUAL(c.error, "the reply is larger than 16 MiB and does not come as a stream");
}

CAF_TEST(16 MiB of text are read and one byte more is refused) {
  auto halves = [&](std::size_t size) {
    auto half = chat_text(std::string(size / 2, 'x')), rest = chat_text(std::string(size - size / 2, 'x'));
    return stream_of({half[0], rest[0]});
  };
  CAF_CHECK_EQUAL(read(voices[0], halves(wire::max_text_bytes)).text.size(), wire::max_text_bytes);
  auto c = read(voices[0], halves(wire::max_text_bytes + 1));
  CAF_CHECK(c.status == completion_status::broken && c.code == ec::bad_reply);
  CAF_CHECK_EQUAL(c.error, "the reply holds more than 16 MiB of text, thoughts and arguments");
}

CAF_TEST(a line of 16 MiB is read and one byte more is refused in every dialect) {
  for (auto& v : for_large) {
    auto line = [&](std::size_t size) {
      auto bare = v.unknown("\"\"").size() + 6; // "data: "
      return stream_of({v.unknown("\"" + std::string(size - bare, 'x') + "\"")}) + stream_of(v.text("It is 42."));
    };
    CAF_CHECK_EQUAL(read(v, line(wire::max_line_bytes)).text, "It is 42.");
    auto c = read(v, line(wire::max_line_bytes + 1));
    CAF_CHECK(c.code == ec::bad_reply);
    CAF_CHECK_EQUAL(c.error, "one event of the stream is larger than 16 MiB");
  }
}

CAF_TEST(values 64 deep are read and deeper ones are refused in every dialect) {
  for (auto& v : voices) {
    auto nested = [&](int depth) { // the event itself is one
      auto n = static_cast<std::size_t>(depth) - 1;
      return stream_of({v.unknown(std::string(n, '[') + std::string(n, ']'))}) + stream_of(v.text("It is 42."));
    };
    CAF_CHECK_EQUAL(read(v, nested(wire::max_depth)).text, "It is 42.");
    CAF_CHECK(read(v, nested(wire::max_depth + 1)).code == ec::bad_reply);
  }
}

CAF_TEST(an event of too many values was said to be no JSON) {
  for (auto& v : voices) {
    std::string list = "[0";
    while (list.size() < 2 * wire::max_values)
      list += ",0";
    list.resize(wire::long_text, ' ');
    auto sent = [&](const char* more) { return stream_of({v.unknown(list + more + "]")}) + stream_of(v.text("It is 42.")); };
    auto c = read(v, sent(",0,0,0"));
    CAF_CHECK(c.code == ec::bad_reply);
    CAF_CHECK(c.error.find("holds more than 300000 values") != std::string::npos);
  }
}

CAF_TEST(128 calls are read and one more is refused in every dialect) {
  for (auto& v : voices) {
    auto most = static_cast<int>(wire::max_reply_calls);
    CAF_CHECK_EQUAL(read(v, stream_of(v.calls(most))).calls.size(), wire::max_reply_calls);
    auto c = read(v, stream_of(v.calls(most + 1)));
    CAF_CHECK(c.code == ec::bad_reply && c.calls.empty());
    CAF_CHECK_EQUAL(c.error, "more than 128 tool calls in one reply");
  }
}

CAF_TEST(an event of many members took ten times its text) {
  std::string members = "{";
  for (int i = 0; i < 280'000; ++i)
    members += (i == 0 ? "\"" : ",\"") + numbered("a key of some length ", i) + R"(":"a value of some length")";
  for (auto& v : for_large.first(1)) {
    auto c = read(v, stream_of({v.unknown(members + "}")}) + stream_of(v.text("It is 42.")));
    CAF_CHECK(c.code == ec::bad_reply);
    CAF_CHECK(c.error.find("takes more than 32 MiB as values") != std::string::npos);
  }
}

CAF_TEST(what is kept of a reply was counted by its text and took fifty times that) {
  std::string nest; // 300 bytes of text, 10 KiB of values
  for (int i = 0; i < 50; ++i)
    nest += R"({"":)";
  nest += "0" + std::string(50, '}');
  std::string bytes;
  for (int i = 0; i < 40; ++i) {
    std::string list = "[";
    for (int k = 0; k < 1000; ++k)
      list += (k == 0 ? "" : ",") + nest;
    bytes += stream_of({R"({"choices":[{"index":0,"delta":{")" + numbered("x", i) + "\":" + list + "]}}]}"});
  }
  auto c = read(voices[0], bytes);
  CAF_CHECK(c.code == ec::bad_reply);
  CAF_CHECK_EQUAL(c.error, "the reply holds more than 16 MiB of text, thoughts and arguments");
}
