// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Replies of all dialects: every golden case whole, byte by byte and cut in two; what needs no file of its own is below.

#define CAF_SUITE protocols.dialects

#include "caf/test/unit_test.hpp"
#include "support/golden_replies.hpp"

using namespace conclave;
using namespace conclave::test;
using nlohmann::json;

namespace {

const char* every_dialect[] = {"openai_chat", "anthropic", "openai_responses", "gemini"};

} // namespace

CAF_TEST(every golden reply of Chat Completions reads the same in any pieces) {
  CAF_CHECK(run_golden("openai_chat") >= 55);
}

CAF_TEST(every golden reply of Anthropic Messages reads the same in any pieces) {
  CAF_CHECK(run_golden("anthropic") >= 25);
}

CAF_TEST(every golden reply of Gemini reads the same in any pieces) {
  CAF_CHECK(run_golden("gemini") >= 25);
}

CAF_TEST(an unknown dialect has no row) {
  CAF_CHECK(wire::find_dialect("openai_chat") != nullptr);
  CAF_CHECK(wire::find_dialect("gopher") == nullptr);
}

CAF_TEST(a JSON body in place of a stream is read as one answer) {
  std::string body = R"({"choices":[{"index":0,"message":{"role":"assistant","content":"whole","reasoning":"why",
    "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":4,"completion_tokens":2}})";
  json turn = {{"role", "assistant"},
               {"content", "whole"},
               {"reasoning", "why"},
               {"tool_calls", {{{"id", "a"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}}}}};
  for (auto* type : {"application/json", "Application/JSON; charset=utf-8", "text/plain", "", "text/event-stream"})
    for (std::size_t piece : {std::size_t{1}, std::size_t{7}, body.size()}) {
      auto d = decode("openai_chat", head_of(200, type), body, {piece});
      CAF_CHECK_EQUAL(shown(d.completion).dump(), json({{"status", "finished"},
                                                        {"text", "whole"},
                                                        {"finish", "stop"},
                                                        {"opaque", turn},
                                                        {"reasoning", "why"},
                                                        {"semantic", true},
                                                        {"calls", {{"a", "f", "{}"}}},
                                                        {"usage", {4, 0, 2, 0}}})
                                                      .dump());
    }
  body = R"({"type":"message","content":[{"type":"thinking","thinking":"why","signature":"s"},{"type":"text","text":"whole"},
    {"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":4,"output_tokens":2}})";
  auto d = decode("anthropic", head_of(200, "application/json"), body, {3});
  CAF_CHECK_EQUAL(d.completion.text + d.completion.reasoning, "wholewhy");
  CAF_REQUIRE_EQUAL(d.completion.calls.size(), 1u);
  CAF_CHECK_EQUAL(d.completion.calls[0].arguments, R"({"a":1})");
  CAF_CHECK_EQUAL(json::parse(d.completion.opaque).size(), 3u);
}

CAF_TEST(an error body with status 200 is an error) {
  auto d = decode("openai_chat", head_of(200, "application/json"), R"({"error":{"message":"no such model","code":404}})");
  CAF_CHECK(d.completion.code == ec::bad_request);
  d = decode("anthropic", head_of(200, ""), R"({"type":"error","error":{"type":"authentication_error","message":"bad key"}})");
  CAF_CHECK(d.completion.code == ec::unauthorized);
}

CAF_TEST(a web page with status 200 is a bad reply that names itself) {
  for (auto* dialect : every_dialect)
    for (auto* type : {"text/html", ""}) {
      auto d = decode(dialect, head_of(200, type), "<html><body>Log in to the network</body></html>", {5});
      CAF_CHECK(d.completion.code == ec::bad_reply);
      CAF_CHECK_EQUAL(d.completion.error, "the reply is no JSON, check `base_url`: \"Log in to the network\"");
    }
}

CAF_TEST(a status of failure wins over whatever the body looks like) {
  for (auto* dialect : every_dialect) {
    auto d = decode(dialect, head_of(529, "application/json"),
                    R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})");
    CAF_CHECK(d.completion.code == ec::unavailable);
    CAF_CHECK_EQUAL(d.completion.error, "529, \"Overloaded\"");
    d = decode(dialect, head_of(429, "text/event-stream", {{"retry-after", "3"}}), "data: {}\n\n", {1});
    CAF_CHECK(d.completion.code == ec::rate_limited);
    CAF_CHECK_EQUAL(d.completion.retry_after_ms, 3000);
    d = decode(dialect, head_of(500, ""), "busy", {}, {ec::cancelled, "cancelled", 500, true});
    CAF_CHECK(d.completion.status == completion_status::cancelled && d.completion.code == ec::cancelled);
  }
}

CAF_TEST(what a reply is follows its first character and not its label) {
  std::string events = "\r\n: hello\ndata: {\"choices\":[{\"delta\":{\"content\":\"It is 42.\"},\"finish_reason\":\"stop\"}]}\n\n";
  std::string body = R"( {"choices":[{"message":{"content":"It is 42."},"finish_reason":"stop"}]})";
  std::string lines = R"({"choices":[{"delta":{"content":"It is "}}]})"
                      "\n"
                      R"({"choices":[{"delta":{"content":"42."},"finish_reason":"stop"}]})";
  for (auto* type : {"application/json", "text/plain", "text/html", "application/octet-stream", "text/event-stream", ""})
    for (auto& bytes : {events, body, lines})
      for (std::size_t piece : {std::size_t{1}, bytes.size()})
        CAF_CHECK_EQUAL(decode("openai_chat", head_of(200, type), bytes, {piece}).completion.text, "It is 42.");
}

CAF_TEST(an error without its usual wrapping is an error in any form of reply) {
  for (auto* dialect : every_dialect)
    for (std::string error :
         {R"({"error":{"message":"went wrong"}})", R"({"error":"went wrong"})", R"([{"error":{"message":"went wrong"}}])",
          R"({"object":"error","message":"went wrong","code":50001})", R"({"detail":"went wrong"})",
          R"({"message":"went wrong","status":500})", R"({"type":"error","error":{"message":"went wrong"}})",
          R"({"success":false,"errors":[{"code":7003,"message":"went wrong"}],"result":null})",
          R"({"success":false,"message":"went wrong"})", R"({"errcode":3,"errmsg":"went wrong"})"})
      for (auto* type : {"application/json", "text/event-stream", ""}) {
        auto list = error.front() == '[';
        auto d = decode(dialect, head_of(200, type), error, {7});
        CAF_CHECK(d.completion.status == completion_status::broken);
        CAF_CHECK(d.completion.error.find("went wrong") != std::string::npos);
        d = decode(dialect, head_of(200, "text/event-stream"),
                   "data: " + (list ? error.substr(1, error.size() - 2) : error) + "\n\n");
        CAF_CHECK(d.completion.error.find("went wrong") != std::string::npos);
      }
  auto d = decode("openai_chat", head_of(200, "application/json"),
                  R"({"choices":null,"base_resp":{"status_code":1004,"status_msg":"login fail"}})");
  CAF_CHECK(d.completion.status == completion_status::broken);
}

CAF_TEST(words of a proxy in place of a stream reach the person) {
  for (auto* dialect : every_dialect)
    for (std::string bytes : {"upstream went wrong", "error: upstream went wrong\n\n", "\nupstream went wrong\r\n\r\n"})
      CAF_CHECK(decode(dialect, head_of(200, "text/event-stream"), bytes).completion.error.find("upstream went wrong")
                != std::string::npos);
}

CAF_TEST(an error of MiniMax beside a piece of text is one) {
  auto d = decode(
      "openai_chat", head_of(200, "text/event-stream"),
      "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"base_resp\":{\"status_code\":1026,\"status_msg\":\"no\"}}\n\n");
  CAF_CHECK(d.completion.status == completion_status::broken && d.completion.error.find("\"no\"") != std::string::npos);
}

