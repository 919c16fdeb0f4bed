"""The Big Five in words, by table: what a prompt says beside each number."""

from personavlm.memory_store.records import TRAITS, Profile

LOW, HIGH = 2.5, 3.5  # below and above these a trait is pronounced

_WORDS = {
    "openness": (
        "practical, likes what is familiar",
        "open to new things within reason",
        "curious and imaginative, likes new ideas",
    ),
    "conscientiousness": (
        "spontaneous, relaxed about plans",
        "orderly where it matters",
        "organised and thorough, likes a plan",
    ),
    "extraversion": (
        "reserved, prefers few words",
        "at ease both alone and in company",
        "outgoing and lively, enjoys talking",
    ),
    "agreeableness": (
        "frank and critical, wants plain facts",
        "friendly with a mind of their own",
        "warm and considerate, cares how others feel",
    ),
    "neuroticism": (
        "calm, hard to unsettle",
        "even-tempered",
        "worries easily, feels stress strongly",
    ),
}


def descriptor(trait: str, score: float) -> str:
    """A few words for ``score`` (1.0 to 5.0) on one of `TRAITS`."""
    low, middle, high = _WORDS[trait]
    return low if score < LOW else high if score > HIGH else middle


def descriptors(profile: Profile) -> tuple[str, ...]:
    """The words for all five, in the order of `TRAITS`."""
    return tuple(descriptor(trait, score) for trait, score in zip(TRAITS, profile.traits, strict=True))
