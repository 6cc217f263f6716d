"""Matching the distribution of a representation to a prior, with a discriminator or with noise."""

from infomax.prior.discriminator import PriorDiscriminator
from infomax.prior.matching import PriorMatchingLoss, PriorTerms
from infomax.prior.noise import NoisePrior

__all__ = ["NoisePrior", "PriorDiscriminator", "PriorMatchingLoss", "PriorTerms"]
