// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Replies of Gemini's API in forms that no golden case has, and what bounds them.

#define CAF_SUITE protocols.gemini_replies

#include "caf/test/unit_test.hpp"
#include "protocols/wire/resolve.hpp"
#include "support/decode.hpp"
#include "support/places.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

using namespace conclave;
using namespace conclave::test;
using nlohmann::json;

namespace {

decoded stream(const std::string& objects) {
  return decode("gemini", head_of(200, "text/event-stream"), objects);
}

std::string event(const std::string& parts, const std::string& rest = {}) {
  return R"(data: {"candidates":[{"content":{"role":"model","parts":[)" + parts + "]}" + rest + "}]}\n\n";
}
const std::string stop = R"(,"finishReason":"STOP")";

} // namespace

CAF_TEST(names that models write are corrected in the turn that goes back also where calls have no id) {
  auto d = stream(event(R"({"functionCall":{"name":"default_api.f","args":{}},"thoughtSignature":"cw=="},)"
                        R"({"functionCall":{"name":"g","args":{}}},{"functionCall":{"id":"x","name":"functions.f","args":{}}})",
                        stop))
               .completion;
  wire::resolve_calls(d, {"f", "g"});
  CAF_CHECK_EQUAL(d.calls[0].name + d.calls[1].name + d.calls[2].name, "fgf");
  auto parts = json::parse(d.opaque)["parts"];
  for (std::size_t i = 0; i < 3; ++i)
    CAF_CHECK_EQUAL(parts[i]["functionCall"]["name"], d.calls[i].name);
  CAF_CHECK_EQUAL(parts[0]["thoughtSignature"], "cw==");
}

CAF_TEST(a reply without events is read as one body or as a list of pieces) {
  const std::string usage = R"("usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2})";
  const std::string first = R"({"candidates":[{"content":{"parts":[{"text":"It is "}]}}]})";
  const std::string last = R"({"candidates":[{"content":{"parts":[{"text":"42."}]},"finishReason":"STOP"}],)" + usage + "}";
  const std::string whole = R"({"candidates":[{"content":{"parts":[{"text":"It is 42."}]},"finishReason":"STOP"}],)" + usage + "}";
  for (auto* type : {"application/json; charset=UTF-8", "text/event-stream", ""})
    for (auto& bytes : {whole, "[" + first + "\n,\r\n" + last + "\n]\n", "[" + whole + "]", first + "\n" + last})
      for (std::size_t piece : {std::size_t{1}, std::size_t{9}, bytes.size()}) {
        auto d = decode("gemini", head_of(200, type), bytes, {piece});
        CAF_CHECK_EQUAL(d.completion.text, "It is 42.");
        CAF_CHECK(d.completion.status == completion_status::finished);
        CAF_CHECK_EQUAL(d.completion.usage.output_tokens, 2);
      }
  CAF_CHECK_EQUAL(decode("gemini", head_of(200, "application/json"), R"({"usageMetadata":{}})").completion.error,
                  "the reply has no candidates");
}

CAF_TEST(errors of this API say what to do next) {
  struct {
    int status;
    const char* body;
    ec code;
    std::int64_t wait;
  } table[] = {
      {400, R"({"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT",
        "details":[{"reason":"API_KEY_INVALID"}]}})",
       ec::unauthorized, -1},
      {400, R"([{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "status":"INVALID_ARGUMENT"}}])",
       ec::context_overflow, -1},
      {400, R"({"error":{"code":400,"message":"Function call `f` in the 2. content block is missing a `thought_signature`.",
        "status":"INVALID_ARGUMENT"}})",
       ec::bad_request, -1},
      {403, R"({"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}})", ec::unauthorized, -1},
      {404, R"({"error":{"code":404,"message":"models/x is not found for API version v1","status":"NOT_FOUND"}})", ec::bad_request,
       -1},
      {429, R"({"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.",
        "status":"RESOURCE_EXHAUSTED","details":[{"@type":"x.RetryInfo","retryDelay":"37s"}]}})",
       ec::rate_limited, 37'000},
      {499, R"({"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}})", ec::unavailable, -1},
      {500, R"({"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}})", ec::unavailable, -1},
      {503, R"({"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}})", ec::unavailable, -1},
      {504, R"({"error":{"code":504,"message":"Deadline expired.","status":"DEADLINE_EXCEEDED"}})", ec::unavailable, -1}};
  for (auto& t : table) {
    auto c = decode("gemini", head_of(t.status, "application/json"), t.body).completion;
    CAF_MESSAGE(c.error);
    CAF_CHECK_EQUAL(to_string(c.code), to_string(t.code));
    CAF_CHECK_EQUAL(c.retry_after_ms, t.wait);
    auto error = json::parse(t.body);
    auto in_stream = stream("data: " + (error.is_array() ? error.front() : error).dump() + "\n\n");
    CAF_CHECK_EQUAL(to_string(in_stream.completion.code), to_string(t.code));
  }
}

CAF_TEST(more calls or parts than any model makes are refused and so are arguments in pieces) {
  std::string calls, parts;
  for (int i = 0; i < 129; ++i)
    calls += event(R"({"functionCall":{"name":"f"}})");
  CAF_CHECK(stream(calls).completion.code == ec::bad_reply);
  for (int i = 0; i < 1100; ++i)
    parts += event(R"({"thoughtSignature":"cw=="})");
  CAF_CHECK(stream(parts).completion.code == ec::bad_reply);
  auto d =
      stream(event(R"({"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a","stringValue":"x"}],"willContinue":true}})"));
  CAF_CHECK(d.completion.code == ec::bad_reply && d.completion.error.find("streamFunctionCallArguments") != std::string::npos);
}

