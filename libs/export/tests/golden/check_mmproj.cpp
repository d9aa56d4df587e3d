// Writes what llama.cpp's own vision code (tools/mtmd) makes of a picture; see check_mmproj.py.
//
//   program MODEL.gguf MMPROJ.gguf PIXELS WIDTH HEIGHT OUT
//
// PIXELS has WIDTH * HEIGHT * 3 bytes, OUT gets the features of all pieces that the picture is cut into, as f32.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "llama.h"
#include "mtmd.h"

int main(int, char ** args) {
    llama_backend_init();
    llama_model * model = llama_model_load_from_file(args[1], llama_model_default_params());
    mtmd_context_params params = mtmd_context_params_default();
    params.use_gpu = params.warmup = false;
    mtmd_context * context = model ? mtmd_init_from_file(args[2], model, params) : nullptr;
    if (!context) return 2;
    const int width = atoi(args[4]), height = atoi(args[5]);
    std::vector<unsigned char> pixels(3 * width * height);
    FILE * in = fopen(args[3], "rb");
    if (!in || fread(pixels.data(), 1, pixels.size(), in) != pixels.size()) return 3;
    const mtmd_bitmap * bitmap = mtmd_bitmap_init(width, height, pixels.data());
    const std::string words = mtmd_default_marker();
    const mtmd_input_text text = {words.c_str(), words.size(), false, true};
    mtmd_input_chunks * chunks = mtmd_input_chunks_init();
    if (mtmd_tokenize(context, chunks, &text, &bitmap, 1)) return 4;
    FILE * out = fopen(args[6], "wb");
    for (size_t i = 0; i < mtmd_input_chunks_size(chunks); i++) {
        const mtmd_input_chunk * chunk = mtmd_input_chunks_get(chunks, i);
        if (mtmd_input_chunk_get_type(chunk) != MTMD_INPUT_CHUNK_TYPE_IMAGE) continue;
        if (mtmd_encode_chunk(context, chunk)) return 5;
        const size_t n = llama_model_n_embd_inp(model) * mtmd_input_chunk_get_n_tokens(chunk);
        fwrite(mtmd_get_output_embd(context), sizeof(float), n, out);
    }
    fclose(out);
}
