// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What we send: golden bodies, and the rules about addresses, headers and conversations that no provider forgives breaking.

#define CAF_SUITE protocols.dialect_requests

#include "caf/test/unit_test.hpp"
#include "support/golden_requests.hpp"
#include "support/places.hpp"

#include <fstream>
#include <sstream>

using namespace conclave;
using namespace conclave::test;

namespace {

bool has_image(const std::string& body) {
  return body.find("\"image\"") != std::string::npos && body.find("iVBORw0KGgo") != std::string::npos;
}

/// A request as it is compared: whatever the order of its members.
std::string canonical(const std::string& name, const json& body) {
  return name + body.dump();
}

/// Returns a body with one leaf changed, or without it, once for each of all leaves.
std::vector<json> mutations(const json& body) {
  std::vector<json> out;
  auto leaves = body.flatten();
  for (auto& [place, leaf] : leaves.items()) {
    auto other = leaf.is_string()    ? json(leaf.get<std::string>() + "x")
                 : leaf.is_boolean() ? json(!leaf.get<bool>())
                 : leaf.is_number()  ? json(leaf.get<double>() + 1)
                                     : json("x");
    out.push_back(body.patch(json::array({{{"op", "replace"}, {"path", place}, {"value", other}}})));
    out.push_back(body.patch(json::array({{{"op", "remove"}, {"path", place}}})));
  }
  return out;
}

void run_golden(const std::string& dialect, std::vector<golden_case> more = {}) {
  more.insert(more.begin(), std::begin(golden_cases), std::end(golden_cases));
  for (auto& c : more) {
    std::ifstream in(test::source_dir() + "/tests/golden/" + dialect + "/" + c.name + ".request.json");
    std::ostringstream text;
    text << in.rdbuf();
    auto expected = json::parse(text.str(), nullptr, false);
    auto http = encode(dialect.c_str(), c.make());
    auto sent = canonical(c.name, json::parse(http.body));
    CAF_CHECK_EQUAL(sent, canonical(c.name, expected));
    auto wrong = mutations(expected);
    CAF_CHECK(wrong.size() >= 8);
    for (auto& body : wrong)
      CAF_CHECK(canonical(c.name, body) != sent);
    CAF_CHECK(http.body.find("real_id_of_the_agent") == std::string::npos);
  }
}

} // namespace

CAF_TEST(an error result and a server without images get the note instead) {
  auto r = tool_images();
  auto shown = [&](const wire::quirks& known) {
    std::string error;
    return has_image(wire::find_dialect("anthropic")->encode(r, {base, "", "", "", "", {}, {}, false, false}, known, error).body);
  };
  CAF_CHECK(shown({}));
  wire::quirks none;
  none.no_images = true;
  CAF_CHECK(!shown(none));
  for (auto& m : r.messages)
    m.is_error = m.from == role::tool;
  CAF_CHECK(!shown({}));
}

CAF_TEST(every golden request of Chat Completions is what we send) {
  run_golden("openai_chat");
}

CAF_TEST(every golden request of Anthropic Messages is what we send) {
  run_golden("anthropic");
}

CAF_TEST(every golden request of Gemini is what we send) {
  run_golden("gemini");
}

CAF_TEST(every golden request of OpenAI Responses is what we send) {
  run_golden("openai_responses", {{"sealed", sealed}});
}

CAF_TEST(a turn with signatures goes back byte for byte) {
  CAF_CHECK(encode("anthropic", thinking()).body.find(thinking().messages[2].opaque) != std::string::npos);
  auto inside = sealed().messages[2].opaque;
  CAF_CHECK(encode("openai_responses", sealed()).body.find(inside.substr(1, inside.size() - 2)) != std::string::npos);
}

CAF_TEST(a turn of the Responses API without all its results is rebuilt without its thoughts) {
  auto r = sealed();
  r.messages.pop_back(); // thoughts whose item is missing are refused, and so is a call without a result
  auto input = body_of("openai_responses", r)["input"];
  CAF_CHECK(input.dump().find("gAAA") == std::string::npos);
  CAF_REQUIRE_EQUAL(input.size(), 5u);
  CAF_CHECK(input[2]["content"] == "I look." && input[3]["type"] == "function_call" && input[4]["call_id"] == input[3]["call_id"]);
}

