"""A training as compiled functions; data and augmentation on the accelerator, to which the host says "next" alone.

Keras builds networks and losses and keeps the weights; JAX's stateless calls of them are what is compiled. A program
serves all trainings that differ in seed, learning rate and length only. Calls return before they are done, so that the
accelerator never waits for the host: a step is milliseconds, a call a tenth of that. (A loop that is compiled, too,
would spare the calls; but XLA's convolutions in loops are many times slower on processors, where this is rehearsed.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import msgspec
import numpy as np
from jax import lax

from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.unet import build_encoder_cnn
from ground_tools.training.chain.augmentation import augment
from ground_tools.training.chain.mixture import UNKNOWN, Data, Part, StageData
from ground_tools.training.chain.teachers import ask_teacher, build_teacher, distance, join_answers
from ground_tools.training.heads import fold_head
from ground_tools.training.networks import build_recipe_unet
from ground_tools.training.objective import training_loss, training_model
from ground_tools.training.recipes import Recipe

_VALIDATION_BATCH = 50
# Keras draws first weights from a generator that all threads share.
_DRAWING = threading.Lock()


class State(NamedTuple):
    """All that changes in a training: weights, what is not trained (moving statistics, seeds), the optimizer's own."""

    trainable: list[jax.Array]
    fixed: list[jax.Array]
    optimizer: list[jax.Array]


class Order(NamedTuple):
    """Of an epoch. rows: (N,) the images in the order in which they are trained on. key: of its random draws."""

    rows: jax.Array
    key: jax.Array


