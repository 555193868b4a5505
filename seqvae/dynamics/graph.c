/* GraphDynamics on the CPU: rollouts and their gradient. The equations, and their order, are those of graph.py.

   A block of sequences goes through all frames before the next one, so that its numbers stay in the cache. The
   gradient computes each step again, which is cheaper than to write and read its tensors. */
#include "graph_net.h"

static void linear(const Net *n, int which, int rows, Rows x, Rows y, int rectify) {
    const Layer *l = &n->layer[which];
    forward(l, rows, x.x, x.mask, l->bias, 0, y.x, rectify ? y.mask : NULL);
}

/* relu(y + W x), y being given */
static void add_linear(const Net *n, int which, int rows, Rows x, Rows y) {
    const Layer *l = &n->layer[which];
    forward(l, rows, x.x, x.mask, y.x, TILE * tiles(l->out), y.x, y.mask);
}

/* Pass y.d on to the weights and to x.d, which it adds to or replaces; `rectified`: x is 0 where it was negative. */
static void pull(const Net *n, int which, int rows, Rows x, Rows y, int add, int rectified) {
    const Layer *l = &n->layer[which];
    gradient(l, rows, y.d, y.mask, x.x);
    backward(l, rows, y.d, y.mask, add ? x.d : n->zeros, add ? TILE * tiles(l->in) : 0, x.d, rectified ? x.x : NULL);
}

/* All slots: k of sequence b, in row r. */
#define EACH_SLOT(b, k, r, batch, slots) \
    (int b = 0, r = 0; b < (batch); b++) for (int k = 0; k < (slots); k++, r++)

/* The row of the m-th other slot of slot k, in row r: the next one, the one after that, and so on round. */
static inline int other(int r, int k, int m, int slots) { return r + m - (k + m < slots ? 0 : slots); }

/* One step from the states z, row after row with a gap between sequences, up to the numbers of `out`.
   used: how many of these matter */
static void step(const Net *n, int batch, const float *z, size_t gap, const int64_t *action, size_t action_gap,
                 int used) {
    Sizes s = n->s;
    int rows = batch * s.slots, pairs = rows * (s.slots - 1), w = s.width, stride = TILE * tiles(w), p = 0;
    int in_stride = TILE * tiles(n->inputs), out_stride = TILE * tiles(n->numbers), velocity = s.velocity >= 0;
    /* 1. features of each slot by itself */
    for EACH_SLOT(b, k, r, batch, s.slots) {
        const float *now = z + b * gap + (size_t)k * s.dim;
        float *in = n->in.x + (size_t)r * in_stride;
        for (int i = 0; i < 2; i++) in[i] = now[s.position + i];
        for (int i = 0; i < 2 && velocity; i++) in[2 + i] = now[s.velocity + i] / s.scale;
        copy(s.latents, now + s.latent, in + n->motion);
    }
    note_nonzero(rows, n->inputs, n->in.x, n->in.mask);
    linear(n, STATE_0, rows, n->in, n->state, 1);
    if (action) {
        for EACH_SLOT(b, k, r, batch, s.slots)
            add(stride, n->layer[STATE_2].bias, n->action + action[b * action_gap] * stride,
                n->h.x + (size_t)r * stride);
        add_linear(n, STATE_2, rows, n->state, n->h);
    } else {
        linear(n, STATE_2, rows, n->state, n->h, 1);
    }
    /* 2. geometry of each pair, from slot k to another slot j */
    if (pairs) linear(n, OWN, rows, n->h, n->own, 0), linear(n, OTHER, rows, n->h, n->other, 0);
    for EACH_SLOT(b, k, r, batch, s.slots) {
        for (int m = 1; m < s.slots; m++, p++) {
            int j = other(r, k, m, s.slots);
            const float *here = n->in.x + (size_t)r * in_stride, *there = n->in.x + (size_t)j * in_stride;
            float *g = n->geometry.x + (size_t)p * TILE;
            for (int i = 0; i < n->motion; i++) g[i] = there[i] - here[i];
            float distance = sqrtf(g[0] * g[0] + g[1] * g[1] + 1e-6f);
            g[n->motion] = distance;
            if (velocity) g[5] = (g[0] * g[2] + g[1] * g[3]) / distance; /* speed at which they part */
            n->geometry.mask[p] = velocity ? 63 : 7;
            add(stride, n->own.x + (size_t)r * stride, n->other.x + (size_t)j * stride, n->pair.x + (size_t)p * stride);
        }
    }
    /* 3. relation and attention of each pair, and their sum over the other slots */
    add_linear(n, GEOMETRY, pairs, n->geometry, n->pair);
    linear(n, RELATION, pairs, n->pair, n->relation, 1);
    for (p = 0; p < pairs; p++)
        n->attention_weight[p] = dot(w, n->attention, n->relation.x + (size_t)p * stride) + n->attention[w];
    squash(pairs, n->attention_weight);
    for (int r = 0; r < rows && pairs; r++) {
        float *effects = n->effects.x + (size_t)r * stride;
        p = r * (s.slots - 1);
        scale(stride, n->attention_weight[p], n->relation.x + (size_t)p * stride, effects);
        for (p++; p < (r + 1) * (s.slots - 1); p++)
            add_scaled(stride, n->attention_weight[p], n->relation.x + (size_t)p * stride, effects);
    }
    note_nonzero(rows, w, n->effects.x, n->effects.mask);
    /* 4. the numbers returned, from the slot and its effects */
    linear(n, OUT_SLOT, rows, n->h, n->out_0, 0);
    add_linear(n, OUT_EFFECTS, rows, n->effects, n->out_0);
    linear(n, OUT_2, rows, n->out_0, n->out_2, 1);
    linear(n, OUT_4, rows, n->out_2, n->out, 0);
    for (int r = 0; r < rows; r++) {
        const float *out = n->out.x + (size_t)r * out_stride;
        float *squashed = n->squashed + (size_t)r * out_stride;
        for (int i = 0; i < used; i++) squashed[i] = n->factor[i] * out[i] + n->shift[i];
        squash(used, squashed);
    }
}

