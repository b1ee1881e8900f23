"""The decoder over bytes: what it says is a probability, documents stand alone, and a stopped training goes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.contract.context import Checkpoint, Context
from worker.contract.errors import Cancelled
from worker.kinds.text import byte_decoder
from worker.kinds.text.byte_decoder import CONTEXT, START, ByteDecoder, Reading, train
from worker.kinds.text.training_text import Documents, TrainingText

LINE = "the cat sat on the mat. "


def reading(net: ByteDecoder) -> Reading:
    return Reading(net, "cpu", lambda: None)


@pytest.fixture(scope="module")
def untrained() -> Reading:
    torch.manual_seed(0)
    net = ByteDecoder().eval()
    with torch.no_grad():
        net.next.weight *= 30  # so that bytes differ in probability
    return reading(net)


def test_network_when_counted_then_has_about_a_million_parameters(untrained: Reading):
    assert 850_000 < sum(one.numel() for one in untrained.net.parameters()) < 950_000


def test_bits_when_a_document_is_short_then_are_those_of_its_bytes_one_by_one(untrained: Reading):
    text = b"hello, world"
    tokens = torch.tensor([[START, *text]])
    with torch.no_grad():
        said = untrained.net(tokens)[0].softmax(-1)
    assert said[0].sum().item() == pytest.approx(1, abs=1e-5)
    expected = -sum(np.log2(said[at, byte].item()) for at, byte in enumerate(text))
    assert untrained.bits(Documents.of([text]))[0] == pytest.approx(expected, rel=1e-5)


def test_bits_when_documents_are_read_together_then_are_as_alone_and_long_ones_are_read_whole(untrained: Reading):
    rng = np.random.default_rng(0)
    texts = [rng.integers(32, 127, size).astype(np.uint8).tobytes() for size in (1, 255, 256, 257, 384, 385, 1000)]
    together = untrained.bits(Documents.of([*texts, b""]))
    assert together[-1] == 0
    for found, text in zip(together, texts, strict=False):
        assert found == pytest.approx(untrained.bits(Documents.of([text]))[0], rel=1e-5)
    longer, shorter = (untrained.bits(Documents.of([texts[-1][:size]]))[0] for size in (385, 384))
    with torch.no_grad():  # byte 384 is the first that the third window adds, and is read after 129 bytes
        said = untrained.net(torch.tensor([list(texts[-1][255:384])]))[0, -1].log_softmax(-1)
    assert longer - shorter == pytest.approx(-said[texts[-1][384]].item() / np.log(2), rel=1e-2)


def test_features_when_documents_are_read_together_then_are_as_alone(untrained: Reading):
    texts = [b"a", b"some longer text " * 40, b""]
    together = untrained.features(Documents.of(texts))
    alone = np.concatenate([untrained.features(Documents.of([text])) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(together).all()


def test_training_when_a_line_repeats_then_learns_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(byte_decoder, "WINDOWS", 1)
    net = train(TrainingText(Documents.of([LINE * 20]), 10 * CONTEXT), Context(seed=3))
    asked = Documents.of([LINE * 4])
    assert reading(net).bits(asked)[0] / len(asked.buffer) < 5.5  # 8 before


class Stopping(Context):
    """Asks for a stop before a step."""

    def __init__(self, at: int) -> None:
        super().__init__(seed=3)
        self.at = at

    def report_progress(self, step: int, *rest: object) -> None:
        if step == self.at:
            self.stop()


def test_training_when_stopped_then_goes_on_to_the_same_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(byte_decoder, "_EVERY", 2)
    monkeypatch.setattr(byte_decoder, "WINDOWS", 1)
    text = TrainingText(Documents.of([LINE * 30]), 4 * CONTEXT)
    whole = train(text, Context(seed=3)).state_dict()
    stopped = Stopping(3)
    with pytest.raises(Cancelled):
        train(text, stopped)
    point = stopped.restore()
    assert point is not None
    assert point.step == 2
    again = Context(seed=3)
    again._points[""] = Checkpoint(point.step, dict(point.arrays), dict(point.state))
    for name, value in train(text, again).state_dict().items():
        assert torch.equal(value, whole[name]), name
