// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What decoding costs alone: the same answer of 200 tokens as a stream of each dialect, one event a token, fed in bursts of 64.
///
///   decoders DIALECT TIMES     openai_chat, anthropic, openai_responses, gemini; or `bare`: nlohmann's parse of each event of the
///                              Chat Completions stream and nothing else
///
/// Prints the bytes and events of one stream. Instructions are counted from outside, as the slope between two TIMES.

#include "support/decode.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace conclave;

constexpr int tokens = 200;
constexpr int burst = 64;

std::string token(int i) {
  static const char* words[] = {" The", " sky", " looks", " blue", " because", " air", " scatters", " short", " waves", " more."};
  return words[i % 10];
}

struct shape {
  std::string name, first, before, after, last;
};

std::vector<shape> shapes() {
  return {
      {"openai_chat", "",
       R"(data: {"id":"chatcmpl-9x","object":"chat.completion.chunk","created":1782000000,"model":"gpt-x","service_tier":"default",)"
       R"("system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":")",
       R"("},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"aB3dE"})"
       "\n\n",
       R"(data: {"id":"chatcmpl-9x","object":"chat.completion.chunk","created":1782000000,"model":"gpt-x","choices":[{"index":0,)"
       R"("delta":{},"finish_reason":"stop"}],"usage":null})"
       "\n\ndata: [DONE]\n\n"},
      {"anthropic",
       "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"content\":[],"
       "\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: "
       "{\"type\":\"content_block_start\","
       "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
       "event: content_block_delta\ndata: "
       "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"",
       "\"}}\n\n",
       "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: "
       "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":200}}\n\nevent: "
       "message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
      {"openai_responses",
       "event: response.output_item.added\ndata: "
       "{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"msg_1\","
       "\"type\":\"message\",\"role\":\"assistant\",\"content\":[]},\"sequence_number\":1}\n\n",
       "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,"
       "\"content_index\":0,\"delta\":\"",
       "\",\"logprobs\":[],\"sequence_number\":17,\"obfuscation\":\"aB3dE\"}\n\n",
       "event: response.completed\ndata: "
       "{\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[],"
       "\"usage\":{\"input_tokens\":9,\"output_tokens\":200}}}\n\n"},
      {"gemini", "", R"(data: {"candidates":[{"content":{"parts":[{"text":")",
       R"("}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":17,"totalTokenCount":26,)"
       R"("promptTokensDetails":[{"modality":"TEXT","tokenCount":9}]},"modelVersion":"gemini-x","responseId":"aBcD"})"
       "\n\n",
       R"(data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],)"
       R"("usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":200,"totalTokenCount":209}})"
       "\n\n"}};
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return std::fprintf(stderr, "usage: decoders DIALECT TIMES\n"), 2;
  std::string_view name = argv[1];
  auto times = std::strtoull(argv[2], nullptr, 10);
  auto bare = name == "bare";
  for (auto& s : shapes()) {
    if (s.name != (bare ? "openai_chat" : name))
      continue;
    std::vector<std::string> bursts{s.first};
    std::vector<std::string> events;
    std::size_t bytes = s.first.size() + s.last.size();
    for (int i = 0; i < tokens; ++i) {
      auto event = s.before + token(i) + s.after;
      bytes += event.size();
      events.push_back(event.substr(6, event.size() - 8));
      (i % burst == 0 ? bursts.emplace_back() : bursts.back()) += event;
    }
    bursts.back() += s.last;
    std::size_t sum = 0;
    for (std::size_t n = 0; n < times; ++n) {
      if (bare) {
        for (auto& e : events)
          sum += nlohmann::json::parse(e, nullptr, false).size();
        continue;
      }
      auto d = wire::find_dialect(name)->make_decoder({});
      d->head(test::head_of(200, "text/event-stream"));
      std::vector<chunk> out;
      for (auto& b : bursts) {
        out.clear();
        d->feed(b, out);
        sum += out.size();
      }
      sum += d->finish({}).text.size();
    }
    std::printf("%zu bytes, %d events, %zu\n", bytes, tokens, sum);
    return 0;
  }
  return 2;
}