/* Inertial motion, from the numbers of `out`; also the proposal's std as a share of its maximum, if asked for. */
static void move(const Net *n, int batch, const float *z, size_t gap, float *next, size_t next_gap, float *share) {
    Sizes s = n->s;
    for EACH_SLOT(b, k, r, batch, s.slots) {
        const float *now = z + b * gap + (size_t)k * s.dim;
        const float *out = n->out.x + (size_t)r * TILE * tiles(n->numbers);
        const float *squashed = n->squashed + (size_t)r * TILE * tiles(n->numbers), *std = squashed + n->inputs;
        float *after = next + b * next_gap + (size_t)k * s.dim;
        copy(s.dim, now, after);
        for (int i = 0; i < 2; i++) {
            float displacement = s.scale * out[i];
            if (s.velocity >= 0) {
                float gain = s.scale * out[2 + i];
                after[s.velocity + i] = now[s.velocity + i] + gain;
                if (s.impact) displacement = -squashed[i] * gain;
                displacement += after[s.velocity + i];
            }
            after[s.position + i] = now[s.position + i] + displacement;
        }
        for (int i = 0; i < s.latents; i++) after[s.latent + i] = 2 * squashed[n->motion + i] - 1;
        if (!share) continue;
        float *of_row = share + (size_t)r * s.dim;
        for (int i = 0; i < s.dim; i++) of_row[i] = 1;
        for (int i = 0; i < 2; i++) of_row[s.position + i] = std[0];
        for (int i = 0; i < 2 && s.velocity >= 0; i++) of_row[s.velocity + i] = std[1];
        for (int i = 0; i < s.latents; i++) of_row[s.latent + i] = std[n->motion / 2];
    }
}

static void rollout_block(const Net *n, int batch, int frames, const float *z, const int64_t *actions,
                          const float *noise, const float *std, float *mean, float *states, float *share) {
    size_t frame = (size_t)n->s.slots * n->s.dim, gap = frame;
    for (int t = 0; t < frames; t++) {
        float *last_share = t == frames - 1 ? share : NULL;
        step(n, batch, z, gap, actions ? actions + t : NULL, frames, last_share ? n->numbers : n->inputs);
        move(n, batch, z, gap, mean + t * frame, frames * frame, last_share);
        for (int b = 0; b < batch && noise; b++)
            for (size_t i = 0; i < frame; i++) {
                size_t at = (b * (size_t)frames + t) * frame + i;
                states[at] = mean[at] + std[i % n->s.dim] * noise[at];
            }
        z = states + t * frame, gap = frames * frame;
    }
}

/* The means of `frames` states after z "b k d", and the states "b t k d": the means, or with noise drawn around them.

   actions: "b t", or NULL; noise: "b t k d", or NULL; then `states` is `mean`
   share: "b k d", of the last step, or NULL
   Returns 0, or 1 for want of memory. */
