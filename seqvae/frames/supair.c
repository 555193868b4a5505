/* SuPAIR on the CPU: the frames for which boxes stand, by the equations of SuPAIR.decode. Only the rows and columns of
   a box are computed; all others show nothing of it. */
#include <math.h>
#include <stdlib.h>

static inline float larger(float a, float b) { return a > b ? a : b; }  /* b if a is NaN */
static inline float smaller(float a, float b) { return a < b ? a : b; }

typedef struct {
    int first, end;        /* the pixels of which the box may cover a share */
    float *cover;          /* the share of each */
    int *sample;           /* the sample before each, -1 for none */
    float *before, *after; /* weights of this sample and of the next one */
} Axis;

/* Find what a box covers along an axis of `size` pixels, and which of n samples its pixels interpolate. */
static void find(Axis *a, float centre, float extent, float reach, int size, int n) {
    float pixel = 2 / (float)size, half = 0.5f * size;
    a->first = (int)smaller(larger((centre - extent + 1) * half - 1, 0), size);
    a->end = (int)smaller(larger((centre + extent + 1) * half + 2, 0), size);
    for (int i = a->first; i < a->end; i++) {
        float distance = (i + 0.5f) * pixel - 1 - centre;
        a->cover[i] = smaller(larger(0.5f + (extent - fabsf(distance)) / pixel, 0), 1);
        float at = (distance / (reach * extent) + 1) * (0.5f * n) - 0.5f;
        a->sample[i] = (int)smaller(larger(floorf(at), -1), n - 1);
        a->before[i] = larger(1 - fabsf(at - a->sample[i]), 0);
        a->after[i] = larger(1 - fabsf(at - a->sample[i] - 1), 0);
    }
}

/* Draw `frames` frames "n h w": where boxes cover a half of a pixel the brightest look, elsewhere the backdrop.

   look: "g g", the expected glimpse; backdrop: "h w"; size, position: "n k 2"; reach: of a glimpse, in half-extents
   Returns 0, or 1 for want of memory. */
int draw(int frames, int slots, int height, int width, int g, float reach, const float *look, const float *backdrop,
         const float *size, const float *position, float *out) {
    int longest = height > width ? height : width, pixels = height * width;
    float *memory = calloc((size_t)6 * longest + (size_t)2 * pixels + (size_t)(g + 2) * width, sizeof(float));
    int *samples = malloc(sizeof(int) * 2 * longest);
    if (!memory || !samples) return free(memory), free(samples), 1;
    Axis across = {0, 0, memory, samples, memory + longest, memory + 2 * longest};
    Axis down = {0, 0, memory + 3 * longest, samples + longest, memory + 4 * longest, memory + 5 * longest};
    float *covered = memory + 6 * longest, *shown = covered + pixels;
    float *stretched = shown + pixels; /* rows of samples, with zeros before the first one and after the last one */
    for (int f = 0; f < frames; f++, out += pixels) {
        for (int i = 0; i < pixels; i++) covered[i] = shown[i] = 0;
        for (int k = 0; k < slots; k++, size += 2, position += 2) {
            find(&across, position[0], size[0], reach, width, g);
            find(&down, position[1], size[1], reach, height, g);
            /* 1. each row of samples, at the columns of the box */
            for (int j = 0; j < g; j++) {
                const float *row = look + (size_t)j * g;
                float *to = stretched + (size_t)(j + 1) * width;
                for (int x = across.first; x < across.end; x++) {
                    int s = across.sample[x];
                    float left = s >= 0 ? row[s] : 0, right = s + 1 < g ? row[s + 1] : 0;
                    to[x] = across.cover[x] * (across.before[x] * left + across.after[x] * right);
                }
            }
            /* 2. at the rows of the box: where boxes overlap, the brightest */
            for (int y = down.first; y < down.end; y++) {
                const float *above = stretched + (size_t)(down.sample[y] + 1) * width, *below = above + width;
                float *most = covered + (size_t)y * width, *best = shown + (size_t)y * width;
                float share = down.cover[y], a = share * down.before[y], b = share * down.after[y];
                for (int x = across.first; x < across.end; x++) {
                    best[x] = larger(a * above[x] + b * below[x], best[x]);
                    most[x] = larger(share * across.cover[x], most[x]);
                }
            }
        }
        for (int i = 0; i < pixels; i++)
            out[i] = smaller(larger(covered[i] > 0.5f ? shown[i] : backdrop[i], 0), 1);
    }
    free(memory), free(samples);
    return 0;
}