CAF_TEST(a fragment without a name continues the call and a name may come last) {
  auto stream = [](std::initializer_list<const char*> calls) {
    std::string out;
    for (auto* c : calls)
      out += "data: {\"choices\":[{\"delta\":{\"tool_calls\":[" + std::string(c) + "]}}]}\n\n";
    return decode("openai_chat", head_of(200, "text/event-stream"),
                  out + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n");
  };
  for (auto& d : {stream({R"({"index":0,"id":"a","function":{"arguments":"{\"content\":"}})",
                          R"({"index":0,"function":{"name":"new_answer","arguments":"\"x\"}"}})"}),
                  stream({R"({"index":0,"id":"a","function":{"name":"new_answer","arguments":"{\"content\":"}})",
                          R"({"index":1,"id":"a","function":{"arguments":"\"x\"}"}})"})}) {
    CAF_REQUIRE_EQUAL(d.completion.calls.size(), 1u);
    CAF_CHECK_EQUAL(d.completion.calls[0].name + d.completion.calls[0].arguments, R"(new_answer{"content":"x"})");
  }
}

CAF_TEST(a part that is marked as thought is reasoning and parts within a part are text) {
  auto d = decode(
      "openai_chat", head_of(200, "text/event-stream"),
      "data: {\"choices\":[{\"delta\":{\"content\":[{\"text\":\"why\",\"thought\":true},{\"parts\":[{\"text\":\"It is 42.\"}]}]},"
      "\"finish_reason\":\"stop\"}]}\n\n");
  CAF_CHECK_EQUAL(d.completion.reasoning + "|" + d.completion.text, "why|It is 42.");
}

CAF_TEST(members that say there is no error are none) {
  for (auto* none : {R"("error":null)", R"("error":"")", R"("error":{})", R"("error":false)", R"("base_resp":{"status_code":0})",
                     R"("errors":[])", R"("success":true)"})
    for (auto* type : {"application/json", "text/event-stream"}) {
      auto d = decode("openai_chat", head_of(200, type),
                      "{" + std::string(none) + R"(,"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}]})");
      CAF_CHECK_EQUAL(d.completion.text, "fine");
    }
}

CAF_TEST(a refusal that comes as events is read like any other) {
  for (auto* bytes : {"event: error\ndata: {\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}\n\n",
                      "data: {\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}"}) {
    auto d = decode("openai_chat", head_of(400, "text/event-stream"), bytes);
    CAF_CHECK(d.completion.code == ec::context_overflow);
    CAF_CHECK(d.completion.error.find("too long") != std::string::npos);
  }
}

CAF_TEST(a count that is missing or negative or no number is unknown and not 0) {
  auto use = [](const char* dialect, const std::string& body) {
    return decode(dialect, head_of(200, "application/json"), body).completion.usage;
  };
  for (auto* u : {"null", "{}", R"({"prompt_tokens":-1,"completion_tokens":-1})", R"({"prompt_tokens":"7"})", "7"})
    CAF_CHECK_EQUAL(use("openai_chat", R"({"choices":[{"message":{"content":"x"}}],"usage":)" + std::string(u) + "}").unreported,
                    1);
  auto half = use("openai_chat", R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":-1}})");
  CAF_CHECK(half.unreported == 1 && half.input_tokens == 7 && half.output_tokens == 0);
  for (auto* u :
       {R"({"prompt_tokens":7})", R"({"prompt_tokens":7,"completion_tokens":null})", R"({"completion_tokens":4})",
        R"({"prompt_tokens":-3,"completion_tokens":4})", R"({"prompt_tokens":7,"completion_tokens":9223372036854775808})"})
    CAF_CHECK_EQUAL(use("openai_chat", R"({"choices":[{"message":{"content":"x"}}],"usage":)" + std::string(u) + "}").unreported,
                    1);
  auto none = use("openai_chat", R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":0}})");
  CAF_CHECK(none.unreported == 0 && none.input_tokens == 7 && none.output_tokens == 0);
  CAF_CHECK_EQUAL(use("anthropic", R"({"content":"x"})").unreported, 1);
  CAF_CHECK_EQUAL(use("anthropic", R"({"content":"x","usage":{"input_tokens":1}})").unreported, 1);
  CAF_CHECK_EQUAL(use("anthropic", R"({"content":"x","usage":{"input_tokens":1,"output_tokens":0}})").unreported, 0);
  CAF_CHECK_EQUAL(decode("openai_chat", head_of(500, ""), "busy").completion.usage.unreported, 0);
}

