// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The command line as data. Pure but for reading nothing at all: no file, no environment, no terminal is looked at here.
///
///   conclave [options] [QUESTION]      conclave validate|keys|backends|models|show|list|rm|prune|resume|cancel|replay|
///   diff|apply|undo|paths|sandbox|node ...
///
/// A subcommand is chosen only by an exact first word: `conclave "validate this"` and `conclave -- list` are questions. A lone word
/// that is nearly one, or a command elsewhere ("version"), is refused: nobody pays for a slip.

#include "app/node_command.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// The exit codes of every command; docs/cli.md says when.
enum class exit_code : int { answered = 0, usage = 1, failed = 2, timed_out = 3, interrupted = 4 };

struct run_options {
  std::string config;
  std::string model, backend, base_url, system_message;       ///< quick mode if model or backend is not empty
  std::vector<std::pair<std::string, std::string>> base_urls; ///< --base-url TYPE=URL: backend type -> URL
  bool send_keys = false;                                     ///< the keys go to `base_urls`, too
  std::string api_key_env;                                    ///< of the quick mode: the variable that holds its key
  bool has_question = false;
  std::string question;                                   ///< "-" = read standard input
  std::vector<std::pair<std::string, std::string>> nodes; ///< name -> host:port, in the order given
  bool insecure_loopback = false;                         ///< no TLS towards nodes on loopback addresses
  std::int64_t timeout_ms = 0;                            ///< 0 = as configured
  std::string output_file;
  std::string record;             ///< a new file: the run is recorded there; empty = it is not
  std::vector<std::string> files; ///< added to the question, in the order given; "-" = standard input
  bool loopback_files = false;    ///< a URL among them may lead to this machine
  bool no_stdin = false;          ///< standard input is left alone
  std::vector<std::string> paths; ///< DIR or DIR:w: folders that every agent may read, or change a copy of
  std::string apply = "ask";      ///< what the agents change of folders: ask | yes | no
  std::string output_dir;         ///< a new folder for the files of the answer; empty = none
  bool json = false, quiet = false, automation = false, verbose = false;
};

struct validate_options {
  std::vector<std::string> files;
  bool strict = false, here = false, json = false, explain = false;
};

struct keys_options {
  std::string word; ///< empty = every key
  bool markdown = false;
};

struct backends_options {
  bool json = false;
};

struct models_options {
  std::string backend; ///< type or provider; empty = every one
  bool json = false;
};

struct show_options {
  std::string task; ///< id, prefix of one, or "last"
  bool full = false, json = false;
  bool files = false; ///< the files of each answer, and nothing else
};

struct list_options {
  bool json = false;
};

struct remove_options {
  std::vector<std::string> tasks; ///< each as in show
};

struct prune_options {
  std::int64_t older_than_ms = 0;
};

struct resume_options {
  std::string task;       ///< as in show
  std::string on_unknown; ///< empty = as configured
  run_options output;     ///< where what is printed; its question and models are not used
};

struct cancel_options {
  std::string task; ///< as in show
};

struct replay_options {
  std::vector<std::string> tasks; ///< each as in show; to verify: one or more, or "all"; else exactly one, or a cassette
  double speed = 0;               ///< 0 = at once, 1 = as it went
  bool verify = false;
  std::string rules; ///< file with other rules: what would have won is told; empty = the run is shown
  bool json = false; ///< with other rules: one JSON object
};

struct diff_options {
  std::string task; ///< as in show
  bool names = false;
};

struct apply_options {
  std::string task;     ///< as in show
  std::string to;       ///< another folder; empty = where the changes belong
  std::string branch;   ///< a new branch takes them as a commit, and no file is written; empty = none
  std::string on_drift; ///< fail | skip | prefer_presenter; empty = as the task says
};

struct undo_options {
  std::string task; ///< as in show
};

struct paths_options {
  std::string config;
  std::vector<std::string> paths; ///< empty = what each agent may use
};

enum class command_name {
  run,
  validate,
  keys,
  backends,
  models,
  show,
  list,
  remove,
  prune,
  resume,
  cancel,
  replay,
  sandbox,
  diff,
  apply,
  undo,
  paths,
  node
};
struct sandbox_options {
  bool json = false;
};

struct command_line {
  command_name command = command_name::run;
  run_options run;
  validate_options validate;
  keys_options keys;
  backends_options backends;
  models_options models;
  show_options show;
  list_options list;
  remove_options remove;
  prune_options prune;
  resume_options resume;
  cancel_options cancel;
  replay_options replay;
  diff_options diff;
  apply_options apply;
  undo_options undo;
  paths_options paths;
  sandbox_options sandbox;
  node_options node;

  bool done = false; ///< nothing to run: print `out` and `err`, exit with `code` (--help, --version, a usage error)
  int code = 0;
  std::string out, err;
};

/// Reads the arguments; argv[0] is skipped. Never throws, never prints; usage errors have code 1.
command_line parse_command_line(int argc, const char* const* argv);

/// Reads a time as parse_seconds does, also 0 and up to 100 years ("30d"), into milliseconds; -1 if it is none.
std::int64_t parse_age(const std::string& text);

/// Reads a time ("90", "0.5" seconds, "10m", see protocols/time_text.hpp), positive and up to a year, into milliseconds (at least
/// 1); -1 if it is none.
std::int64_t parse_seconds(const std::string& text);

/// Splits "host:port" or "[v6]:port". Returns false with one sentence in `error`.
bool parse_host_port(const std::string& text, std::string& host, std::uint16_t& port, std::string& error);

} // namespace conclave
