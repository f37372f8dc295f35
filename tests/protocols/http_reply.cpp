// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.http_reply

#include "protocols/wire/http_reply.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

completion failure(int status, const std::string& body, key_values headers = {}) {
  completion c;
  http_failure(c, {status, std::move(headers)}, body);
  CAF_CHECK(c.status == completion_status::broken);
  return c;
}

std::int64_t wait(const char* name, const char* value, std::int64_t now = 0) {
  return retry_after_ms({429, {{name, value}}}, now);
}

} // namespace

CAF_TEST(each status has the code that says what to do next) {
  struct {
    int status;
    const char* body;
    ec code;
  } table[] = {
      {400, R"({"error":{"message":"bad"}})", ec::bad_request},
      {401, "", ec::unauthorized},
      {402, "", ec::unauthorized},
      {403, "", ec::unauthorized},
      {404, R"({"error":"model not found"})", ec::bad_request},
      {408, "", ec::unavailable},
      {409, "", ec::unavailable},
      {413, "", ec::bad_request},
      {413, R"({"error":{"message":"too many input tokens"}})", ec::context_overflow},
      {422, "", ec::bad_request},
      {429, R"({"error":{"message":"slow down"}})", ec::rate_limited},
      {429, R"({"error":{"message":"no","code":"insufficient_quota"}})", ec::unauthorized},
      {400, R"({"type":"error","error":{"type":"billing_error","message":"Your credit balance is too low"}})", ec::unauthorized},
      {400, R"({"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}})",
       ec::context_overflow},
      {400, R"({"error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}})",
       ec::context_overflow},
      {400,
       R"({"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}})",
       ec::context_overflow},
      {500, "", ec::unavailable},
      {503, "<html>", ec::unavailable},
      {529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})", ec::unavailable},
      {301, "", ec::bad_config},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.status << " " << t.body);
    CAF_CHECK(failure(t.status, t.body).code == t.code);
  }
}

CAF_TEST(every shape of error body gives its sentence) {
  CAF_CHECK_EQUAL(failure(400, R"({"error":{"message":"one","type":"t","code":null}})").error, "400, \"one\"");
  CAF_CHECK_EQUAL(failure(400, R"({"error":{"message":"two","code":400,"metadata":{"raw":"x"}}})").error, "400, \"two\"");
  CAF_CHECK_EQUAL(failure(400, R"({"error":"three"})").error, "400, \"three\"");
  CAF_CHECK_EQUAL(failure(422, R"({"detail":[{"loc":["body"],"msg":"four"}]})").error, R"(422, "[{"loc":["body"],"msg":"four"}]")");
  CAF_CHECK_EQUAL(failure(400, R"({"message":"five"})").error, "400, \"five\"");
  CAF_CHECK_EQUAL(failure(400, R"([{"error":{"message":"six"}}])").error, "400, \"six\"");
  CAF_CHECK_EQUAL(failure(502, "seven\n").error, "502, \"seven \"");
  CAF_CHECK_EQUAL(failure(500, "").error, "500");
  CAF_CHECK_EQUAL(failure(500, "[]").error, "500");
  CAF_CHECK_EQUAL(failure(500, "null").error, "500");
}

