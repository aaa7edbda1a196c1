//! A pseudo-terminal: the servos' end of a cable that is none.
//!
//! Knows: how one is opened and named. Does not know: what is said over it.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::io;
use std::path::{Path, PathBuf};

/// Both ends. While it lives, the host's end has a name that anybody may open.
pub(super) struct Pty {
    /// The servos' end; never blocks.
    pub(super) servos: OwnedFd,
    /// Kept open: else the servos' end would fail whenever no host has its own open.
    _host: OwnedFd,
    /// The host's end.
    pub(super) name: PathBuf,
}

impl Pty {
    /// A new one, that hands on every byte as it is. Errors: what the system said.
    pub(super) fn open() -> io::Result<Self> {
        let servos = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&servos)?;
        unlockpt(&servos)?;
        let name = ptsname(&servos, Vec::new())?;
        let name = PathBuf::from(name.to_string_lossy().into_owned());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let host = rustix::fs::open(&name, flags, Mode::empty())?;
        let mut settings = tcgetattr(&host)?;
        settings.make_raw();
        tcsetattr(&host, OptionalActions::Now, &settings)?;
        rustix::io::ioctl_fionbio(&servos, true)?;
        Ok(Self { servos, _host: host, name })
    }

    /// Lets `link` name the host's end. A link that is there is replaced; anything else is left.
    ///
    /// Errors: what the system said, or that something else has this name.
    pub(super) fn link(&self, link: &Path) -> io::Result<()> {
        unlink(link)?;
        std::os::unix::fs::symlink(&self.name, link)
    }
}

/// Takes a link away. Errors: there is something that is no link.
pub(super) fn unlink(link: &Path) -> io::Result<()> {
    match link.symlink_metadata() {
        Ok(found) if found.is_symlink() => std::fs::remove_file(link),
        Ok(_) => Err(io::Error::other("something else has this name; it is left as it is")),
        Err(_nothing) => Ok(()),
    }
}
