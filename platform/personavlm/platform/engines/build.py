"""From configuration to engine."""

from __future__ import annotations

from personavlm.platform.engine_config import (
    EngineConfig,
    OpenAiEngineConfig,
    TransformersEngineConfig,
    VllmEngineConfig,
)
from personavlm.platform.engines.base import Engine


def build_engine(config: EngineConfig) -> Engine:
    """The engine that the configuration names, its weights loaded if it has any. Raises `EngineError`."""
    if isinstance(config, VllmEngineConfig):
        from personavlm.platform.engines.vllm import VllmEngine

        return VllmEngine(config)
    if isinstance(config, TransformersEngineConfig):
        from personavlm.platform.engines.transformers import TransformersEngine

        return TransformersEngine(config)
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
