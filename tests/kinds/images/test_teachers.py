"""What teachers, crops, recovery and soft labels are made of, against answers that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.images.networks import build
from worker.kinds.images.teachers import crops
from worker.kinds.images.teachers.recovery import Recovery, recovered, watched
from worker.kinds.images.teachers.sharpness import gradients
from worker.kinds.images.teachers.soft_labels import cross_entropy, distillation_loss
from worker.kinds.images.teachers.training import Recipe, train


class Quadratic(nn.Module):
    """Its loss is 1/2 sum a w^2."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, -4.0], dtype=torch.float64))
        self.a = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def loss(self) -> torch.Tensor:
        return 0.5 * (self.a * self.w**2).sum()


def test_a_sharpness_aware_step_on_a_quadratic_is_the_closed_form() -> None:
    network, rho = Quadratic(), 0.3
    w = network.w.detach().clone()
    value = gradients(network, network.loss, rho)
    g = network.a * w
    expected = network.a * (w + rho * g / (g.norm() + 1e-12))
    assert value == pytest.approx(float(network.loss().detach()))
    torch.testing.assert_close(network.w.grad, expected, rtol=1e-12, atol=0)
    assert torch.equal(network.w.detach(), w)


def test_without_a_radius_it_is_the_plain_gradient() -> None:
    network = build("convnet", 1, 8, 3, seed=0, width=8)
    x, y = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3
    gradients(network, lambda: nn.functional.cross_entropy(network(x), y), 0.0)
    found = [one.grad.clone() for one in network.parameters()]
    network.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    assert all(torch.equal(a, b.grad) for a, b in zip(found, network.parameters(), strict=True))


def test_batch_norms_count_the_first_pass_alone() -> None:
    x, y = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3
    running = []
    for rho in (0.0, 0.5):
        network = build("convnet", 1, 8, 3, seed=0, width=8, norm="batch").train()
        gradients(network, lambda network=network: nn.functional.cross_entropy(network(x), y), rho)
        running.append({name: value.clone() for name, value in network.named_buffers()})
        momenta = {one.momentum for one in network.modules() if isinstance(one, nn.BatchNorm2d)}
        assert momenta == {0.1}
    assert all(torch.equal(running[0][name], running[1][name]) for name in running[0])


def test_distillation_has_the_gradient_t_times_the_difference() -> None:
    generator = torch.Generator().manual_seed(2)
    student = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    y, temperature = torch.arange(5) % 4, 4.0
    distillation_loss(student, teacher, y, 1.0, temperature).backward()
    p_s, p_t = (torch.softmax(one.detach() / temperature, 1) for one in (student, teacher))
    torch.testing.assert_close(student.grad, temperature * (p_s - p_t) / 5, rtol=1e-10, atol=1e-14)
    hard = distillation_loss(student, teacher, y, 0.0, temperature)
    torch.testing.assert_close(hard, nn.functional.cross_entropy(student, y))
    assert float(distillation_loss(teacher, teacher, y, 1.0, temperature)) == pytest.approx(0, abs=1e-15)


def test_soft_cross_entropy_of_one_hot_labels_is_the_plain_one() -> None:
    logits, y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3
    torch.testing.assert_close(cross_entropy(logits, torch.eye(3)[y]), nn.functional.cross_entropy(logits, y))


