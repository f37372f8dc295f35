// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config

#include "app/load_config.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "tests/app/load_config_support.hpp"

using namespace conclave;

CAF_TEST(a full file is read into every field) {
  auto r = load(R"(
agents:
  - id: first
    system_message: |
      Be brief.
    backend:
      type: ChatCompletion
      model: gpt-x
      base_url: https://api.groq.com/openai/v1
      api_key_env: MY_KEY
      provider: Mine
      decision: Tools
      max_tokens: 99
      context_tokens: 4096
      timeout: 1.5
      idle_timeout_seconds: 7
      temperature: 0.5
      extra_body: {a: {b: [1, "1"]}}
      extra_headers: {X-A: 1}
      extra_query: {q: v}
      allowed_tools: one
      exclude_tools: [two, three]
      max_tool_iterations: 4
      parallel_tool_calls: off
      mcp_tool_timeout_seconds: 9
      native_tools: [clock]
      http2: yes
  - backend: {type: claude, anthropic_version: "2023-06-01"}
    node: far
orchestrator:
  pacing: eager
  straggler_patience_seconds: 2.5
  max_new_answers_per_agent: 5
  max_new_answers_global: 9
  max_failed_runs: 2
  max_runs: 77
  max_answer_bytes: 1000
  final_answer_strategy: winner_reuse
timeout_settings:
  orchestrator_timeout_seconds: 100
  initial_round_timeout_seconds: 50
  subsequent_round_timeout_seconds: 40
  presentation_timeout_seconds: 30
  first_token_timeout_seconds: 20
  idle_timeout_seconds: 10
cluster:
  nodes: {far: "far.example.org:4242", near: "[::1]:1"}
  tls: {cert: c.pem, key: k.pem, ca: a.pem}
ui:
  display_type: simple
)");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_REQUIRE_EQUAL(r.config.agents.size(), 2u);
  CAF_CHECK_EQUAL(r.config.source, "t.yaml");
  const auto& a = r.config.agents[0];
  CAF_CHECK_EQUAL(a.id, "first");
  CAF_CHECK_EQUAL(a.system_message, "Be brief.\n");
  const auto& b = a.backend;
  CAF_CHECK_EQUAL(b.type, "chatcompletion");
  CAF_CHECK_EQUAL(b.model, "gpt-x");
  CAF_CHECK_EQUAL(b.base_url, "https://api.groq.com/openai/v1");
  CAF_CHECK_EQUAL(b.api_key_env, "MY_KEY");
  CAF_CHECK_EQUAL(b.provider, "Mine");
  CAF_CHECK_EQUAL(b.decision, "tools");
  CAF_CHECK_EQUAL(b.max_tokens, 99);
  CAF_CHECK_EQUAL(b.context_tokens, 4096);
  CAF_CHECK_EQUAL(b.timeout_ms, 1500);
  CAF_CHECK_EQUAL(b.first_token_timeout_ms, 20'000);
  CAF_CHECK_EQUAL(b.idle_timeout_ms, 7000);
  CAF_CHECK_EQUAL(b.params, R"({"temperature":0.5})");
  CAF_CHECK_EQUAL(b.extra_body, R"({"a":{"b":[1,"1"]}})");
  CAF_CHECK_EQUAL(b.extra_headers.at("X-A"), "1");
  CAF_CHECK_EQUAL(b.extra_query.at("q"), "v");
  CAF_CHECK(b.has_allowed_tools);
  CAF_CHECK_EQUAL(b.allowed_tools, strings{"one"});
  CAF_CHECK_EQUAL(b.exclude_tools, (strings{"two", "three"}));
  CAF_CHECK_EQUAL(b.max_tool_iterations, 4);
  CAF_CHECK(!b.parallel_tool_calls);
  CAF_CHECK_EQUAL(b.tool_timeout_ms, 9000);
  CAF_CHECK_EQUAL(b.native_tools, strings{"clock"});
  CAF_CHECK(b.http2);
  const auto& second = r.config.agents[1];
  CAF_CHECK_EQUAL(second.id, "agent2");
  CAF_CHECK_EQUAL(second.node, "far");
  CAF_CHECK_EQUAL(second.backend.api_version, "2023-06-01");
  CAF_CHECK_EQUAL(second.backend.model, find_backend_kind("claude")->default_model);
  CAF_CHECK_EQUAL(second.backend.idle_timeout_ms, 10'000);
  const auto& rules = r.config.rules;
  CAF_CHECK(rules.pacing == ledger::pacing::eager);
  CAF_CHECK(rules.strategy == ledger::strategy::winner_reuse);
  CAF_CHECK_EQUAL(rules.patience_ms, 2500);
  CAF_CHECK_EQUAL(rules.max_answers_per_agent, 5u);
  CAF_CHECK_EQUAL(rules.max_answers_global, 9u);
  CAF_CHECK_EQUAL(rules.max_failed_runs, 2u);
  CAF_CHECK_EQUAL(rules.max_runs, 77u);
  CAF_CHECK_EQUAL(rules.max_answer_bytes, 1000u);
  CAF_CHECK_EQUAL(rules.coordination_ms, 100'000);
  CAF_CHECK_EQUAL(rules.initial_run_ms, 50'000);
  CAF_CHECK_EQUAL(rules.later_run_ms, 40'000);
  CAF_CHECK_EQUAL(rules.presentation_ms, 30'000);
  CAF_REQUIRE_EQUAL(r.config.cluster.nodes.size(), 2u);
  CAF_CHECK_EQUAL(r.config.cluster.nodes[0].first, "far");
  CAF_CHECK_EQUAL(r.config.cluster.nodes[1].second, "[::1]:1");
  CAF_CHECK_EQUAL(r.config.cluster.tls.ca, "a.pem");
  CAF_CHECK_EQUAL(r.config.ui.display_type, "simple");
}

CAF_TEST(defaults are those of the structs) {
  auto r = load(with(""));
  CAF_CHECK_EQUAL(all(r), "");
  backend_config b;
  b.type = "chatcompletion";
  b.model = "m";
  CAF_CHECK(first(r) == b);
  CAF_CHECK(r.config.rules == ledger::rules{});
  auto local = load("agent: {backend: {type: local}}");
  CAF_CHECK_EQUAL(all(local), "");
  CAF_CHECK_EQUAL(first(local).max_tokens, 512);
}

CAF_TEST(every problem is reported at once with its line and path) {
  auto r = load(R"(agents:
  - id: a
    backned: {type: local}
    backend:
      type: chatcompletion
      model: m
      timeout: -1
      max_tokens: many
      decision: tool
  - id: a
    backend: {type: chatcompletion}
orchestrator:
  max_new_answer_per_agent: 3
timeout_settings:
  orchestrator_timeout_second: 3
orchestrater: {}
)");
  CAF_CHECK_EQUAL(where(r), (strings{"3 agents[0].backned", "7 agents[0].backend.timeout", "8 agents[0].backend.max_tokens",
                                     "9 agents[0].backend.decision", "10 agents[1].id", "11 agents[1].backend.model",
                                     "13 orchestrator.max_new_answer_per_agent", "15 timeout_settings.orchestrator_timeout_second",
                                     "16 orchestrater"}));
  for (const auto* hint :
       {"'backend'", "'tools'", "'max_new_answers_per_agent'", "'orchestrator_timeout_seconds'", "'orchestrator'"})
    CAF_CHECK(says(r, std::string{"did you mean "} + hint + "?"));
  CAF_CHECK(all(r).starts_with("t.yaml:3: agents[0].backned: unknown key"));
}

CAF_TEST(the singular form keeps its own paths) {
  auto r = load("agent:\n  id: a/b\n  backend:\n    type: nope\n");
  CAF_CHECK_EQUAL(where(r), (strings{"2 agent.id", "4 agent.backend.type"}));
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: local}}\nagents: []\n")), strings{"2 agents"});
  CAF_CHECK_EQUAL(where(load("agents: []")), strings{"1 agents"});
  CAF_CHECK_EQUAL(where(load("ui: {}")), strings{"0 agents"});
  CAF_CHECK_EQUAL(where(load("agents: [{id: a}]")), strings{"1 agents[0].backend"});
  CAF_CHECK_EQUAL(where(load("agents: [{id: a, backend: }]")), strings{"1 agents[0].backend"});
  CAF_CHECK_EQUAL(where(load("agents: [3, [], ~]")).size(), 3u);
}

CAF_TEST(unknown backend keys pass with one warning each and our own are refused) {
  auto r = load(with("temprature: 1\nnew_thing: {a: 1}\nnothing: ~"));
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(where(r, severity::warning), (strings{"6 agents[0].backend.temprature", "7 agents[0].backend.new_thing"}));
  CAF_CHECK(says(r, "did you mean 'temperature'?"));
  CAF_CHECK_EQUAL(first(r).params, R"({"temprature":1,"new_thing":{"a":1}})");
  CAF_CHECK_EQUAL(r.config.notes.size(), 2u);
  for (const auto* key : {"stream", "messages", "tools", "n"}) {
    CAF_CHECK_EQUAL(where(load(with(std::string{key} + ": 1"))).size(), 1u);
    CAF_CHECK_EQUAL(where(load(with("extra_body: {" + std::string{key} + ": 1}"))).size(), 1u);
  }
  for (const auto* text : {"extra_body: {candidateCount: 2}", "extra_body: {generationConfig: {candidateCount: 2}}",
                           "extra_body: {generation_config: {candidate_count: 2}}", "generation_config: {candidateCount: 2}"})
    CAF_CHECK_EQUAL(where(load(with(text))).size(), 1u);
  auto without = load(with("extra_body: {stream_options: null, n: ~}"));
  CAF_CHECK(without.ok());
  CAF_CHECK_EQUAL(first(without).extra_body, R"({"stream_options":null,"n":null})");
  CAF_CHECK_EQUAL(where(load(with("extra_body: {messages: null}"))).size(), 1u);
}

CAF_TEST(numbers of keys have the forms of YAML and what is none is named by its kind) {
  auto limits = [](const std::string& more) {
    return load("agents: [{id: a, backend: {type: scripted, steps: [answer: x]}}]\n" + more);
  };
  CAF_CHECK_EQUAL(limits("orchestrator: {max_runs: 0x10}").config.rules.max_runs, 16u);
  CAF_CHECK_EQUAL(limits("orchestrator: {max_runs: 0o17}").config.rules.max_runs, 15u);
  CAF_CHECK(!limits("orchestrator: {max_runs: 0xffffffffffffffff}").ok());
  CAF_CHECK(!limits("orchestrator: {max_runs: \"0x10\"}").ok());
  CAF_CHECK(says(limits("budget: {tokens: 10, warn_at: 0.5}"), "expected a list, found a number"));
}

CAF_TEST(a budget of thinking below the least the provider takes is an error) {
  auto with_type = [](const char* type, const char* thinking) {
    return load(std::string{"agent: {backend: {type: "} + type + ", model: m, thinking: " + thinking + "}}");
  };
  CAF_CHECK(with_type("claude", "{type: enabled, budget_tokens: 1024}").ok());
  CAF_CHECK(with_type("claude", "{type: adaptive}").ok());
  CAF_CHECK(with_type("zai", "{type: enabled, budget_tokens: 10}").ok());
  auto r = with_type("claude", "{type: enabled, budget_tokens: 1000}");
  CAF_CHECK_EQUAL(where(r), (strings{"1 agent.backend.thinking.budget_tokens"}));
  CAF_CHECK(says(r, "at least 1024"));
}

CAF_TEST(keys of own servers are translated) {
  auto r = load("agent: {backend: {type: vllm, model: m, port: 9, enable_thinking: false, separate_reasoning: true, top_k: 5}}");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(first(r).base_url, "http://localhost:9/v1");
  CAF_CHECK_EQUAL(first(r).params, R"({"top_k":5,"chat_template_kwargs":{"enable_thinking":false}})");
  CAF_CHECK(says(r, "separate_reasoning: has no effect with type 'vllm'"));
  auto sglang = load("agent: {backend: {type: sglang, model: m, separate_reasoning: true}}");
  CAF_CHECK_EQUAL(first(sglang).params, R"({"separate_reasoning":true})");
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: vllm, model: m, port: 9, base_url: 'http://h/v1'}}")).size(), 1u);
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: vllm}}")), strings{"1 agent.backend.model"});
}

