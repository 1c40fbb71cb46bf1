/* The host's stand-in, for tests on this machine. */

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <toolhost_plugin_testing.h>

typedef struct pair {
    char *name;
    char *value;
    struct pair *next;
} pair;

static pair *configuration, *secrets;

static void set(pair **pairs, const char *name, const char *value) {
    pair *added = malloc(sizeof *added);
    if (!added) abort();
    *added = (pair){th_utf8(name), th_utf8(value), *pairs};
    *pairs = added;
}

static char *get(const pair *pairs, const char *name) {
    for (; pairs; pairs = pairs->next) {
        if (strcmp(pairs->name, name) == 0) return th_utf8(pairs->value);
    }
    return NULL;
}

void th_test_config(const char *key, const char *value) { set(&configuration, key, value); }
void th_test_secret(const char *name, const char *value) { set(&secrets, name, value); }
char *th_config(const char *key) { return get(configuration, key); }
char *th_secret(const char *name) { return get(secrets, name); }

void th_host_log(th_level level, const char *message) {
    static const char *const names[] = {"debug", "info", "notice", "warning", "error"};
    fprintf(stderr, "%s: %s\n", names[level], message);
}

void th_progress(double done, double total, const char *message) { (void)done, (void)total, (void)message; }

th_test_result th_test_call(const char *name, const char *arguments) {
    static const char *const outcomes[] = {"ok", "invalid-arguments", "denied", "failed"};
    const th_tool *tool = th_find_tool(name);
    if (!tool) return (th_test_result){"failed", "there is no such tool", NULL};
    const th_call call = {name, {arguments, strlen(arguments)}};
    th_result result = tool->run(&call);
    if (result.kind != TH_OK) return (th_test_result){outcomes[result.kind], result.message, NULL};
    const th_answer *answer = result.content;
    th_buffer text = {0};
    th_put(&text, "");
    for (size_t index = 0; answer && index < answer->count; index++) {
        if (answer->parts[index].kind == TH_CONTENT_TEXT) th_put(&text, answer->parts[index].data);
    }
    return (th_test_result){"ok", text.text, answer ? answer->structured : NULL};
}
