// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/arguments.hpp"
#include "protocols/wire/dialects.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/reply_decoder.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/sources.hpp"

#include <algorithm>
#include <cmath>

// Source of the stream's shape: https://ai.google.dev/api/generate-content and the types of the vendor's JavaScript SDK, npm
// @google/genai 3.1.0, read 2026-11-26.

namespace conclave::wire {

namespace {

using members = json::object_t;

class gemini_decoder final : public reply_decoder {
public:
  explicit gemini_decoder(const endpoint& to) : reply_decoder(to, "candidates", true) {}

private:
  struct call : call_stream {
    std::string id, name;
    std::size_t part = 0; ///< of the turn
  };

  bool on_object(const json& v, const std::string&, std::vector<chunk>& out) override {
    bool read = false;
    for (auto& [key, value] : v.get_ref<const members&>()) {
      if (key == "candidates")
        read = on_candidates(value, out) || read;
      else if (key == "usageMetadata")
        on_usage(value);
      else if (key == "promptFeedback")
        read = on_feedback(value) || read;
      else if (key == "responseId" && response_.empty() && value.is_string())
        response_ = value.get<std::string>();
      else if (key == "modelStatus")
        on_model_status(value, out);
    }
    return read;
  }

  bool on_piece(std::string& data, std::vector<chunk>& out) override {
    if (!read_gemini_delta(data, delta_))
      return false;
    claim_piece(data, delta_);
    if (delta_.counted)
      on_counts(delta_.counts);
    if (response_.empty())
      response_ = delta_.item;
    auto thinking = delta_.kind == delta_kind::thought;
    if (add_text(delta_.piece, thinking))
      thinking ? think(std::move(delta_.piece), out) : say(std::move(delta_.piece), out);
    return true;
  }

  bool on_candidates(const json& list, std::vector<chunk>& out) {
    if (!list.is_array())
      return false;
    for (auto& c : list)
      if (!failed_ && c.is_object() && int_at(c, "index") == 0) // never more than one is asked for
        on_candidate(c, out);
    return !list.empty();
  }

  /// The model was not asked at all: there is no candidate then.
  bool on_feedback(const json& v) {
    auto reason = string_at(v, "blockReason");
    if (reason.empty() || reason.ends_with("UNSPECIFIED"))
      return false;
    auto words = string_at(v, "blockReasonMessage");
    refusal_ = "the provider blocked the prompt (" + reason + ")" + (words.empty() ? "" : ": ") + words;
    end_with(std::move(reason));
    return true;
  }

  void on_model_status(const json& v, std::vector<chunk>& out) {
    if (auto until = string_at(v, "retirementTime"); !until.empty())
      tell("the model is " + string_at(v, "modelStage") + " and ends on " + until, out);
  }

  void on_candidate(const json& c, std::vector<chunk>& out) {
    const json* reason = nullptr;
    for (auto& [key, value] : c.get_ref<const members&>()) {
      if (key == "content") {
        if (auto* parts = member(value, "parts"); parts != nullptr && parts->is_array())
          for (auto& p : *parts)
            if (!failed_)
              on_part(p, out);
      } else if (key == "finishReason") {
        reason = &value;
      } else if (key == "finishMessage" && value.is_string()) {
        explanation_ = value.get<std::string>();
      } else if (key == "groundingMetadata" || key == "urlContextMetadata" || key == "citationMetadata"
                 || key == "continuationToken") {
        keep(key, value, out);
      }
    }
    if (reason == nullptr || !reason->is_string())
      return;
    if (auto means = read_finish_reason(reason->get_ref<const std::string&>()); means != ending::paused && means != ending::open)
      kept_.erase("continuationToken"); // of a point on the way
    end_with(reason->get<std::string>());
  }

  /// What belongs to the turn but to none of its parts; some of it comes in pieces, and of each member the last counts.
  void keep(const std::string& key, const json& value, std::vector<chunk>& out) {
    if (value.is_null() || !grow(weight(value)))
      return;
    auto& held = kept_[key];
    if (held.is_object() && value.is_object())
      held.update(value);
    else
      held = value;
    std::int64_t asked = 0;
    for (auto* list : {"webSearchQueries", "imageSearchQueries", "retrievalQueries"})
      if (auto* queries = member(value, list); queries != nullptr && queries->is_array())
        for (auto& q : *queries)
          if (q.is_string()) {
            ++asked;
            tell("the provider searched for \"" + q.get<std::string>() + "\"", out);
          }
    searches_ = std::max(searches_, asked); // the list comes again with more pieces, longer
    count_hosted();
    each_grounding_source(value, [&](const std::string& title, const std::string& address) { tell_source(title, address, out); });
  }

