// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/mcp_stdio.hpp"

#include "transports/child_flow.hpp"
#include "transports/outside.hpp"

#include <algorithm>

namespace conclave {

namespace {

/// Lines that wait for the actor behind a channel; a server that says more has to wait, too.
constexpr std::size_t max_waiting = std::size_t{1} << 20;

class stdio_channel final : public mcp_channel {
public:
  stdio_channel(outside& from, child_options options, callbacks cb, const std::string& opening) {
    child_process::callbacks c;
    c.on_lines = [on_message = cb.on_message](std::vector<std::string> lines) {
      for (auto& line : lines)
        on_message(std::move(line));
    };
    // All on the reactor thread; whichever comes first is told.
    auto told = std::make_shared<bool>(false);
    auto half_closed = [told, on_close = cb.on_close](const char* how) {
      if (!std::exchange(*told, true))
        on_close(ec::unavailable, how, true);
    };
    c.on_silence = [half_closed] { half_closed("closed its output"); };
    c.on_deaf = [half_closed] { half_closed("closed its input and left unread what was sent to it"); };
    c.on_exit = [told, on_close = cb.on_close, on_gone = cb.on_gone](child_exit e) {
      if (on_gone)
        on_gone();
      if (std::exchange(*told, true))
        return;
      if (!e.started)
        on_close(ec::unavailable, "could not be started: " + e.error, false);
      else if (!e.error.empty())
        on_close(ec::unavailable, "ended: " + e.error, true);
      else
        on_close(ec::unavailable, "ended with status " + std::to_string(e.status), true);
    };
    child_ = from.start_child(std::move(options), std::move(c));
    if (child_ && !opening.empty())
      child_->write(opening);
  }

  ~stdio_channel() override { close(); }

  bool send(std::string json) override { return child_ && child_->write(std::move(json) + "\n"); }

  void close() override {
    if (child_)
      child_->close();
    child_.reset();
  }

  std::string last_words() const override {
    auto words = child_ ? child_->last_words() : std::string{};
    if (words.size() >= child_process::max_last_words) // its beginning is cut: nobody would know half of a secret as one
      words.erase(0, std::min(words.find_first_of(" \t\r\n"), words.size()));
    return words.empty() && child_ && !child_->last_words().empty() ? "(one long line)" : words;
  }

  void note(std::string line) override {
    if (child_)
      child_->log(std::move(line));
  }

  void consumed(std::size_t bytes) override {
    if (child_)
      child_->consumed(child_flow::weight({}) + bytes);
  }

private:
  std::shared_ptr<child_process> child_;
};

} // namespace

std::unique_ptr<mcp_channel> open_mcp_stdio(outside& from, const mcp_server_config& config, const std::string& stderr_path,
                                            mcp_channel::callbacks cb, std::string& error, const std::string& opening) {
  if (config.command.empty()) {
    error = "MCP server '" + config.name + "' has no command";
    return nullptr;
  }
  child_options options;
  options.argv = config.command;
  options.cwd = config.cwd;
  options.stderr_path = stderr_path;
  options.clean_log = cb.clean_log;
  options.max_waiting = max_waiting;
  // The small safe set and what is configured, nothing else: a provider's keys never reach a tool server by inheritance.
  options.env = safe_environment();
  for (auto& [name, value] : config.env)
    options.env[name] = value;
  return std::make_unique<stdio_channel>(from, std::move(options), std::move(cb), opening);
}

} // namespace conclave
