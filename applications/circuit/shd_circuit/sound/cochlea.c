/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   Encode sound as spikes in C99: the model of the cochlea that made the Spiking Heidelberg Digits.

   The model is that of Cramer et al. (2020), arXiv:1910.07407, and so are its stages:

       wave -> scaled, faded -> basilar membrane -> hair cells -> auditory nerve -> bushy cells

   Include this file, and compile it with -O3. First call cochlea_start(), which computes the tables.
   Then cochlea_encode() takes an utterance, mono at RATE_HZ, and the state of a SplitMix64
   generator for all random draws. It returns the number of steps, and cochlea_next() lists the
   spikes. All memory is static; docs/sound.md says how much it is.

   cochlea_go_on() encodes a running recording, one window after another. The utterance's level and
   end aren't known then, so these spikes are a preview.

   Options: -DFLOAT computes in float with smaller tables. -DMAX_SAMPLES=n sets the length of the
   longest utterance, on which the memory depends. -DBLOCK=32 suits processors with wide vectors. */
#define _XOPEN_SOURCE 600 /* j0, j1, y0, y1 */
#include <complex.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef FLOAT
typedef float real;
#define POW powf
#define TAPS 8            /* exact to 5e-7 */
#define FINE 0.4          /* exact to 2e-7 */
#define TABLE_POINTS 626  /* exact to 5e-5 of a channel's peak */
#define UNIFORM(z) ((real)((z) >> 40) * (real)0x1p-24)
#else
typedef double real;
#define POW pow
#define TAPS 16           /* exact to 1e-11 */
#define FINE 0.25         /* exact to 1e-14 */
#define TABLE_POINTS 2500 /* exact to 2e-7 of a channel's peak */
#define UNIFORM(z) ((real)((z) >> 11) * (real)0x1p-53)
#endif

#define RATE_HZ 48000 /* of the wave; a step is two samples */
#ifndef MAX_SAMPLES
#define MAX_SAMPLES (5 * RATE_HZ)
#endif
#define MAX_STEPS (MAX_SAMPLES / 2 + 1)
#define CHANNELS 700
#ifndef BLOCK
#define BLOCK 16          /* channels that are computed side by side ... */
#endif
#define LANES (BLOCK / 2) /* ... as real and imaginary parts of LANES numbers */
#define BLOCKS ((CHANNELS + BLOCK - 1) / BLOCK)
#define PI 3.14159265358979323846

/* the utterance's level, and its fade in and out */
#define RMS 0.32
#define RAMP (RATE_HZ * 3 / 100)
#define LOWEST_LEVEL 3e-3 /* of full scale, in a preview */
/* basilar membrane (Sieroka, Dosch and Rupp 2006), in cgs units; x goes from base to apex */
#define STIFFNESS 1e9
#define STIFFNESS_OFFSET 3500.0
#define STIFFNESS_DECAY 3.0
#define MASS 0.05
#define FLUID_DENSITY 1.0
#define DUCT_HEIGHT 0.1
#define LENGTH_CM 3.5
/* hair cells (Meddis 1986, 1988); rates a second, and DT in seconds */
#define DT (2.0 / RATE_HZ)
#define DRIVE 5.0
#define HALF_DRIVE 300.0
#define RELEASE 2000.0
#define FIRE 50000.0
#define REPLENISH 5.05
#define LOSS 2500.0
#define REUPTAKE 6580.0
#define REPROCESS 66.3
/* nerve fibers and bushy cells (Cramer et al. 2020) */
#define FIBERS 40
#define TAU_MEM_S 1e-3
#define TAU_SYN_S 5e-4
#define WEIGHT (13e3 / FIBERS)
#define REST (RATE_HZ / 2000) /* steps of 1 ms */
#define GOLDEN 0x9E3779B97F4A7C15u

/* Points of the longest Fourier transform, that of the wave; a grid has half of them at most. */
#define MAX_POINTS (MAX_SAMPLES > 174762 ? 1 << 19 : MAX_SAMPLES > 87380 ? 1 << 18 : 1 << 17)
#define KERNEL_POINTS 1024 /* of the table that reads between two points of the grid */
#define KERNEL_SHAPE (PI * TAPS * (1 - 0.5 / 1.5))
#define TABLE_TOP 4.0 /* x the resonance: nothing is left of the response above */
#define ROW ((CHANNELS + 7) / 8)

