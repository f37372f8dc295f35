// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The lines between the engine and the launcher of a sandbox (transports/sandbox_launcher): a word, and fields "name=value" with
/// one blank in front of each. In a value a backslash stands before what would end it: \s blank, \n LF, \0 NUL, \\ itself; all
/// other bytes are as they are. A name may stand more than once.
///
/// To the launcher:
///   profile  tier= network= cwd= tmp= home= readable=* writable=* shared=* protected=* hidden=* env=*  filter= (BPF), and limits
///   run      id= cwd= command= timeout_ms= background=0|1
///   kill     id=
///   read     id=                what a background command wrote since the last time
///
/// To one that runs a tool server (`conclave-sandbox exec`): 8 digits, the length of what follows, and a profile with `command=`
/// and `cwd=`. All behind it, and all that comes from it, is the server's.
/// From it:
///   ready    how=*              what it confines with; once, after the profile
///   failed   why=               the profile cannot be had; it ends
///   ended    id= reason= status= ms= out= out_cut= err= err_cut=       reason: exit timeout killed memory processes disk
///                                                                      failed (why=)
///   output   id= running=0|1 and as above; or error=
///
/// Standard C++ alone: the launcher is linked with nothing else. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave {

class sandbox_line {
public:
  sandbox_line() = default;
  explicit sandbox_line(std::string w) : word(std::move(w)) {}

  std::string word;
  std::vector<std::pair<std::string, std::string>> fields;

  sandbox_line& add(std::string name, std::string value) {
    fields.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  sandbox_line& add(std::string name, std::int64_t value) { return add(std::move(name), std::to_string(value)); }

  /// The first of this name; empty if there is none.
  const std::string& get(std::string_view name) const;
  /// The same; it is empty from then on.
  std::string take(std::string_view name);
  /// As a number; `otherwise` if it is none.
  std::int64_t number(std::string_view name, std::int64_t otherwise = 0) const;
  std::vector<std::string> all(std::string_view name) const;

  /// With the LF at its end.
  std::string text() const;

  /// Reads a line without its LF. Returns false on anything that text() does not write.
  static bool read(std::string_view text, sandbox_line& out);
};

} // namespace conclave