  void on_part(const json& p, std::vector<chunk>& out) {
    if (!p.is_object() || p.empty())
      return;
    const json *text = nullptr, *function = nullptr, *other = nullptr;
    bool thinking = false, plain = true;
    std::string_view kind;
    for (auto& [key, value] : p.get_ref<const members&>()) {
      if (key == "text" && value.is_string()) {
        text = &value;
      } else if (key == "thought") {
        thinking = value == true;
      } else if (key != "text") {
        plain = false;
        if (key == "functionCall") {
          function = &value;
        } else if (key != "thoughtSignature" && key != "partMetadata" && !value.is_null()) {
          other = &value;
          kind = key;
        }
      }
    }
    if ((plain && text == nullptr) || (function != nullptr && !on_call(*function, out)))
      return;
    if (!add_to_turn(p, plain ? text : nullptr, thinking))
      return;
    if (other != nullptr)
      on_other(kind, *other, out);
    if (text != nullptr)
      thinking ? think(text->get<std::string>(), out) : say(text->get<std::string>(), out);
  }

  bool add_to_turn(const json& p, const json* plain, bool thinking) {
    if (plain != nullptr)
      return add_text(plain->get_ref<const std::string&>(), thinking, &p);
    special_ = true;
    advance(false);
    tail_ = false;
    return grow(weight(p)) && add_part(p);
  }

  /// Pieces of plain text are one part; what holds more than text is never joined to anything. `as` is the part as it came.
  bool add_text(const std::string& text, bool thinking, const json* as = nullptr) {
    if (!fits(text.size()))
      return false;
    if (text.empty())
      return true; // the last piece, as a rule: an empty part is refused when it is sent back
    special_ = special_ || thinking;
    if (tail_ && tail_thinks_ == thinking) {
      parts_.back()["text"].get_ref<std::string&>() += text;
      return true;
    }
    tail_ = true;
    tail_thinks_ = thinking;
    return add_part(as != nullptr ? *as : thinking ? json{{"text", text}, {"thought", true}} : json{{"text", text}});
  }

  bool add_part(json p) {
    if (!one_more_part(parts_.size()))
      return false;
    parts_.push_back(std::move(p));
    return true;
  }

  /// Code and tools that the provider runs itself, and what is no text at all.
  void on_other(std::string_view kind, const json& v, std::vector<chunk>& out) {
    if (kind == "executableCode" || kind == "toolCall") {
      ++(kind == "toolCall" ? tool_calls_ : code_);
      count_hosted();
    }
    if (kind == "executableCode")
      tell("the provider runs code (" + string_at(v, "language") + ")", out);
    else if (kind == "codeExecutionResult")
      tell("the provider's code ended: " + string_at(v, "outcome"), out);
    else if (kind == "toolCall")
      tell("the provider runs " + string_at(v, "toolType"), out);
    else if (kind == "inlineData" || kind == "fileData")
      tell("a part of the reply is no text and is left out: " + string_at(v, "mimeType"), out);
    else if (kind != "toolResponse" && kind != "videoMetadata" && kind != "mediaResolution")
      tell("a part of the reply is no text and is left out: " + std::string(kind), out);
  }

  /// Searches are told in the metadata, of newer models also as parts.
  void count_hosted() { use_.hosted_calls = std::max(searches_, tool_calls_) + code_; }