typedef struct { /* a block's cells */
    real cleft[BLOCK], free[BLOCK], store[BLOCK]; /* transmitter of the hair cells */
    real ready[BLOCK], fired[REST][BLOCK];        /* fibers that can fire, and that did */
    real mem[BLOCK], syn[BLOCK], wait[BLOCK];     /* bushy cells */
} Cells;

static Cells cells[BLOCKS];
static uint8_t spikes[MAX_STEPS][ROW]; /* a bit a channel */
static int32_t n_rows;                 /* of spikes that are used */
static uint64_t now;                   /* steps since the cells were at rest */
static double level;                   /* of the sound while it is going on */
static real wave[MAX_SAMPLES];
static real spectrum[MAX_STEPS][2];
static real memory[(MAX_POINTS / 2 + TAPS) * BLOCK]; /* grid; or two transforms of a wave */
static real twiddle[MAX_POINTS / 4 * 3][2]; /* the last quarter is never needed */
static real kernel[KERNEL_POINTS + 3][TAPS];
/* Responses a and b of channels 2 j and 2 j + 1 at the same frequencies, as a + i b and a - i b.
   Rounding them to float adds less than the error of reading between two frequencies. */
static float response[CHANNELS / 2][TABLE_POINTS][4];
static double top_hz[CHANNELS / 2];
static real scale[MAX_STEPS]; /* what a bin is multiplied by on a grid of the block's points */
static real keep_mem, keep_syn;

/* ------------------------------------------------------------------ tables */

/* The square root with a positive real part; z isn't near 0. */
static double complex root(double complex z) {
    double re = sqrt((sqrt(creal(z) * creal(z) + cimag(z) * cimag(z)) + creal(z)) / 2);
    return re + I * cimag(z) / (2 * re);
}

/* Hankel function of the first kind, order 0; 0 <= arg z < pi / 2. Near 0 its series, else its
   integral by trapezoids, which converge fast on a Gaussian. */
static double complex hankel(double complex z) {
    if (cabs(z) < 2) {
        double complex j = 1, y = 0, term = 1;
        double harmonic = 0;
        for (int k = 1; k < 20; k++) {
            term *= -z * z / 4 / (k * k);
            harmonic += 1.0 / k;
            j += term;
            y -= harmonic * term;
        }
        return j + I * 2 / PI * ((clog(z / 2) + 0.57721566490153286061) * j + y);
    }
    double h = cabs(z) < 8 ? FINE : 2 * FINE;
    double complex sum = 0.5, half = I / (2 * z);
    for (double s = h; s < 1.55 / FINE; s += h)
        sum += exp(-s * s) / root(1 + s * s * half);
    return 2 * h / sqrt(PI) * sum * root(2 / (PI * z)) * cexp(I * (z - PI / 4));
}

static double complex impedance(double omega, double decay) {
    double damping = 0.15 * sqrt(STIFFNESS * MASS);
    return STIFFNESS * decay * decay - STIFFNESS_OFFSET - MASS * omega * omega
           - I * omega * damping * decay;
}

static double complex wave_number(double omega, double decay) {
    return omega * csqrt(FLUID_DENSITY / (DUCT_HEIGHT * impedance(omega, decay)));
}

static double complex edge(double omega, double decay) {
    double damping = 0.15 * sqrt(STIFFNESS * MASS);
    double stiff = sqrt(STIFFNESS_OFFSET + MASS * omega * omega);
    return I * stiff - omega * damping * decay / (2 * stiff) - csqrt(impedance(omega, decay));
}

