// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Requests of Gemini's API: addresses, parameters, turns and their results, and what refusals teach.

#define CAF_SUITE protocols.gemini

#include "caf/test/unit_test.hpp"
#include "support/decode.hpp"

#include <nlohmann/json.hpp>

using namespace conclave;
using namespace conclave::test;
using nlohmann::json;

namespace {

model_request asking(std::string model = "gemini-3.1-pro") {
  model_request r;
  r.model = std::move(model);
  message m;
  m.text = "q";
  r.messages = {m};
  return r;
}

message turn(std::vector<tool_call> calls, std::string opaque = {}, std::string text = {}) {
  message m;
  m.from = role::assistant;
  m.calls = std::move(calls);
  m.text = std::move(text);
  m.opaque_dialect = opaque.empty() ? "" : "gemini";
  m.opaque = std::move(opaque);
  return m;
}

message result(std::string id, std::string text, bool is_error = false) {
  message m;
  m.from = role::tool;
  m.tool_call_id = std::move(id);
  m.text = std::move(text);
  m.is_error = is_error;
  return m;
}

wire::endpoint at(std::string url, std::string version = {}, std::string extra_body = {}) {
  wire::endpoint to;
  to.base_url = std::move(url);
  to.version = std::move(version);
  to.extra_body = std::move(extra_body);
  return to;
}

http_request sent(const model_request& r, const wire::endpoint& to = at("https://h/v1beta"), const wire::quirks& known = {}) {
  std::string error;
  auto out = wire::find_dialect("gemini")->encode(r, to, known, error);
  CAF_CHECK_EQUAL(error, "");
  return out;
}

json body(const model_request& r, const std::string& extra_body = {}, const wire::quirks& known = {}) {
  return json::parse(sent(r, at("https://h", "", extra_body), known).body);
}

json body_with(const std::string& params, const std::string& model = "gemini-3.1-pro", bool tools = false) {
  auto r = asking(model);
  r.params = params;
  if (tools)
    r.tools = {{"vote", "Vote.", R"({"type":"object","properties":{"agent_id":{"type":"string"}}})"}};
  return body(r);
}

decoded stream(const std::string& objects) {
  return decode("gemini", head_of(200, "text/event-stream"), objects);
}

std::string event(const std::string& parts, const std::string& rest = {}) {
  return R"(data: {"candidates":[{"content":{"role":"model","parts":[)" + parts + "]}" + rest + "}]}\n\n";
}
const std::string stop = R"(,"finishReason":"STOP")";

constexpr const char* png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";

} // namespace

CAF_TEST(addresses take a version and a model in every form that people write) {
  struct {
    const char *base, *version, *model, *url;
  } table[] = {{"https://h/v1beta", "", "m", "https://h/v1beta/models/m:streamGenerateContent?alt=sse"},
               {"https://h/v1beta//", "", "models/m", "https://h/v1beta/models/m:streamGenerateContent?alt=sse"},
               {"https://h", "", "tunedModels/t", "https://h/v1beta/tunedModels/t:streamGenerateContent?alt=sse"},
               {"https://h", "v1", "m", "https://h/v1/models/m:streamGenerateContent?alt=sse"},
               {"https://h/v1beta", "v1", "m", "https://h/v1/models/m:streamGenerateContent?alt=sse"},
               {"https://h/v1", "", "m", "https://h/v1/models/m:streamGenerateContent?alt=sse"},
               {"https://h/gateway/google", "", "m", "https://h/gateway/google/v1beta/models/m:streamGenerateContent?alt=sse"},
               {"https://h/v1alpha?a=b", "", "m", "https://h/v1alpha/models/m:streamGenerateContent?a=b&alt=sse"},
               {"https://h/v1/models/other:generateContent", "", "m", "https://h/v1/models/m:streamGenerateContent?alt=sse"},
               {"https://h/v1beta", "", "m?key=x#y", "https://h/v1beta/models/m%3Fkey%3Dx%23y:streamGenerateContent?alt=sse"}};
  for (auto& t : table) {
    CAF_CHECK_EQUAL(sent(asking(t.model), at(t.base, t.version)).url, t.url);
    CAF_CHECK_EQUAL(sent(asking(t.model), at(t.url, t.version)).url, t.url); // the path already pasted
  }
}

