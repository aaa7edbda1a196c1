//! Signing what is to be believed later: a report, by the identity of the console that made it.
//!
//! Knows: a signature over bytes, with the certificate of who signed and of the authority behind.
//! Does not know: what the bytes say.
//!
//! A seal says *who* and *unaltered*, and which authority stands behind. Whether that authority is
//! the hospital's is for whoever reads it: they compare the fingerprint, or give their own
//! `ca.pem`.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::role::{PeerIdentity, hex};
use super::{CA_CERT, Credentials, TrustError, pem, read};

/// A signature, and the certificates that it is read with. All hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// ECDSA over P-256 with SHA-256, ASN.1.
    pub signature: String,
    /// The signer's certificate, DER.
    pub certificate: String,
    /// The authority's certificate, DER.
    pub authority: String,
}

/// A seal that holds: who signed, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The signer.
    pub who: PeerIdentity,
    /// SHA-256 of the authority's certificate, hexadecimal.
    pub authority: String,
}

/// A seal that does not hold, or could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The key is of another kind than this release makes.
    #[error("the identity's key cannot sign; issue a new identity")]
    Key,
    /// The seal is not text of ours.
    #[error("the signature cannot be read; the file was altered, or is not one of ours")]
    Unreadable,
    /// The signer's certificate was not issued by the authority.
    #[error("the signer's certificate was not issued by that authority; do not believe the file")]
    Issuer,
    /// The bytes are not those that were signed.
    #[error("the file is not what was signed; it was altered")]
    Altered,
}

impl Credentials {
    /// Signs `bytes`.
    ///
    /// Errors: [`SealError::Key`].
    pub fn seal(&self, bytes: &[u8]) -> Result<Seal, SealError> {
        let random = SystemRandom::new();
        let key = self.key.secret_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random)
            .map_err(|_| SealError::Key)?;
        let signature = key.sign(&random, bytes).map_err(|_| SealError::Key)?;
        Ok(Seal {
            signature: hex(signature.as_ref()),
            certificate: hex(&self.certificate),
            authority: hex(&self.authority),
        })
    }
}

impl Seal {
    /// Who signed `bytes`. Dates are not judged: a report outlives the certificate it was signed
    /// with. A certificate revoked since is not known here, either.
    ///
    /// Errors: [`SealError`] says what does not hold.
    pub fn verify(&self, bytes: &[u8]) -> Result<Sealed, SealError> {
        let part = |text: &str| unhex(text).ok_or(SealError::Unreadable);
        let (signature, leaf, root) =
            (part(&self.signature)?, part(&self.certificate)?, part(&self.authority)?);
        let parse = |der| X509Certificate::from_der(der).map_err(|_| SealError::Unreadable);
        let ((_, signer), (_, authority)) = (parse(&leaf)?, parse(&root)?);
        let holds = |key: &X509Certificate<'_>, signed: &[u8], signature: &[u8]| {
            let key = key.public_key().subject_public_key.data.as_ref();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(signed, signature).is_ok()
        };
        if !holds(&authority, signer.tbs_certificate.as_ref(), &signer.signature_value.data) {
            return Err(SealError::Issuer);
        }
        if !holds(&signer, bytes, &signature) {
            return Err(SealError::Altered);
        }
        let who = PeerIdentity::from_der(&leaf).map_err(|_| SealError::Unreadable)?;
        Ok(Sealed { who, authority: sha256(&root) })
    }
}

/// SHA-256 of the authority's certificate in an identity's or an authority's folder, hexadecimal.
///
/// Errors: the folder has none.
pub fn authority_fingerprint(folder: &Path) -> Result<String, TrustError> {
    let path = folder.join(CA_CERT);
    let der = pem(&path, CertificateDer::from_pem_slice(read(&path)?.as_bytes()))?;
    Ok(sha256(&der))
}

/// SHA-256, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// SHA-256 of bytes that come in pieces.
pub struct Sha256(ring::digest::Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hexadecimal.
    pub fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test: a panic is how it fails")]
mod tests {
    use super::super::{Authority, Role, Validity};
    use super::*;

    fn credentials(hospital: &str) -> Credentials {
        let authority = Authority::create(hospital).unwrap().authority;
        let life = Validity::days(30).unwrap();
        let identity = authority.issue(Role::Engineer, "ann", None, life).unwrap();
        authority.credentials(&identity).unwrap()
    }

    #[test]
    fn a_seal_names_its_signer_and_breaks_when_anything_is_altered() {
        let ours = credentials("General");
        let seal = ours.seal(b"the link is good").unwrap();
        let sealed = seal.verify(b"the link is good").unwrap();
        assert_eq!((sealed.who.role, sealed.who.name.as_str()), (Role::Engineer, "ann"));
        assert_eq!(sealed.authority, sha256(&ours.authority));
        assert_eq!(ours.hospital(), ("General".to_owned(), sealed.authority));
        assert_eq!(seal.verify(b"the link is bad"), Err(SealError::Altered));
        let swapped = Seal { authority: hex(&credentials("Other").authority), ..seal.clone() };
        assert_eq!(swapped.verify(b"the link is good"), Err(SealError::Issuer));
        let cut = Seal { signature: "30f".to_owned(), ..seal };
        assert_eq!(cut.verify(b"the link is good"), Err(SealError::Unreadable));
    }
}
