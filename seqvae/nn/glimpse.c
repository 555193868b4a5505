/* Glimpses on the CPU, and their gradient with respect to the boxes, by the equations of glimpse.py. */
#include <stdlib.h>
#include <string.h>

#include "bilinear.h"

typedef struct {
    int batch, slots, channels, height, width, n;
} Sizes;

/* Set glimpses "b k c n n" of images "b c h w" at centre +- extent, "b k 2". Returns 0, or 1 for want of memory. */
int read_glimpses(const Sizes *sizes, const float *image, const float *centre, const float *extent, float *out) {
    Sizes s = *sizes;
    float *line = malloc(sizeof(float) * s.width);
    Point *across = malloc(sizeof(Point) * s.n);
    if (!line || !across) return free(line), free(across), 1;
    for (int b = 0; b < s.batch; b++, image += (size_t)s.channels * s.height * s.width)
        for (int k = 0; k < s.slots; k++, centre += 2, extent += 2) {
            for (int j = 0; j < s.n; j++) across[j] = point_at(centre[0] + extent[0] * sample(j, s.n), s.width);
            for (int c = 0; c < s.channels; c++)
                for (int i = 0; i < s.n; i++, out += s.n) {
                    Point y = point_at(centre[1] + extent[1] * sample(i, s.n), s.height);
                    const float *plane = image + (size_t)c * s.height * s.width;
                    blend(plane, s.height, s.width, y, left_weight(y), right_weight(y, s.height), line);
                    for (int j = 0; j < s.n; j++) {
                        Point x = across[j];
                        out[j] = left_weight(x) * pixel(line, s.width, x.before) +
                                 right_weight(x, s.width) * pixel(line, s.width, x.before + 1);
                    }
                }
        }
    free(line), free(across);
    return 0;
}

/* Set the gradients with respect to centre and extent. At a pixel's centre, where the slope jumps, it is 0.
   Returns 0, or 1 for want of memory. */
int read_gradient(const Sizes *sizes, const float *image, const float *centre, const float *extent, const float *grad,
                  float *d_centre, float *d_extent) {
    Sizes s = *sizes;
    float *line = malloc(sizeof(float) * 2 * s.width), *slope = line + s.width;
    Point *across = malloc(sizeof(Point) * s.n);
    if (!line || !across) return free(line), free(across), 1;
    for (int b = 0; b < s.batch; b++, image += (size_t)s.channels * s.height * s.width)
        for (int k = 0; k < s.slots; k++, centre += 2, extent += 2, d_centre += 2, d_extent += 2) {
            float of_centre[2] = {0}, of_extent[2] = {0};
            for (int j = 0; j < s.n; j++) across[j] = point_at(centre[0] + extent[0] * sample(j, s.n), s.width);
            for (int c = 0; c < s.channels; c++)
                for (int i = 0; i < s.n; i++, grad += s.n) {
                    Point y = point_at(centre[1] + extent[1] * sample(i, s.n), s.height);
                    const float *plane = image + (size_t)c * s.height * s.width;
                    blend(plane, s.height, s.width, y, left_weight(y), right_weight(y, s.height), line);
                    int smooth = y.before >= -1 && y.share > 0;
                    blend(plane, s.height, s.width, y, -smooth * (y.before >= 0), smooth * (y.before + 1 < s.height),
                          slope);
                    for (int j = 0; j < s.n; j++) {
                        Point x = across[j];
                        float left = left_weight(x), right = right_weight(x, s.width);
                        float down = left * pixel(slope, s.width, x.before) +
                                     right * pixel(slope, s.width, x.before + 1);
                        float over = x.share > 0 ? pixel(line, s.width, x.before + 1) - pixel(line, s.width, x.before)
                                                 : 0;
                        of_centre[0] += grad[j] * over, of_extent[0] += grad[j] * over * sample(j, s.n);
                        of_centre[1] += grad[j] * down, of_extent[1] += grad[j] * down * sample(i, s.n);
                    }
                }
            d_centre[0] = of_centre[0] * 0.5f * s.width, d_extent[0] = of_extent[0] * 0.5f * s.width;
            d_centre[1] = of_centre[1] * 0.5f * s.height, d_extent[1] = of_extent[1] * 0.5f * s.height;
        }
    free(line), free(across);
    return 0;
}
