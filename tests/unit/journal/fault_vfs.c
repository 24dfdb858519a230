#include "fault_vfs.h"

#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct, in what SQLite has allocated */
} FaultFile;

static struct {
    sqlite3_vfs vfs, *real;
    FaultKind kind;
    int nth, for_good, calls, failed;
} fault;

void fault_vfs_arm(FaultKind kind, int nth, int for_good)
{
    fault.kind = kind;
    fault.nth = nth;
    fault.for_good = for_good;
    fault.calls = fault.failed = 0;
}

int fault_vfs_calls(int *failed)
{
    *failed = fault.failed;
    return fault.calls;
}

static int fails(FaultKind kind)
{
    if (fault.nth == 0 || kind != fault.kind)
        return 0;
    int call = ++fault.calls;
    int now = call == fault.nth || (call > fault.nth && fault.for_good);
    fault.failed |= now;
    return now;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((FaultFile *)file)->real;
}

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static int file_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_read(sqlite3_file *file, void *data, int bytes, sqlite3_int64 at)
{
    if (fails(FAULT_READ))
        return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), data, bytes, at);
}

static int file_write(sqlite3_file *file, const void *data, int bytes, sqlite3_int64 at)
{
    int full = fails(FAULT_FULL), broken = fails(FAULT_WRITE);
    /* Half of it is written, as a full disk does. */
    if (full || broken)
        (void)real_of(file)->pMethods->xWrite(real_of(file), data, bytes / 2, at);
    if (full || broken)
        return full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    return real_of(file)->pMethods->xWrite(real_of(file), data, bytes, at);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 bytes)
{
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_TRUNCATE;
    return real_of(file)->pMethods->xTruncate(real_of(file), bytes);
}

static int file_sync(sqlite3_file *file, int flags)
{
    if (fails(FAULT_SYNC))
        return SQLITE_IOERR_FSYNC;
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *bytes)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), bytes);
}

static int file_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_check_lock(sqlite3_file *file, int *locked)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), locked);
}

static int file_control(sqlite3_file *file, int what, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), what, argument);
}

static int file_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int page, int bytes, int extend, void volatile **memory)
{
    if (extend && fails(FAULT_FULL))
        return SQLITE_IOERR_SHMSIZE;
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_SHMMAP;
    return real_of(file)->pMethods->xShmMap(real_of(file), page, bytes, extend, memory);
}

static int file_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the file system --------------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    FaultFile *mine = (FaultFile *)file;
    (void)vfs;
    mine->base.pMethods = NULL;
    mine->real = (sqlite3_file *)(mine + 1);
    if (fails(FAULT_WRITE))
        return SQLITE_CANTOPEN;
    int rc = fault.real->xOpen(fault.real, name, mine->real, flags, out_flags);
    if (mine->real->pMethods)
        mine->base.pMethods = &methods;
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_DELETE;
    return fault.real->xDelete(fault.real, name, sync_folder);
}

void fault_vfs_install(void)
{
    fault.real = sqlite3_vfs_find(NULL);
    fault.vfs = *fault.real;
    fault.vfs.pNext = NULL;
    fault.vfs.zName = "fault";
    fault.vfs.szOsFile = (int)sizeof(FaultFile) + fault.real->szOsFile;
    fault.vfs.xOpen = vfs_open;
    fault.vfs.xDelete = vfs_delete;
    (void)sqlite3_vfs_register(&fault.vfs, 1);
}