CAF_TEST(the key travels in a header of its own and never in the address) {
  auto to = at("https://h");
  to.api_key = "k-secret";
  to.headers = {{"X-Goog-User-Project", "p"}};
  auto r = sent(asking(), to);
  key_values expected = {{"Content-Type", "application/json"},
                         {"Accept", "text/event-stream"},
                         {"x-goog-api-key", "k-secret"},
                         {"X-Goog-User-Project", "p"}};
  CAF_CHECK(r.headers == expected);
  CAF_CHECK(r.url.find("k-secret") == std::string::npos && r.body.find("k-secret") == std::string::npos);
  CAF_CHECK(sent(asking()).headers.size() == 2);
}

CAF_TEST(parameters stand where the API wants them under the names it knows) {
  auto v = body_with(
      R"({"temperature":0.5,"top_p":0.9,"top_k":40,"seed":7,"presence_penalty":0.1,"frequency_penalty":0.2,"stop_sequences":["a"],
      "thinking_config":{"include_thoughts":true,"thinking_level":"LOW"},"response_mime_type":"application/json",
      "response_json_schema":{"properties":{"snake_case":{"type":"string"}}},"cached_content":"cachedContents/1",
      "safety_settings":{"HARM_CATEGORY_HARASSMENT":"BLOCK_NONE"},"labels":{"my_team":"x"},"service_tier":"flex","some_new_key":null,
      "other_new_key":{"inner_key":1}})");
  v.erase("contents");
  CAF_CHECK_EQUAL(
      v, json::parse(
             R"({"generationConfig":{"temperature":0.5,"topP":0.9,"topK":40,"seed":7,"presencePenalty":0.1,"frequencyPenalty":0.2,
      "stopSequences":["a"],"thinkingConfig":{"includeThoughts":true,"thinkingLevel":"LOW"},"responseMimeType":"application/json",
      "responseJsonSchema":{"properties":{"snake_case":{"type":"string"}}},"otherNewKey":{"innerKey":1}},"cachedContent":"cachedContents/1",
      "safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],"labels":{"my_team":"x"},"serviceTier":"flex"})"));
  CAF_CHECK_EQUAL(body_with(R"({"safetySettings":[{"category":"C","threshold":"OFF"}]})")["safetySettings"].dump(),
                  R"([{"category":"C","threshold":"OFF"}])");
  CAF_CHECK_EQUAL(body_with(R"({"generation_config":{"top_k":3}})")["generationConfig"].dump(), R"({"topK":3})");
  CAF_CHECK(!body_with("").contains("generationConfig"));
}

CAF_TEST(what other APIs call otherwise is translated and the own word wins) {
  auto config = [](const std::string& params, const char* model = "gemini-3.1-pro") {
    return body_with(params, model)["generationConfig"].dump();
  };
  CAF_CHECK_EQUAL(config(R"({"stop":"x"})"), R"({"stopSequences":["x"]})");
  CAF_CHECK_EQUAL(config(R"({"stop":["x"],"stop_sequences":["y"]})"), R"({"stopSequences":["y"]})");
  CAF_CHECK_EQUAL(config(R"({"max_completion_tokens":9})"), R"({"maxOutputTokens":9})");
  CAF_CHECK_EQUAL(config(R"({"reasoning_effort":"low"})"), R"({"thinkingConfig":{"thinkingLevel":"LOW"}})");
  CAF_CHECK_EQUAL(config(R"({"reasoning":{"effort":"medium"}})", "models/gemini-2.5-flash"),
                  R"({"thinkingConfig":{"thinkingBudget":8192}})");
  CAF_CHECK_EQUAL(config(R"({"reasoning_effort":"low","thinking_config":{"thinking_budget":5}})", "gemini-2.5-pro"),
                  R"({"thinkingConfig":{"thinkingBudget":5}})");
  CAF_CHECK_EQUAL(config(R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}})"),
                  R"({"responseJsonSchema":{"type":"object"},"responseMimeType":"application/json"})");
  auto r = asking();
  r.params = R"({"max_completion_tokens":9})";
  r.max_output_tokens = 5;
  CAF_CHECK_EQUAL(body(r)["generationConfig"].dump(), R"({"maxOutputTokens":5})");
}

