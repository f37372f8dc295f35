// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is said between an agent and a model, independent of any provider.
///
/// Plain data, no CAF header needed. JSON travels as text. Every struct can cross nodes.

#include "protocols/error.hpp"

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

using key_values = std::vector<std::pair<std::string, std::string>>;

enum class role : std::uint8_t { system, user, assistant, tool };

/// A tool offered to the model. `parameters` is a JSON Schema object as text.
struct tool_spec {
  std::string name;
  std::string description;
  std::string parameters;
  bool operator==(const tool_spec&) const = default;
};

/// A call the model asked for. `arguments` is the JSON text exactly as received (may be invalid); blank means `{}`.
struct tool_call {
  std::string id; ///< unique within one completion; synthesised if the provider sent none
  std::string name;
  std::string arguments;
  bool operator==(const tool_call&) const = default;
};

/// What a tool is said to do, by its server or by the program it is part of. Hints: a server that nobody trusts may say anything.
/// They decide what runs side by side (read_only), what is made again after a crash (read_only, idempotent) and how long a call may
/// take; never what is allowed.
struct tool_annotations {
  bool read_only = false;
  bool idempotent = false;     ///< a repetition with the same arguments has no further effect
  bool destructive = true;     ///< may overwrite or delete; means nothing with read_only
  bool open_world = true;      ///< deals with what is outside of its server
  std::int64_t timeout_ms = 0; ///< of its own; the smaller of it and the user's counts. 0 = none
  bool operator==(const tool_annotations&) const = default;
};

enum class content_kind : std::uint8_t { text, image, audio, resource, json };

/// One piece of what a tool gave, typed as it gave it.
struct content_part {
  content_kind kind = content_kind::text;
  std::string text; ///< for a reader of text alone: the text, the JSON, or a note such as "[image image/png, 68 bytes, not shown]"
  std::string media_type; ///< as the tool named it; empty = it did not
  std::string data;       ///< image, audio, resource: base64; empty = there is none, or it is not usable, and the text says why
  std::string uri;        ///< resource only
  bool operator==(const content_part&) const = default;
};

/// The one answer to a `tool_call`.
struct tool_result {
  std::string id;
  std::string text; ///< all that a reader of text alone gets
  bool is_error = false;
  std::vector<content_part> parts = {}; ///< everything, in order; empty = there is only the text
  bool operator==(const tool_result&) const = default;
};

/// One entry of a conversation.
struct message {
  role from = role::user;
  std::string text;
  std::string reasoning;        ///< assistant only: shown thinking, replayed by dialects that want it
  std::vector<tool_call> calls; ///< assistant only
  std::string tool_call_id;     ///< role::tool only: the call this answers
  bool is_error = false;        ///< role::tool only
  std::string opaque;           ///< assistant only: the provider's own JSON of this turn (thinking signatures), byte for byte
  std::string opaque_dialect;   ///< dialect that produced `opaque`; others ignore it
  std::vector<content_part> parts = {}; ///< role::tool: see tool_result::parts; role::user: files beside the text
  bool operator==(const message&) const = default;
};

/// Returns the parts that tell a reader something, in order: all but a structured form beside a text, which stands for it.
std::vector<const content_part*> shown_parts(const std::vector<content_part>& parts);

/// Returns what a reader of text alone gets of the parts: their texts, joined by line feeds.
std::string joined_text(const std::vector<content_part>& parts);

/// Returns the bytes that these take in memory, about.
std::size_t size_of(const std::vector<content_part>& parts);
std::size_t size_of(const message& m);

/// Leaves the text alone, which has a note for each part that is no text. Returns the bytes that this freed.
std::size_t drop_parts(std::vector<content_part>& parts);

/// What one or more model calls cost: tokens as the provider counted them, requests as we sent them.
struct usage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_input_tokens = 0; ///< of the input tokens: read from the provider's cache
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_tokens = 0;   ///< of the output tokens
  std::int64_t requests = 0;           ///< HTTP requests, repeats included; 0 for a model that is not asked over HTTP
  std::int64_t unreported = 0;         ///< calls of which the provider gave no count, or one of the two: the rest is unknown, not 0
  std::int64_t cache_write_tokens = 0; ///< of the input tokens: written to the provider's cache
  std::int64_t audio_input_tokens = 0; ///< of the input tokens
  std::int64_t audio_output_tokens = 0;   ///< of the output tokens
  std::int64_t hosted_calls = 0;          ///< uses of tools that the provider runs itself and bills apart
  std::int64_t cost_nano_usd = 0;         ///< what the calls cost whose price is known, in 10^-9 US dollars
  std::int64_t unpriced = 0;              ///< calls whose cost nobody knows: the rest is unknown, not 0
  std::int64_t cache_write_1h_tokens = 0; ///< of those written to the cache: to be kept for an hour, which costs more
  bool operator==(const usage&) const = default;
};

