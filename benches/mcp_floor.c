/* The floor of `benches/mcp.py`: a server that does as little as MCP allows, over stdio, or over HTTP at
 * a port of 127.0.0.1. It looks for a request's id and method in its text, without parsing JSON.
 *
 *     gcc -O2 -o mcp_floor mcp_floor.c
 *     mcp_floor [PORT]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

static int stdio(void) {
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

#define MOST 4096
static struct pollfd files[MOST];
static struct { char text[16 << 10]; size_t filled; } requests[MOST];

/* Answers what has come on a connection; whether it goes on. */
static int serve(int at) {
    int fd = files[at].fd;
    char *text = requests[at].text;
    size_t *filled = &requests[at].filled;
    ssize_t size = read(fd, text + *filled, sizeof requests[at].text - 1 - *filled);
    if (size <= 0) return 0;
    *filled += size;
    text[*filled] = 0;
    char *body = strstr(text, "\r\n\r\n");
    if (!body) return 1;
    body += 4;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    size_t whole = body - text + (length && length < body ? strtoul(length + 17, NULL, 10) : 0);
    if (*filled < whole) return *filled < sizeof requests[at].text - 1;
    line(body, text + whole - body);
    char head[128];
    int head_size = written
        ? snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", written)
        : snprintf(head, sizeof head, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    char answer[8192];
    memcpy(answer, head, head_size);
    memcpy(answer + head_size, output, written);
    size = write(fd, answer, head_size + written);
    int sent = size == (ssize_t)(head_size + written);
    written = *filled = 0; /* a client that waits for each answer sends one request at a time */
    return sent;
}

static int http(int port) {
    int one = 1, count = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, MOST)) return 1;
    files[0] = (struct pollfd){ listener, POLLIN, 0 };
    while (poll(files, count, -1) > 0) {
        if (files[0].revents && count < MOST) {
            int fd = accept(listener, NULL, NULL);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            files[count] = (struct pollfd){ fd, POLLIN, 0 };
            requests[count++].filled = 0;
        }
        for (int at = count - 1; at > 0; at--) {
            if (!files[at].revents || serve(at)) continue;
            close(files[at].fd);
            files[at] = files[--count];
            memcpy(&requests[at], &requests[count], sizeof requests[at]);
        }
    }
    return 1;
}

int main(int count, char **arguments) {
    return count > 1 ? http(atoi(arguments[1])) : stdio();
}
