/* Products of a matrix with rows of which many numbers are 0, as rectified units leave them, and their gradients.

   A product skips the zeros of its left side: at the half of them, as usual, it takes two thirds of the time of a
   dense one at the peak of the processor. Every row is summed by itself, whatever other rows are there.

   Rows have a stride of whole tiles of 64 numbers, zeros after the last; a mask has a bit per number, one word per
   tile, and is set at least where the number is not 0. Vectors are those of GCC and Clang, for any processor. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16, TILE = 64 };
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
#define INLINE static inline __attribute__((always_inline))

static inline int tiles(int numbers) { return (numbers + TILE - 1) / TILE; }
static inline int vectors(int numbers) { return (numbers < TILE ? numbers + LANES - 1 : TILE) / LANES; }
static inline int least(int a, int b) { return a < b ? a : b; }
INLINE vec where(lanes yes, vec a, vec b) { return (vec)(((lanes)a & yes) | ((lanes)b & ~yes)); }

INLINE uint64_t nonzero(vec x) {
#ifdef __AVX512F__
    return __builtin_ia32_cmpps512_mask(x, (vec){0}, 4 /* not equal, or NaN */, -1, 4);
#else
    uint64_t mask = 0;
    for (int i = 0; i < LANES; i++) mask |= (uint64_t)(x[i] != 0) << i;
    return mask;
#endif
}

