"""MiniLM through ONNX Runtime against sentence-transformers.

`minilm_golden.npz` holds texts and the vectors that sentence-transformers 6.2 on torch 2.13 gave for
them, each encoded alone; the test marked `train` computes them again where that extra is installed.
"""

import hashlib
import importlib.util
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from personavlm.memory_store.encoder import TextEncoder, TokenEncoder, Vectors
from personavlm.platform.encoders.minilm import MAX_TOKENS, PROJECTION, MiniLmEncoder
from personavlm.platform.encoders.minilm_weights import cached_graph, model_folder
from personavlm.platform.errors import WeightsError

TOLERANCE = 1e-6
SHORT = "I had a flat white by the river this morning."


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> MiniLmEncoder:
    return MiniLmEncoder(cache)


def golden() -> tuple[list[str], Vectors]:
    with np.load(Path(__file__).with_name("minilm_golden.npz")) as file:
        return [str(text) for text in file["texts"]], file["vectors"]


def test_equals_sentence_transformers(encoder: MiniLmEncoder) -> None:
    texts, expected = golden()
    assert np.abs(encoder.encode(texts) - expected).max() < TOLERANCE
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.abs(alone - expected).max() < TOLERANCE


@pytest.mark.train
@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="compares with sentence-transformers itself, which the extra `train` installs",
)
def test_equals_sentence_transformers_computed_now(encoder: MiniLmEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    texts, _ = golden()
    expected = SentenceTransformer(str(model_folder()), device="cpu").encode(texts)
    assert np.abs(encoder.encode(texts) - expected).max() < TOLERANCE


def test_is_a_text_encoder(encoder: MiniLmEncoder) -> None:
    seam: TextEncoder = encoder
    assert seam.dim == 384
    assert "MiniLM" in seam.model_id
    assert seam.encode([]).shape == (0, 384)
    vectors = seam.encode(["", SHORT, "我昨天在河边喝了一杯燕麦拿铁。"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_meaning_is_near(encoder: MiniLmEncoder) -> None:
    query, near, far = encoder.encode(
        ["What does she drink?", "She orders oat lattes.", "The train was late."]
    )
    assert query @ near > query @ far + 0.2


def test_many_texts_of_all_lengths_keep_their_order(encoder: MiniLmEncoder) -> None:
    texts = [f"day {i} " * (1 + (37 * i) % 90) for i in range(60)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=TOLERANCE)


def test_tokens_come_in_the_same_pass(encoder: MiniLmEncoder) -> None:
    seam: TokenEncoder = encoder
    texts = [SHORT, "", "word " * 400]
    short, empty, long = seam.encode_tokens(texts)
    vectors = np.stack([short.vector, empty.vector, long.vector])
    np.testing.assert_allclose(vectors, encoder.encode(texts), atol=TOLERANCE)
    assert [len(text.ids) for text in (empty, long)] == [0, MAX_TOKENS - 2]  # [CLS] and [SEP] left out
    assert short.tokens.shape == (len(short.ids), encoder.token_dim)
    np.testing.assert_allclose(np.linalg.norm(short.tokens, axis=1), 1, atol=1e-5)
    assert empty.tokens.shape == (0, encoder.token_dim) and not empty.sentences.size


def test_another_projection_needs_another_model_id() -> None:
    """Stored tokens are told apart by the model's id alone: a new projection changes both."""
    assert hashlib.sha256(PROJECTION.read_bytes()).hexdigest()[:16] == "b632a4186ba4a7e8"


def test_sentences_begin_after_marks(encoder: MiniLmEncoder) -> None:
    one, more = encoder.encode_tokens(["Tea with Dr Who", "Tea! Milk?! No sugar."])
    assert list(one.sentences) == [0]
    assert list(more.sentences) == [0, 2, 5]


def test_a_word_in_context_is_nearer_to_itself_than_to_others(encoder: MiniLmEncoder) -> None:
    (query,) = encoder.encode_tokens(["violin"])
    (text,) = encoder.encode_tokens(["She practised the violin all evening"])
    nearest = (text.tokens @ query.tokens[0]).argmax()
    assert text.ids[nearest] == query.ids[0]


def test_threads_share_an_encoder(encoder: MiniLmEncoder) -> None:
    texts = [f"{SHORT} Number {i}." for i in range(24)]
    expected = encoder.encode(texts)
    with ThreadPoolExecutor(6) as pool:
        found = np.concatenate(list(pool.map(lambda text: encoder.encode([text]), texts)))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def build_in_cache(cache: Path) -> tuple[int, int]:
    """Inode and size of the graph as this process sees it."""
    status = cached_graph(model_folder() / "model.safetensors", cache).stat()
    return status.st_ino, status.st_size


def test_processes_that_start_at_once_build_one_graph(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        seen = pool.map(build_in_cache, [tmp_path] * 3, chunksize=1)
    assert len(set(seen)) == 1
    graph = cached_graph(model_folder() / "model.safetensors", tmp_path)
    onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert not list(tmp_path.glob("*.partial"))


def test_a_build_that_was_cut_off_is_begun_again(tmp_path: Path, cache: Path, encoder: MiniLmEncoder) -> None:
    (whole,) = cache.glob("*.onnx")
    (tmp_path / whole.name).with_suffix(".partial").write_bytes(whole.read_bytes()[:1000])
    graph = cached_graph(model_folder() / "model.safetensors", tmp_path)
    assert graph.read_bytes() == whole.read_bytes()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"not the weights")
    with pytest.raises(WeightsError, match="sha256"):
        cached_graph(weights, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.onnx"))


def test_an_absent_package_is_named() -> None:
    with pytest.raises(WeightsError, match="no-such-distribution is not installed"):
        model_folder("no-such-distribution")
