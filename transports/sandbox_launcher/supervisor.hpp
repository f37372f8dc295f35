// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include "transports/sandbox_launcher/cgroup.hpp"
#include "transports/sandbox_launcher/command.hpp"
#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/looker.hpp"

#include <memory>

namespace conclave::launcher {

constexpr std::size_t max_line = 4u << 20; ///< bytes

/// The launcher's loop: lines in, commands, lines out.
class supervisor {
public:
  /// Returns the exit code of the launcher.
  int run();

  /// Runs one tool server with the descriptors 0 to 2 of this process and returns its exit code. Its input begins with the profile
  /// (sandbox_lines.hpp); what follows is the server's.
  int run_one();

private:
  bool read_lines();
  void on_line(std::string_view text);
  std::string begin_walls();
  std::string await_walls(const order* sent);
  void tell_ready(const std::string& why);
  void on_profile(const sandbox_line& line);
  void on_run(const sandbox_line& line);
  void on_read(const sandbox_line& line);
  std::string start(order& o, command& c);
  void refuse(const std::string& id, const std::string& why);
  void end(command& c, const std::string& reason);
  void finish(command& c);
  look look_at(command& c, bool files) const;
  const char* over(command& c, const look& l) const;
  void on_looks();
  void watch();
  void step(int wait_ms);

  profile profile_;
  bool serves_ = false; ///< by lines; else one tool server
  bool ready_ = false, building_ = false;
  int holder_ = -1;
  cgroup group_;
  std::string unread_;
  std::vector<std::unique_ptr<command>> commands_;
  looker looker_;
  std::int64_t watched_ms_ = 0, files_ms_ = 0;
  bool over_ = false;
};

} // namespace conclave::launcher