/// Every count of a usage with its name in the log and in JSON: the one list of them. Append only.
struct usage_count {
  const char* name;
  std::int64_t usage::*member;
};
inline constexpr usage_count usage_counts[] = {
    {"input_tokens", &usage::input_tokens},
    {"cached_input_tokens", &usage::cached_input_tokens},
    {"output_tokens", &usage::output_tokens},
    {"reasoning_tokens", &usage::reasoning_tokens},
    {"requests", &usage::requests},
    {"unreported", &usage::unreported},
    {"cache_write_tokens", &usage::cache_write_tokens},
    {"audio_input_tokens", &usage::audio_input_tokens},
    {"audio_output_tokens", &usage::audio_output_tokens},
    {"hosted_calls", &usage::hosted_calls},
    {"cost_nano_usd", &usage::cost_nano_usd},
    {"unpriced", &usage::unpriced},
    {"cache_write_1h_tokens", &usage::cache_write_1h_tokens},
};
static_assert(sizeof(usage) == std::size(usage_counts) * sizeof(std::int64_t));

/// Adds what was counted: a provider may report anything, so no value is negative and no sum overflows.
void add(usage& sum, const usage& x);

/// What an agent may spend in one round on requests that bring it nowhere: whatever fails, and in whatever mixture (tries of a
/// call, runs begun again, requests written in another form, redirects), a provider without a usable reply gets no more than these.
inline constexpr std::int64_t max_vain_requests = 9;

/// One model call. (task, run, call) identifies it everywhere.
struct model_request {
  std::string task;
  std::uint64_t run = 0;
  std::uint64_t call = 0; ///< counted per task and agent, never reused
  std::string agent;      ///< real id; only for logs and sinks, never sent to a provider
  std::string model;
  std::vector<message> messages;
  std::vector<tool_spec> tools;
  std::string schema;                 ///< JSON Schema the reply must satisfy (step 2 of the decision ladder); empty = free text
  std::string params;                 ///< JSON object merged into the body (temperature, ...); empty = none
  std::int64_t max_output_tokens = 0; ///< 0 = provider default
  std::int32_t slot = -1;             ///< local model server slot, -1 = any
  std::int64_t first_token_timeout_ms = 300'000; ///< until the first semantic event
  std::int64_t idle_timeout_ms = 120'000;        ///< between events that bring the reply on
  std::int64_t total_timeout_ms = 600'000;
  std::int64_t max_requests = max_vain_requests; ///< HTTP requests it may cost, at least 1; polls of a loading server do not count
  bool one_bill = false; ///< no further try after one that may have been billed without a count: a budget has room for one
  bool operator==(const model_request&) const = default;
};

enum class chunk_kind : std::uint8_t { text, reasoning, tool_call, status };

/// A piece of a stream, for eyes only; the completion is the truth.
struct chunk {
  chunk_kind kind = chunk_kind::text;
  std::string text; ///< tool_call: the tool's name, once, when it is known
  bool operator==(const chunk&) const = default;
};

/// All chunks decoded from one network read.
struct chunk_batch {
  std::string task;
  std::uint64_t run = 0;
  std::string agent; ///< real id
  std::vector<chunk> chunks;
  bool operator==(const chunk_batch&) const = default;
};

enum class completion_status : std::uint8_t {
  finished,
  truncated, ///< token limit hit; text is what came
  refused,   ///< the provider's safety system refused
  cancelled, ///< we abandoned it; text is what came before
  broken,    ///< see `code`; text is what came before
  paused,    ///< the provider ran tools of its own and goes on once it is sent `opaque`; text is what came before
};

/// The one reply to a `model_request` that was sent.
struct completion {
  completion_status status = completion_status::finished;
  std::string text;
  std::string reasoning;
  std::vector<tool_call> calls;
  conclave::usage usage;
  ec code = ec::none;               ///< broken and cancelled only
  std::string error;                ///< one sentence: what was attempted, on what, what came back; no secrets
  std::int64_t retry_after_ms = -1; ///< as the server asked; -1 = not said
  bool semantic = false;            ///< at least one semantic event (text, reasoning, call) was seen
  bool retryable_hint = true;       ///< false if the server said `x-should-retry: false`
  bool retry_asked = false;         ///< true if it said `x-should-retry: true`: try again whatever the code
  std::string opaque;               ///< see message::opaque
  std::string opaque_dialect;
  std::string finish; ///< finish reason as the provider gave it; empty = none came
  std::string said;   ///< broken only: the server's own sentence and code, without address, model and secrets; empty = nothing
  bool model_fault = false; ///< broken only: the server blames the model's own output, so another attempt may succeed
  std::int64_t polls = 0;   ///< of `usage.requests`: those that only found the server loading its model
  bool operator==(const completion&) const = default;
};

std::string to_string(role x);
std::string to_string(chunk_kind x);
std::string to_string(completion_status x);

} // namespace conclave
