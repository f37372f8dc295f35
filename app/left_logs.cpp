// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/left_logs.hpp"

#include "app/task_files.hpp"
#include "app/task_lookup.hpp"
#include "protocols/wire/json.hpp"
#include "transports/process_owner.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/file.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr std::size_t newest = 8; ///< of which a start looks; older ones are for `show` and `resume`

/// status.json is the last of the files, written in one step. Its texts are quoted, so none of them looks like this.
bool has_last_status(const std::string& dir) {
  std::ifstream in(dir + "/status.json", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  return text.find("\"is_complete\": true") != std::string::npos;
}

} // namespace

std::string mend_left_logs(const std::string& home, const task_row& row, event_store& store) {
  if (row.outcome.empty() || row.live || !is_task_id(row.task))
    return {};
  auto dir = home + "/logs/" + row.task;
  auto fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return {};
  std::string error;
  // Its owner may be at it still; and of two who mend at once one would write what the other has written.
  if (!has_last_status(dir) && is_gone(row.owner) && ::flock(fd, LOCK_EX | LOCK_NB) == 0 && !has_last_status(dir)) {
    auto log = store.read(row.task, 0, error);
    if (log.empty()) {
      ::close(fd);
      return error;
    }
    task_files files(dir, row.task);
    for (auto& stored : log)
      if (event e; wire::from_json(stored.json, e))
        files.on(e);
    files.finish();
    if (error.empty())
      error = files.error();
    std::string unread;
    if (store.read(row.task, log.back().seq - 1, unread).empty() && unread.empty()) { // somebody deleted it meanwhile
      std::error_code left;
      std::filesystem::remove_all(dir, left);
    }
  }
  ::close(fd);
  return error.empty() ? error : "the log files of task " + row.task + " lack its end, and cannot be brought up to date: " + error;
}

void mend_left_logs(const std::string& home, const std::vector<task_row>& rows, event_store& store) {
  for (std::size_t i = 0; i < std::min(rows.size(), newest); ++i)
    mend_left_logs(home, rows[i], store);
}

} // namespace conclave
