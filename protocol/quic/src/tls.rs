//! What each end demands of the other before a single byte of ours is read.
//!
//! Knows: TLS 1.3, both ends showing a certificate of the hospital's authority that is in date, of
//! the right kind and not revoked; no early data, no resumption. Does not know: what the role in
//! the certificate may do (`pump::Accept` decides that next), or where the files lie (`trust`).
//!
//! Refused in the handshake: no certificate, another authority, self-signed, expired, not yet
//! valid, revoked, made for the other side, another robot's name. safety.md section 3.3, A16.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::trust::{Credentials, PeerIdentity, Role};

/// The name of our protocol in the handshake: no other protocol can be mistaken for it.
pub const ALPN: &[u8] = b"longhand/1";

/// The credentials cannot be used for a handshake.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A robot's pump with somebody else's certificate, or the reverse.
    #[error("this end needs the certificate of a {wanted}, but this one belongs to {who}")]
    WrongSide {
        /// Who may be here.
        wanted: &'static str,
        /// Who is.
        who: String,
    },
    /// rustls will not have them.
    #[error("the certificate and key cannot be used ({0}); issue a new one with `trust issue`")]
    Rustls(#[from] rustls::Error),
    /// The authority or its list cannot be used.
    #[error("ca.pem or ca.crl cannot be used ({0}); copy both from the hospital's authority")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    /// The provider lacks what QUIC starts with.
    #[error("the TLS provider cannot start QUIC ({0}); this is a fault of the build")]
    Provider(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The robot's side: it shows its certificate and demands one.
pub fn server(credentials: &Credentials) -> Result<QuicServerConfig, TlsError> {
    server_by(credentials, &Means::system())
}

/// The console's side: it demands the robot's certificate and shows its own.
pub fn client(credentials: &Credentials) -> Result<QuicClientConfig, TlsError> {
    client_by(credentials, &Means::system())
}

/// What a handshake draws on beside its credentials: ciphers, chance and wall time. The product has
/// those of the system; virtual time brings its own, and shares every other setting.
pub(crate) struct Means {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) time: Arc<dyn TimeProvider>,
}

impl Means {
    fn system() -> Self {
        // Said here and nowhere else: a process-wide default could be changed by any dependency.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self { provider, time: Arc::new(DefaultTimeProvider) }
    }
}

/// [`server`], by the means given.
pub(crate) fn server_by(
    credentials: &Credentials,
    means: &Means,
) -> Result<QuicServerConfig, TlsError> {
    expect_side(credentials, true)?;
    let provider = Arc::clone(&means.provider);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(credentials)?, Arc::clone(&provider))
            .with_crls([credentials.revocations.clone()])
            .build()?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::clone(&means.time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![credentials.certificate.clone()], credentials.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A command in early data could be replayed by anybody on the path (A04): none is accepted,
    // and without tickets there is nothing to resume: every handshake checks the list anew.
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    Ok(config.try_into()?)
}

/// [`client`], by the means given.
pub(crate) fn client_by(
    credentials: &Credentials,
    means: &Means,
) -> Result<QuicClientConfig, TlsError> {
    expect_side(credentials, false)?;
    let provider = Arc::clone(&means.provider);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(credentials)?, Arc::clone(&provider))
            .with_crls([credentials.revocations.clone()])
            .build()?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::clone(&means.time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(
            vec![credentials.certificate.clone()],
            credentials.key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(config.try_into()?)
}

/// The identity in a chain that the handshake has verified: its first certificate.
pub(crate) fn identity(
    connection: &quinn::Connection,
) -> Result<PeerIdentity, crate::trust::IdentityError> {
    use rustls::pki_types::CertificateDer;
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    match chain.as_deref().and_then(|chain| chain.first()) {
        Some(leaf) => PeerIdentity::from_der(leaf),
        None => Err(crate::trust::IdentityError::Missing),
    }
}

/// What a TLS alert means here and what to do about it. Source of the numbers: RFC 8446 section 6.
pub(crate) const fn alert_words(alert: u8) -> &'static str {
    match alert {
        40 => "no common way to encrypt; install the same release on both ends",
        42 => {
            "the certificate is not for the robot asked for; check --robot-id, or issue a new one"
        }
        43 => "the certificate is for the other kind of end; use one issued for this role",
        44 => "the certificate was revoked; ask the hospital's engineer",
        45 => "the certificate is expired or not yet valid; check both clocks, or issue a new one",
        46 => "the certificate was not accepted; issue a new one",
        48 => "the certificate is of another hospital's authority; use one issued by this one",
        49 => "access was denied",
        51 => "a signature was wrong; the certificate and its key do not belong together",
        70 => "no common TLS version; the other end is not Longhand",
        116 => "no certificate was shown; connect with one issued by this hospital",
        120 => "the other end does not speak longhand/1; check address and port",
        _ => "the TLS handshake failed",
    }
}

fn roots(credentials: &Credentials) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(credentials.authority.clone())?;
    Ok(Arc::new(roots))
}

fn expect_side(credentials: &Credentials, robot: bool) -> Result<(), TlsError> {
    let who = credentials.who();
    if (who.role == Role::Robot) == robot {
        return Ok(());
    }
    let wanted = if robot { "robot" } else { "surgeon, engineer or observer" };
    Err(TlsError::WrongSide { wanted, who: who.to_string() })
}
