// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.http_reply

#include "protocols/wire/http_reply.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/error_kind.hpp"

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
      {413, "", ec::context_overflow},
      {407, "", ec::bad_config},
      {501, "", ec::bad_request},
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
  CAF_CHECK_EQUAL(failure(400, R"({"error":"three"})").error, "400, \"three\"");
  CAF_CHECK_EQUAL(failure(422, R"({"detail":[{"loc":["body"],"msg":"four"}]})").error, "422, \"body: four\"");
  CAF_CHECK_EQUAL(failure(400, R"({"message":"five"})").error, "400, \"five\"");
  CAF_CHECK_EQUAL(failure(400, R"([{"error":{"message":"six"}}])").error, "400, \"six\"");
  CAF_CHECK_EQUAL(failure(502, "seven\n").error, "502, \"seven\"");
  CAF_CHECK_EQUAL(failure(500, "").error, "500");
  CAF_CHECK_EQUAL(failure(500, "[]").error, "500");
  CAF_CHECK_EQUAL(failure(500, "null").error, "500");
}

CAF_TEST(the innermost sentence of the server reaches the person) {
  struct {
    const char* body;
    const char* error;
    ec code;
  } table[] = {
      // OpenRouter: the sentence of the provider behind it, as JSON in a string, as JSON, as text, cut off.
      {R"({"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"No such tool\"}}","provider_name":"Groq"}}})",
       "400, \"Groq: No such tool\"", ec::bad_request},
      {R"({"error":{"message":"Provider returned error","code":400,"metadata":{"raw":{"message":"deep"}}}})", "400, \"deep\"",
       ec::bad_request},
      {R"({"error":{"message":"two","code":400,"metadata":{"raw":"x y"}}})", "400, \"x y\"", ec::bad_request},
      {R"({"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"mess"}}})", "400, \"{\"error\":{\"mess\"",
       ec::bad_request},
      {R"({"error":{"message":"{\"error\":{\"message\":\"nested\"}}"}})", "400, \"nested\"", ec::bad_request},
      {R"({"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}})", "400, \"insufficient balance\"",
       ec::unauthorized},
      {R"({"object":"error","message":"bare","type":"BadRequestError","param":null,"code":400})", "400, \"bare\"", ec::bad_request},
      {R"({"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","messages",2,"assistant","x"],"msg":"Extra inputs are not permitted"}]}})",
       "400, \"body.messages.2.assistant.x: Extra inputs are not permitted\"", ec::bad_request},
      {R"({"success":false,"errors":[{"code":7003,"message":"no route"}],"messages":[]})", "400, \"no route\"", ec::bad_request},
      {R"({"errcode":3,"errmsg":"too many"})", "400, \"too many\"", ec::bad_request},
      {R"({"error":{"code":"400","innererror":{"message":"within"}}})", "400, \"within\"", ec::bad_request},
      {R"({"errors":["one","two"]})", "400, \"one; two\"", ec::bad_request},
      {R"({"title":"One or more errors","status":400,"errors":{"model":["unknown"]}})",
       "400, \"One or more errors: model: unknown\"", ec::bad_request},
      {R"({"title":"Forbidden thing","detail":"why"})", "400, \"Forbidden thing: why\"", ec::bad_request},
      {R"({"detail":"Not Found"})", "400, \"Not Found\"", ec::bad_request},
      {R"({"code":"InvalidParameter","message":"m"})", "400, \"m\"", ec::bad_request},
      {R"({"error_code":17,"error_msg":"too fast"})", "400, \"too fast\"", ec::bad_request},
      {R"({"error":"invalid_grant","error_description":"gone"})", "400, \"gone\"", ec::bad_request},
      {R"({"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}})", "400, \"API key not valid.\"",
       ec::unauthorized},
      {R"([{"error":{"code":400,"message":"list","status":"X"}}])", "400, \"list\"", ec::bad_request},
      {R"({"error":"Bad Request","message":"the cause"})", "400, \"the cause\"", ec::bad_request},
      {R"({"error":{"message":"x"},"detail":{"a":{"b":{"c":{"d":{"e":{"message":"deep"}}}}}}})", "400, \"x\"", ec::bad_request},
  };
  for (auto& t : table) {
    auto c = failure(400, t.body);
    CAF_CHECK_EQUAL(c.error, t.error);
    CAF_CHECK_EQUAL(c.code, t.code);
    CAF_CHECK(!c.said.empty());
  }
}

