// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.delta_reader

#include "protocols/wire/delta_reader.hpp"

#include "caf/test/unit_test.hpp"
#include "support/golden_replies.hpp"
#include "support/places.hpp"

#include <random>

using namespace conclave;
using conclave::test::decode;

namespace {

constexpr const char* dialects[] = {"openai_chat", "anthropic", "openai_responses", "gemini"};

std::vector<std::string> files_in(const std::string& folder, std::string_view ending) {
  std::vector<std::string> out;
  auto path = std::filesystem::path(test::source_dir()) / folder;
  if (std::filesystem::exists(path))
    for (auto& e : std::filesystem::directory_iterator(path))
      if (e.is_regular_file() && e.path().filename().string().ends_with(ending))
        out.push_back(test::read_file(e.path()));
  std::sort(out.begin(), out.end());
  return out;
}

/// Whether both readers make the same of a stream.
bool agree(const char* dialect, const std::string& stream) {
  auto head = test::head_of(200, "text/event-stream");
  return test::same_but_words(decode(dialect, head, stream), decode(dialect, head, test::slowed(stream)));
}

/// A stream with something changed as servers and attackers do: a byte, a piece twice, a piece lost, another value.
std::string mutated(std::string text, std::mt19937& random) {
  auto below = [&](std::size_t n) { return n == 0 ? 0 : std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  static const std::vector<std::string> words = {"null",
                                                 "\"\"",
                                                 "[]",
                                                 "{}",
                                                 "0",
                                                 "-1",
                                                 "1e999",
                                                 "1.5",
                                                 "true",
                                                 "tru",
                                                 "\"\\ud83d\"",
                                                 "\"\\u0000\"",
                                                 "\"\xC3\"",
                                                 "\"\\q\"",
                                                 "01",
                                                 "\x01",
                                                 ",\"error\":\"x\"",
                                                 ",\"object\":\"error\"",
                                                 ",\"delta\":{}",
                                                 ",\"text\":\"two\"",
                                                 ",\"type\":\"error\"",
                                                 "\\u0065",
                                                 "}{",
                                                 " ",
                                                 "\"x\":1,"};
  for (auto n = 1 + below(3); n > 0; --n) {
    auto at = below(text.size());
    switch (below(5)) {
    case 0:
      text[at] = static_cast<char>(below(256));
      break;
    case 1:
      text.erase(at, below(12));
      break;
    case 2:
      text.insert(at, text.substr(below(text.size()), below(40)));
      break;
    default:
      auto end = text.find_first_of(",:}]", at); // where a value stands or could stand
      if (end != std::string::npos)
        text.insert(text[end] == ':' ? end + 1 : end, words[below(words.size())]);
    }
  }
  return text;
}

} // namespace

CAF_TEST(each reader takes the plain pieces of its dialect) {
  wire::delta d;
  std::string chat =
      R"({"id":"c","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":null,"choices":[{"index":0,)"
      R"("delta":{"role":"assistant","content":"a \"b\" \u00e4"},"logprobs":null,"finish_reason":null}],"usage":null})";
  CAF_CHECK(wire::read_chat_delta(chat, d));
  CAF_CHECK_EQUAL(d.piece, "a \"b\" \xC3\xA4");
  CAF_CHECK(d.kind == wire::delta_kind::text);
  std::string thought = R"({"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"hm"},"finish_reason":null}]})";
  CAF_CHECK(wire::read_chat_delta(thought, d) && d.kind == wire::delta_kind::thought && d.piece == "hm");
  CAF_CHECK_EQUAL(d.field, "reasoning_content");
  std::string call =
      R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"function":{"arguments":"{\"a"}}]},"finish_reason":null}]})";
  CAF_CHECK(wire::read_chat_delta(call, d) && d.kind == wire::delta_kind::arguments && d.index == 2 && d.piece == "{\"a");
  std::string block = R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}})";
  CAF_CHECK(wire::read_anthropic_delta(block, d) && d.kind == wire::delta_kind::arguments && d.index == 1 && d.piece == "{\"x\":");
  std::string item =
      R"({"type":"response.output_text.delta","item_id":"msg_1","output_index":3,"content_index":0,"delta":"hi","logprobs":[],)"
      R"("sequence_number":7,"obfuscation":"x"})";
  CAF_CHECK(wire::read_responses_delta(item, d) && d.kind == wire::delta_kind::text && d.index == 3 && d.item == "msg_1"
            && d.piece == "hi");
  std::string part = R"({"candidates":[{"content":{"parts":[{"text":"hi","thought":true}],"role":"model"},"index":0}],)"
                     R"("usageMetadata":{"promptTokenCount":4},"modelVersion":"m","responseId":"r"})";
  CAF_CHECK(wire::read_gemini_delta(part, d) && d.kind == wire::delta_kind::thought && d.piece == "hi" && d.item == "r");
  CAF_CHECK(d.counted && d.counts[0] == 4 && !(d.counts[1] >= 0));
}