  /// Returns whether the part belongs to the turn.
  bool on_call(const json& f, std::vector<chunk>& out) {
    auto name = string_at(f, "name");
    auto* pieces = member(f, "partialArgs");
    auto* more = member(f, "willContinue");
    if ((pieces != nullptr && !pieces->empty()) || (more != nullptr && *more == true)) {
      fail(ec::bad_reply, "the arguments of a call came in pieces: take `streamFunctionCallArguments` out of the request");
      return false;
    }
    if (name.empty()) {
      tell("a call without a name is left out", out);
      return false;
    }
    if (!one_more_call())
      return false;
    advance(true);
    auto& c = calls_.emplace_back();
    c.id = string_at(f, "id");
    c.part = parts_.size();
    c.is_answer = resolve_tool(name, {"new_answer"}) == "new_answer";
    out.push_back({chunk_kind::tool_call, undecorated(name)});
    c.name = std::move(name);
    if (auto* args = member(f, "args"); args != nullptr && !args->is_null())
      write(c, args->is_string() ? args->get<std::string>() : dump(*args), out);
    return !failed_;
  }

  /// Fills calls and the turn as it goes back. A call without an id gets one of ours; in the turn it stays without.
  void settle() override {
    auto prefix = response_.empty() ? std::string("gem_") : "gem_" + hash(response_).substr(0, 8) + "_";
    std::vector<std::string> reserved;
    for (auto& c : calls_)
      reserved.push_back(c.id);
    for (auto& c : calls_) {
      c.halves.finish(c.arguments);
      auto id = unused_id(c.id, prefix.c_str(), reserved);
      if (!c.id.empty() && id != c.id)
        parts_[c.part]["functionCall"]["id"] = id; // every call must be answered under an id of its own
      result_.calls.push_back({std::move(id), c.name, settled_arguments(c.arguments)});
    }
    auto thoughts_alone =
        std::all_of(parts_.begin(), parts_.end(), [](const json& p) { return p.size() == 2 && p.contains("thought"); });
    if ((!special_ || thoughts_alone) && kept_.empty())
      return; // the text says it all, or there is nothing to go on from
    auto turn = std::move(kept_);
    turn["role"] = "model";
    turn["parts"] = std::move(parts_);
    result_.opaque = dump(turn);
    result_.opaque_dialect = "gemini";
  }

  /// Counts are cumulative: the last ones count. This API counts thoughts and the results of its own tools apart.
  void on_usage(const json& u) {
    gemini_counts counts;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      auto* n = member(u, std::string(gemini_count_names[i]).c_str());
      counts[i] = n != nullptr && n->is_number() ? n->get<double>() : std::nan("");
    }
    if (auto* list = member(u, "promptTokensDetails"))
      read_audio(*list, use_.audio_input_tokens);
    if (auto* list = member(u, "candidatesTokensDetails"))
      read_audio(*list, use_.audio_output_tokens);
    on_counts(counts);
  }

  void on_counts(const gemini_counts& n) {
    auto prompt = take_tokens(n[0], prompt_);
    auto tools = take_tokens(n[1], tool_prompt_);
    auto cached = take_tokens(n[2], use_.cached_input_tokens);
    auto answer = take_tokens(n[3], answer_);
    auto thoughts = take_tokens(n[4], use_.reasoning_tokens);
    for (auto part : {tools, cached})
      if (part == token_count::absurd)
        prompt = part;
    std::int64_t total = 0; // it leaves out a count that is 0: with the sum, nothing is missing
    if (answer == token_count::absent && take_tokens(n[5], total) == token_count::given)
      answer = token_count::given;
    count(prompt, std::max(answer, thoughts));
    use_.input_tokens = prompt_ + tool_prompt_;
    use_.output_tokens = answer_ + use_.reasoning_tokens;
  }

  static void read_audio(const json& by_modality, std::int64_t& to) {
    if (by_modality.is_array())
      for (auto& d : by_modality)
        if (string_at(d, "modality") == "AUDIO")
          read_tokens(d, "tokenCount", to);
  }

  std::vector<call> calls_;
  json parts_ = json::array();              ///< of the turn
  json kept_ = json::object();              ///< what else belongs to the turn
  bool special_ = false;                    ///< the turn is more than its text
  bool tail_ = false, tail_thinks_ = false; ///< the last part is plain text
  std::string response_;                    ///< the provider's id of the reply
  std::int64_t prompt_ = 0, tool_prompt_ = 0, answer_ = 0;
  std::int64_t searches_ = 0, tool_calls_ = 0, code_ = 0; ///< uses of the provider's own tools
};

} // namespace

std::unique_ptr<decoder> decode_gemini(const endpoint& to) {
  return std::make_unique<gemini_decoder>(to);
}

} // namespace conclave::wire