int rollout(const Sizes *sizes, int batch, int frames, const float *weights, const float *z, const int64_t *actions,
            const float *noise, const float *std, float *mean, float *states, float *share) {
    Net *n = make_net(sizes, batch, weights, NULL);
    if (!n) return 1;
    size_t frame = (size_t)sizes->slots * sizes->dim;
    for (int b = 0; b < batch; b += n->block) {
        size_t one = b * frame, all = one * frames;
        rollout_block(n, least(n->block, batch - b), frames, z + one, actions ? actions + (size_t)b * frames : NULL,
                      noise ? noise + all : NULL, std, mean + all, states + all, share ? share + one : NULL);
    }
    free(n);
    return 0;
}

/* The gradient of `move`: set out.d, with its mask, and dz; `after` holds the gradient of the next state. */
static void pull_move(const Net *n, int rows, const float *after, const float *d_share, float *dz) {
    Sizes s = n->s;
    int stride = TILE * tiles(n->numbers);
    for (int r = 0; r < rows; r++, after += s.dim, dz += s.dim) {
        const float *out = n->out.x + (size_t)r * stride, *squashed = n->squashed + (size_t)r * stride;
        float *d = n->out.d + (size_t)r * stride, *d_std = d + n->inputs;
        memcpy(dz, after, sizeof(float) * s.dim);
        for (int i = 0; i < 2; i++) {
            float displacement = after[s.position + i];
            d[i] = s.scale * displacement;
            if (s.velocity < 0) continue;
            float velocity = after[s.velocity + i] + displacement, gain = velocity;
            if (s.impact) {
                d[i] = -displacement * s.scale * out[2 + i] * squashed[i] * (1 - squashed[i]);
                gain -= displacement * squashed[i];
            }
            d[2 + i] = s.scale * gain, dz[s.velocity + i] = velocity;
        }
        for (int i = n->motion; i < n->inputs; i++)
            d[i] = after[s.latent + i - n->motion] * 4 * squashed[i] * (1 - squashed[i]);
        memset(dz + s.latent, 0, sizeof(float) * s.latents);
        for (int i = 0; i < n->numbers - n->inputs; i++) d_std[i] = 0;
        if (!d_share) continue;
        const float *of_row = d_share + (size_t)r * s.dim;
        for (int i = 0; i < 2; i++) d_std[0] += of_row[s.position + i];
        for (int i = 0; i < 2 && s.velocity >= 0; i++) d_std[1] += of_row[s.velocity + i];
        for (int i = 0; i < s.latents; i++) d_std[n->motion / 2] += of_row[s.latent + i];
        for (int i = 0; i < n->numbers - n->inputs; i++)
            d_std[i] *= squashed[n->inputs + i] * (1 - squashed[n->inputs + i]);
    }
    note_nonzero(rows, n->numbers, n->out.d, n->out.mask);
}

/* The gradient of the pairs, from effects to h and to the motions in `in`. */
static void pull_pairs(const Net *n, int rows) {
    Sizes s = n->s;
    int w = s.width, stride = TILE * tiles(w), pairs = rows * (s.slots - 1), p = 0;
    for (int r = 0; r < rows; r++) {
        const float *d_effects = n->effects.d + (size_t)r * stride;
        for (int m = 1; m < s.slots; m++, p++) {
            const float *relation = n->relation.x + (size_t)p * stride;
            float *d = n->relation.d + (size_t)p * stride, a = n->attention_weight[p];
            float d_logit = dot(w, d_effects, relation) * a * (1 - a);
            scale(w, a, d_effects, d);
            add_scaled(w, d_logit, n->attention, d);
            gate(w, relation, d);
            add_scaled(w, d_logit, relation, n->d_attention);
            n->d_attention[w] += d_logit;
        }
    }
    pull(n, RELATION, pairs, n->pair, n->relation, 0, 1);
    pull(n, GEOMETRY, pairs, n->geometry, n->pair, 0, 0);
    memset(n->own.d, 0, sizeof(float) * rows * stride), memset(n->other.d, 0, sizeof(float) * rows * stride);
    memset(n->d_motion, 0, sizeof(float) * rows * 4), p = 0;
    for EACH_SLOT(b, k, r, rows / s.slots, s.slots) {
        for (int m = 1; m < s.slots; m++, p++) {
            int j = other(r, k, m, s.slots);
            add_scaled(stride, 1, n->pair.d + (size_t)p * stride, n->own.d + (size_t)r * stride);
            add_scaled(stride, 1, n->pair.d + (size_t)p * stride, n->other.d + (size_t)j * stride);
            const float *g = n->geometry.x + (size_t)p * TILE;
            float *d = n->geometry.d + (size_t)p * TILE, distance = g[n->motion], d_distance = d[n->motion];
            if (s.velocity >= 0) {
                d_distance -= d[5] * g[5] / distance;
                for (int i = 0; i < 2; i++)
                    d[i] += d[5] * g[2 + i] / distance, d[2 + i] += d[5] * g[i] / distance;
            }
            for (int i = 0; i < 2; i++) d[i] += d_distance * g[i] / distance;
            for (int i = 0; i < n->motion; i++) n->d_motion[4 * j + i] += d[i], n->d_motion[4 * r + i] -= d[i];
        }
    }
    note_nonzero(rows, w, n->own.d, n->own.mask), note_nonzero(rows, w, n->other.d, n->other.mask);
    pull(n, OWN, rows, n->h, n->own, 1, 0);
    pull(n, OTHER, rows, n->h, n->other, 1, 0);
}