CAF_TEST(numbers outside their limits are refused) {
  for (const auto* bad : {"timeout: 0", "timeout: -3", "timeout: .inf", "timeout: .nan", "timeout: 1e9", "timeout: '5'",
                          "timeout: ten", "timeout: [1]", "timeout: true", "max_tokens: 0", "max_tokens: 1.5",
                          "max_tokens: 99999999999999999999", "max_tool_iterations: 1001", "port: 0", "parallel_tool_calls: maybe",
                          "extra_headers: [a]", "extra_headers: {a: {}}", "extra_body: 3", "allowed_tools: {a: b}"})
    CAF_CHECK_EQUAL(where(load(with(bad))).size(), 1u);
  CAF_CHECK_EQUAL(first(load(with("timeout: 0.25"))).timeout_ms, 250);
  auto r = load(with("") + "orchestrator: {straggler_patience_seconds: 0}\n");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(r.config.rules.patience_ms, 0);
}

CAF_TEST(pacing and its other spelling exclude each other) {
  auto r = load(with("") + "orchestrator: {defer_voting_until_all_answered: true}\n");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(r.config.rules.patience_ms, 0);
  CAF_CHECK(r.config.rules.pacing == ledger::pacing::barrier);
  for (const auto* bad : {"pacing: barrier, defer_voting_until_all_answered: true",
                          "straggler_patience_seconds: 3, defer_voting_until_all_answered: true",
                          "skip_final_presentation: true, final_answer_strategy: winner_present", "pacing: fast"})
    CAF_CHECK_EQUAL(where(load(with("") + "orchestrator: {" + bad + "}\n")).size(), 1u);
  auto reuse = load(with("") + "orchestrator: {skip_final_presentation: true, skip_coordination_rounds: true}\n");
  CAF_CHECK(reuse.config.rules.strategy == ledger::strategy::winner_reuse);
  CAF_CHECK(reuse.config.rules.skip_coordination);
  CAF_CHECK(load(with("") + "ui: {use_orchestrator_for_single_agent: false}\n").config.rules.skip_coordination);
}