/* e^x to 2 units in the last place, by Cody and Waite's reduction; between e^-87 and e^88. */
INLINE vec exponential(vec x) {
    const vec low = (vec){0} - 87, high = (vec){0} + 88;
    x = where(x < low, low, where(x > high, high, x));
    lanes n = __builtin_convertvector(x * 1.44269504f + 127.5f, lanes); /* 127 + the power of 2 nearest to e^x */
    vec power = __builtin_convertvector(n - 127, vec);
    vec r = x - power * 0.693359375f + power * 2.12194440e-4f;
    vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = ((p * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r + 1.6666665459e-1f;
    p = ((p * r + 5.0000001201e-1f) * r) * r + r + 1;
    return p * (vec)(n << 23);
}

INLINE vec sigmoid(vec x) { return 1 / (1 + exponential(-x)); }

INLINE float sum(vec x) {
    typedef float eight __attribute__((vector_size(32)));
    eight half[2];
    memcpy(half, &x, sizeof x);
    half[0] += half[1];
    float s[8];
    memcpy(s, half, sizeof s);
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

/* Rows, each of whole vectors. */

static void note_nonzero(int rows, int numbers, const float *x, uint64_t *mask) {
    for (int t = 0; t < rows * tiles(numbers); t++) {
        mask[t] = 0;
        for (int c = 0; c < TILE / LANES; c++)
            mask[t] |= nonzero(((const vec *)(x + (size_t)TILE * t))[c]) << (LANES * c);
    }
}

static void squash(int numbers, float *x) {
    for (int i = 0; i < numbers; i += LANES) *(vec *)(x + i) = sigmoid(*(vec *)(x + i));
}

static inline void copy(int numbers, const float *restrict x, float *restrict y) {
    for (int i = 0; i < numbers; i++) y[i] = x[i];
}

static inline void add(int numbers, const float *restrict a, const float *restrict b, float *restrict y) {
    for (int i = 0; i < numbers; i++) y[i] = a[i] + b[i];
}

static inline void scale(int numbers, float a, const float *restrict x, float *restrict y) {
    for (int i = 0; i < numbers; i++) y[i] = a * x[i];
}

static inline void add_scaled(int numbers, float a, const float *restrict x, float *restrict y) {
    for (int i = 0; i < numbers; i++) y[i] += a * x[i];
}

/* y = 0 where x is 0 or less */
static inline void gate(int numbers, const float *x, float *y) {
    for (int i = 0; i < numbers; i += LANES)
        *(vec *)(y + i) = where(*(const vec *)(x + i) <= 0, (vec){0}, *(vec *)(y + i));
}

/* The sum of a_i x_i; both end in zeros. */
static inline float dot(int numbers, const float *a, const float *x) {
    vec total = {0};
    for (int i = 0; i < numbers; i += LANES) total += *(const vec *)(a + i) * *(const vec *)(x + i);
    return sum(total);
}

/* A linear layer y = W x + b. */
typedef struct {
    int in, out, stride;
    float *across; /* W^T by tiles: [tile of out][tile of in][64 in][64 out] */
    float *down;   /* W by tiles:   [tile of in][tile of out][64 out][64 in] */
    float *bias;   /* whole tiles; zeros without one */
    float *d_weight, *d_bias; /* the gradients, as torch has them: [out][stride], [out] */
} Layer;

/* y = start + x M for one tile M of 64 x (16 n), one row. */
INLINE void row_product(const int n, const float *x, uint64_t mask, const float *m, const float *start, float *y,
                        uint64_t *rectified, const float *gated_by) {
    vec sum[4];
    for (int c = 0; c < n; c++) sum[c] = ((const vec *)start)[c];
    for (; mask; mask &= mask - 1) {
        int i = __builtin_ctzll(mask);
        const vec *row = (const vec *)(m + TILE * i);
        for (int c = 0; c < n; c++) sum[c] += x[i] * row[c];
    }
    uint64_t positive = 0;
    for (int c = 0; c < n; c++) {
        if (rectified) { /* a NaN stays */
            sum[c] = where(sum[c] <= 0, (vec){0}, sum[c]);
            positive |= nonzero(sum[c]) << (LANES * c);
        }
        if (gated_by) sum[c] = where(((const vec *)gated_by)[c] != 0, sum[c], (vec){0});
        ((vec *)y)[c] = sum[c];
    }
    if (rectified) *rectified = positive;
}

INLINE void tile_product(const int n, int rows, const float *x, int x_stride, const uint64_t *mask, int mask_stride,
                         const float *m, const float *start, int start_stride, float *y, int y_stride,
                         uint64_t *rectified, const float *gated_by) {
    for (int r = 0; r < rows; r++) {
        row_product(n, x + (size_t)r * x_stride, mask[(size_t)r * mask_stride], m,
                    start + (size_t)r * start_stride, y + (size_t)r * y_stride,
                    rectified ? rectified + (size_t)r * (y_stride / TILE) : NULL,
                    gated_by ? gated_by + (size_t)r * y_stride : NULL);
    }
}

/* y = start + x M for all rows and tiles; then y = max(y, 0) with its mask, or y = 0 where `gated_by` is 0.
   start: a row for each (start_stride > 0), or one for all (0) */
static void product(int in, int out, const float *m, int rows, const float *x, const uint64_t *mask,
                    const float *start, int start_stride, float *y, uint64_t *rectified, const float *gated_by) {
    int across = tiles(in), x_stride = TILE * across, y_stride = TILE * tiles(out);
    for (int o = 0; o < tiles(out); o++) {
        for (int i = 0; i < across; i++, m += TILE * TILE) {
            const float *from = i ? y + TILE * o : start + TILE * o;
            int from_stride = i ? y_stride : start_stride, last = i == across - 1;
#define WITH(n, rectified, gate)                                                                                 \
    tile_product(n, rows, x + TILE * i, x_stride, mask + i, across, m, from, from_stride, y + TILE * o, y_stride, \
                 rectified, gate)
#define CASE(n)                                                        \
    case n:                                                            \
        if (last && rectified) WITH(n, rectified + o, NULL);           \
        else if (last && gated_by) WITH(n, NULL, gated_by + TILE * o);         \
        else WITH(n, NULL, NULL);                                      \
        break;
            switch (vectors(out - TILE * o)) { CASE(1) CASE(2) CASE(3) CASE(4) }
#undef CASE
#undef WITH
        }
    }
}

/* y = W x + start */
static void forward(const Layer *l, int rows, const float *x, const uint64_t *mask, const float *start, int stride,
                    float *y, uint64_t *rectified) {
    product(l->in, l->out, l->across, rows, x, mask, start, stride, y, rectified, NULL);
}

/* dx = W^T dy + start */
static void backward(const Layer *l, int rows, const float *dy, const uint64_t *mask, const float *start, int stride,
                     float *dx, const float *gated_by) {
    product(l->out, l->in, l->down, rows, dy, mask, start, stride, dx, NULL, gated_by);
}

/* Transpose 64 x 64 bits (Warren, Hacker's Delight, section 7-3). */
static void transpose(uint64_t a[64]) {
    uint64_t m = 0x00000000FFFFFFFF;
    for (int j = 32; j; j >>= 1, m ^= m << j)
        for (int k = 0; k < 64; k = (k + j + 1) & ~j) {
            uint64_t t = ((a[k] >> j) ^ a[k + j]) & m;
            a[k] ^= t << j;
            a[k + j] ^= t;
        }
}

/* dW += dy x^T, db += dy, summed over rows. */
INLINE void tile_gradient(const int n, uint64_t of_output[64], int outputs, const float *dy, int dy_stride,
                          const float *x, int x_stride, float *d_weight, int stride, int inputs) {
    for (int o = 0; o < outputs; o++, d_weight += stride) {
        vec sum[4] = {{0}};
        for (uint64_t mask = of_output[o]; mask; mask &= mask - 1) {
            int r = __builtin_ctzll(mask);
            const vec *row = (const vec *)(x + (size_t)r * x_stride);
            for (int c = 0; c < n; c++) sum[c] += dy[(size_t)r * dy_stride + o] * row[c];
        }
        const float *total = (const float *)sum;
        for (int i = 0; i < inputs; i++) d_weight[i] += total[i];
    }
}

static void gradient(const Layer *l, int rows, const float *dy, const uint64_t *mask, const float *x) {
    int down = tiles(l->out), across = tiles(l->in);
    for (int first = 0; first < rows; first += 64) {
        int some = least(64, rows - first);
        for (int o = 0; o < down; o++) {
            const float *dy_tile = dy + ((size_t)first * down + o) * TILE;
            int outputs = least(TILE, l->out - TILE * o);
            uint64_t of_output[64] = {0};
            for (int r = 0; r < some; r++) of_output[r] = mask[(size_t)(first + r) * down + o];
            transpose(of_output);
            for (int i = 0; i < across; i++) {
                const float *x_tile = x + ((size_t)first * across + i) * TILE;
                float *to = l->d_weight + (size_t)TILE * o * l->stride + TILE * i;
                int inputs = least(TILE, l->in - TILE * i);
#define CASE(n)                                                                                                  \
    case n:                                                                                                      \
        tile_gradient(n, of_output, outputs, dy_tile, TILE * down, x_tile, TILE * across, to, l->stride,   \
                      inputs);                                                                                   \
        break;
                switch (vectors(inputs)) { CASE(1) CASE(2) CASE(3) CASE(4) }
#undef CASE
            }
            for (int r = 0; l->d_bias && r < some; r++)
                for (int j = 0; j < outputs; j++) l->d_bias[TILE * o + j] += dy_tile[(size_t)r * down * TILE + j];
        }
    }
}
