// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an agent is told. Pure. Foreign text can never forge structure: every line of it is prefixed "| ", structure markers stand
/// only on unprefixed lines (docs/protocol.md 6). Stable parts come first, for prompt caches.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave::prompts {

enum class ladder : std::uint8_t { tools, schema, text };
std::string to_string(ladder x);

/// Returns `text` with every line (LF, CR, CRLF, VT, FF, NEL, U+2028, U+2029) prefixed "| ".
std::string fence(const std::string& text);

/// Returns what a model handed in or presents without what it copied of its prompt, trimmed: our structure markers and sentences,
/// the bars of quoted lines, the tokens of its chat template and turns it made up. Code and tables stay, and marks the user's own
/// words contain. Empty if nothing else is there.
std::string clean_answer(const std::string& text, const start_run& t);

/// [system, user] for a run. `budget_bytes` bounds what is shown of the answers: they are cut evenly with a marker; 0 = unbounded.
/// tools: asks to finish with new_answer or vote; tells the local time, so many s ahead of UTC. schema: the question of the text
/// request (the answer itself). text: fixed line format.
std::vector<message> coordination(const start_run& t, const std::string& system_message, ladder step, std::size_t budget_bytes,
                                  std::int32_t utc_offset_s = 0);

/// Step 2's first request: asks only for the decision. Short: local models pay for every prompt token.
std::vector<message> decision(const start_run& t, const std::string& system_message, std::size_t budget_bytes);

/// [system, user] for the final presentation: question, history, anonymous answers with the presenter's own marked, vote count and
/// reasons for the winner. Never a real id.
std::vector<message> presentation(const start_run& t, const std::string& system_message, std::size_t budget_bytes);

/// What an agent with a workspace at `place` is told of its files. Follows from the task and its configuration alone. Tools that
/// the configuration leaves out are not spoken of.
std::string workspace(const start_run& t, const backend_config& backend, const std::string& place);

/// Cuts `text` to about `most` bytes, between characters, and says so at its end.
void cut(std::string& text, std::size_t most);
/// As above, of a text that was `whole` bytes long before something was cut off its end.
void cut(std::string& text, std::size_t most, std::size_t whole);

/// The user message that asks to finish with one of the workflow tools.
std::string enforcement(bool may_answer, const std::vector<std::string>& ids);

/// The text of a ledger refusal for the model.
std::string refusal(const ruling& r);

} // namespace conclave::prompts