CAF_TEST(what is not available yet blocks a run and what is cosmetic does not ) {
  auto r = load(R"(agents:
  - backend: {type: claude_code, enable_code_execution: false, upload_files: [{audio_path: a.wav}]}
  - backend: {type: local, mcp_servers: [{name: s, url: "https://mcp.example.org/"}]}
orchestrator:
  final_answer_strategy: synthesize
  session_storage: x
  coordination: {enable_subagents: true, enable_planning_mode: true, planning_mode_instruction: x}
  context_paths: [{path: /x, permission: write}]
ui: {type: rich_terminal, logging_enabled: false}
display: {type: simple}
)");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(where(r, severity::unavailable),
                  (strings{"2 agents[0].backend.upload_files[0].audio_path", "2 agents[0].backend.type",
                           "3 agents[1].backend.mcp_servers[0].type", "5 orchestrator.final_answer_strategy",
                           "7 orchestrator.coordination.enable_subagents"}));
  CAF_CHECK_EQUAL(where(r, severity::warning),
                  (strings{"6 orchestrator.session_storage", "8 orchestrator.context_paths[0].path", "8 orchestrator.context_paths",
                           "9 ui.type", "9 ui.logging_enabled", "10 display"}));
  CAF_CHECK_EQUAL(blocking(r.problems).size(), 5u);
  CAF_CHECK_EQUAL(r.config.notes.size(), 11u);
  CAF_CHECK_EQUAL(r.config.ui.display_type, "rich_terminal");
}

