// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A run's state as it is stored: versioned JSON, and its conversation apart from it, in pieces that are kept once. Pure.

#include "protocols/run_machine.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave::run {

/// 2 added holds, workspace and snapshot; 3 long results; 4 files of a verdict. What those before wrote had none, so it reads as it
/// is.
inline constexpr int state_version = 4;
inline constexpr std::size_t max_body = std::size_t{16} << 20; ///< bytes of one body

inline constexpr std::size_t max_partial = std::size_t{32} << 10; ///< bytes that are kept of a text that broke off

/// Names the bytes (SHA-256, 64 hex digits) and keeps them.
using keeper = std::function<std::string(std::string bytes)>;
/// Returns the bytes of a name, or nullptr.
using finder = std::function<const std::string*(const std::string& sha)>;

/// Returns the state as JSON without its conversation and without what the log has (question, history, texts of answers). Small:
/// members that have their default are left out.
std::string to_json(const state& s);

/// Reads what to_json of any version wrote. Returns false and says why on a newer version or anything else.
bool from_json(const std::string& text, state& out, std::string& error);

/// Returns the first member in which two states differ as they are stored, in a sentence for people; empty if none does. `but`:
/// members that are not compared; "task.fence" is one within another.
std::string difference(const state& stored, const state& made, const std::vector<std::string>& but);

/// Keeps a message: what is quoted in it (runs of "| " lines of 1 KiB and more) as pieces of their own, so that an answer shown to
/// many is stored once. Returns the name of the whole.
std::string keep_message(const message& m, const keeper& keep);
bool find_message(const std::string& sha, const finder& find, message& out, std::string& error);

std::string keep_completion(const completion& c, const keeper& keep);
bool find_completion(const std::string& sha, const finder& find, completion& out, std::string& error);

std::string keep_result(const tool_result& r, const keeper& keep);
bool find_result(const std::string& sha, const finder& find, tool_result& out, std::string& error);

/// Keeps the bytes of a file, as base64: in the same pieces as in the messages that show it. Returns the name of the whole.
std::string keep_file(const std::string& data, const keeper& keep);
bool find_file(const std::string& sha, const finder& find, std::string& data, std::string& error);

/// Returns the names of the pieces that a message, completion or result, as it was kept, is made of.
std::vector<std::string> pieces_in(const std::string& body);

} // namespace conclave::run
