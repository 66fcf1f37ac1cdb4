"""The losses, one a file, each named after what it measures. Import them from their own modules:

``laplacian_pyramid`` (reconstruction), ``perceptual``, ``adversarial``, ``global_cohesion`` and ``noise_regularisation``.
"""