CAF_TEST(tools of the provider are asked for with or without options) {
  auto r = load(R"(agents:
  - backend: {type: openai, enable_web_search: true, enable_code_interpreter: {container: c1}, enable_url_context: false}
  - backend: {type: claude, enable_web_search: {max_uses: 3, allowed_domains: [a.example]}, enable_code_execution: yes}
  - backend: {type: gemini, model: gemini-3.1-pro, enable_url_context: true}
)");
  CAF_CHECK_EQUAL(all(r), "");
  using tools = std::map<std::string, std::string>;
  CAF_CHECK((r.config.agents[0].backend.hosted_tools == tools{{"web_search", "{}"}, {"code_execution", R"({"container":"c1"})"}}));
  CAF_CHECK((r.config.agents[1].backend.hosted_tools
             == tools{{"web_search", R"({"max_uses":3,"allowed_domains":["a.example"]})"}, {"code_execution", "{}"}}));
  CAF_CHECK((r.config.agents[2].backend.hosted_tools == tools{{"url_context", "{}"}}));
  CAF_CHECK_EQUAL(where(load(with("enable_web_search: [a]"))), strings{"6 agents[0].backend.enable_web_search"});
}

CAF_TEST(what a provider is not asked for is told) {
  auto r = load(R"(agents:
  - backend: {type: chatcompletion, base_url: "https://api.cerebras.ai/v1", model: m, enable_web_search: true}
  - backend: {type: chatcompletion, model: gpt-5-mini, enable_code_interpreter: true}
  - backend: {type: gemini, model: gemini-2.5-flash, enable_web_search: true}
  - backend: {type: grok, enable_web_search: true, search_parameters: {mode: auto}}
  - backend: {type: claude, temperature: 0.5, top_k: 3}
  - backend: {type: claude, temperature: 0.5, anthropic_version: "2023-06-01"}
  - backend: {type: gemini, model: gemini-3.1-pro, enable_web_search: true, azure_endpoint: "https://x.example"}
)");
  CAF_CHECK_EQUAL(where(r, severity::warning),
                  (strings{"2 agents[0].backend.enable_web_search", "3 agents[1].backend.enable_code_interpreter",
                           "4 agents[2].backend.enable_web_search", "5 agents[3].backend.search_parameters",
                           "6 agents[4].backend.temperature", "6 agents[4].backend.top_k", "8 agents[6].backend.azure_endpoint"}));
  CAF_CHECK(says(r, "type 'openai' can") && says(r, "answers 410") && says(r, "anthropic_version: 2023-06-01"));
  CAF_CHECK_EQUAL(r.config.agents[6].backend.base_url, ""); // it has no effect, as it is told
}

