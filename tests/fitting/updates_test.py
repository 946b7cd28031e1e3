"""Each of Keras's optimizers gives Keras's weights, compiled and at rates by variable too."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers
from keras.optimizers import schedules

from keras_vit.fitting import updates

STEPS = 3
SHAPES = {"kernel": (2, updates.COMPILED_FROM // 2), "small": (4, 3), "bias": (3,)}
FACTORS = {"kernel": 0.5, "small": 1.0, "bias": 0.5}
DECAY = {"weight_decay": 0.1}

# From a learning rate to an optimizer with arguments of its own.
OPTIMIZERS = {
    "SGD": lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True, clipnorm=100.0, **DECAY),
    "Adam": lambda rate: optimizers.Adam(rate, beta_1=0.8, amsgrad=True, global_clipnorm=100.0),
    "AdamW": lambda rate: optimizers.AdamW(
        schedules.CosineDecay(rate, 9), use_ema=True, ema_momentum=0.5, epsilon=1e-4, **DECAY
    ),
    "Adamax": lambda rate: optimizers.Adamax(rate, beta_2=0.9, **DECAY),
    "Adadelta": lambda rate: optimizers.Adadelta(100 * rate, rho=0.8, **DECAY),
    "Adagrad": lambda rate: optimizers.Adagrad(rate, initial_accumulator_value=0.2, **DECAY),
    "Adafactor": lambda rate: optimizers.Adafactor(rate, clip_threshold=0.5, **DECAY),
    "Ftrl": lambda rate: optimizers.Ftrl(
        rate, l1_regularization_strength=0.01, l2_regularization_strength=0.1, beta=0.2, **DECAY
    ),
    "Lamb": lambda rate: optimizers.Lamb(rate, beta_1=0.8, **DECAY),
    "Lion": lambda rate: optimizers.Lion(rate, beta_2=0.9, clipvalue=0.5, **DECAY),
    "LossScaleOptimizer": lambda rate: optimizers.LossScaleOptimizer(
        optimizers.SGD(rate, momentum=0.9, **DECAY), initial_scale=8.0, dynamic_growth_steps=2
    ),
    "MultiOptimizer": lambda rate: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(
            optimizers.SGD(rate, momentum=0.9, **DECAY),
            {".*kernel": optimizers.AdamW(rate, weight_decay=0.2)},
        )
    ),
    "Muon": lambda rate: optimizers.Muon(rate, adam_lr_ratio=0.5, adam_weight_decay=0.3, **DECAY),
    "Nadam": lambda rate: optimizers.Nadam(rate, beta_1=0.8, epsilon=1e-4, **DECAY),
    "RMSprop": lambda rate: optimizers.RMSprop(rate, momentum=0.9, centered=True, **DECAY),
    "ScheduleFreeAdamW": lambda rate: optimizers.ScheduleFreeAdamW(rate, warmup_steps=2, **DECAY),
}  # fmt: skip
# What any of them may have.
COMMON = {
    "accumulating": lambda rate: optimizers.SGD(
        rate, gradient_accumulation_steps=2, global_clipnorm=100.0, **DECAY
    ),
    "overwriting": lambda rate: optimizers.SGD(
        rate, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "scaled": lambda rate: optimizers.SGD(rate, loss_scale_factor=16.0, global_clipnorm=100.0),
    "Adafactor by schedule": lambda rate: optimizers.Adafactor(schedules.CosineDecay(rate, 9)),
}


def _variables(seed):
    rng = np.random.default_rng(seed)
    return {
        name: keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for name, shape in SHAPES.items()
    }


def _moves(make, rate, apply):
    """Returns how far the variables are after some steps, by name."""
    variables, optimizer = _variables(0), make(rate)
    optimizer.exclude_from_weight_decay(var_list=[variables["bias"]])
    optimizer.build(list(variables.values()))
    before = {name: variable.numpy() for name, variable in variables.items()}
    apply = apply(optimizer, list(variables.values()))
    for step in range(STEPS):
        apply([variable.value for variable in _variables(1 + step).values()])
    return {name: variable.numpy() - before[name] for name, variable in variables.items()}


def _plain(optimizer, variables):
    return lambda gradients: optimizer.apply(list(map(optimizer.scale_loss, gradients)), variables)


def _ours(optimizer, variables):
    @tf.function(autograph=False)
    def apply(gradients):
        scaled = list(map(optimizer.scale_loss, gradients))
        factors = dict(zip(map(id, variables), FACTORS.values(), strict=True))
        updates.apply_gradients(optimizer, scaled, variables, factors)

    return apply


def test_the_table_has_all_of_keras():
    found = {
        name for name, kind in inspect.getmembers(optimizers, inspect.isclass)
        if issubclass(kind, optimizers.Optimizer) and kind is not optimizers.Optimizer
    }  # fmt: skip
    assert found == OPTIMIZERS.keys()


@pytest.mark.few(3)
@pytest.mark.parametrize("name", [*OPTIMIZERS, *COMMON])
def test_an_optimizer_moves_each_variable_as_keras_does_at_its_rate(name):
    """A variable with a factor moves as Keras moves all at the rate times the factor."""
    make, rate = {**OPTIMIZERS, **COMMON}[name], 0.1
    moves = _moves(make, rate, _ours)
    plain = {factor: _moves(make, rate * factor, _plain) for factor in set(FACTORS.values())}
    for variable, factor in FACTORS.items():
        expected = plain[factor][variable]
        limit = 1e-4 * np.abs(expected).max() + 1e-6
        assert np.abs(moves[variable] - expected).max() < limit, variable
        assert all(
            np.abs(moves[variable] - other[variable]).max() > 10 * limit
            for others, other in plain.items() if others != factor
        )  # fmt: skip


def test_large_variables_are_compiled_and_the_optimizer_stays_as_it_is():
    variables, optimizer = _variables(0), OPTIMIZERS["AdamW"](0.1)
    optimizer.exclude_from_weight_decay()
    optimizer.build(list(variables.values()))
    before, config = {**vars(optimizer)}, optimizer.get_config()
    apply = _ours(optimizer, list(variables.values()))
    gradients = [variable.value for variable in variables.values()]
    library = apply.get_concrete_function(gradients).graph.as_graph_def().library
    assert sum(function.attr["_XlaMustCompile"].b for function in library.function) == 1
    assert vars(optimizer) == before and optimizer.get_config() == config
