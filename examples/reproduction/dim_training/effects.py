"""Refusing options that the user passes but that would not change the training."""

from dataclasses import fields
from typing import Any

from .errors import BadInput
from .options import Options, flag_of
from .recipes import RECIPES

OF_EVERY_OBJECTIVE = ("objective", "encoder", "globals", "dim")  # in the group "objective"
OF_THE_OTHER_VIEW = ("views", "symmetric", "occlusion")  # in other groups, but for DIM only


def refuse_idle(given: dict[str, Any], options: Options) -> None:
    """Refuse a passed option that has no effect with the other options, unless its value is in force anyway.

    Args:
        given: options that the user passed.
        options: all options of the run.
    """
    in_force = {f.name: f.default for f in fields(Options)} | RECIPES[options.recipe]
    needed = _needed(options)
    for name in given:
        if name in needed and getattr(options, name) != in_force[name]:
            raise BadInput(
                f"{flag_of(name)}: expected {needed[name]}; without that it has no effect: add that, or leave it out"
            )


def _needed(options: Options) -> dict[str, str]:
    """Return the options that have no effect, with what each of them would need to have one."""
    if options.objective != "dim":
        of_dim = [f.name for f in fields(Options) if f.metadata["group"] == "objective"] + list(OF_THE_OTHER_VIEW)
        return {name: "--objective dim" for name in of_dim if name not in OF_EVERY_OBJECTIVE}
    folder = options.data == "folder"
    rules = [
        ("prior", options.gamma or options.prior_noise, "a prior, as in --gamma 0.1"),
        ("prior_measure", options.gamma, "a prior term, as in --gamma 0.1"),
        ("prior_penalty", options.gamma, "a prior term, as in --gamma 0.1"),
        ("between_temperature", options.between_views, "a weight, as in --between-views 1"),
        ("scale", options.critic in ("dot", "bilinear"), "--critic dot or bilinear"),
        ("units", options.critic != "bilinear" or options.between_views, "another critic than bilinear"),
        ("test_root", folder, "--data folder"),
        ("holdout", folder and not options.test_root, "--data folder without --test-root"),
        ("skip_bad", folder, "--data folder"),
        ("value_range", folder, "--data folder"),
    ]
    return {name: need for name, holds, need in rules if not holds}