CAF_TEST(a deployment of Azure is found by any of its names) {
  auto r = load(R"(agents:
  - backend: {type: azure_openai, azure_endpoint: "https://x.openai.azure.com/", deployment_name: d, api_version: 2024-10-21}
  - backend: {type: azure_openai, base_url: "https://x.openai.azure.com/openai/v1", model: d, api_version: v1}
)");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.base_url + " " + r.config.agents[0].backend.model, "https://x.openai.azure.com/ d");
  for (const auto* bad : {"next", "2024-1", "\"2024-10-21&x=1\""})
    CAF_CHECK_EQUAL(where(load("agent: {backend: {type: azure_openai, model: d, api_version: " + std::string{bad} + "}}")),
                    strings{"1 agent.backend.api_version"});
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: azure_openai}}")), strings{"1 agent.backend.model"});
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: claude, anthropic_version: v1}}")),
                  strings{"1 agent.backend.anthropic_version"});
}

CAF_TEST(a display of another program is no error) {
  auto r = load(with("") + "ui: {type: curses}\n");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(where(r, severity::warning), strings{"6 ui.type"});
  CAF_CHECK_EQUAL(where(load(with("") + "ui: {display_type: curses}\n")), strings{"6 ui.display_type"});
}

CAF_TEST(a folder to work in needs its two stores) {
  auto r = load(with("cwd: work"));
  CAF_CHECK_EQUAL(where(r), strings{"6 agents[0].backend.cwd"});
  CAF_CHECK(says(r, "orchestrator.snapshot_storage and orchestrator.agent_temporary_workspace"));
  auto good = load(with("cwd: work") + "orchestrator: {snapshot_storage: s, agent_temporary_workspace: t}\n");
  CAF_CHECK(good.ok());
  CAF_CHECK_EQUAL(blocking(good.problems).size(), 0u);
  auto workspace = good.config.agents.front().backend.workspace;
  CAF_CHECK(workspace.cwd == "work" && workspace.sandbox == "required" && workspace.network == "none" && !workspace.commands);
}

CAF_TEST(secrets are never part of a problem) {
  auto r = load(R"(agents:
  - id: a
    node: nowhere
    backend:
      type: chatcompletion
      model: m
      api_key: sk-secret-value
      base_url: "http://user:sk-secret-value@example.org"
      extra_headers: {Authorization: "Bearer sk-secret-value"}
)");
  CAF_CHECK(!r.ok());
  CAF_CHECK(all(r).find("sk-secret-value") == std::string::npos);
  CAF_CHECK(where(load(with("api_key: [sk-secret-value]"))).size() == 1);
  CAF_CHECK(all(load(with("api_key: [sk-secret-value]"))).find("sk-secret") == std::string::npos);
}

CAF_TEST(nodes named elsewhere add to the file or replace its own) {
  auto text = "agent: {node: far, backend: {type: local}}\ncluster: {nodes: {near: 'a:1'}}\n";
  CAF_CHECK_EQUAL(where(load(text)), strings{"1 agent.node"});
  auto r = load_config_text(text, "t.yaml", {.nodes = {{"far", "b:2"}, {"near", "c:3"}}});
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK(r.config.cluster.nodes == (node_list{{"near", "c:3"}, {"far", "b:2"}}));
  CAF_CHECK(!load_config_text(text, "t.yaml", {.nodes = {{"far", "no address"}}}).ok());
}

