"""How images are seen and compared. Import from the modules themselves:

``features`` (the networks), ``perceptual`` (LPIPS), ``similarity``, ``scores`` (of a reconstruction), ``frechet`` (of a generator), ``spectra``.
"""
