/* What a disk still holds when the power goes: preload this into a process, and each file under
 * $POWERCUT_DIR gets a twin under $POWERCUT_SHADOW that has only what was synced.
 *
 *   $POWERCUT_SHADOW/files/INODE-GENERATION   a file's content as of its last fsync or fdatasync
 *   $POWERCUT_SHADOW/names                    lines "INODE-GENERATION NAME" as of the last fsync of the folder
 *
 * This is POSIX read by a pessimist, harder than ext4 is:
 *   - what was written or truncated since a file's last sync is gone (powercut.py may keep some of its sectors);
 *   - a name made, renamed or removed since the folder's last sync is as it was, even if the file itself was
 *     synced (ext4 keeps the name of a synced new file; we do not);
 *   - a sync counts only when it returns: the process may be killed with half of it copied, as half of it
 *     may have reached a disk.
 * A generation tells files apart that were given the same inode number one after the other (0: was there
 * before the process). The folder is flat, and nothing in it is written through mmap.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct piece { off_t from, to; };

struct file {
    dev_t device;
    ino_t inode;
    unsigned generation;
    off_t shortest; /* the smallest size it had since its last sync, -1 if it was not truncated */
    struct piece *pieces; /* written since then */
    size_t count, room;
};

enum { FILES = 256 };
static struct file files[FILES];
static unsigned generations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
    abort();
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) fail(name);
    return value;
}

/* Whether a descriptor is the folder ('d'), a file in it ('f') or neither (0). */
static int kind_of(int fd, struct stat *st) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0 || fstat(fd, st) != 0) return 0;
    path[size] = 0;
    const char *folder = setting("POWERCUT_DIR");
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0) return 0;
    if (S_ISDIR(st->st_mode)) return path[length] == 0 ? 'd' : 0;
    return S_ISREG(st->st_mode) && path[length] == '/' ? 'f' : 0;
}

static struct file *find(dev_t device, ino_t inode) {
    for (int i = 0; i < FILES; i++)
        if (files[i].inode == inode && files[i].device == device) return &files[i];
    return NULL;
}

static struct file *find_fd(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? find(st.st_dev, st.st_ino) : NULL;
}

static void twin_path(char *path, size_t size, ino_t inode, unsigned generation) {
    snprintf(path, size, "%s/files/%llu-%u", setting("POWERCUT_SHADOW"), (unsigned long long)inode, generation);
}

static void forget(struct file *file) {
    free(file->pieces);
    memset(file, 0, sizeof *file);
}

static void wrote(struct file *file, off_t from, off_t to) {
    struct piece *last = file->count ? &file->pieces[file->count - 1] : NULL;
    if (last != NULL && last->to == from) {
        last->to = to;
        return;
    }
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 64;
        file->pieces = realloc(file->pieces, file->room * sizeof *file->pieces);
        if (file->pieces == NULL) fail("memory");
    }
    file->pieces[file->count++] = (struct piece){from, to};
}

static void cut_to(struct file *file, off_t size) {
    if (file->shortest < 0 || size < file->shortest) file->shortest = size;
}

/* --- what is synced goes to the twin ----------------------------------------------------------- */
static void sync_file(struct file *file, int fd) {
    char path[4096], block[65536];
    struct stat st;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* the descriptor itself may be write-only */
    int from = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    twin_path(path, sizeof path, file->inode, file->generation);
    int to = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || fstat(from, &st) != 0) fail(path);
    if (file->shortest >= 0 && syscall(SYS_ftruncate, to, file->shortest) != 0) fail(path);
    for (size_t i = 0; i < file->count; i++) {
        off_t at = file->pieces[i].from, end = file->pieces[i].to;
        while (at < end) {
            size_t size = end - at < (off_t)sizeof block ? (size_t)(end - at) : sizeof block;
            ssize_t got = pread(from, block, size, at);
            if (got <= 0) break; /* truncated since */
            if (syscall(SYS_pwrite64, to, block, (size_t)got, at) != got) fail(path);
            at += got;
        }
    }
    if (syscall(SYS_ftruncate, to, st.st_size) != 0) fail(path);
    close(from);
    close(to);
    file->count = 0;
    file->shortest = -1;
}

