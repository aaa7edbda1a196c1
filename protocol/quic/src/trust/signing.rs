//! Signatures outside a handshake: what a machine keeps and somebody else must believe later.
//!
//! Knows: an identity's key, and whose certificates a hospital believes. Does not know: what is
//! signed (`longhand-record`), or how a handshake proves the same key (`tls`).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longhand_protocol::message::RobotId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SignatureScheme};
use thiserror::Error;

use super::{
    CA_CERT, CA_LIST, Credentials, IdentityError, PeerIdentity, Role, TrustError, pem, read,
    robot_dns_name,
};

/// The schemes of the keys that `trust issue` makes.
const SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

/// A signature could not be made, or its signer not be believed.
#[derive(Debug, Error)]
pub enum SigningError {
    /// The key is of a kind that `trust issue` does not make.
    #[error("the identity's key cannot sign a record ({0}); issue a new one with `trust issue`")]
    Key(rustls::Error),
    /// The certificate is not one that can be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It was not issued by this hospital, not then, not to a holder of that role, or was revoked.
    #[error("the signer's certificate is not believed ({why})")]
    Stranger {
        /// In words.
        why: String,
    },
}

impl Credentials {
    /// What signs with this identity's key.
    ///
    /// Errors: [`SigningError::Key`].
    pub fn signer(&self) -> Result<Signer, SigningError> {
        let key =
            rustls::crypto::ring::sign::any_supported_type(&self.key).map_err(SigningError::Key)?;
        let none = || rustls::Error::General("no signature scheme of ours".to_owned());
        let signer = key.choose_scheme(&SCHEMES).ok_or_else(|| SigningError::Key(none()))?;
        Ok(Signer { signer, certificate: self.certificate.as_ref().to_vec() })
    }

    /// Whom the holder of this identity believes.
    pub fn believes(&self) -> Believed {
        Believed { authority: self.authority.clone(), revocations: self.revocations.clone() }
    }
}

/// Signs with an identity's key.
#[derive(Debug)]
pub struct Signer {
    signer: Box<dyn rustls::sign::Signer>,
    certificate: Vec<u8>,
}

impl Signer {
    /// The signature of `message`. Cost: some tens of microseconds, and the heap; not for a servo
    /// thread.
    ///
    /// Errors: the system gave no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.signer.sign(message).map_err(SigningError::Key)
    }

    /// The certificate that goes with it, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

/// A hospital's authority, as far as somebody needs it who only checks.
#[derive(Clone, Debug)]
pub struct Believed {
    authority: CertificateDer<'static>,
    revocations: CertificateRevocationListDer<'static>,
}

impl Believed {
    /// Reads `ca.pem` and `ca.crl` of any folder that has them: the authority's or an identity's.
    ///
    /// Errors: [`TrustError`].
    pub fn load(folder: &Path) -> Result<Self, TrustError> {
        let (authority, list) = (folder.join(CA_CERT), folder.join(CA_LIST));
        let text = read(&list)?;
        Ok(Self {
            authority: pem(
                &authority,
                CertificateDer::from_pem_slice(read(&authority)?.as_bytes()),
            )?,
            revocations: pem(&list, CertificateRevocationListDer::from_pem_slice(text.as_bytes()))?,
        })
    }

    /// The key of `certificate`, once this hospital issued it to `robot`, it was in date at `at`
    /// and is not revoked.
    ///
    /// Errors: [`SigningError`] says what is not so.
    pub fn robot(
        &self,
        certificate: &[u8],
        robot: RobotId,
        at: SystemTime,
    ) -> Result<SignerKey, SigningError> {
        let key = SignerKey::unproven(certificate)?;
        if key.who.robot != Some(robot) {
            return Err(stranger(format!("it is {}, not robot {}", key.who, robot.get())));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots()?, provider())
            .with_crls([self.revocations.clone()])
            .build()
            .map_err(stranger)?;
        let name = ServerName::try_from(robot_dns_name(robot)).map_err(stranger)?;
        let leaf = CertificateDer::from(certificate);
        verifier.verify_server_cert(&leaf, &[], &name, &[], unix_time(at)).map_err(stranger)?;
        Ok(key)
    }

