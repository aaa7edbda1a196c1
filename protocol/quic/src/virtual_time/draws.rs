//! Chance and wall time for handshakes in virtual time: everything from one seed.
//!
//! Knows: what rustls and quinn draw. Does not know: who shakes hands. Never a part of a handshake
//! over a socket: whoever knows the seed knows the keys.
//!
//! rustls wants its sources of chance to live as long as the program and to have no owner. So each
//! pair of ends lends its draws to the thread for as long as it works ([`Draws::lend`]); outside of
//! that there is nothing to draw, and a handshake fails.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use longhand_protocol::units::Micros;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, TimeSource};
use ring::digest::{SHA256, digest};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
    SupportedKxGroup, ring as system,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::tls::Means;

/// What can be drawn: SHA-256 over seed and number, block by block. The same on every machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    seed: u64,
    stream: u64,
    drawn: u64,
}

thread_local! {
    static LENT: Cell<Option<Draws>> = const { Cell::new(None) };
}

impl Draws {
    /// Draws of this seed. Streams of one seed have nothing to do with each other.
    pub(super) const fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, drawn: 0 }
    }

    /// Does work that draws.
    pub(super) fn lend<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = LENT.replace(Some(*self));
        let done = work();
        if let Some(left) = LENT.replace(before) {
            *self = left;
        }
        done
    }

    /// So many bytes, up to the 32 of a block.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut all = [0; N];
        self.fill(&mut all);
        all
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(SHA256.output_len()) {
            let numbers = [self.seed, self.stream, self.drawn].map(u64::to_le_bytes);
            self.drawn = self.drawn.wrapping_add(1);
            let block = digest(&SHA256, numbers.as_flattened());
            for (byte, drawn) in part.iter_mut().zip(block.as_ref()) {
                *byte = *drawn;
            }
        }
    }
}

fn fill_from_lent(bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
    let mut draws = LENT.get().ok_or(GetRandomFailed)?;
    draws.fill(bytes);
    LENT.set(Some(draws));
    Ok(())
}

/// Virtual wall time. Shared with the settings of both ends, which ask it.
#[derive(Debug, Default)]
pub(super) struct WallTime(AtomicU64);

/// Wall time at world time zero: the first second of 2030. Chosen: any, inside the certificates'
/// life.
const BEGAN: Duration = Duration::from_secs(1_893_456_000);

impl WallTime {
    pub(super) fn set(&self, at: Micros) {
        self.0.store(at.as_micros(), Ordering::Relaxed);
    }

    fn since_1970(&self) -> Duration {
        BEGAN.saturating_add(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }

    /// When the world begins, as certificates write it.
    pub(super) fn beginning() -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(BEGAN).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.since_1970()))
    }
}

/// The same time for quinn, whose trait it is.
pub(super) struct QuinnTime(pub(super) Arc<WallTime>);

impl TimeSource for QuinnTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(self.0.since_1970()).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// What handshakes in virtual time draw on. One cipher suite, the one that QUIC itself begins with,
/// and one key exchange: nothing is left to choose by what this machine is fast at.
pub(super) fn means(time: Arc<WallTime>) -> Means {
    let provider = CryptoProvider {
        cipher_suites: vec![system::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![&SeededX25519],
        secure_random: &SeededRandom,
        ..system::default_provider()
    };
    Means { provider: Arc::new(provider), time }
}

#[derive(Debug)]
struct SeededRandom;

impl SecureRandom for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill_from_lent(bytes)
    }
}

/// X25519 with a drawn secret. ring's own draws from the system and cannot be seeded.
#[derive(Debug)]
struct SeededX25519;

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        fill_from_lent(&mut secret)?;
        let public = x25519(secret, X25519_BASEPOINT_BYTES);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = <[u8; 32]>::try_from(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = x25519(self.secret, peer);
        // A peer that chose a point of small order. Source: RFC 8446 section 7.4.2.
        if shared == [0; 32] {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(shared.as_slice()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Connection ids of the product's length, drawn. quinn's own draw from the system.
pub(super) struct SeededIds(pub(super) Draws);

/// Length of quinn's hashed ids, which the product uses.
const ID_LEN: usize = 8;

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.bytes::<ID_LEN>())
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn same_seed_draws_the_same_and_streams_differ() {
        let three = |mut draws: Draws| [draws.bytes::<8>(), draws.bytes(), draws.bytes()];
        assert_eq!(three(Draws::new(7, 0)), three(Draws::new(7, 0)));
        let different = [Draws::new(7, 0), Draws::new(7, 1), Draws::new(8, 0)].map(three);
        let mut all: Vec<[u8; 8]> = different.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
    }

    #[test]
    fn lent_draws_go_on_where_the_handshake_stopped_and_are_gone_outside() {
        let mut draws = Draws::new(7, 0);
        let mut lent = [0; 8];
        draws.lend(|| SeededRandom.fill(&mut lent)).unwrap();
        let mut alone = Draws::new(7, 0);
        assert_eq!(alone.bytes::<8>(), lent);
        assert_eq!(alone.bytes::<8>(), draws.bytes::<8>());
        assert!(SeededRandom.fill(&mut lent).is_err());
    }

    #[test]
    fn both_ends_of_a_key_exchange_agree_and_a_point_of_small_order_is_refused() {
        let mut draws = Draws::new(7, 0);
        draws.lend(|| {
            let (a, b) = (SeededX25519.start().unwrap(), SeededX25519.start().unwrap());
            let (of_a, of_b) = (a.pub_key().to_vec(), b.pub_key().to_vec());
            let (one, other) = (a.complete(&of_b).unwrap(), b.complete(&of_a).unwrap());
            assert_eq!(one.secret_bytes(), other.secret_bytes());
            assert!(SeededX25519.start().unwrap().complete(&[0; 32]).is_err());
        });
    }
}
