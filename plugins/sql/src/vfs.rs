//! What SQLite needs of an operating system: the time, and randomness. It gets no files, so that no SQL can open one.
#![expect(unsafe_code, reason = "SQLite calls this through C")]

use rusqlite::ffi;
use std::collections::hash_map::RandomState;
use std::ffi::{c_char, c_int};
use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

/// Julian day of the Unix epoch, in milliseconds.
const EPOCH_MILLISECONDS: i64 = 210_866_760_000_000;

/// SQLite calls this once, before anything else.
#[unsafe(no_mangle)]
extern "C" fn sqlite3_os_init() -> c_int {
    // SAFETY: all fields of the struct may be zero: numbers, pointers, and functions that are optional.
    let empty: ffi::sqlite3_vfs = unsafe { std::mem::zeroed() };
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<ffi::sqlite3_file>() as c_int,
        mxPathname: 512,
        zName: c"none".as_ptr(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xCurrentTimeInt64: Some(current_time_int64),
        xGetLastError: Some(last_error),
        ..empty
    }));
    // SAFETY: the struct is never freed.
    unsafe { ffi::sqlite3_vfs_register(vfs, 1) }
}

#[unsafe(no_mangle)]
extern "C" fn sqlite3_os_end() -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    file: *mut ffi::sqlite3_file,
    _: c_int,
    _: *mut c_int,
) -> c_int {
    // SAFETY: SQLite allocated `szOsFile` bytes, and reads this to know that the file is not open.
    unsafe { (*file).pMethods = std::ptr::null() };
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    ffi::SQLITE_IOERR_DELETE
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    _: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a place for the result.
    unsafe { *result = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    _: c_int,
    _: *mut c_char,
) -> c_int {
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn randomness(
    _: *mut ffi::sqlite3_vfs,
    length: c_int,
    buffer: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a buffer of that length.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length as usize) };
    for chunk in buffer.chunks_mut(8) {
        let random = RandomState::new().build_hasher().finish().to_ne_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    length
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, _: c_int) -> c_int {
    0
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: SQLite passes a place for the result.
    unsafe { *days = now() as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(
    _: *mut ffi::sqlite3_vfs,
    milliseconds: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes a place for the result.
    unsafe { *milliseconds = now() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    EPOCH_MILLISECONDS + since.map_or(0, |since| since.as_millis() as i64)
}

/// So that the linker keeps what only C refers to.
#[used]
static KEPT: (extern "C" fn() -> c_int, extern "C" fn() -> c_int) =
    (sqlite3_os_init, sqlite3_os_end);
