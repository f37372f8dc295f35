// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The least that reading model streams can cost, to compare with: libcurl and nlohmann/json and nothing else. Makes the calls of a
/// run in which nobody improves (every agent twice, side by side, then one alone) over one multi handle, takes the events apart,
/// parses each as JSON and puts the text together.
///
///   bare_client URL AGENTS          URL of the chat completions, .../v1/chat/completions; prints calls, chunks and bytes of text

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using json = nlohmann::json;

constexpr const char* body = R"({"model":"load","stream":true,"messages":[{"role":"user","content":"go"}]})";

struct reply {
  std::string line, text;
  std::size_t chunks = 0;

  void take(std::string_view bytes) {
    for (auto c : bytes) {
      if (c != '\n')
        line += c;
      else if (auto whole = std::exchange(line, {}); whole.starts_with("data: ") && whole != "data: [DONE]")
        take_event(whole.substr(6));
    }
  }

  void take_event(const std::string& data) {
    auto event = json::parse(data, nullptr, false);
    if (event.is_discarded() || !event.contains("choices") || event["choices"].empty())
      return;
    auto& delta = event["choices"][0]["delta"];
    if (auto content = delta.find("content"); content != delta.end() && content->is_string()) {
      text += content->get_ref<const std::string&>();
      ++chunks;
    }
  }
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  static_cast<reply*>(user)->take({data, size * count});
  return size * count;
}

/// Makes so many calls side by side and waits for their ends. Returns whether all went well.
bool make(CURLM* multi, const char* url, curl_slist* headers, std::vector<reply>& replies) {
  std::vector<CURL*> calls;
  for (auto& r : replies) {
    auto* easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &r);
    curl_multi_add_handle(multi, easy);
    calls.push_back(easy);
  }
  int running = 1;
  while (running > 0 && curl_multi_perform(multi, &running) == CURLM_OK && running > 0)
    curl_multi_poll(multi, nullptr, 0, 1'000, nullptr);
  bool ok = true;
  int left = 0;
  while (auto* m = curl_multi_info_read(multi, &left))
    ok = ok && m->data.result == CURLE_OK;
  for (auto* easy : calls) {
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
  }
  return ok;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return std::fprintf(stderr, "usage: bare_client URL AGENTS\n"), 2;
  auto agents = std::strtoull(argv[2], nullptr, 10);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  auto* multi = curl_multi_init();
  auto* headers = curl_slist_append(curl_slist_append(nullptr, "Content-Type: application/json"), "Expect:");
  std::size_t calls = 0, chunks = 0, bytes = 0;
  bool ok = true;
  for (auto side_by_side : {agents, agents, 1ULL}) {
    std::vector<reply> replies(side_by_side);
    ok = make(multi, argv[1], headers, replies) && ok;
    for (auto& r : replies) {
      ++calls;
      chunks += r.chunks;
      bytes += r.text.size();
    }
  }
  curl_slist_free_all(headers);
  curl_multi_cleanup(multi);
  std::printf("%zu calls, %zu chunks, %zu bytes\n", calls, chunks, bytes);
  return ok ? 0 : 1;
}