/* Complex velocity per unit of sound at an angular frequency, x cm from the base. */
static double complex membrane(double omega, double x) {
    double decay = exp(-STIFFNESS_DECAY * x / 2);
    double stiff = sqrt(STIFFNESS_OFFSET + MASS * omega * omega);
    double complex base = 2 * wave_number(omega, 1) / STIFFNESS_DECAY;
    double complex turn = 2 * I * omega / (STIFFNESS_DECAY * sqrt(DUCT_HEIGHT) * stiff);
    double complex phase = base - turn * clog(edge(omega, 1) / edge(omega, decay) * decay);
    double complex pressure = csqrt(phase / wave_number(omega, decay)) * hankel(phase);
    double complex at_base = sqrt(2 / STIFFNESS_DECAY) * hankel(base);
    double s = 2 * omega / STIFFNESS_DECAY * sqrt(2 / (DUCT_HEIGHT * STIFFNESS)); /* stapes */
    double complex input = I * sqrt(2 * STIFFNESS / DUCT_HEIGHT) * (j0(s) - I * y0(s))
                           / (j1(s) - I * y1(s));
    return 2 * omega / impedance(omega, decay) * input * pressure / at_base;
}

static double bessel_i0(double x) {
    double sum = 1, term = 1;
    for (int k = 1; k < 100; k++)
        sum += term *= x * x / (4.0 * k * k);
    return sum;
}

static void cochlea_start(void) {
    keep_mem = exp(-DT / TAU_MEM_S);
    keep_syn = exp(-DT / TAU_SYN_S);
    for (int32_t k = 0; k < MAX_POINTS / 4 * 3; k++) {
        twiddle[k][0] = cos(2 * PI * k / MAX_POINTS);
        twiddle[k][1] = sin(2 * PI * k / MAX_POINTS);
    }
    for (int i = 0; i < KERNEL_POINTS + 3; i++) /* a Kaiser-Bessel window (Fessler, Sutton 2003) */
        for (int tap = 0; tap < TAPS; tap++) {
            double at = (double)(i - 1) / KERNEL_POINTS - (tap + 1 - TAPS / 2);
            double inside = 1 - 4 * at * at / (TAPS * TAPS);
            kernel[i][tap] =
                inside < 0 ? 0 : bessel_i0(KERNEL_SHAPE * sqrt(inside)) / bessel_i0(KERNEL_SHAPE);
        }
    for (int c = 0; c < CHANNELS; c++) {
        double x = LENGTH_CM * c / (CHANNELS - 1), *top = &top_hz[c / 2];
        if (c % 2 == 0) {
            *top = TABLE_TOP * sqrt(STIFFNESS * exp(-STIFFNESS_DECAY * x) / MASS) / (2 * PI);
            *top = *top < RATE_HZ / 2 ? *top : RATE_HZ / 2;
        }
        for (int i = 0; i < TABLE_POINTS; i++) {
            double complex r = membrane(2 * PI * (1 + i * (*top - 1) / (TABLE_POINTS - 1)), x);
            float *entry = response[c / 2][i];
            if (c % 2 == 0) {
                entry[0] = entry[2] = creal(r);
                entry[1] = entry[3] = cimag(r);
            } else {
                entry[0] -= cimag(r), entry[1] += creal(r);
                entry[2] += cimag(r), entry[3] -= creal(r);
            }
        }
    }
}

/* ------------------------------------------------------- Fourier transforms */

static uint32_t reversed(uint32_t i, uint32_t n) { /* the bits of i, below n */
    i = i << 16 | i >> 16;
    i = (i & 0x00FF00FF) << 8 | (i >> 8 & 0x00FF00FF);
    i = (i & 0x0F0F0F0F) << 4 | (i >> 4 & 0x0F0F0F0F);
    i = (i & 0x33333333) << 2 | (i >> 2 & 0x33333333);
    i = (i & 0x55555555) << 1 | (i >> 1 & 0x55555555);
    return (uint64_t)i * n >> 32;
}

/* Four transforms of n / 4 points to one of n. A point has `lanes` real, then as many imaginary
   parts. */
