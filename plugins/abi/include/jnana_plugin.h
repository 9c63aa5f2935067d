/*
 * jnana_plugin.h - the plugin contract of Jnana, ABI 1.
 *
 * This header is the specification. It is plain C11 (and C++17), needs no library, and never changes for ABI 1 but for
 * fields appended to structs and new extension ids. A change that would break a plugin gets a new entry symbol.
 *
 *
 * HOW A PLUGIN LIVES
 *
 *   1. The host opens the library, finds `jnana_plugin_entry_v1`, calls it and gets the plugin's table.
 *   2. It calls `manifest`. This happens in a short-lived child process first, then in the host.
 *   3. It calls `create` and gets an instance.
 *   4. It asks `get_extension` for every kind that the manifest names, and calls the functions found there with inputs.
 *   5. It calls `destroy`. The library itself is never unloaded.
 *
 *
 * RULES THAT HOLD EVERYWHERE
 *
 * Sizes.    A struct of this header starts with `size`: the number of bytes its maker knew. Set it with sizeof. A reader
 *           must not touch a field that lies beyond `size`. (The tensor structs are DLPack's and carry a version instead.)
 * Strings.  `const char *` is UTF-8 and ends with a zero byte.
 * Memory.   What is passed in is borrowed until the function returns. What a plugin makes, it pushes into the sink of
 *           the call, and the host copies it before the push returns. Neither side ever frees memory of the other; a
 *           tensor goes back through its own deleter.
 * Threads.  Every function says who may call it, and from where:
 *             [any-thread]  any thread, several at the same time;
 *             [call]        a worker thread of the host; at most `max_concurrency` (manifest) at a time per instance;
 *                           it may block for as long as the work takes;
 *             [alone]       a thread of the host, with nothing else running on that instance.
 * Statuses. int32_t, JNANA_OK or one of JNANA_ERROR_*. A number that the reader does not know means JNANA_ERROR_INTERNAL.
 * Unwinding. No C++ exception, Rust panic or longjmp may leave a function of this header, in either direction: the
 *           process would end. So does one that calls abort() or exits: a plugin that runs in the host's process must not.
 * Globals.  Keep state in the instance: a host may make several, with different settings.
 */
#ifndef JNANA_PLUGIN_H
#define JNANA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this contract: the major is part of the entry's name, the minor counts what was appended since. */
#define JNANA_ABI_MAJOR 1
#define JNANA_ABI_MINOR 0

/* Puts a function into the library's table of symbols, whatever -fvisibility says. */
#if defined(_WIN32)
#define JNANA_EXPORT __declspec(dllexport)
#elif defined(__GNUC__) || defined(__clang__)
#define JNANA_EXPORT __attribute__((visibility("default")))
#else
#define JNANA_EXPORT
#endif


/* ---- Statuses ---------------------------------------------------------------------------------------------------- */

#define JNANA_OK                  ((int32_t)0)
/* The input is to blame; the person who sent it can repair it. */
#define JNANA_ERROR_INVALID_INPUT ((int32_t)1)
/* Memory, a file or a device is missing; trying later may help. */
#define JNANA_ERROR_RESOURCE      ((int32_t)2)
/* The call ended early because `cancelled` said so. */
#define JNANA_ERROR_CANCELLED     ((int32_t)3)
/* The plugin is to blame; the instance stays usable. */
#define JNANA_ERROR_INTERNAL      ((int32_t)4)
/* The plugin is to blame and the instance must not be used again; the host destroys it and makes a new one. */
#define JNANA_ERROR_PANIC         ((int32_t)5)
/* From the host only: the sink was used after its call had returned. */
#define JNANA_ERROR_CLOSED        ((int32_t)6)
/* From the host only: what was pushed breaks this contract; the host has noted why and the call will fail. */
#define JNANA_ERROR_REJECTED      ((int32_t)7)


/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

/*
 * The four structs below have the layout of DLPack 1 (DLManagedTensorVersioned and its parts), so a pointer made with
 * dlpack.h can be cast and pushed. They have names of their own so that both headers can be included.
 */

#define JNANA_DL_MAJOR    ((uint32_t)1)
#define JNANA_DL_CPU      ((int32_t)1)
#define JNANA_DL_FLOAT    ((uint8_t)2)
#define JNANA_DL_BFLOAT   ((uint8_t)4)

typedef struct jnana_dl_device {
  int32_t device_type; /* JNANA_DL_CPU: host memory is all that ABI 1 takes */
  int32_t device_id;   /* 0 */
} jnana_dl_device;

