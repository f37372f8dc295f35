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

/// Where quickstart puts server and model: $CONCLAVE_HOME/local (see docs/local-model.md).
std::string local_model_dir();

} // namespace conclave
