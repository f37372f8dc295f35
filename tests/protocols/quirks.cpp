// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a refusal teaches and what the next request then looks like. The sentences are those of real servers.

#define CAF_SUITE protocols.quirks

#include "protocols/wire/quirks.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/dialect.hpp"
#include "protocols/wire/verdict.hpp"

#include <nlohmann/json.hpp>

using namespace conclave;
using namespace conclave::wire;
using nlohmann::json;

namespace {

message say(role from, std::string text) {
  message m;
  m.from = from;
  m.text = std::move(text);
  return m;
}

/// A conversation in the middle of its tools, with two tools of a server and our two.
model_request talk() {
  model_request r;
  r.model = "m";
  r.messages = {say(role::system, "Be brief."), say(role::user, "Go.")};
  auto turn = say(role::assistant, "");
  turn.calls = {{"c1", "mcp__t__look", "{}"}};
  turn.reasoning = "because";
  turn.opaque =
      R"({"role":"assistant","content":"","reasoning_content":"because","reasoning_details":[{"type":"x"}],"refusal":null,)"
      R"("tool_calls":[{"index":0,"id":"c1","type":"function","extra_content":{"google":{"thought_signature":"Ej"}},)"
      R"("function":{"name":"mcp__t__look","arguments":"{}"}}]})";
  turn.opaque_dialect = "openai_chat";
  r.messages.push_back(turn);
  r.messages.push_back(say(role::tool, "seen"));
  r.messages.back().tool_call_id = "c1";
  r.messages.push_back(say(role::user, "Finish."));
  r.tools = {{"mcp__t__look", "Looks.", R"({"type":"object","properties":{"a":{"type":["string","null"],"format":"uri"}}})"},
             {"mcp__t__find", std::string(3000, 'd'), R"({"type":"object"})"}};
  for (auto& t : workflow_tools({true, true ? std::vector<std::string>{"agent1"} : std::vector<std::string>{}}))
    r.tools.push_back(t);
  return r;
}

json encoded(const model_request& r, const quirks& known, const char* name = "openai_chat") {
  std::string error;
  auto http = find_dialect(name)->encode(r, {"http://h/v1", "", "", "", "", {}, {}, false, false}, known, error);
  CAF_CHECK_EQUAL(error, "");
  return json::parse(http.body);
}

/// Learns from `said` about the request as `known` writes it.
std::string taught(quirks& known, const std::string& said, const model_request& r = talk(), const char* name = "openai_chat") {
  auto before = known;
  auto lesson = learn(known, said, r, encoded(r, known, name).dump());
  CAF_CHECK_EQUAL(lesson.empty(), known == before);
  return lesson;
}

std::vector<std::string> offered(const json& body) {
  std::vector<std::string> out;
  if (body.contains("tools"))
    for (auto& t : body["tools"])
      out.push_back(t.contains("function") ? t["function"]["name"] : t["name"]);
  return out;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

CAF_TEST(data of the provider on a turn with calls goes back as it came) {
  auto turn = encoded(talk(), {})["messages"][2];
  CAF_CHECK_EQUAL(turn["reasoning_content"], "because");
  CAF_CHECK_EQUAL(turn["reasoning_details"].dump(), R"([{"type":"x"}])");
  CAF_CHECK_EQUAL(turn["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "Ej");
  CAF_CHECK(!turn.contains("refusal") && !turn["tool_calls"][0].contains("index"));
  CAF_CHECK_EQUAL(turn["tool_calls"][0]["id"], "c1");
}

CAF_TEST(a call without an answer goes and one that cannot be read is replaced in a turn of the provider) {
  auto r = talk();
  auto& m = r.messages[2];
  m.text = "hm";
  m.calls = {{"c1", "mcp__t__look", "not json"}, {"c2", "mcp__t__find", "{}"}};
  m.opaque =
      R"({"content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"hm"}],"tool_calls":[)"
      R"({"id":"c1","function":{"name":"mcp__t__look","arguments":"not json"},"x":1},{"id":"c2","function":{"name":"mcp__t__find","arguments":"{}"}}]})";
  auto turn = encoded(r, {})["messages"][2];
  CAF_REQUIRE_EQUAL(turn["tool_calls"].size(), 1u);
  CAF_CHECK_EQUAL(turn["tool_calls"][0].dump(),
                  R"({"function":{"arguments":"{}","name":"mcp__t__look"},"id":"c1","type":"function","x":1})");
  CAF_CHECK_EQUAL(turn["content"].size(), 2u);
  for (auto* broken : {"", "[]", "{", "3", R"({"tool_calls":7})", R"({"tool_calls":[1,2]})", R"({"content":{}})"}) {
    m.opaque = broken;
    turn = encoded(r, {})["messages"][2];
    CAF_CHECK_EQUAL(turn["tool_calls"][0]["function"]["name"], "mcp__t__look");
  }
  m.opaque = R"({"reasoning_details":[1]})";
  m.opaque_dialect = "anthropic";
  CAF_CHECK(!encoded(r, {})["messages"][2].contains("reasoning_details"));
}

CAF_TEST(a refusal that names a field of a turn drops it once) {
  for (auto* said : {"property 'reasoning_content' is unsupported",
                     "'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' : property "
                     "'reasoning_content' is unsupported)]",
                     "body.messages.2.assistant.reasoning_content: Extra inputs are not permitted (extra_forbidden)",
                     "Unknown parameter: 'messages[2].reasoning_content'.",
                     "unknown field `reasoning_content`, expected one of `role`, `content`",
                     "Additional properties are not allowed ('reasoning_content' was unexpected)",
                     "messages.2.assistant.reasoning_content: property 'messages.2.assistant.reasoning_content' is unsupported "
                     "(wrong_api_format)",
                     "Please remove the reasoning_content from your message to reduce network traffic."}) {
    CAF_MESSAGE(said);
    quirks known;
    CAF_CHECK(has(taught(known, said), "`reasoning_content` is left out"));
    auto body = encoded(talk(), known);
    CAF_CHECK(!has(body.dump(), "reasoning_content") && has(body.dump(), "reasoning_details"));
    CAF_CHECK_EQUAL(taught(known, said), "");
  }
  quirks known;
  CAF_CHECK(has(
      taught(known,
             "Invalid JSON payload received. Unknown name \"extra_content\" at 'messages[2].tool_calls[0]': Cannot find field."),
      "extra_content"));
  CAF_CHECK(!has(encoded(talk(), known).dump(), "thought_signature"));
}

CAF_TEST(a field that the server misses is not dropped but sent) {
  auto r = talk();
  r.messages[2].opaque.clear();
  for (auto* said : {"The `reasoning_content` in the thinking mode must be passed back to the API.",
                     "Missing `reasoning_content` field in the assistant message at message index 2",
                     "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2"}) {
    quirks known;
    CAF_CHECK(!taught(known, said, r).empty());
    auto turn = encoded(r, known)["messages"][2];
    CAF_CHECK_EQUAL(turn["reasoning_content"], "because");
    CAF_CHECK_EQUAL(taught(known, said, r), "");
  }
  quirks known;
  CAF_CHECK_EQUAL(taught(known, "Function call is missing a thought_signature in functionCall parts."), "");
}

CAF_TEST(what we add unasked is dropped and what the user wrote is not ) {
  quirks known;
  CAF_CHECK(!taught(known, "no stream_options here").empty());
  CAF_CHECK(!encoded(talk(), known).contains("stream_options"));
  known = {};
  CAF_CHECK_EQUAL(taught(known, "'temperature' does not support 0.2 with this model"), "");
}

CAF_TEST(the name of the token limit changes once) {
  auto r = talk();
  r.max_output_tokens = 9;
  quirks known;
  CAF_CHECK(!taught(known,
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", r)
                 .empty());
  CAF_CHECK(encoded(r, known).contains("max_completion_tokens") && !encoded(r, known).contains("max_tokens"));
  CAF_CHECK_EQUAL(taught(known, "Unrecognized request argument supplied: max_completion_tokens", r), "");
  known = {};
  CAF_CHECK_EQUAL(taught(known, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens", r), "");
}

CAF_TEST(schemas that no server takes are written as one object) {
  struct {
    const char* given;
    const char* sent;
    const char* told;
  } table[] = {
      {R"({"type":"object"})", R"({"properties":{},"type":"object"})", ""},
      {"", R"({"properties":{},"type":"object"})", ""},
      {"true", R"({"properties":{},"type":"object"})", ""},
      {"[]", R"({"properties":{},"type":"object"})", ""},
      {R"({"properties":{"a":true}})", R"({"properties":{"a":{}},"type":"object"})", ""},
      {R"({"type":["object","null"],"properties":null})", R"({"properties":{},"type":"object"})", ""},
      {R"({"type":"object","properties":{"a":{"type":"array"},"b":{"type":"array","items":[{"type":"string"}]}},"required":true})",
       R"({"properties":{"a":{"items":{},"type":"array"},"b":{"items":{"type":"string"},"type":"array"}},"type":"object"})", ""},
      {R"({"anyOf":[{"properties":{"id":{"type":"string"}},"required":["id"]},{"properties":{"name":{"type":"string"}},"required":["name"]}]})",
       R"({"properties":{"id":{"type":"string"},"name":{"type":"string"}},"type":"object"})",
       "\nGive at least one set of arguments: (id) or (name)."},
      {R"({"oneOf":[{"properties":{"k":{"const":"a"},"x":{}},"required":["k","x"]},{"properties":{"k":{"const":"b"}},"required":["k"]}]})",
       R"({"properties":{"k":{"anyOf":[{"const":"a"},{"const":"b"}]},"x":{}},"required":["k"],"type":"object"})",
       "\nGive exactly one set of arguments: (k, x) or (k)."},
      {R"({"allOf":[{"properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"number"}}}]})",
       R"({"properties":{"a":{"type":"string"},"b":{"type":"number"}},"required":["a"],"type":"object"})", ""},
      {R"({"$ref":"#/$defs/in","$defs":{"in":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}}})",
       R"({"$defs":{"in":{"properties":{"a":{"type":"string"}},"required":["a"],"type":"object"}},"properties":{"a":{"type":"string"}},"required":["a"],"type":"object"})",
       ""},
      {R"({"$ref":"#"})", R"({"properties":{},"type":"object"})", ""},
      {R"({"type":"object","properties":{},"enum":[{"a":1}]})", R"({"properties":{},"type":"object"})",
       "\nAllowed arguments: [{\"a\":1}]"},
      {R"({"type":"object","not":{"required":["a"]}})", R"({"properties":{},"type":"object"})",
       "\nNot allowed: {\"required\":[\"a\"]}"},
      {R"({"type":"object","required":["a"]})", R"({"properties":{"a":{}},"required":["a"],"type":"object"})", ""},
  };
  for (auto& t : table)
    for (auto* name : {"openai_chat", "anthropic", "openai_responses"}) {
      CAF_MESSAGE(t.given);
      model_request r;
      r.messages = {say(role::user, "Go.")};
      r.tools = {{"f", "D.", t.given}};
      auto tool = encoded(r, {}, name)["tools"][0];
      if (tool.contains("function"))
        tool = tool["function"];
      CAF_CHECK_EQUAL(tool[name == std::string("anthropic") ? "input_schema" : "parameters"].dump(), t.sent);
      CAF_CHECK_EQUAL(tool["description"], std::string("D.") + t.told);
    }
}