typedef struct jnana_dl_data_type {
  uint8_t code;   /* JNANA_DL_FLOAT or JNANA_DL_BFLOAT */
  uint8_t bits;   /* 32 or 16; with JNANA_DL_BFLOAT 16 */
  uint16_t lanes; /* 1 */
} jnana_dl_data_type;

typedef struct jnana_dl_tensor {
  void *data;                /* never NULL */
  jnana_dl_device device;
  int32_t ndim;              /* length of shape and strides */
  jnana_dl_data_type dtype;
  int64_t *shape;            /* in elements */
  int64_t *strides;          /* in elements; NULL means row-major without gaps */
  uint64_t byte_offset;      /* from data to the first element */
} jnana_dl_tensor;

typedef struct jnana_dl_managed_tensor {
  uint32_t version_major;    /* JNANA_DL_MAJOR */
  uint32_t version_minor;    /* any */
  void *manager_ctx;         /* the plugin's own */
  /* Frees the tensor and all it points to. The host calls it exactly once, on the thread that pushes, before the push
   * returns, whatever the push returns. NULL when there is nothing to free. Must not use the sink. */
  void (*deleter)(struct jnana_dl_managed_tensor *self);
  uint64_t flags;            /* DLPack's; ignored */
  jnana_dl_tensor tensor;
} jnana_dl_managed_tensor;


/* ---- What the host offers ---------------------------------------------------------------------------------------- */

#define JNANA_LOG_DEBUG ((int32_t)0)
#define JNANA_LOG_INFO  ((int32_t)1)
#define JNANA_LOG_WARN  ((int32_t)2)
#define JNANA_LOG_ERROR ((int32_t)3)

/*
 * Services of the host. Valid from `create` on for as long as the process lives.
 */
typedef struct jnana_host {
  uint32_t size;
  uint32_t reserved; /* 0 */
  void *context;     /* the host's own */

  /* Writes a line to the server's log, under the plugin's name. The host copies the message.
   * [any-thread] Never blocks for long. */
  void (*log)(const struct jnana_host *host, int32_t level, const char *message);

  /* Nanoseconds on a clock that never goes back; its zero means nothing.
   * [any-thread] */
  uint64_t (*now_ns)(const struct jnana_host *host);

  /* The most threads that the instance may keep busy at once, the caller's included; at least 1. The number does not
   * change while the instance lives. Set the pools of the libraries inside to it: a pool as wide as the machine, beside
   * the one of the language model, makes both slow.
   * [any-thread] */
  uint32_t (*thread_budget)(const struct jnana_host *host);
} jnana_host;

/* A piece of text with its time in the input, in seconds. */
typedef struct jnana_segment {
  uint32_t size;
  uint32_t reserved; /* 0 */
  double start;      /* >= 0 */
  double end;        /* >= start */
  const char *text;
} jnana_segment;

/*
 * Where a call puts what it makes. The table is valid for as long as the process lives; a running call is known by the
 * number `call` that came with it, which is never given twice. So a thread that outlives its call does no harm: its use
 * of the sink returns JNANA_ERROR_CLOSED (`cancelled` returns 1), and the host writes down the plugin, the call and the
 * function as a fault of the plugin.
 *
 * Every function: [any-thread], from the moment the call starts until it returns.
 */
typedef struct jnana_sink {
  uint32_t size;
  uint32_t reserved; /* 0 */
  void *context;     /* the host's own */

  /* Hands a tensor over. The host copies it and calls its deleter once before this returns, also when it returns an
   * error. ABI 1 takes [positions, width] of f32, f16 or bf16 in host memory: positions >= 1, all values finite, rows
   * without gaps inside (strides[1] == 1) and not overlapping (strides[0] >= width).
   *   JNANA_OK              taken;
   *   JNANA_ERROR_REJECTED  something above does not hold, or this call may not push a (further) tensor;
   *   JNANA_ERROR_CLOSED    the call is over. */
  int32_t (*push_tensor)(const struct jnana_sink *sink, uint64_t call, jnana_dl_managed_tensor *tensor);

  /* Hands a piece of text over. Segments come in the order of time. May block while the reader is slow.
   *   JNANA_OK               taken;
   *   JNANA_ERROR_CANCELLED  the reader wants no more: end the call soon;
   *   JNANA_ERROR_REJECTED   times or text are not as said above, or this call gives no text;
   *   JNANA_ERROR_CLOSED     the call is over. */
  int32_t (*push_segment)(const struct jnana_sink *sink, uint64_t call, const jnana_segment *segment);

  /* Says a fact about the result as a whole. Known key: "language", a code such as "en". Other keys are ignored.
   * Returns as push_segment does. */
  int32_t (*set_property)(const struct jnana_sink *sink, uint64_t call, const char *key, const char *value);

  /* Says why the call is about to fail: what happened, why, what to do. The text reaches people. The call must then
   * return `code`. The first message wins. */
  void (*fail)(const struct jnana_sink *sink, uint64_t call, int32_t code, const char *message);

  /* 1 once nobody wants the result any more, else 0. Cheap. Ask at least every 100 ms of work, and then return
   * JNANA_ERROR_CANCELLED. */
  int32_t (*cancelled)(const struct jnana_sink *sink, uint64_t call);
} jnana_sink;