CAF_TEST(what a server says is kept apart with its code and without secrets) {
  completion c;
  secrets hidden;
  hidden.add_key("sk-secret-1234");
  http_failure(c, {400, {}}, R"({"error":{"message":"no sk-secret-1234","type":"t","code":"c","param":"tools[3]"}})", hidden);
  CAF_CHECK_EQUAL(c.said, "no *** (c t tools[3])");
  c = {};
  stream_failure(c, *parse(R"({"error":{"message":"bad sk-secret-1234","code":500}})"), false, hidden);
  CAF_CHECK_EQUAL(c.said, "bad *** (500)");
}

CAF_TEST(a conversation that is too long is known by the words of every server) {
  for (auto* said : {"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
                     "Your input exceeds the context window of this model.",
                     "prompt is too long: 210000 tokens > 200000 maximum",
                     "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
                     "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
                     "the request exceeds the available context size, try increasing it",
                     "input length exceeds maximum context length",
                     "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context "
                     "length of only 4096 tokens",
                     "Please reduce the length of the messages or completion.",
                     "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                     "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                     "Input is too long for requested model.",
                     "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
                     "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and "
                     "512 `max_new_tokens`",
                     "`inputs` must have less than 4096 tokens. Given: 5000",
                     "too many tokens: total number of tokens in the prompt cannot exceed 4081",
                     "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                     "Invalid request: Your request exceeded model token limit: 8192",
                     "Prompt exceeds max length",
                     "Range of input length should be [1, 30720]",
                     "invalid params, context window exceeds limit (2013)",
                     "max_tokens must be at least 1, got -120. (parameter=max_tokens, value=-120)",
                     "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
                     "Invalid 'messages[1].content': string too long. Expected a string with maximum length 1048576."}) {
    CAF_MESSAGE(said);
    for (auto status : {400, 422, 500})
      CAF_CHECK(failure(status, dump({{"error", {{"message", said}}}})).code == ec::context_overflow);
    completion c;
    stream_failure(c, {{"error", {{"message", said}}}}, false);
    CAF_CHECK(c.code == ec::context_overflow);
  }
  for (auto* said :
       {"max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens",
        "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 200 instead.",
        "Unexpected token in JSON at position 0 of the request", "Invalid 'tools[3].function.description': string too long."}) {
    CAF_MESSAGE(said);
    CAF_CHECK(failure(400, dump({{"error", {{"message", said}}}})).code == ec::bad_request);
  }
  CAF_CHECK(
      failure(429,
              R"({"error":{"message":"Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 4000."}})")
          .code
      == ec::rate_limited);
  CAF_CHECK(
      failure(429, R"({"error":{"message":"Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."}})").code
      == ec::context_overflow);
}

CAF_TEST(a fault of the model is none of the request) {
  for (
      auto* body :
      {R"({"error":{"message":"Failed to call a function. Please adjust your prompt.","code":"tool_use_failed","failed_generation":"<f>"}})",
       R"({"error":{"message":"Failed to parse tool call arguments as JSON: [json.exception]","code":500}})",
       R"({"error":{"message":"Failed to generate JSON","code":"json_validate_failed"}})",
       R"({"error":{"message":"Tool call validation failed: attempted to call tool 'x' which was not in request.tools"}})",
       R"({"error":{"message":"Malformed function call"}})", R"({"error":{"message":"model output is not valid JSON"}})"})
    for (auto status : {400, 422, 500}) {
      auto c = failure(status, body);
      CAF_CHECK(c.model_fault && c.code == ec::bad_reply);
      completion s;
      stream_failure(s, *parse(body), true);
      CAF_CHECK(s.model_fault && s.code == ec::bad_reply);
    }
  CAF_CHECK(!failure(400, R"({"error":{"message":"Invalid schema for function 'x'"}})").model_fault);
}

CAF_TEST(an empty account is not a wrong key) {
  for (auto* body :
       {R"({"error":{"message":"You exceeded your current quota, please check your plan","code":"insufficient_quota"}})",
        R"({"error":{"message":"Insufficient Balance"}})", R"({"error":{"message":"Insufficient credits. Add more"}})",
        R"({"error":{"message":"Your credit balance is too low to access the API"}})"})
    for (auto status : {400, 402, 403, 429}) {
      auto c = failure(status, body);
      CAF_CHECK_EQUAL(c.code, ec::unauthorized);
      CAF_CHECK(advice(c.code, status, c.said).find("plan and billing") != std::string::npos);
    }
  CAF_CHECK_EQUAL(advice(ec::unauthorized, 401, "no such key"), "; check the key");
  // Gemini's free tier: the same words, but with a wait.
  auto c = failure(
      429,
      R"([{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 31.2s.","status":"RESOURCE_EXHAUSTED"}}])");
  CAF_CHECK_EQUAL(c.code, ec::rate_limited);
  CAF_CHECK_EQUAL(c.retry_after_ms, 31'200);
}

