"""The networks that look at a photo and give a code, a file each, and the files of their weights.

``style`` (pSp, e4e, ReStyle), ``base_code`` (BDInvert), ``consultation`` (HFGI), ``masked`` (Ensemble), ``weights``. How they are trained is in
:mod:`ganinv.training`.
"""
