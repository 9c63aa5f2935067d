/*
 * The C side of a plugin in Python. The library carries the manifest and the sources (carried.h, which jnana_plugin.py
 * writes); every instance is a Python process that answers one call at a time over a pair of sockets. Python is started
 * from /usr: a worker's sandbox lets nothing else run. Ending the pair ends the process, whatever it computes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "carried.h"
#include "jnana_plugin.h"

extern char **environ;

/* How often a call that waits for Python asks whether it is still wanted. */
enum { TICK_MS = 20 };
/* How long a Python process may take to end by itself before it is killed. */
enum { ENDING_MS = 500 };
/* Longest answer that is taken. */
static const uint64_t MOST = (uint64_t)1 << 30;

enum { CREATE = 1, TEXT = 2, ROWS = 3 };

static const char *const PYTHONS[] = {"/usr/local/bin/python3", "/usr/bin/python3"};
/* Reads the length of the program, the program, and becomes it. */
static const char BOOT[] =
    "requests = open(0, 'rb')\n"
    "program = requests.read(int(requests.read(20)))\n"
    "exec(compile(program, 'jnana', 'exec'), {'__name__': 'jnana', 'requests': requests})\n";

typedef struct instance {
  pid_t process; /* 0: none */
  int socket;
  uint32_t width;
  char *settings;
} instance;

/* The host's side of a call. */
typedef struct caller {
  const jnana_sink *sink;
  uint64_t call;
} caller;

typedef struct request {
  uint64_t what, form, width, height, sample_rate, mime_length, length;
} request;

typedef struct answer {
  uint64_t status, width, length;
} answer;

static int32_t failed(caller who, int32_t code, const char *words) {
  who.sink->fail(who.sink, who.call, code, words);
  return code;
}

/* ---- The process ---- */

static void sleep_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* Closes the sockets, which ends the process, and waits until it is gone. */
static void stop(instance *self) {
  if (self->process == 0) return;
  close(self->socket);
  for (int waited = 0; waitpid(self->process, NULL, WNOHANG) == 0; waited++) {
    if (waited == ENDING_MS) kill(self->process, SIGKILL);
    sleep_ms(1);
  }
  self->process = 0;
}

/* Starts a Python with one end of the sockets as its standard input. */
static int spawn(instance *self, const char *python, int end) {
  /* By its path, from which Python finds its own library. */
  char *arguments[] = {(char *)python, (char *)"-I", (char *)"-B", (char *)"-c", (char *)BOOT, NULL};
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return ENOMEM;
  int error = posix_spawn_file_actions_adddup2(&actions, end, 0);
  if (error == 0) error = posix_spawn(&self->process, python, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) self->process = 0;
  return error;
}

static int start(instance *self) {
  int ends[2], error = ENOENT;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  for (size_t at = 0; at < sizeof PYTHONS / sizeof *PYTHONS && self->process == 0; at++) {
    int tried = spawn(self, PYTHONS[at], ends[1]);
    /* A Python that is not there says less than one that cannot be run. */
    if (tried != ENOENT) error = tried;
  }
  close(ends[1]);
  self->socket = ends[0];
  if (self->process == 0) close(ends[0]);
  return self->process == 0 ? error : 0;
}

/* ---- Bytes over the sockets ---- */

/* Waits until the socket is ready, as long as the call is wanted. */
static int32_t ready(const instance *self, short events, caller who) {
  struct pollfd place = {self->socket, events, 0};
  for (;;) {
    if (who.sink->cancelled(who.sink, who.call)) return JNANA_ERROR_CANCELLED;
    int found = poll(&place, 1, TICK_MS);
    if (found > 0) return JNANA_OK;
    if (found < 0 && errno != EINTR) return JNANA_ERROR_PANIC;
  }
}

