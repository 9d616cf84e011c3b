// To be preloaded: the time since 1970 is off by as many seconds as the file $MOVING_CLOCK says, a 64-bit
// number that may change at any time. libfaketime can't do that for Redis: its allocator asks for the time
// before that library is ready.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *off;

__attribute__((constructor)) static void map_file(void)
{
    int file = open(getenv("MOVING_CLOCK"), O_RDONLY);
    void *at = mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || at == MAP_FAILED)
        abort();
    off = at;
}

// Past libc, whose own function this takes the place of, and so without looking that one up.
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int answer = syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *off;
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec precise;
    int answer = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return answer;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
