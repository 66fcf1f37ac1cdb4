"""The losses, one a file, each named after what it measures. Import them from their own modules:

``laplacian_pyramid`` (reconstruction), ``adversarial``, ``global_cohesion`` and ``noise_regularisation``. Those that look through a network are in
:mod:`ganinv.perception`.
"""