CAF_TEST(ids of calls are short enough for the Responses API on both sides) {
  auto r = plain();
  std::string a(70, 'a'), b = std::string(69, 'a') + "b";
  r.messages.push_back(asks("", {{a, "f", "{}"}, {b, "f", "{}"}}));
  r.messages.push_back(answers(a, "x"));
  r.messages.push_back(answers(b, "y"));
  auto input = body_of("openai_responses", r)["input"];
  CAF_REQUIRE_EQUAL(input.size(), 6u);
  CAF_CHECK(input[2]["call_id"] == input[4]["call_id"] && input[3]["call_id"] == input[5]["call_id"]);
  CAF_CHECK(input[2]["call_id"] != input[3]["call_id"] && input[2]["call_id"].get<std::string>().size() <= 64);
}

CAF_TEST(keys of the chat API stand where the Responses API has them) {
  auto r = tools();
  r.max_output_tokens = 0;
  auto sent = [&](const std::string& params, const std::string& extra = {}) {
    r.params = params;
    return json::parse(encode("openai_responses", r, {base, "", "", "", extra, {}, {}, false, false}).body);
  };
  auto body = sent(R"({"reasoning_effort":"high","reasoning":{"summary":"auto"},"verbosity":"low","max_completion_tokens":9,
    "response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}},"tool_choice":{"type":"function","function":{"name":"odd"}}})");
  CAF_CHECK_EQUAL(body["reasoning"].dump(), R"({"effort":"high","summary":"auto"})");
  CAF_CHECK_EQUAL(body["text"].dump(), R"({"format":{"name":"x","schema":{},"type":"json_schema"},"verbosity":"low"})");
  CAF_CHECK_EQUAL(body["tool_choice"].dump(), R"({"name":"odd","type":"function"})");
  CAF_CHECK_EQUAL(body["max_output_tokens"].dump(), "9");
  for (auto* chat : {"reasoning_effort", "verbosity", "max_completion_tokens", "max_tokens", "response_format", "messages"})
    CAF_CHECK(!body.contains(chat));
  CAF_CHECK_EQUAL(sent(R"({"reasoning_effort":"high","reasoning":{"effort":"low"}})")["reasoning"].dump(), R"({"effort":"low"})");
  CAF_CHECK_EQUAL(sent(R"({"tool_choice":"required"})")["tool_choice"].dump(), "\"required\"");
  CAF_CHECK_EQUAL(sent("", R"({"max_output_tokens":7,"store":null})").contains("store"), false);
  auto wanted = sent(R"({"store":true,"include":["message.output_text.logprobs"]})");
  CAF_CHECK(wanted["store"] == true
            && wanted["include"].dump() == R"(["message.output_text.logprobs","reasoning.encrypted_content"])");
  r.schema = R"({"type":"object"})";
  CAF_CHECK_EQUAL(sent(R"({"text":{"verbosity":"low"}})")["text"]["verbosity"].dump(), "\"low\"");
  CAF_CHECK_EQUAL(sent(R"({"text":{"verbosity":"low"}})")["text"]["format"]["name"].dump(), "\"decision\"");
}

CAF_TEST(sealed thoughts are not asked of a model that has none) {
  auto r = plain();
  auto asked = [&](const std::string& model, const std::string& url) {
    r.model = model;
    return json::parse(encode("openai_responses", r, {url, "", "", "", "", {}, {}, false, false}).body).contains("include");
  };
  const std::string home = "https://api.openai.com/v1";
  for (auto* model : {"gpt-4o", "gpt-4.1-mini", "chatgpt-4o-latest"})
    CAF_CHECK(!asked(model, home) && asked(model, base)); // elsewhere a name says nothing
  for (auto* model : {"gpt-5-mini", "gpt-6.1-sol", "o3", "o4-mini", "of-tomorrow"})
    CAF_CHECK(asked(model, home));
}

