"""The Vision Transformer, its checkpoints, the scaling of its MLPs and the estimates of information, each by itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.networks.vit import ViT, ViTShape, fresh_vit
from worker.kinds.images.remem import information
from worker.kinds.images.remem.reweighting import fold, top_scales, usual_top
from worker.kinds.images.teachers.checkpoint import arrays_of, read_shapes, read_state, resampled, shape_of, vit_of

SHAPE = ViTShape(channels=3, side=8, classes=5, patch=2, width=16, depth=4, heads=2, hidden=24)


def _images(n: int = 6) -> torch.Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(4))


def _stirred(shape: ViTShape) -> ViT:
    """A network none of whose terms is small enough to hide."""
    network = fresh_vit(shape, 0).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            generator = torch.Generator().manual_seed(parameter.numel())
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


def test_blocks_are_those_of_torch_with_the_same_weights() -> None:
    ours = _stirred(SHAPE)
    z = ours.patch_embed.proj(_images()).flatten(2).transpose(1, 2)
    z = torch.cat([ours.cls_token.expand(len(z), -1, -1), z], 1) + ours.pos_embed
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(16, 2, 24, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True).eval()
        named = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.", "linear1.": "mlp.fc1.",
                 "linear2.": "mlp.fc2.", "norm1.": "norm1.", "norm2.": "norm2."}  # fmt: skip
        own = block.state_dict()
        layer.load_state_dict(
            {f"{theirs}{part}": own[f"{name}{part}"] for theirs, name in named.items() for part in ("weight", "bias")}
        )
        z = layer(z)
    torch.testing.assert_close(ours(_images()), ours.head(ours.norm(z)[:, 0]), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_answers_are_those_of_another_implementation_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers")
    ours = _stirred(SHAPE)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, image_size=8, patch_size=2,
        num_channels=3, num_labels=5, layer_norm_eps=1e-6, hidden_act="gelu", attn_implementation="eager",
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs = transformers.ViTForImageClassification(config).eval()
    own = dict(ours.named_parameters())
    with torch.no_grad():
        embeddings = theirs.vit.embeddings
        embeddings.cls_token.copy_(own["cls_token"])
        embeddings.position_embeddings.copy_(own["pos_embed"])
        for part in ("weight", "bias"):
            getattr(embeddings.patch_embeddings.projection, part).copy_(own[f"patch_embed.proj.{part}"])
            getattr(theirs.vit.layernorm, part).copy_(own[f"norm.{part}"])
            getattr(theirs.classifier, part).copy_(own[f"head.{part}"])
        named = dict(theirs.named_parameters())
        layers = sorted({name.split(".attention")[0] for name in named if ".attention" in name})
        assert len(layers) == 4
        for number, layer in enumerate(layers):
            block = f"blocks.{number}"
            for part in ("weight", "bias"):
                thirds = own[f"{block}.attn.qkv.{part}"].chunk(3)
                targets = [name for name in named if name.startswith(f"{layer}.") and name.endswith(f".{part}")]
                by_role = {
                    "q": thirds[0], "k": thirds[1], "v": thirds[2], "proj": own[f"{block}.attn.proj.{part}"],
                    "norm1": own[f"{block}.norm1.{part}"], "norm2": own[f"{block}.norm2.{part}"],
                    "fc1": own[f"{block}.mlp.fc1.{part}"], "fc2": own[f"{block}.mlp.fc2.{part}"],
                }  # fmt: skip
                for name in targets:
                    named[name].copy_(by_role[_role(name)])
        torch.testing.assert_close(ours(_images()), theirs(_images()).logits, rtol=1e-4, atol=1e-5)


def _role(name: str) -> str:
    """What a parameter of a layer of transformers' ViT is called in timm."""
    marks = {
        "query": "q", "q_proj": "q", "key": "k", "k_proj": "k", "value": "v", "v_proj": "v",
        "attention.output": "proj", "o_proj": "proj", "layernorm_before": "norm1", "layernorm_after": "norm2",
        "intermediate": "fc1", "fc1": "fc1", "fc2": "fc2", "output.dense": "fc2",
    }  # fmt: skip
    return next(role for mark, role in marks.items() if mark in name)


def test_a_scale_of_one_changes_no_bit_and_none_leaves_attention_alone() -> None:
    network = fresh_vit(SHAPE, 1).eval()
    plain = network(_images())
    network.scale_mlps([1.0] * 4)
    assert torch.equal(network(_images()), plain)
    block = network.blocks[3]
    z = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    block.mlp_scale = 0.0
    assert torch.equal(block(z), z + block.attn(block.norm1(z)))
    block.mlp_scale = 0.5
    half = block(z)
    attended = z + block.attn(block.norm1(z))
    torch.testing.assert_close(half, attended + 0.5 * block.mlp(block.norm2(attended)))


