/* PursuitEncoder on the CPU: its proposals, and what its network sees of them, by the equations of boxes.py. */
#include "bilinear.h"
#include "sparse.h"

typedef struct {
    int slots, height, width, stride; /* of a row of an image, whole vectors */
    int glimpse;
    float scale, view;                /* half-extent of an object; of a glimpse, in scales */
    float *x, *y, *window_x, *window_y, *window_y_y; /* pixel centres; windows, and window times y */
    float *blur_x, *blur_y, *residual, *half, *smooth;
} Pursuit;

INLINE vec window(const Pursuit *p, vec distance) {
    vec d = distance / (0.6f * p->scale);
    return exponential(-0.5f * (d * d));
}

INLINE vec disc(const Pursuit *p, vec dx, float dy) {
    vec a = dx / p->scale;
    float b = dy / p->scale;
    vec height = 1.5f - a * a - b * b;
    height = where(height < 0, (vec){0}, height);
    return where(height > 1, (vec){0} + 1, height);
}

/* C = A B, for 4 rows of A and n vectors of the columns of B at a time; the rows of A are a multiple of 4 long. */
INLINE void four_rows(const int n, int inner, const float *a, int a_stride, const float *b, int stride, float *c) {
    vec sum[4][2] = {{{0}}};
    for (int i = 0; i < inner; i++)
        for (int v = 0; v < n; v++) {
            vec row = ((const vec *)(b + (size_t)i * stride))[v];
            for (int r = 0; r < 4; r++) sum[r][v] += a[(size_t)r * a_stride + i] * row;
        }
    for (int r = 0; r < 4; r++)
        for (int v = 0; v < n; v++) ((vec *)(c + (size_t)r * stride))[v] = sum[r][v];
}

static void matrix_product(int rows, int inner, int stride, const float *a, int a_stride, const float *b, float *c) {
    for (int r = 0; r < rows; r += 4) {
        const float *from = a + (size_t)r * a_stride;
        float *to = c + (size_t)r * stride;
        int v = 0;
        for (; v + 2 * LANES <= stride; v += 2 * LANES) four_rows(2, inner, from, a_stride, b + v, stride, to + v);
        if (v < stride) four_rows(1, inner, from, a_stride, b + v, stride, to + v);
    }
}

/* One step of mean shift: the residual's centre of mass under a window at `place`. */
static void shift(const Pursuit *p, float place[2]) {
    for (int i = 0; i < p->stride; i += LANES)
        *(vec *)(p->window_x + i) = window(p, *(const vec *)(p->x + i) - place[0]);
    for (int i = 0; i < p->height; i += LANES) {
        vec y = *(const vec *)(p->y + i), w = window(p, y - place[1]);
        *(vec *)(p->window_y + i) = w, *(vec *)(p->window_y_y + i) = w * y;
    }
    vec mass = {0}, moment_x = {0}, moment_y = {0};
    for (int v = 0; v < p->stride; v += LANES) {
        vec column = {0}, column_y = {0};
        for (int i = 0; i < p->height; i++) {
            vec row = *(const vec *)(p->residual + (size_t)i * p->stride + v);
            column += p->window_y[i] * row, column_y += p->window_y_y[i] * row;
        }
        vec w = *(const vec *)(p->window_x + v);
        mass += column * w, moment_y += column_y * w, moment_x += column * w * *(const vec *)(p->x + v);
    }
    float total = sum(mass) + 1e-6f;
    if (total > 1e-3f) place[0] = sum(moment_x) / total, place[1] = sum(moment_y) / total;
}

static void propose(const Pursuit *p, float *places) {
    for (int k = 0; k < p->slots; k++, places += 2) {
        /* 1. the peak of the smoothed residual */
        matrix_product(p->height, p->width, p->stride, p->residual, p->stride, p->blur_x, p->half);
        matrix_product(p->height, p->height, p->stride, p->blur_y, tiles(p->height) * TILE, p->half, p->smooth);
        float most = -INFINITY;
        int row = 0, column = 0;
        for (int i = 0; i < p->height; i++) {
            const vec *smooth = (const vec *)(p->smooth + (size_t)i * p->stride);
            vec best = smooth[0];
            for (int v = 1; v < p->stride / LANES; v++) best = where(smooth[v] > best, smooth[v], best);
            for (int j = 0; j < LANES; j++)
                if (best[j] > most) most = best[j], row = i;
        }
        for (int j = p->width - 1; j >= 0; j--)
            if (p->smooth[(size_t)row * p->stride + j] == most) column = j;
        places[0] = p->x[column], places[1] = p->y[row];
        /* 2. mean shift, for accuracy below a pixel */
        for (int i = 0; i < 3; i++) shift(p, places);
        /* 3. blank the object out */
        for (int i = 0; i < p->height; i++)
            for (int v = 0; v < p->stride; v += LANES) {
                vec *at = (vec *)(p->residual + (size_t)i * p->stride + v);
                *at -= *at * disc(p, *(const vec *)(p->x + v) - places[0], p->y[i] - places[1]);
            }
    }
}

