// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/quirks.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/refusal.hpp"

#include <algorithm>
#include <cctype>
#include <map>

// The wordings judged here are those that servers of the Chat Completions and Messages dialects are quoted with in public issue
// trackers, read 2026-11-26.

namespace conclave::wire {

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
}

std::vector<std::size_t> ends_of(std::string_view text, std::string_view word) {
  std::vector<std::size_t> out;
  for (auto at = text.find(word); at != std::string_view::npos && out.size() < 64; at = text.find(word, at + 1)) {
    auto end = at + word.size();
    if ((at == 0 || !is_name_char(text[at - 1])) && (end == text.size() || !is_name_char(text[end])))
      out.push_back(end);
  }
  return out;
}

bool names(std::string_view text, std::string_view word) {
  return !word.empty() && !ends_of(text, word).empty();
}

std::string quoted(const std::set<std::string>& list) {
  std::string out;
  for (auto& n : list)
    out += (out.empty() ? "`" : ", `") + n + "`";
  return out;
}

namespace {

bool denies(std::string_view text) {
  return says(text, {"unsupported",
                     "not supported",
                     "n't support",
                     "not support",
                     "unrecognized",
                     "unrecognised",
                     "not recognized",
                     "unknown",
                     "unexpected",
                     "not permitted",
                     "not allowed",
                     "n't allowed",
                     "forbidden",
                     "extra input",
                     "extra field",
                     "extra_forbidden",
                     "additional propert",
                     "additionalpropert",
                     "cannot find field",
                     "invalid",
                     "no such",
                     "remove",
                     "not expected",
                     "not accept",
                     "n't accept",
                     "not valid",
                     "disallow",
                     "only allowed",
                     "deprecated",
                     "not available",
                     "not enabled",
                     "unavailable",
                     "not implemented",
                     "cannot be used",
                     "must not"});
}

/// The opposite: the server misses what is named.
bool misses(std::string_view text) {
  return says(text, {"missing", "must be passed", "is required", "must be provided", "must include", "must contain", "not provided",
                     "required field", "field required", "cannot be empty", "must be set"});
}

/// Names by which a refusal may mean a member, and that member: also what stands inside it, if it is no word of common use.
using member_names = std::map<std::string, std::string>;

void collect_inside(const json& v, const std::string& outer, member_names& out, int depth = 0) {
  if (!v.is_structured() || depth > 4 || out.size() >= 64)
    return;
  for (auto& [key, value] : v.items()) {
    if (v.is_object() && key.find('_') != std::string::npos)
      out.emplace(key, outer);
    collect_inside(value, outer, out, depth + 1);
  }
}

void collect(const json& v, std::initializer_list<std::string_view> known, member_names& out) {
  if (v.is_object())
    for (auto& [key, value] : v.items())
      if (std::find(known.begin(), known.end(), key) == known.end() && out.size() < 64) {
        out[key] = key;
        collect_inside(value, key, out);
      }
}

/// Members that go out without anybody having asked for them: what the user wrote is never taken away.
member_names unasked(const refusal& r) {
  member_names out;
  for (auto* key : unasked_members)
    if (r.body.contains(key) && (!names(r.req.params, key) || key == std::string_view("include"))) // of that, our part alone goes
      out[key] = key;
  if (auto* messages = member(r.body, "messages"); messages != nullptr && messages->is_array())
    for (auto& m : *messages)
      if (string_at(m, "role") == "assistant") {
        collect(m, {"role", "content", "tool_calls"}, out);
        if (auto* calls = member(m, "tool_calls"); calls != nullptr && calls->is_array())
          for (auto& c : *calls) {
            collect(c, {"id", "type", "function"}, out);
            if (auto* function = member(c, "function"))
              collect(*function, {"name", "arguments"}, out);
          }
      }
  return out;
}

/// Of Chat Completions: a turn whose first call has no signature of Gemini's.
bool has_unsigned_calls(const json& body) {
  static const json::json_pointer signature("/tool_calls/0/extra_content/google/thought_signature");
  auto* messages = member(body, "messages");
  return messages != nullptr && messages->is_array() && std::any_of(messages->begin(), messages->end(), [](auto& m) {
           return m.contains("tool_calls") && !m.contains(signature);
         });
}

std::string learn_fields(quirks& known, const refusal& r) {
  for (auto* name : {"max_tokens", "max_completion_tokens"}) {
    auto other = std::string_view(name) == "max_tokens" ? "max_completion_tokens" : "max_tokens";
    auto replaced = names(r.text, other) && says(r.text, {"use ", "instead"});
    if (r.body.contains(name) && !known.other_token_name && names(r.text, name)
        && (replaced
            || (denies(r.text)
                && !says(r.text, {"too large", "at most", "maximum", "exceed", "greater", "less than", "context"})))) {
      known.other_token_name = true;
      return std::string("`") + name + "` is sent as `" + other + "`";
    }
  }
  std::set<std::string> refused;
  auto of_a_seal = is_about_sealed_turns(r.text); // of what we add, nothing is to blame for it
  for (auto& [name, outer] : unasked(r)) {
    if (of_a_seal && r.body.contains(outer))
      continue;
    // Nothing depends on stream_options, so any mention will do.
    auto meant = name == "stream_options" || (denies(r.text) && !misses(r.text));
    // What is asked for by `include` is refused by its own name.
    auto named = names(r.text, lower(name)) || (name == "include" && says(r.text, {"encrypted content", "encrypted_content"}));
    if (meant && named && known.left_out.size() < max_learned && known.left_out.insert(outer).second)
      refused.insert(outer);
  }
  if (!refused.empty())
    return quoted(refused) + (refused.size() > 1 ? " are" : " is") + " left out";
  if (!known.wants_reasoning && names(r.text, "reasoning_content") && misses(r.text)) {
    known.wants_reasoning = true;
    return "`reasoning_content` goes back with every turn";
  }
  if (!known.signs_calls && names(r.text, "thought_signature") && misses(r.text) && has_unsigned_calls(r.body)) {
    known.signs_calls = true;
    return "calls that another provider made carry the word that stands for a thought signature";
  }
  return {};
}

std::string learn_roles(quirks& known, const refusal& r) {
  if (r.body.contains("systemInstruction") && says(r.text, {"developer instruction", "system instruction"}) && denies(r.text)) {
    known.fold_system = true; // it stands apart from the messages: Gemini
    return "the system message goes in front of the first user message";
  }
  auto* messages = member(r.body, "messages");
  if (messages == nullptr || !messages->is_array())
    return {};
  bool system = false, calls = false, after_tool = false;
  std::string last;
  for (auto& m : *messages) {
    auto role = string_at(m, "role");
    system = system || role == "system";
    calls = calls || role == "tool" || m.contains("tool_calls");
    after_tool = after_tool || (role == "user" && last == "tool");
    last = role;
  }
  auto of_system = (names(r.text, "system") || names(r.text, "developer"))
                   && says(r.text, {"role", "instruction", "system message", "system prompt", "developer message", "variant"})
                   && denies(r.text);
  auto of_order = says(r.text, {"alternat",
                                "only user and assistant",
                                "user and assistant roles",
                                "user/assistant",
                                "first message must be",
                                "must start with a user",
                                "start with user",
                                "first message should be",
                                "consecutive",
                                "two user messages",
                                "same role",
                                "last message must be",
                                "after role",
                                "unexpected role",
                                "invalid role",
                                "role must be",
                                "roles must",
                                "one of 'user', 'assistant'",
                                "['user', 'assistant']",
                                "unknown role",
                                "role order",
                                "input should be 'user'",
                                "expected `user`",
                                "expected one of `user`",
                                "roles are supported"});
  auto first_is_fine = says(r.text, {"optional system", "after the system"});
  auto of_what_follows =
      names(r.text, "user") && says(r.text, {"after role 'tool'", "after role \"tool\"", "after role tool", "after tool"});
  if (after_tool && !known.user_into_tool && (of_what_follows || (of_order && (first_is_fine || known.fold_system || !system)))) {
    known.user_into_tool = true;
    return "what follows a tool's result is appended to it";
  }
  if (system && !known.fold_system && (of_system || (of_order && !(first_is_fine && calls)))) {
    known.fold_system = true;
    return "the system message goes in front of the first user message";
  }
  if (calls && !known.plain_turns && of_order) {
    known.plain_turns = true;
    return "tool calls and their results are told as text of the assistant and the user";
  }
  return {};
}

} // namespace

