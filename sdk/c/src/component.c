/* The plugin as a component, over the bindings that wit-bindgen made. */

#include "../bindings/plugin.h"
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static plugin_string_t own(const char *text) {
    plugin_string_t string;
    char *clean = th_utf8(text ? text : "");
    string.ptr = (uint8_t *)clean;
    string.len = strlen(clean);
    return string;
}

static plugin_option_string_t optional(const char *text) {
    plugin_option_string_t option = {.is_some = text != NULL};
    if (text) option.val = own(text);
    return option;
}

static plugin_option_bool_t hint(th_hint given) {
    return (plugin_option_bool_t){.is_some = given != TH_UNSET, .val = given == TH_YES};
}

static char *terminated(const uint8_t *text, size_t length) {
    char *copy = malloc(length + 1);
    if (!copy) abort();
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

void exports_toolhost_plugin_tools_list_tools(exports_toolhost_plugin_tools_list_tool_t *listed) {
    size_t count = 0;
    while (th_tools[count].name) count++;
    listed->len = count;
    listed->ptr = calloc(count ? count : 1, sizeof *listed->ptr);
    if (!listed->ptr) abort();
    for (size_t index = 0; index < count; index++) {
        const th_tool *tool = &th_tools[index];
        exports_toolhost_plugin_tools_tool_t *to = &listed->ptr[index];
        to->name = own(tool->name);
        to->title = optional(tool->title);
        to->description = own(tool->description);
        to->input_schema = own(tool->input_schema ? tool->input_schema : th_no_arguments);
        to->output_schema.is_some = tool->output_schema != NULL;
        if (tool->output_schema) to->output_schema.val = own(tool->output_schema);
        to->annotations.read_only = hint(tool->read_only);
        to->annotations.destructive = hint(tool->destructive);
        to->annotations.idempotent = hint(tool->idempotent);
        to->annotations.open_world = hint(tool->open_world);
    }
}

static void write_part(const th_content *part, toolhost_plugin_types_content_t *to) {
    switch (part->kind) {
        case TH_CONTENT_TEXT:
            to->tag = TOOLHOST_PLUGIN_TYPES_CONTENT_TEXT;
            to->val.text = (plugin_string_t){(uint8_t *)part->data, part->length};
            break;
        case TH_CONTENT_IMAGE:
        case TH_CONTENT_AUDIO:
            to->tag = part->kind == TH_CONTENT_IMAGE ? TOOLHOST_PLUGIN_TYPES_CONTENT_IMAGE : TOOLHOST_PLUGIN_TYPES_CONTENT_AUDIO;
            to->val.image.data.ptr = (uint8_t *)part->data;
            to->val.image.data.len = part->length;
            to->val.image.mime_type = own(part->about);
            break;
        case TH_CONTENT_LINK:
            to->tag = TOOLHOST_PLUGIN_TYPES_CONTENT_LINK;
            to->val.link.uri = (plugin_string_t){(uint8_t *)part->data, part->length};
            to->val.link.name = own(part->about);
            break;
    }
}

bool exports_toolhost_plugin_tools_call_tool(
    exports_toolhost_plugin_tools_call_t *call, exports_toolhost_plugin_tools_output_t *output, exports_toolhost_plugin_tools_error_t *error
) {
    char *name = terminated(call->name.ptr, call->name.len);
    const th_tool *tool = th_find_tool(name);
    const th_call given = {name, {(const char *)call->arguments.ptr, call->arguments.len}};
    th_result result = tool ? tool->run(&given) : th_failed("there is no tool `%s`", name);
    fflush(NULL);
    if (result.kind != TH_OK) {
        const uint8_t tags[] = {
            [TH_INVALID_ARGUMENTS] = TOOLHOST_PLUGIN_TYPES_ERROR_INVALID_ARGUMENTS,
            [TH_DENIED] = TOOLHOST_PLUGIN_TYPES_ERROR_DENIED,
            [TH_FAILED] = TOOLHOST_PLUGIN_TYPES_ERROR_FAILED,
        };
        error->tag = tags[result.kind];
        error->val.failed = own(result.message);
        return false;
    }
    const th_answer *answer = result.content;
    memset(output, 0, sizeof *output);
    if (answer) {
        output->content.len = answer->count;
        output->content.ptr = calloc(answer->count ? answer->count : 1, sizeof *output->content.ptr);
        if (!output->content.ptr) abort();
        for (size_t index = 0; index < answer->count; index++) write_part(&answer->parts[index], &output->content.ptr[index]);
        output->structured.is_some = answer->structured != NULL;
        if (answer->structured) output->structured.val = own(answer->structured);
    }
    return true;
}

static plugin_string_t borrow(const char *text) { return (plugin_string_t){(uint8_t *)text, strlen(text)}; }

void th_host_log(th_level level, const char *message) {
    plugin_string_t text = borrow(message);
    toolhost_plugin_host_log((toolhost_plugin_host_level_t)level, &text);
}

void th_progress(double done, double total, const char *message) {
    char *clean = message ? th_utf8(message) : NULL;
    plugin_string_t text = clean ? borrow(clean) : (plugin_string_t){0};
    toolhost_plugin_host_progress(done, total < 0 ? NULL : &total, clean ? &text : NULL);
    free(clean);
}

char *th_config(const char *key) {
    char *clean = th_utf8(key);
    plugin_string_t name = borrow(clean), value;
    return toolhost_plugin_host_config(&name, &value) ? terminated(value.ptr, value.len) : NULL;
}

char *th_secret(const char *name) {
    char *clean = th_utf8(name);
    plugin_string_t key = borrow(clean), value;
    return toolhost_plugin_host_secret(&key, &value) ? terminated(value.ptr, value.len) : NULL;
}
