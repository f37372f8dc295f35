// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to replay*.cpp: what a log holds against what this build makes of it, piece by piece, in sentences for people.

#include "protocols/run_state.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>

namespace conclave::ledger {

/// Bodies of a log, each hashed once, when it is first asked for: one whose bytes do not fit its name is none.
class checked_bodies {
public:
  /// `from` outlives this.
  explicit checked_bodies(const run::finder& from) : from_(from), find_([this](const std::string& sha) { return (*this)(sha); }) {}
  checked_bodies(const checked_bodies&) = delete;
  checked_bodies& operator=(const checked_bodies&) = delete;

  const run::finder& find() const { return find_; }
  /// What is wrong with the bodies that an event names and the pieces they are made of; empty if nothing.
  std::string missing(const event& e) const;

  /// Of the newest body asked for that held other bytes than its name says; empty if there was none.
  const std::string& misfit() const { return misfit_; }

private:
  const std::string* operator()(const std::string& sha) const;
  std::string fault(const std::string& sha) const;

  const run::finder& from_;
  run::finder find_;
  mutable std::map<std::string, bool> fits_;
  mutable std::set<std::string> looked_into_;
  mutable std::string misfit_;
};

/// Part of a text from about here on.
std::string quoted(const std::string& text, std::size_t from);

/// What differs between a stored message and one that this build makes, other than the time of day; empty if nothing.
std::string difference(const message& stored, message made);

/// The same of states at a model call or a refusal, or where calls of `tools` begin: what the order of their ends decides is not
/// compared then. Never compared is what comes from outside (workspaces) and what counts reports; what is kept of the conversation
/// shows in the prompt.
std::string difference(const run::state& stored, const run::state& made, bool tools);

/// Between the end of a call and the reply it names; without one nothing was used.
std::string difference(const event& ended, const completion* reply);

} // namespace conclave::ledger
