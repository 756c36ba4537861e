"""Seconds of layers in a request that comes after a rest, on a tier whose processor is limited to a share.

Profiles have layers as steady work: their processor seconds over the share. A request that waits for no other finds a
period's time at hand, which the limit grants at once. What that saves the whole network is shared out over its layers
in proportion, so that seconds still add up: exact for all of them and for none; some of them may be quicker yet.
"""

from collections.abc import Mapping

from tiersplit_core.profile.layers import TierProfile


def after_rest(profile: TierProfile, seconds: Mapping[str, float], *, first: bool) -> dict[str, float]:
    """Seconds per layer after a rest.

    Args:
        profile: of the tier.
        seconds: of all its layers as profiled.
        first: the tier takes requests from clients; others receive activations.
    """
    at_hand = profile.serving.at_hand if profile.serving is not None else None
    whole_s = sum(seconds.values())
    # An emulated tier is slower by waiting, which no limit counts.
    if at_hand is None or whole_s <= 0 or profile.slowdown != 1:
        return dict(seconds)
    left = 1 - at_hand.saved_s(whole_s, first=first) / whole_s
    return {name: taken_s * left for name, taken_s in seconds.items()}
