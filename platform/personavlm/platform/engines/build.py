"""From configuration to engine."""

from __future__ import annotations

from personavlm.platform.config import EngineConfig, OpenAiEngineConfig
from personavlm.platform.engines.base import Engine


def build_engine(config: EngineConfig) -> Engine:
    """The engine that the configuration names. Nothing is downloaded and nothing connected yet."""
    if isinstance(config, OpenAiEngineConfig):
        from personavlm.platform.engines.openai import OpenAiEngine

        return OpenAiEngine(
            base_url=config.base_url,
            api_key=config.api_key().get_secret_value(),
            model=config.model,
            timeout_s=config.timeout_s,
            version=config.version,
        )
    from personavlm.platform.engines.rules.engine import RulesEngine

    return RulesEngine()
