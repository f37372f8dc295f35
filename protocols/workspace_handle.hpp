// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a tool written in C++ may do with the files of the agent that called it. No CAF type here.
///
///   tool.run_with_files = [](const std::string&, workspace_handle files) { return count_words(files.read("notes.txt")); };

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// Why a handle did not do it. What a tool lets through becomes an error result that the model reads.
class workspace_error : public std::runtime_error {
public:
  workspace_error(std::string code, const std::string& text)
      : std::runtime_error(code.empty() ? text : code + ": " + text), code_(std::move(code)) {}

  /// "E_OUTSIDE" and the like (docs/workspaces.md); empty = nothing was denied: the handle is void, or the disk failed.
  const std::string& code() const { return code_; }

private:
  std::string code_;
};

struct workspace_entry {
  std::string name;
  bool folder = false; ///< it is one
  bool file = false;   ///< a regular one; neither = a link, or something else
  std::uint64_t bytes = 0;
  bool operator==(const workspace_entry&) const = default;
};

/// What is behind a handle. Throws workspace_error. Any thread.
class workspace_access {
public:
  virtual ~workspace_access() = default;
  virtual std::string read(const std::string& path) = 0;
  virtual void write(const std::string& path, std::string bytes) = 0;
  virtual std::vector<workspace_entry> list(const std::string& path) = 0;
};

/// Paths are relative to the workspace, or absolute as the agent sees them. Each is judged as one that the agent itself gives its
/// file tools: nothing outside of its folders is touched, what is protected or secret is denied, and a file that was not read in
/// this run is not overwritten. Read or written whole; what is read counts as read by the agent.
///
/// A handle is void once the call that it was given for is over: with its result, at its deadline, or with its run. Its uses then
/// throw, and one under way ends. Copies share that. Thread rule: any thread; each use waits for the disk.
class workspace_handle {
public:
  static constexpr std::size_t max_bytes = std::size_t{16} << 20; ///< of one file

  workspace_handle() = default; ///< of an agent without a workspace: every use throws
  explicit workspace_handle(std::shared_ptr<workspace_access> behind) : behind_(std::move(behind)) {}

  /// Whether the agent has a workspace.
  explicit operator bool() const { return behind_ != nullptr; }

  /// Returns the bytes of a file.
  std::string read(const std::string& path) const { return behind().read(path); }

  /// Writes a file: others see what was there before, or all of it. Folders on the way are made.
  void write(const std::string& path, std::string bytes) const { behind().write(path, std::move(bytes)); }

  /// Returns what is in a folder, by name: 5,000 entries at most, beyond that it throws.
  std::vector<workspace_entry> list(const std::string& path = ".") const { return behind().list(path); }

private:
  workspace_access& behind() const {
    if (!behind_)
      throw workspace_error({}, "this agent has no workspace: give its backend `cwd`");
    return *behind_;
  }

  std::shared_ptr<workspace_access> behind_;
};

} // namespace conclave
