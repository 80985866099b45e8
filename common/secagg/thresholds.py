"""How many honest sites stand in every sum that a hostile server can open.

With n sites, a Shamir threshold t, at most d dropouts and n_C colluders:

* ``strict``: all n vectors or none, so n − n_C.
* ``resilient-malicious``: the survivors are confirmed among the sites, so n − d − n_C.
* ``resilient``: the server may name different survivors to different sites, as long as the shares suffice for each
  story; counting votes leaves ⌈(n − n_C)(T − d) / T⌉ with T = t − n_C (derived).

Not handled here: a site's own floor above 2 and its policy, and cohorts that are a part of their holders (``floors``).
"""

from __future__ import annotations

from enum import StrEnum

from fedward.common.errors import ConfigError

MIN_HONEST = 2
"""With one honest site the sum would be its vector."""


class Profile(StrEnum):
    """The masked profiles."""

    STRICT = "strict"
    RESILIENT = "resilient"
    RESILIENT_MALICIOUS = "resilient-malicious"


def shamir_threshold(num_sites: int) -> int:
    """⌊2n/3⌋ + 1 shares rebuild a secret.

    Raises:
        ConfigError: no sites.
    """
    if num_sites < 1:
        raise ConfigError(f"num_sites = {num_sites}: expected at least one")
    return 2 * num_sites // 3 + 1


def honest_sites(profile: Profile, *, num_cohort: int, num_holders: int, min_survivors: int, colluders: int) -> int:
    """h_min: the honest sites in any sum that an active server and ``colluders`` sites can open; 0 or less: none."""
    if profile is Profile.STRICT:
        return num_cohort - colluders
    if profile is Profile.RESILIENT_MALICIOUS:
        return min_survivors - colluders
    votes = shamir_threshold(num_holders) - colluders
    if votes <= 0:
        return 0
    return -(-(num_cohort - colluders) * (votes - (num_cohort - min_survivors)) // votes)


def min_honest_sites(profile: Profile, *, num_sites: int, max_dropouts: int, assumed_colluders: int) -> int:
    """The honest sites in any sum that an active server and ``assumed_colluders`` sites can open: at least 2.

    Args:
        num_sites: n, the sites that hold shares.
        max_dropouts: d = n − u_min; 0 under ``strict``.
        assumed_colluders: n_C, sites that tell the server all they know and add no noise.

    Raises:
        ConfigError: fewer than 2, or numbers that the profile cannot work with.
    """
    threshold = shamir_threshold(num_sites)
    if not (0 <= max_dropouts < num_sites and 0 <= assumed_colluders < num_sites):
        raise ConfigError(f"{max_dropouts} dropouts and {assumed_colluders} colluders among {num_sites} sites")
    if profile is not Profile.STRICT:
        _require_usable(threshold, num_sites, max_dropouts, assumed_colluders)
    elif max_dropouts:
        raise ConfigError("the profile strict allows no dropouts")
    honest = honest_sites(
        profile,
        num_cohort=num_sites,
        num_holders=num_sites,
        min_survivors=num_sites - max_dropouts,
        colluders=assumed_colluders,
    )
    if honest < MIN_HONEST:  # under the other profiles a usable threshold implies it
        raise ConfigError(
            f"{num_sites} sites, of which {assumed_colluders} may collude, leave {honest} honest: "
            f"at least {MIN_HONEST} are needed",
            hint="Add sites: with one honest site the sum is its own vector.",
        )
    return honest


def _require_usable(threshold: int, num_sites: int, max_dropouts: int, assumed_colluders: int) -> None:
    """Refuse a Shamir threshold that does not protect or cannot be met."""
    if threshold == num_sites:
        raise ConfigError(f"{num_sites} sites are too few to do without one", hint="Take the profile strict.")
    if not 2 * threshold > num_sites + assumed_colluders:
        raise ConfigError(f"{assumed_colluders} colluders among {num_sites} sites could open a vector of its own")
    if num_sites - max_dropouts < threshold:
        raise ConfigError(f"{max_dropouts} dropouts leave fewer than the {threshold} sites that open a sum")


__all__ = ["honest_sites", "MIN_HONEST", "min_honest_sites", "Profile", "shamir_threshold"]