    /// The key of `certificate`, once this hospital issued it to a surgeon, it was in date at `at`
    /// and is not revoked.
    ///
    /// Errors: [`SigningError`] says what is not so.
    pub fn surgeon(&self, certificate: &[u8], at: SystemTime) -> Result<SignerKey, SigningError> {
        let key = SignerKey::unproven(certificate)?;
        if key.who.role != Role::Surgeon {
            return Err(stranger(format!("it is {}, not a surgeon", key.who)));
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider())
            .with_crls([self.revocations.clone()])
            .build()
            .map_err(stranger)?;
        let leaf = CertificateDer::from(certificate);
        verifier.verify_client_cert(&leaf, &[], unix_time(at)).map_err(stranger)?;
        Ok(key)
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, SigningError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(stranger)?;
        Ok(Arc::new(roots))
    }
}

fn stranger(why: impl ToString) -> SigningError {
    SigningError::Stranger { why: why.to_string() }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unix_time(at: SystemTime) -> UnixTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixTime::since_unix_epoch(since)
}

/// Whether `signature` is that public key's, of `message`.
pub(super) fn is_signed_by(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let ours = algorithms.mapping.iter().filter(|(scheme, _)| SCHEMES.contains(scheme));
    ours.flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// The key in a certificate: tells whether a signature is its.
#[derive(Clone, Debug)]
pub struct SignerKey {
    key: Vec<u8>,
    who: PeerIdentity,
}

impl SignerKey {
    /// The key of a certificate that nobody has vouched for yet.
    ///
    /// Errors: [`SigningError::Identity`].
    pub fn unproven(certificate: &[u8]) -> Result<Self, SigningError> {
        let who = PeerIdentity::from_der(certificate)?;
        let (_, cert) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| IdentityError::Unreadable { why: error.to_string() })?;
        let key = cert.public_key().subject_public_key.data.to_vec();
        Ok(Self { key, who })
    }

    /// Whether `signature` is this key's, of `message`.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        is_signed_by(&self.key, message, signature)
    }

    /// Whose it says it is.
    pub const fn who(&self) -> &PeerIdentity {
        &self.who
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{Authority, Role, Validity};

    fn robot(authority: &Authority, id: u64) -> Credentials {
        let life = Validity::days(1).unwrap();
        let issued = authority.issue(Role::Robot, "or3", Some(RobotId::new(id)), life).unwrap();
        authority.credentials(&issued).unwrap()
    }

    #[test]
    fn a_signature_is_believed_of_the_robot_that_made_it_and_of_nothing_else() {
        let authority = Authority::ephemeral("Test").unwrap();
        let credentials = robot(&authority, 1);
        let (signer, now) = (credentials.signer().unwrap(), SystemTime::now());
        let key = credentials.believes().robot(signer.certificate(), RobotId::new(1), now).unwrap();
        let signature = signer.sign(b"head").unwrap();
        assert!(key.has_signed(b"head", &signature));
        assert!(!key.has_signed(b"heads", &signature));
        assert!(!key.has_signed(b"head", &signature[1..]));
        assert!(
            !key.has_signed(
                b"head",
                &robot(&authority, 1).signer().unwrap().sign(b"head").unwrap()
            )
        );
    }

    #[test]
    fn another_hospital_another_robot_a_surgeon_a_late_hour_and_a_revoked_one_are_strangers() {
        let mut authority = Authority::ephemeral("Test").unwrap();
        let credentials = robot(&authority, 1);
        let (one, now) = (RobotId::new(1), SystemTime::now());
        let believed = credentials.believes();
        let certificate = credentials.signer().unwrap().certificate().to_vec();
        let other = robot(&Authority::ephemeral("Other").unwrap(), 1);
        assert!(believed.robot(other.signer().unwrap().certificate(), one, now).is_err());
        assert!(believed.robot(&certificate, RobotId::new(2), now).is_err());
        let life = Validity::days(1).unwrap();
        let surgeon = authority.issue(Role::Surgeon, "dr", None, life).unwrap();
        let dr = authority.credentials(&surgeon).unwrap();
        let surgeon = dr.signer().unwrap();
        assert!(believed.robot(surgeon.certificate(), one, now).is_err());
        assert!(believed.surgeon(surgeon.certificate(), now).is_ok());
        assert!(believed.surgeon(&certificate, now).is_err(), "a robot");
        let late = now + Duration::from_secs(3 * 24 * 3_600);
        assert!(believed.robot(&certificate, one, late).is_err());
        assert!(believed.surgeon(surgeon.certificate(), late).is_err());
        assert!(other.believes().surgeon(surgeon.certificate(), now).is_err());
        assert!(believed.robot(&certificate, one, now).is_ok());
        authority.revoke(&[credentials.who(), dr.who()]).unwrap();
        let after = robot(&authority, 2).believes();
        assert!(after.robot(&certificate, one, now).is_err());
        assert!(after.surgeon(surgeon.certificate(), now).is_err());
    }
}
