//! A UDP socket that sets and reads traffic classes, and whose datagrams are never cut.
//!
//! Knows: the system's options for it. Does not know: what is sent, or what a class is worth.
//!
//! Terms: a *mark* is the byte that IPv4 calls TOS and IPv6 traffic class: six bits of DSCP, which
//! asks a network to treat a packet well, and two of ECN, by which routers tell of congestion.
//! Networks take either off ("bleach"), and nothing tells the sender.

use crate::clock::wall_ns;
use longhand_protocol::units::Micros;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SetSockOpt as _, SockaddrStorage, recvmsg, sockopt,
};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ip_tos,
    set_ipv6_mtu_discover, set_ipv6_tclass,
};
use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// Nothing is asked for.
pub const NO_MARK: u8 = 0;

/// The socket. One thread's: it remembers the mark that was set last.
#[derive(Debug)]
pub struct MarkedSocket {
    socket: UdpSocket,
    is_v6: bool,
    mark: Cell<u8>,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// Its length; at most the buffer's.
    pub len: usize,
    /// From where.
    pub from: SocketAddr,
    /// Its mark; `None` where the system did not say.
    pub mark: Option<u8>,
    /// How long it lay in the socket; `None` where the system did not say. By the wall clock: one
    /// that was set meanwhile makes it wrong.
    pub waited: Option<Micros>,
}

impl MarkedSocket {
    /// Bound to an address; `recv` returns at the latest after `looks_every`.
    ///
    /// Errors: the address is taken, or the system does not know an option.
    pub fn bind(at: SocketAddr, looks_every: Duration) -> io::Result<Self> {
        let socket = UdpSocket::bind(at)?;
        socket.set_read_timeout(Some(looks_every))?;
        if at.is_ipv6() {
            set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
            sockopt::Ipv6RecvTClass.set(&socket, &true)?;
            // An IPv6 socket may carry IPv4, whose options it then has, too; where not, no harm.
            let _v4 = set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE);
            let _v4 = sockopt::IpRecvTos.set(&socket, &true);
        } else {
            // PROBE, not DO: what an earlier ICMP said is not believed, since that is the question.
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
            sockopt::IpRecvTos.set(&socket, &true)?;
        }
        sockopt::ReceiveTimestampns.set(&socket, &true)?;
        Ok(Self { socket, is_v6: at.is_ipv6(), mark: Cell::new(NO_MARK) })
    }

    /// Where it is bound.
    ///
    /// Errors: the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends with a mark.
    ///
    /// Errors: the system did not take it; longer than the first link's MTU is one of the reasons.
    pub fn send_to(&self, bytes: &[u8], mark: u8, to: SocketAddr) -> io::Result<()> {
        if self.mark.get() != mark {
            if self.is_v6 {
                set_ipv6_tclass(&self.socket, mark.into())?;
                let _v4 = set_ip_tos(&self.socket, mark);
            } else {
                set_ip_tos(&self.socket, mark)?;
            }
            self.mark.set(mark);
        }
        self.socket.send_to(bytes, to).map(|_| ())
    }

    /// Waits for a datagram, at most as long as was said at the start.
    ///
    /// Errors: none came, or the system refused.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Came> {
        let mut space = nix::cmsg_space!([u8; 64], TimeSpec);
        let mut parts = [IoSliceMut::new(buf)];
        let flags = MsgFlags::empty();
        let came = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            flags,
        )?;
        let from = came.address.as_ref().and_then(address);
        let from = from.ok_or_else(|| io::Error::other("a datagram from nowhere"))?;
        let mut told = Came { len: came.bytes, from, mark: None, waited: None };
        came.cmsgs().ok().into_iter().flatten().for_each(|message| told.take(message));
        Ok(told)
    }
}

impl Came {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the system's many messages few are ours"
    )]
    fn take(&mut self, message: ControlMessageOwned) {
        match message {
            ControlMessageOwned::Ipv4Tos(mark) => self.mark = Some(mark),
            ControlMessageOwned::Ipv6TClass(mark) => self.mark = u8::try_from(mark).ok(),
            ControlMessageOwned::ScmTimestampns(came) => self.waited = waited(&came),
            _ => {}
        }
    }
}

fn waited(came: &TimeSpec) -> Option<Micros> {
    let us = came.num_microseconds();
    (wall_ns() / 1_000).checked_sub(u64::try_from(us).ok()?).map(Micros::from_micros)
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    // An IPv4 peer of an IPv6 socket keeps its mapped address: it is answered there.
    Some(SocketAddrV6::from(*storage.as_sockaddr_in6()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_set_is_read_at_the_other_end_over_both_protocols() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any: SocketAddr = any.parse().unwrap();
            let wait = Duration::from_secs(5);
            let Ok(here) = MarkedSocket::bind(any, wait) else {
                assert!(any.is_ipv6(), "a machine may be without IPv6, not without IPv4");
                continue;
            };
            let there = MarkedSocket::bind(any, wait).unwrap();
            // Expedited forwarding with ECT(0); AF41 with ECT(1); nothing; nothing with CE.
            for mark in [0xba, 0x89, 0, 3] {
                here.send_to(b"x", mark, there.local_addr().unwrap()).unwrap();
                let mut buf = [0; 8];
                let came = there.recv(&mut buf).unwrap();
                let from = here.local_addr().unwrap();
                assert_eq!((came.len, came.from, came.mark), (1, from, Some(mark)));
                assert!(came.waited.is_some());
            }
        }
    }
}