static inline void combine(real *x, int32_t n, int lanes) {
    int32_t q = n / 4 * 2 * lanes, stride = MAX_POINTS / n;
    for (int32_t k = 0; k < n / 4; k++, x += 2 * lanes) {
        const real *w1 = twiddle[k * stride], *w2 = twiddle[2 * k * stride];
        const real *w3 = twiddle[3 * k * stride];
        for (int l = 0; l < lanes; l++) {
            real *ar = x + l, *ai = ar + lanes;
            real br = ar[q] * w2[0] - ai[q] * w2[1], bi = ar[q] * w2[1] + ai[q] * w2[0];
            real cr = ar[2 * q] * w1[0] - ai[2 * q] * w1[1];
            real ci = ar[2 * q] * w1[1] + ai[2 * q] * w1[0];
            real dr = ar[3 * q] * w3[0] - ai[3 * q] * w3[1];
            real di = ar[3 * q] * w3[1] + ai[3 * q] * w3[0];
            real sr = *ar - br, si = *ai - bi, tr = di - ci, ti = cr - dr;
            br += *ar, bi += *ai, cr += dr, ci += di;
            *ar = br + cr, *ai = bi + ci;
            ar[q] = sr + tr, ai[q] = si + ti;
            ar[2 * q] = br - cr, ai[2 * q] = bi - ci;
            ar[3 * q] = sr - tr, ai[3 * q] = si - ti;
        }
    }
}

static inline void combine_two(real *x, int lanes) {
    for (int l = 0; l < 2 * lanes; l++) {
        real a = x[l], b = x[2 * lanes + l];
        x[l] = a + b, x[2 * lanes + l] = a - b;
    }
}

/* In place, with e^(+2 pi i j k / n) and without a factor; n is a power of two, and point k lies
   where the bits of k are reversed. */
static void transform_block(real *x, int32_t n) {
    if (n == 2)
        combine_two(x, LANES);
    if (n < 4)
        return;
    for (int i = 0; i < 4; i++)
        transform_block(x + i * (n / 4 * BLOCK), n / 4);
    combine(x, n, LANES);
}

static void transform(real *x, int32_t n) {
    if (n == 2)
        combine_two(x, 1);
    if (n < 4)
        return;
    for (int i = 0; i < 4; i++)
        transform(x + i * (n / 4 * 2), n / 4);
    combine(x, n, 1);
}

static double complex chirp(int32_t k, int32_t n) { /* e^(i pi k k / n) */
    double angle = PI * (double)((uint64_t)k * (uint64_t)k % (2 * (uint64_t)n)) / n;
    return cos(angle) + I * sin(angle);
}

/* The wave's n samples to n / 2 + 1 bins, for any n (Bluestein 1970). */
static void find_spectrum(int32_t n) {
    int32_t points = 4, bins = n / 2 + 1;
    while (points < n + bins)
        points *= 2;
    real *a = memory, *b = memory + 2 * points;
    memset(memory, 0, 4 * points * sizeof(real));
    for (int32_t k = 0; k < n; k++) {
        double complex c = chirp(k, n);
        real *at = a + 2 * reversed(k, points);
        at[0] = wave[k] * creal(c), at[1] = -wave[k] * cimag(c);
        at = b + 2 * reversed((points - k) % points, points);
        at[0] = creal(c), at[1] = cimag(c);
        if (k < bins) {
            at = b + 2 * reversed(k, points);
            at[0] = creal(c), at[1] = cimag(c);
        }
    }
    transform(a, points);
    transform(b, points);
    for (int32_t k = 0; k < points; k++) { /* to the conjugate product, in reversed order in b */
        real re = a[2 * k] * b[2 * k] - a[2 * k + 1] * b[2 * k + 1];
        real im = a[2 * k] * b[2 * k + 1] + a[2 * k + 1] * b[2 * k];
        a[2 * k] = re, a[2 * k + 1] = -im;
    }
    for (int32_t k = 0; k < points; k++)
        memcpy(b + 2 * reversed(k, points), a + 2 * k, 2 * sizeof(real));
    transform(b, points);
    for (int32_t k = 0; k < bins; k++) {
        double complex c = conj(chirp(k, n) * (b[2 * k] + I * b[2 * k + 1])) / points;
        spectrum[k][0] = creal(c), spectrum[k][1] = cimag(c);
    }
}

/* ---------------------------------------------------------------- membrane */

/* The weights of the points -1, 0, 1 and 2 in the cubic through them, read at f. */
static inline void cubic(real f, real w[4]) {
    real a = f * (f - 1) * (real)(1.0 / 6), b = (f + 1) * (f - 2) * (real)0.5;
    w[0] = (2 - f) * a, w[1] = (f - 1) * b, w[2] = -f * b, w[3] = (f + 1) * a;
}