CAF_TEST(a choice of tool is told in the words of this API and never without tools) {
  auto chosen = [](const std::string& params) {
    return body_with(params, "m", true)["toolConfig"]["functionCallingConfig"].dump();
  };
  CAF_CHECK_EQUAL(chosen(R"({"tool_choice":"auto"})"), R"({"mode":"AUTO"})");
  CAF_CHECK_EQUAL(chosen(R"({"tool_choice":"none"})"), R"({"mode":"NONE"})");
  for (auto* any : {R"({"tool_choice":"required"})", R"({"tool_choice":"any"})", R"({"tool_choice":{"type":"any"}})"})
    CAF_CHECK_EQUAL(chosen(any), R"({"mode":"ANY"})");
  for (auto* one :
       {R"({"tool_choice":{"type":"function","function":{"name":"vote"}}})", R"({"tool_choice":{"type":"tool","name":"vote"}})"})
    CAF_CHECK_EQUAL(chosen(one), R"({"allowedFunctionNames":["vote"],"mode":"ANY"})");
  CAF_CHECK_EQUAL(chosen(R"({"tool_choice":"auto","tool_config":{"function_calling_config":{"mode":"VALIDATED"}}})"),
                  R"({"mode":"VALIDATED"})");
  CAF_CHECK(!body_with(R"({"tool_choice":"auto"})").contains("toolConfig"));
  CAF_CHECK(
      body_with(R"({"tool_choice":"auto","tool_config":"odd"})", "m", true).contains("toolConfig")); // the server says what it is
}

CAF_TEST(the extra body has the last word and takes away with null) {
  auto r = asking();
  r.params = R"({"temperature":1,"top_k":3})";
  r.max_output_tokens = 50;
  auto v = body(r, R"({"generationConfig":{"temperature":0,"topK":null},"contents":null,"cachedContent":"c"})");
  CAF_CHECK_EQUAL(v.dump(), R"({"cachedContent":"c","generationConfig":{"maxOutputTokens":50,"temperature":0}})");
  CAF_CHECK(!body(r, R"({"generationConfig":null})").contains("generationConfig"));
  std::string error;
  CAF_CHECK(wire::find_dialect("gemini")->encode(r, at("https://h", "", "[1]"), {}, error).url.empty() && !error.empty());
}

CAF_TEST(a turn with signatures goes back part by part and its results follow in its order) {
  const std::string parts =
      R"([{"text":"why","thought":true},{"functionCall":{"args":{"z":1,"a":[2]},"id":"w1","name":"f"},"thoughtSignature":"c2lnLTE="},)"
      R"({"functionCall":{"args":{},"name":"g"}},{"text":"","thoughtSignature":"c2lnLTI="}])";
  auto r = asking();
  r.messages.push_back(turn({{"w1", "f", "{}"}, {"gem_1", "g", "{}"}}, R"({"parts":)" + parts + R"(,"role":"model"})"));
  r.messages.push_back(result("gem_1", "two", true));
  r.messages.push_back(result("w1", "one"));
  r.messages.push_back(asking().messages[0]);
  auto contents = body(r)["contents"];
  CAF_REQUIRE_EQUAL(contents.size(), 4u);
  CAF_CHECK_EQUAL(contents[1], json({{"role", "model"}, {"parts", json::parse(parts)}}));
  CAF_CHECK_EQUAL(contents[2]["parts"].dump(), R"([{"functionResponse":{"id":"w1","name":"f","response":{"result":"one"}}},)"
                                               R"({"functionResponse":{"name":"g","response":{"error":"two"}}}])");
  CAF_CHECK_EQUAL(contents[3]["parts"].dump(), R"([{"text":"q"}])"); // nothing else stands beside results
}

CAF_TEST(a call without a result is not sent and the signature of the turn is stood for) {
  auto r = asking();
  r.messages.push_back(turn({{"a", "f", "{}"}, {"b", "g", "{}"}},
                            R"({"parts":[{"functionCall":{"id":"a","name":"f"},"thoughtSignature":"cw=="},)"
                            R"({"functionCall":{"id":"b","name":"g"}}],"role":"model"})"));
  r.messages.push_back(result("b", "two"));
  r.messages.push_back(result("nobody", "x"));
  auto contents = body(r)["contents"];
  CAF_CHECK_EQUAL(contents[1]["parts"].dump(),
                  R"([{"functionCall":{"id":"b","name":"g"},"thoughtSignature":"skip_thought_signature_validator"}])");
  CAF_CHECK_EQUAL(contents[2]["parts"].size(), 1u);
}

