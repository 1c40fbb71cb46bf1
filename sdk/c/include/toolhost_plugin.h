/* Plugins for toolhost in C: tools for language models, each a function in a WebAssembly sandbox.
 *
 *     #include <toolhost_plugin.h>
 *
 *     static th_result greet(const th_call *call) {
 *         char *name = th_json_string(th_json_get(call->arguments, "name"));
 *         th_log(TH_INFO, "greeting %s", name);
 *         return th_textf("Hello, %s!", name);
 *     }
 *
 *     const th_tool th_tools[] = {
 *         {.name = "greet",
 *          .description = "Greets somebody.",
 *          .input_schema = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}",
 *          .read_only = TH_YES,
 *          .run = greet},
 *         {0},
 *     };
 *
 * The host has checked the arguments against the schema before `run` is called. Every call runs in an instance of its own:
 * what is allocated need not be freed.
 */
#ifndef TOOLHOST_PLUGIN_H
#define TOOLHOST_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TH_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TH_PRINTF(text, first)
#endif

/* JSON that is read: a part of the call's arguments, or nothing (`text` is NULL). */
typedef struct th_json {
    const char *text;
    size_t length;
} th_json;

typedef enum th_json_type {
    TH_NOTHING,
    TH_NULL,
    TH_BOOLEAN,
    TH_NUMBER,
    TH_STRING,
    TH_ARRAY,
    TH_OBJECT,
} th_json_type;

th_json_type th_json_kind(th_json value);
/* The member of an object; nothing if it has none of that name, or is no object. */
th_json th_json_get(th_json object, const char *name);
/* The item of an array; nothing past its end. */
th_json th_json_at(th_json array, size_t index);
/* How many items an array has, or members an object. */
size_t th_json_count(th_json value);
/* The member of an object by its place; `*name` is its name. */
th_json th_json_member(th_json object, size_t index, char **name);
/* A new string that ends in NUL, or NULL if it is no string. A NUL within ends it early; `th_json_bytes` has all. */
char *th_json_string(th_json value);
char *th_json_bytes(th_json value, size_t *length);
/* Each says whether the value is one, and leaves `*result` as it is if not. An integer is exact: 1.5 and 2^64 are none. */
bool th_json_int64(th_json value, int64_t *result);
bool th_json_double(th_json value, double *result);
bool th_json_bool(th_json value, bool *result);

/* Text that is written, JSON for instance. It begins as `{0}`. */
typedef struct th_buffer {
    char *text;
    size_t length;
    size_t capacity;
} th_buffer;

void th_put(th_buffer *buffer, const char *text);
void th_putf(th_buffer *buffer, const char *format, ...) TH_PRINTF(2, 3);
/* A string of JSON, with quotes and escapes. What is not UTF-8 in it is replaced. */
void th_put_string(th_buffer *buffer, const char *text);

/* What a tool answers with: made by the functions below. */
typedef struct th_result {
    int kind;
    void *content;
    char *message;
} th_result;

th_result th_text(const char *text);
th_result th_textf(const char *format, ...) TH_PRINTF(1, 2);
/* JSON as the value for programs, and the same as text for the model. */
th_result th_json_result(const char *json);
/* Adds to an answer. Bytes are copied. */
void th_add_text(th_result *result, const char *text);
void th_add_image(th_result *result, const void *data, size_t length, const char *mime_type);
void th_add_audio(th_result *result, const void *data, size_t length, const char *mime_type);
void th_add_link(th_result *result, const char *uri, const char *name);

/* The tool could not do it: the model reads the message. */
th_result th_failed(const char *format, ...) TH_PRINTF(1, 2);
/* The arguments fit the schema and are wrong all the same: say which, and why. */
th_result th_invalid_arguments(const char *format, ...) TH_PRINTF(1, 2);
/* The call needs something that the manifest does not grant: name it. */
th_result th_denied(const char *format, ...) TH_PRINTF(1, 2);

typedef struct th_call {
    const char *name;
    th_json arguments;
} th_call;

typedef enum th_hint { TH_UNSET, TH_YES, TH_NO } th_hint;

typedef struct th_tool {
    const char *name;
    /* A name for people, or NULL. */
    const char *title;
    /* What it does, and when to use it: the model reads this. */
    const char *description;
    /* JSON Schema of the arguments; NULL if there are none. */
    const char *input_schema;
    /* JSON Schema of what `th_json_result` is given, or NULL. */
    const char *output_schema;
    /* It changes nothing; may destroy something; changes no more when called again; reaches beyond the host. */
    th_hint read_only, destructive, idempotent, open_world;
    th_result (*run)(const th_call *call);
} th_tool;

/* The plugin's own: its tools, and `{0}` after the last. */
extern const th_tool th_tools[];

typedef enum th_level { TH_DEBUG, TH_INFO, TH_NOTICE, TH_WARNING, TH_ERROR } th_level;

/* A line of the call's log; the model does not see it. What is printed to stdout and stderr is there as well. */
void th_log(th_level level, const char *format, ...) TH_PRINTF(2, 3);
/* How far the call is: `done` of `total`, or of an unknown total if that is negative; `message` may be NULL. */
void th_progress(double done, double total, const char *message);
/* A value of the manifest's `[plugin.NAME.config]`, or NULL. A string comes as it is, anything else as JSON. */
char *th_config(const char *key);
/* A secret that the manifest grants under this name, or NULL. Keep it out of results and logs. */
char *th_secret(const char *name);

#ifdef __cplusplus
}
#endif

#endif
