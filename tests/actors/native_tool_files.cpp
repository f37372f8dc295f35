// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.native_tool_files

// A C++ function with a handle on the workspace of its agent. It has a thread of its own, so the scheduler is the real one.

#include "actors/native_tool.hpp"
#include "protocols/type_ids.hpp"
#include "support/fixture.hpp"

#include <caf/all.hpp>

#include <future>
#include <mutex>

using namespace conclave;
using std::chrono::seconds;

namespace {

/// What a workspace was asked, and whether it answers.
struct played_workspace {
  std::mutex mutex;
  std::vector<use_files> asked;
  bool silent = false;
  std::promise<void> was_asked;
};

file_user_actor::behavior_type played(file_user_actor::pointer self, std::shared_ptr<played_workspace> w,
                                      std::shared_ptr<std::vector<caf::typed_response_promise<files_used>>> kept) {
  return {
      [self, w, kept](const use_files& u) -> caf::result<files_used> {
        std::lock_guard lock(w->mutex);
        w->asked.push_back(u);
        if (w->asked.size() == 1)
          w->was_asked.set_value();
        if (w->silent) {
          kept->push_back(self->make_response_promise<files_used>());
          return kept->back();
        }
        files_used out;
        if (u.path == "/etc/shadow") {
          out.failed = true;
          out.fault = {path_policy::denial::outside, "it is not in a folder you may read"};
        }
        out.bytes = "bytes of " + u.path;
        out.entries = {{"a.txt", false, true, 3}, {"sub", true, false, 0}};
        return out;
      },
  };
}

struct handle_fixture {
  test::threads_config cfg;
  std::shared_ptr<played_workspace> files = std::make_shared<played_workspace>();
  std::shared_ptr<std::vector<caf::typed_response_promise<files_used>>> kept =
      std::make_shared<std::vector<caf::typed_response_promise<files_used>>>();
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  file_user_actor workspace = sys.spawn(played, files, kept);
  tool_source_actor aut;

  ~handle_fixture() {
    if (aut)
      caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(workspace, caf::exit_reason::user_shutdown);
    kept->clear();
  }

  void start(native_file_function f, bool read_only = false, bool with_workspace = true) {
    tool_annotations notes;
    notes.read_only = read_only;
    aut = spawn_native_tool(sys, outside::of_machine(), {{"look", "looks", "{}"}, notes}, std::move(f),
                            with_workspace ? workspace : file_user_actor{});
  }

  tool_invocation asks(std::int64_t timeout_ms = 20'000) {
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.run = 7;
    i.call = {"c1", "look", "{}"};
    i.timeout_ms = timeout_ms;
    return i;
  }

  tool_result call(const tool_invocation& i) {
    tool_result out;
    me->request(aut, seconds(30), i).receive([&](tool_result& r) { out = std::move(r); }, [](caf::error&) { CAF_FAIL("error"); });
    return out;
  }
};

std::string text_of(const std::function<void()>& use) {
  try {
    use();
  } catch (const workspace_error& e) {
    return e.code() + "|" + e.what();
  }
  return "done";
}

constexpr const char* void_text = "|the call that this handle was given for is over, so it is void";

} // namespace

CAF_TEST_FIXTURE_SCOPE(native_tool_files_tests, handle_fixture)

CAF_TEST(a function reads and writes and lists through its handle as its run does) {
  start([](const std::string&, workspace_handle h) {
    h.write("out/b", "x");
    auto all = h.list();
    return h.read("a.txt") + "; " + all.at(0).name + (all.at(1).folder ? " and a folder" : "");
  });
  auto r = call(asks());
  CAF_CHECK_EQUAL(r.text, "bytes of a.txt; a.txt and a folder");
  CAF_REQUIRE_EQUAL(files->asked.size(), 3u);
  for (auto& u : files->asked)
    CAF_CHECK(u.task == "t" && u.run == 7);
  CAF_CHECK_EQUAL(files->asked[0].bytes, "x");
  CAF_CHECK_EQUAL(files->asked[1].path, ".");
}

CAF_TEST(what is denied is thrown with its code and read by the model unless the function takes it) {
  std::string told;
  start([&told](const std::string&, workspace_handle h) {
    told = text_of([&] { h.read("/etc/shadow"); });
    return h.read("/etc/shadow");
  });
  auto r = call(asks());
  CAF_CHECK_EQUAL(told, "E_OUTSIDE|E_OUTSIDE: it is not in a folder you may read");
  CAF_CHECK(r.is_error);
  CAF_CHECK_EQUAL(r.text, "Error: E_OUTSIDE: it is not in a folder you may read");
}

CAF_TEST(a tool that says it is read only writes nothing) {
  std::string told;
  start(
      [&told](const std::string&, workspace_handle h) {
        told = text_of([&] { h.write("a", "b"); });
        return h.read("a.txt");
      },
      true);
  CAF_CHECK_EQUAL(call(asks()).text, "bytes of a.txt");
  CAF_CHECK_EQUAL(told.substr(0, 11), "E_READONLY|");
  CAF_CHECK_EQUAL(files->asked.size(), 1u);
}

CAF_TEST(an agent without a workspace has an empty handle) {
  start([](const std::string&, workspace_handle h) { return std::string{h ? "some" : "none"} + text_of([&] { h.list(); }); }, false,
        false);
  CAF_CHECK_EQUAL(call(asks()).text, "none|this agent has no workspace: give its backend `cwd`");
}

CAF_TEST(a handle is void once its call has ended) {
  workspace_handle stolen;
  start([&stolen](const std::string&, workspace_handle h) {
    stolen = h;
    return h.read("a.txt");
  });
  call(asks());
  CAF_CHECK(stolen);
  CAF_CHECK_EQUAL(text_of([&] { stolen.read("a.txt"); }), void_text);
  CAF_CHECK_EQUAL(text_of([&] { stolen.write("a.txt", ""); }), void_text);
  CAF_CHECK_EQUAL(files->asked.size(), 1u);
}

CAF_TEST(a use that waits ends with the deadline of its call and with its run and with the engine) {
  files->silent = true;
  for (auto how : {"deadline", "cancel", "end"}) {
    CAF_MESSAGE(how);
    files->was_asked = {};
    files->asked.clear();
    std::promise<std::string> told;
    start([&told](const std::string&, workspace_handle h) {
      told.set_value(text_of([&] { h.read("a.txt"); }));
      return std::string{};
    });
    auto pending = me->request(aut, seconds(30), asks(how == std::string{"deadline"} ? 50 : 20'000));
    files->was_asked.get_future().wait();
    if (how == std::string{"cancel"})
      me->send(aut, cancel_tools{"t", "a", 7});
    if (how == std::string{"end"})
      caf::anon_send_exit(std::exchange(aut, nullptr), caf::exit_reason::user_shutdown);
    CAF_CHECK_EQUAL(told.get_future().get(), void_text);
    pending.receive([](tool_result& r) { CAF_CHECK(r.is_error); }, [](caf::error&) {});
    if (aut)
      caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
  }
}

CAF_TEST(a workspace that is gone is told) {
  caf::anon_send_exit(workspace, caf::exit_reason::user_shutdown);
  me->wait_for(workspace);
  start([](const std::string&, workspace_handle h) { return text_of([&] { h.read("a.txt"); }); });
  CAF_CHECK_EQUAL(call(asks()).text.find("|the workspace cannot be reached"), 0u);
}

CAF_TEST_FIXTURE_SCOPE_END()
