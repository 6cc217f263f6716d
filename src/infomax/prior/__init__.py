"""Matching the distribution of a representation to a prior, adversarially."""

from infomax.prior.discriminator import PriorDiscriminator
from infomax.prior.matching import PriorMatchingLoss, PriorTerms

__all__ = ["PriorDiscriminator", "PriorMatchingLoss", "PriorTerms"]
