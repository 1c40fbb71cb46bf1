/* JSON as text that is read in place. The host has checked that it is JSON. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <toolhost_plugin.h>

static const th_json nothing = {NULL, 0};

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\') at++;
    }
    return at < end ? at + 1 : end;
}

/* Past the value that begins here. It counts brackets rather than recursing: arguments may nest deep. */
static const char *skip_value(const char *at, const char *end) {
    size_t depth = 0;
    do {
        at = skip_space(at, end);
        if (at >= end) return end;
        if (*at == '"') {
            at = skip_string(at, end);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            while (at < end && !strchr(",:]} \t\n\r", *at)) at++;
        }
    } while (depth > 0);
    return at;
}

static th_json between(const char *start, const char *end) { return (th_json){start, (size_t)(end - start)}; }

th_json_type th_json_kind(th_json value) {
    if (!value.text || value.length == 0) return TH_NOTHING;
    switch (value.text[0]) {
        case 'n': return TH_NULL;
        case 't':
        case 'f': return TH_BOOLEAN;
        case '"': return TH_STRING;
        case '[': return TH_ARRAY;
        case '{': return TH_OBJECT;
        default: return TH_NUMBER;
    }
}

/* Steps through an array or an object: `*at` begins at its text. Of an object, `*name` is each member's. */
static bool next_item(th_json whole, const char **at, th_json *name, th_json *item) {
    const char *end = whole.text + whole.length;
    const char *here = *at == whole.text ? whole.text + 1 : *at;
    here = skip_space(here, end);
    if (here < end && *here == ',') here = skip_space(here + 1, end);
    if (here >= end || *here == ']' || *here == '}') return false;
    if (whole.text[0] == '{') {
        const char *after = skip_string(here, end);
        if (name) *name = between(here, after);
        here = skip_space(after, end);
        if (here < end) here = skip_space(here + 1, end);
    }
    *at = skip_value(here, end);
    *item = between(here, *at);
    return true;
}

size_t th_json_count(th_json value) {
    th_json_type kind = th_json_kind(value);
    if (kind != TH_ARRAY && kind != TH_OBJECT) return 0;
    size_t count = 0;
    const char *at = value.text;
    for (th_json item; next_item(value, &at, NULL, &item);) count++;
    return count;
}

static th_json item_at(th_json value, size_t index, th_json *name) {
    const char *at = value.text;
    th_json item;
    while (next_item(value, &at, name, &item)) {
        if (index-- == 0) return item;
    }
    return nothing;
}

th_json th_json_at(th_json array, size_t index) {
    return th_json_kind(array) == TH_ARRAY ? item_at(array, index, NULL) : nothing;
}

th_json th_json_member(th_json object, size_t index, char **name) {
    if (th_json_kind(object) != TH_OBJECT) return nothing;
    th_json written = nothing;
    th_json item = item_at(object, index, &written);
    if (name) *name = item.text ? th_json_string(written) : NULL;
    return item;
}

th_json th_json_get(th_json object, const char *name) {
    if (th_json_kind(object) != TH_OBJECT) return nothing;
    size_t length = strlen(name);
    th_json found = nothing;
    const char *at = object.text;
    for (th_json written, item; next_item(object, &at, &written, &item);) {
        bool is_plain = !memchr(written.text, '\\', written.length);
        bool is_it = false;
        if (is_plain) {
            is_it = written.length == length + 2 && memcmp(written.text + 1, name, length) == 0;
        } else {
            size_t decoded_length;
            char *decoded = th_json_bytes(written, &decoded_length);
            is_it = decoded_length == length && memcmp(decoded, name, length) == 0;
            free(decoded);
        }
        if (is_it) found = item; /* Of two of one name the last counts, as elsewhere. */
    }
    return found;
}

