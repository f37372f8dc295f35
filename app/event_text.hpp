// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What happened, in words for people: the display's lines. An agent has one name for people, its id; the anonymous ones models see
/// are said once, at the start. Everything is cleaned for terminals; nothing is laid out. Pure.

#include "app/task_view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave {

constexpr std::size_t longest_name = 24;    ///< columns an agent's name may take
constexpr std::size_t longest_error = 1000; ///< columns of a cause; more is cut in the middle

/// Returns "writer, critic", every name cleaned; `nothing` for an empty list.
std::string names_text(const std::vector<std::string>& names, const char* nothing);

/// Returns ": reason", empty for an empty one. `width`: of a model's reason, which is cut at its end; 0: of a cause, see
/// `longest_error`.
std::string because(const std::string& reason, std::size_t width = 0);

/// Returns the line an event gets, empty for one that gets none. `v` has taken the event already. `said`: what of the reason stands
/// above already, put in place of it.
std::string event_text(const event& e, const task_view& v, std::string_view said = {});

/// The same for events that are shown only when everything is.
std::string event_detail(const event& e, const task_view& v);

/// Returns whose answers these labels name: "all 3 answers" for the newest of everybody, else "writer's answer, critic's answer 2".
std::string answers_text(const std::vector<std::string>& labels, const task_view& v);

/// Returns a line for several agents: "start", "are out", "fail" instead of "starts", "is out", "fails"; it may begin with a blank.
std::string plural(std::string text);

/// Returns who a line of several agents is about: "all 3 agents", "writer, critic".
std::string who_text(const std::vector<std::string>& agents, const task_view& v);

} // namespace conclave