CAF_TEST(every kind of source is told once however often it comes) {
  const std::string grounding = R"(,"groundingMetadata":{"imageSearchQueries":["q1"],"retrievalQueries":["q2"],"groundingChunks":[
    {"image":{"title":"t1","sourceUri":"https://a"}},{"maps":{"title":"t2","uri":"https://b"}},{"retrievedContext":{"uri":"gs://c"}}]})";
  auto line = grounding;
  std::erase(line, '\n');
  auto d = stream(event(R"({"text":"x"})", line) + event(R"({"text":"y"})", line + stop));
  CAF_CHECK_EQUAL(joined(d.chunks, chunk_kind::status), "the provider searched for \"q1\"the provider searched for \"q2\""
                                                        "source: t1, https://asource: t2, https://bsource: gs://c");
}

CAF_TEST(sources without end are told a few times and kept) {
  std::string chunks;
  for (int i = 0; i < 500; ++i)
    chunks += (i > 0 ? "," : "") + std::string(R"({"web":{"uri":"https://x/)") + std::to_string(i) + "\"}}";
  auto d = stream(event(R"({"text":"x"})", R"(,"groundingMetadata":{"groundingChunks":[)" + chunks + "]}" + stop));
  CAF_CHECK(d.chunks.size() < 40);
  CAF_CHECK_EQUAL(json::parse(d.completion.opaque)["groundingMetadata"]["groundingChunks"].size(), 500u);
}

CAF_TEST(odd values in every place are no crash and no text) {
  for (auto* value : {"null", "7", "\"x\"", "[]", "{}", "[[]]", "[null,7,\"x\",{}]", "true"})
    for (std::string place :
         {R"({"candidates":$})", R"({"candidates":[$]})", R"({"candidates":[{"content":$}]})",
          R"({"candidates":[{"content":{"parts":$}}]})", R"({"candidates":[{"content":{"parts":[$]}}]})",
          R"({"candidates":[{"content":{"parts":[{"functionCall":$}]}}]})",
          R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":$}}]}}]})",
          R"({"candidates":[{"content":{"parts":[{"thought":$}]}}]})",
          R"({"candidates":[{"content":{"parts":[{"executableCode":$}]}}]})", R"({"candidates":[{"groundingMetadata":$}]})",
          R"({"candidates":[{"groundingMetadata":{"groundingChunks":$,"webSearchQueries":$}}]})",
          R"({"candidates":[{"urlContextMetadata":{"urlMetadata":$}}]})", R"({"candidates":[{"finishMessage":$,"index":$}]})",
          R"({"usageMetadata":$})", R"({"usageMetadata":{"promptTokenCount":$}})", R"({"promptFeedback":$})",
          R"({"modelStatus":$})"}) {
      for (auto i = place.find('$'); i != std::string::npos; i = place.find('$'))
        place.replace(i, 1, value);
      auto d = stream("data: " + place + "\n\n" + event("", stop));
      CAF_CHECK(d.completion.text.empty());
      CAF_CHECK(d.completion.opaque.empty() || json::accept(d.completion.opaque));
    }
}

CAF_TEST(no field that is read can change its name unseen) {
  auto folder = std::filesystem::path(test::source_dir()) / "tests/golden/gemini";
  for (auto* field : {"candidates",
                      "content",
                      "parts",
                      "text",
                      "thought",
                      "thoughtSignature",
                      "functionCall",
                      "name",
                      "args",
                      "id",
                      "finishReason",
                      "finishMessage",
                      "index",
                      "usageMetadata",
                      "promptTokenCount",
                      "candidatesTokenCount",
                      "thoughtsTokenCount",
                      "cachedContentTokenCount",
                      "toolUsePromptTokenCount",
                      "promptFeedback",
                      "blockReason",
                      "responseId",
                      "executableCode",
                      "language",
                      "codeExecutionResult",
                      "outcome",
                      "toolCall",
                      "toolType",
                      "toolResponse",
                      "inlineData",
                      "mimeType",
                      "groundingMetadata",
                      "webSearchQueries",
                      "groundingChunks",
                      "web",
                      "uri",
                      "title",
                      "citationMetadata",
                      "citationSources",
                      "urlContextMetadata",
                      "urlMetadata",
                      "retrievedUrl",
                      "continuationToken",
                      "modelStatus",
                      "modelStage",
                      "retirementTime",
                      "error",
                      "message",
                      "code",
                      "retryDelay"}) {
    bool seen = false;
    for (auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".sse")
        continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << in.rdbuf();
      auto bytes = text.str(), changed = bytes;
      auto quoted = "\"" + std::string(field) + "\":", other = "\"x" + std::string(field) + "\":";
      for (auto at = changed.find(quoted); at != std::string::npos; at = changed.find(quoted, at + other.size()))
        changed.replace(at, quoted.size(), other);
      seen = seen || !(stream(bytes) == stream(changed));
    }
    CAF_MESSAGE(field);
    CAF_CHECK(seen);
  }
}
