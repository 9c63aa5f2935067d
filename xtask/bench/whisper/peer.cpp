// Milliseconds that whisper.cpp takes for each recording, as its library is used without any settings of ours:
//
//     whisper-peer MODEL THREADS RUNS FILE…
//
// MODEL is a ggml file, each FILE a wav of 16-bit samples, mono, 16 kHz. Prints the medians as a list.

#include "whisper.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

static std::vector<float> samples(const char * path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    // Behind the head of twelve bytes come chunks: a name, a size, content.
    for (size_t at = 12; at + 8 <= bytes.size();) {
        uint32_t size = 0;
        std::memcpy(&size, &bytes[at + 4], 4);
        if (std::memcmp(&bytes[at], "data", 4) == 0) {
            const size_t count = std::min<size_t>(size, bytes.size() - at - 8) / 2;
            std::vector<float> values(count);
            for (size_t i = 0; i < count; i++) {
                int16_t value = 0;
                std::memcpy(&value, &bytes[at + 8 + 2 * i], 2);
                values[i] = value / 32768.0f;
            }
            return values;
        }
        at += 8 + size_t(size) + size % 2;
    }
    std::fprintf(stderr, "%s holds no samples\n", path);
    std::exit(1);
}

static double listen(whisper_context * context, const std::vector<float> & sound, int threads) {
    whisper_full_params params = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
    params.n_threads = threads;
    params.language = "en";
    params.no_context = true;
    params.print_progress = false;
    params.print_timestamps = false;
    const auto start = std::chrono::steady_clock::now();
    if (whisper_full(context, params, sound.data(), int(sound.size())) != 0) {
        std::fprintf(stderr, "whisper.cpp failed\n");
        std::exit(1);
    }
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

static void quiet(ggml_log_level, const char *, void *) {}

int main(int count, char ** arguments) {
    if (count < 5) {
        std::fprintf(stderr, "usage: whisper-peer MODEL THREADS RUNS FILE...\n");
        return 1;
    }
    whisper_log_set(quiet, nullptr);
    whisper_context * context =
        whisper_init_from_file_with_params(arguments[1], whisper_context_default_params());
    if (context == nullptr) {
        std::fprintf(stderr, "%s is no model\n", arguments[1]);
        return 1;
    }
    const int threads = std::atoi(arguments[2]);
    const int runs = std::max(1, std::atoi(arguments[3]));
    std::printf("[");
    for (int file = 4; file < count; file++) {
        const std::vector<float> sound = samples(arguments[file]);
        listen(context, sound, threads);
        std::vector<double> times;
        for (int run = 0; run < runs; run++) {
            times.push_back(listen(context, sound, threads));
        }
        std::sort(times.begin(), times.end());
        std::printf("%s%.3f", file == 4 ? "" : ", ", times[times.size() / 2]);
    }
    std::printf("]\n");
    whisper_free(context);
    return 0;
}
