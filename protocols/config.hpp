// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A run's configuration as plain data. Read from YAML by app/load_config; built by hand by an embedding
/// host. No secret is ever expanded here: `${NAME}` stays text in api_key, extra_headers, extra_query, model_path, server,
/// ca_bundle and in the arguments, variables, headers, folder and URL of tool servers until the node that uses it expands it. All
/// other texts mean what they are. Times in milliseconds, money in 10^-9 US dollars. What keys set the members:
/// protocols/config_tables.hpp.

#include "protocols/catalogue_models.hpp"
#include "protocols/chat.hpp"
#include "protocols/ledger.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace conclave {

/// One step of a scripted model: answers one model call.
struct script_step {
  std::string text;                ///< streamed text
  std::string reasoning;           ///< streamed before the text
  std::vector<tool_call> calls;    ///< tool calls (new_answer, vote, mcp__...)
  std::int64_t first_delay_ms = 0; ///< before the first chunk
  std::int64_t chunk_delay_ms = 0; ///< between chunks
  std::int32_t chunk_bytes = 0;    ///< text per chunk; 0 = the whole text in one
  ec error = ec::none;             ///< fails the call with this code after the text
  std::int64_t retry_after_ms = -1;
  bool truncated = false;
  bool hang = false;       ///< never ends by itself
  bool optional = false;   ///< may stay unused
  std::int32_t repeat = 1; ///< times this step is used
  bool operator==(const script_step&) const = default;
};

/// What a tool of a server does with paths in its arguments, where it does not say so or is not to be believed.
struct tool_policy {
  std::string tool;                         ///< as the server names it, or its public name
  std::string access;                       ///< read | write | none (its arguments are no paths); empty = by what the server says
  std::map<std::string, std::string> paths; ///< name of an argument, at any depth -> read | create | modify | delete | none
  bool operator==(const tool_policy&) const = default;
};

struct mcp_server_config {
  std::string name;
  std::string type;                 ///< stdio | streamable-http | http
  std::vector<std::string> command; ///< argv, stdio
  std::map<std::string, std::string> env;
  std::string cwd;
  std::string url;
  std::map<std::string, std::string> headers;
  std::int64_t timeout_ms = 400'000;
  std::int64_t startup_timeout_ms = 60'000; ///< to answer `initialize`, and as long again to list its tools
  bool has_allowed_tools = false;
  std::vector<std::string> allowed_tools;
  std::vector<std::string> exclude_tools;
  std::string security_level = "strict";
  std::vector<std::string> allowed_executables;
  std::string sandbox = "on"; ///< off: it runs unconfined though its agent has a workspace
  std::vector<tool_policy> tool_policies;
  bool operator==(const mcp_server_config&) const = default;
};

/// A file or folder of the user's that an agent may read.
struct context_path {
  std::string path;
  bool write = false; ///< the presenter may change a copy of it
  std::vector<std::string> protected_paths;
  bool git = false; ///< the top of a git repository, of which each agent gets a checkout: found out when the task begins
  bool operator==(const context_path&) const = default;
};

/// Where an agent keeps files and runs commands.
struct workspace_config {
  std::string cwd; ///< as written; empty = the agent has no workspace
  std::vector<context_path> context;
  bool write_from_start = false;
  bool commands = false; ///< it may run commands
  std::string command_mode = "sandbox";
  std::vector<std::string> allowed_commands, blocked_commands; ///< RE2, each matches a whole simple command
  std::map<std::string, std::string> command_env;              ///< `${NAME}` unexpanded
  bool read_before_delete = true;
  bool allow_secret_files = false;
  std::string sandbox = "required";
  std::string network = "none";
  std::vector<std::string> readable; ///< further folders that commands may read
  std::string write_mode = "auto";   ///< auto | worktree | isolated | legacy: what agents change instead of the user's folders
  std::string on_drift = "fail";     ///< fail | skip | prefer_presenter: what apply does where the user changed a file meanwhile
  bool operator==(const workspace_config&) const = default;
};

