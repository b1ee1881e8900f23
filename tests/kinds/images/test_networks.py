"""Networks: shapes, sizes, seeds, double backward."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from worker.kinds.images.networks import NAMES, build
from worker.kinds.images.networks.average_pool import AveragePool
from worker.kinds.images.networks.instance_norm import InstanceNorm


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32), (3, (20, 26))])
def test_every_network_takes_images_of_any_usual_size(name, channels, side):
    small = {"width": 2} if name == "lenet" else {"width": 8}
    network = build(name, channels, side, 5, seed=3, **small)
    size = (side, side) if isinstance(side, int) else side
    x = torch.randn(2, channels, *size)
    assert network(x).shape == (2, 5)
    assert network.features(x).shape == (2, network.width)
    assert float(network(x).detach().std()) > 0  # a norm over one pixel would leave nothing


def test_the_field_s_network_has_its_published_size():
    network = build("convnet", 1, 28, 10, seed=0)
    assert sum(one.numel() for one in network.parameters()) == 317_706
    assert network.width == 2048
    assert sum(one.numel() for one in build("convnet", 3, 32, 10, seed=0).parameters()) == 320_010


def test_depth_follows_the_side_and_choices_are_taken():
    blocks = {side: sum(isinstance(one, torch.nn.Conv2d) for one in build("convnet", 3, side, 2, seed=0, width=4).body)
              for side in (8, 16, 32, 64, 128)}  # fmt: skip
    assert blocks == {8: 1, 16: 2, 32: 3, 64: 4, 128: 5}
    bare = build("convnet", 3, 32, 2, seed=0, width=4, norm="none", pool="max", activation="sigmoid", depth=2)
    names = [type(one).__name__ for one in bare.body]
    assert names == ["Conv2d", "Sigmoid", "MaxPool2d"] * 2


def test_a_seed_decides_the_weights_and_nothing_else_moves():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (build("convnet", 1, 8, 3, seed=seed, width=4) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    for one, same in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_gradients_of_gradients_agree_with_differences():
    network = build("convnet", 1, 8, 3, seed=0, width=3, activation="sigmoid").double()
    y = torch.tensor([0, 2])

    def norm_of_gradient(x):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        return sum(
            one.square().sum() for one in torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
        )

    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(norm_of_gradient, (x,), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 2), (2, 2), (3, 7), (1, 40)])
def test_every_network_takes_images_that_are_smaller_than_its_pools(name: str, size: tuple[int, int]):
    network = build(name, 1, size, 3, seed=3, **({"width": 2} if name == "lenet" else {"width": 8}))
    assert network(torch.randn(1, 1, *size)).shape == (1, 3)


def test_the_instance_norm_is_twice_differentiable_by_differences():
    norm = InstanceNorm(2).double()
    x, weight, bias = (one.requires_grad_() for one in drawn((3, 2, 3, 4), (2,), (2,)))

    def normed(x, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(normed, (x, weight, bias))
    assert torch.autograd.gradgradcheck(normed, (x, weight, bias))


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_norm_and_pool_are_torch_s_with_both_derivatives(size):
    own = torch.nn.Sequential(InstanceNorm(4), AveragePool())
    torchs = torch.nn.Sequential(torch.nn.GroupNorm(4, 4), torch.nn.AvgPool2d(2))
    torchs.load_state_dict(own.state_dict())
    assert_same_derivatives(own, torchs, drawn((5, 4, *size))[0].float())


@pytest.mark.parametrize("name", ["convnet", "vgg11", "resnet18"])
def test_a_network_of_torch_s_layers_has_the_same_derivatives(name):
    own = build(name, 1, 28, 3, seed=0, width=4)
    assert_same_derivatives(own, of_torchs_layers(own), drawn((4, 1, 28, 28))[0].float())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_has_the_same_derivatives_on_a_gpu():
    own = build("convnet", 1, 28, 3, seed=0, width=4).double().to("cuda")
    assert_same_derivatives(own, of_torchs_layers(own), drawn((4, 1, 28, 28))[0].to("cuda"))


def drawn(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def of_torchs_layers(network):
    """The same weights under torch's own norm and pool, with nothing in place."""
    other = deepcopy(network)
    for one in other.modules():
        if isinstance(one, InstanceNorm):
            one.__class__ = torch.nn.GroupNorm
        elif isinstance(one, AveragePool):
            one.__class__ = torch.nn.AvgPool2d
        elif isinstance(one, torch.nn.ReLU):
            one.inplace = False
    return other


def assert_same_derivatives(own, torchs, pixels):
    """What comes out, the gradient to the parameters, and that of a function of it to the pixels."""

    def found(network):
        x = pixels.clone().requires_grad_()
        out = network(x)
        first = torch.autograd.grad(out.exp().mean(), list(network.parameters()), create_graph=True)
        mixed = sum((one * (one + 1)).sin().sum() for one in first)
        together = torch.cat([one.flatten() for one in first])  # of a bias before a norm it is nothing but rounding
        return out, together, torch.autograd.grad(mixed, x)[0]

    for one, other in zip(found(own), found(torchs), strict=True):
        assert float((one - other).detach().norm()) <= 1e-5 * float(other.detach().norm())