/* A block's motion on a grid that spans the time of all steps; returns the grid's points. The
   velocity is the real part of the response, so its spectrum is the response's and its mirrored
   conjugate. Seen at the steps, a bin above the half of them is one of negative frequency.
   `scale` is that of `last_points`. */
static int32_t move(int32_t block, int32_t steps, int32_t last_points) {
    int32_t pair = block * LANES, pairs = CHANNELS / 2 - pair, points = 4, used, top;
    real *grid = memory + TAPS / 2 * BLOCK, per_bin[LANES];
    double at_0 = bessel_i0(KERNEL_SHAPE);
    pairs = pairs < LANES ? pairs : LANES;
    for (int32_t p = 0; p < pairs; p++)
        per_bin[p] = (RATE_HZ / 2 - 1.0) / (steps - 1) / (top_hz[pair + p] - 1)
                     * (TABLE_POINTS - 1);
    used = (TABLE_POINTS - 1 + 1e-6) / per_bin[0] + 1;
    used = used < steps ? used : steps;
    top = used - 1 < steps / 2 ? used - 1 : steps / 2;
    while (2 * points < 3 * (2 * top + 1) || points < TAPS)
        points *= 2;
    if (points != last_points) /* what reading by the kernel multiplies a bin by */
        for (int32_t k = 0; k <= top; k++) {
            double part = PI * TAPS * k / points;
            double width = sqrt(KERNEL_SHAPE * KERNEL_SHAPE - part * part);
            scale[k] = 0.5 / steps * width / sinh(width) / TAPS * at_0;
        }
    memset(grid, 0, points * BLOCK * sizeof(real));
    for (int32_t k = 0; k < used; k++) {
        int32_t bin = k <= top ? k : k - steps;
        real *here = grid + reversed(bin & (points - 1), points) * BLOCK;
        real *mirrored = grid + reversed(-bin & (points - 1), points) * BLOCK;
        real by = scale[k <= top ? k : steps - k], re = spectrum[k][0] * by;
        real im = spectrum[k][1] * by;
        while (pairs > 0 && k * per_bin[pairs - 1] > TABLE_POINTS - 1 + (real)1e-6)
            pairs--; /* nothing is left here, nor in the channels closer to the apex */
        for (int32_t p = 0; p < pairs; p++) {
            real at = k * per_bin[p], w[4], v[4];
            int32_t row = at < 1 ? 0 : at < TABLE_POINTS - 3 ? (int32_t)at - 1 : TABLE_POINTS - 4;
            const float(*near)[4] = (const float(*)[4])response[pair + p][row];
            cubic(at - (row + 1), w);
            for (int i = 0; i < 4; i++)
                v[i] = w[0] * near[0][i] + w[1] * near[1][i] + w[2] * near[2][i]
                       + w[3] * near[3][i];
            here[p] += re * v[0] - im * v[1];
            here[LANES + p] += re * v[1] + im * v[0];
            mirrored[p] += re * v[2] - im * v[3];
            mirrored[LANES + p] -= re * v[3] + im * v[2];
        }
    }
    transform_block(grid, points);
    for (int32_t i = 0; i < TAPS / 2; i++) { /* beyond an end it goes on at the other */
        memcpy(grid - (i + 1) * BLOCK, grid + (points - 1 - i) * BLOCK, BLOCK * sizeof(real));
        memcpy(grid + (points + i) * BLOCK, grid + i * BLOCK, BLOCK * sizeof(real));
    }
    return points;
}

/* ------------------------------------------------------------------- cells */

static int channel_of(int block, int lane) {
    return block * BLOCK + (lane < LANES ? 2 * lane : 2 * (lane - LANES) + 1);
}

