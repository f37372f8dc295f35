// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Replies of the Responses API: its golden cases, and what needs no file of its own.

#define CAF_SUITE protocols.openai_responses

#include "caf/test/unit_test.hpp"
#include "support/golden_replies.hpp"

using namespace conclave;
using namespace conclave::test;

CAF_TEST(every golden reply of OpenAI Responses reads the same in any pieces) {
  CAF_CHECK(run_golden("openai_responses", 'a', 'h') >= 20);
}

CAF_TEST(the other golden replies of OpenAI Responses do so) { // apart: each test has two minutes, also on a busy machine
  CAF_CHECK(run_golden("openai_responses", 'i', 'z') >= 13);
}

CAF_TEST(a body of the Responses API is read as a whole answer or says why it is none) {
  auto whole = [](const std::string& more) {
    return decode("openai_responses", head_of(200, "application/json"),
                  R"({"object":"response","model":"m","output":[{"type":"reasoning","id":"rs","summary":[{"text":"why"}],)"
                  R"("encrypted_content":"x"},{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text",)"
                  R"("text":"whole"}]},{"type":"function_call","id":"fc","call_id":"a","name":"f","arguments":"{}"}],)"
                  R"("usage":{"input_tokens":4,"output_tokens":2},)"
                      + more + "}",
                  {3})
        .completion;
  };
  auto c = whole(R"("status":"completed","error":null)");
  CAF_CHECK_EQUAL(c.text + c.reasoning + c.finish, "wholewhycompleted");
  CAF_REQUIRE_EQUAL(c.calls.size(), 1u);
  CAF_CHECK_EQUAL(c.calls[0].id, "a");
  CAF_CHECK_EQUAL(json::parse(c.opaque).size(), 3u);
  CAF_CHECK_EQUAL(c.usage.input_tokens, 4);
  c = whole(R"("status":"incomplete","incomplete_details":{"reason":"max_output_tokens"})");
  CAF_CHECK(c.status == completion_status::truncated);
  c = whole(R"("status":"incomplete","incomplete_details":null)");
  CAF_CHECK(c.status == completion_status::truncated);
  c = whole(R"("status":"failed","error":{"code":"server_error","message":"went wrong"})");
  CAF_CHECK(c.status == completion_status::broken && c.error.find("went wrong") != std::string::npos);
  c = whole(R"("status":"failed","error":{"code":"misalignment_policy_violation","message":"no"})");
  CAF_CHECK(c.status == completion_status::refused && c.error == "no");
  CAF_CHECK(whole(R"("status":"cancelled")").status == completion_status::broken);
  for (auto* later : {"queued", "in_progress"}) {
    c = whole(R"("status":")" + std::string(later) + "\"");
    CAF_CHECK(c.code == ec::bad_reply && c.error.find("background") != std::string::npos && c.calls.empty());
  }
}

CAF_TEST(the name of the last event counts where its response says less) {
  for (auto* response : {"{}", R"({"status":"in_progress"})", R"({"status":"queued","output":[]})", "null", "7"}) {
    auto ends = [&](const std::string& how) {
      return decode("openai_responses", head_of(200, "text/event-stream"),
                    "event: response.output_text.delta\ndata: {\"delta\":\"x\"}\n\ndata: {\"type\":\"response." + how
                        + "\",\"response\":" + response + "}\n\n")
          .completion;
    };
    CAF_MESSAGE(response);
    CAF_CHECK(ends("completed").status == completion_status::finished && ends("completed").text == "x");
    CAF_CHECK(ends("incomplete").status == completion_status::truncated);
    CAF_CHECK(ends("failed").status == completion_status::broken);
  }
}

CAF_TEST(more items or calls than a reply of the Responses API may hold are refused) {
  auto items = [](int n, const std::string& type) {
    std::string out;
    for (int i = 0; i < n; ++i)
      out += R"(data: {"type":"response.output_item.added","output_index":)" + std::to_string(i) + R"(,"item":{"type":")" + type
             + R"(","name":"f","call_id":")" + std::to_string(i) + "\"}}\n\n";
    return decode("openai_responses", head_of(200, "text/event-stream"),
                  out + "data: {\"type\":\"response.completed\",\"response\":{}}\n\n")
        .completion;
  };
  CAF_CHECK_EQUAL(items(128, "function_call").calls.size(), 128u);
  CAF_CHECK(items(129, "function_call").code == ec::bad_reply);
  CAF_CHECK(items(1024, "web_search_call").code == ec::none);
  CAF_CHECK(items(1025, "web_search_call").code == ec::bad_reply);
}

CAF_TEST(what a tool of the provider does is progress and what nobody knows is none) {
  std::vector<chunk> out;
  auto d = wire::find_dialect("openai_responses")->make_decoder({});
  d->head(head_of(200, "text/event-stream"));
  auto moves = [&](const std::string& event) {
    auto before = d->progress();
    d->feed("data: " + event + "\n\n", out);
    return d->progress() > before;
  };
  CAF_CHECK(!moves(R"({"type":"response.created","response":{}})"));
  CAF_CHECK(!moves(R"({"type":"response.output_text.delta","output_index":9,"delta":""})") || !d->semantic());
  CAF_CHECK(moves(R"({"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"w"}})"));
  CAF_CHECK(moves(R"({"type":"response.web_search_call.searching","output_index":0,"item_id":"w"})"));
  CAF_CHECK(!moves(R"({"type":"response.queue.moved"})") && !moves(R"({"type":"keepalive"})"));
  CAF_CHECK(!d->semantic() && !d->done());
  CAF_CHECK(moves(R"({"type":"response.refusal.delta","output_index":1,"delta":"no"})"));
  CAF_CHECK(d->semantic() && !d->done());
  d->feed("data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n", out);
  CAF_CHECK(d->done() && d->stopped());
}
