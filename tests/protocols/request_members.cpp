// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Every member of what an encoder is given, changed alone: what of the request is another one then, in each dialect, and that
// nothing else is. An encoder that ignores a member, or puts it elsewhere, has another list than tests/golden/request_members.json.

#define CAF_SUITE protocols.request_members

#include "caf/test/unit_test.hpp"
#include "support/golden_requests.hpp"
#include "support/places.hpp"

#include <fstream>
#include <set>
#include <sstream>

using namespace conclave;
using namespace conclave::test;

namespace {

const char* every_dialect[] = {"openai_chat", "azure_openai", "anthropic", "openai_responses", "gemini"};

/// All that an encoder is given.
struct inputs {
  model_request r;
  wire::endpoint to{base, "", "", "", "", {}, {}, false, false};
  wire::quirks known = {};

  message& at(std::size_t i) { return r.messages.at(i); }
};

model_request with_file() {
  auto r = plain();
  r.messages[1].parts = {{content_kind::image, "a.png", "image/png", "iVBORw0KGgo=", ""},
                         {content_kind::resource, "b.pdf", "application/pdf", "JVBERi0=", ""}};
  return r;
}

/// A turn as the provider of a dialect wrote it, answered.
model_request own_turn(const char* dialect, const char* opaque) {
  auto r = plain();
  r.messages.push_back(asks("I look.", {{"c1", "f", R"({"a":1})"}}, opaque, dialect));
  r.messages.push_back(answers("c1", "one"));
  return r;
}

model_request own_chat() {
  return own_turn("openai_chat", R"({"role":"assistant","content":"I look.","reasoning_content":"hm","tool_calls":[{"id":"c1",)"
                                 R"("type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"seal":"x"}]})");
}

model_request own_anthropic() {
  return own_turn("anthropic", R"([{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"I look."},)"
                               R"({"type":"tool_use","id":"c1","name":"f","input":{"a":1}}])");
}

model_request own_responses() {
  return own_turn("openai_responses", R"([{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},{"type":)"
                                      R"("function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}"}])");
}

model_request own_gemini() {
  return own_turn("gemini", R"({"role":"model","parts":[{"text":"I look."},{"functionCall":{"id":"c1","name":"f","args":{"a":1}},)"
                            R"("thoughtSignature":"c2ln"}]})");
}

void at_openai(inputs& i) {
  i.to.base_url = "https://api.openai.com/v1";
  i.r.task = "t";
}

void searching(inputs& i) {
  i.to.hosted = {R"({"max_uses":3})", "{}", "{}"};
  i.r.model = "gemini-3.1-pro";
}

/// A member, the request in which it counts, and another value of it.
struct row {
  const char* member; ///< as the lists of names below have it, and after a blank what else there is to say
  model_request (*make)();
  void (*change)(inputs&);
  void (*before)(inputs&) = nullptr; ///< what else the member needs to count
};