/// Whether a folder that is a git repository is to be changed in a checkout.
inline bool git_checkout_wanted(const workspace_config& w, const context_path& c) {
  return c.write && !w.cwd.empty() && (w.write_mode == "auto" || w.write_mode == "worktree");
}

/// How a model is reached. Keys that are not ours are in `params` and go to the provider.
struct backend_config {
  std::string type; ///< lower case: chatcompletion, claude, openai, local, scripted, ...
  std::string model;
  std::string base_url;        ///< empty = the type's default, or what the node's environment says
  std::string sent_to;         ///< where the bytes go instead; whose API it is stays as said above. Empty = not redirected
  bool key_goes_along = false; ///< the real key goes to `sent_to`, too, and not a placeholder
  std::string base_url_source; ///< where a variable in base_url came from, see source_lookup; empty = no variable
  std::string api_key;         ///< literal or ${NAME}; empty = by host binding
  std::string api_key_env;
  std::string provider;          ///< display name
  std::string decision = "auto"; ///< auto | tools | schema | text
  std::string params;            ///< JSON object
  std::string extra_body;        ///< JSON object, merged last
  std::map<std::string, std::string> extra_headers;
  std::map<std::string, std::string> extra_query;
  std::int64_t max_tokens = 0;
  std::int64_t timeout_ms = 600'000;
  std::int64_t first_token_timeout_ms = 300'000;
  std::int64_t idle_timeout_ms = 120'000;
  bool http2 = false;
  std::string ca_bundle;           ///< PEM file of the only authorities trusted; empty = the environment's, else the system's
  std::string api_version;         ///< where the API has several; empty = default
  std::string script_path;         ///< scripted: where the steps came from
  std::vector<script_step> script; ///< scripted
  std::string model_path;          ///< local: GGUF file; empty = the installed one
  std::string server;              ///< local: auto | llama-server | xllamacpp | path of a binary
  std::int32_t context_tokens = 0; ///< local: per slot; 0 = 8192. Elsewhere: the model's window, 0 = unknown
  std::vector<mcp_server_config> mcp_servers;
  bool has_allowed_tools = false;
  std::vector<std::string> allowed_tools;
  std::vector<std::string> exclude_tools;
  std::int32_t max_tool_iterations = 50;
  std::int64_t max_run_bytes = 33'554'432; ///< of one run's conversation
  bool parallel_tool_calls = true;
  std::int64_t tool_timeout_ms = 400'000;
  std::vector<std::string> native_tools;                         ///< names of C++ tool sources registered by the host or built in
  std::vector<std::pair<std::string, std::string>> upload_files; ///< image_path or file_path, and a path, https or data URL
  std::int32_t media_max_file_size_mb = 64;                      ///< MiB of one of them
  std::int32_t max_concurrent_tools = 8;                         ///< of one reply
  bool concurrent_tool_execution = false;                        ///< calls keep their order only towards the same source
  std::int64_t max_tool_result_chars = 15'000;                   ///< that a model is shown of one result at once
  std::int32_t max_mcp_message_history = 200;                    ///< messages of a run; 0 and less = any number
  std::map<std::string, std::string> hosted_tools; ///< the provider's own that are asked for (web_search, code_execution,
                                                   ///< url_context) -> options as JSON, "{}" for none
  std::int64_t rpm = 0, tpm = 0, rpd = 0; ///< requests and tokens per minute, requests per day, of the key; 0 = not limited here
  bool breaker_enabled = true;
  std::int32_t breaker_max_failures = 5;
  std::int64_t breaker_reset_ms = 60'000;
  std::int32_t breaker_multiplier = 2'000; ///< in thousandths
  std::int64_t breaker_max_backoff_ms = 300'000;
  std::int64_t retry_after_threshold_ms = 120'000; ///< a server that asks for a longer wait is out until then
  workspace_config workspace;                      ///< of the agent's own backend
  bool operator==(const backend_config&) const = default;
};

