// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The Model Context Protocol as JSON-RPC texts: what we send, and what a server's messages mean. Pure.
/// Source: https://modelcontextprotocol.io/specification/2025-11-25, read 2026-11-24.

#include "protocols/internal.hpp"
#include "protocols/secrets.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire::mcp {

inline constexpr const char* latest = "2025-11-25";

std::string initialize(std::uint64_t id);
std::string initialized();
std::string list_tools(std::uint64_t id, const std::string& cursor);
/// `arguments` is a JSON object text. Progress is asked for under the request's own number.
std::string call_tool(std::uint64_t id, const std::string& name, const std::string& arguments);
std::string cancelled(std::uint64_t id, const std::string& reason);
std::string result(const std::string& id_json); ///< an empty result (ping)
std::string method_not_found(const std::string& id_json);

enum class kind : std::uint8_t { invalid, response, error, request, notification };

/// The notification that tells how far a call is: `id` and `message` are set.
inline constexpr const char* progress_method = "notifications/progress";

/// Whether a reply to a request of ours is in what cannot be read: nobody should wait for it then.
enum class lost_reply : std::uint8_t { no, perhaps, certain };

/// A message from the server. Texts are JSON.
struct incoming {
  mcp::kind kind = mcp::kind::invalid;
  std::uint64_t id = 0;  ///< response, error, progress: ours, 0 = none of ours; invalid: as far as it can be told
  bool nameless = false; ///< response, error: there is no id, or null
  std::string id_json;   ///< request: to be sent back as it is
  std::string method;
  std::string payload;              ///< response: the result
  std::int64_t code = 0;            ///< error
  std::string message;              ///< error; progress: one clean line; invalid: what is wrong with it and how it begins
  lost_reply lost = lost_reply::no; ///< invalid only
};

/// Reads one message. What is nearly JSON (invalid UTF-8, NaN, raw control characters, half surrogate pairs) is mended; ids of ours
/// may come back as text or as 3.0; an empty `error` beside a result, or an empty result beside an error, says nothing. The
/// sentence of an error comes without `hidden`. What is longer than 4 MiB is not mended, and more than 1 MiB may hold 300,000
/// values.
incoming read(std::string_view text, const secrets& hidden = {});

/// Reads what a line of the server's output holds: a message, a batch of them, several side by side, or one behind a banner that
/// was not ended by a line feed. Empty for a blank line; one `invalid` for a line without any message.
std::vector<incoming> read_line(std::string_view line, const secrets& hidden = {});

/// Returns whether the server's answer to initialize names a version we speak; `version` is what it named.
bool read_initialized(const std::string& payload, std::string& version);

struct tool_page {
  std::vector<listed_tool> tools; ///< under the server's own names
  std::string next;               ///< cursor of the next page, empty = last
  bool valid = false;
  std::size_t nameless = 0; ///< entries without a name, left out
};
tool_page read_tools(const std::string& payload);

/// A tools/call result: its content as typed parts, structuredContent as the last of them; the text of a result is what shown_parts
/// say. Parts are left out where all of them are text. Content may be a list, one item, or plain text; a result of another shape is
/// given as text as it is. Data that is no base64, or is more than max_result_data together with what came before it, is left out,
/// and the text says so. The text is not cut: that is for `admit`, after the secrets are out.
tool_result read_result(const std::string& payload);

/// Checks arguments: an object, nested 64 deep, 100 members each, 1000 items each, 1 MiB (16 MiB for tools that write files).
/// Returns an empty string or what is wrong.
std::string check_arguments(const std::string& arguments, bool writes_files);

/// "mcp__<server>__<tool>": only letters, digits, _ and -, at most 64 characters. ASCII that is not allowed becomes _; a name that
/// loses more than that (other characters, length), or one that `marked` asks to tell apart, ends in a hash of the whole name.
/// Empty for an empty name.
std::string public_name(const std::string& server, const std::string& tool, bool marked = false);

} // namespace conclave::wire::mcp