CAF_TEST(calls of another provider carry the mark for a signature that never was but not to older models) {
  for (auto* model : {"gemini-3.1-pro", "gemini-2.5-flash", "models/gemini-2.0-flash", "gemini-pro-latest"}) {
    auto r = asking(model);
    r.messages.push_back(turn({{"c:1", "f", R"({"a":1})"}, {"c2", "g", "no json"}}, "", "I look."));
    r.messages.back().opaque_dialect = "anthropic";
    r.messages.back().opaque = R"([{"type":"thinking","signature":"of-another"}])";
    r.messages.push_back(result("c:1", "x"));
    r.messages.push_back(result("c2", "y"));
    auto text = sent(r).body;
    CAF_CHECK(text.find("of-another") == std::string::npos);
    auto parts = json::parse(text)["contents"][1]["parts"];
    CAF_REQUIRE_EQUAL(parts.size(), 3u);
    CAF_CHECK_EQUAL(parts[1].contains("thoughtSignature"), std::string(model).find("gemini-2") == std::string::npos);
    CAF_CHECK(!parts[2].contains("thoughtSignature"));
    CAF_CHECK_EQUAL(parts[1]["functionCall"].dump(), R"({"args":{"a":1},"id":"c:1","name":"f"})");
    CAF_CHECK_EQUAL(parts[2]["functionCall"]["args"].dump(), "{}");
  }
}

CAF_TEST(ids that repeat in later turns lead to the results of their own turn) {
  auto r = asking();
  for (auto* text : {"one", "two"}) {
    r.messages.push_back(turn({{"gem_0", "f", "{}"}}));
    r.messages.push_back(result("gem_0", text));
  }
  auto contents = body(r)["contents"];
  CAF_CHECK_EQUAL(contents[2]["parts"][0]["functionResponse"]["response"]["result"], "one");
  CAF_CHECK_EQUAL(contents[4]["parts"][0]["functionResponse"]["response"]["result"], "two");
}

CAF_TEST(images stand inside the result or behind all results for older models) {
  for (auto* model : {"gemini-3.1-pro", "gemini-2.5-flash"}) {
    auto r = asking(model);
    r.messages.push_back(turn({{"a", "f", "{}"}, {"b", "g", "{}"}}));
    r.messages.push_back(result("a", "before\n[image image/png, 70 bytes, not shown]"));
    r.messages.back().parts = {{content_kind::text, "before", "", "", ""},
                               {content_kind::image, "[image image/png, 70 bytes, not shown]", "image/jpeg", png, ""},
                               {content_kind::image, "[image image/gif, 6 bytes, not shown]", "image/gif", "R0lGODlh", ""}};
    r.messages.push_back(result("b", "[image image/png, 70 bytes, not shown]"));
    r.messages.back().parts = {{content_kind::image, "[image image/png, 70 bytes, not shown]", "image/png", png, ""}};
    auto v = body(r);
    json image = {{"inlineData", {{"mimeType", "image/png"}, {"data", png}}}};
    auto first = v["contents"][2]["parts"][0]["functionResponse"], second = v["contents"][2]["parts"][1]["functionResponse"];
    CAF_CHECK_EQUAL(first["response"]["result"], "before\n[image image/gif, 6 bytes, not shown]");
    CAF_CHECK_EQUAL(second["response"]["result"], "(an image)");
    if (std::string(model) == "gemini-3.1-pro") {
      CAF_CHECK_EQUAL(first["parts"], json::array({image}));
      CAF_CHECK_EQUAL(v["contents"].size(), 3u);
    } else {
      CAF_CHECK(!first.contains("parts"));
      CAF_CHECK_EQUAL(v["contents"][3]["parts"], json::parse(R"([{"text":"Images that f gave:"},)" + image.dump()
                                                             + R"(,{"text":"Images that g gave:"},)" + image.dump() + "]"));
    }
    wire::quirks blind;
    blind.no_images = true;
    CAF_CHECK(body(r, "", blind).dump().find("inlineData") == std::string::npos);
    r.messages[2].is_error = r.messages[3].is_error = true;
    CAF_CHECK(body(r).dump().find("inlineData") == std::string::npos);
  }
}

