/* What the files of this library share. */
#ifndef TH_INTERNAL_H
#define TH_INTERNAL_H

#include <toolhost_plugin.h>

enum th_outcome { TH_OK, TH_INVALID_ARGUMENTS, TH_DENIED, TH_FAILED };

typedef struct th_content {
    enum { TH_CONTENT_TEXT, TH_CONTENT_IMAGE, TH_CONTENT_AUDIO, TH_CONTENT_LINK } kind;
    /* The text, the bytes, or the URI. */
    char *data;
    size_t length;
    /* The media type, or the name. */
    char *about;
} th_content;

typedef struct th_answer {
    th_content *parts;
    size_t count;
    char *structured;
} th_answer;

char *th_utf8(const char *text);
char *th_format(const char *format, va_list arguments);
const th_tool *th_find_tool(const char *name);
extern const char th_no_arguments[];

/* The host, or its stand-in. */
void th_host_log(th_level level, const char *message);

#endif