CAF_TEST(what a chat completion cited does not go back with the turn) {
  auto r = plain();
  r.messages.push_back(asks("I look.", {{"c1", "f", "{}"}},
                            R"({"role":"assistant","content":"I look.","phase":"x","annotations":[{"url_citation":{}}]})",
                            "openai_chat"));
  r.messages.push_back(answers("c1", "one"));
  auto body = body_of("openai_chat", r).dump();
  CAF_CHECK(body.find("annotations") == std::string::npos);
  CAF_CHECK(body.find("phase") != std::string::npos);
}

CAF_TEST(a turn of another dialect is rebuilt without its signatures) {
  auto body = encode("openai_chat", thinking()).body;
  CAF_CHECK(body.find("c2ln") == std::string::npos && body.find("call:0") != std::string::npos);
  auto r = thinking();
  r.messages[2].opaque_dialect = "of_another";
  CAF_CHECK(encode("anthropic", r).body.find("c2ln") == std::string::npos);
}

CAF_TEST(results name the id the server wrote in a turn of its own and a safe one elsewhere) {
  auto own = body_of("anthropic", thinking())["messages"];
  CAF_CHECK_EQUAL(own[1]["content"][2]["id"], own[2]["content"][0]["tool_use_id"]);
  CAF_CHECK_EQUAL(own[2]["content"][0]["tool_use_id"], "call:0");
  auto r = thinking();
  r.messages[2].opaque.clear();
  auto foreign = body_of("anthropic", r)["messages"];
  auto id = foreign[1]["content"][0]["id"].get<std::string>();
  CAF_CHECK_EQUAL(id, foreign[2]["content"][0]["tool_use_id"].get<std::string>());
  CAF_CHECK(id.find(':') == std::string::npos);
}

CAF_TEST(different unsafe ids stay different) {
  auto r = plain();
  r.messages.push_back(asks("", {{"a:b", "f", "{}"}, {"a.b", "f", "{}"}, {"", "f", "{}"}}));
  for (auto* id : {"a:b", "a.b", ""})
    r.messages.push_back(answers(id, "x"));
  auto turn = body_of("anthropic", r)["messages"][1]["content"];
  CAF_REQUIRE_EQUAL(turn.size(), 3u);
  CAF_CHECK(turn[0]["id"] != turn[1]["id"] && turn[1]["id"] != turn[2]["id"] && turn[0]["id"] != turn[2]["id"]);
}

CAF_TEST(a system message that is folded and stands alone becomes a message of the user) {
  auto r = plain();
  r.messages.resize(1);
  wire::quirks known;
  known.fold_system = true;
  std::string error;
  auto http = wire::find_dialect("openai_chat")->encode(r, {base, "", "", "", "", {}, {}, false, false}, known, error);
  CAF_CHECK_EQUAL(json::parse(http.body)["messages"].dump(), R"([{"content":"Be brief.","role":"user"}])");
}

CAF_TEST(a conversation that begins with the assistant or has blank turns is mended) {
  auto r = plain();
  r.messages = {say(role::assistant, "I begin. \n"),
                say(role::user, " "),
                say(role::assistant, ""),
                say(role::assistant, "And go on."),
                say(role::user, "a"),
                say(role::user, "b"),
                say(role::system, "two"),
                say(role::system, " ")};
  auto body = body_of("anthropic", r);
  CAF_CHECK_EQUAL(body["system"][0]["text"], "two");
  auto& m = body["messages"];
  CAF_REQUIRE_EQUAL(m.size(), 3u);
  CAF_CHECK_EQUAL(m[0]["role"], "user");
  CAF_CHECK_EQUAL(m[1]["content"].size(), 2u);
  CAF_CHECK_EQUAL(m[1]["content"][0]["text"], "I begin.");
  CAF_CHECK_EQUAL(m[2]["content"].size(), 2u);
  CAF_CHECK_EQUAL(body_of("openai_chat", r)["messages"].size(), 6u); // the blank assistant turn is dropped, "a" and "b" are one
}