static void cochlea_rest(void) {
    real release = RELEASE * DRIVE / (DRIVE + HALF_DRIVE);
    real cleft = REPLENISH * release / (LOSS * release + REPLENISH * (LOSS + REUPTAKE));
    memset(cells, 0, sizeof(cells));
    for (int32_t i = 0; i < BLOCKS * BLOCK; i++) {
        Cells *c = &cells[i / BLOCK];
        c->cleft[i % BLOCK] = cleft;
        c->free[i % BLOCK] = cleft * (real)(LOSS + REUPTAKE) / release;
        c->store[i % BLOCK] = cleft * (real)(REUPTAKE / REPROCESS);
        c->ready[i % BLOCK] = FIBERS;
    }
    now = 0;
    level = 0;
}

static int binomial(int n, real p, real u) { /* successes of n trials, by inversion */
    real weight;
    int k = 0;
    if (p >= 1)
        return n;
    for (weight = POW(1 - p, n); u >= weight && k < n; k++) {
        u -= weight;
        weight *= (real)(n - k) / (k + 1) * p / (1 - p);
    }
    return k;
}

/* What SplitMix64 (Steele et al. 2014) makes of a state; the next one is GOLDEN further on. */
static inline uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* One step of a block: its velocities to spikes of bushy cells, which are written in the next step. */
static void encode_step(int block, const real *restrict speed, uint64_t step, uint64_t state,
                      const uint64_t *restrict offset, uint8_t *row) {
    Cells *c = &cells[block];
    real *restrict fired = c->fired[step % REST];
    real p[BLOCK], v[BLOCK], count[BLOCK], two[BLOCK], least[BLOCK], most[BLOCK];
    int any = 0;
    state += step * CHANNELS * GOLDEN;
    for (int i = 0; i < BLOCK; i++) { /* transmitter */
        real drive = speed[i] + (real)DRIVE > 0 ? speed[i] + (real)DRIVE : 0;
        real released = (real)(RELEASE * DT) * drive / (drive + (real)HALF_DRIVE) * c->free[i];
        real made = (real)(REPLENISH * DT) * (1 - c->free[i]);
        real returned = (real)(REPROCESS * DT) * c->store[i];
        real store = c->store[i] + (real)(REUPTAKE * DT) * c->cleft[i] - returned;
        real free = c->free[i] + (made > 0 ? made : 0) - released + returned;
        real cleft = c->cleft[i] + released - (real)((LOSS + REUPTAKE) * DT) * c->cleft[i];
        c->store[i] = store > 0 ? store : 0;
        c->free[i] = free > 0 ? free : 0;
        c->cleft[i] = cleft > 0 ? cleft : 0;
        p[i] = (real)(FIRE * DT) * c->cleft[i];
        c->ready[i] += fired[i]; /* a step's fibers can fire again after 1 ms */
    }
    for (int i = 0; i < BLOCK; i++)
        v[i] = 1 - UNIFORM(mixed(state + offset[i]));
    for (int i = 0; i < BLOCK; i++) { /* P(one or more fire) is between two (Bonferroni) */
        real one = c->ready[i] * p[i];
        two[i] = one * p[i] * (c->ready[i] - 1) * (real)0.5; /* P(two or more), at most */
        least[i] = one - two[i];
        most[i] = least[i] + two[i] * p[i] * (c->ready[i] - 2) * (real)(1.0 / 3);
        count[i] = v[i] < least[i];
        any |= (v[i] <= two[i]) | ((v[i] >= least[i]) & (v[i] <= most[i]));
    }
    for (int i = 0; any && i < BLOCK; i++)
        if (v[i] <= two[i] || (v[i] >= least[i] && v[i] <= most[i]))
            count[i] = binomial((int)c->ready[i], p[i], 1 - v[i]);
    any = 0;
    for (int i = 0; i < BLOCK; i++) {
        real spike = c->mem[i] >= 1, wait = spike > 0 ? REST : c->wait[i];
        fired[i] = count[i];
        c->ready[i] -= count[i];
        c->syn[i] = c->syn[i] * keep_syn + count[i];
        c->mem[i] = wait > 0 ? 0 : c->mem[i] * keep_mem + c->syn[i] * (real)(WEIGHT * DT);
        c->wait[i] = wait - 1;
        p[i] = spike;
        any |= spike > 0;
    }
    for (int i = 0; any && row && i < BLOCK; i++) {
        int channel = channel_of(block, i);
        if (p[i] > 0 && channel < CHANNELS)
            row[channel / 8] |= 1 << channel % 8;
    }
}