/// Whether the server is a program in the sandbox of its agent's workspace.
inline bool runs_confined(const mcp_server_config& s, const workspace_config& w) {
  return !w.cwd.empty() && s.type == "stdio" && s.sandbox != "off";
}

/// Whether anything of an agent's runs in a sandbox.
inline bool needs_sandbox(const backend_config& b) {
  return (!b.workspace.cwd.empty() && b.workspace.commands)
         || std::any_of(b.mcp_servers.begin(), b.mcp_servers.end(), [&](auto& s) { return runs_confined(s, b.workspace); });
}

struct agent_config {
  std::string id;
  std::string system_message;
  std::string node; ///< key of cluster.nodes; empty = the engine's own process
  backend_config backend;
  conclave::budget budget = {};              ///< its own, beside that of the task
  std::vector<backend_config> failover = {}; ///< asked one after the other once the one before is out
  bool operator==(const agent_config&) const = default;
};

/// Returns the backend with this number: 0 is the agent's own, n the n-th of its failover list, the last one if there are fewer.
template <class Agent>
auto& backend_at(Agent& a, std::size_t number) {
  return number == 0 || a.failover.empty() ? a.backend : a.failover[std::min(number, a.failover.size()) - 1];
}

/// Calls `f(backend, path within the agent)` for every backend of an agent.
template <class Agent, class F>
void each_backend(Agent& a, F&& f) {
  f(a.backend, std::string{"backend"});
  for (std::size_t i = 0; i < a.failover.size(); ++i)
    f(a.failover[i], "failover[" + std::to_string(i) + "]");
}

struct tls_config {
  std::string cert, key, ca; ///< PEM paths; all empty = the per-user CA
  bool insecure_loopback = false;
  bool operator==(const tls_config&) const = default;
};

struct cluster_config {
  std::vector<std::pair<std::string, std::string>> nodes; ///< name -> host:port, in file order
  tls_config tls;
  bool operator==(const cluster_config&) const = default;
};

struct ui_config {
  std::string display_type;
  bool operator==(const ui_config&) const = default;
};

enum class severity : std::uint8_t {
  warning,
  error,
  unavailable
}; ///< unavailable: recognised, but running needs what is not built yet

/// One thing wrong with a configuration.
struct problem {
  conclave::severity severity = severity::error;
  std::string file;
  int line = 0;            ///< 1-based, 0 = unknown
  std::string path;        ///< YAML path: agents[1].backend.type
  std::string text;        ///< what is wrong and what to do
  bool stops_here = false; ///< a warning of `validate`: this machine would refuse to run it
  int column = 0;          ///< 1-based, in bytes, 0 = unknown
  bool operator==(const problem&) const = default;
};

/// Where the user wrote a field, and what it is called there: a key of a file by its path, an option of a command line by its name.
struct place {
  std::string file; ///< empty = no file
  std::string path;
  int line = 0;   ///< 1-based, 0 = unknown
  int column = 0; ///< 1-based, in bytes, 0 = unknown
  bool operator==(const place&) const = default;
};

/// By the path that validate() gives a field: agents[0].backend.type.
using place_map = std::map<std::string, place>;

struct run_config {
  std::string source; ///< file it came from, empty = built by hand
  std::vector<agent_config> agents;
  ledger::rules rules;
  std::string on_unknown = "tell"; ///< of a tool call that was cut off and may have happened: tell | ask | fail | repeat
  cluster_config cluster;
  ui_config ui;
  std::vector<model_row> models; ///< the user's rows, before those of the catalogue (docs/configuration.md)
  std::vector<problem> notes;    ///< warnings and "not available yet" found while loading
  place_map places;              ///< for messages; a field that is not here is named by its path
  bool operator==(const run_config&) const = default;
};

} // namespace conclave