CAF_TEST(invalid UTF - 8 in a tool result is replaced and the rest is sent) {
  auto r = plain();
  r.messages.push_back(asks("", {{"c", "f", "{}"}}));
  r.messages.push_back(answers("c", "a\xFF\xC3z"));
  for (auto* dialect : {"openai_chat", "anthropic", "openai_responses", "gemini"})
    CAF_CHECK(encode(dialect, r).body.find("z") != std::string::npos && json::accept(encode(dialect, r).body));
}

CAF_TEST(addresses with slash path and query) {
  struct {
    const char *base, *openai, *anthropic, *responses;
  } table[] = {{"https://h/v1", "https://h/v1/chat/completions", "https://h/v1/messages", "https://h/v1/responses"},
               {"https://h/v1//", "https://h/v1/chat/completions", "https://h/v1/messages", "https://h/v1/responses"},
               {"https://h", "https://h/chat/completions", "https://h/v1/messages", "https://h/responses"},
               {"https://h/v1?api-version=1", "https://h/v1/chat/completions?api-version=1", "https://h/v1/messages?api-version=1",
                "https://h/v1/responses?api-version=1"}};
  for (auto* pasted : {"https://h/v1/chat/completions", "https://h/v1/chat/completions/"})
    CAF_CHECK_EQUAL(encode("openai_responses", plain(), {pasted, "", "", "", "", {}, {}, false, false}).url,
                    "https://h/v1/responses");
  for (auto& t : table) {
    wire::endpoint to{t.base, "", "", "", "", {}, {}, false, false};
    CAF_CHECK_EQUAL(encode("openai_chat", plain(), to).url, t.openai);
    CAF_CHECK_EQUAL(encode("anthropic", plain(), to).url, t.anthropic);
    CAF_CHECK_EQUAL(encode("openai_responses", plain(), to).url, t.responses);
    for (auto* dialect : {"openai_chat", "anthropic", "openai_responses"}) { // the path already pasted
      to.base_url = encode(dialect, plain(), {t.base, "", "", "", "", {}, {}, false, false}).url;
      CAF_CHECK_EQUAL(encode(dialect, plain(), to).url, to.base_url);
    }
  }
  wire::endpoint to{"https://h/v1", "", "", "", "", {}, {{"a b", "1&2"}, {"c", "\xC3\xA9"}}, false, false};
  CAF_CHECK_EQUAL(encode("openai_chat", plain(), to).url, "https://h/v1/chat/completions?a%20b=1%262&c=%C3%A9");
}

CAF_TEST(keys travel in one header as the version wants and headers of the configuration replace ours) {
  wire::endpoint to{base, "k", "", "", "", {}, {}, true, false};
  auto r = encode("openai_chat", plain(), to);
  CAF_CHECK_EQUAL(header(r, "Authorization"), "Bearer k");
  CAF_CHECK(r.http2 && r.method == "POST" && r.url.find("k") == std::string::npos && r.body.find("\"k\"") == std::string::npos);
  r = encode("anthropic", plain(), to);
  CAF_CHECK_EQUAL(header(r, "Authorization") + header(r, "x-api-key") + header(r, "anthropic-version"), "Bearer k2026-10-21");
  auto sampled = tools();
  for (auto* older : {"2023-06-01", "2026-10-20"}) {
    to.version = older;
    r = encode("anthropic", sampled, to);
    CAF_CHECK_EQUAL(header(r, "x-api-key") + header(r, "Authorization") + header(r, "anthropic-version"), std::string("k") + older);
    CAF_CHECK_EQUAL(json::parse(r.body)["temperature"].dump(), "0.5");
  }
  to.version.clear();
  to.headers = {{"Anthropic-Version", "2023-06-01"}}; // named by a header, it is that one in everything
  CAF_CHECK_EQUAL(header(encode("anthropic", sampled, to), "x-api-key"), "k");
  to.headers.clear();
  to.extra_body = R"({"temperature":0.5})"; // the last word on the body is the user's
  CAF_CHECK(json::parse(encode("anthropic", sampled, to).body).contains("temperature"));
  to.extra_body.clear();
  to.version = "2027-01-01";
  r = encode("anthropic", sampled, to);
  CAF_CHECK_EQUAL(header(r, "Authorization") + header(r, "x-api-key"), "Bearer k");
  CAF_CHECK(!json::parse(r.body).contains("temperature"));
  CAF_CHECK_EQUAL(header(r, "anthropic-beta"), "b-1,b-2");
  to.headers = {{"authorization", "Basic x"}, {"accept", "*/*"}};
  r = encode("openai_chat", plain(), to);
  CAF_CHECK_EQUAL(header(r, "authorization") + header(r, "Authorization") + header(r, "Accept"), "Basic x");
  to = {base, "", "", "", "", {}, {}, false, false};
  CAF_CHECK_EQUAL(header(encode("openai_chat", plain(), to), "Authorization"), "");
}

