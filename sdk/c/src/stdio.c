/* The part of WASI 0.1 that wasi-libc needs for a plugin without files: what is printed goes to the call's log, and everything
 * else is not there. With an adapter (`ADAPTER` in the makefile) this is left out, and the manifest grants files. */

#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { ERRNO_BADF = 8, ERRNO_NOSYS = 52, FILETYPE_CHARACTER_DEVICE = 2 };

typedef struct chunk {
    const char *text;
    size_t length;
} chunk;

/* Lines whose end has not come yet. */
static th_buffer lines[2];

#define IMPORT(name) __imported_wasi_snapshot_preview1_##name

int32_t IMPORT(fd_write)(int32_t fd, int32_t chunks, int32_t count, int32_t written) {
    if (fd != 1 && fd != 2) return ERRNO_BADF;
    th_buffer *line = &lines[fd - 1];
    const chunk *all = (const chunk *)chunks;
    size_t total = 0;
    for (int32_t index = 0; index < count; index++) {
        for (size_t at = 0; at < all[index].length; at++) {
            char letter[2] = {all[index].text[at], 0};
            if (letter[0] != '\n') {
                th_put(line, letter);
                continue;
            }
            char *clean = th_utf8(line->text ? line->text : "");
            th_host_log(fd == 1 ? TH_INFO : TH_WARNING, clean);
            free(clean);
            line->length = 0;
            if (line->text) line->text[0] = 0;
        }
        total += all[index].length;
    }
    *(size_t *)written = total;
    return 0;
}

int32_t IMPORT(fd_fdstat_get)(int32_t fd, int32_t stat) {
    memset((void *)stat, 0, 24);
    *(uint8_t *)stat = FILETYPE_CHARACTER_DEVICE;
    return fd >= 0 && fd <= 2 ? 0 : ERRNO_BADF;
}

int32_t IMPORT(fd_close)(int32_t fd) { return fd >= 0 && fd <= 2 ? 0 : ERRNO_BADF; }
int32_t IMPORT(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t result) { return ERRNO_NOSYS; }
int32_t IMPORT(fd_read)(int32_t fd, int32_t chunks, int32_t count, int32_t read) {
    *(size_t *)read = 0;
    return fd == 0 ? 0 : ERRNO_BADF;
}
int32_t IMPORT(fd_prestat_get)(int32_t fd, int32_t stat) { return ERRNO_BADF; }
int32_t IMPORT(fd_prestat_dir_name)(int32_t fd, int32_t path, int32_t length) { return ERRNO_BADF; }
int32_t IMPORT(environ_sizes_get)(int32_t count, int32_t size) {
    *(size_t *)count = *(size_t *)size = 0;
    return 0;
}
int32_t IMPORT(environ_get)(int32_t list, int32_t text) { return 0; }
int32_t IMPORT(clock_time_get)(int32_t clock, int64_t precision, int32_t time) { return ERRNO_NOSYS; }
int32_t IMPORT(random_get)(int32_t bytes, int32_t length) { return ERRNO_NOSYS; }
_Noreturn void IMPORT(proc_exit)(int32_t status) {
    th_log(TH_ERROR, "the plugin called exit(%d)", (int)status);
    __builtin_trap();
}