bool quirks::absorb(const quirks& other) {
  auto before = *this;
  for (auto [mine, theirs] : {std::pair{&left_out, &other.left_out}, std::pair{&dropped, &other.dropped}})
    for (auto& x : *theirs)
      if (mine->size() < max_learned)
        mine->insert(x);
  auto least = [](std::size_t a, std::size_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); };
  max_tools = least(max_tools, other.max_tools);
  max_description = least(max_description, other.max_description);
  simple_schemas |= other.simple_schemas;
  no_empty_parameters |= other.no_empty_parameters;
  other_token_name |= other.other_token_name;
  fold_system |= other.fold_system;
  plain_turns |= other.plain_turns;
  user_into_tool |= other.user_into_tool;
  wants_reasoning |= other.wants_reasoning;
  signs_calls |= other.signs_calls;
  no_images |= other.no_images;
  return *this != before;
}

std::string tool_key(const tool_spec& tool) {
  return tool.name + ' ' + hash(tool.description + '\n' + tool.parameters);
}

std::string learn(quirks& known, const std::string& said, const model_request& req, const std::string& body) {
  auto sent = parse(body);
  if (said.empty() || !sent || !sent->is_object())
    return {};
  refusal r{lower(said), req, std::move(*sent), {}};
  if (is_model_fault(r.text) || is_out_of_credit(r.text) || is_overflow(r.text))
    return {};
  if (auto* tools = member(r.body, "tools"); tools != nullptr && tools->is_array())
    for (auto& t : *tools) {
      auto* function = member(t, "function");
      auto* several = member(t, "functionDeclarations"); // Gemini
      for (auto& f : several != nullptr && several->is_array() ? *several : json::array({function == nullptr ? t : *function}))
        r.offered.push_back(string_at(f, "name"));
    }
  if (is_about_sealed_turns(r.text) || says(r.text, {"thought_signature"})) // which may name a call, but blames no tool
    return learn_fields(known, r);
  for (auto* rule : {learn_images, learn_fields, learn_tools, learn_roles})
    if (auto lesson = rule(known, r); !lesson.empty())
      return lesson;
  return {};
}

