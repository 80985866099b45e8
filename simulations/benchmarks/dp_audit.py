"""White-box canary audit: does the mechanism that runs separate members from others just as far as the booked one?

Each of m canaries pushes one coordinate of its own, is a member by a fair coin, and its gradient, five times the clip,
comes in four tokens. After T steps the weights are the scores. A mechanism with noise multiplier σ and sampling rate q
separates members' scores from the others' by μ = q√T/σ standard deviations; a missing clip makes that five times
larger, half the noise two times, clipping each token four times.

What is real: sampling, the hooks that make per-unit gradients, the optimiser's clipping, summing and noise. What is
made up: a model of one linear layer whose loss is linear in the weight, so that gradients are known. In ``distributed``
the canaries are spread over three sites of a cohort of four; the fourth drops out of every round, and the shares of
noise that are left must carry what is booked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedward.simulations.benchmarks.dp_arms import quiet
from fedward.simulations.console import Interface, Silent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedward.common.privacy.noise import Entropy

CLIP_NORM = 1.0
CANARY_NORM = 5.0 * CLIP_NORM
CANARY_TOKENS = 4
TOLERANCE = 0.2
NOISE_TOLERANCE = 0.1
"""The standard deviation over thousands of scores is known to about 2 %."""
_IDLE_STEPS = 20
_SURVIVORS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Canaries:
    """The experiment; the defaults are the design page's."""

    count: int = 4000
    num_steps: int = 100
    sample_rate: float = 0.1
    noise_multiplier: float = 0.937

    @property
    def separation(self) -> float:
        """μ in theory: 1.07 by default."""
        return self.sample_rate * math.sqrt(self.num_steps) / self.noise_multiplier


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What one path did. Every figure is 1, or true, if the mechanism is the booked one."""

    mu_ratio: float
    """Measured over theoretical separation; its standard error is about 0.03."""
    noise_ratio: float
    """Spread of the scores of those who are no members, over the booked noise's."""
    idle_noise_ratio: float
    """The same where no step draws a unit."""
    is_torch_generator_untouched: bool
    """Whether steps leave torch's generator alone: it must never feed noise."""
    cpu_s: float
    """CPU time of all steps."""

    @property
    def passed(self) -> bool:
        """Whether all of it is within tolerance."""
        return (
            abs(self.mu_ratio - 1) <= TOLERANCE
            and abs(self.noise_ratio - 1) <= NOISE_TOLERANCE
            and abs(self.idle_noise_ratio - 1) <= NOISE_TOLERANCE
            and self.is_torch_generator_untouched
        )


class Mechanism(Protocol):
    """A path of the engine with a model of one weight for each canary."""

    def step(self, drawn: NDArray[np.int64]) -> None:
        """One logical step with the canaries at these positions; there may be none."""
        ...

    def scores(self) -> NDArray[np.float64]:
        """(m,) the weights: what all steps have released, added up, in units of the clip."""
        ...


Build = Callable[[Canaries, "Entropy"], Mechanism]


class FloatMechanism:
    """The paths with float noise, attached as the trainer does it.

    Args:
        gradients: ``fused`` or ``hooks``.
        is_distributed: without noise and steps of its own; the ring adds the noise.
    """

    def __init__(self, canaries: Canaries, entropy: Entropy, *, gradients: str, is_distributed: bool = False) -> None:
        import torch

        from fedward.client.training.engine import FedwardPrivacyEngine

        self._width = canaries.count
        self.model: nn.Module = canary_model(canaries.count)
        weights = list(self.model.parameters())
        with quiet():
            self.hooks, self.optimizer = FedwardPrivacyEngine(entropy=entropy, gradients=gradients).attach(
                self.model,
                torch.optim.SGD(weights, lr=1.0),
                sample_rate=canaries.sample_rate,
                num_steps=canaries.num_steps,
                noise_multiplier=0.0 if is_distributed else canaries.noise_multiplier,
                clip_norm=CLIP_NORM,
                expected_units=1.0,
                distributed=is_distributed,
                loss_reduction="sum",
            )

    def step(self, drawn: NDArray[np.int64]) -> None:
        """See ``Mechanism.step``."""
        if len(drawn) == 0:
            self.optimizer.empty_step()
        else:
            self.backward(canary_input(drawn, self._width))
            self.optimizer.step()
        self.optimizer.zero_grad()

    def backward(self, x: Tensor) -> None:
        """One physical batch (U, tokens, m): its units are announced, as the trainer does it."""
        self.optimizer.expect_units(len(x))
        with quiet():
            canary_loss(self.model, x).backward()  # type: ignore[no-untyped-call]

    def scores(self) -> NDArray[np.float64]:
        """See ``Mechanism.scores``."""
        (weight,) = self.model.parameters()
        scores: NDArray[np.float64] = weight.detach().flatten().double().numpy()
        return scores


