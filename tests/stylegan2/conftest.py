from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors import safe_open

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session", params=[64, 32])
def official(request):
    """What NVIDIA's own networks of one resolution hold and compute: configurations, state dicts, inputs, outputs and a gradient."""
    with safe_open(DATA / f"stylegan2_{request.param}.safetensors", "pt") as file:
        facts = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    shared = dict(
        img_resolution=int(facts["resolution"]),
        channel_base=int(facts["channel_base"]),
        channel_max=int(facts["channel_max"]),
        conv_clamp=None if facts["conv_clamp"] == "None" else float(facts["conv_clamp"]),
    )
    return SimpleNamespace(
        **{key: tensor for key, tensor in tensors.items() if "." not in key},
        G_state={key.removeprefix("G."): tensor for key, tensor in tensors.items() if key.startswith("G.")},
        D_state={key.removeprefix("D."): tensor for key, tensor in tensors.items() if key.startswith("D.")},
        G_config=dict(
            z_dim=int(facts["z_dim"]), w_dim=int(facts["w_dim"]), num_layers=int(facts["mapping_layers"]), **shared
        ),
        D_config=dict(mbstd_group_size=int(facts["mbstd_group"]), **shared),
        facts=facts,
    )