CAF_TEST(a schema that refers to itself a hundred times is bounded) {
  json s = {{"allOf", json::array()}};
  for (int i = 0; i < 100; ++i)
    s["allOf"].push_back({{"$ref", "#"}});
  model_request r;
  r.tools = {{"f", "", s.dump()}};
  quirks simple;
  simple.simple_schemas = true;
  CAF_CHECK_EQUAL(encoded(r, {})["tools"].size(), 1u);
  CAF_CHECK_EQUAL(encoded(r, simple)["tools"].size(), 1u);
  r.tools[0].parameters = R"({"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"},"d":{"$ref":"#"}}})";
  CAF_CHECK(encoded(r, simple).dump().size() < 200'000);
}

CAF_TEST(a tool whose schema is refused is simplified and then left out) {
  for (auto* said :
       {"Invalid schema for function 'mcp__t__look': In context=('properties', 'a'), schema must have a 'type' key.",
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
        "Invalid 'tools[0].function.parameters': unknown keyword (invalid_function_parameters tools[0].function.parameters)",
        "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[a].format: only 'enum' and 'date-time' "
        "are supported",
        "body.tools.0.function.parameters: Input should be a valid dictionary", "invalid tool mcp__t__look: bad schema",
        "[{'type': 'dict_type', 'loc': ('body', 'tools', 0, 'function', 'parameters'), 'msg': 'bad schema'}]"}) {
    CAF_MESSAGE(said);
    quirks known;
    CAF_CHECK(has(taught(known, said), "simpler"));
    auto schema = encoded(talk(), known)["tools"][0]["function"]["parameters"];
    CAF_CHECK_EQUAL(schema.dump(), R"({"properties":{"a":{"type":"string"}},"type":"object"})");
    CAF_CHECK(has(taught(known, said), "the tool `mcp__t__look` is left out"));
    CAF_CHECK(offered(encoded(talk(), known)) == (std::vector<std::string>{"mcp__t__find", "new_answer", "vote"}));
    // A tool of the same name with another schema is another tool.
    auto other = talk();
    other.tools[0].parameters = "{}";
    CAF_CHECK_EQUAL(offered(encoded(other, known)).size(), 4u);
  }
}

CAF_TEST(a workflow tool is never left out) {
  quirks known;
  known.simple_schemas = true;
  for (auto* said :
       {"Invalid schema for function 'new_answer': bad", "tools.2.custom.input_schema: bad", "Invalid 'tools[3].function.name'"})
    CAF_CHECK_EQUAL(taught(known, said), "");
  CAF_CHECK(denies_tools("Invalid schema for function 'new_answer': bad")
            && denies_tools("tools.2.custom.input_schema: not supported"));
}

CAF_TEST(too many tools and too long descriptions are cut to what is taken) {
  for (auto* said : {"Invalid 'tools': array too long. Expected an array with maximum length 3, but got an array with length 4 "
                     "instead. (array_above_max_length tools)",
                     "Too many tools: 4 (max 3)", "Maximum tools limit reached. 4 tools have been provided but the maximum is 3.",
                     "number of tools exceeds 3", "You may not include more than 3 tools in your request.",
                     "'tools' : maximum number of items is 3", "maximum number of tools is 3",
                     "body.tools: List should have at most 3 items after validation, not 4"}) {
    CAF_MESSAGE(said);
    quirks known;
    CAF_CHECK(has(taught(known, said), "without mcp__t__find"));
    CAF_CHECK(offered(encoded(talk(), known)) == (std::vector<std::string>{"mcp__t__look", "new_answer", "vote"}));
  }
  quirks known;
  CAF_CHECK(!taught(known, "Invalid 'tools[1].function.description': string too long. Expected a string with maximum length 1024, "
                           "but got a string with length 3000 instead.")
                 .empty());
  auto description = encoded(talk(), known)["tools"][1]["function"]["description"].get<std::string>();
  CAF_CHECK_EQUAL(description.size(), 1024u);
  CAF_CHECK(description.ends_with("..."));
  CAF_CHECK(!taught(known, "Invalid 'tools[1].function.name': string too long. Expected a string with maximum length 64").empty());
  CAF_CHECK_EQUAL(offered(encoded(talk(), known)).size(), 3u);
}

CAF_TEST(the place of a tool in a refusal is no limit for descriptions) {
  for (auto* said :
       {"Invalid 'tools[70].function.description': string too long. Expected a string with maximum length 1024, but got "
        "a string with length 1300 instead.",
        "tools.70.custom.description: String should have at most 1024 characters"}) {
    quirks known;
    CAF_CHECK(has(taught(known, said), "cut at 1024 bytes"));
  }
}

CAF_TEST(a refusal that names what stands inside a member drops the member) {
  quirks known;
  CAF_CHECK_EQUAL(taught(known, "the type google is not supported"), ""); // a word of common use
  CAF_CHECK(has(taught(known, "Invalid thought_signature in messages[2]"), "`extra_content` is left out"));
}

CAF_TEST(templates that refuse roles get what they take) {
  for (auto* said :
       {"System role not supported", "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!", "Developer instruction is not enabled for models/gemma-3-27b-it",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.", "invalid role: system",
        "Error rendering prompt with jinja template: \"System role not supported\"", "roles must alternate",
        "messages[0].role: unknown variant `system`, expected `user` or `assistant`",
        "Only user, assistant and tool roles are supported, got system"}) {
    CAF_MESSAGE(said);
    quirks known;
    CAF_CHECK(has(taught(known, said), "system message"));
    auto messages = encoded(talk(), known)["messages"];
    CAF_CHECK_EQUAL(messages[0].dump(), R"({"content":"Be brief.\n\nGo.","role":"user"})");
  }
  quirks known;
  known.fold_system = true;
  CAF_CHECK(
      has(taught(known, "After the optional system message, conversation roles must alternate user and assistant roles except "
                        "for tool calls and results."),
          "appended"));
  CAF_CHECK(
      has(taught(known, "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."),
          "text"));
  auto messages = encoded(talk(), known)["messages"];
  CAF_REQUIRE_EQUAL(messages.size(), 3u);
  CAF_CHECK_EQUAL(messages[1].dump(), R"({"content":"I call mcp__t__look with {}","role":"assistant"})");
  CAF_CHECK_EQUAL(messages[2].dump(), R"({"content":"Result of mcp__t__look:\nseen\n\nFinish.","role":"user"})");
  CAF_CHECK_EQUAL(taught(known, "roles must alternate"), "");
  known = {};
  CAF_CHECK(!taught(known, "Unexpected role 'user' after role 'tool'").empty());
  messages = encoded(talk(), known)["messages"];
  CAF_CHECK_EQUAL(messages.back()["content"], "seen\n\nFinish.");
  known = {};
  for (auto* said : {"The system is overloaded", "Internal system error", "", "model not found"})
    CAF_CHECK_EQUAL(taught(known, said), "");
}

CAF_TEST(two messages of the user in a row are one) {
  model_request r;
  r.messages = {say(role::user, "a"), say(role::user, "b")};
  CAF_CHECK_EQUAL(encoded(r, {})["messages"].dump(), R"([{"content":"a\n\nb","role":"user"}])");
}

CAF_TEST(a server without tools is told from one that refuses a schema) {
  for (auto* said :
       {"registry.ollama.ai/library/gemma:latest does not support tools", "\"auto\" tool choice requires --enable-auto-tool-choice",
        "tools param requires --jinja flag", "No endpoints found that support tool use",
        "`tool calling` is not supported with this model", "deepseek-reasoner does not support Function Calling",
        "Function calling is not enabled for models/gemma-3-27b-it",
        "Unsupported parameter: 'tools' is not supported with this model.", "body.tools: Extra inputs are not permitted",
        "This model doesn't support tool use in streaming mode.", "Unrecognized request argument supplied: tools",
        "Invalid tool parameters schema : field `anyOf`: missing field `type`"}) {
    CAF_MESSAGE(said);
    CAF_CHECK(denies_tools(said));
  }
  for (auto* said :
       {"messages.0: too short", "model tools-7b not found",
        "Invalid parameter: messages with role 'tool' must follow 'tool_calls'",
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'", ""}) {
    CAF_MESSAGE(said);
    CAF_CHECK(!denies_tools(said));
  }
  quirks known;
  CAF_CHECK_EQUAL(taught(known, "gemma does not support tools"), "");
}

CAF_TEST(a server that refuses images in tool results gets their notes) {
  auto r = talk();
  for (auto& m : r.messages)
    if (m.from == role::tool)
      m.parts = {{content_kind::image, "[image]", "image/png", "iVBORw0KGgo=", ""}};
  for (auto* said :
       {"messages.2.content.0.tool_result.content.0: Input tag 'image' found using 'type' does not match any of the expected tags: "
        "'text'",
        "This model does not support image input", "model glm-5 is not a multimodal model",
        "unknown variant `image`, expected `text`", "messages[3].content[0].content: invalid type: sequence, expected a string",
        "tool_result.content: Input should be a valid string", "vision is not enabled for this model",
        "No endpoints found that support image input", "At most 0 image(s) may be provided in one request.",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "Image input modality is not enabled for models/gemma-3", "this model is missing data required for image input",
        "Invalid content type. image_url is only supported by certain models.", "'claude-2.1' does not support images.",
        "unknown variant `image`, expected one of `text`, `tool_result`", "The model does not have vision capabilities",
        "messages.2.content.0: Images are not supported by this model"}) {
    CAF_MESSAGE(said);
    quirks known;
    CAF_CHECK(has(encoded(r, known, "anthropic").dump(), "iVBORw0KGgo="));
    CAF_CHECK(has(taught(known, said, r, "anthropic"), "images"));
    CAF_CHECK(!has(encoded(r, known, "anthropic").dump(), "iVBORw0KGgo="));
    CAF_CHECK(!has(taught(known, said, r, "anthropic"), "images"));
    quirks other;
    CAF_CHECK(has(encoded(r, other, "openai_responses").dump(), "iVBORw0KGgo="));
    CAF_CHECK(has(taught(other, said, r, "openai_responses"), "images"));
    CAF_CHECK(!has(encoded(r, other, "openai_responses").dump(), "iVBORw0KGgo="));
  }
  quirks known;
  for (auto* said : {"This model does not support image input", "expected a string"}) {
    CAF_CHECK(!has(taught(known, said), "images")); // there is none in it
    CAF_CHECK(!has(taught(known, said, talk(), "anthropic"), "images"));
  }
  CAF_CHECK(!has(taught(known, "messages: roles must alternate", r, "anthropic"), "images"));
}

CAF_TEST(a server of the Responses API that knows no sealed thoughts or no storage is not asked for them again) {
  for (auto* said : {"Encrypted content is not supported with this model.", "Unknown parameter: 'include'.",
                     "include.0: Input should be 'file_search_call.results', unexpected value 'reasoning.encrypted_content'"}) {
    CAF_MESSAGE(said);
    quirks known;
    auto r = talk();
    CAF_CHECK(encoded(r, known, "openai_responses").contains("include"));
    CAF_CHECK(has(taught(known, said, r, "openai_responses"), "`include` is left out"));
    CAF_CHECK(!encoded(r, known, "openai_responses").contains("include"));
    CAF_CHECK(!has(taught(known, said, r, "openai_responses"), "include"));
    r.params = R"({"include":["message.output_text.logprobs"]})"; // the user's own stays
    CAF_CHECK_EQUAL(encoded(r, known, "openai_responses")["include"].size(), 1u);
    CAF_CHECK_EQUAL(encoded(r, {}, "openai_responses")["include"].size(), 2u);
  }
  quirks known;
  taught(known, "Extra inputs are not permitted: store", talk(), "openai_responses");
  CAF_CHECK(!encoded(talk(), known, "openai_responses").contains("store"));
  auto r = talk();
  r.params = R"({"store":true})";
  CAF_CHECK_EQUAL(encoded(r, known, "openai_responses")["store"].dump(), "true");
}

CAF_TEST(what is said of a seal is about the turn and teaches nothing) {
  for (auto said :
       {"Encrypted content organization_id did not match the target organization. (invalid_encrypted_content)",
        "Could not decrypt the provided encrypted_content.", "Item with id 'rs_1' not found. Set `store` to true or remove it.",
        "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.",
        "messages.1.content.0: Invalid `signature` in `thinking` block", "Corrupted thought signature.",
        "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
        "messages.1.content.0.thinking.signature: Field required", "each thinking block must contain a valid signature",
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`.",
        "Invalid 'input[2].encrypted_content': value is malformed.",
        "Unable to submit request because Thought signature is not valid.", "thinking blocks are not supported by this model."}) {
    quirks known;
    CAF_CHECK_EQUAL(learn(known, said, {}, R"({"include":["reasoning.encrypted_content"],"store":false})"), "");
    CAF_CHECK(is_about_sealed_turns(said));
  }
  for (auto said : {"Encrypted content is not supported with this model.", "Function call is missing a thought_signature.",
                    "thinking.signature: Extra inputs are not permitted", "invalid tool signature", "thinking is not supported"})
    CAF_CHECK(!is_about_sealed_turns(said));
}

CAF_TEST(a bad image does not make a model blind to all others) {
  auto r = talk();
  for (auto& m : r.messages)
    if (m.from == role::tool)
      m.parts = {{content_kind::image, "[image]", "image/png", "iVBORw0KGgo=", ""}};
  for (auto* said :
       {"Could not process image",
        "Image does not match the provided media type image/png",
        "messages.2.content.0.image.source.base64: image exceeds 5 MB maximum: 5316852 bytes > 5242880 bytes",
        "messages.2.content.0.tool_result.content.0.image.source.base64.data: At least one of the image dimensions exceed max "
        "allowed "
        "size: 8000 pixels",
        "messages.2.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or "
        "'image/webp'",
        "The image was specified using the image/jpeg media type, but does not appear to be a valid jpeg image",
        "messages.2.content.0.image.source.base64: invalid base64 data",
        "Unable to read this image",
        "image cannot be empty",
        "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', "
        "'webp'].",
        "The image data you provided does not represent a valid image. Please check your input and try again with one of the "
        "supported image formats: ['image/jpeg', 'image/png', 'image/gif', 'image/webp'].",
        "Failed to load image: cannot identify image file <_io.BytesIO object at 0x7f>",
        "unsupported media type: image/tiff is not "
        "supported",
        "The image is corrupt or truncated",
        "too many images: 101 > 100",
        "At most 1 image(s) may be provided in one "
        "request.",
        "This image format is not supported",
        "image: unknown format",
        "Failed to decode image: unsupported color type",
        "The provided image is not supported by this model"}) {
    CAF_MESSAGE(said);
    quirks known;
    taught(known, said, r, "anthropic");
    CAF_CHECK(!known.no_images);
    CAF_CHECK(is_about_images(said)); // the run goes on without this one
  }
}

CAF_TEST(what is learned of many refusals stays bounded) {
  quirks known, other;
  for (int i = 0; i < 2000; ++i)
    other.dropped.insert(std::to_string(i));
  CAF_CHECK(known.absorb(other));
  CAF_CHECK(known.dropped.size() <= 500 && !known.absorb(other));
}