/* The gradient of a step: add to those of the weights, set `before`; `after` holds that of the next state. */
static void pull_step(const Net *n, int batch, const int64_t *action, size_t action_gap, const float *d_share) {
    Sizes s = n->s;
    int rows = batch * s.slots, w = s.width, stride = TILE * tiles(w);
    pull_move(n, rows, n->after, d_share, n->before);
    pull(n, OUT_4, rows, n->out_2, n->out, 0, 1);
    pull(n, OUT_2, rows, n->out_0, n->out_2, 0, 1);
    pull(n, OUT_SLOT, rows, n->h, n->out_0, 0, 0);
    if (s.slots > 1) pull(n, OUT_EFFECTS, rows, n->effects, n->out_0, 0, 0);
    if (s.slots > 1) pull_pairs(n, rows);
    for EACH_SLOT(b, k, r, batch, s.slots) {
        float *d = n->h.d + (size_t)r * stride;
        gate(w, n->h.x + (size_t)r * stride, d);
        if (action) add_scaled(w, 1, d, n->d_action + action[b * action_gap] * w);
    }
    pull(n, STATE_2, rows, n->state, n->h, 0, 1);
    pull(n, STATE_0, rows, n->in, n->state, 0, 0);
    for (int r = 0; r < rows; r++) {
        float *before = n->before + (size_t)r * s.dim, *d = n->in.d + (size_t)r * TILE * tiles(n->inputs);
        for (int i = 0; i < n->motion; i++) d[i] += n->d_motion[4 * r + i];
        add_scaled(2, 1, d, before + s.position);
        if (s.velocity >= 0) add_scaled(2, 1 / s.scale, d + 2, before + s.velocity);
        add_scaled(s.latents, 1, d + n->motion, before + s.latent);
    }
}

/* The gradient of `rollout` without noise: add to d_weights, which has the order of `weights`, and set dz "b k d".

   d_states: "b t k d"; d_share: "b k d", or NULL
   Returns 0, or 1 for want of memory. */
int rollout_gradient(const Sizes *sizes, int batch, int frames, const float *weights, const float *z,
                     const int64_t *actions, const float *states, const float *d_states, const float *d_share,
                     float *d_weights, float *dz) {
    Net *n = make_net(sizes, batch, weights, d_weights);
    if (!n) return 1;
    size_t frame = (size_t)sizes->slots * sizes->dim, sequence = frames * frame;
    for (int first = 0; first < batch; first += n->block) {
        int some = least(n->block, batch - first);
        memset(n->before, 0, sizeof(float) * some * frame);
        for (int t = frames - 1; t >= 0; t--) {
            const float *now = t ? states + first * sequence + (t - 1) * frame : z + first * frame;
            const int64_t *action = actions ? actions + (size_t)first * frames + t : NULL;
            step(n, some, now, t ? sequence : frame, action, frames, n->numbers);
            memcpy(n->after, n->before, sizeof(float) * some * frame);
            for (int b = 0; b < some; b++)
                add_scaled(frame, 1, d_states + (first + b) * sequence + t * frame, n->after + b * frame);
            pull_step(n, some, action, frames, d_share && t == frames - 1 ? d_share + first * frame : NULL);
        }
        memcpy(dz + first * frame, n->before, sizeof(float) * some * frame);
    }
    free(n);
    return 0;
}
