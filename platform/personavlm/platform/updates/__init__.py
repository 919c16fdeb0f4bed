"""The update stage: what is learnt from a turn and from a session, off the path of the reply."""

from personavlm.platform.updates.settings import UpdateSettings
from personavlm.platform.updates.stage import UpdateStage

__all__ = ["UpdateSettings", "UpdateStage"]
