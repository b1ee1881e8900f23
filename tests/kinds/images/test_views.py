"""Augmented views: drawn anew from a seed, bit for bit, the image itself first."""

from __future__ import annotations

import numpy as np
import pytest

from worker.kinds.images.views import Views, viewed


def test_maps_turn_stretch_and_shift_within_bounds_and_leave_the_first_view_alone() -> None:
    maps = Views(200, 3).maps(5).reshape(5, 200, 2, 3)
    assert np.array_equal(maps[:, 0], np.tile(np.eye(2, 3, dtype=np.float32), (5, 1, 1)))
    rest = maps[:, 1:]
    stretched = np.linalg.norm(rest[..., :2], axis=2)  # of the two sides
    assert 1 / 1.2 - 1e-6 <= stretched.min() < 0.85
    assert 1.18 < stretched.max() <= 1.2 + 1e-6
    turned = np.degrees(np.arctan2(rest[..., 1, 0], rest[..., 0, 0]))
    assert 14.5 < np.abs(turned).max() <= 15 + 1e-4
    assert 0.24 < np.abs(rest[..., 2]).max() <= 0.25
    assert np.abs(rest[..., 2].mean()) < 0.02


def test_views_are_the_images_then_what_their_maps_see() -> None:
    x = np.random.default_rng(0).normal(size=(2, 1, 9, 9)).astype(np.float32)
    maps = Views(4, 5).maps(2)
    seen = viewed(np.repeat(x, 4, axis=0), maps)
    assert np.array_equal(seen[::4], x)
    constant = viewed(np.ones((8, 1, 9, 9), np.float32), maps)
    assert constant[:, 0, 4, 4] == pytest.approx(np.ones(8))  # inside, weights of pixels sum to one
    assert constant.min() == 0  # what comes in from outside
    column, row = 4 + maps[6, :, 2] * 9 / 2  # where the centre of a view looks, in pixels
    left, top = int(np.floor(column)), int(np.floor(row))
    right, low = column - left, row - top
    four = x[1, 0, top : top + 2, left : left + 2]
    assert seen[6, 0, 4, 4] == pytest.approx(np.array([1 - low, low]) @ four @ np.array([1 - right, right]), abs=1e-5)


def test_views_are_of_their_seed_and_read_back() -> None:
    views = Views(3, 5, 10.0, 1.1, 0.05)
    assert Views.from_json(views.to_json()) == views
    assert Views.from_json(None) == Views()  # of a summary that was stored before there were views
    assert not np.array_equal(Views(3, 5).maps(2), Views(3, 6).maps(2))
    assert np.array_equal(Views(3, 5).maps(4)[:6], Views(3, 5).maps(2))
    assert Views(2, 0).maps(1)[1].ravel().tolist() == pytest.approx(KNOWN, abs=1e-6)


KNOWN = [1.0154647, -0.2331574, 0.0218125, 0.2229424, 1.0619923, 0.2175362]
"""The first map of seed 0: a stream that changed would give other images than those that were labelled."""