CAF_TEST(the extra body wins and a choice of tool without tools is not sent) {
  auto r = plain();
  r.params = R"({"temperature":1,"tool_choice":"auto","parallel_tool_calls":false})";
  wire::endpoint to{base, "", "", "", R"({"temperature":0,"top_k":5})", {}, {}, false, true};
  r.slot = 2;
  auto body = json::parse(encode("openai_chat", r, to).body);
  CAF_CHECK(body["temperature"] == 0 && body["top_k"] == 5 && !body.contains("tool_choice")
            && !body.contains("parallel_tool_calls"));
  CAF_CHECK(body["id_slot"] == 2 && body["cache_prompt"] == true);
  for (auto* dialect : {"openai_chat", "anthropic", "openai_responses", "gemini"})
    for (auto* bad : {"[1]", "{", "text"}) {
      std::string error;
      r.params = bad;
      auto http = wire::find_dialect(dialect)->encode(r, to, {}, error);
      CAF_CHECK(!error.empty() && http.url.empty() && http.body.empty());
    }
}

CAF_TEST(the extra body has the last word on what we add and null takes it away) {
  auto r = plain();
  r.max_output_tokens = 50;
  wire::endpoint to{base, "", "",    "",  R"({"max_tokens":100,"stream_options":null,"model":null,"stream":null})",
                    {},   {}, false, true};
  for (auto* dialect : {"openai_chat", "anthropic"}) {
    auto body = json::parse(encode(dialect, r, to).body);
    CAF_CHECK_EQUAL(body["max_tokens"].dump(), "100");
    CAF_CHECK(!body.contains("stream_options") && !body.contains("model") && !body.contains("stream") && body.contains("messages"));
  }
  to.extra_body = R"({"max_tokens":null,"model":null,"stream":null,"system":null,"cache_control":null})";
  CAF_CHECK_EQUAL(json::parse(encode("anthropic", r, to).body).size(), 1u);
  to.extra_body = R"({"cache_prompt":false,"max_completion_tokens":7})";
  auto body = json::parse(encode("openai_chat", r, to).body);
  CAF_CHECK(body["cache_prompt"] == false && body["max_completion_tokens"] == 7 && !body.contains("max_tokens"));
}

CAF_TEST(a budget of thinking leaves room for the text) {
  auto r = plain();
  auto sent = [&](std::int64_t max, std::string thinking, std::string extra = {}) {
    r.max_output_tokens = max;
    r.params = R"({"thinking":)" + thinking + "}";
    return json::parse(encode("anthropic", r, {base, "", "", "", extra, {}, {}, false, false}).body)["max_tokens"].dump();
  };
  const std::string enabled = R"({"type":"enabled","budget_tokens":8000})";
  CAF_CHECK_EQUAL(sent(0, enabled), "12096");
  CAF_CHECK_EQUAL(sent(8000, enabled), "12096");
  CAF_CHECK_EQUAL(sent(8001, enabled), "8001");
  CAF_CHECK_EQUAL(sent(0, R"({"type":"enabled","budget_tokens":2000})"), "4096");
  CAF_CHECK_EQUAL(sent(0, R"({"type":"adaptive"})"), "4096");
  CAF_CHECK_EQUAL(sent(0, R"({"type":"disabled","budget_tokens":8000})"), "4096");
  CAF_CHECK_EQUAL(sent(0, "3"), "4096");
  CAF_CHECK_EQUAL(sent(0, enabled, R"({"max_tokens":100})"), "100"); // the user's own word
  CAF_CHECK_EQUAL(sent(0, "null", "{\"thinking\":" + enabled + "}"), "12096");
}

