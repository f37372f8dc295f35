// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Runs commands in a sandbox as the engine does, one after another, for tests/e2e/test_sandbox_*.py: prints one JSON object for
/// each.
///
///   sandbox_runner TIER [--readable|--writable|--protected|--hidden|--home|--tmp|--work PATH] [--env NAME=VALUE] [--network]
///                  [--timeout MS] [--memory BYTES] [--processes N] [--output BYTES] [--repeat N] -- COMMAND...
///
/// TIER: 2, 1, 0. A command "bg:..." is started in the background, "read:N" and "kill:N" mean the Nth command.
/// With --repeat the whole list is run so often and the times of the commands are printed alone.

#include "protocols/wire/json.hpp"
#include "transports/outside.hpp"
#include "transports/sandbox.hpp"

#include <chrono>
#include <future>
#include <iostream>

using namespace conclave;

namespace {

const char* name_of(command_end::reason r) {
  switch (r) {
  case command_end::reason::exited:
    return "exited";
  case command_end::reason::timed_out:
    return "timed_out";
  case command_end::reason::killed:
    return "killed";
  case command_end::reason::out_of_memory:
    return "out_of_memory";
  case command_end::reason::too_many_processes:
    return "too_many_processes";
  case command_end::reason::too_much_disk:
    return "too_much_disk";
  case command_end::reason::failed:
    break;
  }
  return "failed";
}

void print(const command_end& e) {
  std::cout << "{\"why\":\"" << name_of(e.why) << "\",\"status\":" << e.status << ",\"ms\":" << e.ms
            << ",\"out\":" << wire::quote(e.out.text) << ",\"err\":" << wire::quote(e.err.text) << ",\"out_cut\":" << e.out.left_out
            << ",\"err_cut\":" << e.err.left_out << ",\"error\":" << wire::quote(e.error) << "}" << std::endl;
}

template <class T>
struct answer {
  std::shared_ptr<std::promise<T>> promise = std::make_shared<std::promise<T>>();
  std::future<T> value = promise->get_future();
  std::function<void(T)> callback() {
    return [p = promise](T v) { p->set_value(std::move(v)); };
  }
};

} // namespace

int main(int argc, char** argv) {
  sandbox_profile p;
  std::string work = "/";
  std::int64_t timeout = 60'000, repeat = 0;
  int i = 2;
  p.tier = static_cast<sandbox_tier>(argc > 1 ? std::atoi(argv[1]) : 2);
  for (; i < argc && std::string_view{argv[i]} != "--"; ++i) {
    std::string option = argv[i];
    if (option == "--network") {
      p.network = true;
      continue;
    }
    std::string value = i + 1 < argc ? argv[++i] : "";
    if (option == "--readable")
      p.readable.push_back(value);
    else if (option == "--writable")
      p.writable.push_back(value);
    else if (option == "--shared") {
      p.writable.push_back(value);
      p.shared.push_back(value);
    } else if (option == "--protected")
      p.protected_paths.push_back(value);
    else if (option == "--hidden")
      p.hidden.push_back(value);
    else if (option == "--home")
      p.home = value;
    else if (option == "--tmp")
      p.tmp = value;
    else if (option == "--work")
      work = value;
    else if (option == "--env")
      p.env[value.substr(0, value.find('='))] = value.substr(value.find('=') + 1);
    else if (option == "--timeout")
      timeout = std::atoll(value.c_str());
    else if (option == "--memory")
      p.limits.memory = std::atoll(value.c_str());
    else if (option == "--processes")
      p.limits.processes = std::atoll(value.c_str());
    else if (option == "--output")
      p.limits.output = std::atoll(value.c_str());
    else if (option == "--repeat")
      repeat = std::atoll(value.c_str());
    else
      return std::cerr << "unknown option " << option << "\n", 1;
  }
  auto launcher = find_sandbox_launcher();
  auto box = sandbox::open(outside::of_machine(), p, launcher);
  std::vector<std::uint64_t> ids;
  std::vector<std::shared_ptr<answer<command_end>>> background;
  auto run = [&](std::string text) {
    sandbox_command c;
    c.background = text.starts_with("bg:");
    c.command = c.background ? text.substr(3) : text;
    c.work_dir = work;
    c.timeout_ms = c.background ? 0 : timeout;
    auto end = std::make_shared<answer<command_end>>();
    ids.push_back(box->run(std::move(c), end->callback()));
    return end;
  };
  for (std::int64_t n = 0; n < repeat; ++n)
    for (int k = i + 1; k < argc; ++k) {
      auto begin = std::chrono::steady_clock::now();
      auto end = run(argv[k])->value.get();
      auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
      std::cout << "{\"us\":" << took.count() << ",\"why\":\"" << name_of(end.why) << "\"}" << std::endl;
    }
  for (int k = repeat > 0 ? argc : i + 1; k < argc; ++k) {
    std::string text = argv[k];
    auto number = [&](std::size_t skip) { return ids.at(static_cast<std::size_t>(std::atoi(text.c_str() + skip))); };
    if (text.starts_with("read:")) {
      answer<command_news> news;
      box->read_output(number(5), news.callback());
      auto n = news.value.get();
      std::cout << "{\"running\":" << (n.running ? "true" : "false") << ",\"out\":" << wire::quote(n.out.text)
                << ",\"err\":" << wire::quote(n.err.text) << "}" << std::endl;
    } else if (text.starts_with("kill:")) {
      box->kill(number(5));
    } else if (text.starts_with("bg:")) {
      background.push_back(run(text));
    } else {
      print(run(text)->value.get());
    }
  }
  box->close();
  for (auto& b : background)
    print(b->value.get());
  return 0;
}
