// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Answer and vote as a model gives them: tools (step 1 of the decision ladder), a schema (step 2), plain text (step 3). Pure.

#include "protocols/coordination.hpp"

#include <string>
#include <vector>

namespace conclave::wire {

/// What a run may hand in.
struct choice {
  bool may_answer = true;
  std::vector<std::string> ids; ///< votable shown ids; empty = no vote
};

/// The workflow tools for this choice: new_answer{content}, vote{agent_id enum ids, reason}.
std::vector<tool_spec> workflow_tools(const choice& c);

bool is_workflow_tool(const std::string& name);

/// The shape of a reply, judged. Exactly one of: `ok` with a verdict; corrections.
struct judgement {
  bool ok = false;
  verdict handed_in;                ///< kind, text, target, reason, step
  std::vector<tool_result> results; ///< one per workflow or unknown call id that needs an error result before the next call
  std::string correction;           ///< user message, when there was no call to answer
  std::vector<tool_result> ignored; ///< with ok: results recorded for other calls (a second new_answer, unknown tools)
};

/// Judges a completion whose MCP and native tool calls (`known_tools`) were already carried out. Rules:
/// docs/protocol.md 3.2; whether an id can be voted for is the ledger's to say.
judgement judge(const completion& c, const choice& may, const std::vector<std::string>& known_tools);

/// Step 2: the JSON Schema of the decision, {"action": enum, "agent_id": enum}; action first, no free text.
std::string decision_schema(const choice& c);

enum class decision_kind { answer, vote, unclear };
struct decided {
  decision_kind kind = decision_kind::unclear;
  std::string target;
};

/// Reads a schema reply. Tolerant: JSON inside other text is found by string-aware brace matching; last valid object wins.
decided read_decision(const std::string& text, const choice& c);

/// Step 3: reads "VOTE: agentN" where it is the whole reply, or its last line and nothing marks that as quoted; else the text is an
/// answer, whatever votes it speaks of.
decided read_text(const std::string& text, const choice& c);

} // namespace conclave::wire
