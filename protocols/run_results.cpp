// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/run_results.hpp"

#include "protocols/run_mover.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <charconv>

namespace conclave::run {

namespace {

constexpr std::size_t max_kept = std::size_t{64} << 20; ///< bytes of all long results of a run that can be read on
constexpr std::size_t room_for_note = 200;              ///< characters

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

/// The byte at which character `n` begins, the end if there are fewer.
std::size_t byte_of(std::string_view text, std::size_t n) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!continues_character(text[i]) && seen++ == n)
      return i;
  return text.size();
}

std::string_view slice(std::string_view text, std::size_t from, std::size_t count) {
  text.remove_prefix(byte_of(text, from));
  return text.substr(0, byte_of(text, count));
}

/// A whole number that a model may have written as text; `otherwise` if it is not there. False if it is something else.
bool number_at(const std::string& arguments, const char* key, std::size_t otherwise, std::size_t& out) {
  std::string text;
  out = otherwise;
  if (!wire::get(arguments, key, text) || text.empty())
    return true;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && (end == text.data() + text.size() || *end == '.');
}

std::size_t shown_at_once(const setting& with) {
  return static_cast<std::size_t>(std::max<std::int64_t>(with.agent.backend.max_tool_result_chars, 1'000));
}

} // namespace

offered_tool read_result_tool() {
  offered_tool out;
  out.spec = {read_result_name, "Reads on in a long tool result of which only the beginning and the end were shown.",
              R"({"type":"object","properties":{"id":{"type":"string","description":"as the shortened result names it"},)"
              R"("offset":{"type":"integer","description":"first character, from 0"},)"
              R"("limit":{"type":"integer","description":"characters at most"}},"required":["id"]})"};
  out.source = built_in;
  out.read_only = out.idempotent = true;
  return out;
}

tool_result excerpt(const tool_result& whole, std::size_t most, const std::string& id) {
  if (whole.text.size() <= most)
    return whole;
  auto all = characters(whole.text);
  if (all <= most)
    return whole;
  auto shown = most > 2 * room_for_note ? most - room_for_note : most / 2;
  auto head = shown * 2 / 3, tail = shown - head;
  tool_result out{whole.id, std::string(slice(whole.text, 0, head)), whole.is_error, {}};
  out.text += "\n[... " + std::to_string(all - shown) + " of " + std::to_string(all) + " characters are left out here; read them: "
              + read_result_name + " {\"id\":\"" + id + "\",\"offset\":" + std::to_string(head) + "} ...]\n";
  out.text += slice(whole.text, all - tail, tail);
  auto no_text = [](const content_part& p) { return !p.data.empty(); };
  if (std::any_of(whole.parts.begin(), whole.parts.end(), no_text)) {
    out.parts.push_back({content_kind::text, out.text, {}, {}, {}});
    std::copy_if(whole.parts.begin(), whole.parts.end(), std::back_inserter(out.parts), no_text);
  }
  return out;
}

tool_result read_result(const setting& with, const state& s, const tool_call& call) {
  auto error = [&](const std::string& what) { return tool_result{call.id, "Error: " + what, true}; };
  std::string id;
  if (!wire::get(call.arguments, "id", id) || id.empty())
    return error("read_result needs the id that a shortened result names.");
  auto known = std::find_if(s.long_results.begin(), s.long_results.end(), [&](auto& r) { return r.id == id; });
  if (known == s.long_results.end() || known->text.empty())
    return error("no result '" + shown_text(id) + "' is kept (any more): call its tool again.");
  std::size_t offset = 0, limit = 0;
  auto most = shown_at_once(with);
  if (!number_at(call.arguments, "offset", 0, offset) || !number_at(call.arguments, "limit", most, limit))
    return error("offset and limit are whole numbers, counted in characters from 0.");
  auto all = characters(known->text);
  if (offset >= all)
    return error("the result '" + id + "' has " + std::to_string(all) + " characters.");
  auto note = "[characters " + std::to_string(offset) + " to ";
  limit = std::clamp<std::size_t>(limit, 1, most - std::min<std::size_t>(most / 2, 100));
  auto end = std::min(all, offset + limit);
  note += std::to_string(end) + " of " + std::to_string(all) + "]\n";
  return {call.id, note + std::string(slice(known->text, offset, end - offset)), false};
}

/// Of a long result what the model is shown; the whole is kept, so that it can read on. The log has it, too.
void mover::shorten_result(pending_call& p) {
  auto most = shown_at_once(with);
  if (p.result.text.size() <= most || p.call.name == read_result_name)
    return;
  auto id = "r" + std::to_string(s.iterations) + "." + std::to_string(p.at + 1);
  auto shown = excerpt(p.result, most, id);
  if (shown.text == p.result.text)
    return;
  std::erase_if(s.long_results, [&](auto& r) { return r.id == id; }); // of before a crash
  s.long_results.push_back({id, p.number, std::move(p.result.text)});
  p.result = std::move(shown);
  std::size_t kept = 0;
  for (auto r = s.long_results.rbegin(); r != s.long_results.rend(); ++r)
    if (kept += r->text.size(); kept > max_kept) {
      s.long_results.erase(s.long_results.begin(), r.base()); // the oldest
      break;
    }
}

/// The long results of before a crash: the log has those of calls that were made.
void mover::find_long_results(const continued& x) {
  for (auto& r : s.long_results)
    if (auto* end = end_of(x, r.call))
      r.text = end->result.text;
  std::erase_if(s.long_results, [](auto& r) { return r.text.empty(); });
}

/// A conversation of more messages than are wanted loses its oldest rounds, each with its calls, its results and what was said of
/// them. What begins it stays, as does the newest round. Some more go at once: each time spoils the provider's cache of the prompt.
void mover::trim() {
  auto limit = with.agent.backend.max_mcp_message_history;
  if (limit <= 0 || s.talk.size() <= static_cast<std::size_t>(limit))
    return;
  auto most = static_cast<std::size_t>(limit);
  auto& talk = s.talk;
  auto task = std::find_if(talk.begin(), talk.end(), [](auto& m) { return m.from == role::user; });
  auto front = std::min(talk.size(), static_cast<std::size_t>(task - talk.begin()) + 1);
  auto cut = front;
  for (auto i = front + 1; i < talk.size() && talk.size() - (cut - front) > most - most / 4; ++i)
    if (talk[i].from == role::assistant && talk[i - 1].from != role::assistant) // a turn with pauses is one
      cut = i;
  if (cut == front)
    return;
  out.push_back(
      tell{"the " + std::to_string(cut - front) + " oldest messages of its run are not sent any more (max_mcp_message_history)"});
  talk.erase(talk.begin() + static_cast<std::ptrdiff_t>(front), talk.begin() + static_cast<std::ptrdiff_t>(cut));
  shortened(front);
}

} // namespace conclave::run