class Stopping(Context):
    """Stops after some steps."""

    def __init__(self, after: int, points: dict) -> None:
        super().__init__(seed=5, _points=points)
        self.left = after

    def report_progress(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop()


@pytest.mark.parametrize(("optimiser", "rho"), [("sgd", 0.0), ("adamw", 0.1)])
def test_a_training_that_is_stopped_goes_on_to_the_same_bits(optimiser: str, rho: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 1, 8, 8, generator=generator), torch.arange(60) % 3
    x[:, 0, 0, 0] += 3 * y
    recipe = Recipe(epochs=4, batch=16, rate=0.01, optimiser=optimiser, rho=rho, warmup=0.1)  # type: ignore[arg-type]

    def run(ctx: Context) -> dict[str, torch.Tensor]:
        network = build("convnet", 1, 8, 3, seed=1, width=8, norm="batch")

        def noisy(rows: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            return x[rows] + 0.1 * torch.randn(len(rows), 1, 8, 8, generator=generator), y[rows]

        def validate(network: nn.Module) -> float:
            return float((network(x).argmax(1) == y).float().mean())

        fitted = train(network, 60, noisy, nn.functional.cross_entropy, recipe, validate, ctx)
        assert fitted.validation > 0.4
        return {name: value.clone() for name, value in fitted.network.state_dict().items()}

    whole, points = run(Context(seed=5)), {}
    for _ in range(3):
        with pytest.raises(Cancelled):
            run(Stopping(4, points))
    resumed = run(Context(seed=5, _points=points))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    again = run(Context(seed=5, _points=points))  # finished: found again, not trained again
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_crops_are_within_the_image_and_deterministic() -> None:
    rows = np.array([4, 9, 2])
    one = crops.drawn(rows, 50, (9, 12), 0.3, np.random.default_rng(3))
    two = crops.drawn(rows, 50, (9, 12), 0.3, np.random.default_rng(3))
    assert np.array_equal(one.top, two.top)
    assert np.array_equal(one.width, two.width)
    assert one.row.tolist() == np.repeat(rows, 50).tolist()
    assert min(one.top.min(), one.left.min()) >= 0
    assert (one.top + one.height <= 9).all()
    assert (one.left + one.width <= 12).all()
    assert one.height.min() >= 4
    assert (one.height.max(), one.width.max()) == (9, 12)
    whole = crops.drawn(rows, 2, (9, 12), 1.0, np.random.default_rng(3))
    assert set(whole.height.tolist()) == {9}
    assert set(whole.top.tolist()) == {0}


def test_a_crop_of_the_tiles_size_is_the_pixels_themselves() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert np.array_equal(crops.resized(image[2:6, 3:7], (4, 4)), image[2:6, 3:7])
    assert (crops.resized(np.full((8, 6, 1), 77, np.uint8), (3, 4)) == 77).all()


def test_the_best_crop_of_each_image_and_the_least_losses() -> None:
    row = np.array([7, 7, 7, 3, 3, 3])
    loss = np.array([2.0, 1.0, 1.0, 5.0, 4.0, 6.0])
    best = crops.best_of_each(row, loss)
    assert best.tolist() == [1, 4]
    assert crops.least(loss[best], 1).tolist() == [0]


def test_tiles_fill_canvases_row_by_row() -> None:
    tiles = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    canvases = crops.tiled(tiles, 2)
    assert canvases.shape == (2, 4, 4, 1)
    assert canvases[0, :, :, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert crops.tile_size((28, 14), 2) == (14, 7)
    with pytest.raises(JobError, match="do not fill"):
        crops.tile_size((28, 28), 3)


def test_statistics_of_what_a_norm_has_seen_are_no_distance_from_it() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    x = torch.randn(50, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 + 1
    with torch.no_grad():
        norm = network[0]
        norm.running_mean.copy_(x.mean((0, 2, 3)))
        norm.running_var.copy_(x.var((0, 2, 3), unbiased=False))
        network.eval()
        inner = network[1](norm(x))
        network[2].running_mean.copy_(inner.mean((0, 2, 3)) + 3)
        network[2].running_var.copy_(inner.var((0, 2, 3), unbiased=False))
    with watched(network) as statistics:
        network(x)
        assert [float(one.detach()) for one in statistics.terms] == pytest.approx([0, 27**0.5], abs=1e-4)
        assert float(statistics.penalty().detach()) == pytest.approx(27**0.5, abs=1e-3)
        network(x + 1)
        assert float(statistics.penalty().detach()) > 10
    with pytest.raises(JobError, match="batch norms"), watched(nn.Linear(2, 2)):
        pass


def test_recovered_images_are_of_their_class_and_within_range() -> None:
    network = build("convnet", 1, 8, 2, seed=0, width=8, norm="batch").eval().requires_grad_(False)
    x, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    low, high = torch.tensor([-1.0]), torch.tensor([2.0])
    start = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = recovered(network, start, y, low, high, Recovery(60, 0.1, 0.01, 1), 3, lambda _: None)
    again = recovered(network, start, y, low, high, Recovery(60, 0.1, 0.01, 1), 3, lambda _: None)
    assert torch.equal(found, again)
    assert found.min() >= -1
    assert found.max() <= 2
    assert network(found).argmax(1).tolist() == [0, 1]
    before = nn.functional.cross_entropy(network(x), y)
    assert nn.functional.cross_entropy(network(found), y) < 0.75 * before