CAF_TEST(a stream that breaks off has not said what it cost) {
  auto use = [](const std::string& more) {
    return decode("anthropic", head_of(200, "text/event-stream"),
                  "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n" + more)
        .completion.usage;
  };
  auto broken = use("");
  CAF_CHECK(broken.input_tokens == 25 && broken.unreported == 1); // the output at its start is not that at its end
  auto whole =
      use("data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n"
          "data: {\"type\":\"message_stop\"}\n\n");
  CAF_CHECK(whole.input_tokens == 25 && whole.output_tokens == 15 && whole.unreported == 0);
}

CAF_TEST(only what brings the reply on counts as progress and a stop that goes on is none) {
  wire::endpoint to;
  std::vector<chunk> out;
  auto d = wire::find_dialect("openai_chat")->make_decoder(to);
  d->head(head_of(200, "text/event-stream"));
  auto before = d->progress();
  d->feed(": ping\n\nevent: ping\ndata: x\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", out);
  CAF_CHECK(d->progress() == before && !d->semantic());
  std::string again = "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning_details\":[],\"node\":7}}]}\n\n";
  d->feed(again, out);
  before = d->progress();
  d->feed(again + "data: [HEARTBEAT]\n\ndata: null\n\n" + again, out);
  CAF_CHECK(d->progress() == before && !d->semantic() && !d->done());
  d->feed("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n", out);
  CAF_CHECK(d->progress() > before && d->semantic() && d->stopped() && !d->done());
  d->feed("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", out);
  CAF_CHECK(d->stopped());
  d->feed("data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n", out);
  CAF_CHECK(!d->stopped());
  CAF_CHECK_EQUAL(d->finish({}).text, "ab");
  d = wire::find_dialect("anthropic")->make_decoder(to);
  d->head(head_of(200, "text/event-stream"));
  d->feed("event: ping\ndata: {\"type\":\"ping\"}\n\n", out);
  CAF_CHECK_EQUAL(d->progress(), 0u);
  d->feed("data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n", out);
  CAF_CHECK(d->stopped() && !d->done());
}

CAF_TEST(malformed output is the fault of the model and another attempt may succeed) {
  auto d = decode("openai_chat", head_of(200, "text/event-stream"),
                  "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"malformed_function_call\"}]}\n\n");
  CAF_CHECK(d.completion.model_fault && d.completion.status == completion_status::broken);
}

CAF_TEST(the parts of one thought that a server sends beyond any number are refused) {
  std::string bytes;
  for (int i = 0; i < 1100; ++i)
    bytes += R"(data: {"choices":[{"delta":{"reasoning_details":[{"index":)" + std::to_string(i) + "}]}}]}\n\n";
  CAF_CHECK(decode("openai_chat", head_of(200, "text/event-stream"), bytes).completion.code == ec::bad_reply);
}

CAF_TEST(no byte at all is a failure that may be tried again) {
  for (auto* dialect : every_dialect) {
    auto d = decode(dialect, {}, "", {}, {ec::unavailable, "cannot connect to 127.0.0.1:1", 0, false});
    CAF_CHECK(d.completion.code == ec::unavailable && !d.completion.semantic);
    CAF_CHECK_EQUAL(d.completion.error, "cannot connect to 127.0.0.1:1");
    d = decode(dialect, head_of(200, "text/event-stream"), "");
    CAF_CHECK(d.completion.status == completion_status::broken && d.completion.code == ec::unavailable);
  }
}

CAF_TEST(a character cut between two events is replaced and the reply goes on) {
  auto bytes = std::string("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\xE6\x9D\"}}]}\n\n")
               + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xB1"
                 "b\"},\"finish_reason\":\"stop\"}]}\n\n";
  auto d = decode("openai_chat", head_of(200, "text/event-stream"), bytes, {1});
  CAF_CHECK(d.completion.status == completion_status::finished);
  CAF_CHECK_EQUAL(d.completion.text.front(), 'a');
  CAF_CHECK_EQUAL(d.completion.text.back(), 'b');
  CAF_CHECK(d.completion.text.find("\xEF\xBF\xBD") != std::string::npos);
}

