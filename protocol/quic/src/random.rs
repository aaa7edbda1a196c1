//! Random bytes, for what nobody may foretell: half a session id, a case's number, a page's token.
//!
//! Knows: `getrandom(2)`. Does not know: what the bytes are for. Keys and serials are drawn by the
//! libraries that make them (`trust`).

use rustix::rand::{GetRandomFlags, getrandom};

/// The system gave no random bytes, which Linux does only before its pool was ever full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers; check getrandom(2)")]
pub struct NoRandom;

/// Random bytes of the system's own. Never waits, so that a real-time thread may ask.
///
/// Errors: [`NoRandom`]; without them neither a session nor a case is worth its name, so refuse it.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0_u8; N];
    match getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(count) if count == N => Ok(bytes),
        Ok(_) | Err(_) => Err(NoRandom),
    }
}

/// 64 of them as a number.
///
/// Errors: [`NoRandom`].
pub fn random_u64() -> Result<u64, NoRandom> {
    random_bytes().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
        assert_ne!(random_u64().unwrap(), random_u64().unwrap());
    }
}
