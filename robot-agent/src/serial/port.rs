//! A serial port: open, fast, and no wait longer than asked for.
//!
//! Knows: the operating system's ports, and their drivers' habit of holding bytes back. Does not
//! know: what is said.

use longhand_quic::clock::robot_now;
use rustix::io::Errno;
use serialport::{ClearBuffer, SerialPort as _, TTYPort};
use std::ffi::c_int;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a host says its bytes to. The simulator's has virtual time.
pub trait Line {
    /// Now, microseconds.
    fn now_us(&self) -> u64;

    /// Says all of it. Errors: the port is gone.
    fn say(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What came, waiting until `until_us` at most; nothing, where nothing came.
    ///
    /// Errors: the port is gone.
    fn hear(&mut self, into: &mut [u8], until_us: u64) -> io::Result<usize>;

    /// Forgets what came and nobody asked for. Errors: the port is gone.
    fn forget(&mut self) -> io::Result<()>;
}

/// An open port.
pub struct Port {
    tty: TTYPort,
    low_latency: LowLatency,
}

/// Whether the driver hands bytes on as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LowLatency {
    /// It does.
    On,
    /// It has no such flag: a pseudo-terminal, or a driver that never holds bytes back (CDC-ACM).
    NoFlag,
    /// It refuses: what it holds back costs up to 16 ms an answer (FTDI's timer).
    Refused,
}

impl LowLatency {
    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::NoFlag => "no flag",
            Self::Refused => "refused",
        }
    }

    /// What follows from it, where anything does.
    pub const fn consequence(self) -> Option<&'static str> {
        match self {
            Self::On | Self::NoFlag => None,
            Self::Refused => Some(
                "the driver refuses the low-latency flag, and may hold answers back for 16 ms: run \
                 as root once (`setserial PORT low_latency`), or write 1 to \
                 /sys/bus/usb-serial/devices/PORT/latency_timer",
            ),
        }
    }
}

/// A port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// There is none of this name.
    #[error(
        "there is no {0}; is the adapter plugged in? `ls /dev/serial/by-id` names those that are"
    )]
    Missing(PathBuf),
    /// It is somebody else's.
    #[error("{0} cannot be opened: not allowed; join the group of the port (often `dialout`)")]
    Forbidden(PathBuf),
    /// Anything else.
    #[error("{path} cannot be opened: {error}")]
    Other {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: serialport::Error,
    },
}

impl Port {
    /// Opens it for this program alone. Errors: [`PortError`], in words.
    pub fn open(path: &Path, baud: u32) -> Result<Self, PortError> {
        let name = path.to_string_lossy();
        let tty = TTYPort::open(&serialport::new(name, baud)).map_err(|error| {
            match (path.exists(), error.kind()) {
                (false, _) => PortError::Missing(path.to_owned()),
                (_, serialport::ErrorKind::Io(io::ErrorKind::PermissionDenied)) => {
                    PortError::Forbidden(path.to_owned())
                }
                _ => PortError::Other { path: path.to_owned(), error },
            }
        })?;
        let low_latency = hurry(&tty);
        Ok(Self { tty, low_latency })
    }

    /// Whether the driver hands bytes on as they come.
    pub const fn low_latency(&self) -> LowLatency {
        self.low_latency
    }
}

impl Line for Port {
    fn now_us(&self) -> u64 {
        robot_now().as_micros()
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tty.set_timeout(SAY_WITHIN).map_err(io::Error::from)?;
        self.tty.write_all(bytes)
    }