CAF_TEST(calls of another provider go without a budget of thinking) {
  auto r = thinking();
  auto sent = [&](const std::string& type) {
    r.params = R"({"thinking":{"type":")" + type + R"(","budget_tokens":2000}})";
    return body_of("anthropic", r)["thinking"]["type"].get<std::string>();
  };
  CAF_CHECK_EQUAL(sent("enabled"), "enabled"); // the turn begins with a thought of its own
  r.messages[2].opaque.clear();
  CAF_CHECK_EQUAL(sent("enabled"), "disabled");
  CAF_CHECK_EQUAL(sent("adaptive"), "adaptive");
  message m;
  m.from = role::assistant;
  m.text = "It is 42.";
  r.messages.push_back(m);
  CAF_CHECK_EQUAL(sent("enabled"), "enabled"); // no loop any more
}

CAF_TEST(a loop that began without a thought went on with a budget of thinking) {
  auto sent = [](const model_request& r) { return body_of("anthropic", r)["thinking"]["type"].get<std::string>(); };
  auto own = [](const char* id, const std::string& thought) {
    return asks("", {{id, "f", "{}"}}, "[" + thought + R"({"type":"tool_use","id":")" + id + R"(","name":"f","input":{}}])",
                "anthropic");
  };
  const std::string thought = R"({"type":"thinking","thinking":"hm","signature":"c2ln"},)";
  auto loop = [&](std::vector<message> turns) {
    auto r = plain();
    r.params = R"({"thinking":{"type":"enabled","budget_tokens":2000}})";
    for (auto& t : turns) {
      auto id = t.calls.front().id;
      r.messages.push_back(std::move(t));
      r.messages.push_back(answers(id, "done"));
    }
    return r;
  };
  auto foreign = asks("", {{"c1", "f", "{}"}});
  CAF_CHECK_EQUAL(sent(loop({foreign, own("c2", "")})), "disabled"); // it answered the first request of ours without
  CAF_CHECK_EQUAL(sent(loop({own("c1", "")})), "disabled");          // a backend of the same API without thinking was out
  CAF_CHECK_EQUAL(sent(loop({own("c1", thought), own("c2", "")})), "enabled");
  CAF_CHECK_EQUAL(sent(loop({own("c1", thought), asks("", {{"c2", "f", "{}"}}), own("c3", "")})), "disabled");
  auto r = loop({foreign, own("c2", "")});
  r.messages.push_back(say(role::user, "And now?"));
  CAF_CHECK_EQUAL(sent(r), "disabled"); // in one message with the results
  message spoken;
  spoken.from = role::assistant;
  spoken.text = "It is 42.";
  r.messages.push_back(spoken);
  r.messages.push_back(say(role::user, "And now?"));
  CAF_CHECK_EQUAL(sent(r), "enabled");
}

CAF_TEST(a paused turn is sent back as it came) {
  auto r = plain();
  message m;
  m.from = role::assistant;
  m.opaque = R"([{"type":"text","text":"Wait "},{"id":"s","input":{},"name":"web_search","type":"server_tool_use"}])";
  m.opaque_dialect = "anthropic";
  r.messages.push_back(m);
  auto last = body_of("anthropic", r)["messages"].back();
  CAF_CHECK(last["role"] == "assistant" && last["content"] == json::parse(m.opaque));
}

CAF_TEST(reasoning models of OpenAI take their own name for the token limit) {
  auto r = plain();
  r.max_output_tokens = 9;
  r.model = "gpt-5-mini";
  wire::endpoint to{"https://api.openai.com/v1", "", "", "", "", {}, {}, false, false};
  CAF_CHECK(json::parse(encode("openai_chat", r, to).body).contains("max_completion_tokens"));
  CAF_CHECK(body_of("openai_chat", r).contains("max_tokens"));
}
