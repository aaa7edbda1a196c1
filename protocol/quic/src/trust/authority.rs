//! The hospital's certificate authority, in memory: makes identities and takes them back.
//!
//! Knows: keys, certificates and the revocation list. Does not know: files (`trust`) or handshakes
//! (`tls`). Every key is ECDSA P-256: the one curve that rustls, OpenSSL, aioquic and hospital key
//! stores all hold. Source: rcgen's default; RFC 8446 section 9.1 makes it mandatory.

use std::time::{Duration, SystemTime};

use longhand_protocol::message::RobotId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::role::{
    PeerIdentity, Role, gateway_dns_name, hex, is_plain_name, name_urn, robot_dns_name,
};
use super::{Credentials, TrustError};

/// Days an identity lives when nobody says otherwise.
///
/// Source: safety.md section 9, "life 7-30 d". Short, so that a stolen key dies by itself.
pub const DAYS_DEFAULT: u32 = 30;
/// Longest life that may be asked for. Chosen: three times the recommended, for a remote site.
pub const DAYS_MAX: u32 = 90;
/// Life of the authority itself. Chosen: ten years; replacing it means visiting every machine.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// An identity is valid from a little before it was made. Chosen: machines without a common clock
/// are minutes apart, and "not yet valid" is the least helpful of all refusals.
const CLOCK_SLACK: Duration = Duration::from_secs(5 * 60);
/// Longest hospital name. Source: RFC 5280 appendix A.1, ub-common-name.
const HOSPITAL_NAME_MAX: usize = 64;

/// From when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not valid earlier.
    pub not_before: SystemTime,
    /// Not valid later.
    pub not_after: SystemTime,
}

impl Validity {
    /// From now, for `days` days.
    ///
    /// Errors: [`TrustError::Days`] unless 1 to [`DAYS_MAX`].
    pub fn days(days: u32) -> Result<Self, TrustError> {
        if days == 0 || days > DAYS_MAX {
            return Err(TrustError::Days { got: days });
        }
        let life = Duration::from_secs(u64::from(days).saturating_mul(86_400));
        Ok(Self::from_now(life))
    }

    fn from_now(life: Duration) -> Self {
        let now = SystemTime::now();
        Self {
            not_before: now.checked_sub(CLOCK_SLACK).unwrap_or(SystemTime::UNIX_EPOCH),
            not_after: now.checked_add(life).unwrap_or(now),
        }
    }
}

/// What a certificate is born with, beside what it says.
pub(crate) struct Birth {
    pub(crate) key: KeyPair,
    pub(crate) serial: SerialNumber,
}

impl Birth {
    fn random() -> Result<Self, TrustError> {
        Ok(Self { key: KeyPair::generate()?, serial: random_serial()? })
    }
}

/// One identity: a certificate and its key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    /// What the certificate says.
    pub who: PeerIdentity,
}

/// The authority: its certificate, its key and its revocation list.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    revocations: List,
}

/// The revocation list, in both forms.
#[derive(Clone)]
struct List {
    der: CertificateRevocationListDer<'static>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority { key: hidden }")
    }
}

impl Authority {
    /// A new authority that never touches a disk: for the demo and for tests. Everything it issued
    /// dies with the process.
    pub fn ephemeral(hospital: &str) -> Result<Self, TrustError> {
        Self::create(hospital).map(|made| made.authority)
    }

    pub(crate) fn create(hospital: &str) -> Result<Created, TrustError> {
        Self::born(hospital, Validity::from_now(CA_LIFE), Birth::random()?)
    }

    /// As [`Authority::create`], with nothing left to the system.
    pub(crate) fn born(
        hospital: &str,
        life: Validity,
        birth: Birth,
    ) -> Result<Created, TrustError> {
        let has_control = hospital.chars().any(char::is_control);
        if hospital.trim().is_empty() || hospital.len() > HOSPITAL_NAME_MAX || has_control {
            return Err(TrustError::HospitalName);
        }
        let mut params = CertificateParams::default();
        params.not_before = life.not_before.into();
        params.not_after = life.not_after.into();
        let Birth { key, serial } = birth;
        params.distinguished_name = common_name(hospital);
        // Two authorities of one hospital must differ in name: a certificate of the old one is then
        // "of another authority", not "of a wrong signature".
        let own = hex(&serial.to_bytes());
        params.distinguished_name.push(DnType::OrganizationalUnitName, own);
        params.serial_number = Some(serial);
        // Zero: it may issue identities, never another authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key_pem = key.serialize_pem();
        let certificate = params.self_signed(&key)?;
        let pem = certificate.pem();
        let issuer = Issuer::new(params, key);
        let revocations = sign_list(&issuer, 1, Vec::new(), life)?;
        let certificate = certificate.der().clone();
        let authority = Self { certificate, issuer, revocations };
        Ok(Created { authority, certificate_pem: pem, key_pem })
    }

