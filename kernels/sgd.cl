/* sgd: momentum SGD with weight decay over a flat vector, in place.
 *
 *     velocity = momentum * velocity + (gradient + weight_decay * vector)
 *     vector   = vector - lr * velocity
 *
 * NDRange: one work-item per element. Offsets are in elements. `rate` holds the learning rate.
 * The same bits as _sgd_numpy of nn/optimizers.py: no contraction, and every result that is denormal (or -0) becomes +0.
 */
#include "common.h"

float flushed(float x)
{
    return x < FLT_MIN && x > -FLT_MIN ? 0.0f : x;  // fabs() is a function call in PoCL: 40 times slower in all
}

__kernel void sgd(__global float *vector, const int vector_offset,
                  __global float *velocity, const int velocity_offset,
                  __global const float *gradient, const int gradient_offset,
                  __global const float *rate, const float momentum, const float weight_decay)
{
    const size_t i = get_global_id(0);
    const float w = flushed(vector[vector_offset + i]);
    const float decay = flushed(weight_decay * w);
    const float slope = flushed(flushed(gradient[gradient_offset + i]) + decay);
    const float v = flushed(flushed(momentum * flushed(velocity[velocity_offset + i])) + slope);
    velocity[velocity_offset + i] = v;
    vector[vector_offset + i] = flushed(w - flushed(rate[0] * v));
}
