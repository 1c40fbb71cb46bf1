/* The floor of `benches/mcp.py`: a server that does as little as MCP over stdio allows.
 * It looks for a request's id and method in its text, without parsing JSON.
 *
 *     gcc -O2 -o mcp_floor mcp_floor.c
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char input[1 << 20], *output;
static size_t filled, written, room;

static void put(const char *text, size_t size) {
    if (written + size > room) {
        room = 2 * (written + size);
        output = realloc(output, room);
        if (!output) abort();
    }
    memcpy(output + written, text, size);
    written += size;
}

static void answer(const char *id, size_t id_size, const char *result) {
    put("{\"jsonrpc\":\"2.0\",\"id\":", 22);
    put(id, id_size);
    put(",\"result\":", 10);
    put(result, strlen(result));
    put("}\n", 2);
}

static void line(char *text, size_t size) {
    const char *id = memmem(text, size, "\"id\":", 5);
    if (!id) return; /* a notification */
    id += 5;
    while (*id == ' ') id++;
    size_t id_size = strspn(id, "0123456789");
    if (memmem(text, size, "\"tools/call\"", 12)) {
        /* What is echoed: the text up to its quote; the benchmark's has no escapes. */
        const char *said = memmem(text, size, "\"text\":", 7);
        char result[4096];
        size_t said_size = 0;
        if (said) {
            said += 7;
            while (*said == ' ') said++;
            said_size = strcspn(++said, "\"");
            if (said_size > 1024) said_size = 1024;
        }
        snprintf(result, sizeof result, "{\"content\":[{\"type\":\"text\",\"text\":\"%.*s\"}],\"isError\":false}",
                 (int)said_size, said ? said : "");
        answer(id, id_size, result);
    } else if (memmem(text, size, "\"tools/list\"", 12)) {
        answer(id, id_size, "{\"tools\":[{\"name\":\"echo\",\"inputSchema\":{\"type\":\"object\"}}]}");
    } else if (memmem(text, size, "\"initialize\"", 12)) {
        answer(id, id_size, "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"
                            "\"serverInfo\":{\"name\":\"floor\",\"version\":\"1\"}}");
    } else {
        answer(id, id_size, "{}");
    }
}

int main(void) {
    for (;;) {
        ssize_t size = read(0, input + filled, sizeof input - filled);
        if (size <= 0) return size < 0;
        filled += size;
        char *start = input, *end;
        while ((end = memchr(start, '\n', input + filled - start))) {
            *end = 0;
            line(start, end - start);
            start = end + 1;
        }
        filled = input + filled - start;
        memmove(input, start, filled);
        if (filled == sizeof input) return 1; /* a line that is too long */
        for (size_t sent = 0; sent < written;) {
            ssize_t part = write(1, output + sent, written - sent);
            if (part <= 0) return 1;
            sent += part;
        }
        written = 0;
    }
}
