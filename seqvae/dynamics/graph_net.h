/* The networks of GraphDynamics for graph.c: their weights by tiles, and memory for a block of sequences. */
#include "sparse.h"

typedef struct {
    int slots, dim, position, velocity, latent, latents; /* offsets in a state; velocity is -1 without one */
    int width, actions, impact;
    float scale;
} Sizes;

enum { BLOCK = 96 }; /* slots */
enum { STATE_0, STATE_2, OWN, OTHER, GEOMETRY, RELATION, OUT_SLOT, OUT_EFFECTS, OUT_2, OUT_4, LAYERS };

typedef struct {
    float *x, *d;   /* rows, and the gradient with respect to them */
    uint64_t *mask; /* of x, which is that of d as well behind a rectified unit */
} Rows;

typedef struct {
    Sizes s;
    int motion, inputs, numbers, block; /* numbers of a slot's motion, read, and returned; sequences in a block */
    Layer layer[LAYERS];
    float *action, *d_action;                          /* a row per action */
    float *attention, *d_attention, *attention_weight; /* weights and bias; the weight of each pair */
    float *factor, *shift;                             /* of the numbers returned, before the sigmoid */
    Rows in, state, h, own, other, geometry, pair, relation, effects, out_0, out_2, out;
    float *squashed, *zeros;
    float *after, *before, *d_motion; /* gradients of the next state, of the last one, and of its motion */
    char *memory; /* NULL while the bytes are counted */
    size_t used;
} Net;

static void *take(Net *n, size_t bytes) {
    void *here = n->memory ? n->memory + n->used : NULL;
    n->used += (bytes + 63) / 64 * 64;
    return here;
}

static float *floats(Net *n, int rows, int numbers) { return take(n, sizeof(float) * rows * TILE * tiles(numbers)); }

static Rows rows_of(Net *n, int rows, int numbers) {
    uint64_t *mask = take(n, sizeof(uint64_t) * rows * tiles(numbers));
    return (Rows){floats(n, rows, numbers), floats(n, rows, numbers), mask};
}

/* Take the weights of a layer, rows of `stride`, and its bias from where torch has them: [out][in], [out]. */
static void take_layer(Net *n, int which, int in, int out, int stride, const float *from, const float *bias, float *d,
                       float *d_bias) {
    size_t size = sizeof(float) * TILE * TILE * tiles(in) * tiles(out);
    Layer *l = &n->layer[which];
    *l = (Layer){in, out, stride, take(n, size), take(n, size), floats(n, 1, out), d, d_bias};
    for (int o = 0; o < out && n->memory; o++) {
        for (int i = 0; i < in; i++) {
            float w = from[(size_t)o * stride + i];
            l->across[((size_t)(o / TILE * tiles(in) + i / TILE) * TILE + i % TILE) * TILE + o % TILE] = w;
            l->down[((size_t)(i / TILE * tiles(out) + o / TILE) * TILE + o % TILE) * TILE + i % TILE] = w;
        }
        if (bias) l->bias[o] = bias[o];
    }
}

static void set_up(Net *n, const Sizes *sizes, int batch, const float *from, float *d) {
    Sizes s = n->s = *sizes;
    int w = s.width, velocity = s.velocity >= 0, pair = velocity ? 6 : 3;
    n->motion = velocity ? 4 : 2, n->inputs = n->motion + s.latents, n->numbers = n->inputs + 2 + velocity;
    n->block = least(batch, s.slots < BLOCK ? BLOCK / s.slots : 1);
    /* 1. the weights, in the order of GraphDynamics._pack */
    size_t at = 0;
#define GRADIENT (d ? d + at : NULL)
#define LAYER(which, in, out)                                                                                  \
    take_layer(n, which, in, out, in, from + at, from + at + (in) * (out), GRADIENT, d ? d + at + (in) * (out) : NULL), \
        at += (in) * (out) + (out)
#define UNBIASED(which, in, out) take_layer(n, which, in, out, in, from + at, NULL, GRADIENT, NULL), at += (in) * (out)
    LAYER(STATE_0, n->inputs, w);
    LAYER(STATE_2, w, w);
    n->action = floats(n, s.actions, w), n->d_action = GRADIENT;
    for (int a = 0; a < s.actions && n->memory; a++)
        memcpy(n->action + (size_t)a * TILE * tiles(w), from + at + (size_t)a * w, sizeof(float) * w);
    at += (size_t)s.actions * w;
    LAYER(OWN, w, w);
    UNBIASED(OTHER, w, w);
    UNBIASED(GEOMETRY, pair, w);
    LAYER(RELATION, w, w);
    n->attention = floats(n, 1, w + 1), n->d_attention = GRADIENT;
    if (n->memory) memcpy(n->attention, from + at, sizeof(float) * (w + 1));
    at += w + 1;
    take_layer(n, OUT_SLOT, w, w, 2 * w, from + at, from + at + 2 * w * w, GRADIENT, d ? d + at + 2 * w * w : NULL);
    at += w;
    take_layer(n, OUT_EFFECTS, w, w, 2 * w, from + at, NULL, GRADIENT, NULL);
    at += 2 * w * w;
    LAYER(OUT_2, w, w);
    LAYER(OUT_4, w, n->numbers);
    /* 2. tanh x = 2 sigmoid(2 x) - 1 for latents, sigmoid(x - 1) for stds, sigmoid(x) for the rest */
    n->factor = floats(n, 1, n->numbers), n->shift = floats(n, 1, n->numbers);
    for (int i = 0; i < n->numbers && n->memory; i++) {
        n->factor[i] = i >= n->motion && i < n->inputs ? 2 : 1;
        n->shift[i] = i < n->inputs ? 0 : -1;
    }
    /* 3. activations */
    int r = n->block * s.slots, p = r * (s.slots - 1);
    n->in = rows_of(n, r, n->inputs), n->state = rows_of(n, r, w), n->h = rows_of(n, r, w);
    n->own = rows_of(n, r, w), n->other = rows_of(n, r, w), n->geometry = rows_of(n, p, 6);
    n->pair = rows_of(n, p, w), n->relation = rows_of(n, p, w), n->effects = rows_of(n, r, w);
    n->out_0 = rows_of(n, r, w), n->out_2 = rows_of(n, r, w), n->out = rows_of(n, r, n->numbers);
    n->squashed = floats(n, r, n->numbers), n->attention_weight = floats(n, 1, p);
    n->after = floats(n, r, s.dim), n->before = floats(n, r, s.dim), n->d_motion = floats(n, r, 4);
    n->zeros = floats(n, 1, w + n->numbers);
}

static Net *make_net(const Sizes *sizes, int batch, const float *weights, float *d_weights) {
    Net counted = {0};
    set_up(&counted, sizes, batch, weights, d_weights);
    size_t head = (sizeof(Net) + 63) / 64 * 64;
    Net *n = aligned_alloc(64, head + counted.used);
    if (!n) return NULL;
    memset(n, 0, head + counted.used);
    n->memory = (char *)n + head;
    set_up(n, sizes, batch, weights, d_weights);
    return n;
}
