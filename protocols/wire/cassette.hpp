// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A recorded run as a file: JSON lines, each with the beginning of a hash over all before it (docs/cassettes.md). Pure.

#include "protocols/chat.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

inline constexpr int cassette_version = 1;
inline constexpr std::size_t max_cassette_line = std::size_t{32} << 20; ///< a line of a tool server may have 16 MiB
inline constexpr std::size_t max_cassette = std::size_t{1} << 30;

/// What an entry says. Those behind `cancel` are questions of the engine, the others came in from outside.
enum class tape_kind : std::uint8_t {
  head,           ///< of transfer `id`: status `number`, `other` redirects, came at Unix time `more` s; `pairs` = headers
  data,           ///< of transfer `id`: `text`
  done,           ///< of transfer `id`: code `note`, error `text`, status `number`, `other` redirects, `ok` = it was sent
  lines,          ///< of child `id`: `texts`
  silence,        ///< of child `id`: it closed its output
  deaf,           ///< of child `id`: it closed its input with something unread
  child_exit,     ///< of child `id`: `ok` = it had started, status `number`, error `text`
  stored,         ///< append `id` is durable, or failed: code `note`, error `text`
  job_done,       ///< of job `id`: result `text`, `ok` = it did not throw
  model_progress, ///< of local model `id`: `text`
  model_ready,    ///< of local model `id`: address `text`, key `note`, slots `number`
  model_failed,   ///< of local model `id`: code `note`, error `text`
  cancel,         ///< the host ends the task: reason `text`
  request, ///< transfer `id` begins: method, URL and agent `note`, header names `texts`, body of `number` bytes with SHA-256 `text`
  abandon, ///< transfer `id` is cancelled
  child,   ///< child `id` is started: program and arguments `texts`, folder `note`; `ok` = there was a thread for it
  write,   ///< to child `id`: `number` bytes with SHA-256 `text`, which begin with `note`; `ok` = they were taken
  close_child, ///< child `id` is closed, or killed (`number` 1)
  last_words,  ///< of child `id`: `text`
  append,      ///< append `id`: `number` events from seq `other` on, with SHA-256 `text` of them and their bodies
  job,         ///< job `id` of lane `note` is begun; `ok` = there was a thread for it
  model,       ///< local model `id`: file `note`
  trust,       ///< certificate authorities are read: `ok` = there are some, error `text`
  end,         ///< the task has ended; its log has the SHA-256 `text`, the file `number` lines
};

struct tape_entry {
  tape_kind kind = tape_kind::end;
  std::int64_t at_ns = -1; ///< since the start, of what came in and of the end
  std::uint64_t id = 0;
  std::string text, note;
  std::int64_t number = 0, other = 0, more = 0;
  bool ok = false;
  std::vector<std::string> texts;
  key_values pairs;
  std::size_t line = 0; ///< of the file
  bool operator==(const tape_entry&) const = default;
};

bool is_input(tape_kind kind);

struct tape_variable {
  std::string value, source;
  bool operator==(const tape_variable&) const = default;
};

struct tape_head {
  std::string build;
  std::string task;
  std::int64_t start_unix_ms = 0;
  std::int32_t utc_offset_s = 0;
  std::uint64_t seed = 0;                         ///< what all random numbers derive from
  std::string log_folder;                         ///< named in texts about tool servers
  std::string home;                               ///< of the user: paths below any home are the same
  std::string opening;                            ///< to_json(opening), with stand-ins
  std::string question;                           ///< likewise
  std::vector<std::string> known;                 ///< what tools' results must not show, likewise
  std::map<std::string, tape_variable> variables; ///< those that were asked for and are set
  bool without_hashes = false; ///< the log is compared without its hashes: some are of texts that have a stand-in here
  bool operator==(const tape_head&) const = default;
};

struct cassette {
  tape_head head;
  std::vector<tape_entry> entries; ///< the last one is the end
};

/// Writes a file line by line. `add` returns false if the line is longer than a line may be.
class cassette_writer {
public:
  bool add(const tape_head& h, std::string& to);
  bool add(const tape_entry& e, std::string& to);
  std::size_t lines() const { return lines_; }

private:
  bool finish(std::string body, std::string& to);
  std::string chain_;
  std::size_t lines_ = 0;
};

/// Reads a file. Returns what is wrong with it, beginning with the line, or empty. Anything may stand in the file.
std::string read_cassette(std::string_view bytes, cassette& out);

/// Returns what an entry is, for people: "POST https://api.x/v1/chat/completions (call 7)".
std::string shown_entry(const tape_entry& e);

} // namespace conclave::wire
