/* What tools answer with. */

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char th_no_arguments[] = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";

static void *allocate(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) abort();
    return memory;
}

char *th_format(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) abort();
    char *text = allocate((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

static void add(th_result *result, int kind, const void *data, size_t length, const char *about) {
    if (result->kind != TH_OK) return;
    th_answer *answer = result->content;
    if (!answer) answer = result->content = allocate(sizeof *answer);
    answer->parts = realloc(answer->parts, (answer->count + 1) * sizeof *answer->parts);
    if (!answer->parts) abort();
    char *copy = allocate(length + 1);
    memcpy(copy, data, length);
    th_content part = {kind, copy, length, about ? th_utf8(about) : NULL};
    answer->parts[answer->count++] = part;
}

void th_add_text(th_result *result, const char *text) {
    char *clean = th_utf8(text);
    add(result, TH_CONTENT_TEXT, clean, strlen(clean), NULL);
    free(clean);
}

void th_add_image(th_result *result, const void *data, size_t length, const char *mime_type) {
    add(result, TH_CONTENT_IMAGE, data, length, mime_type);
}

void th_add_audio(th_result *result, const void *data, size_t length, const char *mime_type) {
    add(result, TH_CONTENT_AUDIO, data, length, mime_type);
}

void th_add_link(th_result *result, const char *uri, const char *name) {
    char *clean = th_utf8(uri);
    add(result, TH_CONTENT_LINK, clean, strlen(clean), name);
    free(clean);
}

th_result th_text(const char *text) {
    th_result result = {TH_OK, NULL, NULL};
    th_add_text(&result, text);
    return result;
}

th_result th_textf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = th_format(format, arguments);
    va_end(arguments);
    th_result result = th_text(text);
    free(text);
    return result;
}

th_result th_json_result(const char *json) {
    th_result result = th_text(json);
    ((th_answer *)result.content)->structured = th_utf8(json);
    return result;
}

#define TH_ERROR_OF(name, outcome)                       \
    th_result name(const char *format, ...) {            \
        va_list arguments;                               \
        va_start(arguments, format);                     \
        char *text = th_format(format, arguments);       \
        va_end(arguments);                               \
        return (th_result){outcome, NULL, th_utf8(text)}; \
    }

TH_ERROR_OF(th_failed, TH_FAILED)
TH_ERROR_OF(th_invalid_arguments, TH_INVALID_ARGUMENTS)
TH_ERROR_OF(th_denied, TH_DENIED)

void th_log(th_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = th_format(format, arguments);
    va_end(arguments);
    char *clean = th_utf8(text);
    th_host_log(level, clean);
    free(clean);
    free(text);
}

const th_tool *th_find_tool(const char *name) {
    for (const th_tool *tool = th_tools; tool->name; tool++) {
        if (strcmp(tool->name, name) == 0) return tool;
    }
    return NULL;
}
