//! Conversions between the file types of WASI 0.3 and of 0.2, in which the guards work.

use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;

pub(super) fn path_flags(flags: p3::PathFlags) -> p2::PathFlags {
    match flags.contains(p3::PathFlags::SYMLINK_FOLLOW) {
        true => p2::PathFlags::SYMLINK_FOLLOW,
        false => p2::PathFlags::empty(),
    }
}

pub(super) fn open_flags(flags: p3::OpenFlags) -> p2::OpenFlags {
    let all = [
        (p3::OpenFlags::CREATE, p2::OpenFlags::CREATE),
        (p3::OpenFlags::DIRECTORY, p2::OpenFlags::DIRECTORY),
        (p3::OpenFlags::EXCLUSIVE, p2::OpenFlags::EXCLUSIVE),
        (p3::OpenFlags::TRUNCATE, p2::OpenFlags::TRUNCATE),
    ];
    let set = all.into_iter().filter(|(flag, _)| flags.contains(*flag));
    set.fold(p2::OpenFlags::empty(), |set, (_, flag)| set | flag)
}

pub(super) fn descriptor_flags(flags: p3::DescriptorFlags) -> p2::DescriptorFlags {
    use p2::DescriptorFlags as To;
    use p3::DescriptorFlags as From;
    let all = [
        (From::READ, To::READ),
        (From::WRITE, To::WRITE),
        (From::FILE_INTEGRITY_SYNC, To::FILE_INTEGRITY_SYNC),
        (From::DATA_INTEGRITY_SYNC, To::DATA_INTEGRITY_SYNC),
        (From::REQUESTED_WRITE_SYNC, To::REQUESTED_WRITE_SYNC),
        (From::MUTATE_DIRECTORY, To::MUTATE_DIRECTORY),
    ];
    let set = all.into_iter().filter(|(flag, _)| flags.contains(*flag));
    set.fold(To::empty(), |set, (_, flag)| set | flag)
}

/// # Errors
///
/// The time is before 1970, which WASI 0.2 cannot express.
pub(super) fn new_timestamp(time: p3::NewTimestamp) -> Result<p2::NewTimestamp, p2::ErrorCode> {
    Ok(match time {
        p3::NewTimestamp::NoChange => p2::NewTimestamp::NoChange,
        p3::NewTimestamp::Now => p2::NewTimestamp::Now,
        p3::NewTimestamp::Timestamp(time) => p2::NewTimestamp::Timestamp(Datetime {
            seconds: u64::try_from(time.seconds).map_err(|_| p2::ErrorCode::Overflow)?,
            nanoseconds: time.nanoseconds,
        }),
    })
}

pub(super) fn stat(stat: p2::DescriptorStat) -> p3::DescriptorStat {
    let instant = |time: Datetime| Instant {
        seconds: i64::try_from(time.seconds).unwrap_or(i64::MAX),
        nanoseconds: time.nanoseconds,
    };
    p3::DescriptorStat {
        type_: match stat.type_ {
            p2::DescriptorType::Unknown => p3::DescriptorType::Other(None),
            p2::DescriptorType::BlockDevice => p3::DescriptorType::BlockDevice,
            p2::DescriptorType::CharacterDevice => p3::DescriptorType::CharacterDevice,
            p2::DescriptorType::Directory => p3::DescriptorType::Directory,
            p2::DescriptorType::Fifo => p3::DescriptorType::Fifo,
            p2::DescriptorType::SymbolicLink => p3::DescriptorType::SymbolicLink,
            p2::DescriptorType::RegularFile => p3::DescriptorType::RegularFile,
            p2::DescriptorType::Socket => p3::DescriptorType::Socket,
        },
        link_count: stat.link_count,
        size: stat.size,
        data_access_timestamp: stat.data_access_timestamp.map(instant),
        data_modification_timestamp: stat.data_modification_timestamp.map(instant),
        status_change_timestamp: stat.status_change_timestamp.map(instant),
    }
}

pub(super) fn hash(hash: p2::MetadataHashValue) -> p3::MetadataHashValue {
    p3::MetadataHashValue {
        lower: hash.lower,
        upper: hash.upper,
    }
}

pub(super) fn error(error: p2::ErrorCode) -> p3::ErrorCode {
    use p2::ErrorCode as From;
    use p3::ErrorCode as To;
    match error {
        From::Access => To::Access,
        From::WouldBlock => To::Other(Some("it would block".to_owned())),
        From::Already => To::Already,
        From::BadDescriptor => To::BadDescriptor,
        From::Busy => To::Busy,
        From::Deadlock => To::Deadlock,
        From::Quota => To::Quota,
        From::Exist => To::Exist,
        From::FileTooLarge => To::FileTooLarge,
        From::IllegalByteSequence => To::IllegalByteSequence,
        From::InProgress => To::InProgress,
        From::Interrupted => To::Interrupted,
        From::Invalid => To::Invalid,
        From::Io => To::Io,
        From::IsDirectory => To::IsDirectory,
        From::Loop => To::Loop,
        From::TooManyLinks => To::TooManyLinks,
        From::MessageSize => To::MessageSize,
        From::NameTooLong => To::NameTooLong,
        From::NoDevice => To::NoDevice,
        From::NoEntry => To::NoEntry,
        From::NoLock => To::NoLock,
        From::InsufficientMemory => To::InsufficientMemory,
        From::InsufficientSpace => To::InsufficientSpace,
        From::NotDirectory => To::NotDirectory,
        From::NotEmpty => To::NotEmpty,
        From::NotRecoverable => To::NotRecoverable,
        From::Unsupported => To::Unsupported,
        From::NoTty => To::NoTty,
        From::NoSuchDevice => To::NoSuchDevice,
        From::Overflow => To::Overflow,
        From::NotPermitted => To::NotPermitted,
        From::Pipe => To::Pipe,
        From::ReadOnly => To::ReadOnly,
        From::InvalidSeek => To::InvalidSeek,
        From::TextFileBusy => To::TextFileBusy,
        From::CrossDevice => To::CrossDevice,
    }
}
