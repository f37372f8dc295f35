# SPDX-License-Identifier: Apache-2.0
"""Team files as their users write them for each backend type and provider, run to an answer on loopback: bytes go elsewhere (`--base-url TYPE=URL`),
everything else stays as for the real host. Judges what reaches the wire of what the file says."""

import unittest

from provider import Served
from support import *

PATHS = {"openai": "/v1", "claude": "", "gemini": "", "grok": "/v1", "chatcompletion": "/v1", "azure_openai": "", "zai": "/v1",
         "lmstudio": "/v1", "vllm": "/v1", "sglang": "/v1", "ollama": "/v1"}
# name -> (the file, what each request of an agent's model holds: model -> members; None = the path alone)
TEAMS = {
    "openai": ("""
# massgen --config research.yaml "..."
agents:
  - id: "thinker"
    backend: {type: "openai", model: "gpt-5-mini", text: {verbosity: "low"}, reasoning: {effort: "high", summary: "auto"},
              enable_web_search: true, max_tokens: 20000}
    system_message: "You weigh evidence."
  - id: "o3"
    backend:
      type: OpenAI
      model: o3-mini-high
ui: {display_type: "rich_terminal", logging_enabled: true}
""", {"gpt-5-mini": {"text": {"verbosity": "low"}, "reasoning": {"effort": "high", "summary": "auto"}, "max_output_tokens": 20000},
      "o3-mini": {"reasoning": {"effort": "high"}}}),
    "claude": ("""
agent:
  id: claude_agent
  backend:
    type: claude
    model: claude-sonnet-4-20250514
    max_tokens: 30000
    enable_web_search: true
    enable_code_execution: true
    thinking: {type: enabled, budget_tokens: 2048}
  system_message: |
    You are careful.
    You cite.
ui:
  display_type: "simple"
""", {"claude-sonnet-4-20250514": {"max_tokens": 30000, "thinking": {"type": "enabled", "budget_tokens": 2048}}}),
    "gemini": ("""
agents:
  - id: flash
    backend:
      type: gemini
      model: gemini-2.5-flash
      temperature: 0.4
      top_p: 0.95
      max_tokens: 4096
      safety_settings: {HARM_CATEGORY_HARASSMENT: BLOCK_ONLY_HIGH}
  - id: pro
    backend: {type: gemini, model: gemini-2.5-pro, enable_code_execution: true}
""", {"gemini-2.5-flash": {"generationConfig": {"temperature": 0.4, "topP": 0.95, "maxOutputTokens": 4096},
                           "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]}, "gemini-2.5-pro": {}}),
    "grok": ("""
agents:
  - id: chat
    backend: {type: grok, model: grok-3-mini, temperature: 0.1}
  - id: search
    backend: {type: grok, model: grok-4, enable_web_search: true}
""", {"grok-3-mini": {"temperature": 0.1}, "grok-4": {}}),
    "azure_openai": ("""
agents:
  - id: azure
    backend:
      type: azure_openai
      azure_endpoint: https://contoso.openai.azure.com/
      api_key: ${AZURE_OPENAI_API_KEY}
      api_version: "2024-12-01-preview"
      deployment_name: my-gpt4
      temperature: 0.2
      max_tokens: 500
""", {"my-gpt4": {"temperature": 0.2, "max_tokens": 500}}),
    "openrouter": ("""
agents:
  - id: router
    backend:
      type: chatcompletion
      base_url: https://openrouter.ai/api/v1
      model: anthropic/claude-sonnet-4.5
      provider: {order: [Anthropic, Google], allow_fallbacks: false}
      models: [anthropic/claude-sonnet-4.5, openai/gpt-5-mini]
      extra_headers: {HTTP-Referer: "https://example.org", X-Title: team}
      reasoning: {effort: low}
  - id: named
    backend: {type: chatcompletion, provider: OpenRouter, base_url: "https://openrouter.ai/api/v1/chat/completions", model: "qwen/qwen3-32b"}
""", {"anthropic/claude-sonnet-4.5": {"provider": {"order": ["Anthropic", "Google"], "allow_fallbacks": False}, "reasoning": {"effort": "low"},
                                      "models": ["anthropic/claude-sonnet-4.5", "openai/gpt-5-mini"]}, "qwen/qwen3-32b": {"provider": None}}),
    "hosts of Chat Completions": ("""
agents:
  - {id: groq, backend: {type: chatcompletion, base_url: "https://api.groq.com/openai/v1", model: llama-3.3-70b-versatile, top_p: 0.5}}
  - {id: cerebras, backend: {type: chatcompletion, base_url: "https://api.cerebras.ai/v1", model: gpt-oss-120b, max_tokens: 900}}
  - {id: together, backend: {type: chatcompletion, base_url: "https://api.together.xyz/v1/", model: "meta-llama/Llama-3.3-70B-Instruct-Turbo"}}
  - {id: fireworks, backend: {type: chatcompletion, base_url: "https://api.fireworks.ai/inference/v1", model: accounts/fireworks/models/deepseek-v3, top_k: 40}}
  - {id: nebius, backend: {type: chatcompletion, base_url: "https://api.studio.nebius.ai/v1", model: Qwen/Qwen3-4B-fast, temperature: 0.7}}
""", {"llama-3.3-70b-versatile": {"top_p": 0.5}, "gpt-oss-120b": {}, "meta-llama/Llama-3.3-70B-Instruct-Turbo": {},
      "accounts/fireworks/models/deepseek-v3": {"top_k": 40}, "Qwen/Qwen3-4B-fast": {"temperature": 0.7}}),
    "hosts of Chinese models": ("""
agents:
  - id: qwen
    backend: {type: chatcompletion, base_url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", model: qwen3-max, extra_body: {enable_thinking: true}}
  - id: kimi
    backend: {type: chatcompletion, base_url: "https://api.moonshot.cn/v1", model: kimi-k2-0711-preview, temperature: 0.6}
  - id: poe
    backend: {type: chatcompletion, base_url: "https://api.poe.com/v1", model: Claude-Sonnet-4.5}
  - id: glm
    backend: {type: chatcompletion, base_url: "https://open.bigmodel.cn/api/paas/v4/", model: glm-4.5-flash, thinking: {type: disabled}}
""", {"qwen3-max": {"enable_thinking": True}, "kimi-k2-0711-preview": {"temperature": 0.6}, "Claude-Sonnet-4.5": {}, "glm-4.5-flash": {"thinking": {"type": "disabled"}}}),
    "zai": ("""
agents:
  - id: "glm"
    backend:
      type: "zai"
      model: "glm-4.5"
      base_url: "https://api.z.ai/api/paas/v4/"
      temperature: 0.7
      top_p: 0.7
""", {"glm-4.5": {"temperature": 0.7, "top_p": 0.7}}),
    "lmstudio": ("""
agents:
  - {id: a, backend: {type: lmstudio, model: "qwen/qwen3-4b-2507", port: 4321, max_tokens: 700}}
  - {id: b, backend: {type: lmstudio, model: google/gemma-3-12b, temperature: 0}}
""", {"qwen/qwen3-4b-2507": {"max_tokens": 700}, "google/gemma-3-12b": {"temperature": 0}}),
    "vllm and sglang": ("""
agents:
  - id: v
    backend:
      type: vllm
      model: Qwen/Qwen3-0.6B
      base_url: http://localhost:8000/v1
      top_k: 50
      repetition_penalty: 1.2
      chat_template_kwargs: {enable_thinking: true}
  - id: s
    backend: {type: sglang, model: Qwen/Qwen3-4B, base_url: "http://localhost:30000/v1", separate_reasoning: true, extra_body: {min_p: 0.05}}
""", {"Qwen/Qwen3-0.6B": {"top_k": 50, "repetition_penalty": 1.2, "chat_template_kwargs": {"enable_thinking": True}},
      "Qwen/Qwen3-4B": {"separate_reasoning": True, "min_p": 0.05}}),
    "a model without a type": ("""
agents:
  - {id: a, backend: {model: gpt-4o-mini, temperature: 0.3}}
  - {id: b, backend: {model: claude-3-5-haiku-20241022, max_tokens: 1000}}
  - {id: c, backend: {model: gemini-2.5-pro}}
  - {id: d, backend: {model: grok-4}}
  - {id: e, backend: {model: glm-4.5-air}}
orchestrator: {snapshot_storage: snapshots, agent_temporary_workspace: temp_workspaces}
""", {"gpt-4o-mini": {"temperature": 0.3}, "claude-3-5-haiku-20241022": {"max_tokens": 1000}, "gemini-2.5-pro": {}, "grok-4": {}, "glm-4.5-air": {}}),
}
KEYS = ("OPENAI ANTHROPIC GEMINI XAI AZURE_OPENAI OPENROUTER GROQ CEREBRAS TOGETHER FIREWORKS NEBIUS QWEN MOONSHOT POE ZAI").split()


class FreshTeams(Served):
    def test_a_team_of_each_provider_answers_and_its_keys_reach_the_wire(self):
        for name, (text, models) in TEAMS.items():
            with self.subTest(name):
                async def behave(provider, request, reply):
                    await reply.decide("42")

                self.serve(behave)
                where = [x for kind, path in PATHS.items() if kind in text or name == "a model without a type" for x in ("--base-url", f"{kind}={self.provider.url}{path}")]
                r = self.home.run("-c", self.home.write("team.yaml", text), *where, "What is 6 times 7?", timeout=120, env={k + "_API_KEY": "sk-" + k * 4 for k in KEYS})
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("the final answer", r.stdout)
                self.assertNotIn("refused", r.stderr)
                seen = {}
                for q in self.provider.requests:
                    model = q["path"].split("/deployments/")[1].split("/")[0] if "/deployments/" in q["path"] else q["model"]
                    seen.setdefault(model, []).append(q)
                    self.assertNotIn("sk-", json.dumps(q["headers"]))
                self.assertEqual(sorted(seen), sorted(models), r.stderr)
                for model, members in models.items():
                    for q in seen[model]:
                        for key, value in members.items():
                            found = q.get(key)
                            if isinstance(value, dict) and isinstance(found, dict):
                                found = {k: found.get(k) for k in value}
                            self.assertEqual(found, value, (model, key, q["path"]))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
