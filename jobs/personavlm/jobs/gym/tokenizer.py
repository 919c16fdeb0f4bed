"""A tokenizer of whole words: one id for each word of the world, words apart by white space.

So a text is encoded piece by piece as it is encoded whole, wherever the pieces meet at white space or at a
special token; and what ids decode to is the words with a space between them, which the grammar reads.
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from personavlm.jobs.gym.words import vocabulary

UNKNOWN = "<unk>"
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)


def word_tokenizer() -> Tokenizer:
    """The tokenizer. Special tokens stand outside of its words: the same characters in a text are unknown."""
    words = {word: number for number, word in enumerate((UNKNOWN, *vocabulary()))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer
