"""What is seen in a face: labels of the generator's samples, a small network that says the same of any image, and whose face it is.

The labels (:mod:`~ganinv.attributes.labels`) were made once, by published networks that do not ship. From them come the network that measures edits
(:mod:`~ganinv.attributes.network`) and the distance of identities (:mod:`~ganinv.attributes.identity`).
"""

from __future__ import annotations

from .identity import IdentityNetwork, identity_distance, load_identity
from .labels import ATTRIBUTES, Attribute, Labels, load_labels
from .network import AttributeNetwork, load_attributes

__all__ = [
    "ATTRIBUTES",
    "Attribute",
    "AttributeNetwork",
    "IdentityNetwork",
    "Labels",
    "identity_distance",
    "load_attributes",
    "load_identity",
    "load_labels",
]
