"""GMMs by chance, and the same ones as Kaldi holds them."""

import kaldi_hmm_gmm
import numpy as np

from asrkd.hmm.gmm import DiagGmms


def random_gmms(seed: int | np.random.Generator, num_pdfs: int = 4, dim: int = 3) -> DiagGmms:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(num_pdfs), rng.integers(1, 5, num_pdfs))
    weights = rng.uniform(0.1, 1.0, len(owner))
    weights /= np.bincount(owner, weights)[owner]
    shape = (len(owner), dim)
    return DiagGmms.from_moments(weights, 2 * rng.standard_normal(shape), rng.uniform(0.2, 3.0, shape), owner)


def to_kaldi(gmms: DiagGmms) -> kaldi_hmm_gmm.AmDiagGmm:
    model = kaldi_hmm_gmm.AmDiagGmm()
    for pdf in range(gmms.num_pdfs):
        of = gmms.owner == pdf
        single = kaldi_hmm_gmm.DiagGmm(nmix=int(of.sum()), dim=gmms.dim)
        single.set_weights(gmms.weights[of])
        single.set_invvars_and_means(gmms.inv_vars[of], gmms.means[of].astype(np.float32))
        single.compute_gconsts()
        model.add_pdf(single)
    return model