static int32_t send_all(const instance *self, const void *data, size_t length, caller who) {
  const char *from = data;
  while (length > 0) {
    int32_t status = ready(self, POLLOUT, who);
    if (status != JNANA_OK) return status;
    ssize_t sent = send(self->socket, from, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (sent <= 0) return JNANA_ERROR_PANIC;
    from += sent;
    length -= (size_t)sent;
  }
  return JNANA_OK;
}

static int32_t receive_all(const instance *self, void *data, size_t length, caller who) {
  char *to = data;
  while (length > 0) {
    int32_t status = ready(self, POLLIN, who);
    if (status != JNANA_OK) return status;
    ssize_t got = recv(self->socket, to, length, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return JNANA_ERROR_PANIC;
    to += got;
    length -= (size_t)got;
  }
  return JNANA_OK;
}

/* Asks and waits. On JNANA_OK `*body` is the caller's to free and ends with a zero. */
static int32_t ask(const instance *self, const request *asked, const void *mime, const void *data, caller who,
                   answer *said, char **body) {
  int32_t status = send_all(self, asked, sizeof *asked, who);
  if (status == JNANA_OK) status = send_all(self, mime, asked->mime_length, who);
  if (status == JNANA_OK) status = send_all(self, data, asked->length, who);
  if (status == JNANA_OK) status = receive_all(self, said, sizeof *said, who);
  if (status != JNANA_OK) return status;
  if (said->length > MOST) return JNANA_ERROR_PANIC;
  *body = calloc(1, said->length + 1);
  if (*body == NULL) return JNANA_ERROR_RESOURCE;
  status = receive_all(self, *body, said->length, who);
  if (status != JNANA_OK) free(*body);
  return status;
}

/* What is left of a call that did not get to an answer: the process, which is in the middle of something. */
static int32_t broken_off(instance *self, int32_t status, caller who) {
  stop(self);
  if (status == JNANA_ERROR_PANIC) return failed(who, status, "the Python process has ended; the log has its last words");
  return failed(who, status, status == JNANA_ERROR_CANCELLED ? "cancelled" : "there is no memory for what Python made");
}

/* ---- What comes back ---- */

static void free_tensor(jnana_dl_managed_tensor *tensor) { free(tensor->manager_ctx); }

typedef struct rows {
  jnana_dl_managed_tensor managed;
  int64_t shape[2], strides[2];
  char *values;
} rows;

static int32_t push_rows(const answer *said, const char *body, caller who) {
  size_t bytes = (size_t)said->length;
  if (said->width == 0 || bytes == 0 || bytes % (said->width * sizeof(float)) != 0)
    return failed(who, JNANA_ERROR_INTERNAL, "the function made no rows");
  rows *made = calloc(1, sizeof *made + bytes);
  if (made == NULL) return failed(who, JNANA_ERROR_RESOURCE, "there is no memory for the rows");
  made->values = (char *)(made + 1);
  memcpy(made->values, body, bytes);
  made->shape[0] = (int64_t)(bytes / sizeof(float) / said->width);
  made->shape[1] = (int64_t)said->width;
  made->strides[0] = made->shape[1];
  made->strides[1] = 1;
  made->managed.version_major = JNANA_DL_MAJOR;
  made->managed.manager_ctx = made;
  made->managed.deleter = free_tensor;
  made->managed.tensor.data = made->values;
  made->managed.tensor.device.device_type = JNANA_DL_CPU;
  made->managed.tensor.ndim = 2;
  made->managed.tensor.dtype.code = JNANA_DL_FLOAT;
  made->managed.tensor.dtype.bits = 32;
  made->managed.tensor.dtype.lanes = 1;
  made->managed.tensor.shape = made->shape;
  made->managed.tensor.strides = made->strides;
  return who.sink->push_tensor(who.sink, who.call, &made->managed);
}

static int32_t push_text(const char *body, caller who) {
  jnana_segment segment = {sizeof segment, 0, 0.0, 0.0, body};
  if (body[0] == '\0') return JNANA_OK;
  return who.sink->push_segment(who.sink, who.call, &segment);
}

static int32_t hand_over(uint64_t what, const answer *said, char *body, caller who) {
  int32_t status;
  if (said->status != JNANA_OK) status = failed(who, (int32_t)said->status, body);
  else if (what == ROWS) status = push_rows(said, body, who);
  else if (what == TEXT) status = push_text(body, who);
  else status = JNANA_OK;
  free(body);
  return status;
}

/* ---- Calls ---- */

/* Sends the program, and has it make an instance. */
static int32_t begin(instance *self, caller who) {
  char length[21], *body = NULL;
  answer said;
  int error = start(self);
  if (error != 0) {
    char words[160];
    snprintf(words, sizeof words, "starting python3 from /usr failed: %s", strerror(error));
    return failed(who, JNANA_ERROR_RESOURCE, words);
  }
  snprintf(length, sizeof length, "%20zu", sizeof PROGRAM - 1);
  int32_t status = send_all(self, length, 20, who);
  if (status == JNANA_OK) status = send_all(self, PROGRAM, sizeof PROGRAM - 1, who);
  request asked = {CREATE, 0, self->width, 0, 0, 0, strlen(self->settings)};
  if (status == JNANA_OK) status = ask(self, &asked, "", self->settings, who, &said, &body);
  if (status != JNANA_OK) return broken_off(self, status, who);
  status = hand_over(CREATE, &said, body, who);
  if (status != JNANA_OK) stop(self);
  return status;
}

static int32_t call(instance *self, uint64_t what, const jnana_input *input, caller who) {
  answer said;
  char *body = NULL;
  if (input == NULL || input->size < sizeof *input)
    return failed(who, JNANA_ERROR_INTERNAL, "the host gave no whole input");
  /* After a call that was cancelled there is none. */
  if (self->process == 0) {
    int32_t begun = begin(self, who);
    if (begun != JNANA_OK) return begun;
  }
  const char *mime = input->form == JNANA_INPUT_RAW && input->mime != NULL ? input->mime : "";
  request asked = {what, (uint64_t)input->form, input->width, input->height, input->sample_rate, strlen(mime), input->length};
  int32_t status = ask(self, &asked, mime, input->data, who, &said, &body);
  return status == JNANA_OK ? hand_over(what, &said, body, who) : broken_off(self, status, who);
}

static int32_t encode(void *self, const jnana_input *input, const jnana_sink *sink, uint64_t number) {
  caller who = {sink, number};
  return call(self, ROWS, input, who);
}

static int32_t transcribe(void *self, const jnana_input *input, const char *options, const jnana_sink *sink,
                          uint64_t number) {
  caller who = {sink, number};
  (void)options;
  return call(self, TEXT, input, who);
}

/* ---- Life ---- */

static void destroy(void *pointer) {
  instance *self = pointer;
  stop(self);
  free(self->settings);
  free(self);
}

static int32_t create(const jnana_create *args, void **result) {
  if (args == NULL || args->size < sizeof *args || args->sink == NULL) return JNANA_ERROR_INTERNAL;
  caller who = {args->sink, args->call};
  instance *self = calloc(1, sizeof *self);
  if (self == NULL) return failed(who, JNANA_ERROR_RESOURCE, "there is no memory");
  self->width = args->width;
  self->settings = strdup(args->settings == NULL ? "{}" : args->settings);
  int32_t status = self->settings == NULL ? failed(who, JNANA_ERROR_RESOURCE, "there is no memory") : begin(self, who);
  if (status == JNANA_OK) *result = self;
  else destroy(self);
  return status;
}

static uint64_t status(void *self, char *buffer, uint64_t capacity) {
  (void)self;
  if (capacity > 0) buffer[0] = '\0';
  return 0;
}

static const void *get_extension(void *self, const char *id) {
  static const jnana_encoder encoder = {sizeof(jnana_encoder), 0, encode};
  static const jnana_transcriber transcriber = {sizeof(jnana_transcriber), 0, transcribe};
  (void)self;
  /* A plugin is one or the other; its manifest says which. */
  int encodes = strstr(MANIFEST, "\"" JNANA_EXT_ENCODER "\"") != NULL;
  if (encodes && strcmp(id, JNANA_EXT_ENCODER) == 0) return &encoder;
  if (!encodes && strcmp(id, JNANA_EXT_TRANSCRIBER) == 0) return &transcriber;
  return NULL;
}

static const char *manifest(void) { return MANIFEST; }

const jnana_plugin *jnana_plugin_entry_v1(uint32_t host_minor) {
  static const jnana_plugin table = {sizeof(jnana_plugin), JNANA_ABI_MAJOR, JNANA_ABI_MINOR, 0,      manifest,
                                     create,               destroy,         status,          get_extension};
  (void)host_minor;
  return &table;
}
