//! Memory that one process writes and others can only read.
//!
//! Knows: the kernel's seals. Does not know: what a record says.
//!
//! Why seals and not the mode of a file: whoever runs as the same user can open a file again and
//! cut it, and the next write to what was cut away kills the writer with SIGBUS. Seals hold against
//! everybody, root included, for as long as the memory lives; and memory has no disk behind it that
//! could hold up a write.
//! Source: memfd_create(2), fcntl(2) "File sealing"; F_SEAL_FUTURE_WRITE is in Linux since 5.1.

use longhand_protocol::tap::{HEADER_WORDS, Header, Record, SLOT_WORDS, SLOTS, WRITTEN_AT};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The ring, mapped to be written here.
pub(super) struct SealedRing {
    map: Map,
    /// The same memory, to be read and no more.
    readable: OwnedFd,
    written: u64,
}

impl SealedRing {
    /// An empty ring.
    ///
    /// Errors: the kernel refuses the memory or the seals.
    pub(super) fn new(header: &Header) -> io::Result<Self> {
        let slots = usize::try_from(SLOTS).map_err(io::Error::other)?;
        let words = SLOT_WORDS.saturating_mul(slots).saturating_add(HEADER_WORDS);
        let bytes = words.saturating_mul(8);
        let memory = rustix::fs::memfd_create(
            "longhand-tap",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        rustix::fs::ftruncate(&memory, u64::try_from(bytes).map_err(io::Error::other)?)?;
        rustix::fs::fchmod(&memory, Mode::RUSR)?;
        let map = Map::new(&memory, words)?;
        // Not before it is mapped: nobody, we included, can map it to be written after this.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&memory, seals)?;
        let again = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let readable = rustix::fs::open(again, flags, Mode::empty())?;
        map.store(0, header.words());
        Ok(Self { map, readable, written: 0 })
    }

    /// Puts one record in, over the oldest.
    pub(super) fn write(&mut self, record: &Record) {
        let Some(slot) = self.written.checked_rem(SLOTS).and_then(|n| usize::try_from(n).ok())
        else {
            return;
        };
        let first = slot.saturating_mul(SLOT_WORDS).saturating_add(HEADER_WORDS);
        // The number goes first, so that no reader takes the old record for one that is whole: its
        // checksum is over the number, too.
        self.map.store(first, [0]);
        fence(Ordering::Release);
        self.map.store(first, record.words());
        self.written = self.written.saturating_add(1);
        if let Some(count) = self.map.words().get(WRITTEN_AT) {
            count.store(self.written, Ordering::Release);
        }
    }

    /// A descriptor of the same memory that can only be read.
    pub(super) const fn readable(&self) -> &OwnedFd {
        &self.readable
    }
}

/// The mapping, as words that somebody else may look at at any time.
struct Map {
    start: *mut c_void,
    words: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only reached through atomics.
unsafe impl Send for Map {}

impl Map {
    fn new(memory: &OwnedFd, words: usize) -> io::Result<Self> {
        let (bytes, protection) = (words.saturating_mul(8), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping at an address of the kernel's choice lies over nothing of ours.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, memory, 0)? };
        Ok(Self { start, words })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page aligned, `words` long, filled with zeros by the kernel, lives
        // as long as `self`, and cannot shrink: it is sealed before anybody else can name it. Other
        // processes only ever read it.
        unsafe { std::slice::from_raw_parts(self.start.cast::<AtomicU64>(), self.words) }
    }

    fn store<const N: usize>(&self, first: usize, words: [u64; N]) {
        let places = self.words().iter().skip(first);
        places.zip(words).for_each(|(place, word)| place.store(word.to_le(), Ordering::Relaxed));
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: `start` and the length are those of `mmap`, and nothing borrows the words now.
        // A mapping that cannot be given back is the kernel's until the process ends.
        let _given_back = unsafe { munmap(self.start, self.words.saturating_mul(8)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn record_at(file: &File, number: u64) -> Option<Record> {
        let slot = usize::try_from((number - 1) % SLOTS).unwrap();
        let first = u64::try_from(HEADER_WORDS + slot * SLOT_WORDS).unwrap();
        let mut bytes = [0; SLOT_WORDS * 8];
        file.read_exact_at(&mut bytes, first * 8).unwrap();
        let (words, _) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Record::of(&words.try_into().unwrap(), number)
    }

    /// Nothing that a reader does reaches the writer; the seals answer for the kernel.
    #[test]
    fn a_reader_can_neither_write_nor_cut_nor_map_for_writing() {
        let mut ring = SealedRing::new(&Header::default()).unwrap();
        let reader = File::from(ring.readable().try_clone().unwrap());
        // As the same user, who owns it: opened anew, with every right that the mode can give.
        rustix::fs::fchmod(ring.readable(), Mode::RWXU).unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let mut writer = File::options().read(true).write(true).open(path).unwrap();
        for file in [&reader, &writer] {
            assert!(file.set_len(0).is_err(), "cut");
            assert!(file.set_len(1 << 30).is_err(), "grown");
        }
        assert!(writer.write_all(&[0xff; 64]).is_err());
        assert!(Map::new(&OwnedFd::from(writer.try_clone().unwrap()), 16).is_err(), "mapped");
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        assert!(rustix::fs::fallocate(&writer, punch, 0, 4_096).is_err(), "a hole in it");
        let unseal = rustix::fs::fcntl_add_seals(&writer, SealFlags::WRITE);
        assert!(unseal.is_err(), "no seal may stop the writer, either");
        for number in 1..=3 {
            ring.write(&Record { number, ..Record::default() });
        }
        assert_eq!(record_at(&reader, 3).unwrap().number, 3);
    }

    #[test]
    fn the_oldest_is_overwritten_and_known_to_be() {
        let mut ring = SealedRing::new(&Header::default()).unwrap();
        let reader = File::from(ring.readable().try_clone().unwrap());
        for number in 1..=SLOTS + 1 {
            ring.write(&Record { number, ..Record::default() });
        }
        assert!(record_at(&reader, 1).is_none());
        assert!(record_at(&reader, 2).is_some());
        assert!(record_at(&reader, SLOTS + 1).is_some());
    }
}
