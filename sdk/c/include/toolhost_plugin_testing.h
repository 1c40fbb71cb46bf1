/* For tests of a plugin, compiled for this machine: what the host grants, and how its tools are called. */
#ifndef TOOLHOST_PLUGIN_TESTING_H
#define TOOLHOST_PLUGIN_TESTING_H

#include <toolhost_plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

void th_test_config(const char *key, const char *value);
void th_test_secret(const char *name, const char *value);

/* Calls a tool with JSON. The result has the texts of its answer, or the message of its error. */
typedef struct th_test_result {
    /* "ok", "failed", "invalid-arguments" or "denied". */
    const char *outcome;
    const char *text;
    /* JSON, or NULL. */
    const char *structured;
} th_test_result;

th_test_result th_test_call(const char *tool, const char *arguments);

#ifdef __cplusplus
}
#endif

#endif