CAF_TEST(whatever says more than one piece is left to the general parser) {
  wire::delta d;
  for (std::string text : {R"({"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]})",
                           R"({"choices":[{"delta":{"content":""}}]})",
                           R"({"choices":[{"delta":{"content":"a","reasoning":"b"}}]})",
                           R"({"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}})",
                           R"({"choices":[{"delta":{"content":"a"}}],"error":"b"})",
                           R"({"choices":[{"delta":{"content":"a"}}],"err\u006fr":"b"})",
                           R"({"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]})",
                           R"({"choices":[{"delta":{"content":"a","content":"b"}}]})",
                           R"({"choices":[{"delta":{"content":"\ud83d"}}]})",
                           R"({"choices":[{"delta":{"content":"a"}}]}x)",
                           R"({"choices":[{"delta":{"content":"a"}}]} {})",
                           R"({"choices":[{"delta":{"content":"a"}}],"n":01})",
                           R"({"choices":[{"delta":{"content":"a"}}],"n":1e999})",
                           R"({"choices":[{"delta":{"content":"a"}}],"n":nulL})",
                           R"({"choices":[{"delta":{"content":"a"}}],"n":"\q"})",
                           R"({"choices":[{"delta":{"content":"a"}}],"n":[1]})",
                           R"({"choices":[{"delta":{"content":"a"}}],})",
                           R"({"choices":[{"delta":{"content":"a","refusal":"no"}}]})",
                           R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"i","function":{"arguments":"a"}}]}}]})",
                           R"({"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"a"}}]}}]})",
                           "",
                           "{",
                           "[]",
                           "{}",
                           "{\"choices\":[{\"delta\":{\"content\":\"\x01\"}}]}",
                           "{\"choices\":[{\"delta\":{\"content\":\"\xC3\"}}]}"}) {
    auto before = text;
    CAF_CHECK(!wire::read_chat_delta(text, d));
    CAF_CHECK_EQUAL(text, before);
  }
  std::string odd = R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","thinking":"a"}})";
  CAF_CHECK(!wire::read_anthropic_delta(odd, d));
  std::string error = R"({"type":"response.output_text.delta","object":"error","delta":"a"})";
  CAF_CHECK(!wire::read_responses_delta(error, d));
  std::string blocked = R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}],"promptFeedback":{"blockReason":"SAFETY"}})";
  CAF_CHECK(!wire::read_gemini_delta(blocked, d));
}

CAF_TEST(both readers agree on the golden streams with bytes changed) {
  std::mt19937 random(4711);
#if defined(__SANITIZE_ADDRESS__)
  constexpr int rounds = 20;
#else
  constexpr int rounds = 200;
#endif
  int streams = 0;
  for (auto* dialect : dialects)
    for (auto& bytes : files_in(std::string("tests/golden/") + dialect, ".reply.sse")) {
      ++streams;
      for (int i = 0; i < rounds; ++i)
        if (auto other = mutated(bytes, random); !agree(dialect, other))
          CAF_FAIL(dialect << " disagree on: " << other);
    }
  CAF_CHECK(streams > 80);
}

CAF_TEST(both readers agree on what fuzzing found) {
  int inputs = 0;
  for (auto* folder : {"openai_chat", "anthropic", "openai_responses", "gemini", "sse", "json"})
    for (auto& bytes : files_in(std::string("tests/fuzz/corpus/") + folder, ""))
      for (auto* dialect : dialects) {
        ++inputs;
        if (!agree(dialect, bytes))
          CAF_FAIL(dialect << " disagree on: " << bytes);
      }
  CAF_CHECK(inputs > 200);
}

CAF_TEST(both readers agree on pieces of a megabyte) {
  const std::string kinds[] = {"plain ",
                               "\xC3\xA4\xF0\x9F\x98\x80",
                               R"(\n \"a\" \\ \/ \b\f\r\t)",
                               R"(\u00e4 \ud83d\ude00 \u0000 \uFFFF)",
                               R"(\\\\\\\")",
                               R"(\ud83d half )",
                               R"(\ude00)",
                               "\xC3 cut",
                               "\x01",
                               R"(\q)",
                               R"(\u12g4)",
                               "<think>a</think>"};
  const std::pair<const char*, std::pair<std::string, std::string>> frames[] = {
      {"openai_chat", {R"({"choices":[{"index":0,"delta":{"content":")", R"("},"finish_reason":null}]})"}},
      {"openai_chat", {R"({"choices":[{"index":0,"delta":{"reasoning_content":")", R"("},"finish_reason":null}],"n":"\u0061"})"}},
      {"openai_chat", {R"({"id":")", R"(","choices":[{"index":0,"delta":{"content":"a long piece"}}]})"}},
      {"openai_chat", {R"({")", R"(":1,"choices":[{"index":0,"delta":{"content":"b"}}]})"}},
      {"openai_chat", {R"({"choices":[{"index":0,"delta":{"role":")", R"(","content":"a long\u0020piece"}}]})"}},
      {"anthropic", {R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")", "\"}}"}},
      {"openai_responses", {R"({"type":"response.output_text.delta","output_index":0,"item_id":"m","delta":")", "\"}"}},
      {"gemini", {R"({"candidates":[{"content":{"parts":[{"text":")", R"(","thought":true}],"role":"model"},"index":0}]})"}}};
  int taken = 0;
  for (auto& [dialect, frame] : frames)
    for (auto& kind : kinds) {
      auto text = std::string(1000, 'x');
      while (text.size() < 100'000)
        text += kind;
      std::string before = std::string_view(dialect) == "anthropic"
                               ? R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
                                 "\n\n"
                               : "";
      auto event = frame.first + text + "y" + frame.second;
      if (auto stream = before + "data: " + event + "\n\n"; !agree(dialect, stream + stream))
        CAF_FAIL(dialect << " disagree on " << kind << " in " << frame.first);
      wire::delta d;
      taken += wire::read_chat_delta(event, d) ? 1 : 0;
    }
  auto sound = std::string(100'000, 'x');
  wire::delta d;
  auto thought = R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":")" + sound + "\"}}";
  CAF_CHECK(wire::read_anthropic_delta(thought, d) && d.size == sound.size());
  auto item = R"({"type":"response.reasoning_summary_text.delta","item_id":"an id that is allocated","delta":")" + sound + "\"}";
  CAF_CHECK(wire::read_responses_delta(item, d) && d.size == sound.size() && d.item == "an id that is allocated");
  CAF_CHECK_EQUAL(taken, 6); // of the first frame; a piece with a tag is one, what is no sound string is none
}
