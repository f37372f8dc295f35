// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/reply_decoder.hpp"
#include "protocols/wire/sources.hpp"

// What a reply says: texts, thoughts and arguments, to those who watch and to the completion.

namespace conclave::wire {

namespace {

constexpr std::size_t max_told = 32; ///< lines about what the provider did on its own, of one reply

} // namespace

void reply_decoder::tell(const std::string& text, std::vector<chunk>& out) {
  if (told_.size() >= max_told)
    return;
  auto line = brief(text, 300, secrets_);
  if (told_.insert(line).second)
    out.push_back({chunk_kind::status, std::move(line)});
}

void reply_decoder::tell_source(const std::string& title, const std::string& address, std::vector<chunk>& out) {
  if (!title.empty() || !address.empty())
    tell("source: " + source_text(title, address), out);
}

void reply_decoder::advance(bool semantic) {
  semantic_ = semantic_ || semantic;
  resumed_ = resumed_ || stopped_;
  ++progress_;
}

void reply_decoder::say(std::string text, std::vector<chunk>& out) {
  if (text.empty() || !grow(text.size()))
    return;
  advance(true);
  if (marked_ || text_halves_.pending())
    text_halves_.feed(text);
  if (thinking_.passes()) {
    result_.text += text;
    if (!text.empty())
      out.push_back({chunk_kind::text, std::move(text)});
    return;
  }
  thinking_filter::parts parts;
  thinking_.feed(text, parts);
  emit(std::move(parts), out);
}

void reply_decoder::think(std::string text, std::vector<chunk>& out) {
  if (text.empty() || !grow(text.size()))
    return;
  advance(true);
  if (marked_ || thought_halves_.pending())
    thought_halves_.feed(text);
  emit({std::move(text), {}}, out);
}

void reply_decoder::emit(thinking_filter::parts parts, std::vector<chunk>& out) {
  if (!parts.reasoning.empty()) {
    result_.reasoning += parts.reasoning;
    out.push_back({chunk_kind::reasoning, std::move(parts.reasoning)});
  }
  if (!parts.text.empty()) {
    result_.text += parts.text;
    out.push_back({chunk_kind::text, std::move(parts.text)});
  }
}

void reply_decoder::flush() {
  thinking_filter::parts rest;
  std::string half;
  thought_halves_.finish(result_.reasoning);
  text_halves_.finish(half);
  thinking_.feed(half, rest);
  thinking_.finish(rest);
  result_.reasoning += rest.reasoning;
  result_.text += rest.text;
  move_untagged(result_.text, result_.reasoning);
}

void reply_decoder::say_parts(const json& parts, bool thinking, std::vector<chunk>& out) {
  if (parts.is_string())
    return thinking ? think(parts.get<std::string>(), out) : say(parts.get<std::string>(), out);
  if (parts.is_array()) {
    for (auto& p : parts)
      say_parts(p, thinking, out);
    return;
  }
  if (!parts.is_object())
    return;
  auto type = string_at(parts, "type");
  if (auto* refused = member(parts, "refusal"); refused != nullptr && refused->is_string()) {
    if (auto text = refused->get<std::string>(); grow(text.size()))
      refusal_ += text;
    return;
  }
  auto* thought = member(parts, "thought"); // Gemini's mark on a part
  thinking = thinking || type.find("think") != std::string::npos || type.find("reason") != std::string::npos
             || (thought != nullptr && *thought == true);
  for (auto* key : {"text", "value", "content", "parts"})
    if (auto* inner = member(parts, key); inner != nullptr && !inner->is_null())
      return say_parts(*inner, thinking, out);
  for (auto* key : {"thinking", "reasoning", "summary"})
    if (auto* inner = member(parts, key); inner != nullptr && !inner->is_null())
      return say_parts(*inner, true, out);
  if (!thinking && !said_part_) {
    said_part_ = true;
    out.push_back({chunk_kind::status, "a part of the reply is no text and is left out: " + brief(type, 60, secrets_)});
  }
}

void reply_decoder::write(call_stream& call, std::string piece, std::vector<chunk>& out) {
  if (!grow(piece.size()))
    return;
  if (!piece.empty())
    advance(true);
  if (marked_ || call.halves.pending())
    call.halves.feed(piece);
  call.arguments += piece;
  if (!call.is_answer)
    return;
  auto text = call.answer.feed(piece);
  std::string{}.swap(piece); // with its memory: a long one is still to be held twice
  if (text.empty())
    return;
  thinking_filter::parts parts;
  call.thinking.feed(text, parts);
  std::string{}.swap(text);
  written_ += parts.text;
  if (!parts.text.empty())
    out.push_back({chunk_kind::text, std::move(parts.text)});
  emit({std::move(parts.reasoning), {}}, out);
}

} // namespace conclave::wire
