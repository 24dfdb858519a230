/* A file system for SQLite, over its own, whose Nth call fails. Becomes the default of the process. */
#ifndef TESTS_FAULT_VFS_H
#define TESTS_FAULT_VFS_H

typedef enum {
    FAULT_FULL,  /* a write, or what makes a file longer: SQLITE_FULL */
    FAULT_WRITE, /* a write, open, delete, truncate: SQLITE_IOERR_… */
    FAULT_SYNC,  /* a sync: SQLITE_IOERR_FSYNC */
    FAULT_READ,  /* a read: SQLITE_IOERR_READ */
    FAULT_KINDS
} FaultKind;

void fault_vfs_install(void);
/* From now on the nth call of this kind fails (1: the next one); `for_good`: and all that follow. 0: none. */
void fault_vfs_arm(FaultKind kind, int nth, int for_good);
/* How many calls of the kind there were since; TRUE in *failed when one of them was made to fail. */
int fault_vfs_calls(int *failed);

#endif