/* ---- Inputs ------------------------------------------------------------------------------------------------------ */

/* rgb8, interleaved, [height, width, 3] without gaps: length == 3 * width * height. */
#define JNANA_INPUT_IMAGE ((int32_t)1)
/* Mono samples in -1..1, 32-bit floats of the machine: length == 4 * samples. Aligned for float. */
#define JNANA_INPUT_AUDIO ((int32_t)2)
/* Bytes as they came, with their MIME type. */
#define JNANA_INPUT_RAW   ((int32_t)3)

/*
 * One input, in the first form of the manifest's `accepts` that the host could make of what a person sent. The host
 * decodes, scales, mixes down and resamples: a plugin needs no codecs. Borrowed for the call.
 */
typedef struct jnana_input {
  uint32_t size;
  int32_t form;         /* JNANA_INPUT_* */
  const void *data;     /* never NULL */
  uint64_t length;      /* of data, in bytes */
  uint32_t width;       /* IMAGE: pixels across, as the manifest asked; else 0 */
  uint32_t height;      /* IMAGE: pixels down, as the manifest asked; else 0 */
  uint32_t sample_rate; /* AUDIO: samples a second, as the manifest asked; else 0 */
  uint32_t reserved;    /* 0 */
  const char *mime;     /* RAW: lower case, without parameters; else "" */
} jnana_input;


/* ---- The plugin -------------------------------------------------------------------------------------------------- */

/* What `create` gets. Borrowed until it returns, but for `host` and `sink`, which say themselves how long they live. */
typedef struct jnana_create {
  uint32_t size;
  uint32_t width;         /* of the embedding space asked for; 0: none is asked for */
  const jnana_host *host;
  const jnana_sink *sink; /* for `fail` and `cancelled`; a push is rejected */
  uint64_t call;          /* the number to use with it */
  const char *space;      /* id of the embedding space that an encoder is asked to emit; "": none */
  const char *cache_dir;  /* an existing folder of the plugin's own; it survives restarts, but may be found empty */
  const char *settings;   /* a JSON object; defaults are not filled in; settings that the manifest lists under
                             `models` hold resolved paths */
} jnana_create;

/*
 * The plugin's table. Immutable; valid for as long as the process lives. No function may be NULL.
 */
typedef struct jnana_plugin {
  uint32_t size;
  uint32_t abi_major; /* JNANA_ABI_MAJOR */
  uint32_t abi_minor; /* JNANA_ABI_MINOR */
  uint32_t reserved;  /* 0 */

  /* The self-description: a JSON object (the type Manifest of crate jnana-api; docs of the server show one). The string
   * is the plugin's and stays valid and the same for as long as the process lives. At most 1 MiB. NULL on failure.
   * [any-thread] Does no I/O, reads no settings, starts no thread, returns at once. */
  const char *(*manifest)(void);

  /* Makes an instance: loads weights, warms up. On JNANA_OK `*instance` is not NULL. Otherwise it stays as it is, the
   * plugin has freed what it took, and `fail` has said why.
   * [any-thread] May block. */
  int32_t (*create)(const jnana_create *args, void **instance);

  /* Frees the instance. Ends and joins every thread that the instance started before it returns.
   * [alone] May block. */
  void (*destroy)(void *instance);

  /* Writes a status line for people, such as "projector: untrained", into `buffer`: at most `capacity` bytes with the
   * zero at the end, cut at a character's border if need be. Returns the length of the whole line without the zero;
   * 0 when there is nothing to say.
   * [any-thread] while the instance lives. Returns at once. */
  uint64_t (*status)(void *instance, char *buffer, uint64_t capacity);

  /* The table of an extension of this instance, or NULL when `id` is not known. The table is immutable and valid until
   * `destroy`. Every id in the manifest's `kinds` must be found.
   * [any-thread] while the instance lives. Returns at once. */
  const void *(*get_extension)(void *instance, const char *id);
} jnana_plugin;

