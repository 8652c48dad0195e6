"""Evaluation: every measure against a plain count, and the command from sets to results.json, whole and killed."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flight.bundle import load_bundle, write_sums
from flight.inference.engine import Engine
from flight.inference.network import load_networks
from flight.inference.uncertainty import enhanced
from flight.settings import default_settings
from ground_tools.datasets.store import (
    digest,
    load,
    read_description,
    sample_digest,
    shard_bytes,
    webp_bytes,
    write_description,
    write_index,
)
from ground_tools.evaluation import reliability, work
from ground_tools.evaluation.boundaries import boundary, boundary_f_scores, tolerance_pixels
from ground_tools.evaluation.disturbances import DISTURBANCES, disturbed_frame
from ground_tools.evaluation.evaluate import Plan, evaluate
from ground_tools.evaluation.figures import result_key, targets
from ground_tools.evaluation.mosaics import best_middle_worst
from ground_tools.evaluation.page import page
from ground_tools.evaluation.paper import PAPER_IOU
from ground_tools.evaluation.passes import begin, image_scores, mode_moments, set_inputs
from ground_tools.evaluation.report import merged
from ground_tools.evaluation.samples import choose, even_share
from ground_tools.evaluation.segmentation import (
    image_ious,
    miou_interval,
    over_images,
    paper_iou,
    precision_recall_f1,
    set_iou,
)
from ground_tools.evaluation.statistics import VERSION, Image, rock_sizes
from ground_tools.evaluation.tables import Heading, Picture, Table, Text, blocks, markdown
from ground_tools.training.metrics import confusion_matrix, iou_per_class
from ground_tools.training.records import check_unseen, provenance, sets_used
from tests.ground_tools.conftest import ground_tools
from tests.tiny_bundle import HEIGHT, WIDTH, write_tiny_bundle

CLASSES = ["dark", "grey", "bright", "edge"]
maps = arrays(np.uint8, st.tuples(st.just(3), st.integers(2, 6), st.integers(2, 6)), elements=st.integers(0, 3))


# --- segmentation ---


@settings(max_examples=60, deadline=None)
@given(maps, st.randoms(use_true_random=False))
def test_iou_in_both_definitions_and_precision_recall_f1(truths: np.ndarray, random: Any) -> None:
    predictions = np.random.default_rng(random.randrange(1 << 30)).integers(0, 4, truths.shape).astype(np.uint8)
    confusions = np.stack([confusion_matrix(t, p, 4) for t, p in zip(truths, predictions, strict=True)])
    np.testing.assert_allclose(paper_iou(confusions), iou_per_class(truths, predictions, 4))
    precision, recall, f1 = precision_recall_f1(confusions.sum(axis=0))
    for index in range(4):
        true, predicted = truths == index, predictions == index
        each = [(t & p).sum() / (t | p).sum() for t, p in zip(true, predicted, strict=True) if t.any()]
        if each:
            assert over_images(image_ious(confusions), "min")[index] == pytest.approx(min(each))
            assert over_images(image_ious(confusions), "max")[index] == pytest.approx(max(each))
            assert set_iou(confusions)[index] == pytest.approx((true & predicted).sum() / (true | predicted).sum())
            assert recall[index] == pytest.approx((true & predicted).sum() / true.sum())
        else:
            assert np.isnan(set_iou(confusions)[index])
            assert np.isnan(recall[index])
        if predicted.any():
            assert precision[index] == pytest.approx((true & predicted).sum() / predicted.sum())
        if predicted.any() or true.any():
            assert f1[index] == pytest.approx(2 * (true & predicted).sum() / (true.sum() + predicted.sum()))


def test_a_marked_pixel_leaves_every_prediction_and_stays_in_the_truth() -> None:
    truth = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.uint8)
    predicted = np.array([[0, 0, 0, 1], [1, 1, 1, 0]], dtype=np.uint8)
    marked = predicted.copy()
    marked[0, 3] = marked[1, 0] = 2
    assert image_ious(confusion_matrix(truth, predicted, 2)) == pytest.approx([3 / 5, 3 / 5])
    # The wrong pixel of row 0 no longer spoils class 1; the right one of row 1 is lost to it.
    assert image_ious(confusion_matrix(truth, marked, 2, 3)) == pytest.approx([3 / 5, 2 / 4])


def test_boundary_f_score_of_drawn_shapes() -> None:
    truth = np.zeros((128, 128), dtype=np.uint8)
    truth[30:70, 30:70] = 1
    assert tolerance_pixels(128, 128) == 2
    assert boundary(truth == 1).sum() == 4 * 40 - 4
    assert boundary_f_scores(truth, truth, 3)[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(boundary_f_scores(truth, truth, 3)[2])
    moved_by_2 = np.roll(truth, 2, axis=1)
    assert boundary_f_scores(truth, moved_by_2, 2)[1] == pytest.approx(1.0)
    # By 6 px: upper and lower edges lie on each other but for 4 px beyond the tolerance at each end, the sides do not,
    # but for the two pixels from each corner that are near the other's edge.
    moved = np.roll(truth, 6, axis=1)
    own, other = np.argwhere(boundary(truth == 1)), np.argwhere(boundary(moved == 1))
    near = [np.mean([(((b - p) ** 2).sum(axis=1).min() <= 4) for p in a]) for a, b in ((own, other), (other, own))]
    assert 0.4 < near[0] < 0.6
    assert boundary_f_scores(truth, moved, 2)[1] == pytest.approx(2 * near[0] * near[1] / sum(near))
    assert boundary_f_scores(truth, np.zeros_like(truth), 2)[1] == 0.0
    assert boundary_f_scores(truth, np.roll(truth, 60, axis=1), 2)[1] == 0.0


def test_boundary_f_score_of_random_maps_against_a_plain_count() -> None:
    generator = np.random.default_rng(5)
    for _ in range(6):
        truth, predicted = (cv2.resize(generator.integers(0, 3, (4, 5)).astype(np.uint8), (20, 16)) for _ in range(2))
        for index, score in enumerate(boundary_f_scores(truth, predicted, 3)):
            outlines = [plain_outline(labels == index) for labels in (truth, predicted)]
            if not (truth == index).any() or not (outlines[0] or outlines[1]):
                assert np.isnan(score)
                continue
            shares = [
                np.mean([any(math.dist(p, q) <= 1.0 for q in other) for p in own]) if own else 0.0
                for own, other in (outlines, outlines[::-1])
            ]
            assert tolerance_pixels(16, 20) == 1
            assert score == pytest.approx(2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0)


def plain_outline(region: np.ndarray) -> list[tuple[int, int]]:
    height, width = region.shape
    touching = {
        (v, u)
        for v, u in np.argwhere(region).tolist()
        for y, x in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1))
        if 0 <= y < height and 0 <= x < width and not region[y, x]
    }
    return sorted(touching)


def test_the_interval_of_the_miou_is_that_of_independent_views() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(0.5, 0.1, (400, 1))
    low, high = miou_interval(values, np.arange(400))
    # One class everywhere: the mean of independent images, 1.96 standard errors to each side.
    error = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)
    # Four copies of every image tell nothing more; taken for independent, they would halve the interval.
    copies = np.repeat(values, 4, axis=0)
    assert miou_interval(copies, np.repeat(np.arange(400) * 3, 4)) == pytest.approx((low, high))
    narrow = miou_interval(copies, np.arange(1600))
    assert narrow[1] - narrow[0] == pytest.approx((high - low) / 2, rel=0.1)


def test_every_draw_of_the_interval_is_of_all_classes_of_the_set() -> None:
    """A draw without a class of low IoU would have the mean of the others."""
    ious = np.column_stack([np.full(20, 0.9), np.full(20, np.nan), np.full(20, np.nan)])
    ious[7, 1] = 0.1
    assert miou_interval(ious, np.arange(20)) == pytest.approx((0.5, 0.5))
    # Twice as many views with it: their own spread is in the interval.
    ious[8, 1] = 0.3
    low, high = miou_interval(ious, np.arange(20))
    assert (low, high) == pytest.approx((0.5, 0.6))
    # Four in ten draws of many show two classes that one view each shows.
    ious[8, 1], ious[9, 2] = np.nan, 0.4
    assert miou_interval(ious, np.arange(20)) == (None, None)
    assert miou_interval(ious, np.where(np.arange(20) == 9, 7, np.arange(20))) == pytest.approx((1.4 / 3, 1.4 / 3))
    # One view alone is all that can be drawn.
    assert miou_interval(ious, np.zeros(20, dtype=np.int64)) == pytest.approx((1.4 / 3, 1.4 / 3))


def test_the_edge_of_the_image_is_no_boundary() -> None:
    whole = np.ones((20, 30), dtype=np.uint8)
    assert not boundary(whole == 1).any()
    assert np.isnan(boundary_f_scores(whole, whole, 2)).all()
    half = whole.copy()
    half[:, :15] = 0
    assert boundary(half == 0).sum() == 20
    assert boundary_f_scores(whole, half, 2)[1] == 0.0


# --- reliability ---

pixels = st.lists(st.tuples(st.floats(0.0, 1.5, width=32), st.booleans()), min_size=2, max_size=60)


@settings(max_examples=80, deadline=None)
@given(pixels)
def test_auroc_is_the_count_of_pairs_within_the_stated_bound(drawn: list[tuple[float, bool]]) -> None:
    scores = np.array([s for s, _ in drawn], dtype=np.float32)
    right = np.array([r for _, r in drawn])
    histogram = reliability.score_histogram(scores, right)
    assert histogram.sum(axis=1).tolist() == [right.sum(), (~right).sum()]
    area = reliability.area_under_roc(histogram)
    if right.all() or not right.any():
        assert math.isnan(area)
        return
    pairs = [(1.0 if w > r else 0.5 if w == r else 0.0) for w in scores[~right] for r in scores[right]]
    bound = reliability.area_under_roc_error(histogram)
    assert abs(area - np.mean(pairs)) <= bound + 1e-9
    false, true = reliability.roc(histogram)
    # Of the curve's trapezoids, by hand: NumPy 1 and 2 have them under different names.
    assert (np.diff(false) * (true[1:] + true[:-1]) / 2.0).sum() == pytest.approx(area)


@pytest.mark.parametrize(("least", "most"), [(1e-9, 3e-7), (1e-5, 1e-2), (0.1, 1.6)])
def test_auroc_of_small_scores_is_that_of_the_pixels(least: float, most: float) -> None:
    """Mutual information is often a difference of a few millionths of a nat."""
    generator = np.random.default_rng(1)
    scores = np.exp(generator.uniform(math.log(least), math.log(most), 4000)).astype(np.float32)
    high = (np.log(scores) - math.log(least)) / math.log(most / least)
    right = generator.random(4000) > high**2
    histogram = reliability.score_histogram(scores, right)
    bound = reliability.area_under_roc_error(histogram)
    assert bound < 0.001
    assert reliability.area_under_roc(histogram) == pytest.approx(plain_auroc(scores, right), abs=bound + 1e-9)


def test_scores_beyond_the_bins_are_in_the_outer_ones() -> None:
    scores = np.array([-1.0, -0.0, 0.0, 1e-40, 1e-13, 2.0**-40, 3.999, 4.0, 50.0], dtype=np.float32)
    histogram = reliability.score_histogram(scores, np.ones(9, dtype=bool))
    assert histogram[0, [0, 1, -1]].tolist() == [5, 1, 3]
    assert histogram.sum() == 9


def test_auroc_aupr_and_risk_of_pixels_that_bins_keep_apart() -> None:
    generator = np.random.default_rng(3)
    scores = (generator.permutation(400) + 0.5) ** 2 / 400**2
    right = generator.random(400) > scores
    histogram = reliability.score_histogram(scores.astype(np.float32), right)
    assert histogram.max() == 1
    assert reliability.area_under_roc_error(histogram) == 0.0
    pairs = scores[~right][:, None] > scores[right][None]
    assert reliability.area_under_roc(histogram) == pytest.approx(pairs.mean())
    order = np.argsort(-scores)
    hits = np.cumsum(~right[order])
    expected = (hits / np.arange(1, 401))[~right[order]].mean()
    assert reliability.average_precision(histogram) == pytest.approx(expected)
    coverage, risk = reliability.risk_coverage(histogram)
    kept = np.argsort(scores)
    assert coverage == pytest.approx(np.arange(1, 401) / 400)
    assert risk == pytest.approx(np.cumsum(~right[kept]) / np.arange(1, 401))
    assert reliability.area_under_risk_coverage(histogram) == pytest.approx(risk.mean())
    assert reliability.risk_at(histogram, 0.8) == pytest.approx(risk[319])
    assert reliability.risk_at(histogram, 1.0) == pytest.approx((~right).mean())


def test_certainty_comes_exactly_from_the_counts_of_marked_maps() -> None:
    generator = np.random.default_rng(7)
    truth, predicted = generator.integers(0, 3, (2, 9, 9)).astype(np.uint8)
    uncertain = generator.random((9, 9)) > 0.7
    marked = np.where(uncertain, np.uint8(3), predicted)
    accurate, raised = reliability.certainty_of_marks(
        confusion_matrix(truth, predicted, 3), confusion_matrix(truth, marked, 3, 4)
    )
    assert accurate == pytest.approx((predicted == truth)[~uncertain].mean())
    assert raised == pytest.approx(uncertain[predicted != truth].mean())
    right = np.diag([4, 5])
    assert reliability.certainty_of_marks(right, np.pad(right, ((0, 0), (0, 1)))) == pytest.approx(
        (1.0, math.nan), nan_ok=True
    )


def test_pairs_of_images_told_apart() -> None:
    assert reliability.area_of_pairs(np.array([1.0, 2.0]), np.array([2.0, 3.0, 0.0])) == pytest.approx(3.5 / 6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.05, 0.5, 0.91, 0.95]))
def test_certainty_is_that_of_the_pixels_which_the_flight_code_marks(seed: int, threshold: float) -> None:
    generator = np.random.default_rng(seed)
    entropy = np.round(generator.random((8, 9)), 2).astype(np.float32)
    right = generator.random((8, 9)) > 0.4
    marked = enhanced(np.zeros((8, 9), dtype=np.uint8), entropy, threshold, 1) == 1
    accurate, uncertain = reliability.certainty(reliability.scaled_histogram(entropy, right))
    place = round(threshold * reliability.BINS)
    assert accurate[place] == pytest.approx(right[~marked].mean())
    assert uncertain[place] == pytest.approx(marked[~right].mean())


def test_an_image_of_one_entropy_has_no_uncertain_pixel() -> None:
    histogram = reliability.scaled_histogram(np.full((4, 4), 0.7, np.float32), np.ones((4, 4), dtype=bool))
    assert histogram[0, 0] == 16


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300))
def test_calibration_error_nll_and_brier(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    probability = generator.dirichlet(np.ones(4), count).T.astype(np.float32).reshape(4, count, 1)
    truth = generator.integers(0, 4, (count, 1)).astype(np.uint8)
    confidence, right = probability.max(axis=0), probability.argmax(axis=0) == truth
    table = reliability.calibration_counts(confidence, right)
    expected = 0.0
    for index in range(reliability.CALIBRATION_BINS):
        low, high = index / reliability.CALIBRATION_BINS, (index + 1) / reliability.CALIBRATION_BINS
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert reliability.expected_calibration_error(table) == pytest.approx(expected, abs=1e-6)
    one_hot = np.eye(4)[truth[:, 0]].T[..., None]
    assert reliability.brier_score(probability, truth) == pytest.approx(((probability - one_hot) ** 2).sum(0).mean())
    chosen = probability[truth[:, 0], np.arange(count), 0]
    assert reliability.negative_log_likelihood(probability, truth) == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


def test_calibrated_pixels_have_no_calibration_error() -> None:
    confidence = np.repeat(np.array([0.5, 0.75, 1.0], dtype=np.float32), 400)
    right = np.concatenate([np.arange(400) % 2 == 0, np.arange(400) % 4 != 0, np.ones(400, dtype=bool)])
    assert reliability.expected_calibration_error(reliability.calibration_counts(confidence, right)) < 1e-9
    none = reliability.negative_log_likelihood(np.array([[[1.0]], [[0.0]]], np.float32), np.array([[1]]))
    assert none == pytest.approx(-math.log(reliability.LEAST_PROBABILITY))


# --- what is judged ---


def test_every_body_has_an_even_share() -> None:
    bodies = np.repeat(["a", "b", "c"], [100, 100, 4])
    places = even_share(bodies, 30)
    assert np.unique(bodies[places], return_counts=True)[1].tolist() == [13, 13, 4]
    assert places[0] == 0
    assert bodies[:100][places[places < 100]].size == 13
    assert places[places < 100][-1] == 99
    assert len(np.unique(places)) == 30
    assert even_share(bodies, 0).tolist() == even_share(bodies, 1000).tolist() == list(range(204))
    assert len(even_share(bodies, 1)) == 1


def test_a_set_without_splits_is_judged_as_a_whole(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    path = write_set(tmp_path / "d5", "d5", {"a": {"validation": 2}, "b": {"validation": 1}})
    chosen = choose(path, "test", 0, loaded)
    assert (chosen.split, chosen.label, len(chosen)) == ("all", "d5", 3)
    assert choose(path, "validation", 0, loaded).label == "d5_validation"
    with pytest.raises(ValueError, match=r"d5: expected samples in split train, got validation"):
        choose(path, "train", 0, loaded)


def test_best_middle_and_worst_show_no_view_twice() -> None:
    values, views = np.linspace(1.0, 0.0, 24), np.repeat(np.arange(6), 4)
    groups = best_middle_worst(values, views)
    assert [name for name, _ in groups] == ["best", "middle", "worst"]
    assert [places.tolist() for _, places in groups] == [[0, 4], [8, 12], [16, 20]]
    assert [len(places) for _, places in best_middle_worst(values, np.arange(24))] == [4, 4, 4]
    assert best_middle_worst(values[:2], np.arange(2))[0][0] == "all"


def test_disturbances_are_what_they_say_and_repeat() -> None:
    image = np.full((64, 64), 60, dtype=np.uint8)
    image[:, 32:] = 0
    frames = {name: disturbed_frame(image, name, noisy=True) for name in DISTURBANCES}
    assert all(np.array_equal(disturbed_frame(image, name, noisy=True), frame) for name, frame in frames.items())
    spread = [frames[name][:, :32].std() for name in ("none", "noise 0.03", "noise 0.1", "noise 0.2")]
    assert spread[0] == pytest.approx(2.55, rel=0.1)
    assert spread[1] == pytest.approx(255 * math.hypot(0.01, 0.03), rel=0.1)
    assert spread == sorted(spread)
    assert frames["gain 4"][:, :32].mean() > 250
    assert frames["empty sky"].mean() == pytest.approx(25.5, abs=0.5)
    edge = [frames[name][:, 31].mean() for name in ("none", "blur 1 px", "blur 4 px")]
    assert edge == sorted(edge, reverse=True)
    # Real images have noise of their own, and get none here.
    assert np.array_equal(disturbed_frame(image, "none", noisy=False), image)
    assert disturbed_frame(image, "empty sky", noisy=False).std() > 1.0
    with pytest.raises(ValueError, match=r"disturbance: expected one of none, .*, got fog"):
        disturbed_frame(image, "fog", noisy=True)


def test_rocks_are_told_apart_by_visible_size() -> None:
    identifiers = np.ones((10, 20), dtype=np.uint16)
    identifiers[0, :3] = 1000
    identifiers[2, :16] = 11_000
    identifiers[4, :2] = 12_000
    identifiers[5, :20] = 101  # a crater
    sizes = rock_sizes(identifiers)
    assert sizes[0, :3].tolist() == [3, 3, 3]
    assert (sizes[2, :16] == 16).all()
    assert sizes.sum() == 3 * 3 + 16 * 16


def test_names_of_modes() -> None:
    named = {mode: result_key(mode) for mode in ("UNetS", "UNetAS", "UNetR", "UNetH", "Lunar terrain")}
    assert [*named.values()] == ["unet_s", "unet_as", "unet_r", "unet_h", "lunar_terrain"]


def test_the_papers_means_are_those_of_its_classes() -> None:
    for values in PAPER_IOU.values():
        classes = [value for name, value in values.items() if name != "mean"]
        assert np.mean(classes) == pytest.approx(values["mean"], abs=0.02)


def test_targets_are_met_or_not_or_not_measured() -> None:
    uncertainty = {"ece": 0.02, "auroc": 0.8}
    figures = {"miou": 0.66, "iou": {"craters": 0.2, "boulders": None}, "nll": 0.3, "uncertainty": uncertainty}
    figures["deterministic"] = {"miou": 0.67, "nll": 0.4}
    other = {**figures, "miou": 0.71}
    rows = {(row["what"], row["dataset"]): row for row in targets({"d1": {"unet_h": {}, "unet_s": figures}})}
    real = targets({"d4": {"unet_s": figures, "unet_as": other}})
    assert [row["met"] for row in real if row["dataset"] == "d4"] == [True, None, True]
    assert rows["miou", "d1"]["met"] is True
    assert rows["miou", "d1"]["mode"] == "unet_s"
    assert rows["miou", "d2a"]["met"] is None
    assert rows["class/craters", "d1"]["met"] is False
    assert rows["class/boulders", "d1"]["met"] is None
    assert rows["ece", "d1"]["met"] is True
    assert rows["auroc", "d1"]["met"] is False
    assert rows["miou higher than without dropout", "d1"]["met"] is False
    assert rows["nll lower than without dropout", "d1"]["met"] is True


def test_blocks_become_markdown_and_one_page(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    content = [Heading("A & B", 2), Text("`x` < y"), Table(["n", "v"], [["a", "1"]]), Picture("a.png", "Of a")]
    assert "## A & B\n\n`x` < y\n\n| n | v |\n| --- | --- |\n| a | 1 |" in markdown(content, "images")
    assert "![Of a](images/a.png)" in markdown(content, "images")
    text = page([*content, Picture("gone.png", "Gone")], "Title", tmp_path)
    assert '<h2 id="a-b">A &amp; B</h2>' in text
    assert "<code>x</code> &lt; y" in text
    assert "data:image/png;base64," in text
    assert "gone.png is not there" in text


# --- what is kept ---


class OnePart:
    """In the place of worker processes: every part of a job has the same statistics."""

    def __init__(self) -> None:
        self.computed = 0

    def submit(self, *_: Any) -> Future[dict[str, np.ndarray]]:
        self.computed += 1
        future: Future[dict[str, np.ndarray]] = Future()
        rows = np.random.default_rng(1).integers(0, 9, (4, 3, 3))
        future.set_result({"confusion": rows, "entropy_histogram": np.arange(600).reshape(3, 2, 100)})
        return future


def test_a_damaged_part_is_named_and_never_taken(tmp_path: Path) -> None:
    pool: Any = OnePart()
    empty = np.zeros((2, 2), dtype=np.uint8)
    images = [Image(empty, empty, empty.astype(np.uint16), seed) for seed in range(4)]
    expected = work.statistics_of(pool, "judged", images, {}, tmp_path, "x")
    (file,) = tmp_path.glob("*/*.npz")
    content = file.read_bytes()
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{file}: damaged; delete it"):
                work.statistics_of(pool, "judged", images, {}, tmp_path, "x")
    file.write_bytes(content)
    got = work.statistics_of(pool, "judged", images, {}, tmp_path, "x")
    assert all(np.array_equal(got[name], values) for name, values in expected.items())
    assert pool.computed == 1


def test_statistics_of_other_software_or_settings_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: Any = OnePart()
    images = [Image(*(np.zeros((2, 2), dtype=np.uint8),) * 3, 0)]

    def computed() -> int:
        work.statistics_of(pool, "judged", images, {"passes": 3}, tmp_path, "x")
        return int(pool.computed)

    assert [computed(), computed()] == [1, 1]
    assert set(work.software()) == {"ai_edge_litert", "numpy", "opencv"}
    monkeypatch.setattr(work, "software", lambda: {"ai_edge_litert": "0"})
    assert [computed(), computed()] == [2, 2]
    for place, name in enumerate(("score_bins", "bins", "calibration_bins", "boundary_tolerance", "version")):
        monkeypatch.setitem(work.SETTINGS, name, -1)
        assert computed() == 3 + place


# --- the command ---


def write_set(folder: Path, name: str, counts_by_body: dict[str, dict[str, int]], **more: Any) -> Path:
    """A set of random disks in the tiny bundle's classes and size. counts_by_body: body -> split -> samples."""
    generator = np.random.default_rng(len(name))
    rows, nothing = [], [float("nan")] * 3
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    flyby = more.pop("flyby", False)
    for body, splits in counts_by_body.items():
        for split, count in splits.items():
            for index in range(count):
                radius = generator.uniform(5, 12)
                distance = np.hypot(u - generator.uniform(16, 32), v - generator.uniform(10, 22))
                mask = np.select([distance < radius - 4, distance < radius], [2, 1], 0).astype(np.uint8)
                mask[(distance > radius) & (distance < radius + 1)] = 3
                image = np.array([0, 120, 220, 60], dtype=np.uint8)[mask]
                identifiers = np.where(mask == 2, 1000 + index, np.where(mask > 0, 1, 0)).astype(np.uint16)
                ground = np.minimum(identifiers, 1).astype(np.uint16)
                rows.append(
                    {
                        "body": body,
                        "split": split,
                        "index": index,
                        "seed": 1,
                        "camera_km": nothing,
                        "sun_direction": nothing,
                        "range_d0": 0.5 + index if flyby else float("nan"),
                        "phase_angle_deg": float("nan"),
                        "time_s": 10.0 * (index - count // 2) if flyby else None,
                        "class_pixels": np.bincount(mask.ravel(), minlength=4).tolist(),
                        "sha256": sample_digest(image, mask, identifiers, ground),
                        "image": webp_bytes(image),
                        "mask": webp_bytes(mask),
                        "identifiers": webp_bytes(identifiers),
                        "ground": webp_bytes(ground),
                    }
                )
    (folder / "shards").mkdir(parents=True)
    (folder / "shards" / "all-00000.parquet").write_bytes(shard_bytes(rows))
    description = {"format": 2, "name": name, "classes": CLASSES, "noise": {"seed": 1}, **more}
    write_description(folder, description)
    write_description(folder, {**description, "samples": len(rows), "sha256": write_index(folder)})
    return folder


def stated(bundle: Path, **changes: Any) -> Path:
    """A bundle whose manifest is to state something else."""
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    write_sums(bundle)
    return bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks: by its record, the second began from the first and was trained on d3."""
    first = {"dataset": {"name": "d1", "sha256": "x", "split_by": None}}
    second = {"dataset": {"name": "d3", "sha256": "x", "split_by": None}, "began_from": {"training": first}}
    written = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", ("UNetS", "UNetAS"))
    return stated(written, training={"UNetS": first, "UNetAS": second})


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    whole = {"train": 1, "validation": 4, "test": 9}
    return {
        "d1": write_set(folder / "d1", "d1", {"a": whole, "b": whole}),
        "d3": write_set(folder / "d3", "d3", {"a": {"test": 7}}, flyby=True),
        "d4": write_set(folder / "d4", "d4", {"a": {"train": 1, "test": 3}}, **_REAL),
        "d4_by_body": write_set(folder / "body", "d4", {"a": {"train": 1}, "b": {"test": 3}}, **_UNSEEN),
    }


# As D-4 is described: no noise is added, its images are not shown, samples 0 and 1 are copies of one image.
_IMAGE = {"body": "a", "group": "a1", "split": "test", "samples": [0, 1]}
_REAL = {"noise": None, "publish_images": False, "campaign": {"split_by": "image"}, "images": [_IMAGE]}
_UNSEEN = {**_REAL, "campaign": {"split_by": "body"}, "images": []}


_PAGE = "# Results\n\nprose\n\n<!-- figures: begin -->\nformer figures\n<!-- figures: end -->\n\nmore prose\n"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one network without dropout."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "plain", ("UNetR",), dropout=False)


@pytest.fixture(scope="module")
def evaluated(bundle: Path, second: Path, sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two evaluations, of one bundle and of two in one call, with docs/ in it."""
    out = tmp_path_factory.mktemp("evaluation")
    (out / "docs").mkdir()
    (out / "docs" / "results.md").write_text(_PAGE)
    common = ["--passes", 3, "--sweep", 6, "--disturbed", 2, "--workers", 2, "--out", out, "--write", out / "docs"]
    for bundles, names in (([bundle], ["d1", "d3"]), ([bundle, second], ["d4", "d4_by_body"])):
        arguments = [item for path in bundles for item in ("--bundle", path)]
        arguments += [item for name in names for item in ("--dataset", sets[name])]
        done = ground_tools("evaluate", *arguments, *common)
        assert done.returncode == 0, done.stderr
    return out


def test_results_have_their_structure(evaluated: Path, bundle: Path, second: Path) -> None:
    record = json.loads((evaluated / "docs" / "results.json").read_text())
    assert record == json.loads((evaluated / "results.json").read_text())
    for name in ("d1", "d3", "d4", "d4_unseen_bodies"):
        assert set(record[name]) == {"unet_s", "unet_as", "fused"} | ({"unet_r"} if "d4" in name else set())
        for figures in record[name].values():
            assert set(figures["iou"]) == set(CLASSES)
            assert 0.0 <= figures["miou"] <= 1.0
            known = [value for value in figures["iou"].values() if value is not None]
            assert figures["miou"] == pytest.approx(np.mean(known), abs=1e-5)
            expected = second if figures["mode"] == "UNetR" else bundle
            assert figures["bundle"]["sha256"] == load_bundle(expected).sha256
            low, high = figures["miou_interval"]
            assert low is high is None or low <= figures["miou"] <= high
            total = np.sum(figures["confusion"])
            assert total == figures["images"] * HEIGHT * WIDTH
            assert sum(figures["uncertainty"]["reliability"]["pixels"]) == total
    assert record["d1"]["unet_s"]["split"] == "test"
    assert record["d1"]["unet_s"]["images"] == record["d1"]["unet_s"]["views"] == 18
    assert record["d4"]["unet_s"]["split_by"] == "image"
    assert (record["d4"]["unet_s"]["images"], record["d4"]["unet_s"]["views"]) == (3, 2)
    assert record["d4_unseen_bodies"]["unet_s"]["split_by"] == "body"
    uncertainty = record["uncertainty"]
    assert (uncertainty["dataset"], uncertainty["mode"]) == ("d1", "unet_s")
    assert uncertainty["ece"] == record["d1"]["unet_s"]["uncertainty"]["ece"]
    assert uncertainty["nll"] == record["d1"]["unet_s"]["nll"]
    assert not {"nll", "brier"} & set(record["d1"]["unet_s"]["uncertainty"])
    assert 0.0 <= uncertainty["auroc"] <= 1.0
    assert [row["met"] for row in record["targets"] if row["dataset"] == "d2a"] == [None]
    assert [row["time_s"] for row in record["d3"]["fused"]["along"]] == [-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0]
    assert "along" not in record["d1"]["fused"]
    # Only d1 has a validation split.
    assert set(record["choices"]) == set(record["unlike_training"]) == {"d1"}
    sweep = record["choices"]["d1"]["tiny"]["gamma"]
    assert record["choices"]["d1"]["tiny"]["images"] == 6
    assert sweep["gammas"][0] == 1.0
    assert sweep["gammas"][-1] == 10.0
    assert len(sweep["miou"]) == len(sweep["gammas"])
    unlike = record["unlike_training"]["d1"]["tiny"]["modes"]
    assert unlike["fused"]["none"]["ratio"] == pytest.approx(1.0)
    assert set(unlike["unet_s"]) == set(DISTURBANCES)


def test_the_figures_are_those_of_the_flight_engines_maps(evaluated: Path, bundle: Path, sets: dict[str, Path]) -> None:
    """Every figure of D-4 again, from what the flight engine publishes, by plain counts over all pixels."""
    loaded = load_bundle(bundle)
    record = json.loads((evaluated / "results.json").read_text())
    chosen = choose(sets["d4"], "test", 0, loaded)
    assert np.array_equal(chosen.frames(), chosen.samples.images)
    truths = chosen.samples.masks
    engine = Engine(loaded)
    for mode in loaded.modes:
        settings = replace(default_settings(loaded), mode=mode, passes=3, gamma=loaded.gamma)
        maps = [
            engine.segment(frame, bit_depth=8, centered=True, seed=int(seed), settings=settings)
            for frame, seed in zip(chosen.frames(), chosen.positions, strict=True)
        ]
        class_maps = np.stack([m.class_map for m in maps])
        entropies = np.stack([m.predictive_entropy for m in maps])
        figures = record["d4"][result_key(mode)]
        expected = plain_iou(truths, class_maps, 4)
        assert [*figures["iou"].values()] == pytest.approx(expected, abs=1e-6)
        right = class_maps == truths
        marked = np.stack([m.enhanced_class_map for m in maps])
        assert [*figures["enhanced"]["iou"].values()] == pytest.approx(plain_iou(truths, marked, 4), abs=1e-6)
        uncertain = marked == 4
        judged = figures["uncertainty"]
        assert judged["error_rate"] == pytest.approx((~right).mean(), abs=1e-6)
        assert judged["p_accurate_certain"] == pytest.approx(right[~uncertain].mean(), abs=1e-6)
        assert judged["p_uncertain_inaccurate"] == pytest.approx(uncertain[~right].mean(), abs=1e-6)
        assert figures["enhanced"]["uncertain_share"] == pytest.approx(uncertain.mean(), abs=1e-6)
        assert figures["mean_entropy"] == pytest.approx(entropies.mean(), abs=1e-5)
        assert judged["auroc"] == pytest.approx(plain_auroc(entropies, right), abs=judged["auroc_bin_error"] + 1e-6)
        # The tiny networks are as uncertain as can be of dark pixels, and nearly so of many others.
        assert judged["auroc_bin_error"] < 0.02
        mutual = np.stack([m.mutual_information for m in maps])
        # Of dark pixels all passes say the same: 0, or by the order of the sums a ten-millionth of a nat.
        assert judged["auroc_mutual_information"] == pytest.approx(plain_auroc(mutual, right), abs=0.01)


def plain_iou(truths: np.ndarray, predictions: np.ndarray, classes: int) -> list[float]:
    """Mean over the images that show a class of its overlap over its union."""
    result = []
    for index in range(classes):
        pairs = [(t == index, p == index) for t, p in zip(truths, predictions, strict=True) if (t == index).any()]
        result.append(float(np.mean([(t & p).sum() / (t | p).sum() for t, p in pairs])))
    return result


def plain_auroc(scores: np.ndarray, right: np.ndarray) -> float:
    """Share of all pairs of a wrong and a right pixel in which the wrong one has the higher score."""
    wrong, sound = scores[~right], np.sort(scores[right])
    below, not_above = np.searchsorted(sound, wrong, "left"), np.searchsorted(sound, wrong, "right")
    return float((below + not_above).sum() / 2.0 / len(wrong) / len(sound))


def test_the_sweeps_are_of_validation_images_and_of_every_choice(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    loaded = load_bundle(bundle)
    choices = json.loads((evaluated / "results.json").read_text())["choices"]["d1"]["tiny"]
    assert (choices["split"], choices["images"], choices["of_images"]) == ("validation", 6, 8)
    samples = load(sets["d1"], "validation")
    places = even_share(samples.bodies, 6)
    networks = load_networks(loaded, 1)
    scores = []
    for frame, place in zip(
        set_inputs(samples.images[places], read_description(sets["d1"])["noise"]), places, strict=True
    ):
        begin(loaded, networks, frame, int(place), 3)
        scores.append(image_scores(networks, 3))
    truths = samples.masks[places]
    for gamma, miou in zip(choices["gamma"]["gammas"], choices["gamma"]["miou"], strict=True):
        # Of the tiny bundle: class 0 of the first network, 3 of the second, 1 and 2 mixed.
        weight = math.log10(gamma)
        share = np.array([1.0, weight, weight, 0.0])[:, None, None]
        fused = np.stack([share * s[:, 0] + (1.0 - share) * s[:, 1] for s in scores])
        exponentials = np.exp(fused - fused.max(axis=2, keepdims=True))
        mean = (exponentials / exponentials.sum(axis=2, keepdims=True)).mean(axis=1)
        assert miou == pytest.approx(np.mean(plain_iou(truths, mean.argmax(axis=1), 4)), abs=2e-3)
    for mode in loaded.modes:
        moments = [mode_moments(loaded, s, mode, loaded.gamma) for s in scores]
        sweep = choices["threshold"]["modes"][result_key(mode)]
        for threshold, miou in sweep["miou"].items():
            marked = []
            for mean, entropy, _ in moments:
                scaled = (entropy - entropy.min()) / (entropy.max() - entropy.min())
                marked.append(np.where(scaled > np.float32(threshold), 9, mean.argmax(axis=0)))
            assert miou == pytest.approx(np.mean(plain_iou(truths, np.stack(marked), 4)), abs=1e-6)
        assert sweep["miou"][f"{sweep['best']:g}"] == max(sweep["miou"].values())
        unmarked = plain_iou(truths, np.stack([mean.argmax(axis=0) for mean, _, _ in moments]), 4)
        assert sweep["miou_unmarked"] == pytest.approx(np.mean(unmarked), abs=1e-6)


def test_calibration_and_scores_of_a_set_are_those_of_all_its_pixels(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    loaded = load_bundle(bundle)
    networks = load_networks(loaded, 1)
    chosen = choose(sets["d4"], "test", 0, loaded)
    record = json.loads((evaluated / "results.json").read_text())["d4"]
    for mode in loaded.modes:
        probabilities, mutuals, single = [], [], []
        for frame, seed in zip(chosen.frames(), chosen.positions, strict=True):
            begin(loaded, networks, frame, int(seed), 3)
            mean, _, mutual = mode_moments(loaded, image_scores(networks, 3), mode, loaded.gamma)
            probabilities.append(mean)
            mutuals.append(mutual)
            without = np.stack([network.run_without_dropout() for network in networks])[None]
            single.append(mode_moments(loaded, without, mode, loaded.gamma)[0])
        figures = record[result_key(mode)]
        area = plain_auroc(np.stack(mutuals), np.stack(probabilities).argmax(axis=1) == chosen.samples.masks)
        assert figures["uncertainty"]["auroc_mutual_information"] == pytest.approx(area, abs=1e-4)
        for values, told in ((probabilities, figures), (single, figures["deterministic"])):
            flat = np.stack(values).transpose(0, 2, 3, 1).reshape(-1, 4).astype(np.float64)
            truth = chosen.samples.masks.ravel()
            confidence, right = flat.max(axis=1), flat.argmax(axis=1) == truth
            error = 0.0
            for index in range(15):
                inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
                error += abs(right[inside].sum() - confidence[inside].sum()) / len(truth)
            ece = told["uncertainty"]["ece"] if "uncertainty" in told else told["ece"]
            assert ece == pytest.approx(error, abs=1e-4)
            assert told["nll"] == pytest.approx(-np.log(flat[np.arange(len(truth)), truth]).mean(), abs=1e-5)
            assert told["brier"] == pytest.approx(((flat - np.eye(4)[truth]) ** 2).sum(axis=1).mean(), abs=1e-5)
            expected = plain_iou(chosen.samples.masks, np.stack(values).argmax(axis=1), 4)
            assert [*told["iou"].values()] == pytest.approx(expected, abs=1e-6)


def test_a_flyby_is_told_image_by_image(evaluated: Path, sets: dict[str, Path]) -> None:
    rows = json.loads((evaluated / "results.json").read_text())["d3"]["unet_s"]["along"]
    samples = load(sets["d3"])
    assert [row["time_s"] for row in rows] == samples.times_s.tolist()
    assert [row["range_d0"] for row in rows] == pytest.approx(samples.ranges_d0)
    for row, mask in zip(rows, samples.masks, strict=True):
        known = [name for name, value in row["iou"].items() if value is not None]
        assert known == [CLASSES[index] for index in np.unique(mask)]
        assert row["miou"] == pytest.approx(np.mean([row["iou"][name] for name in known]), abs=1e-6)


def test_a_flyby_is_summed_up_at_every_range(evaluated: Path) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    part = text.split("### d3 along the flyby")[1].split("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("| fused |")]
    spans = [cells[2:4] for cells in (re.split(r"\s*\|\s*", line) for line in lines)]
    assert spans == [["0 to 1", "1"], ["1.3 to 2", "1"], ["2 to 3", "1"], ["3 to 5", "2"], ["5 and more", "2"]]


def test_sets_of_a_modes_own_training_are_not_unlike_it(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    trained = {mode: figures["trained_on"] for mode, figures in record["d4"].items()}
    assert trained == {"fused": ["d1", "d3"], "unet_s": ["d1"], "unet_as": ["d1", "d3"], "unet_r": []}
    text = (evaluated / "docs" / "results.md").read_text()
    part = text.split("### Images unlike training, made of d1, tiny")[1].split("###")[0]
    rows = {mode: re.findall(rf"^\| {mode} \| set (\w+) ", part, re.MULTILINE) for mode in trained}
    assert rows == {"fused": _D4, "unet_s": ["d3", *_D4], "unet_as": _D4, "unet_r": []}


_D4 = ["d4", "d4_unseen_bodies"]


def test_a_set_without_an_interval_shows_a_dash(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    figures = record["d3"]["unet_s"]
    figures["miou_interval"] = [None, None]
    assert f" {100 * figures['miou']:.1f} (-) |" in markdown(blocks(record), "images")


def test_both_rules_of_splits_stand_side_by_side(evaluated: Path) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    assert "### d4, split by image and by body" in text
    assert "trained on beside this set, as far as their bundles state it: d1, d3. Drop" in text
    record = json.loads((evaluated / "results.json").read_text())
    drop = 100 * (record["d4"]["unet_r"]["miou"] - record["d4_unseen_bodies"]["unet_r"]["miou"])
    (line,) = [line for line in text.splitlines() if line.startswith("| unet_r | plain 1.0 | plain 1.0 |")]
    assert f"| {drop:.1f} |" in line


def trained_on_d4(**dataset: Any) -> dict[str, Any]:
    """A manifest's training: of a network that began from one of D-1."""
    origin = {"training": {"dataset": {"name": "d1", "sha256": "x", "split_by": None}}}
    return {"UNetAS": {"dataset": {"name": "d4", **dataset}, "began_from": origin}}


def test_the_rule_of_the_splits_is_that_of_the_trainings(
    sets: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The two rules put the same images into other splits."""

    def check(path: Path, training: dict[str, Any]) -> None:
        check_unseen("bundle tiny", sets_used(training, {}), path)

    sha256 = json.loads((sets["d4"] / "dataset.json").read_text())["sha256"]
    check(sets["d4"], trained_on_d4(split_by="image", sha256=sha256))
    check(sets["d1"], trained_on_d4(split_by="image", sha256=sha256))
    assert capsys.readouterr().err == ""
    with pytest.raises(
        ValueError, match=r"split by body: expected UNetAS of bundle tiny to come from the same splits of d4"
    ):
        check(sets["d4_by_body"], trained_on_d4(split_by="image", sha256=sha256))
    with pytest.raises(ValueError, match="got it split by None"):
        check(sets["d4"], trained_on_d4(sha256=sha256))
    with pytest.raises(ValueError, match="expected UNetH of bundle tiny"):
        check(sets["d4"], {"UNetH": {"began_from": {"training": {"dataset": {"name": "d4", "split_by": "body"}}}}})
    own = provenance(sets["d4"])
    assert own["sha256"] == sha256
    check(sets["d4"], {"UNetAS": {"dataset": own}})
    # The same images by the same rule in other splits, as after a change of the bodies in test.
    with pytest.raises(ValueError, match="got it split by image in another way"):
        check(sets["d4"], {"UNetAS": {"dataset": {**own, "splits_sha256": "other"}}})
    assert capsys.readouterr().err == ""
    check(sets["d4"], trained_on_d4(split_by="image", sha256="other"))
    assert "UNetAS of bundle tiny came from another make of d4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"training": trained_on_d4(split_by="body")}, "UNetAS"),
        (
            {"metrics": {"validation": {"images": 4, "d4": {"dataset": {"name": "d4", "split_by": "body"}}}}},
            "the choices",
        ),
    ],
)
def test_no_bundle_is_judged_on_images_that_it_comes_from(
    bundle: Path, sets: dict[str, Path], tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    other = stated(Path(shutil.copytree(bundle, tmp_path / "tiny")), **changes)
    plan = Plan(split="test", images=0, sweep=0, disturbed=0, passes=1, workers=1, out=tmp_path / "out")
    with pytest.raises(
        ValueError, match=rf"d4: split by image: expected {what} of bundle tiny to come from the same splits of d4"
    ):
        evaluate([other], [sets["d4"]], plan)
    assert not plan.out.exists()


def test_without_dropout_is_one_pass_with_masks_of_ones(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    plain = load_bundle(write_tiny_bundle(tmp_path / "plain", ("UNetS",), dropout=False))
    frame = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8)
    (network, _), (other,) = load_networks(loaded, 1), load_networks(plain, 1)
    begin(loaded, [network], frame, 5, 2)
    begin(plain, [other], frame, 5, 1)
    np.testing.assert_allclose(network.run_without_dropout(), other.run(0), atol=1e-5)
    assert not np.allclose(network.run(0), network.run_without_dropout())


def test_pages_and_pictures_are_written(evaluated: Path) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    assert text.startswith("# Results\n\nprose\n\n<!-- figures: begin -->\n")
    assert text.endswith("<!-- figures: end -->\n\nmore prose\n")
    assert "former figures" not in text
    report = (evaluated / "report.html").read_text()
    assert "src=" in report
    assert 'src="data:' in report
    assert "is not there" not in report
    pictures = {path.name for path in (evaluated / "docs" / "images" / "results").iterdir()}
    for what in ("mosaic.jpg", "cumulative_iou.png", "confusion.png", "calibration.png", "errors.png"):
        assert f"d1_tiny_{what}" in pictures
    assert {"d3_tiny_flyby.png", "d1_tiny_gamma.png", "d1_tiny_threshold.png", "d1_tiny_disturbances.png"} <= pictures
    record = json.loads((evaluated / "results.json").read_text())
    for name, items in record["pictures"].items():
        contents = {figures["dataset_sha256"] for figures in record[name].values()}
        assert {item["dataset_sha256"] for item in items} == contents
    for name in pictures:
        assert f"images/results/{name}" in text
        assert cv2.imread(str(evaluated / "docs" / "images" / "results" / name)) is not None
    # Images that may not be passed on are not in the mosaic: 4 rows instead of 5.
    heights = [cv2.imread(str(evaluated / "images" / f"{name}_tiny_mosaic.jpg")).shape[0] for name in ("d1", "d4")]
    assert heights[0] - heights[1] == HEIGHT + 4


def test_figures_name_their_set_whatever_its_training_split_holds(bundle: Path, tmp_path: Path) -> None:
    judged = {"test": 3, "validation": 2}
    without = write_set(tmp_path / "without", "d1", {"ball": judged})
    whole = write_set(tmp_path / "whole", "d1", {"ball": {**judged, "train": 4}})
    other = write_set(tmp_path / "other", "d1", {"ball": {**judged, "validation": 3}})
    assert digest(without) != digest(whole)
    expected = digest(without)
    for split in ("test", "validation"):
        assert choose(without, split, 0, load_bundle(bundle)).sha256 == expected
        assert choose(whole, split, 0, load_bundle(bundle)).sha256 == expected
        assert choose(other, split, 0, load_bundle(bundle)).sha256 != expected


def test_the_same_command_again_computes_nothing_and_gives_the_same(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    before = (evaluated / "results.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in evaluated.glob("statistics/*/*.npz")}
    arguments = ["--bundle", bundle, "--passes", 3, "--out", evaluated, "--workers", 1]
    done = ground_tools("evaluate", *arguments, "--dataset", sets["d3"], "--sweep", 6, "--disturbed", 2)
    assert done.returncode == 0, done.stderr
    assert (evaluated / "results.json").read_text() == before
    assert {path: path.stat().st_mtime_ns for path in evaluated.glob("statistics/*/*.npz")} == times


def test_one_network_without_dropout_makes_one_pass(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    figures = record["d4"]["unet_r"]
    assert figures["passes"] == 1
    assert figures["miou"] == figures["deterministic"]["miou"]
    assert figures["mean_mutual_information"] == pytest.approx(0.0, abs=1e-6)


def test_a_part_of_another_split_by_a_bundle_without_fusion(
    second: Path, sets: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["--bundle", second, "--dataset", sets["d1"], "--split", "validation", "--out", tmp_path]
    done = ground_tools("evaluate", *arguments, "--images", 3, "--sweep", 2, "--disturbed", 0)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["d1_validation"]["unet_r"]["images"] == 3
    assert "gamma" not in record["choices"]["d1"]["plain"]
    assert record["unlike_training"] == {}


def test_a_killed_evaluation_goes_on_and_leaves_no_process(bundle: Path, tmp_path: Path) -> None:
    dataset = write_set(tmp_path / "many", "many", {"a": {"test": 50}, "b": {"test": 50}})
    arguments = ["evaluate", "--bundle", bundle, "--dataset", dataset, "--passes", 20, "--workers", 2]

    def command(out: Path) -> list[str]:
        return [sys.executable, "-m", "ground_tools.cli", *map(str, arguments), "--out", str(out)]

    process = subprocess.Popen(command(tmp_path / "killed"), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 200.0
    while not (parts := list((tmp_path / "killed").glob("statistics/*/*.npz"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    group = os.getpgid(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while alive(group):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)
    stored = {path: path.stat().st_mtime_ns for path in parts}
    assert not (tmp_path / "killed" / "results.json").exists()
    for name in ("killed", "whole"):
        done = subprocess.run(command(tmp_path / name), capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in parts} == stored
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("killed", "whole")]
    assert results[0] == results[1]


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def figures_of(name: str, sha256: str, dataset: str, content: str = "1") -> dict[str, Any]:
    """What a record holds of one mode, as far as putting records together needs it."""
    plain = {"miou": 0.5, "iou": {"craters": 0.1, "boulders": 0.1}, "nll": 1.0, "brier": 0.5}
    origin = {"bundle": {"name": name, "version": "1", "sha256": sha256}, "dataset": dataset, "dataset_sha256": content}
    uncertainty = {"ece": 0.1, "auroc": 0.5}
    return {**plain, **origin, "statistics_version": VERSION, "deterministic": plain, "uncertainty": uncertainty}


def picture_of(figures: dict[str, Any]) -> dict[str, Any]:
    origin = {key: figures[key] for key in ("bundle", "dataset_sha256")}
    return {"file": f"{figures['dataset']}_{figures['bundle']['name']}.png", "caption": "x", **origin}


def test_figures_of_another_version_go(capsys: pytest.CaptureFixture[str]) -> None:
    former = {name: figures_of("unet_h", "old", name) for name in ("d1", "d3", "d4")}
    same = figures_of("unet_r", "same", "d1")
    old = {
        "d1": {"unet_s": former["d1"], "unet_r": same},
        "d3": {"unet_s": former["d3"]},
        "choices": {"d4": {"unet_h": former["d4"]}, "d1": {"unet_r": same}},
        "pictures": {"d1": [picture_of(former["d1"]), picture_of(same)], "d3": [picture_of(former["d3"])]},
    }
    record = merged(old, {"d1": {"unet_s": figures_of("unet_h", "new", "d1")}})
    assert record["d1"]["unet_s"]["bundle"]["sha256"] == "new"
    assert record["d1"]["unet_r"]["bundle"]["sha256"] == "same"
    assert "d3" not in record
    assert list(record["choices"]) == ["d1"]
    assert record["pictures"] == {"d1": [picture_of(same)]}
    assert record["uncertainty"]["mode"] == "unet_s"
    assert "figures of d3 from another version" in capsys.readouterr().err
    # Nor are figures, choices and pictures on another make of a set kept beside new ones.
    again = figures_of("unet_h", "old", "d1", "2")
    record = merged(old, {"d1": {"unet_s": again}, "pictures": {"d1": [picture_of(again)]}})
    assert set(record["d1"]) == {"unet_s"}
    assert set(record["d3"]) == {"unet_s"}
    assert record["choices"] == {}
    assert record["pictures"] == {"d1": [picture_of(again)], "d3": [picture_of(former["d3"])]}
    # Nor figures of another evaluation, whatever bundle and set they are of.
    old["d1"]["unet_r"] = {**same, "statistics_version": VERSION - 1}
    record = merged(old, {"d3": {"unet_as": figures_of("unet_h", "old", "d3")}})
    assert set(record["d1"]) == {"unet_s"}
    assert set(record["d3"]) == {"unet_s", "unet_as"}


def test_what_is_told_of_a_bundle_goes_with_its_last_figures_on_a_set() -> None:
    one, two = (figures_of("unet_h", "h", "d1") for _ in range(2))
    there, part = figures_of("unet_h", "h", "d3"), figures_of("unet_h", "h", "d1")
    old = {
        "d1": {"unet_s": one, "unet_as": two},
        "d1_validation": {"unet_s": part},
        "d3": {"unet_s": there},
        "choices": {"d1": {"unet_h": one}},
        "unlike_training": {"d1": {"unet_h": one}, "d1_validation": {"unet_h": part}},
        "pictures": {"d1": [picture_of(one)], "d3": [picture_of(there)]},
    }
    other = figures_of("unet_x", "x", "d1")
    record = merged(old, {"d1": {"unet_s": other}})
    assert set(record["unlike_training"]["d1"]) == {"unet_h"}
    assert record["pictures"]["d1"] == [picture_of(one)]
    # Its last mode on D-1's test split; on the validation split and on D-3 it has figures still.
    new = {"unlike_training": {"d1": {"unet_x": other}}, "pictures": {"d1": [picture_of(other)]}}
    record = merged(record, {"d1": {"unet_as": other}, **new})
    assert list(record["unlike_training"]["d1"]) == ["unet_x"]
    assert list(record["unlike_training"]["d1_validation"]) == ["unet_h"]
    assert record["pictures"] == {"d1": [picture_of(other)], "d3": [picture_of(there)]}
    assert list(record["choices"]["d1"]) == ["unet_h"]
    record = merged(record, {"d1_validation": {"unet_s": other}})
    assert record["choices"] == {}
    assert list(record["unlike_training"]) == ["d1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["dark", "grey"]}, "classes: expected dark, grey, bright, edge, as bundle tiny has, got dark"),
        ({"format": 1}, "expected format 2, got 1"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(
    bundle: Path, sets: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    other = write_set(tmp_path / "other", "other", {"a": {"test": 1}})
    description = json.loads((other / "dataset.json").read_text())
    write_description(other, {**description, **change})
    arguments = ("--dataset", sets["d1"], "--dataset", other, "--out", tmp_path / "out")
    done = ground_tools("evaluate", "--bundle", bundle, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("ground-tools")]) == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_call_is_one_line(bundle: Path, sets: dict[str, Path], tmp_path: Path) -> None:
    d1, out = ("--dataset", sets["d1"]), ("--out", tmp_path / "out")
    one, validation = ("--bundle", bundle), ("--split", "validation")
    calls = {
        "--passes: expected 1..100, got 0": (*one, *d1, "--passes", 0),
        "--bundle: mode fused: expected it in one bundle, got": (*one, *one, *d1),
        "--dataset: expected sets of different names": (*one, *d1, *d1),
        # Nor are all samples of a set without splits those of one that is asked for.
        "d4: expected samples in split validation, got train, test": (*one, "--dataset", sets["d4"], *validation),
        "d3: expected samples in split validation, got test": (*one, "--dataset", sets["d3"], *validation),
        "--write: expected figures of --split test": (*one, *d1, "--split", "train", "--write", tmp_path),
        "results.md: expected the lines <!-- figures: begin -->": (*one, *d1, "--write", tmp_path),
    }
    for message, arguments in calls.items():
        done = ground_tools("evaluate", *arguments, *out)
        assert done.returncode == 2
        assert message in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("ground-tools")]) == 1
