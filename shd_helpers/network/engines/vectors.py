"""Sums over rows of neurons, and exp, compiled so that they run in vectors.

numba's cache of `engines.kernels` doesn't see a change of this file: save that one, too.
"""

import numpy as np

from shd_helpers.network.engines.lists import compiled


@compiled
def add_rows(rows, index, first, last, out, r):
    """Add rows[index[first]], ..., rows[index[last - 1]] to out[r], in this order."""
    k = first
    while k + 4 <= last:  # four to a pass: out[r] is read and written less often
        a, b, c, d = index[k], index[k + 1], index[k + 2], index[k + 3]
        for j in range(out.shape[1]):
            out[r, j] = (((out[r, j] + rows[a, j]) + rows[b, j]) + rows[c, j]) + rows[d, j]
        k += 4
    while k < last:
        a = index[k]
        for j in range(out.shape[1]):
            out[r, j] += rows[a, j]
        k += 1


@compiled
def add_part(row, out):
    """Let out = out + row; both are short."""
    for j in range(len(out)):
        out[j] += row[j]


@compiled
def add_products(v, w, out, r, is_first):
    """Add v[r] w to out[r], and v[r + 1] w to out[r + 1]: two rows for each time that w is read.

    Five rows of w to a pass, as in `add_rows`; their number is divisible by 5. With `is_first`
    the first products replace what was there.
    """
    s = r + 1
    for k in range(0, len(w), 5):
        a0, a1, a2, a3, a4 = v[r, k], v[r, k + 1], v[r, k + 2], v[r, k + 3], v[r, k + 4]
        b0, b1, b2, b3, b4 = v[s, k], v[s, k + 1], v[s, k + 2], v[s, k + 3], v[s, k + 4]
        if k == 0 and is_first:
            for j in range(out.shape[1]):
                w0, w1, w2, w3, w4 = w[k, j], w[k + 1, j], w[k + 2, j], w[k + 3, j], w[k + 4, j]
                out[r, j] = (((a0 * w0 + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[s, j] = (((b0 * w0 + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4
        else:
            for j in range(out.shape[1]):
                w0, w1, w2, w3, w4 = w[k, j], w[k + 1, j], w[k + 2, j], w[k + 3, j], w[k + 4, j]
                out[r, j] = ((((out[r, j] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[s, j] = ((((out[s, j] + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4


@compiled
def exp(x):
    """Return exp(x) to about one unit in the last place, by Cephes' expf; it runs in vectors."""
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = (p * r + np.float32(8.3334519073e-3)) * r + np.float32(4.1665795894e-2)
    p = (p * r + np.float32(1.6666665459e-1)) * r + np.float32(5.0000001201e-1)
    p = (p * (r * r) + r) + np.float32(1)
    return p * np.int32((np.int32(n) + 127) << 23).view(np.float32)  # p 2^n
