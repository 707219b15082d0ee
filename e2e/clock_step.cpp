// Preloaded into one service, lets a test step the wall clock of that service alone, while it runs;
// the monotonic clock stays. SKYWIRE_CLOCK_STEP names a file of eight bytes: seconds as a signed
// number of this machine's byte order. libfaketime cannot do it here: it looks its symbols up in
// the first allocation of tcmalloc, which sleeps, which it looks up...

#include <cstdint>
#include <cstdlib>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

/// Null until it is known, and where no file is named.
const volatile std::int64_t* step_seconds = nullptr;

__attribute__((constructor)) void map_step() {
    const char* path = std::getenv("SKYWIRE_CLOCK_STEP");
    if (path == nullptr) return;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void* mapped = mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) step_seconds = static_cast<const volatile std::int64_t*>(mapped);
}

std::int64_t step() {
    return step_seconds == nullptr ? 0 : *step_seconds;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
    const long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += step();
    return static_cast<int>(result);
}

int gettimeofday(timeval* now, void* zone) noexcept {
    const long result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += step();
    return static_cast<int>(result);
}

time_t time(time_t* into) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (into != nullptr) *into = now.tv_sec;
    return now.tv_sec;
}
}