/* The wave's n samples to the spikes of its steps from `first` on; the cells go on as they were. */
static void encode_window(int32_t n, int32_t first, int32_t stop, uint64_t state) {
    int32_t steps = n / 2 + 1, points = 0;
    find_spectrum(n);
    memset(spikes, 0, (size_t)(stop - first) * ROW);
    for (int block = 0; block < BLOCKS; block++) {
        points = move(block, steps, points);
        uint64_t offset[BLOCK];
        int32_t whole = points / steps, part = points % steps; /* from a step to the next */
        int32_t left = (int64_t)first * points / steps, over = (int64_t)first * points % steps;
        for (int i = 0; i < BLOCK; i++)
            offset[i] = (channel_of(block, i) + 1) * GOLDEN;
        for (int32_t step = first; step < stop; step++) {
            real at = over * (real)((double)KERNEL_POINTS / steps), w[4], weight[TAPS];
            int32_t row = at;
            real speed[BLOCK] = {0};
            const real(*around)[BLOCK] = (const real(*)[BLOCK])(memory + (left + 1) * BLOCK);
            cubic(at - row, w);
            for (int tap = 0; tap < TAPS; tap++)
                weight[tap] = w[0] * kernel[row][tap] + w[1] * kernel[row + 1][tap]
                              + w[2] * kernel[row + 2][tap] + w[3] * kernel[row + 3][tap];
            for (int tap = 0; tap < TAPS; tap++)
                for (int i = 0; i < BLOCK; i++)
                    speed[i] += weight[tap] * around[tap][i];
            encode_step(block, speed, now + (step - first), state, offset,
                      step > first ? spikes[step - first - 1] : NULL);
            left += whole, over += part;
            if (over >= steps)
                left++, over -= steps;
        }
    }
    now += stop - first;
    n_rows = stop - first;
}

/* Scale an utterance of n samples, fade it in and out, and encode it as spikes. Returns its number
   of steps: 0 if it is silent or too long. */
static int32_t cochlea_encode(const real *sound, int32_t n, uint64_t state) {
    int32_t ramp = RAMP < n / 2 ? RAMP : n / 2;
    double power = 0;
    for (int32_t i = 0; i < n; i++)
        power += (double)sound[i] * sound[i];
    if (n > MAX_SAMPLES || !(power > 0))
        return 0;
    for (int32_t i = 0; i < n; i++)
        wave[i] = sound[i] * (RMS / sqrt(power / n));
    for (int32_t i = 0; i < ramp; i++) { /* half of a Hann window */
        double rise = 0.5 - 0.5 * cos(2 * PI * i / (2 * ramp - 1));
        wave[i] *= rise, wave[n - 1 - i] *= rise;
    }
    cochlea_rest();
    encode_window(n, 0, n / 2 + 1, state);
    return n_rows;
}

/* Encode the n_new last ones of n samples of a running recording, at the level that is known so
   far. The earlier ones set the membrane in motion. Returns the number of new steps. Call
   cochlea_rest() before the first window. */
static int32_t cochlea_go_on(const float *sound, int32_t n, int32_t n_new, uint64_t state) {
    double mean = 0, power = 0;
    for (int32_t i = 0; i < n; i++)
        mean += sound[i] / n;
    for (int32_t i = 0; i < n; i++)
        power += (sound[i] - mean) * (sound[i] - mean) / n;
    level = fmax(sqrt(power), fmax(0.9 * level, LOWEST_LEVEL));
    for (int32_t i = 0; i < n; i++)
        wave[i] = (sound[i] - mean) * (RMS / level);
    encode_window(n, n / 2 + 1 - n_new / 2, n / 2 + 1, state);
    return n_rows;
}

/* The first spike that isn't before `from`, as step * CHANNELS + unit; -1 if there is none. Unit 0
   has the highest tones. */
static int32_t cochlea_next(int32_t from) {
    for (; from < n_rows * CHANNELS; from++)
        if (spikes[from / CHANNELS][from % CHANNELS / 8] >> from % CHANNELS % 8 & 1)
            return from;
    return -1;
}
