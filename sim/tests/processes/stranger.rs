//! A client that is not ours and shows no certificate.
//!
//! Knows: QUIC and TLS by themselves, which no console of ours leaves out. Does not know: a
//! message.

use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Knocks at the robot, which it believes to be `authority`'s, and gives the words of refusal.
pub fn knock(robot: &str, authority: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let name = "robot-1.longhand.internal";
        let connecting = endpoint.connect_with(config(authority), robot.parse().unwrap(), name);
        // TLS 1.3 tells a client only after its own end of the handshake.
        match connecting.unwrap().await {
            Ok(connection) => connection.closed().await.to_string(),
            Err(error) => error.to_string(),
        }
    })
}

fn config(authority: &str) -> quinn::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![longhand_quic::tls::ALPN.to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}
