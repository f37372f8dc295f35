// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Finds or starts a local inference server (llama.cpp's) on a free loopback port, waits for health, guards it with a random key,
/// stops it with its last user. One server per (model file, program, context) and HTTP client, that is per engine; a kill -9 of
/// this process leaves no orphan.
///
/// Thread rule: any thread; callbacks run on transport threads (on the caller's, within acquire, only where the system gives no
/// thread) and must only post a message.

#include "protocols/error.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace conclave {

class http_transfers;

struct local_model_options {
  std::string model_path;             ///< empty = the model quickstart installed
  std::string server;                 ///< auto | llama-server | xllamacpp | path
  std::int32_t context_tokens = 8192; ///< per slot
  std::int32_t slots = 1;
  std::string log_path; ///< the server's output
};

struct local_endpoint {
  std::string base_url; ///< http://127.0.0.1:PORT/v1
  std::string api_key;
  std::int32_t slots = 1;
};

/// A counted use of one server; the last one gone stops it.
class local_model {
public:
  struct callbacks {
    std::function<void(std::string)> on_progress;   ///< "loading SmolLM2-135M-Instruct.Q4_1.gguf ..."
    std::function<void(local_endpoint)> on_ready;   ///< at most once
    std::function<void(ec, std::string)> on_failed; ///< could not start, or died later; says what to do
  };
  /// Returns at once, before any file is looked at; on_ready or on_failed follows within 120 s.
  static std::shared_ptr<local_model> acquire(local_model_options options, std::shared_ptr<http_transfers> http, callbacks cb);
  virtual ~local_model() = default;
};

/// Where quickstart puts server and model: $CONCLAVE_HOME/local (see docs/local-model.md). Made by nobody here; empty if no home is
/// known.
std::string local_model_dir();

/// Returns what is wrong with a model file, or empty, in words of the keys of a configuration. `installed`: nobody named it.
std::string model_fault(const std::string& path, bool installed);

/// How a server is started: a program, or our script.
struct local_program {
  std::string binary, python, script;
  std::string error;          ///< nothing can be started: what to do, in words of the keys of a configuration
  bool by_quickstart = false; ///< scripts/quickstart would bring it
};

/// Looks for the server that `server` (as in local_model_options, not empty) names; `path`: folders of programs, null = ours.
local_program find_local_program(const std::string& server, const char* path);

} // namespace conclave