CAF_TEST(deep or endless replies end as bad replies within their bounds) {
  auto deep = "data: {\"choices\":" + std::string(100'000, '[') + "\n\n";
  auto endless = "data: " + std::string(17u << 20, 'x');
  for (auto* dialect : every_dialect) {
    CAF_CHECK(decode(dialect, head_of(200, "text/event-stream"), deep).completion.code == ec::bad_reply);
    auto d = decode(dialect, head_of(200, "text/event-stream"), endless, {1u << 16});
    CAF_CHECK(d.done && d.completion.code == ec::bad_reply);
    CAF_CHECK_EQUAL(d.completion.error, "one event of the stream is larger than 16 MiB");
    d = decode(dialect, head_of(200, "application/json"), std::string(65u << 20, ' '), {1u << 20});
    CAF_CHECK(d.done && d.completion.code == ec::bad_reply);
  }
}

CAF_TEST(more text than the bound ends the stream and keeps none of what follows) {
  std::string event = R"(data: {"choices":[{"index":0,"delta":{"content":")" + std::string(1u << 20, 'x') + "\"}}]}\n\n", bytes;
  for (int i = 0; i < 70; ++i)
    bytes += event;
  auto d = decode("openai_chat", head_of(200, "text/event-stream"), bytes, {1u << 16});
  CAF_CHECK(d.done && d.completion.code == ec::bad_reply && d.completion.text.size() <= 64u << 20);
}

CAF_TEST(no reply is built up to many times its size) {
  std::string many;
  for (int i = 0; i < 1'000'000; ++i)
    many += "{},";
  auto event = "data: {\"choices\":[" + many + "{}]}\n\n", body = "{\"error\":[" + many + "{}]}";
  for (auto* dialect : every_dialect) {
    CAF_CHECK(decode(dialect, head_of(200, "text/event-stream"), event).completion.code == ec::bad_reply);
    CAF_CHECK(decode(dialect, head_of(200, "application/json"), body).completion.code == ec::bad_reply);
  }
}

CAF_TEST(a refusal without end says how it begins and its end is not waited for) {
  for (auto* type : {"application/json", "text/plain"})
    for (auto* dialect : every_dialect) {
      auto d = decode(dialect, head_of(500, type), "overloaded " + std::string(20u << 20, 'x'), {1u << 14});
      CAF_CHECK(d.done && d.completion.code == ec::unavailable);
      CAF_CHECK(d.completion.error.find("overloaded") != std::string::npos);
    }
}

CAF_TEST(an event of 15 MiB is read) {
  auto bytes = R"(data: {"choices":[{"index":0,"delta":{"content":")" + std::string(15u << 20, 'x')
               + "\"},\"finish_reason\":\"stop\"}]}\n\n";
  auto d = decode("openai_chat", head_of(200, "text/event-stream"), bytes, {1u << 16});
  CAF_CHECK(d.completion.status == completion_status::finished && d.completion.text.size() == 15u << 20);
}

CAF_TEST(more calls or blocks than any model makes are refused) {
  std::string calls, blocks;
  for (int i = 0; i < 300; ++i)
    calls += R"(data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"c)" + std::to_string(i)
             + R"(","function":{"name":"f"}}]}}]})" + "\n\n";
  for (int i = 0; i < 1100; ++i)
    blocks += R"(data: {"type":"content_block_start","index":)" + std::to_string(i)
              + R"(,"content_block":{"type":"text","text":""}})" + "\n\n";
  CAF_CHECK(decode("openai_chat", head_of(200, "text/event-stream"), calls).completion.code == ec::bad_reply);
  CAF_CHECK(decode("anthropic", head_of(200, "text/event-stream"), blocks).completion.code == ec::bad_reply);
}

CAF_TEST(a call without an index after the greatest index does not overflow) {
  auto body = R"({"choices":[{"message":{"tool_calls":[{"index":9223372036854775807,"id":"a","function":{"name":"f"}},
    {"id":"b","function":{"name":"g"}}]},"finish_reason":"stop"}]})";
  auto d = decode("openai_chat", head_of(200, "application/json"), body);
  CAF_CHECK_EQUAL(d.completion.calls.size(), 2u);
}