const row rows[] = {
    {"request.task", plain, [](inputs& i) { i.r.task = "another"; }, at_openai},
    {"request.task of another host", plain, [](inputs& i) { i.r.task = "another"; }},
    {"request.run", tools, [](inputs& i) { i.r.run = 7; }},
    {"request.call", tools, [](inputs& i) { i.r.call = 7; }},
    {"request.agent", plain, [](inputs& i) { i.r.agent = "another"; }, at_openai},
    {"request.agent without a task", tools, [](inputs& i) { i.r.agent = "another"; }},
    {"request.model", plain, [](inputs& i) { i.r.model = "model-x"; }},
    {"request.messages: one more", plain, [](inputs& i) { i.r.messages.push_back(say(role::assistant, "more")); }},
    {"request.messages: one less", plain, [](inputs& i) { i.r.messages.erase(i.r.messages.begin()); }},
    {"request.messages: in another order", tool_loop, [](inputs& i) { std::swap(i.at(3), i.at(4)); }},
    {"request.tools: one less", tools, [](inputs& i) { i.r.tools.pop_back(); }},
    {"request.schema", decision, [](inputs& i) { i.r.schema = R"({"type":"object","x":1})"; }},
    {"request.schema: none", decision, [](inputs& i) { i.r.schema.clear(); }},
    {"request.params", plain, [](inputs& i) { i.r.params = R"({"top_p":0.25,"seed":3,"stop":["x"]})"; }},
    {"request.params: a choice of tools", tools, [](inputs& i) { i.r.params = R"({"tool_choice":"required"})"; }},
    {"request.max_output_tokens", plain, [](inputs& i) { i.r.max_output_tokens = 77; }},
    {"request.slot", plain, [](inputs& i) { i.r.slot = 3; }, [](inputs& i) { i.to.id_slot = true; }},
    {"request.slot of a server without", plain, [](inputs& i) { i.r.slot = 3; }},
    {"request.first_token_timeout_ms", tools, [](inputs& i) { i.r.first_token_timeout_ms = 7; }},
    {"request.idle_timeout_ms", tools, [](inputs& i) { i.r.idle_timeout_ms = 7; }},
    {"request.total_timeout_ms", tools, [](inputs& i) { i.r.total_timeout_ms = 7; }},
    {"request.max_requests", tools, [](inputs& i) { i.r.max_requests = 7; }},
    {"request.one_bill", tools, [](inputs& i) { i.r.one_bill = true; }},

    {"message.from", plain, [](inputs& i) { i.at(0).from = role::user; }},
    {"message.text of the system", tool_loop, [](inputs& i) { i.at(0).text = "changed"; }},
    {"message.text of the user", tool_loop, [](inputs& i) { i.at(1).text = "changed"; }},
    {"message.text of the assistant", tool_loop, [](inputs& i) { i.at(2).text = "changed"; }},
    {"message.text of a tool", tool_loop, [](inputs& i) { i.at(3).text = "changed"; }},
    {"message.reasoning", tool_loop, [](inputs& i) { i.at(2).reasoning = "changed"; }},
    {"message.reasoning of a server that wants it", tool_loop, [](inputs& i) { i.at(2).reasoning = "changed"; },
     [](inputs& i) { i.known.wants_reasoning = true; }},
    {"message.calls: one less", tool_loop, [](inputs& i) { i.at(2).calls.erase(i.at(2).calls.begin() + 1); }},
    {"message.calls: one that nobody answered", tool_loop, [](inputs& i) { i.at(2).calls.pop_back(); }},
    {"message.tool_call_id", tool_loop, [](inputs& i) { i.at(3).tool_call_id = "c3"; }},
    {"message.tool_call_id of no call", tool_loop, [](inputs& i) { i.at(3).tool_call_id = "cx"; }},
    {"message.is_error", tool_loop, [](inputs& i) { i.at(3).is_error = true; }},
    {"message.opaque of Chat Completions", own_chat,
     [](inputs& i) { i.at(2).opaque.replace(i.at(2).opaque.find("\"x\""), 3, "\"y\""); }},
    {"message.opaque of Chat Completions: thoughts", own_chat,
     [](inputs& i) { i.at(2).opaque.replace(i.at(2).opaque.find("\"hm\""), 4, "\"ah\""); }},
    {"message.opaque of Messages", own_anthropic,
     [](inputs& i) { i.at(2).opaque.replace(i.at(2).opaque.find("c2ln"), 4, "b3Ro"); }},
    {"message.opaque of Responses", own_responses,
     [](inputs& i) { i.at(2).opaque.replace(i.at(2).opaque.find("gAAA"), 4, "gBBB"); }},
    {"message.opaque of Gemini", own_gemini, [](inputs& i) { i.at(2).opaque.replace(i.at(2).opaque.find("c2ln"), 4, "b3Ro"); }},
    {"message.opaque_dialect of Chat Completions", own_chat, [](inputs& i) { i.at(2).opaque_dialect = "of_another"; }},
    {"message.opaque_dialect of Messages", own_anthropic, [](inputs& i) { i.at(2).opaque_dialect = "of_another"; }},
    {"message.opaque_dialect of Responses", own_responses, [](inputs& i) { i.at(2).opaque_dialect = "of_another"; }},
    {"message.opaque_dialect of Gemini", own_gemini, [](inputs& i) { i.at(2).opaque_dialect = "of_another"; }},
    {"message.parts of a tool", tool_images, [](inputs& i) { i.at(4).parts.clear(); }},
    {"message.parts of the user", with_file, [](inputs& i) { i.at(1).parts.pop_back(); }},

    {"call.id", tool_loop,
     [](inputs& i) {
       i.at(2).calls[0].id = "c9"; // with its result
       i.at(3).tool_call_id = "c9";
     }},
    {"call.name", tool_loop, [](inputs& i) { i.at(2).calls[0].name = "changed"; }},
    {"call.arguments", tool_loop, [](inputs& i) { i.at(2).calls[0].arguments = R"({"a":2})"; }},

    {"tool.name", tools, [](inputs& i) { i.r.tools[0].name = "changed"; }},
    {"tool.description", tools, [](inputs& i) { i.r.tools[0].description = "Changed."; }},
    {"tool.parameters", tools,
     [](inputs& i) {
       i.r.tools[0].parameters = R"({"type":"object","properties":{"content":{"type":"integer"}},"required":["content"]})";
     }},

    {"part.kind", tool_images, [](inputs& i) { i.at(3).parts[0].kind = content_kind::json; }},
    {"part.text", tool_images, [](inputs& i) { i.at(3).parts[0].text = "changed"; }},
    {"part.text of an image that is shown", tool_images, [](inputs& i) { i.at(3).parts[1].text = "changed"; }},
    {"part.media_type of a tool: the first bytes count", tool_images, [](inputs& i) { i.at(3).parts[1].media_type = "image/x"; }},
    {"part.data", tool_images, [](inputs& i) { i.at(3).parts[1].data = "iVBORw0KGgo="; }},
    {"part.data of another type", tool_images, [](inputs& i) { i.at(3).parts[1].data = "UklGRg=="; }},
    {"part.uri", tool_images, [](inputs& i) { i.at(3).parts[5].uri = "file:///changed"; }},
    {"part.kind of a file", with_file, [](inputs& i) { i.at(1).parts[0].kind = content_kind::resource; }},
    {"part.text of a file", with_file, [](inputs& i) { i.at(1).parts[1].text = "changed.pdf"; }},
    {"part.media_type of a file", with_file, [](inputs& i) { i.at(1).parts[0].media_type = "image/webp"; }},
    {"part.data of a file", with_file, [](inputs& i) { i.at(1).parts[0].data = "iVBORw0KGgp="; }},
    {"part.data of a document", with_file, [](inputs& i) { i.at(1).parts[1].data = "JVBERi1="; }},
    {"part.uri of a file", with_file, [](inputs& i) { i.at(1).parts[0].uri = "https://example/a.png"; }},

    {"endpoint.base_url", plain, [](inputs& i) { i.to.base_url = "http://127.0.0.1:2/v1"; }},
    {"endpoint.api_key", plain, [](inputs& i) { i.to.api_key = "key"; }},
    {"endpoint.provider", plain, [](inputs& i) { i.to.provider = "OpenAI"; }},
    {"endpoint.version", plain, [](inputs& i) { i.to.version = "2024-10-21"; },
     [](inputs& i) { i.to.base_url = "http://127.0.0.1:1"; }},
    {"endpoint.version of a key", tools, [](inputs& i) { i.to.version = "2023-06-01"; }, [](inputs& i) { i.to.api_key = "key"; }},
    {"endpoint.extra_body", plain, [](inputs& i) { i.to.extra_body = R"({"user":"me"})"; }},
    {"endpoint.headers", plain,
     [](inputs& i) {
       i.to.headers = {{"X-A", "b"}};
     }},
    {"endpoint.query", plain,
     [](inputs& i) {
       i.to.query = {{"a", "b"}};
     }},
    {"endpoint.http2", plain, [](inputs& i) { i.to.http2 = true; }},
    {"endpoint.id_slot", plain, [](inputs& i) { i.to.id_slot = true; }},
    {"endpoint.hidden", plain, [](inputs& i) { i.to.hidden.add_key("sk-secret-of-a-header"); }},
    {"endpoint.home", tools, [](inputs& i) { i.to.home = "https://api.openai.com/v1"; }, [](inputs& i) { i.r.model = "gpt-4o"; }},
    {"endpoint.home of a reasoning model", tools, [](inputs& i) { i.to.home = "https://api.openai.com/v1"; },
     [](inputs& i) { i.r.model = "gpt-5-mini"; }},

    {"hosted.search", plain, [](inputs& i) { i.to.hosted.search = R"({"max_uses":4})"; }, searching},
    {"hosted.search: none", plain, [](inputs& i) { i.to.hosted.search.clear(); }, searching},
    {"hosted.code", plain, [](inputs& i) { i.to.hosted.code.clear(); }, searching},
    {"hosted.fetch", plain, [](inputs& i) { i.to.hosted.fetch.clear(); }, searching},
    {"endpoint.hosted beside functions", tools, [](inputs& i) { i.to.hosted.code = "{}"; },
     [](inputs& i) { i.r.model = "gemini-3.1-pro"; }},

    {"quirks.left_out of the body", plain,
     [](inputs& i) { i.known.left_out = {"stream_options", "store", "include", "prompt_cache_key", "cache_control"}; }, at_openai},
    {"quirks.left_out of a turn", own_chat, [](inputs& i) { i.known.left_out = {"reasoning_content", "seal"}; }},
    {"quirks.dropped", tools, [](inputs& i) { i.known.dropped = {wire::tool_key(i.r.tools[1])}; }},
    {"quirks.max_tools", tools, [](inputs& i) { i.known.max_tools = 1; }},
    {"quirks.max_description", tools, [](inputs& i) { i.known.max_description = 4; }},
    {"quirks.simple_schemas", tools, [](inputs& i) { i.known.simple_schemas = true; },
     [](inputs& i) {
       i.r.tools[0].parameters = R"({"type":"object","$schema":"x","properties":{"a":{"type":"string","pattern":"x"}}})";
     }},
    {"quirks.no_empty_parameters", tools, [](inputs& i) { i.known.no_empty_parameters = true; }},
    {"quirks.other_token_name", tools, [](inputs& i) { i.known.other_token_name = true; }},
    {"quirks.fold_system", plain, [](inputs& i) { i.known.fold_system = true; }},
    {"quirks.plain_turns", tool_loop, [](inputs& i) { i.known.plain_turns = true; }},
    {"quirks.user_into_tool", tool_loop, [](inputs& i) { i.known.user_into_tool = true; }},
    {"quirks.wants_reasoning", tool_loop, [](inputs& i) { i.known.wants_reasoning = true; }},
    {"quirks.signs_calls", tool_loop, [](inputs& i) { i.known.signs_calls = true; }},
    {"quirks.no_images", tool_images, [](inputs& i) { i.known.no_images = true; }},
};