CAF_TEST(a web page of a proxy is told by its words) {
  auto c = failure(502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>Bad Gateway</h1></body></html>");
  CAF_CHECK_EQUAL(c.error, "502, \"502 Bad Gateway Bad Gateway\"");
}

CAF_TEST(the request id of any vendor is named once) {
  auto c = failure(500, R"({"error":{"message":"x"}})", {{"request-id", "req_1"}, {"x-generation-id", "gen_1"}});
  CAF_CHECK_EQUAL(c.error, "500, \"x\" (request req_1)");
}

CAF_TEST(an error is one clean line of bounded length) {
  auto c = failure(500, "a\r\nb\x1b[2J\xC2\x9B\xE2\x80\xAE\xFF" + std::string(5000, 'x'), {{"request-id", "r\x1b]0;t\x07"}});
  CAF_CHECK(c.error.size() < 500 && c.error.find('\n') == std::string::npos && c.error.find('\x1b') == std::string::npos);
  CAF_CHECK(c.error.find("a  b[2J\xEF\xBF\xBDx") != std::string::npos);
}

CAF_TEST(text is cut at a character) {
  std::string long_text;
  for (int i = 0; i < 200; ++i)
    long_text += "\xE6\x9D\xB1";
  for (std::size_t limit = 1; limit < 40; ++limit) {
    auto cut = brief(long_text, limit);
    CAF_CHECK_EQUAL(cut.size(), limit / 3 * 3 + 3);
    CAF_CHECK_EQUAL(cut.substr(cut.size() - 3), "...");
  }
  CAF_CHECK_EQUAL(brief("short"), "short");
  CAF_CHECK_EQUAL(brief(std::string(300, 'x')), std::string(300, 'x'));
  CAF_CHECK_EQUAL(brief(std::string(301, 'x')), std::string(300, 'x') + "...");
}

CAF_TEST(waits are read in milliseconds seconds and as a date) {
  CAF_CHECK_EQUAL(wait("retry-after", "7"), 7000);
  CAF_CHECK_EQUAL(wait("retry-after", "0.25"), 250);
  CAF_CHECK_EQUAL(wait("retry-after-ms", "1500.2"), 1501);
  CAF_CHECK_EQUAL(retry_after_ms({429, {{"retry-after", "9"}, {"retry-after-ms", "20"}}}, 0), 20);
  CAF_CHECK_EQUAL(wait("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT", 10), 50000);
  CAF_CHECK_EQUAL(wait("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT", 100), 0);
  for (auto* bad : {"", "soon", "-1", "nan", "inf", "1e300", "7 apples", "Thu, 99 Foo 1970"})
    CAF_CHECK_EQUAL(wait("retry-after", bad), -1);
  CAF_CHECK_EQUAL(retry_after_ms({429, {}}, 0), -1);
}

CAF_TEST(a server may forbid another try or ask for one) {
  CAF_CHECK(!failure(500, "").retry_asked && !failure(400, "", {{"x-should-retry", "false"}}).retry_asked);
  CAF_CHECK(failure(400, "", {{"x-should-retry", "True"}}).retry_asked);
  CAF_CHECK(failure(500, "").retryable_hint);
  CAF_CHECK(failure(500, "", {{"x-should-retry", "true"}}).retryable_hint);
  CAF_CHECK(!failure(500, "", {{"x-should-retry", "False"}}).retryable_hint);
}

CAF_TEST(an error inside a stream has a code before and after the first text) {
  struct {
    const char* error;
    ec before, after;
  } table[] = {
      {R"({"error":{"type":"overloaded_error","message":"Overloaded"}})", ec::unavailable, ec::stream_broken},
      {R"({"error":{"type":"rate_limit_error","message":"x"}})", ec::rate_limited, ec::stream_broken},
      {R"({"error":{"code":429,"message":"x"}})", ec::rate_limited, ec::stream_broken},
      {R"({"error":{"code":502,"message":"x"}})", ec::unavailable, ec::stream_broken},
      {R"({"error":{"type":"authentication_error","message":"x"}})", ec::unauthorized, ec::unauthorized},
      {R"({"error":{"type":"invalid_request_error","message":"x"}})", ec::bad_request, ec::bad_request},
      {R"({"error":{"type":"invalid_request_error","message":"prompt is too long"}})", ec::context_overflow, ec::context_overflow},
      {R"({"error":"anything"})", ec::unavailable, ec::stream_broken},
      {R"({"error":{"code":"99999999999999999999"}})", ec::unavailable, ec::stream_broken},
      {R"({"error":true})", ec::unavailable, ec::stream_broken},
  };
  for (auto& t : table)
    for (bool semantic : {false, true}) {
      completion c;
      stream_failure(c, *parse(t.error), semantic);
      CAF_MESSAGE(t.error);
      CAF_CHECK(c.code == (semantic ? t.after : t.before));
      CAF_CHECK(!c.error.empty());
    }
}

CAF_TEST(how a transfer ended decides the code and never leaves calls) {
  for (bool semantic : {false, true}) {
    completion c;
    c.calls = {{"a", "f", "{}"}};
    transfer_failure(c, {ec::unavailable, "gone", 200, true}, semantic);
    CAF_CHECK(c.calls.empty() && c.error == "gone" && c.code == (semantic ? ec::stream_broken : ec::unavailable));
    transfer_failure(c, {ec::timeout, "late", 200, true}, semantic);
    CAF_CHECK(c.code == ec::timeout);
    transfer_failure(c, {ec::cancelled, "stop", 200, true}, semantic);
    CAF_CHECK(c.code == ec::cancelled && c.status == completion_status::cancelled);
  }
}

CAF_TEST(members are merged last and null leaves or removes what is there) {
  json body = {{"a", 1}, {"b", 1}};
  CAF_CHECK(merge(body, R"({"a":2,"b":null,"c":{"d":[]}})"));
  CAF_CHECK_EQUAL(dump(body), R"({"a":2,"b":1,"c":{"d":[]}})");
  CAF_CHECK(merge(body, R"({"a":null,"b":3,"no":null})", null_member::removes));
  CAF_CHECK_EQUAL(dump(body), R"({"b":3,"c":{"d":[]}})");
  CAF_CHECK(merge(body, "") && !merge(body, "[]") && !merge(body, "{") && !merge(body, "null"));
}
