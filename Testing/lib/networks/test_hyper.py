"""A hypernetwork changes the parameters of the network it wraps, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from SpatialRegularizationLib.networks.generators import checkpointed
from SpatialRegularizationLib.networks.hyper import RELEASED_WIDTHS, HyperMode, HyperNetwork, HyperSettings

RELEASED = HyperSettings(mode=HyperMode.FULL, widths=(6, 6), own_parameters=False)
FORMS = (
    HyperSettings(mode=HyperMode.FULL, widths=(5, 6)),
    HyperSettings(mode=HyperMode.FULL, widths=(5, 6), shared_code=False),
    HyperSettings(mode=HyperMode.LOW_RANK, widths=(5, 6), rank=2),
    HyperSettings(mode=HyperMode.FILM, widths=(5, 6)),
    RELEASED,
)
CHANGES = FORMS[:-1]


class Small(nn.Module):
    """Convolutions with and without bias, a norm of each kind, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.InstanceNorm3d(4, affine=True)
        self.second = nn.Conv3d(4, 3, 3, padding=1)
        self.tokens = nn.LayerNorm(3)
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor, *, recompute: bool = False) -> Tensor:
        y = checkpointed(self.body, x) if recompute else self.body(x)
        return self.last(self.tokens(y.movedim(1, -1)))

    def body(self, x: Tensor) -> Tensor:
        return self.second(F.leaky_relu(self.norm(self.first(x))))


def trained(settings: HyperSettings) -> HyperNetwork:
    """A wrapper whose generators are away from their start."""
    hyper = HyperNetwork(Small(), 2, settings)
    with torch.no_grad():
        for parameter in hyper.generators.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return hyper


def image() -> Tensor:
    return torch.rand(2, 1, 4, 5, 6)


LOW, HIGH = torch.tensor([[0.1, 0.9]]), torch.tensor([[0.8, 0.3]])


@pytest.mark.parametrize("settings", CHANGES, ids=lambda s: s.mode.name)
def test_before_training_every_condition_gives_the_network_itself(settings: HyperSettings) -> None:
    network, x = Small(), image()
    expected = network(x)
    hyper = HyperNetwork(network, 2, settings)
    assert torch.equal(hyper(LOW, x), expected)
    assert torch.equal(hyper(HIGH, x), expected)


