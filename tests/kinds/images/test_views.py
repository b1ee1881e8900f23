"""Augmented views: drawn anew from a seed, bit for bit, the image itself first."""

from __future__ import annotations

import numpy as np
import pytest

from worker.kinds.images.views import DEGREES, SHIFT, STRETCH, Views


def test_maps_turn_stretch_and_shift_within_bounds_and_leave_the_first_view_alone() -> None:
    maps = Views(200, 3).maps(5)
    assert maps.shape == (5, 200, 2, 3)
    assert np.array_equal(maps[:, 0], np.tile(np.eye(2, 3, dtype=np.float32), (5, 1, 1)))
    rest = maps[:, 1:]
    stretched = np.linalg.norm(rest[..., :2], axis=2)  # of the two sides
    assert 1 / STRETCH - 1e-6 <= stretched.min() < 0.85
    assert 1.18 < stretched.max() <= STRETCH + 1e-6
    turned = np.degrees(np.arctan2(rest[..., 1, 0], rest[..., 0, 0]))
    assert 14.5 < np.abs(turned).max() <= DEGREES + 1e-4
    assert 0.24 < np.abs(rest[..., 2]).max() <= 2 * SHIFT
    assert np.abs(rest[..., 2].mean()) < 0.02


def test_views_are_the_images_then_what_their_maps_see() -> None:
    x = np.random.default_rng(0).normal(size=(2, 1, 9, 9)).astype(np.float32)
    views = Views(4, 5)
    seen = views.of(x)
    assert seen.shape == (8, 1, 9, 9)
    assert np.array_equal(seen[::4], x)
    constant = Views(4, 5).of(np.ones((2, 1, 9, 9), np.float32))
    assert constant[:, 0, 4, 4] == pytest.approx(np.ones(8))  # inside, weights of pixels sum to one
    assert constant.min() == 0  # what comes in from outside
    a = views.maps(2)[1, 2]
    at = a @ [0.0, 0.0, 1.0]  # where the centre of the view looks, in pixels from the centre:
    column, row = 4 + at * 9 / 2
    left, top = int(np.floor(column)), int(np.floor(row))
    right, low = column - left, row - top
    four = x[1, 0, top : top + 2, left : left + 2]
    assert seen[6, 0, 4, 4] == pytest.approx(np.array([1 - low, low]) @ four @ np.array([1 - right, right]), abs=1e-5)


def test_views_are_of_their_seed_and_read_back() -> None:
    x = np.random.default_rng(0).normal(size=(2, 1, 9, 9)).astype(np.float32)
    views = Views(3, 5)
    assert np.array_equal(views.of(x), Views.from_json(views.to_json()).of(x))
    assert not np.array_equal(views.of(x), Views(3, 6).of(x))
    assert Views().of(x) is x
    assert Views.from_json(None) == Views()  # of a summary that was stored before there were views
    assert Views(2, 0).maps(1)[0, 1].ravel().tolist() == pytest.approx(KNOWN, abs=1e-6)


KNOWN = [1.0154647, -0.2331574, 0.0218125, 0.2229424, 1.0619923, 0.2175362]
"""The first map of seed 0: a stream that changed would give other images than those that were labelled."""