CAF_TEST(a wait in the body counts like the header and the header wins) {
  struct {
    const char* body;
    std::int64_t ms;
  } table[] = {
      {R"({"error":{"message":"x","details":[{"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"31s"}]}})",
       31'000},
      {R"([{"error":{"message":"x","details":[{"retryDelay":"0.5s"}]}}])", 500},
      {R"({"error":{"message":"Please try again in 31.2s. Visit"}})", 31'200},
      {R"({"error":{"message":"Please try again in 1m30.5s."}})", 90'500},
      {R"({"error":{"message":"try again in 20ms"}})", 20},
      {R"({"error":{"message":"Please retry after 20 seconds."}})", 20'000},
      {R"({"error":{"message":"Please wait for 2 minutes before"}})", 120'000},
      {R"({"error":{"message":"retry in 1h2m3s"}})", 3'723'000},
      {R"({"error":"Model m is currently loading","estimated_time":20.5})", 20'500},
      {R"({"retry_after":7,"message":"slow"})", 7000},
      {R"({"error":{"message":"x","metadata":{"raw":"slow","headers":{"Retry-After":"3"}}}})", 3000},
      {R"({"error":{"message":"Too many. Retry after: 2s"}})", 2000},
      {R"({"error":{"message":"try again later"}})", -1},
      {R"({"error":{"message":"try again in a while"}})", -1},
      {R"({"error":{"message":"retry in 99999999999999999999s"}})", max_wait_ms},
      {R"({"retry_after":1e12})", max_wait_ms},
      {R"({"retry_after":-7})", -1},
      {R"({"retry_after":{"seconds":99999999999}})", max_wait_ms},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.body);
    CAF_CHECK_EQUAL(failure(429, t.body).retry_after_ms, t.ms);
    CAF_CHECK_EQUAL(failure(503, t.body).retry_after_ms, t.ms);
    CAF_CHECK_EQUAL(failure(429, t.body, {{"retry-after", "3"}}).retry_after_ms, 3000);
    CAF_CHECK_EQUAL(failure(400, t.body).retry_after_ms, -1);
  }
}

CAF_TEST(clear text to a port with TLS is told) {
  for (auto* body : {"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
                     "Client sent an HTTP request to an HTTPS server.\n"}) {
    auto c = failure(400, body);
    CAF_CHECK(advice(c.code, 400, c.said).find("https://") != std::string::npos);
  }
}

CAF_TEST(a web page of a proxy is told by its words) {
  auto c = failure(502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>Bad Gateway</h1></body></html>");
  CAF_CHECK_EQUAL(c.error, "502, \"502 Bad Gateway: Bad Gateway\"");
  c = failure(
      503,
      "<!DOCTYPE html>\n<html><head><STYLE>body { color: red }</STYLE><title>Down &amp; out</title><script>if (a<b) x();</script >"
      "</head><!-- <b>no</b> --><body><svg><text>logo</text></svg><h1>Down &amp; out</h1><p>Back&nbsp;at&#32;5&#x21;</p></body>");
  CAF_CHECK_EQUAL(c.error, "503, \"Down & out Back at 5!\"");
  c = failure(503, "<html><style>" + std::string(100'000, 'x') + "</style><p>late words");
  CAF_CHECK_EQUAL(c.error, "503, \"late words\"");
  CAF_CHECK_EQUAL(failure(503, "<style>never closed").error, "503");
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

CAF_TEST(a date to wait for is judged by when the reply came) {
  completion c;
  http_failure(c, {503, {{"retry-after", "Thu, 01 Jan 1970 00:01:00 GMT"}}, 0, 20}, "");
  CAF_CHECK_EQUAL(c.retry_after_ms, 40'000);
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

CAF_TEST(a wait too long to count is a long one and not an absent one) {
  for (auto* huge : {"2592001", "9999999999", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"})
    CAF_CHECK_EQUAL(wait("retry-after", huge), max_wait_ms);
  CAF_CHECK_EQUAL(wait("retry-after", std::string(400, '9').c_str()), max_wait_ms);
  CAF_CHECK_EQUAL(wait("retry-after-ms", "99999999999999999999999"), max_wait_ms);
  CAF_CHECK_EQUAL(wait("retry-after", "3600"), 3'600'000);
  CAF_CHECK_EQUAL(wait("retry-after", "90s"), 90'000);
  for (auto* date : {"Thursday, 01-Jan-70 00:01:00 GMT", "Thu Jan  1 00:01:00 1970"}) // the older forms
    CAF_CHECK_EQUAL(wait("retry-after", date, 10), 50'000);
  CAF_CHECK_EQUAL(wait("retry-after", "Mon, 01 Jan 1900 00:00:00 GMT", 10), 0);
}