@pytest.mark.parametrize("settings", FORMS, ids=lambda s: s.mode.name)
def test_conditions_matter_and_the_network_is_as_before_afterwards(settings: HyperSettings) -> None:
    hyper, x = trained(settings), image()
    before = {name: p.clone() for name, p in hyper.network.named_parameters()}
    assert (hyper(LOW, x) - hyper(HIGH, x)).abs().max() > 1e-4
    assert torch.equal(hyper(LOW, x), hyper(LOW, x))
    after = dict(hyper.network.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("settings", FORMS, ids=lambda s: s.mode.name)
def test_a_frozen_condition_is_the_inner_network(settings: HyperSettings) -> None:
    hyper, x = trained(settings), image()
    frozen = hyper.frozen(LOW)
    assert type(frozen) is Small
    assert {n: p.shape for n, p in frozen.named_parameters()} == {n: p.shape for n, p in Small().named_parameters()}
    assert torch.equal(frozen(x), hyper(LOW, x))


def test_film_is_scale_and_shift_of_the_output_of_each_layer() -> None:
    hyper, x = trained(FORMS[3]), image()
    network = hyper.network
    generators = dict(zip(hyper.names, hyper.generators, strict=True))
    code = hyper.codes[0](LOW[0])

    def film(name: str, y: Tensor, axis: int) -> Tensor:
        change = generators[name].linear(code).view(len(generators[name].shapes), -1)
        shape = [1] * y.ndim
        shape[axis] = -1
        return y * (1 + change[0]).view(shape) + (change[1].view(shape) if len(change) > 1 else 0)

    y = film("norm", network.norm(film("first", network.first(x), 1)), 1)
    y = film("second", network.second(F.leaky_relu(y)), 1)
    y = film("last", network.last(film("tokens", network.tokens(y.movedim(1, -1)), -1)), -1)
    assert torch.allclose(hyper(LOW, x), y, atol=1e-5)


def test_a_low_rank_change_has_that_rank() -> None:
    hyper = trained(FORMS[2])
    own = dict(hyper.network.named_parameters())
    for name, tensor in hyper.generate(HIGH).items():
        if name.endswith("weight"):
            change = (tensor - own[name]).detach().flatten(1)
            assert torch.linalg.matrix_rank(change, atol=1e-5) == 2


@pytest.mark.parametrize("settings", FORMS, ids=lambda s: s.mode.name)
def test_checkpointing_and_two_passes_before_one_backward_give_the_same_gradients(settings: HyperSettings) -> None:
    hyper, x = trained(settings), image()

    def gradients(recompute: bool) -> list[Tensor]:
        hyper.zero_grad()
        one, other = hyper(LOW, x, recompute=recompute), hyper(HIGH, x.flip(2), recompute=recompute)
        (one.square().mean() + other.abs().mean()).backward()
        return [p.grad.clone() for p in hyper.parameters() if p.grad is not None]

    plain = gradients(False)
    recomputed = gradients(True)
    assert len(plain) > 8
    assert any(g.abs().max() > 0 for g in plain)
    for a, b in zip(plain, recomputed, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_recomputing_without_the_substitution_would_be_noticed() -> None:
    """What `checkpointed` is for: PyTorch's own recomputation sees the parameters of after the block."""
    hyper, x = trained(FORMS[3]), image()

    def gradient(function) -> Tensor:
        hyper.zero_grad()
        with hyper.applied(LOW):
            loss = function(hyper.network.body, x).square().mean()
        loss.backward()
        return hyper.generators[hyper.names.index("first")].linear.weight.grad.clone()

    expected = gradient(lambda f, x: f(x))
    naive = gradient(lambda f, x: torch.utils.checkpoint.checkpoint(f, x, use_reentrant=False))
    assert torch.allclose(gradient(checkpointed), expected, atol=1e-7)
    assert not torch.allclose(naive, expected, atol=1e-7)


@pytest.mark.parametrize("settings", FORMS, ids=lambda s: s.mode.name)
def test_under_autocast_the_parameters_are_made_in_full_precision(settings: HyperSettings) -> None:
    hyper = trained(settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = hyper.generate(LOW)
        y = hyper(LOW, image())
    expected = hyper.generate(LOW)
    assert all(torch.equal(made[name], expected[name]) for name in expected)
    assert y.dtype == torch.bfloat16
    y.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in hyper.generators.parameters())


@pytest.mark.parametrize("settings", FORMS, ids=lambda s: s.mode.name)
def test_every_conditioned_layer_learns(settings: HyperSettings) -> None:
    hyper, x = trained(settings), image()
    hyper(LOW, x).square().mean().backward()
    for name, generator in zip(hyper.names, hyper.generators, strict=True):
        assert max(float(p.grad.abs().max()) for p in generator.parameters()) > 0, name


@pytest.mark.parametrize("settings", CHANGES, ids=lambda s: s.mode.name)
def test_it_learns_a_function_of_the_condition(settings: HyperSettings) -> None:
    """y = c₀ x - c₁, c uniform. A network without the condition leaves Var c (1 + mean x²) = 0.11."""
    network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    hyper = HyperNetwork(network, 2, replace(settings, widths=(16, 16), rank=4))
    optimizer = torch.optim.Adam(hyper.parameters(), lr=1e-2)
    x = torch.linspace(-1, 1, 16)[:, None]
    losses = []
    for _ in range(400):
        c = torch.rand(1, 2)
        loss = (hyper(c, x) - (c[0, 0] * x - c[0, 1])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-50:]) / 50 < 0.05


def test_the_summary_counts_every_parameter() -> None:
    for settings in FORMS:
        hyper = HyperNetwork(Small(), 2, settings)
        summary = hyper.summary()
        assert summary.total == sum(p.numel() for p in hyper.parameters())
        assert tuple(layer.name for layer in summary.layers) == hyper.names
        assert f"{summary.conditioning:,}" in str(summary)
        assert hyper.names[0] in str(summary)


def test_the_released_form_owns_nothing_of_what_it_generates() -> None:
    network = Small()
    numbers = {name: sum(p.numel() for p in network.get_submodule(name).parameters()) for name in ("first", "second", "last")}
    hyper = HyperNetwork(network, 2, HyperSettings(mode=HyperMode.FULL, widths=RELEASED_WIDTHS, own_parameters=False))
    summary = hyper.summary()
    assert {layer.name: layer.conditioned for layer in summary.layers} == numbers
    assert all(layer.parameters == 96 * layer.conditioned for layer in summary.layers)
    assert summary.code == 2 * 96 + 96 + 5 * (96 * 96 + 96)
    assert summary.network == 2 * 4 + 2 * 3
    assert not [name for name in hyper.state_dict() if name.startswith("network.second")]


def test_generated_parameters_start_as_large_as_the_own_ones_were() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv3d(8, 16, 3), nn.Conv3d(16, 3, 3))
    nn.init.normal_(network[1].weight, std=1e-5)
    hyper = HyperNetwork(network, 2, RELEASED)
    sizes = torch.stack([hyper.generate(torch.rand(1, 2))["1.weight"].std() for _ in range(32)])
    assert 0.3e-5 < sizes.mean() < 3e-5


def test_layers_are_chosen_by_pattern() -> None:
    hyper = HyperNetwork(Small(), 1, HyperSettings(layers=("first", "l*")))
    assert hyper.names == ("first", "last")
    full = HyperNetwork(Small(), 1, HyperSettings(mode=HyperMode.FULL, widths=(4,)))
    assert full.names == ("first", "second", "last")


def test_a_pattern_without_layer_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"'frist'.*first, norm, second, tokens, last"):
        HyperNetwork(Small(), 1, HyperSettings(layers=("frist",)))


@pytest.mark.parametrize("shape", [(2,), (1, 3), (2, 2)])
def test_a_condition_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\), one for the whole batch"):
        HyperNetwork(Small(), 2, FORMS[3])(torch.zeros(shape), image())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": ()}, "at least one pattern"),
        ({"widths": ()}, "widths"),
        ({"rank": 0}, "rank"),
        ({"own_parameters": False}, "needs the mode FULL"),
    ],
)
def test_settings_that_mean_nothing_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HyperSettings(**arguments)
