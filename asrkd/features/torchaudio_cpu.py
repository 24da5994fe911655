"""Importing torchaudio, and what imports it, beside a CPU build of torch.

torchaudio's wheel on the package index is linked against CUDA. Beside a CPU build of torch a bare ``import
torchaudio`` raises OSError (libc10_cuda.so) when it loads its compiled extension, although nothing that is used
here needs that extension (the Kaldi-compatible front end and the resampler are plain torch). So the extension's
package is stood in for before the first import. With a CUDA build of torch nothing is touched.
"""

import sys
from types import ModuleType
from typing import Any

import torch


def import_torchaudio() -> Any:
    """The torchaudio module. Call this before importing speechbrain too, which imports torchaudio."""
    if torch.version.cuda is None and "torchaudio" not in sys.modules:
        sys.modules["torchaudio._extension"] = _without_extension()
    import torchaudio
    import torchaudio.compliance.kaldi

    return torchaudio


def _without_extension() -> ModuleType:
    """What torchaudio's own ``_extension`` looks like where the extension was not built."""
    module = ModuleType("torchaudio._extension")

    def unavailable(function: Any) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which needs a CUDA torch")

        return fail

    module._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
    module._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
    module._IS_RIR_AVAILABLE = False  # type: ignore[attr-defined]
    module._check_cuda_version = lambda: None  # type: ignore[attr-defined]
    module.fail_if_no_align = unavailable  # type: ignore[attr-defined]
    module.fail_if_no_rir = unavailable  # type: ignore[attr-defined]
    return module