/*
 * The one symbol that a plugin exports. `host_minor` is the host's JNANA_ABI_MINOR. Returns NULL when the plugin cannot
 * work with such a host.
 * [any-thread] May be called more than once; no I/O, no threads, returns at once.
 */
#define JNANA_PLUGIN_ENTRY "jnana_plugin_entry_v1"
typedef const jnana_plugin *(*jnana_plugin_entry_fn)(uint32_t host_minor);
JNANA_EXPORT const jnana_plugin *jnana_plugin_entry_v1(uint32_t host_minor);


/* ---- Extensions -------------------------------------------------------------------------------------------------- */

/*
 * jnana.encoder/1: an input becomes positions in the embedding space of the language model.
 */
#define JNANA_EXT_ENCODER "jnana.encoder/1"
typedef struct jnana_encoder {
  uint32_t size;
  uint32_t reserved; /* 0 */

  /* Pushes exactly one tensor [positions, width]: width as `create` was asked for, positions at most `max_positions` of
   * the manifest's `emits`. The same input gives the same values.
   * [call] */
  int32_t (*encode)(void *instance, const jnana_input *input, const jnana_sink *sink, uint64_t call);
} jnana_encoder;

/*
 * jnana.features/1: the encoder before its projector, for training one.
 */
#define JNANA_EXT_FEATURES "jnana.features/1"
typedef struct jnana_features {
  uint32_t size;
  uint32_t reserved; /* 0 */

  /* Pushes exactly one tensor [positions, width of the encoder]; the width is the same for every input. Does not need
   * the projector's weights.
   * [call] */
  int32_t (*features)(void *instance, const jnana_input *input, const jnana_sink *sink, uint64_t call);
} jnana_features;

/*
 * jnana.transcriber/1: an input becomes text.
 */
#define JNANA_EXT_TRANSCRIBER "jnana.transcriber/1"
typedef struct jnana_transcriber {
  uint32_t size;
  uint32_t reserved; /* 0 */

  /* Pushes the segments as they are found, and the property "language" when it is known. No segment means that there
   * was nothing to hear. `options` is a JSON object; known keys: "language" (a code: do not detect) and "prompt" (words
   * that may occur); unknown keys are ignored.
   * [call] */
  int32_t (*transcribe)(void *instance, const jnana_input *input, const char *options, const jnana_sink *sink,
                        uint64_t call);
} jnana_transcriber;

/*
 * jnana.jobs/1: long work, such as training, that an administrator starts. The plugin does not do it: it says what there is to
 * do and which program does it, and the host runs that program in a process that outlives host and plugin.
 *
 * Both functions take a JSON object as `input` (JNANA_INPUT_RAW, "application/json") and push exactly one segment, at 0 to 0,
 * whose text is JSON. The types are those of module `jobs` of crate jnana-api; keys that are not known are ignored on both
 * sides. What is not such a JSON object is JNANA_ERROR_INVALID_INPUT. A plugin of no other kind leaves the manifest's `accepts`
 * empty: nobody sends it an input.
 */
#define JNANA_EXT_JOBS "jnana.jobs/1"
typedef struct jnana_jobs {
  uint32_t size;
  uint32_t reserved; /* 0 */

  /* What there is to do: a list of {kind, label, description, schema, series}. The input has `folders`: {data, models, runs},
   * absolute paths of folders that may not exist, so that a form can list what is there.
   * [call] */
  int32_t (*kinds)(void *instance, const jnana_input *input, const jnana_sink *sink, uint64_t call);

  /* What is to be run for a filled form: {command: {program, arguments}, estimate, findings, products, resumable}, or
   * {refusal} when it cannot go, in words. The input has `kind`, `settings`, `folder` (an existing folder of the job's own)
   * and `folders` as above. Looks at the data, which may take a while; starts nothing that goes on.
   *
   * The program gets SIGTERM to end in good order, and the same arguments again to go on. It writes its events on standard
   * output, one JSON object a line (type JobEvent), and an `end` of reason "finished" or "early" when all went well.
   * [call] */
  int32_t (*prepare)(void *instance, const jnana_input *input, const jnana_sink *sink, uint64_t call);
} jnana_jobs;

#ifdef __cplusplus
}
#endif

#endif /* JNANA_PLUGIN_H */