class DistributedMechanism:
    """One step a round: the sites' clipped sums, noised in the ring, added up over those that answer.

    Of four sites, the least that the profile allows, the last drops out of every round; no colluders are assumed, so
    the other three carry exactly the booked noise.
    """

    def __init__(self, canaries: Canaries, entropy: Entropy) -> None:
        from fedward.common.privacy.distributed import mechanism_for
        from fedward.common.secagg.thresholds import Profile

        self._width, self._entropy = canaries.count, entropy
        self._sites = [_RingSite(canaries, entropy) for _ in range(_SURVIVORS + 1)]
        self._released = np.zeros(canaries.count)
        self.mechanism = mechanism_for(
            Profile.RESILIENT_MALICIOUS,
            num_sites=len(self._sites),
            max_dropouts=1,
            assumed_colluders=0,
            num_coordinates=canaries.count,
            clip_norm=CLIP_NORM,
            noise_multiplier=canaries.noise_multiplier,
        )

    def step(self, drawn: NDArray[np.int64]) -> None:
        """See ``Mechanism.step``. A canary is on file at one of the sites that answer."""
        from fedward.common.privacy.distributed import mean_gradient, noisy_ring_vector
        from fedward.common.secagg.ring import add_into

        total = np.zeros(self._width, "<u4")
        for number, site in enumerate(self._sites):
            clipped = site.clipped_sum(drawn[drawn % _SURVIVORS == number])
            vector = noisy_ring_vector(clipped, self.mechanism, entropy=self._entropy)
            if number < _SURVIVORS:
                add_into(total, vector)
        self._released -= mean_gradient(total, self.mechanism, denominator=1.0)

    def scores(self) -> NDArray[np.float64]:
        """See ``Mechanism.scores``."""
        return self._released


class _RingSite(FloatMechanism):
    """A site that hands over its clipped sum instead of taking a step."""

    def __init__(self, canaries: Canaries, entropy: Entropy) -> None:
        super().__init__(canaries, entropy, gradients="fused", is_distributed=True)

    def clipped_sum(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m,) float64, without noise."""
        if len(drawn):
            self.backward(canary_input(drawn, self._width))
            self.optimizer.accumulate()
        total: NDArray[np.float64] = self.optimizer.take_sum().numpy()
        return total


def canary_model(width: int) -> nn.Module:
    """One linear layer without bias, all weights zero."""
    import torch
    from torch import nn

    model = nn.Linear(width, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    return model.train()


def canary_input(drawn: NDArray[np.int64], width: int) -> Tensor:
    """(U, tokens, m): each drawn canary's own coordinate, its norm in equal parts over the tokens."""
    import torch

    x = torch.zeros(len(drawn), CANARY_TOKENS, width)
    x[torch.arange(len(drawn)), :, torch.from_numpy(drawn)] = CANARY_NORM / CANARY_TOKENS
    return x


def canary_loss(model: nn.Module, x: Tensor) -> Tensor:
    """The sum over units of a loss whose gradient is minus the unit's canary: descent raises members' scores."""
    loss: Tensor = -model(x).sum()
    return loss


def fused(canaries: Canaries, entropy: Entropy) -> Mechanism:
    """The default path: ``LoraGradSampleHooks``."""
    return FloatMechanism(canaries, entropy, gradients="fused")


def hooks(canaries: Canaries, entropy: Entropy) -> Mechanism:
    """Opacus' module hooks with the project's optimiser."""
    return FloatMechanism(canaries, entropy, gradients="hooks")


PATHS: Mapping[str, Build] = {"fused": fused, "hooks": hooks, "distributed": DistributedMechanism}


def audit(build: Build, entropy: Entropy, canaries: Canaries | None = None) -> Verdict:
    """Run the experiment on one path.

    Args:
        build: makes the path's mechanism.
        entropy: gives the coins, the sampling and the noise.
        canaries: the experiment.
    """
    import torch

    setting = canaries or Canaries()
    idle = replace(setting, num_steps=_IDLE_STEPS)
    busy_one, idle_one = build(setting, entropy), build(idle, entropy)
    start = time.process_time()
    is_member = entropy.words(setting.count) < np.uint64(1 << 63)
    state = torch.get_rng_state()
    scores = _run(busy_one, setting, np.flatnonzero(is_member), entropy)
    idle_scores = _run(idle_one, idle, np.empty(0, np.int64), entropy)
    inside, outside = scores[is_member], scores[~is_member]
    spread = float(outside.std())
    separation = float(inside.mean() - outside.mean()) / spread if spread > 0 else math.inf
    return Verdict(
        mu_ratio=separation / setting.separation,
        noise_ratio=spread / _booked_spread(setting),
        idle_noise_ratio=float(idle_scores.std()) / _booked_spread(idle),
        is_torch_generator_untouched=torch.equal(state, torch.get_rng_state()),
        cpu_s=time.process_time() - start,
    )


def _run(mechanism: Mechanism, canaries: Canaries, members: NDArray[np.int64], entropy: Entropy) -> NDArray[np.float64]:
    from fedward.client.training.sampling import draw_units

    for _ in range(canaries.num_steps):
        mechanism.step(members[draw_units(len(members), canaries.sample_rate, entropy)])
    return mechanism.scores()


def _booked_spread(canaries: Canaries) -> float:
    return canaries.noise_multiplier * CLIP_NORM * math.sqrt(canaries.num_steps)


def measure(ui: Interface | None = None) -> dict[str, Any]:
    """Audit every path with noise from the operating system.

    Returns:
        A JSON object: ``paths`` with a verdict each, ``mu_theory``, ``tolerance``, ``passed``.
    """
    import torch

    from fedward.common.privacy.noise import Entropy

    torch.set_num_threads(1)
    paths: dict[str, Any] = {}
    with (ui or Silent()).bar("canary audit", len(PATHS)) as tick:
        for name, build in PATHS.items():
            found = audit(build, Entropy.system())
            paths[name] = {**asdict(found), "passed": found.passed}
            tick(len(paths), name)
    return {
        "mu_theory": Canaries().separation,
        "tolerance": TOLERANCE,
        "paths": paths,
        "passed": all(path["passed"] for path in paths.values()),
    }


__all__ = [
    "audit",
    "Build",
    "canary_input",
    "canary_loss",
    "canary_model",
    "Canaries",
    "DistributedMechanism",
    "FloatMechanism",
    "fused",
    "hooks",
    "measure",
    "Mechanism",
    "PATHS",
    "TOLERANCE",
    "Verdict",
]
