/* Preloaded into a server, this makes every flush to disk take a millisecond longer, as on a network volume. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slowly(const char *name, int file)
{
    int (*flush)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, 0);
    return flush(file);
}

int fdatasync(int file) { return slowly("fdatasync", file); }
int fsync(int file) { return slowly("fsync", file); }