/* Two glimpses of one slot: of the residual, and of the discs of the others. `edge` is that of a glimpse; rows of
   `line` have the samples of one line. */
static void look(const Pursuit *p, const float *residual, const float *places, int slot, float *line, float *out) {
    int g = p->glimpse, w = p->width, h = p->height;
    const float *here = places + 2 * slot;
    float extent = p->view * p->scale, *at_x = line + p->stride, *total = at_x + tiles(g) * TILE;
    for (int j = 0; j < g; j++) at_x[j] = here[0] + extent * sample(j, g);
    for (int i = 0; i < g; i++, out += g) {
        float at_y = here[1] + extent * sample(i, g);
        /* 1. the residual */
        Point y = point_at(at_y, h);
        blend(residual, h, w, y, left_weight(y), right_weight(y, h), line);
        for (int j = 0; j < g; j++) {
            Point x = point_at(at_x[j], w);
            out[j] = left_weight(x) * pixel(line, w, x.before) + right_weight(x, w) * pixel(line, w, x.before + 1);
        }
        /* 2. the discs of the other slots */
        for (int j = 0; j < g; j += LANES) *(vec *)(total + j) = (vec){0};
        for (int m = 0; m < p->slots; m++)
            for (int j = 0; j < g && m != slot; j += LANES)
                *(vec *)(total + j) += disc(p, *(const vec *)(at_x + j) - places[2 * m], at_y - places[2 * m + 1]);
        for (int j = 0; j < g; j++) out[(size_t)g * g + j] = total[j];
    }
}

static int set_up(Pursuit *p, float **memory) {
    int across = p->stride = (p->width + LANES - 1) / LANES * LANES, tall = (p->height + 3) / 4 * 4;
    int down = TILE * tiles(p->height), image = tall * across;
    float *at = *memory = aligned_alloc(64, sizeof(float) * (2 * across + 3 * down + across * across + tall * down +
                                                             3 * image + across + 2 * TILE * tiles(p->glimpse)));
    if (!at) return 1;
    memset(at, 0, sizeof(float) * (2 * across + 3 * down + across * across + tall * down + 3 * image));
    p->x = at, p->window_x = at += across, p->y = at += across, p->window_y = at += down, p->window_y_y = at += down;
    p->blur_x = at += down, p->blur_y = at += across * across;
    p->residual = at += tall * down, p->half = at += image, p->smooth = at += image;
    for (int i = 0; i < p->width; i++) p->x[i] = (2 * (float)i + 1) / p->width - 1;
    for (int i = 0; i < p->height; i++) p->y[i] = (2 * (float)i + 1) / p->height - 1;
    for (int i = 0; i < p->width; i++)
        for (int j = 0; j < p->width; j++) p->blur_x[i * across + j] = window(p, (vec){p->x[i] - p->x[j]})[0];
    for (int i = 0; i < p->height; i++)
        for (int j = 0; j < p->height; j++) p->blur_y[i * down + j] = window(p, (vec){p->y[i] - p->y[j]})[0];
    return 0;
}

/* Set places "n k 2" by greedy pursuit of the residuals "n h w". Returns 0, or 1 for want of memory. */
int propose_places(int frames, int slots, int height, int width, float scale, const float *residual, float *places) {
    Pursuit p = {.slots = slots, .height = height, .width = width, .glimpse = 0, .scale = scale};
    float *memory;
    if (set_up(&p, &memory)) return 1;
    for (int f = 0; f < frames; f++, places += 2 * slots) {
        for (int i = 0; i < height; i++, residual += width)
            copy(width, residual, p.residual + (size_t)i * p.stride);
        propose(&p, places);
    }
    free(memory);
    return 0;
}

/* Set glimpses "n k 2 g g" around places "n k 2". Returns 0, or 1 for want of memory. */
int look_at(int frames, int slots, int height, int width, int glimpse, float scale, float view, const float *residual,
            const float *places, float *glimpses) {
    Pursuit p = {.slots = slots, .height = height, .width = width, .glimpse = glimpse, .scale = scale, .view = view};
    p.stride = (width + LANES - 1) / LANES * LANES;
    float *line = aligned_alloc(64, sizeof(float) * (p.stride + 2 * TILE * tiles(glimpse)));
    if (!line) return 1;
    memset(line, 0, sizeof(float) * (p.stride + 2 * TILE * tiles(glimpse)));
    for (int f = 0; f < frames; f++, residual += (size_t)height * width, places += 2 * slots)
        for (int k = 0; k < slots; k++, glimpses += 2 * glimpse * glimpse)
            look(&p, residual, places, k, line, glimpses);
    free(line);
    return 0;
}
