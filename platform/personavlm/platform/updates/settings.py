"""What can be set about the update stage."""

from dataclasses import dataclass
from datetime import timedelta

from personavlm.platform.updates.pem import SkipRule


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Sizes bound the prompts: they must fit a small model's context, images included."""

    session_gap: timedelta = timedelta(minutes=60)
    """A pause of this length or more ends a session; the same value as the store's."""
    personality_rule: SkipRule = "all_neutral"
    related_memories: int = 6
    """Existing semantic memories shown beside a turn, so that it can supersede them."""
    earlier_turns: int = 8
    """Turns of the session shown before the turn at hand."""
    max_operations: int = 6
    """Operations taken from one turn."""
    consolidated_turns: int = 40
    """A longer session is consolidated in parts of at most this many turns."""
    message_chars: int = 4000
    """The turn at hand is cut to this."""
    context_chars: int = 600
    """Each text of the turns around it, and of a session's turns, is cut to this."""
    save_every: int = 50
    """Turns after which progress is saved while many are pending."""