    /// The authority whose parts were kept in files.
    pub(crate) fn from_parts(cert: &str, key: &str, list: &str) -> Result<Self, TrustError> {
        let certificate = CertificateDer::from_pem_slice(cert.as_bytes())?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key)?)?;
        let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes())?;
        let revocations = List { der, pem: list.to_owned() };
        let authority = Self { certificate, issuer, revocations };
        authority.revoked_serials()?;
        Ok(authority)
    }

    /// Makes an identity.
    ///
    /// Errors: a name that is not plain, or a robot without a number (or anyone else with one).
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        robot: Option<RobotId>,
        validity: Validity,
    ) -> Result<Identity, TrustError> {
        self.issue_born(role, name, robot, validity, Birth::random()?)
    }

    /// As [`Authority::issue`], with nothing left to the system.
    pub(crate) fn issue_born(
        &self,
        role: Role,
        name: &str,
        robot: Option<RobotId>,
        validity: Validity,
        birth: Birth,
    ) -> Result<Identity, TrustError> {
        if !is_plain_name(name) {
            return Err(TrustError::Name { got: super::role::shown(name) });
        }
        let usage = match (role, robot) {
            (Role::Robot, Some(_)) => vec![ExtendedKeyUsagePurpose::ServerAuth],
            (Role::Surgeon | Role::Engineer | Role::Observer, None) => {
                vec![ExtendedKeyUsagePurpose::ClientAuth]
            }
            // Asks a router, and is asked by observers.
            (Role::Gateway, None) => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            (Role::Robot, None) => return Err(TrustError::RobotNumberMissing),
            (Role::Surgeon | Role::Engineer | Role::Observer | Role::Gateway, Some(_)) => {
                return Err(TrustError::RobotNumberNotWanted { role });
            }
        };
        let mut params = CertificateParams::default();
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        params.serial_number = Some(birth.serial);
        params.distinguished_name = common_name(name);
        params.subject_alt_names =
            vec![SanType::URI(role.urn().try_into()?), SanType::URI(name_urn(name).try_into()?)];
        if let Some(id) = robot {
            params.subject_alt_names.push(SanType::DnsName(robot_dns_name(id).try_into()?));
        }
        if role == Role::Gateway {
            params.subject_alt_names.push(SanType::DnsName(gateway_dns_name(name).try_into()?));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usage;
        params.use_authority_key_identifier_extension = true;
        let key = birth.key;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            who: PeerIdentity::from_der(certificate.der())?,
            certificate: certificate.into(),
        })
    }

    /// Puts serial numbers on the revocation list. Already listed ones stay as they are.
    pub fn revoke(&mut self, who: &[&PeerIdentity]) -> Result<(), TrustError> {
        let (number, mut listed) = self.list()?;
        let now = SystemTime::now();
        for identity in who {
            if !listed.iter().any(|entry| serial_hex(entry) == identity.serial) {
                listed.push(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&unhex(&identity.serial)),
                    revocation_time: now.into(),
                    reason_code: Some(RevocationReason::PrivilegeWithdrawn),
                    invalidity_date: None,
                });
            }
        }
        let life = Validity { not_before: now, not_after: end_of(&self.certificate)? };
        self.revocations = sign_list(&self.issuer, number.saturating_add(1), listed, life)?;
        Ok(())
    }

    /// The serial numbers on the revocation list, hexadecimal.
    pub fn revoked_serials(&self) -> Result<Vec<String>, TrustError> {
        Ok(self.list()?.1.iter().map(serial_hex).collect())
    }

    /// What one end needs for its handshakes: its identity, whom it trusts, whom no longer.
    pub fn credentials(&self, identity: &Identity) -> Result<Credentials, TrustError> {
        Ok(Credentials {
            certificate: identity.certificate.clone(),
            key: PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?,
            authority: self.certificate.clone(),
            revocations: self.revocations.der.clone(),
            list_path: None,
            who: identity.who.clone(),
        })
    }

    pub(crate) fn revocations_pem(&self) -> &str {
        &self.revocations.pem
    }

    /// The list's own number and its entries.
    fn list(&self) -> Result<(u64, Vec<RevokedCertParams>), TrustError> {
        let (_, list) = CertificateRevocationList::from_der(&self.revocations.der)
            .map_err(|error| TrustError::List { why: error.to_string() })?;
        let number = list.crl_number().and_then(|n| n.iter_u64_digits().next()).unwrap_or(0);
        let entries = list
            .iter_revoked_certificates()
            .map(|entry| RevokedCertParams {
                serial_number: SerialNumber::from_slice(entry.raw_serial()),
                revocation_time: entry.revocation_date.to_datetime(),
                reason_code: Some(RevocationReason::PrivilegeWithdrawn),
                invalidity_date: None,
            })
            .collect();
        Ok((number, entries))
    }
}

/// A new authority with the two texts that a folder keeps.
pub(crate) struct Created {
    pub(crate) authority: Authority,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// The end of the authority's own life.
fn end_of(certificate: &CertificateDer<'_>) -> Result<SystemTime, TrustError> {
    let (_, cert) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| TrustError::List { why: error.to_string() })?;
    Ok(cert.validity().not_after.to_datetime().into())
}

fn sign_list(
    issuer: &Issuer<'static, KeyPair>,
    number: u64,
    revoked_certs: Vec<RevokedCertParams>,
    life: Validity,
) -> Result<List, TrustError> {
    let list = CertificateRevocationListParams {
        this_update: life.not_before.into(),
        // As long as the authority: a list that ran out would lock everybody out because nobody
        // was revoked lately. It is replaced when it changes, not when it is old.
        next_update: life.not_after.into(),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let signed = list.signed_by(issuer)?;
    Ok(List { pem: signed.pem()?, der: signed.into() })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}

/// 127 random bits: positive, and never the same twice. Source: RFC 5280 section 4.1.2.2.
fn random_serial() -> Result<SerialNumber, TrustError> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TrustError::NoRandom)?;
    if let Some(first) = bytes.first_mut() {
        // 01xx xxxx: DER then neither adds nor strips a byte, so the hexadecimal form is one.
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn serial_hex(entry: &RevokedCertParams) -> String {
    hex(&entry.serial_number.to_bytes())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    digits
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [high, low] => Some((high << 4) | low),
            _ => None,
        })
        .collect()
}