CAF_TEST(a key that was cut short and a value that says too much name the one that is meant) {
  CAF_CHECK(says(load("agent: {backend: {type: local}}\ntimeout_settings: {orchestrator_timeout: 5}\n"),
                 "t.yaml:2: timeout_settings.orchestrator_timeout: unknown key; did you mean 'orchestrator_timeout_seconds'?"));
  CAF_CHECK(says(load(with("decision: tools_only")), "did you mean 'tools'?"));
  CAF_CHECK(says(load("agent: {backend: {type: claude-code-x, model: m}}\n"), "did you mean 'claude"));
}

CAF_TEST(types that people write point to the company they mean) {
  auto text_of = [](const std::string& type) { return all(load("agent: {backend: {type: \"" + type + "\", model: m}}\n")); };
  auto points = [&](const std::string& type, const std::string& part) {
    auto text = text_of(type);
    if (text.find(part) == std::string::npos)
      CAF_MESSAGE(text);
    return text.find(part) != std::string::npos;
  };
  CAF_CHECK(points("groq", "base_url https://api.groq.com/openai/v1; its key is GROQ_API_KEY"));
  CAF_CHECK(points("Groq", "api.groq.com"));
  CAF_CHECK(points("openrouter", "https://openrouter.ai/api/v1; its key is OPENROUTER_API_KEY"));
  CAF_CHECK(points("Together AI", "https://api.together.ai/v1; its key is TOGETHER_API_KEY"));
  CAF_CHECK(points("fireworks_ai", "https://api.fireworks.ai/inference/v1; its key is FIREWORKS_API_KEY"));
  CAF_CHECK(points("anthropic", "its models are reached by type 'claude'"));
  for (auto google : {"google", "google-genai", "Gemini AI"})
    CAF_CHECK(points(google, "its models are reached by type 'gemini'"));
  CAF_CHECK(points("azure", "its models are reached by type 'azure_openai'"));
  CAF_CHECK(points("AzureOpenAI", "did you mean 'azure_openai'?"));
  CAF_CHECK(points("mistral", "MISTRAL_API_KEY"));
  CAF_CHECK(points("deepseek", "DEEPSEEK_API_KEY"));
  CAF_CHECK(points("x.ai", "its models are reached by type 'grok'"));
  CAF_CHECK(points("xai", "its models are reached by type 'grok'"));
  CAF_CHECK(points("bedrock", "api_key_env AWS_BEARER_TOKEN_BEDROCK"));
  CAF_CHECK(points("vertex_ai", "aiplatform.googleapis.com"));
  CAF_CHECK(points("LM Studio", "did you mean 'lmstudio'?"));
  CAF_CHECK(points("llama.cpp", "http://localhost:8080/v1"));
  CAF_CHECK(points("huggingface", "HF_TOKEN"));
  CAF_CHECK(points("cohere", "its key is COHERE_API_KEY"));
  CAF_CHECK(points("perplexity", "Perplexity ended Chat Completions"));
  CAF_CHECK(points("github-models", "GitHub Models ended"));
  CAF_CHECK(points("openai-compatible", "its models are reached by type 'chatcompletion'"));
  CAF_CHECK(points("openai-responses", "its models are reached by type 'openai'"));
  CAF_CHECK(points("codex", "agents themselves"));
  // One letter away.
  CAF_CHECK(points("gorq", "api.groq.com"));
  CAF_CHECK(points("claud", "did you mean 'claude'?"));
  CAF_CHECK(points("chatcompletoin", "did you mean 'chatcompletion'?"));
  CAF_CHECK(points("open router", "openrouter.ai"));
  CAF_CHECK(points("opnai", "did you mean 'openai'?"));
  CAF_CHECK(points("olama", "did you mean 'ollama'?")); // not llama: the first letter
  CAF_CHECK(points("frobnicator", "any server that speaks the OpenAI chat API is 'chatcompletion' with its base_url"));
  // Nobody's, or as near to one company as to another: no guess.
  for (auto unknown : {"gro", "grox", "nope", "replit", "lepton", "xiaomi", "anyscale", "a", "closedai"}) {
    auto text = text_of(unknown);
    CAF_CHECK(text.find("unknown backend type") != std::string::npos);
    if (text.find("did you mean") != std::string::npos || text.find("reached by") != std::string::npos)
      CAF_ERROR(text);
  }
}

CAF_TEST(a key of a newer version that asks for nothing is no error) {
  for (auto value : {"{enabled: false, provider: x}", "{a: false, b: {c: []}}", "[false]"})
    CAF_CHECK_EQUAL(where(load(std::string{"agent: {backend: {type: local}}\nmemory: "} + value
                               + "\norchestrator:\n  enable_teleport: " + value + "\n")),
                    strings{});
  for (auto value : {"false", "no", "", "~", "null", "\"\"", "[]", "{}"}) {
    auto text = std::string{"agents: [{id: a, frobnicate: "} + value + ", backend: {type: local}}]\nglobe: " + value
                + "\norchestrator:\n  enable_teleport: " + value + "\n  context_paths: " + value + "\n  personas: " + value
                + "\ntimeout_settings: {grace: " + value + "}\n";
    auto r = load(text);
    CAF_CHECK_EQUAL(where(r), strings{});
    CAF_CHECK_EQUAL(where(r, severity::unavailable), strings{});
    CAF_CHECK(says(r, "orchestrator.enable_teleport: unknown key, without effect"));
  }
  for (auto value : {"true", "3", "[a]", "{a: 1}", "0", "{enabled: true, a: false}", "[false, 1]"})
    CAF_CHECK_EQUAL(where(load(std::string{"agent: {backend: {type: local}}\norchestrator: {enable_teleport: "} + value + "}\n")),
                    strings{"2 orchestrator.enable_teleport"});
}

CAF_TEST(settings of the program never reach a provider) {
  for (auto key : {"enable_code_based_tools", "use_two_tier_workspace", "instance_id", "vote_only", "command_line_srt_deny_read",
                   "multimodal_config", "enable_rate_limit", "main_agent", "command_line_docker_enable_sudo",
                   "_has_files_api_files", "custom_tools_path", "websocket_mode"})
    for (auto value : {"true", "false", "[a, b]", "{}", "x"}) {
      auto r = load(with(std::string{key} + ": " + value + "\ntemperature: 1"));
      CAF_CHECK_EQUAL(where(r), strings{});
      CAF_CHECK_EQUAL(first(r).params, R"({"temperature":1})");
    }
  auto files = load(with("exclude_file_operation_mcps: true"));
  CAF_CHECK(blocking(files.problems).empty());
  CAF_CHECK_EQUAL(first(files).params, "");
  CAF_CHECK(!blocking(load(with("enable_code_based_tools: true")).problems).empty());
}

CAF_TEST(of more than a hundred problems the errors come first) {
  // Warnings come first in the file: a list that is full of them must not push out the errors.
  std::string text = "agents:\n  - id: a\n    backend:\n      type: chatcompletion\n      model: m\n";
  for (int i = 0; i < 150; ++i)
    text += "      unknown_" + std::to_string(i) + ": 1\n";
  for (int i = 0; i < 40; ++i)
    text += "  - id: b" + std::to_string(i) + "\n    backend: 3\n";
  auto r = load(text);
  CAF_CHECK_EQUAL(r.problems.size(), 101u);
  auto errors = where(r);
  CAF_CHECK_EQUAL(errors.size(), 40u);
  for (std::size_t i = 0; i < 40; ++i)
    CAF_CHECK(r.problems[i].severity == severity::error);
  for (std::size_t i = 1; i < 40; ++i)
    CAF_CHECK_LESS(r.problems[i - 1].line, r.problems[i].line);
  for (std::size_t i = 40; i < 101; ++i)
    CAF_CHECK(r.problems[i].severity == severity::warning);
  CAF_CHECK(r.problems.back().text.find("more problems are not listed: ") == 0);
  // More errors than fit: the summary is one, too, and the first lines are listed.
  text = "agents:\n";
  for (int i = 0; i < 300; ++i)
    text += "  - id: b" + std::to_string(i) + "\n    backend: 3\n";
  r = load(text);
  CAF_CHECK_EQUAL(where(r).size(), 101u);
  CAF_CHECK_EQUAL(r.problems.front().line, 3);
  CAF_CHECK(r.problems.back().severity == severity::error);
}