// In the words of Anthropic's and Google's servers as their users report them, read 2026-11-27:
// https://github.com/anthropics/claude-code/issues/63574 ("cannot be modified"),
// https://github.com/vybestack/llxprt-code/issues/2335
// ("Invalid signature in thinking block", of another model), https://github.com/RooCodeInc/Roo-Code/issues/12050 ("Thought
// signature is not valid"), https://github.com/decolua/9router/issues/4136 ("Corrupted thought signature", of another maker's
// model).
bool is_about_sealed_turns(const std::string& said) {
  auto text = lower(said);
  // Names of things that nobody stored, or that belong to others, in the Responses API.
  if (says(text, {"without its required", "must remain as they were", "invalid_encrypted_content"})
      || says(text, {"expected `thinking`", "must start with a thinking block"}) // the Messages API, of a turn without one
      || (says(text, {"item with id", "item '"}) && says(text, {"not found"})))
    return true;
  auto of_a_block = says(text, {"thinking block", "thinking` block", "thinking' block", "thinking content block", "thought block"});
  if (of_a_block
      && says(text, {"not supported", "unsupported", "does not support", "doesn't support", "not allowed", "not permitted",
                     "cannot be modified", "cannot be used", "different model", "another model"}))
    return true;
  auto of_a_seal = says(text, {"encrypted content", "encrypted_content", "thought signature", "thought_signature",
                               "thoughtsignature", "redacted_thinking"})
                   || (names(text, "signature") && names(text, "thinking"));
  return of_a_seal && !says(text, {"missing"})
         && says(text, {"invalid", "not valid", "verif", "decrypt", "parsed", "corrupt", "did not match", "does not match",
                        "mismatch", "expired", "cannot be modified", "malformed", "field required", "a valid signature"});
}

// A model is sent the signature of another one: https://github.com/NousResearch/hermes-agent/issues/36907, read 2026-11-27.
bool says_nothing(const std::string& said) {
  auto text = lower(said);
  return text.size() < 200 && says(text, {"request contains an invalid argument"});
}

bool denies_tools(const std::string& said) {
  auto text = lower(said);
  if (is_model_fault(text) || says(text, {"tool_call_id", "tool_use_id", "tool_result", "tool result", "thought_signature"}))
    return false;
  auto means = says(text, {"tool use",
                           "tool call",
                           "tool-call",
                           "toolcall",
                           "tools",
                           "tool choice",
                           "tool_choice",
                           "function call",
                           "function-call",
                           "function_call",
                           "functions",
                           "input_schema",
                           "function declaration",
                           "function 'new_answer'",
                           "function 'vote'",
                           "new_answer",
                           "schema for function",
                           "tool param",
                           "tool schema",
                           "tool definition",
                           "invalid tool"});
  return means
         && (denies(text)
             || says(text, {"requires", "no endpoints", "schema", "must be enabled", "not able to", "disabled", "too many",
                            "at most", "too long"}));
}

} // namespace conclave::wire