@dataclass(frozen=True)
class Network:
    """network: what is saved. model: what is trained and validated, of the same weights; with a folded head another."""

    network: keras.Model
    model: keras.Model

    def put(self, state: State) -> None:
        """Give the model the weights of a state."""
        for variables, values in (
            (self.model.trainable_variables, state.trainable),
            (self.model.non_trainable_variables, state.fixed),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


def build_network(recipe: Recipe, size: int, bodies: int) -> Network:
    """The recipe's network with fresh weights of its seed. bodies: that an encoder CNN is to tell apart."""
    with _DRAWING:
        keras.utils.set_random_seed(recipe.seed)
        if recipe.network == "encoder_cnn":
            cnn = build_encoder_cnn(bodies, size=size)
            return Network(cnn, cnn)
        unet = build_recipe_unet(recipe, size)
        return Network(unet, fold_head(unet) if recipe.head == "folded" else training_model(unet, recipe))


class Program:
    """The compiled functions of one kind of training."""

    def __init__(self, recipe: Recipe, data: StageData, distillation: float) -> None:
        """recipe: whose seed, rate and length do not matter. distillation: weight of the distance to the teachers."""
        train, validation, size = data.train, data.validation, data.train.images.shape[1]
        self._recipe, self._parts, self._distillation = recipe, data.parts, distillation
        self._model = build_network(recipe, size, data.bodies).model
        self._teacher = build_teacher(size) if train.teachers else None
        self._optimizer = keras.optimizers.Adam(1e-3, global_clipnorm=recipe.gradient_norm or None)
        self._optimizer.build(self._model.trainable_variables)
        self._rate = [variable.name for variable in self._optimizer.variables].index("learning_rate")
        self._loss = (
            keras.losses.SparseCategoricalCrossentropy() if recipe.network == "encoder_cnn" else training_loss(recipe)
        )
        state = self.begin(self._model)
        order = self.order(recipe.seed, 0, data.parts[0].images)
        self._train = _compile(self._step, state, jnp.float32(0.0), order, np.int32(0), np.float32(0.0), train)
        self._validated_at_once = min(_VALIDATION_BATCH, len(validation.images))
        validate = self._validate_bodies if recipe.network == "encoder_cnn" else self._validate_masks
        self._validate = _compile(validate, state.trainable, state.fixed, np.int32(0), validation)

    def begin(self, model: keras.Model) -> State:
        """The state with which a training of this model's weights begins."""
        trainable, fixed, optimizer = (
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables, self._optimizer.variables)
        )
        return State(trainable, fixed, optimizer)

    @staticmethod
    def order(seed: int, epoch: int, images: int) -> Order:
        """In which order an epoch goes through the images, and the key of its draws."""
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        return Order(jax.random.permutation(key, images), key)

    def train(
        self, state: State, loss: jax.Array, order: Order, step: int, rate: float, data: Data
    ) -> tuple[State, jax.Array]:
        """One step of an epoch. loss: the sum of those of earlier steps, () float32. Returns it with this one's."""
        result: tuple[State, jax.Array] = self._train(state, loss, order, np.int32(step), np.float32(rate), data)
        return result

    def validate(self, state: State, data: Data) -> np.ndarray:
        """What came of each image, in its order: of a UNet the confusion matrix, (N, K, K); of an encoder, (N, 2), the
        loss and whether it named the body."""
        count, at_once = len(data.images), self._validated_at_once
        # The last call overlaps with the one before, all being of one size.
        firsts = [min(first, count - at_once) for first in range(0, count, at_once)]
        parts = [self._validate(state.trainable, state.fixed, np.int32(first), data) for first in firsts]
        fresh = [first - min(first, count - at_once) for first in range(0, count, at_once)]
        return np.concatenate([np.asarray(part)[skip:] for part, skip in zip(parts, fresh, strict=True)])

    def _step(
        self, state: State, loss: jax.Array, order: Order, step: jax.Array, rate: jax.Array, data: Data
    ) -> tuple[State, jax.Array]:
        key = jax.random.fold_in(order.key, step)
        rows = jnp.concatenate([self._rows(number, order, step, key) for number in range(len(self._parts))])
        truth = data.truth[rows]
        masks = None if self._recipe.network == "encoder_cnn" else truth
        inputs, masks = augment(key, data.images[rows], masks, self._recipe, self._parts[0].noisy)
        truth = truth if masks is None else self._hide_unknown(masks)
        taught = self._teach(inputs, data)

        def objective(trainable: list[jax.Array], fixed: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
            outputs, fixed = self._model.stateless_call(trainable, fixed, inputs, training=True)
            return self._loss(truth, outputs) + self._distance(taught, outputs), fixed

        (own, fixed), gradients = jax.value_and_grad(objective, has_aux=True)(state.trainable, state.fixed)
        optimizer = list(state.optimizer)
        optimizer[self._rate] = rate.astype(optimizer[self._rate].dtype)
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, state.trainable)
        return State(list(trainable), list(fixed), list(optimizer)), loss + own.astype(jnp.float32)

    def _rows(self, number: int, order: Order, step: jax.Array, key: jax.Array) -> jax.Array:
        """Which images of a part are in a batch: of the first one the next of the epoch, of the others any."""
        part = self._parts[number]
        if number == 0:
            return lax.dynamic_slice(order.rows, [step * part.batch], [part.batch])
        drawn = jax.random.fold_in(key, number)
        return jax.random.randint(drawn, (part.batch,), part.first, part.first + part.images, order.rows.dtype)

    def _hide_unknown(self, masks: jax.Array) -> jax.Array:
        """The masks of a batch without those of images that have no labels."""
        for part, where in self._slices():
            if not part.labelled:
                masks = masks.at[where].set(UNKNOWN)
        return masks

    def _slices(self) -> list[tuple[Part, slice]]:
        """Where each part is in a batch."""
        ends = np.cumsum([part.batch for part in self._parts])
        return [(part, slice(int(end) - part.batch, int(end))) for part, end in zip(self._parts, ends, strict=True)]

    def _teach(self, inputs: jax.Array, data: Data) -> list[tuple[slice, jax.Array, jax.Array]]:
        """What teachers say of the parts on which they teach: where in the batch, probabilities, where they count."""
        answers: dict[tuple[int, int], list[jax.Array]] = {}
        for number, teacher in enumerate(data.teachers):
            # Each is asked once a batch, on all that it teaches.
            asked = [each for part, each in self._slices() if number in part.teachers]
            if asked and self._teacher is not None:
                scores = ask_teacher(self._teacher, teacher, jnp.concatenate([inputs[each] for each in asked]))
                ends = np.cumsum([each.stop - each.start for each in asked])
                for each, of_part in zip(asked, jnp.split(scores, ends[:-1]), strict=True):
                    answers.setdefault((each.start, each.stop), []).append(of_part)
        taught = []
        for part, where in self._slices():
            if (where.start, where.stop) in answers:
                probability, agree = join_answers(answers[where.start, where.stop])
                taught.append((where, probability, jnp.ones_like(agree) if part.labelled else agree))
        return taught

    def _distance(self, taught: list[tuple[slice, jax.Array, jax.Array]], outputs: jax.Array) -> jax.Array | float:
        """The distance to the teachers, a mean over the pixels of the batch, with its weight."""
        if not taught:
            return 0.0
        scores = outputs[..., : len(CLASS_NAMES)]
        total = sum(distance(probability, counted, scores[where]) for where, probability, counted in taught)
        return self._distillation * total / scores[..., 0].size

    def _part(self, first: jax.Array, data: Data) -> tuple[jax.Array, jax.Array]:
        images, truth = (
            lax.dynamic_slice_in_dim(array, first, self._validated_at_once) for array in (data.images, data.truth)
        )
        return images, truth

    def _validate_masks(
        self, trainable: list[jax.Array], fixed: list[jax.Array], first: jax.Array, data: Data
    ) -> jax.Array:
        images, truth = self._part(first, data)
        outputs, _ = self._model.stateless_call(trainable, fixed, images, training=False)
        classes = len(CLASS_NAMES)
        predicted = jax.nn.one_hot(outputs[..., :classes].argmax(axis=-1), classes)
        true = jax.nn.one_hot(truth, classes)
        counts = jnp.einsum("nhwt,nhwp->ntp", true, predicted, precision=lax.Precision.HIGHEST)
        return counts.astype(jnp.int32)

    def _validate_bodies(
        self, trainable: list[jax.Array], fixed: list[jax.Array], first: jax.Array, data: Data
    ) -> jax.Array:
        images, truth = self._part(first, data)
        probabilities, _ = self._model.stateless_call(trainable, fixed, images, training=False)
        of_truth = jnp.take_along_axis(probabilities, truth[:, None], axis=1)[:, 0]
        named = probabilities.argmax(axis=-1) == truth
        return jnp.stack([-jnp.log(jnp.maximum(of_truth, keras.config.epsilon())), named], axis=1)


def compilation_key(recipe: Recipe) -> Recipe:
    """What a program depends on, as a recipe: all recipes of which it is the same share a program."""
    rule = recipe.minimum_boulder_pixels if recipe.augmentation.farther else 1
    return msgspec.structs.replace(
        recipe, name="", role="", seed=0, epochs=1, learning_rate=1.0, feature_windows=0.0, minimum_boulder_pixels=rule
    )


def _compile(function: Callable[..., Any], *arguments: Any) -> Any:
    return jax.jit(function).lower(*arguments).compile()
