//! Who is relayed: doors, and the clients that came through them.
//!
//! Knows: which address has which socket towards the far end, and for how long each was silent.
//! Does not know: the link, which all of them share.
//!
//! A door is a place to listen and the far end behind it. Every client, an address at a door, has a
//! socket of its own towards that far end, as a NAT would give it: so answers find their way home,
//! and one program never takes another's. At most [`CLIENTS_MAX`] at once; one more takes the place
//! of the client that was silent longest, and what is still under way to or from that one is
//! dropped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use longhand_protocol::units::{Instant, Link};

use super::{RelayError, RelayedClient};

/// Clients at once. Chosen: as many as the robot keeps of a console's silent sockets
/// (`--idle-probe`), and twice what one `qualify` opens.
pub const CLIENTS_MAX: usize = 64;

/// A place to listen, and the far end behind it.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) near: UdpSocket,
    pub(super) local: SocketAddr,
    to: SocketAddr,
    /// Made at the start, so that a far end that cannot be reached is told there and then.
    first: Option<UdpSocket>,
}

impl Door {
    pub(super) fn open(listen: SocketAddr, to: SocketAddr) -> Result<Self, RelayError> {
        let near = bound(listen).map_err(|why| RelayError::Listen { address: listen, why })?;
        let local = near.local_addr().map_err(RelayError::System)?;
        let far = towards(to).map_err(|why| RelayError::Target { address: to, why })?;
        Ok(Self { near, local, to, first: Some(far) })
    }
}

/// One address at one door.
#[derive(Debug)]
pub(super) struct Client {
    /// Counted from 1 in the order in which they came; never used again.
    pub(super) number: u64,
    pub(super) door: usize,
    pub(super) address: SocketAddr,
    pub(super) far: UdpSocket,
    heard: Instant<Link>,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    came: u64,
    replaced: u64,
}

impl Clients {
    pub(super) fn told(&self, doors: &[Door]) -> Vec<RelayedClient> {
        let all = self.all.iter();
        let told = all.filter_map(|Client { number, door, address, .. }| {
            let at = doors.get(*door)?.local;
            Some(RelayedClient { number: *number, address: *address, at })
        });
        told.collect()
    }

    pub(super) fn all(&self) -> &[Client] {
        &self.all
    }

    /// How many gave their place to another.
    pub(super) const fn replaced(&self) -> u64 {
        self.replaced
    }

    pub(super) fn by_number(&self, number: u64) -> Option<&Client> {
        self.all.iter().find(|client| client.number == number)
    }

    /// The number of whoever sent from `address` to this door, now. A new one is taken in.
    ///
    /// Errors: the system gives no socket towards the far end.
    pub(super) fn heard(
        &mut self,
        doors: &mut [Door],
        door: usize,
        address: SocketAddr,
        now: Instant<Link>,
    ) -> io::Result<u64> {
        let known = self.all.iter_mut().find(|c| c.door == door && c.address == address);
        if let Some(client) = known {
            client.heard = now;
            return Ok(client.number);
        }
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let at = doors.get_mut(door).ok_or_else(gone)?;
        let far = at.first.take().map_or_else(|| towards(at.to), Ok)?;
        if self.all.len() >= CLIENTS_MAX {
            let places = self.all.iter().enumerate();
            if let Some((silent, _)) = places.min_by_key(|(_, client)| client.heard) {
                self.all.remove(silent);
                self.replaced = self.replaced.saturating_add(1);
            }
        }
        self.came = self.came.saturating_add(1);
        self.all.push(Client { number: self.came, door, address, far, heard: now });
        Ok(self.came)
    }

    /// Gives every client another socket, which the far ends see as another address.
    pub(super) fn rebind(&mut self, doors: &[Door]) {
        for client in &mut self.all {
            // Where none can be had the old one stays: the drill goes on without this step.
            let other = doors.get(client.door).and_then(|door| towards(door.to).ok());
            if let Some(other) = other {
                client.far = other;
            }
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket that talks to `to` and hears only it.
fn towards(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = bound(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    Ok(socket)
}
