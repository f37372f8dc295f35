// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a server taught us about a model behind it, by refusing a request: which parts of our requests it does not take. A refusal
/// is judged by the server's own text alone, never by its address or by the model's name.
///
///   quirks known;                                              // of one model behind one connection
///   auto request = dialect->encode(req, endpoint, known, error);
///   auto lesson = learn(known, completion.said, req, request.body);
///   if (!lesson.empty())                                       // encode and send again: the request will be another one
///     tell(lesson);
///
/// Pure. Everything is bounded: a lesson is learned once, and only about what the refused request held.

#include "protocols/chat.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Members of the body that go out although nobody asked for them, and that not every server knows.
inline constexpr const char* unasked_members[] = {"stream_options", "cache_prompt", "id_slot",          "chat_template_kwargs",
                                                  "store",          "include",      "prompt_cache_key", "cache_control"};

struct quirks {
  std::set<std::string> left_out;   ///< members we add or send back unasked, of the body, of an assistant turn or of its calls
  std::set<std::string> dropped;    ///< `tool_key` of tools that are not offered
  std::size_t max_tools = 0;        ///< 0 = no bound known
  std::size_t max_description = 0;  ///< bytes of a tool's description; 0 = no bound known
  bool simple_schemas = false;      ///< tools' schemas without the finer keywords
  bool no_empty_parameters = false; ///< a tool without parameters has no schema at all
  bool other_token_name = false;    ///< max_completion_tokens and max_tokens change places
  bool fold_system = false;         ///< the system message goes in front of the first user message
  bool plain_turns = false;         ///< only user and assistant: calls and their results are told as text
  bool user_into_tool = false;      ///< what the user says after a tool's result is appended to that result
  bool wants_reasoning = false;     ///< every assistant turn needs `reasoning_content`
  bool signs_calls = false;         ///< the first call of a turn needs a thought signature: Gemini behind Chat Completions
  bool no_images = false;           ///< images in tool results are told as text
  bool operator==(const quirks&) const = default;

  /// Adds what `other` knows; returns whether anything was new. Bounded.
  bool absorb(const quirks& other);
};

/// Returns what names a tool in `quirks`: another tool of the same name with another schema is another tool.
std::string tool_key(const tool_spec& tool);

/// Learns from a refusal of the request `body` (JSON, as sent for `req`): `said` is the server's own sentence and code. Returns
/// what is done from now on, as a sentence part ("the tool 'x' is left out"), and changes `known`; empty and unchanged if the
/// refusal teaches nothing new. The workflow tools are never left out.
std::string learn(quirks& known, const std::string& said, const model_request& req, const std::string& body);

/// Returns whether the server says that the model or server has no tool calls at all, or that it cannot read the definition of a
/// tool which must not be left out.
bool denies_tools(const std::string& said);

/// Returns whether the server says that it cannot take back a turn of the model as a provider wrote it: another one sealed its
/// thoughts, or the seal or what it names is not valid any more.
bool is_about_sealed_turns(const std::string& said);

/// Returns whether a server refused a request without a word of what is wrong with it: a sealed turn may be.
bool says_nothing(const std::string& said);

/// Returns whether the server's sentence may be about an image of the request, whatever it says of it.
bool is_about_images(const std::string& said);

} // namespace conclave::wire
