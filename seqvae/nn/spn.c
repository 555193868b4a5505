/* The sum layer of spn.py on the CPU: its value and gradient, for blocks of vectors at a time that stay in the cache.

   level: "r 2l g n", log-densities; share: "r l s g g", weights of a mixture; value: "r l s n". */
#include "sparse.h"

enum { COLUMNS = 64, PARTS = COLUMNS / LANES };
typedef struct {
    vec part[PARTS];
} Row; /* of a block of vectors */

/* log x for normal x > 0, after Cephes. */
INLINE vec logarithm(vec x) {
    lanes bits = (lanes)x;
    vec e = __builtin_convertvector((bits >> 23) - 126, vec);
    vec m = (vec)((bits & 0x007fffff) | 0x3f000000); /* from a half to 1 */
    lanes small = m < 0.70710678f;
    e = where(small, e - 1, e), m = where(small, m + m, m) - 1;
    vec z = m * m, p = 7.0376836292e-2f * m - 1.1514610310e-1f;
    p = ((p * m + 1.1676998740e-1f) * m - 1.2420140846e-1f) * m + 1.4249322787e-1f;
    p = ((p * m - 1.6668057665e-1f) * m + 2.0000714765e-1f) * m - 2.4999993993e-1f;
    p = (p * m + 3.3333331174e-1f) * m * z - 2.12194440e-4f * e - 0.5f * z;
    return m + p + 0.693359375f * e;
}

/* Take a block of rows; columns that are missing are 0. */
static void take_rows(int rows, int columns, const float *from, size_t stride, Row *to) {
    for (int i = 0; i < rows; i++, from += stride) {
        float *row = (float *)(to + i);
        for (int j = 0; j < COLUMNS; j++) row[j] = j < columns ? from[j] : 0;
    }
}

static void give_row(int columns, const Row *from, float *to) { copy(columns, (const float *)from, to); }

static int any_below(float least, int columns, const Row *x) {
    const float *row = (const float *)x;
    int below = 0;
    for (int j = 0; j < columns; j++) below |= !(row[j] >= least);
    return below;
}

/* Divide densities by the largest of each vector; return its log. */
static Row divide_by_largest(int g, Row *x) {
    Row most = x[0];
    for (int i = 1; i < g; i++)
        for (int c = 0; c < PARTS; c++)
            most.part[c] = where(x[i].part[c] > most.part[c], x[i].part[c], most.part[c]);
    for (int i = 0; i < g; i++)
        for (int c = 0; c < PARTS; c++) x[i].part[c] = exponential(x[i].part[c] - most.part[c]);
    return most;
}

/* sum_i w_i x_i, the weights being `gap` apart */
INLINE Row weighted(int rows, const float *w, int gap, const Row *x) {
    Row total = {{{0}}};
    for (int i = 0; i < rows; i++, w += gap)
        for (int c = 0; c < PARTS; c++) total.part[c] += *w * x[i].part[c];
    return total;
}

/* sum_gh w_gh a_g b_h of one mixture; keep sum_h w_gh b_h. */
INLINE Row mixed(int g, const float *share, const Row *a, const Row *b, Row *given_left) {
    Row total = {{{0}}};
    for (int i = 0; i < g; i++) {
        given_left[i] = weighted(g, share + i * g, 1, b);
        for (int c = 0; c < PARTS; c++) total.part[c] += a[i].part[c] * given_left[i].part[c];
    }
    return total;
}

/* Set the value, and `low` to 1 if a sum is below `least`: it may then lack terms, and the value is not to be used.
   Returns 0, or 1 for want of memory. */
int mix(int regions, int s, int g, int n, float least, const float *level, const float *share, float *value,
        int64_t *low) {
    Row *a = aligned_alloc(64, sizeof(Row) * 3 * g), *b = a + g, *given_left = b + g;
    if (!a) return 1;
    for (int region = 0; region < regions; region++, share += s * g * g) {
        for (int first = 0; first < n; first += COLUMNS) {
            int columns = n - first < COLUMNS ? n - first : COLUMNS;
            const float *left = level + (size_t)region * 2 * g * n + first;
            take_rows(g, columns, left, n, a), take_rows(g, columns, left + (size_t)g * n, n, b);
            Row left_most = divide_by_largest(g, a), right_most = divide_by_largest(g, b);
            for (int m = 0; m < s; m++) {
                Row total = mixed(g, share + m * g * g, a, b, given_left), logs;
                for (int c = 0; c < PARTS; c++)
                    logs.part[c] = logarithm(total.part[c]) + left_most.part[c] + right_most.part[c];
                *low |= any_below(least, columns, &total);
                give_row(columns, &logs, value + ((size_t)region * s + m) * n + first);
            }
        }
    }
    free(a);
    return 0;
}

/* Set the gradients with respect to level and share; `low` as in `mix`. Returns 0, or 1 for want of memory. */
int mix_gradient(int regions, int s, int g, int n, float least, const float *grad, const float *level,
                 const float *share, float *d_level, float *d_share, int64_t *low) {
    Row *a = aligned_alloc(64, sizeof(Row) * (4 * g + s * g) + sizeof(vec) * s * g * g);
    if (!a) return 1;
    Row *b = a + g, *d_a = b + g, *given_left = d_a + g, *d_given = given_left + g;
    vec *of_share = (vec *)(d_given + s * g); /* one sum per lane */
    for (int region = 0; region < regions; region++, share += s * g * g, d_share += s * g * g) {
        memset(of_share, 0, sizeof(vec) * s * g * g);
        for (int first = 0; first < n; first += COLUMNS) {
            int columns = n - first < COLUMNS ? n - first : COLUMNS;
            size_t left = (size_t)region * 2 * g * n + first, right = left + (size_t)g * n;
            take_rows(g, columns, level + left, n, a), take_rows(g, columns, level + right, n, b);
            divide_by_largest(g, a), divide_by_largest(g, b);
            memset(d_a, 0, sizeof(Row) * g);
            /* 1. through the logarithm, to the left densities and to what is given a left component */
            for (int m = 0; m < s; m++) {
                Row total = mixed(g, share + m * g * g, a, b, given_left), scaled;
                *low |= any_below(least, columns, &total);
                take_rows(1, columns, grad + ((size_t)region * s + m) * n + first, 0, &scaled);
                for (int c = 0; c < PARTS; c++) {
                    scaled.part[c] /= total.part[c];
                    for (int i = 0; i < g; i++) {
                        d_a[i].part[c] += scaled.part[c] * given_left[i].part[c];
                        d_given[m * g + i].part[c] = scaled.part[c] * a[i].part[c];
                    }
                }
            }
            /* 2. to the right densities and to the shares */
            for (int i = 0; i < g; i++) {
                Row d_b = weighted(s * g, share + i, g, d_given);
                for (int c = 0; c < PARTS; c++) {
                    d_a[i].part[c] *= a[i].part[c]; /* d log x = x dx */
                    d_b.part[c] *= b[i].part[c];
                }
                give_row(columns, d_a + i, d_level + left + (size_t)i * n);
                give_row(columns, &d_b, d_level + right + (size_t)i * n);
            }
            for (int m = 0; m < s * g; m++)
                for (int i = 0; i < g; i++) {
                    vec total = d_given[m].part[0] * b[i].part[0];
                    for (int c = 1; c < PARTS; c++) total += d_given[m].part[c] * b[i].part[c];
                    of_share[m * g + i] += total;
                }
        }
        for (int i = 0; i < s * g * g; i++) d_share[i] = sum(of_share[i]);
    }
    free(a);
    return 0;
}
