// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One HTTP transfer as http_client's thread sees it: validation, libcurl's options and callbacks, the verdict at its end.
/// Internal to http_client.cpp; every function here runs on the client's thread.

#include "transports/http_client_slow_lane.hpp"

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace conclave::http_detail {

using clock_type = std::chrono::steady_clock;

struct easy_closer {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct list_closer {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using easy_ptr = std::unique_ptr<CURL, easy_closer>;
using list_ptr = std::unique_ptr<curl_slist, list_closer>;

/// One request on its way, with everything libcurl points into.
struct transfer {
  std::uint64_t id = 0;
  http_request request;
  http_client::callbacks cb;
  std::string shown = "HTTP request"; ///< "POST http://host/path", fit for an error text
  list_ptr header_list;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  http_head head;
  std::string pending; ///< body bytes read but not handed on yet
  std::size_t head_bytes = 0;
  std::int64_t body_bytes = 0;
  curl_off_t moved = 0;       ///< body bytes both ways
  std::int64_t raw_bytes = 0; ///< of the body as it came: compressed, with the framing of its chunks
  clock_type::time_point started;
  clock_type::time_point last_byte;
  clock_type::time_point due = clock_type::time_point::max(); ///< when to look at the deadlines next
  int status = 0;
  std::vector<transfer*>* dirty = nullptr;
  std::vector<transfer*>* held = nullptr;  ///< those that wait until the others had their turn
  const std::uint64_t* turn_now = nullptr; ///< counts the calls of libcurl
  std::uint64_t turn = 0;                  ///< the last one that brought bytes of the body
  std::size_t turn_bytes = 0;              ///< of the body, in that turn
  std::string next_url;                    ///< where the reply under way sends the request on to
  int redirects = 0;
  int full_turns = 0; ///< those that brought more than one may
  slow_lane* lane = nullptr;
  std::shared_ptr<const http_client::callbacks> slow; ///< set once they run on the lane, in place of `cb`
  bool served = true;                                 ///< by the lane, of what it was given last
  bool paused = false;                                ///< until it is
  std::string refusal;                                ///< why we broke it off ourselves
  ec refusal_code = ec::bad_reply;
  bool packed = false; ///< the body is compressed
  bool marked = false; ///< in `dirty`
  bool head_seen = false;
  bool sent = false;
  bool delivered = false; ///< on_data was called
  easy_ptr easy;          ///< last: goes first, while what it points to still lives
};

/// A callback of ours must not end the thread that serves everybody else.
template <class F, class... Ts>
void call(const F& f, Ts&&... xs) {
  if (!f)
    return;
  try {
    f(std::forward<Ts>(xs)...);
  } catch (...) {
    // Nobody to tell: the callbacks' contract is to post a message and return.
  }
}

/// Hands on the body bytes that wait; to the lane only once that has served what it was given before.
void flush(transfer& t);

/// Hands on what waits, then the end.
void deliver_end(transfer& t, http_end end);

/// Checks the request and gives `t` an easy handle that is ready for the multi handle. Otherwise returns the end of the transfer.
std::optional<http_end> prepare(transfer& t, const http_client::options& o);

/// Makes `t` ready to go to its `next_url`.
void follow(transfer& t);

/// Returns how the transfer ended, seen from libcurl's result.
http_end verdict(CURLcode code, transfer& t);

/// Returns an end of our own choice, `text` completed by what was attempted.
http_end ended(ec code, const std::string& text, transfer& t);

} // namespace conclave::http_detail
