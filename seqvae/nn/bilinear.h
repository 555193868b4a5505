/* Bilinear sampling of images along rows and columns, 0 outside, by the equations of glimpse.py. */
#include <math.h>
#include <stddef.h>

typedef struct {
    int before;  /* the pixel before a point; -2 if the point is outside of the image */
    float share; /* of the next pixel */
} Point;

static inline Point point_at(float coordinate, int size) {
    float at = (coordinate + 1) * (0.5f * size) - 0.5f, before = floorf(at); /* pixel centres are at 0, 1, ... */
    if (at != at) return (Point){0, at}; /* a NaN stays */
    if (before < -1 || before >= size) return (Point){-2, 0};
    return (Point){(int)before, at - before};
}

/* The i-th of n samples of a glimpse, in half-extents from its centre. */
static inline float sample(int i, int n) { return (2 * (float)i + 1) / n - 1; }

/* Weights of the pixel before a point and of the next one. */
static inline float left_weight(Point p) { return p.before >= 0 ? 1 - p.share : 0; }
static inline float right_weight(Point p, int size) { return p.before >= -1 && p.before + 1 < size ? p.share : 0; }

/* a * (the row before a point) + b * (the next one); rows outside of the image must have the weight 0. */
static inline void blend(const float *image, int height, int width, Point y, float a, float b, float *restrict line) {
    int top = y.before < 0 ? 0 : y.before, bottom = y.before + 1 < 0 ? 0 : y.before + 1;
    const float *row = image + (size_t)top * width, *next = image + (size_t)(bottom < height ? bottom : top) * width;
    for (int j = 0; j < width; j++) line[j] = a * row[j] + b * next[j];
}

static inline float pixel(const float *line, int width, int i) { return i >= 0 && i < width ? line[i] : 0; }
