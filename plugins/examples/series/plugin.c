/*
 * Tells a language model what a series of measurements looks like: a table (CSV, also with tabs or semicolons), or the
 * bare samples of a device. The answer is text; a person sees it and may change it before it is sent.
 */
#include <stdlib.h>
#include <string.h>

#include "jnana_plugin.h"
#include "series.h"

#define SAMPLES "application/x-samples-f32le"

static const char MANIFEST[] =
    "{\"id\": \"series\", \"name\": \"Series\", \"version\": \"0.1.0\","
    " \"description\": \"Sums up a table of measurements.\","
    " \"kinds\": [\"" JNANA_EXT_TRANSCRIBER "\"],"
    " \"accepts\": [{\"form\": \"raw\", \"mime\": \"text/csv\"}, {\"form\": \"raw\", \"mime\": \"text/tab-separated-values\"},"
    "               {\"form\": \"raw\", \"mime\": \"text/plain\"}, {\"form\": \"raw\", \"mime\": \"" SAMPLES "\"}],"
    " \"max_concurrency\": 4, \"max_input_bytes\": 104857600,"
    " \"ui\": {\"control\": \"file\", \"label\": \"Attach measurements\", \"noun\": \"Measurements\","
    "          \"icon\": \"\xf0\x9f\x93\x88\","
    "          \"help\": \"A table with a column for each quantity, with or without a header.\","
    "          \"accept\": [\"text/csv\", \"text/tab-separated-values\", \"text/plain\"], \"editable_text\": true}}";

/* How many lines or samples are read between two looks at whether the call is still wanted. */
enum { LOOK = 4096 };
/* Longest text. */
enum { TEXT = 4096 };

static int32_t failed(const jnana_sink *sink, uint64_t call, int32_t code, const char *words) {
  sink->fail(sink, call, code, words);
  return code;
}

static int unwanted(size_t step, const jnana_sink *sink, uint64_t call) {
  return step % LOOK == 0 && sink->cancelled(sink, call);
}

static int32_t read_table(series *read, const char *text, size_t length, const jnana_sink *sink, uint64_t call) {
  for (size_t lines = 0; length > 0; lines++) {
    if (unwanted(lines, sink, call)) return JNANA_ERROR_CANCELLED;
    const char *end = (const char *)memchr(text, '\n', length);
    size_t line = end == NULL ? length : (size_t)(end - text);
    series_line(read, text, line);
    if (end == NULL) break;
    text = end + 1;
    length -= line + 1;
  }
  return JNANA_OK;
}

/* Little-endian, whatever this machine is. */
static float sample(const unsigned char *bytes) {
  uint32_t bits = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* A recording may have been cut off in the middle of its last sample, which is left out. */
static int32_t read_samples(series *read, const unsigned char *bytes, size_t length, const jnana_sink *sink, uint64_t call) {
  for (size_t at = 0; at + sizeof(float) <= length; at += sizeof(float)) {
    if (unwanted(at, sink, call)) return JNANA_ERROR_CANCELLED;
    float value = sample(bytes + at);
    /* A device says so when it measured nothing. */
    if (value - value == 0.0F) series_add(read, 0, (double)value);
    read->rows++;
  }
  return JNANA_OK;
}

static int32_t summarise(series *read, const jnana_input *input, const jnana_sink *sink, uint64_t call) {
  char text[TEXT];
  size_t length = (size_t)input->length;
  int are_samples = input->mime != NULL && strcmp(input->mime, SAMPLES) == 0;
  int32_t status = are_samples ? read_samples(read, (const unsigned char *)input->data, length, sink, call)
                               : read_table(read, (const char *)input->data, length, sink, call);
  if (status != JNANA_OK) return status;
  if (read->width == 0)
    return failed(sink, call, JNANA_ERROR_INVALID_INPUT, "there is no number in this file: expected a table, one row a line");
  series_describe(read, text, sizeof text);
  jnana_segment segment = {sizeof segment, 0, 0.0, 0.0, text};
  return sink->push_segment(sink, call, &segment);
}

static int32_t transcribe(void *instance, const jnana_input *input, const char *options, const jnana_sink *sink,
                          uint64_t call) {
  (void)instance;
  (void)options;
  if (input == NULL || input->size < sizeof *input) return failed(sink, call, JNANA_ERROR_INTERNAL, "no whole input");
  if (input->form != JNANA_INPUT_RAW) return failed(sink, call, JNANA_ERROR_INVALID_INPUT, "expected a table or samples");
  series *read = (series *)calloc(1, sizeof *read);
  if (read == NULL) return failed(sink, call, JNANA_ERROR_RESOURCE, "there is no memory for the columns");
  int32_t status = summarise(read, input, sink, call);
  free(read);
  return status;
}

/* ---- Life: nothing is kept between calls ---- */

static char the_instance;

static int32_t create(const jnana_create *args, void **instance) {
  if (args == NULL || args->size < sizeof *args) return JNANA_ERROR_INTERNAL;
  *instance = &the_instance;
  return JNANA_OK;
}

static void destroy(void *instance) { (void)instance; }

static uint64_t status(void *instance, char *buffer, uint64_t capacity) {
  (void)instance;
  if (capacity > 0) buffer[0] = '\0';
  return 0;
}

static const void *get_extension(void *instance, const char *id) {
  static const jnana_transcriber transcriber = {sizeof(jnana_transcriber), 0, transcribe};
  (void)instance;
  return strcmp(id, JNANA_EXT_TRANSCRIBER) == 0 ? &transcriber : NULL;
}

static const char *manifest(void) { return MANIFEST; }

const jnana_plugin *jnana_plugin_entry_v1(uint32_t host_minor) {
  static const jnana_plugin table = {sizeof(jnana_plugin), JNANA_ABI_MAJOR, JNANA_ABI_MINOR, 0,      manifest,
                                     create,               destroy,         status,          get_extension};
  (void)host_minor;
  return &table;
}