static char *put_code_point(char *to, uint32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

static uint32_t hexadecimal(const char *at) {
    uint32_t code = 0;
    for (int digit = 0; digit < 4; digit++) {
        char letter = at[digit];
        code = code << 4 | (uint32_t)(letter <= '9' ? letter - '0' : (letter | 32) - 'a' + 10);
    }
    return code;
}

char *th_json_bytes(th_json value, size_t *length) {
    if (th_json_kind(value) != TH_STRING) return NULL;
    const char *at = value.text + 1, *end = value.text + value.length - 1;
    char *text = malloc(value.length); /* An escape is never shorter than what it stands for. */
    if (!text) abort();
    char *to = text;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        char letter = at[1];
        at += 2;
        if (letter != 'u') {
            for (const char *pair = escapes; *pair; pair += 2) {
                if (*pair == letter) *to++ = pair[1];
            }
            continue;
        }
        uint32_t code = hexadecimal(at);
        at += 4;
        if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
            uint32_t low = hexadecimal(at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                at += 6;
            }
        }
        to = put_code_point(to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    }
    *to = 0;
    if (length) *length = (size_t)(to - text);
    return text;
}

char *th_json_string(th_json value) { return th_json_bytes(value, NULL); }

/* The text of a number, ended by NUL for the functions of the standard library. */
static bool number_text(th_json value, char *text, size_t size) {
    if (th_json_kind(value) != TH_NUMBER || value.length >= size) return false;
    memcpy(text, value.text, value.length);
    text[value.length] = 0;
    return true;
}

bool th_json_int64(th_json value, int64_t *result) {
    char text[64];
    if (!number_text(value, text, sizeof text) || strpbrk(text, ".eE")) return false;
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno) return false;
    *result = number;
    return true;
}

bool th_json_double(th_json value, double *result) {
    char text[512];
    if (!number_text(value, text, sizeof text)) return false;
    *result = strtod(text, NULL);
    return true;
}

bool th_json_bool(th_json value, bool *result) {
    if (th_json_kind(value) != TH_BOOLEAN) return false;
    *result = value.text[0] == 't';
    return true;
}

static void reserve(th_buffer *buffer, size_t more) {
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < needed) capacity *= 2;
    buffer->text = realloc(buffer->text, capacity);
    if (!buffer->text) abort();
    buffer->capacity = capacity;
}

static void put_bytes(th_buffer *buffer, const char *bytes, size_t length) {
    reserve(buffer, length);
    memcpy(buffer->text + buffer->length, bytes, length);
    buffer->length += length;
    buffer->text[buffer->length] = 0;
}

void th_put(th_buffer *buffer, const char *text) { put_bytes(buffer, text, strlen(text)); }

void th_putf(th_buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) abort();
    reserve(buffer, (size_t)length);
    vsnprintf(buffer->text + buffer->length, (size_t)length + 1, format, arguments);
    buffer->length += (size_t)length;
    va_end(arguments);
}

/* How many bytes the UTF-8 sequence takes that begins here; 0 if it is none. */
static size_t sequence(const unsigned char *at) {
    if (at[0] < 0x80) return 1;
    size_t length = at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
    for (size_t index = 1; index < length; index++) {
        if ((at[index] & 0xc0) != 0x80) return 0;
    }
    bool is_overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool is_outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return is_overlong || is_outside ? 0 : length;
}

/* A copy that is UTF-8: the host takes nothing else. */
char *th_utf8(const char *text) {
    th_buffer buffer = {0};
    reserve(&buffer, 0);
    buffer.text[0] = 0;
    for (const char *at = text; *at;) {
        size_t length = sequence((const unsigned char *)at);
        if (length) put_bytes(&buffer, at, length);
        else th_put(&buffer, "\xef\xbf\xbd");
        at += length ? length : 1;
    }
    return buffer.text;
}

void th_put_string(th_buffer *buffer, const char *text) {
    char *clean = th_utf8(text);
    th_put(buffer, "\"");
    for (const char *at = clean; *at; at++) {
        unsigned char letter = (unsigned char)*at;
        if (letter == '"' || letter == '\\') th_putf(buffer, "\\%c", letter);
        else if (letter == '\n') th_put(buffer, "\\n");
        else if (letter < 0x20) th_putf(buffer, "\\u%04x", letter);
        else put_bytes(buffer, at, 1);
    }
    th_put(buffer, "\"");
    free(clean);
}
