"""Which device to compute on. torch is imported only where the answer needs it."""

from asrkd.core.errors import ConfigError


def choose_device(name: str = "auto") -> str:
    """``auto``: the GPU where there is one, else the CPU; ``cpu``, ``cuda`` or ``cuda:N`` as they are, checked."""
    if name == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise ConfigError(f"device {name!r} is none of auto, cpu, cuda, cuda:N")
    if int(index or 0) >= count:
        raise ConfigError(f"device {name!r} was asked for, but torch sees {count} GPUs: is this a CPU build of torch?")
    return name


def has_fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 products are faster than float32 ones there: on GPUs since Ampere, on CPUs with the units."""
    import torch

    if device != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