CAF_TEST(a reply that is to be continued is asked for by its token alone) {
  auto d = stream(event(R"({"text":"half"})", R"(,"finishReason":"CONTINUATION","continuationToken":"dG9r")"));
  CAF_CHECK(d.completion.status == completion_status::paused);
  auto r = asking();
  auto paused = turn({}, d.completion.opaque);
  r.messages.push_back(paused);
  auto v = body(r);
  CAF_CHECK_EQUAL(v["continuationToken"], "dG9r");
  CAF_CHECK_EQUAL(v["contents"].size(), 1u);
  r.messages.push_back(turn({}, R"({"continuationToken":"dG8y","parts":[{"text":"and more"}],"role":"model"})"));
  v = body(r);
  CAF_CHECK_EQUAL(v["continuationToken"], "dG8y");
  CAF_CHECK_EQUAL(v["contents"].size(), 1u);
  r.messages.push_back(turn({}, "", "and half"));
  v = body(r);
  CAF_CHECK(!v.contains("continuationToken"));
  CAF_CHECK_EQUAL(v["contents"][1]["parts"].dump(), R"([{"text":"half"},{"text":"and more"},{"text":"and half"}])");
  d = stream(event(R"({"text":"a"})", R"(,"continuationToken":"dG9r")") + event(R"({"text":"b"})", stop));
  CAF_CHECK(d.completion.opaque.empty()); // it went on without being asked
}

CAF_TEST(a conversation begins with the user and blank texts are no parts) {
  auto r = asking();
  r.messages = {turn({}, "", "I begin."), turn({}), asking().messages[0], asking().messages[0]};
  r.messages.back().text = " \n";
  r.messages.push_back(asking().messages[0]);
  r.messages.back().from = role::system;
  auto v = body(r);
  CAF_CHECK_EQUAL(v["contents"].size(), 3u);
  CAF_CHECK_EQUAL(v["contents"][0]["role"], "user");
  CAF_CHECK_EQUAL(v["contents"][2]["parts"].size(), 1u);
  CAF_CHECK_EQUAL(v["systemInstruction"].dump(), R"({"parts":[{"text":"q"}],"role":"user"})");
  wire::quirks known;
  known.fold_system = true;
  v = body(r, "", known);
  CAF_CHECK(!v.contains("systemInstruction"));
  CAF_CHECK_EQUAL(v["contents"][0]["parts"][0]["text"], "q");
}

CAF_TEST(schemas are sent as they are and in the few words of the older form once they are refused) {
  auto r = asking();
  r.tools = {{"f", "F.", R"({"type":"object","properties":{"a":{"enum":["x"]},"b":{"type":["integer","null"]},"c":{"type":"array"}},
    "additionalProperties":false})"},
             {"g", "", ""}};
  auto tools = body(r)["tools"][0]["functionDeclarations"];
  CAF_CHECK_EQUAL(tools[0]["parametersJsonSchema"]["additionalProperties"], false);
  CAF_CHECK_EQUAL(tools[1].dump(), R"({"name":"g","parametersJsonSchema":{"properties":{},"type":"object"}})");
  wire::quirks known;
  auto lesson = wire::learn(
      known, "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[b].type: unknown (INVALID_ARGUMENT)",
      r, sent(r).body);
  CAF_CHECK_EQUAL(lesson, "the tools' schemas are sent in a simpler form");
  tools = body(r, "", known)["tools"][0]["functionDeclarations"];
  CAF_CHECK_EQUAL(
      tools[0]["parameters"].dump(),
      R"({"properties":{"a":{"enum":["x"],"type":"string"},"b":{"type":"integer"},"c":{"items":{"type":"string"},"type":"array"}},)"
      R"("type":"object"})");
  lesson = wire::learn(known, "function_declarations[1].parameters.properties: should be non-empty for OBJECT type", r,
                       sent(r, at("https://h"), known).body);
  CAF_CHECK_EQUAL(lesson, "tools without parameters are sent without a schema");
  CAF_CHECK_EQUAL(body(r, "", known)["tools"][0]["functionDeclarations"][1].dump(), R"({"name":"g"})");
  lesson =
      wire::learn(known, "function_declarations[0].parameters: schema is not supported", r, sent(r, at("https://h"), known).body);
  CAF_CHECK_EQUAL(lesson, "the tool `f` is left out");
}

CAF_TEST(refusals of a system instruction and of images teach) {
  auto r = asking();
  message system;
  system.from = role::system;
  system.text = "s";
  r.messages.insert(r.messages.begin(), system);
  r.messages.push_back(turn({{"a", "f", "{}"}}));
  r.messages.push_back(result("a", "note"));
  r.messages.back().parts = {{content_kind::image, "note", "image/png", png, ""}};
  wire::quirks known;
  CAF_CHECK(
      !wire::learn(known, "Developer instruction is not enabled for models/gemma-3 (INVALID_ARGUMENT)", r, sent(r).body).empty());
  CAF_CHECK(known.fold_system);
  CAF_CHECK(!wire::learn(known, "This model does not support image input", r, sent(r).body).empty());
  CAF_CHECK(known.no_images);
}
