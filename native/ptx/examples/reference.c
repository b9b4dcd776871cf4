/* The example kernels' work in plain C, tile for tile and block for block, on one core. */

#define TILE 32
#define BINS 256

void matmul(const float *a, const float *b, float *c, unsigned n) {
    static float tile_a[TILE][TILE], tile_b[TILE][TILE], sum[TILE][TILE];
    for (unsigned by = 0; by < n; by += TILE) {
        for (unsigned bx = 0; bx < n; bx += TILE) {
            for (unsigned y = 0; y < TILE; y++)
                for (unsigned x = 0; x < TILE; x++) sum[y][x] = 0.0f;
            for (unsigned t = 0; t < n; t += TILE) {
                for (unsigned y = 0; y < TILE; y++)
                    for (unsigned x = 0; x < TILE; x++) {
                        unsigned row = by + y, column = bx + x;
                        tile_a[y][x] = row < n && t + x < n ? a[row * n + t + x] : 0.0f;
                        tile_b[y][x] = t + y < n && column < n ? b[(t + y) * n + column] : 0.0f;
                    }
                for (unsigned y = 0; y < TILE; y++)
                    for (unsigned x = 0; x < TILE; x++) {
                        float s = sum[y][x];
                        for (unsigned k = 0; k < TILE; k++) s += tile_a[y][k] * tile_b[k][x];
                        sum[y][x] = s;
                    }
            }
            for (unsigned y = 0; y < TILE; y++)
                for (unsigned x = 0; x < TILE; x++)
                    if (by + y < n && bx + x < n) c[(by + y) * n + bx + x] = sum[y][x];
        }
    }
}

void histogram(const unsigned char *data, unsigned *bins, unsigned n, unsigned blocks, unsigned threads) {
    static unsigned local_bins[BINS];
    for (unsigned block = 0; block < blocks; block++) {
        for (unsigned i = 0; i < BINS; i++) local_bins[i] = 0;
        for (unsigned start = block * threads; start < n; start += threads * blocks) {
            unsigned end = start + threads < n ? start + threads : n;
            for (unsigned i = start; i < end; i++) local_bins[data[i]]++;
        }
        for (unsigned i = 0; i < BINS; i++) bins[i] += local_bins[i];
    }
}
