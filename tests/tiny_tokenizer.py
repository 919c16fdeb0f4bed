"""A small tokenizer of Qwen's kind: byte-level BPE, ChatML, the same special tokens. Needs no PyTorch."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
WORDS = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = (
    "<think>the user asks about a friend</think><answer>You told me that in March.</answer>",
    '<think>I should look it up</think><retrieve>{"keywords": "cat", "start_time": null}</retrieve>',
    '{"operations": [{"op": "add", "text": "likes tea", "evidence": ["t1"], "reason": "said so"}]}',
    "system user assistant Task: reply the message, what you know about it and what was said before",
)


def tiny_tokenizer(vocabulary: int = 512, spoken: tuple[str, ...] = ()) -> Tokenizer:
    """Trained on the few texts above; every byte has an id of its own, so any text can be encoded.

    Each text of ``spoken`` is one id, whatever surrounds it, and no special one.
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(WORDS, behavior="isolated", invert=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    known = tokenizer.get_vocab()
    words = (word for word in spoken if word not in SPECIAL and word.replace("\n", "Ċ") not in known)
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in words])
    return tokenizer