def test_scales_are_of_the_upper_blocks_and_fold_into_the_weights() -> None:
    assert top_scales(4, 1, 0.25) == (1, 1, 1, 0.25)
    assert top_scales(2, 9, 0.5) == (0.5, 0.5)
    assert [usual_top(depth) for depth in (2, 4, 6, 12)] == [1, 1, 1, 3]
    network = fresh_vit(SHAPE, 2).eval()
    network.scale_mlps(top_scales(4, 2, 0.25))
    scaled = network(_images())
    plain = ViT(SHAPE)
    plain.load_state_dict({name: torch.from_numpy(value) for name, value in arrays_of(network).items()})
    torch.testing.assert_close(plain.eval()(_images()), scaled, rtol=1e-6, atol=1e-6)
    fold(network)
    assert network.mlp_scales == (1, 1, 1, 1)
    torch.testing.assert_close(network(_images()), scaled, rtol=1e-6, atol=1e-6)


def test_a_checkpoint_comes_back_and_says_its_sizes(tmp_path: Path) -> None:
    network = fresh_vit(SHAPE, 3).eval()
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "vit.safetensors")
    state = read_state(tmp_path / "vit.safetensors")
    assert read_shapes(tmp_path / "vit.safetensors") == {name: tuple(value.shape) for name, value in state.items()}
    assert shape_of(read_shapes(tmp_path / "vit.safetensors"), heads=2) == SHAPE
    back = vit_of(state, side=8, classes=5, channels=3, seed=0, heads=2).eval()
    assert torch.equal(back(_images()), network(_images()))


def test_a_checkpoint_is_fitted_to_other_images(tmp_path: Path) -> None:
    state = dict(fresh_vit(SHAPE, 3).state_dict())
    larger = vit_of(state, side=12, classes=7, channels=1, seed=0, heads=2)
    assert larger(torch.zeros(2, 1, 12, 12)).shape == (2, 7)
    grey = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one, three = (vit_of(state, side=8, classes=5, channels=c, seed=0, heads=2).eval() for c in (1, 3))
    torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    positions = torch.ones(1, 17, 3) * 2
    torch.testing.assert_close(resampled(positions, 6), torch.ones(1, 37, 3) * 2)
    assert resampled(positions, 4) is positions


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("cls_token"), "cls_token is missing"),
        (lambda s: s.pop("blocks.2.norm1.bias"), "blocks.2.norm1.bias is missing"),
        (lambda s: s.update({"blocks.0.ls1.gamma": torch.ones(16)}), "blocks.0.ls1.gamma is unknown"),
        (lambda s: s["norm.bias"].fill_(math.nan), "not finite"),
        (lambda s: s.update({"pos_embed": torch.zeros(1, 14, 16)}), "not square"),
    ],
)
def test_another_checkpoint_is_refused_with_a_reason(change, said: str) -> None:
    state = {name: value.clone() for name, value in fresh_vit(SHAPE, 3).state_dict().items()}
    change(state)
    with pytest.raises(JobError, match=said):
        vit_of(state, side=8, classes=5, channels=3, seed=0, heads=2)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x80\x04pickle")
    with pytest.raises(JobError, match="not a safetensors file"):
        read_state(tmp_path / "x")


def test_infonce_is_log_b_for_perfect_scores_and_none_for_equal_ones() -> None:
    assert float(information.infonce_bound(50 * torch.eye(16))) == pytest.approx(math.log(16), abs=1e-6)
    assert float(information.infonce_bound(torch.zeros(16, 16))) == pytest.approx(0, abs=1e-6)


def test_information_is_seen_where_there_is_some() -> None:
    rng = np.random.default_rng(0)
    n, held = 1200, 400
    y = rng.integers(0, 4, n)
    code = rng.standard_normal((n, 4))
    x = torch.from_numpy(np.repeat(np.repeat(code.reshape(n, 1, 2, 2), 4, 2), 4, 3).astype(np.float32))
    telling = information.estimate(x, code.astype(np.float32), y, held, Context(seed=1))
    silent = information.estimate(x, rng.standard_normal((n, 4)).astype(np.float32), y, held, Context(seed=1))
    assert telling.infonce > silent.infonce + 1
    assert silent.infonce < 0.2
    assert telling.infonce <= math.log(telling.among)
    assert telling.explained > 0.9
    assert silent.explained < 0.05


def test_proxies_have_their_known_values() -> None:
    y = np.array([0, 0, 1, 1])
    f = np.array([[1.0, 0], [3, 0], [-1, 0], [-3, 0]])
    assert information.within_between(f, y) == pytest.approx(4 / 16)
    assert information.within_between(np.ones((4, 2)), y) == math.inf
    assert information.effective_rank(f) == pytest.approx(1)
    ball = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert information.effective_rank(ball) == pytest.approx(2)