static void sync_folder(dev_t device) {
    char now[4096], next[4096];
    snprintf(now, sizeof now, "%s/names", setting("POWERCUT_SHADOW"));
    snprintf(next, sizeof next, "%s/names.new", setting("POWERCUT_SHADOW"));
    FILE *names = fopen(next, "w");
    DIR *folder = opendir(setting("POWERCUT_DIR"));
    if (names == NULL || folder == NULL) fail(next);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_type != DT_REG) continue;
        struct file *file = find(device, entry->d_ino);
        unsigned generation = file != NULL ? file->generation : 0;
        fprintf(names, "%llu-%u %s\n", (unsigned long long)entry->d_ino, generation, entry->d_name);
    }
    closedir(folder);
    if (fclose(names) != 0 || syscall(SYS_renameat2, AT_FDCWD, next, AT_FDCWD, now, 0) != 0) fail(now);
}

static int synced(int fd, long call) {
    struct stat st;
    int result = syscall(call, fd);
    if (result == 0) {
        pthread_mutex_lock(&lock);
        struct file *file = find_fd(fd);
        if (file != NULL) sync_file(file, fd);
        else if (kind_of(fd, &st) == 'd') sync_folder(st.st_dev);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* --- opening ------------------------------------------------------------------------------------ */
static int opened(int at, const char *path, int flags, mode_t mode) {
    struct stat st;
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, at, path, F_OK) != 0;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && kind_of(fd, &st) == 'f') {
        struct file *file = find(st.st_dev, st.st_ino);
        if (file == NULL || is_new) {
            if (file == NULL) file = find(0, 0); /* an unused one */
            if (file == NULL) fail("too many files");
            forget(file);
            *file = (struct file){.device = st.st_dev, .inode = st.st_ino, .shortest = -1};
            if (is_new) {
                char twin[4096];
                file->generation = ++generations;
                twin_path(twin, sizeof twin, file->inode, file->generation);
                close(syscall(SYS_openat, AT_FDCWD, twin, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
            }
        }
        if ((flags & O_TRUNC) && !is_new) cut_to(file, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(name, at_argument, at)                                                                  \
    int name(at_argument const char *path, int flags, ...) {                                         \
        va_list more;                                                                                \
        va_start(more, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                      \
        va_end(more);                                                                                \
        return opened(at, path, flags, mode);                                                        \
    }
#define COMMA ,
OPEN(open, , AT_FDCWD)
OPEN(open64, , AT_FDCWD)
OPEN(openat, int at COMMA, at)
OPEN(openat64, int at COMMA, at)
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }

/* --- writing ------------------------------------------------------------------------------------ */
/* The lock is held around call and note: a sync in between would take the write without its note. */
static ssize_t written(int fd, const void *data, size_t size, off_t at, int has_place) {
    pthread_mutex_lock(&lock);
    struct file *file = find_fd(fd);
    if (file == NULL) pthread_mutex_unlock(&lock); /* a pipe may block */
    ssize_t done = has_place ? syscall(SYS_pwrite64, fd, data, size, at) : syscall(SYS_write, fd, data, size);
    if (file != NULL) {
        int error = errno;
        off_t end = has_place ? at + done : lseek(fd, 0, SEEK_CUR);
        if (done > 0) wrote(file, end - done, end);
        pthread_mutex_unlock(&lock);
        errno = error;
    }
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return written(fd, data, size, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return written(fd, data, size, at, 1); }

static int truncated(int fd, off_t size) {
    pthread_mutex_lock(&lock);
    struct file *file = find_fd(fd);
    int result = syscall(SYS_ftruncate, fd, size);
    if (result == 0 && file != NULL) cut_to(file, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncated(fd, size); }

/* --- removing: another file may be given the inode number -------------------------------------- */
static void vanishes(int at, const char *path) {
    struct stat st;
    struct file *file;
    if (fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1 &&
        (file = find(st.st_dev, st.st_ino)) != NULL)
        forget(file);
}

int unlinkat(int at, const char *path, int flags) {
    pthread_mutex_lock(&lock);
    if (!(flags & AT_REMOVEDIR)) vanishes(at, path);
    int result = syscall(SYS_unlinkat, at, path, flags);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int renameat(int from, const char *old, int to, const char *new) {
    pthread_mutex_lock(&lock);
    vanishes(to, new);
    int result = syscall(SYS_renameat2, from, old, to, new, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }
