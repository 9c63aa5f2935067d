/* Counts the words of a text. The contract, jnana_plugin.h, says what each function has to keep. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "jnana_plugin.h"

static const char MANIFEST[] =
    "{\"id\": \"{{name}}\", \"name\": \"{{title}}\", \"version\": \"0.1.0\","
    " \"description\": \"Counts the words of a text.\","
    " \"kinds\": [\"" JNANA_EXT_TRANSCRIBER "\"],"
    " \"accepts\": [{\"form\": \"raw\", \"mime\": \"text/plain\"}],"
    " \"max_concurrency\": 4, \"max_input_bytes\": 20971520,"
    " \"ui\": {\"control\": \"text\", \"label\": \"{{title}}\", \"noun\": \"Text\", \"icon\": \"#\","
    "          \"help\": \"Counts the words of a text.\", \"accept\": [\"text/plain\"], \"editable_text\": true}}";

/* ---- What it does ---- */

static int is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

static size_t words_of(const char *text, size_t length) {
  size_t words = 0;
  int inside = 0;
  for (size_t at = 0; at < length; at++) {
    int starts = !inside && !is_space(text[at]);
    words += (size_t)starts;
    inside = !is_space(text[at]);
  }
  return words;
}

static int32_t failed(const jnana_sink *sink, uint64_t call, int32_t code, const char *words) {
  sink->fail(sink, call, code, words);
  return code;
}

/* The host gives the first form of `accepts` that it can make; a plugin still looks what came. */
static int32_t transcribe(void *instance, const jnana_input *input, const char *options, const jnana_sink *sink,
                          uint64_t call) {
  char text[64];
  (void)instance;
  (void)options;
  if (input == NULL || input->size < sizeof *input) return failed(sink, call, JNANA_ERROR_INTERNAL, "no whole input");
  if (input->form != JNANA_INPUT_RAW) return failed(sink, call, JNANA_ERROR_INVALID_INPUT, "expected a text");
  size_t words = words_of((const char *)input->data, (size_t)input->length);
  snprintf(text, sizeof text, "This text has %zu words.", words);
  jnana_segment segment = {sizeof segment, 0, 0.0, 0.0, text};
  return sink->push_segment(sink, call, &segment);
}

/* ---- Life ---- */

/* This plugin keeps nothing between calls, so all instances are this one. Others allocate here and free in `destroy`. */
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