CAF_TEST(a server that echoes the key does not put it into the error) {
  wire::endpoint to;
  to.api_key = "sk-very-secret-key";
  to.headers = {{"X-Api-Key", "another-secret"}, {"Authorization", "Bearer third-secret"}, {"X-Title", "conclave team"}};
  for (auto* dialect : every_dialect)
    for (auto status : {401, 200}) {
      auto d = wire::find_dialect(dialect)->make_decoder(to);
      d->head(head_of(status, "application/json"));
      std::vector<chunk> chunks;
      d->feed(
          R"({"type":"error","error":{"type":"authentication_error","message":"bad key sk-very-secret-key, another-secret, third-secret, conclave team"}})",
          chunks);
      auto c = d->finish({});
      CAF_CHECK(c.code == ec::unauthorized);
      CAF_CHECK(c.error.find("bad key ***, ***, ***, conclave team") != std::string::npos);
    }
}

CAF_TEST(a key that is echoed escaped or at a cut or as a request id does not show) {
  wire::endpoint to;
  to.api_key = "sk/abc/SECRET";
  to.base_url = "https://h/v1?sig=s%2Bg4&api-version=2024-10-21";
  to.query = {{"key", "q-1234"}, {"mode", "q-mode"}};
  to.hidden.add_variable("PLACE", "somewhere-far");
  auto error_of = [&](const char* dialect, int status, const char* type, const std::string& body) {
    auto d = wire::find_dialect(dialect)->make_decoder(to);
    d->head(head_of(status, type, {{"request-id", "r-sk%2Fabc/SECRET"}}));
    std::vector<chunk> chunks;
    d->feed(body, chunks);
    auto error = d->finish({}).error;
    for (auto* part : {"SECRET", "sk/abc", "sk\\/abc", "s+g4", "q-1234", "somewhere"})
      CAF_CHECK_EQUAL(error.find(part) == std::string::npos ? std::string{} : error, "");
    return error;
  };
  const std::string echo = R"(sk\/abc\u002fSECRET s%2bg4 2024-10-21 q-1234 q-mode somewhere-far)";
  for (auto* dialect : every_dialect)
    for (auto status : {401, 200}) {
      auto object = R"({"type":"error","error":{"message":")" + echo + "\"}}";
      CAF_CHECK(error_of(dialect, status, "application/json", object).find("*** *** 2024-10-21 *** q-mode ***")
                != std::string::npos);
      error_of(dialect, status, "text/event-stream", "event: error\ndata: " + object + "\n\n");
      error_of(dialect, status, "text/html", "<html>" + echo + std::string(385, 'x') + "sk/abc/SECRET</html>");
      error_of(dialect, status, "application/json", R"({"error":{"type":"error","info":"sk\/abc\/SECRET"}})"); // shown as JSON
      for (std::size_t n = 60; n < 100; ++n) // no JSON: shown up to 80 bytes
        error_of(dialect, status, "text/event-stream", "data: {" + std::string(n, 'x') + "sk/abc/SECRET\n\n");
      for (std::size_t n = 280; n < 310; ++n)
        error_of(dialect, status, "application/json", R"({"error":{"message":")" + std::string(n, 'x') + R"(sk\/abc\/SECRET"}})");
    }
}

CAF_TEST(a count beyond all bounds leaves the cost unknown and the reply whole) {
  for (const auto& huge : std::vector<std::string>{"1e400", "-1e400", "99999999999999999999", "18446744073709551615", "1e300",
                                                   "1000000000001", "1" + std::string(5'000, '0')}) {
    CAF_MESSAGE(huge.substr(0, 30));
    auto chat = decode("openai_chat", head_of(200, "text/event-stream"),
                       "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"
                       "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":"
                           + huge + ",\"completion_tokens\":3}}\n\ndata: [DONE]\n\n")
                    .completion;
    CAF_CHECK_EQUAL(chat.status, completion_status::finished);
    CAF_CHECK_EQUAL(chat.text, "x");
    CAF_CHECK_EQUAL(chat.usage.input_tokens, 0);
    CAF_CHECK_EQUAL(chat.usage.unreported, 1);
    auto body = decode("anthropic", head_of(200, "application/json"),
                       R"({"content":"x","stop_reason":"end_turn","usage":{"input_tokens":)" + huge + R"(,"output_tokens":3}})")
                    .completion;
    CAF_CHECK_EQUAL(body.status, completion_status::finished);
    CAF_CHECK_EQUAL(body.usage.unreported, 1);
  }
}