    fn hear(&mut self, into: &mut [u8], until_us: u64) -> io::Result<usize> {
        let left = until_us.saturating_sub(self.now_us());
        self.tty.set_timeout(Duration::from_micros(left)).map_err(io::Error::from)?;
        match self.tty.read(into) {
            // A port that is gone is always ready, and has nothing.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(came) => Ok(came),
            Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) => {
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn forget(&mut self) -> io::Result<()> {
        self.tty.clear(ClearBuffer::Input).map_err(io::Error::from)
    }
}

/// How long a port may take to accept a request. Chosen: its buffer (4096 bytes) takes 41 ms at
/// 1 Mbaud; a port that takes longer is stuck.
const SAY_WITHIN: Duration = Duration::from_millis(50);

/// `struct serial_struct` of Linux. Source: `include/uapi/linux/serial.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SerialStruct {
    before: [c_int; 4],
    flags: c_int,
    after: [c_int; 3],
    close_delay: u16,
    io_type: [u8; 2],
    hub6: c_int,
    closing_wait: [u16; 2],
    iomem_base: usize,
    iomem_reg_shift: u16,
    port_high: u32,
    iomap_base: usize,
}

// Source: `include/uapi/asm-generic/ioctls.h`, `include/uapi/linux/tty_flags.h`.
const TIOCGSERIAL: rustix::ioctl::Opcode = 0x541e;
const TIOCSSERIAL: rustix::ioctl::Opcode = 0x541f;
const ASYNC_LOW_LATENCY: c_int = 1 << 13;

/// Asks the driver to hold nothing back, and whether it does.
fn hurry(tty: &TTYPort) -> LowLatency {
    // SAFETY: the port owns the descriptor and outlives this call.
    let port = unsafe { BorrowedFd::borrow_raw(tty.as_raw_fd()) };
    let read = || {
        // SAFETY: the kernel writes one `serial_struct` for this opcode, and any bytes are one.
        let get = unsafe { rustix::ioctl::Getter::<TIOCGSERIAL, SerialStruct>::new() };
        // SAFETY: as above.
        unsafe { rustix::ioctl::ioctl(port, get) }
    };
    let write = |settings: SerialStruct| {
        // SAFETY: the kernel reads one `serial_struct` for this opcode, which it just wrote.
        let set = unsafe { rustix::ioctl::Setter::<TIOCSSERIAL, SerialStruct>::new(settings) };
        // SAFETY: as above.
        unsafe { rustix::ioctl::ioctl(port, set) }
    };
    hurried(read, write)
}

/// The same with the two calls handed in: the flag is on only where it is read back.
fn hurried(
    read: impl Fn() -> Result<SerialStruct, Errno>,
    write: impl FnOnce(SerialStruct) -> Result<(), Errno>,
) -> LowLatency {
    let on = |settings: &SerialStruct| settings.flags & ASYNC_LOW_LATENCY != 0;
    let no_flag = |error| matches!(error, Errno::NOTTY | Errno::OPNOTSUPP);
    let tried = read().and_then(|mut settings| {
        if on(&settings) {
            return Ok(true);
        }
        settings.flags |= ASYNC_LOW_LATENCY;
        write(settings)?;
        Ok(on(&read()?))
    });
    match tried {
        Ok(true) => LowLatency::On,
        // Taken without a word and not kept: CDC-ACM has these settings and not this flag.
        Ok(false) => LowLatency::NoFlag,
        Err(error) if no_flag(error) => LowLatency::NoFlag,
        Err(_refused) => LowLatency::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const FRESH: SerialStruct = SerialStruct {
        before: [0; 4],
        flags: 0x40,
        after: [0; 3],
        close_delay: 0,
        io_type: [0; 2],
        hub6: 0,
        closing_wait: [0; 2],
        iomem_base: 0,
        iomem_reg_shift: 0,
        port_high: 0,
        iomap_base: 0,
    };

    /// A driver that answers a write so, and keeps the flags where `keeps`.
    fn asked(flags: c_int, answer: Result<(), Errno>, keeps: bool) -> LowLatency {
        let now = Cell::new(SerialStruct { flags, ..FRESH });
        let write = |settings: SerialStruct| {
            assert_eq!(settings.flags, flags | ASYNC_LOW_LATENCY, "every other flag stays");
            if keeps {
                now.set(settings);
            }
            answer
        };
        hurried(|| Ok(now.get()), write)
    }

    #[test]
    fn the_flag_is_on_only_where_it_is_read_back() {
        assert_eq!(asked(0x40, Ok(()), true), LowLatency::On);
        assert_eq!(asked(ASYNC_LOW_LATENCY, Err(Errno::PERM), false), LowLatency::On);
        assert_eq!(asked(0x40, Ok(()), false), LowLatency::NoFlag);
        assert_eq!(asked(0x40, Err(Errno::OPNOTSUPP), false), LowLatency::NoFlag);
        assert_eq!(asked(0x40, Err(Errno::NOTTY), false), LowLatency::NoFlag);
        assert_eq!(asked(0x40, Err(Errno::PERM), false), LowLatency::Refused);
        let unread = |error: Errno| hurried(|| Err(error), |_| Ok(()));
        assert_eq!(unread(Errno::NOTTY), LowLatency::NoFlag);
        assert_eq!(unread(Errno::OPNOTSUPP), LowLatency::NoFlag);
        assert_eq!(unread(Errno::IO), LowLatency::Refused);
    }
}
