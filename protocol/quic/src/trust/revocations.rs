//! A newer revocation list, for an end that runs already.
//!
//! Knows: whether a list may take the place of the one in force. Does not know: when to look, or
//! what becomes of whoever is on it (`robot-agent`).

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeSet;
use std::path::Path;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::role::hex;
use super::signing::is_signed_by;
use super::{Credentials, TrustError, pem, read};

impl Credentials {
    /// These, with the list that now lies where they were loaded from; `None` where that is the one
    /// they have, or where they never were a file's.
    ///
    /// Errors: [`TrustError`]: it cannot be read, is not signed by the authority, or is older than
    /// the one in force. Go on with that one.
    pub fn with_newer_list(&self) -> Result<Option<Self>, TrustError> {
        let Some(path) = &self.list_path else { return Ok(None) };
        let text = read(path)?;
        let list = pem(path, CertificateRevocationListDer::from_pem_slice(text.as_bytes()))?;
        if list == self.revocations {
            return Ok(None);
        }
        let number = believed(&list, &self.authority)
            .map_err(|why| TrustError::ListRefused { path: path.clone(), why })?;
        // Of the one in force no more is asked than its number: it is in force.
        if parsed(&self.revocations).is_ok_and(|in_force| number < number_of(&in_force)) {
            let why = "it is older than the one in force".to_owned();
            return Err(TrustError::ListRefused { path: path.clone(), why });
        }
        Ok(Some(Self { revocations: list, ..self.clone() }))
    }

    /// The serial numbers on the list, as [`super::PeerIdentity::serial`] has them. None where the
    /// list cannot be read: then no handshake succeeds, either.
    pub fn revoked(&self) -> BTreeSet<String> {
        let serials = |list: CertificateRevocationList<'_>| {
            list.iter_revoked_certificates().map(|entry| hex(entry.raw_serial())).collect()
        };
        parsed(&self.revocations).map(serials).unwrap_or_default()
    }

    /// Where the list lies; `None` where these never were a file's.
    pub fn list_path(&self) -> Option<&Path> {
        self.list_path.as_deref()
    }
}

fn parsed<'a>(
    list: &'a CertificateRevocationListDer<'_>,
) -> Result<CertificateRevocationList<'a>, String> {
    CertificateRevocationList::from_der(list).map(|(_, list)| list).map_err(|e| e.to_string())
}

fn number_of(list: &CertificateRevocationList<'_>) -> u64 {
    list.crl_number().and_then(|number| number.iter_u64_digits().next()).unwrap_or(0)
}

/// The list's number, once it is this authority's own.
///
/// Errors: why not, in words.
fn believed(
    list: &CertificateRevocationListDer<'_>,
    authority: &CertificateDer<'_>,
) -> Result<u64, String> {
    let list = parsed(list)?;
    let (_, authority) =
        x509_parser::parse_x509_certificate(authority).map_err(|error| error.to_string())?;
    let key = &authority.public_key().subject_public_key.data;
    if list.issuer().as_raw() != authority.subject().as_raw()
        || !is_signed_by(key, list.tbs_cert_list.as_ref(), &list.signature_value.data)
    {
        return Err("it is not signed by this hospital's authority".to_owned());
    }
    Ok(number_of(&list))
}