std::set<std::string> split(const std::string& of, std::string names) {
  std::set<std::string> out;
  std::istringstream in(names);
  for (std::string name; std::getline(in, name, ',');)
    out.insert(of + "." + name.substr(name.find_first_not_of(' ')));
  return out;
}

/// The names of all members of a struct: with one too few or too many it is no program.
#define NAMES_OF(out, of, type, ...)                                                                                               \
  {                                                                                                                                \
    const type x{};                                                                                                                \
    [[maybe_unused]] auto& [__VA_ARGS__] = x;                                                                                      \
    out.merge(split(of, #__VA_ARGS__));                                                                                            \
  }

std::set<std::string> every_member() {
  std::set<std::string> out;
  NAMES_OF(out, "request", model_request, task, run, call, agent, model, messages, tools, schema, params, max_output_tokens, slot,
           first_token_timeout_ms, idle_timeout_ms, total_timeout_ms, max_requests, one_bill);
  NAMES_OF(out, "message", message, from, text, reasoning, calls, tool_call_id, is_error, opaque, opaque_dialect, parts);
  NAMES_OF(out, "call", tool_call, id, name, arguments);
  NAMES_OF(out, "tool", tool_spec, name, description, parameters);
  NAMES_OF(out, "part", content_part, kind, text, media_type, data, uri);
  NAMES_OF(out, "endpoint", wire::endpoint, base_url, api_key, provider, version, extra_body, headers, query, http2, id_slot,
           hidden, hosted, home);
  NAMES_OF(out, "hosted", wire::hosted_tools, search, code, fetch);
  NAMES_OF(out, "quirks", wire::quirks, left_out, dropped, max_tools, max_description, simple_schemas, no_empty_parameters,
           other_token_name, fold_system, plain_turns, user_into_tool, wants_reasoning, signs_calls, no_images);
  return out;
}

json whole(const char* dialect, const inputs& i) {
  std::string error;
  auto http = wire::find_dialect(dialect)->encode(i.r, i.to, i.known, error);
  CAF_CHECK_EQUAL(error, "");
  json out = {{"url", http.url}, {"http2", http.http2}, {"body", json::parse(http.body)}};
  for (auto& [name, value] : http.headers)
    out["headers"][name] = value;
  return out;
}

/// What is another one, by its place: the new value, or null where there is none any more.
json changes(const json& before, const json& after) {
  auto out = json::object();
  for (auto& step : json::diff(before, after)) {
    auto place = step["path"].get<std::string>();
    while (out.contains(place))
      place += " again";
    out[place] = step["op"] == "remove" ? json() : step["value"];
  }
  return out;
}

json expected() {
  std::ifstream in(source_dir() + "/tests/golden/request_members.json");
  return json::parse(in);
}

json measured() {
  auto out = json::object();
  for (auto& row : rows) {
    inputs before{row.make()};
    if (row.before != nullptr)
      row.before(before);
    auto after = before;
    row.change(after);
    auto& said = out[row.member] = json::object();
    for (auto* dialect : every_dialect)
      if (auto told = changes(whole(dialect, before), whole(dialect, after)); !told.empty())
        said[dialect] = told;
  }
  return out;
}

} // namespace

CAF_TEST(every member that is changed alone changes the request where it belongs) {
  auto want = expected(), is = measured();
  for (auto& [member, said] : is.items())
    CAF_CHECK_EQUAL(member + " " + said.dump(1), member + " " + (want.contains(member) ? want[member] : json()).dump(1));
  for (auto& [member, said] : want.items())
    CAF_CHECK(is.contains(member));
}

CAF_TEST(every member has a row) {
  auto left = every_member();
  for (auto& row : rows) {
    std::string name = row.member;
    left.erase(name.substr(0, name.find_first_of(": ")));
  }
  std::string none;
  for (auto& name : left)
    none += name + " ";
  CAF_CHECK_EQUAL(none, "");
}
